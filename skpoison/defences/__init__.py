"""Defences against poisoned training data: classifiers that wrap a classifier, and filters."""

from ._loss_trimming import LossTrimming
from ._partition_ensemble import PartitionEnsemble
from ._smoothed_labels import SmoothedLabelClassifier
from .filters import (
    ActivationClustering,
    BaseFilter,
    DeepKNN,
    FilteredClassifier,
    NeighbourVote,
    Rate,
    SpectralSignatures,
    detection_rates,
    detection_scorers,
)

__all__ = [
    "ActivationClustering",
    "BaseFilter",
    "DeepKNN",
    "FilteredClassifier",
    "LossTrimming",
    "NeighbourVote",
    "PartitionEnsemble",
    "Rate",
    "SmoothedLabelClassifier",
    "SpectralSignatures",
    "detection_rates",
    "detection_scorers",
]
