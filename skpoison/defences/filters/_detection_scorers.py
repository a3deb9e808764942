"""Scorers of a study: what a filter inside a victim has found."""

import math
from collections.abc import Callable

import numpy as np
from sklearn.pipeline import Pipeline

from ..._frames import count_rows
from ._detection_rates import detection_rates


def detection_scorers() -> dict[str, Callable[..., float]]:
    """Scorers of a study that measure how well a victim's filter has found the poisoned rows.

    Returns
    -------
    scorers : dict of str to callable
        "true_positive_rate", "false_positive_rate" and "roc_auc", as in `detection_rates`. They are
        about the rows that the victim was trained on, and not about the rows that it is scored on:
        a scorer asks the study for `poison_indices`. Without poisoned rows, "true_positive_rate"
        and "roc_auc" are NaN.

    Notes
    -----
    The rates need to know which rows the victim has kept: its attribute `kept_indices_`, which
    `FilteredClassifier` and `LossTrimming` have. "roc_auc" needs the scores of the rows:
    `filter_.scores_` of a `FilteredClassifier`. In a Pipeline, the last step is asked. For a victim
    without these attributes the scorers return NaN.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn.linear_model import LogisticRegression
    >>> from skpoison import FilteredClassifier, LabelFlip, NeighbourVote, robustness_curve
    >>> from skpoison.defences import detection_scorers
    >>> X, y = load_digits(return_X_y=True)
    >>> curves = robustness_curve(
    ...     FilteredClassifier(LogisticRegression(C=0.1), NeighbourVote()),
    ...     X[:500] / 16,
    ...     y[:500],
    ...     attacks={"flips": LabelFlip()},
    ...     param_name="strength",
    ...     param_range=[0, 0.2],
    ...     scoring={"accuracy": "accuracy", **detection_scorers()},
    ...     random_state=0,
    ... )
    >>> bool(curves["true_positive_rate"].scores["flips"][1].mean() > 0.8)
    True
    >>> bool(curves["false_positive_rate"].scores["flips"][0].mean() < 0.1)  # without an attack
    True
    """
    return {
        "true_positive_rate": _true_positive_rate,
        "false_positive_rate": _false_positive_rate,
        "roc_auc": _roc_auc,
    }


def _true_positive_rate(estimator, X, y, poison_indices, y_poisoned):
    return _of_flags("true_positive_rate", estimator, poison_indices, y_poisoned)


def _false_positive_rate(estimator, X, y, poison_indices, y_poisoned):
    return _of_flags("false_positive_rate", estimator, poison_indices, y_poisoned)


def _roc_auc(estimator, X, y, poison_indices):
    scores = getattr(getattr(_last(estimator), "filter_", None), "scores_", None)
    return math.nan if scores is None else detection_rates(poison_indices, scores)["roc_auc"].value


def _of_flags(name, estimator, poison_indices, y_poisoned):
    kept = getattr(_last(estimator), "kept_indices_", None)
    if kept is None:
        return math.nan
    flagged = np.ones(count_rows(y_poisoned), dtype=bool)
    flagged[kept] = False
    return detection_rates(poison_indices, flagged)[name].value


def _last(estimator):
    return estimator[-1] if isinstance(estimator, Pipeline) else estimator
