"""The clean model that an attack looks at, as a differentiable map from rows to logits."""

import warnings

import numpy as np
import torch
from sklearn.base import clone

from .._seeding import seed_estimator
from .._validation import encode_labels


def fit_surrogate(surrogate, X, y, random_state):
    """Fit a clone of `surrogate` (a FrozenEstimator stays as it is) on the clean data.

    Returns the fitted surrogate and the index of each label in its classes.
    """
    if isinstance(surrogate, type) or not hasattr(surrogate, "fit"):
        raise TypeError(f"`surrogate` must be a classifier, got {surrogate!r}")
    fitted = clone(surrogate)
    if fitted is not surrogate:
        seed_estimator(fitted, random_state, overwrite=False)
    fitted.fit(_rows_for(fitted, X), y)
    _check_differentiable(fitted)
    return fitted, encode_labels(y, np.asarray(fitted.classes_), "`surrogate`")


def logits_of(surrogate, X):
    """A function from a tensor of rows like X to logits (n, n_classes), differentiable.

    A surrogate with a method `logits` is taken at its word; of a linear scikit-learn classifier the
    coefficients are, after a check on rows of X that they are all there is to its decision.
    """
    if hasattr(surrogate, "logits"):
        return surrogate.logits
    weight = torch.tensor(np.atleast_2d(surrogate.coef_), dtype=torch.float64)
    bias = torch.tensor(np.broadcast_to(surrogate.intercept_, len(weight)), dtype=torch.float64)

    def logits(rows):
        scores = rows.reshape(len(rows), -1) @ weight.to(rows).T + bias.to(rows)
        if scores.shape[1] > 1:
            return scores
        # Of two classes scikit-learn scores the second; softmax of (0, f) is the sigmoid of f.
        return torch.cat([torch.zeros_like(scores), scores], dim=1)

    sample = X[:16].reshape(min(len(X), 16), -1).astype(np.float64)
    with warnings.catch_warnings():
        # A frozen surrogate may know its features by name; rows have none.
        warnings.filterwarnings("ignore", "X does not have valid feature names")
        expected = np.asarray(surrogate.decision_function(sample))
    with torch.no_grad():
        actual = logits(torch.tensor(sample)).numpy()
    if expected.ndim == 1:
        actual = actual[:, 1]
    if expected.shape != actual.shape or not np.allclose(expected, actual, rtol=1e-3, atol=1e-6):
        _refuse(surrogate)
    return logits


def _rows_for(surrogate, X):
    """Rows as the surrogate takes them: scikit-learn's own know flat rows only."""
    return X if hasattr(surrogate, "logits") else X.reshape(len(X), -1)


def _check_differentiable(surrogate):
    if hasattr(surrogate, "logits"):
        return
    n_classes = len(getattr(surrogate, "classes_", ()))
    shape = (1 if n_classes == 2 else n_classes, getattr(surrogate, "n_features_in_", None))
    coef = getattr(surrogate, "coef_", None)
    if not isinstance(coef, np.ndarray) or not hasattr(surrogate, "decision_function"):
        _refuse(surrogate)
    if np.atleast_2d(coef).shape != shape:
        _refuse(surrogate)


def _refuse(surrogate):
    kind = type(getattr(surrogate, "estimator", surrogate)).__name__
    raise TypeError(
        "`surrogate` must have gradients: a NetClassifier (or a classifier with a method `logits`) "
        f"or a linear scikit-learn classifier, got {kind}"
    )
