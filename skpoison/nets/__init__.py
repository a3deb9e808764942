"""Neural networks as scikit-learn classifiers, trained as in the paper: plain SGD."""

from ._classifier import NetClassifier

__all__ = ["NetClassifier"]
