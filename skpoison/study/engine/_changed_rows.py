"""Which rows an attack has changed, found by comparison."""

import numpy as np


def changed_rows(clean, poisoned):
    """The sorted indices of the rows that differ between two pairs (X, y) of equal length.

    X and y may be arrays of any shape, lists, frames, series or sparse matrices. A missing value
    equals a missing value.
    """
    changed = False
    for old, new in zip(clean, poisoned, strict=True):
        changed = changed | _differs(old, new)
    return np.flatnonzero(changed)


def _differs(old, new):
    """A mask of the rows that differ."""
    is_sparse = [hasattr(rows, "tocsr") for rows in (old, new)]
    if all(is_sparse):
        return _sparse_differs(old.tocsr(), new.tocsr())
    if any(is_sparse):
        old, new = (rows.toarray() if hasattr(rows, "tocsr") else rows for rows in (old, new))
    columns = _columns(old), _columns(new)
    if None not in columns:
        pairs = zip(*columns, strict=True)
        return np.any([_differs(before, after) for before, after in pairs], axis=0)
    before, after = _values(old), _values(new)
    different = before != after
    missing = (before != before) & (after != after)  # NaN is the value that is not itself.
    different = np.asarray(different & ~missing, dtype=bool)
    return different.reshape(len(before), -1).any(axis=1)


def _sparse_differs(old, new):
    rows, columns = (old != new).nonzero()
    before, after = (np.asarray(part[rows, columns]).ravel() for part in (old, new))
    is_missing = (before != before) & (after != after)
    mask = np.zeros(old.shape[0], dtype=bool)
    mask[rows[~is_missing]] = True
    return mask


def _columns(frame):
    """The columns of a frame; None for what is none."""
    if not hasattr(frame, "columns"):
        return None
    if hasattr(frame, "iloc"):
        # By position, since names may be given twice.
        return [frame.iloc[:, j] for j in range(frame.shape[1])]
    return [frame[name] for name in frame.columns]


def _values(rows):
    """An array of rows or of a column; None and NA are NaN."""
    values = np.asarray(rows)
    if values.dtype.kind in "OT":
        flat = [np.nan if _is_missing(value) else value for value in values.ravel()]
        filled = np.empty(len(flat), dtype=object)
        filled[:] = flat
        values = filled.reshape(values.shape)
    return values


def _is_missing(value):
    if value is None:
        return True
    try:
        return bool(value != value)
    except (TypeError, ValueError):
        # The truth of `pandas.NA` is an error; an array as a cell has no single truth.
        return type(value).__name__ == "NAType"
