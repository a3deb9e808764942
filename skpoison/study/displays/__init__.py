"""The displays of studies: each draws one kind of result with matplotlib."""

from ._budget_heatmap import BudgetHeatmapDisplay
from ._certified_accuracy import CertifiedAccuracyDisplay
from ._excess_risk import ExcessRiskDisplay
from ._perturbation_norm import PerturbationNormDisplay
from ._poisoned_rows import PoisonedRowsDisplay
from ._robustness_curve import RobustnessCurveDisplay

__all__ = [
    "BudgetHeatmapDisplay",
    "CertifiedAccuracyDisplay",
    "ExcessRiskDisplay",
    "PerturbationNormDisplay",
    "PoisonedRowsDisplay",
    "RobustnessCurveDisplay",
]
