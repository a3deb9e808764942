"""What is measured of each fitted victim: the scorers of a report's studies."""

import numpy as np

from .._frames import plain_labels
from ..defences import PartitionEnsemble

# The numbers of changes that a prediction may withstand, where a victim certifies its predictions.
LABELS, ROWS = "labels", "rows"
CHANGES = (0, 1, 2, 3, 4, 6, 8, 10, 14, 20, 30, 40, 60, 100, 200, 400)


def score_under_attack(estimator, X, y, *, poison_indices, y_poisoned, classes, success_rates):
    """The accuracy on clean rows, the recall of each class, and the share of rows that changed.

    `success_rates` are scorers by name, of attacks that want more than a lower accuracy.
    """
    labels = np.ravel(plain_labels(y))
    is_right = np.ravel(plain_labels(estimator.predict(X))) == labels
    found = {"accuracy": is_right.mean(), "changed": len(poison_indices) / len(y_poisoned)}
    for i, label in enumerate(classes):
        own = is_right[labels == label]
        found[recall_of(i)] = own.mean() if len(own) else np.nan
    for name, rate in success_rates.items():
        found[success_of(name)] = rate(estimator, X, y)
    return found


def recall_of(i):
    """The name of the recall of the class with index i."""
    return f"recall {i}"


def success_of(attack):
    """The name of the success rate of an attack."""
    return f"success {attack}"


def score_certificates(estimator, X, y):
    """The share of rows that are predicted right, and stay right under each number of changes.

    Changes are flips of labels, and for a `PartitionEnsemble` those of whole rows too. For other
    classifiers, the latter are NaN.
    """
    is_right = np.ravel(plain_labels(estimator.predict(X))) == np.ravel(plain_labels(y))
    if isinstance(estimator, PartitionEnsemble):
        radii = {
            LABELS: estimator.certify(X, change="label"),
            ROWS: estimator.certify(X, change="any"),
        }
    else:
        radii = {LABELS: estimator.certify(X)}
    found = {certified(kind, n): np.nan for kind in (LABELS, ROWS) for n in CHANGES}
    for kind, radius in radii.items():
        for n in CHANGES:
            found[certified(kind, n)] = np.mean(is_right & (np.asarray(radius) >= n))
    return found


def certified(kind, n_changes):
    """The name of the certified accuracy under a number of changes."""
    return f"{kind} {n_changes}"
