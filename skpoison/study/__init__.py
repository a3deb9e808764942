"""Studies of robustness over a capacity parameter, and their displays."""

from ._breaking_point import breaking_point
from ._changed_cells import changed_cells
from ._corrected_interval import corrected_interval
from ._poisoned_classifier import PoisonedClassifier
from ._results import RobustnessCurve, RobustnessCurves
from ._robustness_curve import robustness_curve
from ._validation_curve import validation_curve
from .displays import (
    BudgetHeatmapDisplay,
    CertifiedAccuracyDisplay,
    ExcessRiskDisplay,
    PerturbationNormDisplay,
    PoisonedRowsDisplay,
    RobustnessCurveDisplay,
)

__all__ = [
    "BudgetHeatmapDisplay",
    "CertifiedAccuracyDisplay",
    "ExcessRiskDisplay",
    "PerturbationNormDisplay",
    "PoisonedClassifier",
    "PoisonedRowsDisplay",
    "RobustnessCurve",
    "RobustnessCurveDisplay",
    "RobustnessCurves",
    "breaking_point",
    "changed_cells",
    "corrected_interval",
    "robustness_curve",
    "validation_curve",
]
