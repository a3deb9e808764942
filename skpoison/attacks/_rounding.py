"""What rounding does to a perturbation, and how a budget holds in spite of it.

The sum of a row and its perturbation is rounded to the dtype of the row. So a row may move farther
than it should: by about a millionth in float32, by much more in float16 or if the budget is tiny.
"""

import numpy as np

from ._parts import parts_of
from ._projections import row_norms

# A budget holds to one part in a million; sums in another order may differ by the other half.
_SLACK = 1 + 5e-7
# A row that does not fit is shrunk by this share, then by twice as much, until it fits.
_FIRST_STEP = 2.0**-23


def moved_by(X, X_new, scale=None):
    """How far each row moved, (n,), measured in float64, in units of the scale of each column."""
    norms = np.empty(len(X))
    for part in parts_of(len(X)):
        moved = np.subtract(X_new[part], X[part], dtype=np.float64)
        norms[part] = row_norms(moved if scale is None else moved / scale)
    return norms


def shrink_to_budget(X, X_new, norms, radius, norm, settle=None, scale=None):
    """Pull rows of `X_new` back towards X until the budget holds; returns the norms then.

    Nothing changes if the budget holds. Otherwise with "l2,inf" the rows outside are shrunk, with
    "l2,1" as many rows as it takes, those first that lose least. `X_new` is changed in place,
    and `norms` are the norms of ``X_new - X`` in units of `scale`. ``settle(X, X_new)`` rounds rows
    in place and never away from X, where columns have narrower dtypes than X or stay whole.
    """
    if norm == "l2,inf":
        rows = np.flatnonzero(norms > radius * _SLACK)
        targets = np.full(len(rows), radius)
    else:
        total = norms.sum()
        rows = np.flatnonzero(norms) if total > radius * _SLACK else np.empty(0, dtype=np.intp)
        targets = norms[rows] * (radius / total) if len(rows) else norms[rows]
    if not len(rows):
        return norms
    factors, shrunk = np.empty(len(rows)), np.empty(len(rows))
    for part in parts_of(len(rows)):
        own = rows[part]
        factors[part], shrunk[part] = _fitting(
            X[own], X_new[own], norms[own], targets[part], settle, scale
        )
    if norm == "l2,1":
        gains = norms[rows] - shrunk
        order = np.argsort(gains, kind="stable")
        enough = np.searchsorted(np.cumsum(gains[order]), norms.sum() - radius) + 1
        chosen = np.sort(order[:enough])
        rows, factors, shrunk = rows[chosen], factors[chosen], shrunk[chosen]
    for part in parts_of(len(rows)):
        own = rows[part]
        X_new[own] = _at(X[own], X_new[own], factors[part], settle)
    norms = norms.copy()
    norms[rows] = shrunk
    return norms


def _fitting(X, X_new, norms, targets, settle, scale):
    """The share of its way that each row may go so as to end within its target, and its norm then.

    A row moves less the smaller the share, feature by feature, and not at all in the end.
    """
    farthest = targets / norms
    factors, shrunk = np.zeros(len(X)), np.zeros(len(X))
    tried, step = np.arange(len(X)), 0.0
    while len(tried) and step < 1:
        share = farthest[tried] * (1 - step)
        moved = moved_by(X[tried], _at(X[tried], X_new[tried], share, settle), scale)
        fits = moved <= targets[tried] * _SLACK
        factors[tried[fits]], shrunk[tried[fits]] = share[fits], moved[fits]
        tried, step = tried[~fits], 2 * step or _FIRST_STEP
    return factors, shrunk


def _at(X, X_new, factors, settle):
    """Rows on the way from X to X_new, rounded to the dtype of X, and then by `settle`."""
    factors = factors.reshape(-1, *[1] * (X.ndim - 1))
    delta = np.subtract(X_new, X, dtype=np.float64)
    rows = (X + factors * delta).astype(X.dtype)
    if settle is not None:
        settle(X, rows)
    return rows
