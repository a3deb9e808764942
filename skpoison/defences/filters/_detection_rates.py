"""How well a filter tells poisoned rows from others."""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import brentq
from scipy.stats import norm
from sklearn.metrics import roc_auc_score

from ..._validation import check_confidence

_TINY = 1e-12


class Rate(NamedTuple):
    """A rate with its confidence interval.

    Attributes
    ----------
    value : float
        From 0 to 1; NaN if there is nothing to measure it on.
    low, high : float
        The ends of the interval.

    Examples
    --------
    >>> from skpoison.defences import Rate
    >>> Rate(0.9, 0.81234, 0.95)
    0.900 [0.812, 0.950]
    """

    value: float
    low: float
    high: float

    def __repr__(self) -> str:
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"


def detection_rates(
    poison_indices: ArrayLike, flagged: ArrayLike, *, confidence: float = 0.95
) -> dict[str, Rate]:
    """Measure how well a filter has found the poisoned rows.

    Parameters
    ----------
    poison_indices : array-like of int
        The poisoned rows, such as `poison_indices_` of an attack.
    flagged : array-like of bool or float, of shape (n,)
        Booleans: which rows were flagged. Other numbers: scores of the rows; larger is more
        suspicious.
    confidence : float, default=0.95
        Coverage of the intervals, between 0 and 1.

    Returns
    -------
    rates : dict of str to Rate
        For booleans "true_positive_rate", the flagged share of the poisoned rows, and
        "false_positive_rate", the flagged share of the other rows. For scores "roc_auc", the
        probability that a poisoned row has a larger score than another row, where equal scores
        count a half. A rate is NaN if there are no rows to measure it on.

    Raises
    ------
    ValueError
        If `flagged` has another shape, or scores that are not finite; if an index is no row, or
        comes twice; or if `confidence` does not lie between 0 and 1.
    TypeError
        If `flagged` has neither booleans nor numbers, or `poison_indices` has no integers.

    Notes
    -----
    The intervals take rows as independent: they are about other rows of the same kind, with this
    net, and not about another net. For rates they are Wilson's. For the ROC-AUC the method 5 of
    [1]_ is used, which gives an interval also where all poisoned rows have larger scores.

    References
    ----------
    .. [1] Newcombe, "Confidence Intervals for an Effect Size Measure Based on the Mann-Whitney
       Statistic. Part 2", Statistics in Medicine 25, 2006.

    Examples
    --------
    >>> import numpy as np
    >>> from skpoison import detection_rates
    >>> flagged = np.arange(100) < 20
    >>> detection_rates(range(10), flagged)["false_positive_rate"]
    0.111 [0.061, 0.193]
    >>> detection_rates(range(10), np.linspace(1, 0, 100))["roc_auc"]
    1.000 [0.890, 1.000]
    """
    confidence = check_confidence(confidence)
    flagged = np.asarray(flagged)
    if flagged.ndim != 1:
        raise ValueError(f"`flagged` must have the shape (n,), got {flagged.shape}")
    is_poisoned = _mask(poison_indices, len(flagged))
    z = float(norm.ppf((1 + confidence) / 2))
    if flagged.dtype == bool:
        return {
            "true_positive_rate": _share(flagged[is_poisoned], z),
            "false_positive_rate": _share(flagged[~is_poisoned], z),
        }
    if flagged.dtype.kind not in "iuf":
        raise TypeError(f"`flagged` must have booleans or numbers, got {flagged.dtype}")
    if not np.isfinite(flagged).all():
        raise ValueError("`flagged` must have finite scores, got NaN or infinity")
    return {"roc_auc": _roc_auc(is_poisoned, flagged, z)}


def _mask(indices, n_rows):
    indices = np.asarray(indices)
    if not indices.size:
        indices = indices.astype(int)
    if indices.ndim != 1 or indices.dtype.kind not in "iu":
        raise TypeError(
            f"`poison_indices` must be integers of shape (n_poisoned,), got {indices.dtype} of "
            f"shape {indices.shape}"
        )
    bad = indices[(indices < 0) | (indices >= n_rows)]
    if len(bad):
        raise ValueError(f"`poison_indices` must be rows from 0 to {n_rows - 1}, got {bad[0]}")
    rows, counts = np.unique(indices, return_counts=True)
    if len(rows) < len(indices):
        twice = rows[counts > 1][0]
        raise ValueError(f"`poison_indices` must be distinct, got {twice} more than once")
    mask = np.zeros(n_rows, dtype=bool)
    mask[rows] = True
    return mask


def _share(hits, z):
    """The share of True, with Wilson's interval."""
    n = len(hits)
    if not n:
        return Rate(math.nan, math.nan, math.nan)
    share = float(hits.mean())
    middle = (share + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * math.sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
    # Rounding must not leave the share outside.
    return Rate(share, max(min(middle - half, share), 0.0), min(max(middle + half, share), 1.0))


def _roc_auc(is_poisoned, scores, z):
    n_poisoned = int(is_poisoned.sum())
    n_others = len(scores) - n_poisoned
    if not (n_poisoned and n_others):
        return Rate(math.nan, math.nan, math.nan)
    auc = float(roc_auc_score(is_poisoned, scores))

    def excess(true):
        """Over 0 where `auc` lies outside of what z standard deviations about `true` hold."""
        other_rows = (n_poisoned + n_others) / 2 - 1
        spread = 1 + other_rows * ((1 - true) / (2 - true) + true / (1 + true))
        variance = true * (1 - true) * spread / (n_poisoned * n_others)
        return (auc - true) ** 2 - z**2 * variance

    # At 0 and 1 the variance is 0, so that they would be roots themselves.
    inside = min(max(auc, _TINY), 1 - _TINY)
    low = brentq(excess, 0, inside) if auc > _TINY else 0.0
    high = brentq(excess, inside, 1) if auc < 1 - _TINY else 1.0
    return Rate(auc, low, high)
