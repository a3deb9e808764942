"""Which columns a parameter such as `columns` selects."""

import math

import numpy as np

from .._frames import is_frame, names_of, numeric_places


def positions_of(columns, X, name):
    """Return the positions of the columns that the parameter `name` selects, (k,), as it has them.

    `columns` are names, positions, a mask, or a function of X that returns one of these. For rows
    of several axes, positions are those in the flattened row, and a mask may have a row's shape.
    None: the numeric columns of a frame, all columns of an array.
    """
    n_columns = len(names_of(X)) if is_frame(X) else math.prod(np.shape(X)[1:])
    if columns is None:
        return np.array(numeric_places(X) if is_frame(X) else range(n_columns), dtype=np.intp)
    if callable(columns):
        columns = columns(X)
    if isinstance(columns, str):
        columns = [columns]
    try:
        chosen = np.ravel(np.asarray(columns))
    except ValueError:  # Lists of several lengths.
        chosen = np.array([columns], dtype=object)
    if not chosen.size:
        return np.empty(0, dtype=np.intp)
    if chosen.dtype.kind == "b":
        if len(chosen) != n_columns:
            raise ValueError(
                f"`{name}` must have an entry for each of the {n_columns} columns of X if it is a "
                f"mask, got {len(chosen)}"
            )
        return np.flatnonzero(chosen)
    if chosen.dtype.kind in "iu":
        places = _checked_positions(chosen, n_columns, name)
    elif all(isinstance(label, str) for label in chosen):
        places = _places_of_names(chosen, X, name)
    else:
        raise TypeError(
            f"`{name}` must be None, names, positions, a mask or a function of X that returns one "
            f"of these, got {columns!r}"
        )
    if len(set(places.tolist())) < len(places):
        raise ValueError(f"`{name}` must name each column once, got {columns!r}")
    return places


def _checked_positions(chosen, n_columns, name):
    outside = chosen[(chosen < -n_columns) | (chosen >= n_columns)]
    if len(outside):
        raise ValueError(
            f"`{name}` must be positions from {-n_columns} to {n_columns - 1}, "
            f"got {outside.tolist()}"
        )
    return np.where(chosen < 0, chosen + n_columns, chosen).astype(np.intp)


def _places_of_names(chosen, X, name):
    if not is_frame(X):
        raise ValueError(
            f"`{name}` must be positions or a mask where X is no frame, got {chosen.tolist()}"
        )
    known = names_of(X)
    unknown = [label for label in chosen.tolist() if label not in known]
    if unknown:
        raise ValueError(f"`{name}` must name columns of X, got {unknown}")
    return np.array([known.index(label) for label in chosen.tolist()], dtype=np.intp)
