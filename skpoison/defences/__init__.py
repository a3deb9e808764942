"""Defences against poisoned training data: classifiers that wrap a classifier."""

from ._loss_trimming import LossTrimming
from ._partition_ensemble import PartitionEnsemble
from ._smoothed_labels import SmoothedLabelClassifier

__all__ = ["LossTrimming", "PartitionEnsemble", "SmoothedLabelClassifier"]
