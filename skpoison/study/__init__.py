"""Studies of robustness over a capacity parameter, and their displays."""

from ._breaking_point import breaking_point
from ._budget_display import BudgetHeatmapDisplay
from ._curve import RobustnessCurve
from ._curve_display import RobustnessCurveDisplay
from ._excess_display import ExcessRiskDisplay
from ._norm_display import PerturbationNormDisplay
from ._poisoned import PoisonedClassifier
from ._robustness import robustness_curve
from ._validation_curve import validation_curve

__all__ = [
    "BudgetHeatmapDisplay",
    "ExcessRiskDisplay",
    "PerturbationNormDisplay",
    "PoisonedClassifier",
    "RobustnessCurve",
    "RobustnessCurveDisplay",
    "breaking_point",
    "robustness_curve",
    "validation_curve",
]
