"""The cells that an attack has changed, as a table."""

from typing import Any

import numpy as np

from .._frames import cells_that_differ, is_frame, is_sparse, names_of
from .._typing import Rows


def changed_cells(X: Rows, X_poisoned: Rows) -> Any:
    """Return a table with one line for each cell that an attack has changed.

    It takes what attacks take: arrays of rows ``(d,)`` or images ``(c, h, w)``, lists of rows,
    frames of pandas, polars or pyarrow, and sparse rows of scipy.

    Parameters
    ----------
    X : array-like, frame or sparse matrix of shape (n, d), or array-like of shape (n, c, h, w)
        Clean rows.
    X_poisoned : of the kind and shape of X
        The rows in the same order after an attack, such as the first value of ``attack.poison(X,
        y)``. A frame may be of another library than X.

    Returns
    -------
    cells : pandas.DataFrame
        One line for each changed cell, in the order of rows and then of columns. Its columns are:

        - ``row``: the position of the row in X, from 0;
        - ``column``: the name of the column of a frame. For arrays and sparse rows it is the
          position, from 0; for images the position in ``X.reshape(len(X), -1)``, which
          ``np.unravel_index(column, X.shape[1:])`` turns into channel, line and pixel;
        - ``clean`` and ``poisoned``: the value in X and in X_poisoned. If the changed cells have
          several kinds, such as numbers and text, these columns hold Python objects.

    Raises
    ------
    TypeError
        If one of the two is a frame or sparse and the other is not.
    ValueError
        If shapes or names of columns differ, or if X has fewer than two axes.

    Notes
    -----
    A missing cell (None, NaN, pandas' NA, a null) equals another missing cell, and a category
    equals the same label of any type. In the result a missing cell is NaN or None. Beside X, the
    function needs memory for a few copies of the result, and for the comparison of a part of X: a
    column of a frame, or some rows of an array.

    Examples
    --------
    >>> import numpy as np
    >>> from skpoison import changed_cells
    >>> X = np.array([[0.0, 0.5], [1.0, 0.5], [0.0, 0.5]])
    >>> X_poisoned = np.array([[0.0, 0.5], [1.0, 0.75], [0.25, 0.5]])
    >>> changed_cells(X, X_poisoned)
       row  column  clean  poisoned
    0    1       1    0.5      0.75
    1    2       0    0.0      0.25
    """
    import pandas as pd

    X, X_poisoned = check_rows_and_poisoned(X, X_poisoned)
    parts = list(cells_that_differ(X, X_poisoned))
    rows, places, clean, poisoned = zip(*parts, strict=True) if parts else ([], [], [], [])
    rows, places = _joined(rows, np.intp), _joined(places, np.intp)
    # A stable order keeps the columns of a row in theirs.
    order = np.argsort(rows, kind="stable")
    cells = {
        "row": rows[order],
        "column": _column_names(X, places[order]),
        "clean": _joined(clean, _dtype_of(X))[order],
        "poisoned": _joined(poisoned, _dtype_of(X_poisoned))[order],
    }
    return pd.DataFrame(cells)


def check_rows_and_poisoned(X, X_poisoned):
    """Return X and X_poisoned, lists as arrays, or raise unless they have the same cells."""
    X, X_poisoned = _as_rows(X, "X"), _as_rows(X_poisoned, "X_poisoned")
    kinds = [_kind_of(rows) for rows in (X, X_poisoned)]
    if kinds[0] != kinds[1]:
        raise TypeError(
            f"X_poisoned must be {kinds[0]}, as X is, got an instance of "
            f"{type(X_poisoned).__name__}"
        )
    if X.shape != X_poisoned.shape:
        raise ValueError(
            f"X_poisoned must have the shape of X, {tuple(X.shape)}, got {tuple(X_poisoned.shape)}"
        )
    if is_frame(X):
        for place, (name, other) in enumerate(zip(names_of(X), names_of(X_poisoned), strict=True)):
            if name != other:
                raise ValueError(
                    "X_poisoned must have the columns of X in their order: column "
                    f"{place} must be {name!r}, got {other!r}"
                )
    return X, X_poisoned


def _as_rows(X, name):
    rows = X
    if not is_frame(X) and not is_sparse(X):
        try:
            rows = np.asarray(X)
        except ValueError as error:
            raise ValueError(f"{name} must have rows of one length: {error}") from None
        if rows.dtype.kind in "US" and not hasattr(X, "dtype"):
            rows = np.asarray(X, dtype=object)  # numpy makes texts of the numbers beside texts.
    if len(rows.shape) < 2:
        raise ValueError(f"{name} must have two axes or more, got shape {tuple(rows.shape)}")
    return rows


def _kind_of(rows):
    return "a frame" if is_frame(rows) else "sparse" if is_sparse(rows) else "an array"


def _column_names(X, places):
    """The names of the columns at `places`; of rows without names, their positions."""
    if not is_frame(X):
        return places
    # A name of pandas may be a tuple.
    return np.fromiter(names_of(X), dtype=object, count=X.shape[1])[places]


def _dtype_of(X):
    """The dtype of an array; of a frame, whose columns have their own, that of objects."""
    return np.dtype(object) if is_frame(X) else X.dtype


def _joined(parts, dtype):
    """Arrays as one, in a dtype that holds all their values; `dtype` if there are none."""
    kinds = {part.dtype for part in parts}
    if len(kinds) > 1 and all(kind.kind in "iuf" for kind in kinds):
        common = np.result_type(*kinds)
        joined = np.concatenate(parts, dtype=common)
        # A float may not hold a large integer.
        with np.errstate(invalid="ignore"):
            ends = np.cumsum([len(part) for part in parts])[:-1]
            pieces = zip(np.split(joined, ends), parts, strict=True)
            if all((own.astype(part.dtype) == part)[part == part].all() for own, part in pieces):
                return joined
    if len(kinds) > 1:
        return np.concatenate([part.astype(object) for part in parts])
    return np.concatenate(parts) if parts else np.empty(0, dtype=dtype)
