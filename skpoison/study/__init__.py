"""Studies of robustness over a capacity parameter, and their displays."""

from ._curve import RobustnessCurve
from ._curve_display import RobustnessCurveDisplay
from ._excess_display import ExcessRiskDisplay
from ._norm_display import PerturbationNormDisplay
from ._poisoned import PoisonedClassifier
from ._robustness import robustness_curve
from ._validation_curve import validation_curve

__all__ = [
    "ExcessRiskDisplay",
    "PerturbationNormDisplay",
    "PoisonedClassifier",
    "RobustnessCurve",
    "RobustnessCurveDisplay",
    "robustness_curve",
    "validation_curve",
]
