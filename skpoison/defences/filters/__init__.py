"""Filters: they score the rows of a training set, and drop those that look poisoned."""

from ._activation_clustering import ActivationClustering
from ._base import BaseFilter
from ._deep_knn import DeepKNN
from ._detection_rates import Rate, detection_rates
from ._detection_scorers import detection_scorers
from ._filtered_classifier import FilteredClassifier
from ._neighbour_vote import NeighbourVote
from ._spectral_signatures import SpectralSignatures

__all__ = [
    "ActivationClustering",
    "BaseFilter",
    "DeepKNN",
    "FilteredClassifier",
    "NeighbourVote",
    "Rate",
    "SpectralSignatures",
    "detection_rates",
    "detection_scorers",
]
