"""Defences against poisoned training data: classifiers that wrap a classifier."""

from ._loss_trimming import LossTrimming
from ._partition_ensemble import PartitionEnsemble

__all__ = ["LossTrimming", "PartitionEnsemble"]
