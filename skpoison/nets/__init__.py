"""Neural networks as scikit-learn classifiers, trained as in the paper: plain SGD."""

from ._classifier import NetClassifier
from ._fit_many import fit_many

__all__ = ["NetClassifier", "fit_many"]
