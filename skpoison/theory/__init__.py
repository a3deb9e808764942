"""Sections 2 to 4 of the paper as functions: its theorems, and simulations that test them."""

from ._adversaries import (
    constant_perturbation,
    random_sign_perturbation,
    sparse_perturbation,
    worst_vertex_perturbation,
)
from ._bounds import gradient_perturbation_bound, sgd_excess_risk_bound, sgd_step_size
from ._data_oracle import DataOracle
from ._lower_bound import LowerBoundInstance, lower_bound_instance
from ._margin import ntk_margin
from ._oracle import PoisonedOracle
from ._rates import error_rate, step_size
from ._regime_a import WidthWindow, min_width, total_budget, width_window
from ._regime_b import max_width, per_sample_budget
from ._regime_c import FlipRateBudget, flip_rate_budget
from ._report import RegimePromise, TheoryReport, theory_report
from ._sgd import projected_sgd

__all__ = [
    "DataOracle",
    "FlipRateBudget",
    "LowerBoundInstance",
    "PoisonedOracle",
    "RegimePromise",
    "TheoryReport",
    "WidthWindow",
    "constant_perturbation",
    "error_rate",
    "flip_rate_budget",
    "gradient_perturbation_bound",
    "lower_bound_instance",
    "max_width",
    "min_width",
    "ntk_margin",
    "per_sample_budget",
    "projected_sgd",
    "random_sign_perturbation",
    "sgd_excess_risk_bound",
    "sgd_step_size",
    "sparse_perturbation",
    "step_size",
    "theory_report",
    "total_budget",
    "width_window",
    "worst_vertex_perturbation",
]
