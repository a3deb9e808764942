"""Which rows and columns of an attack are shown, and what is said about them."""

import math

import numpy as np
from sklearn.utils import column_or_1d

from ..._frames import (
    cells_that_differ,
    is_frame,
    names_of,
    plain_labels,
    rows_that_differ,
    values_of_columns,
)
from ..._validation import check_int
from .._changed_cells import check_rows_and_poisoned
from ._image_grid import pictures_of
from ._moves import differences, moves_of, numbers_or_none


def rows_shown(X, X_poisoned, y, y_poisoned, *, rows, n_rows, n_columns, image_shape):
    """Check the arguments of `PoisonedRowsDisplay.from_rows`; return those of its constructor."""
    X, X_poisoned = check_rows_and_poisoned(X, X_poisoned)
    if 0 in X.shape:
        raise ValueError(f"X must have rows and columns to be shown, got shape {tuple(X.shape)}")
    shape = _check_shape(image_shape, X)
    n_rows = check_int(n_rows, "n_rows", low=1)
    n_columns = check_int(n_columns, "n_columns", low=1)
    rows = _check_positions(rows, X.shape[0])
    y, y_poisoned = _check_labels(y, y_poisoned, X.shape[0])
    moves = moves_of(X, X_poisoned, in_deviations=shape is None)
    changed, by_moves = moves.changed, rows is None and moves.changed.any()
    if y is not None:
        relabelled = rows_that_differ(y, y_poisoned)
        changed = changed | relabelled
    if rows is None:
        rows = _farthest(changed, moves.norms, n_rows)
    shown = {"rows": rows, "norms": moves.norms[rows], "labels": None}
    if y is not None:
        shown["labels"] = [
            f"{y[row]} → {y_poisoned[row]}" if relabelled[row] else f"{y[row]}" for row in rows
        ]
    title = _words(changed[np.unique(rows)], changed, "row", by_moves)
    if shape is None:
        moved = ~np.isnan(moves.units)
        places = _farthest(moved, moves.columns, n_columns)
        if moved.any():
            title += ",\n" + _words(moved[places], moved, "column", True)
        shown |= _table(X, X_poisoned, rows, places, moves)
    else:
        clean, poisoned = (
            pictures_of(_numbers(part, rows, name), shape)
            for part, name in ((X, "X"), (X_poisoned, "X_poisoned"))
        )
        shown |= {"clean": clean, "poisoned": poisoned, "moves": poisoned - clean}
    return {**shown, "title": title.capitalize()}


def _check_shape(image_shape, X):
    """The shape of the image in a row, or None if the rows are a table's."""
    own = tuple(X.shape[1:])
    if image_shape is None:
        shape = own if len(own) > 1 else None
    else:
        try:
            shape = tuple(check_int(side, "image_shape", low=1) for side in image_shape)
        except TypeError:
            raise TypeError(
                f"`image_shape` must be None or a tuple of integers, got {image_shape!r}"
            ) from None
        if math.prod(shape) != math.prod(own):
            raise ValueError(
                f"`image_shape` must have the {math.prod(own)} values of a row of X, got {shape}"
            )
    if shape is not None:
        pictures_of(np.empty((0, math.prod(shape))), shape)
    return shape


def _check_positions(rows, n_rows):
    if rows is None:
        return None
    positions = np.asarray(rows)
    if positions.ndim != 1 or not len(positions) or positions.dtype.kind not in "iu":
        raise TypeError(f"`rows` must be None or positions of rows, one or more, got {rows!r}")
    for position in positions:
        check_int(position, "rows", low=0, high=n_rows - 1)
    return positions


def _check_labels(y, y_poisoned, n_rows):
    """Both as arrays, or None and None."""
    if y is None:
        if y_poisoned is not None:
            raise ValueError("`y_poisoned` must be None where y is None, got labels")
        return None, None
    both = []
    for labels, name in ((y, "y"), (y if y_poisoned is None else y_poisoned, "y_poisoned")):
        labels = column_or_1d(plain_labels(labels))
        if len(labels) != n_rows:
            raise ValueError(
                f"{name} must have a label for each of the {n_rows} rows of X, got {len(labels)}"
            )
        both.append(labels)
    return both


def _farthest(changed, norms, n_most):
    """The positions of what moved farthest, the first of equals first; of what changed, if any."""
    order = np.lexsort((~changed, -norms))[:n_most]
    return order[changed[order]] if changed.any() else order


def _words(shown, changed, thing, by_moves):
    """Which of the changed rows, say, are shown, and whether they were chosen by their moves."""
    n_shown, n_changed = int(shown.sum()), int(changed.sum())
    if not n_changed:
        return f"no changed {thing}s"
    if n_shown == n_changed:
        return f"all {n_changed} changed {thing}s" if n_shown > 1 else f"the only changed {thing}"
    if not by_moves:
        return f"{n_shown} of {n_changed} changed {thing}s"
    first = f"{n_shown} farthest" if n_shown > 1 else "farthest"
    return f"the {first} of {n_changed} changed {thing}s"


def _table(X, X_poisoned, rows, places, moves):
    """The arguments of the constructor that tell of some cells of a table."""
    clean, poisoned = (_cells(part, rows, places) for part in (X, X_poisoned))
    sizes = np.zeros(clean.shape)
    for lines, columns, before, after in cells_that_differ(clean, poisoned):
        sizes[lines, columns] = differences(before, after) / moves.units[places[columns]]
    names = names_of(X) if is_frame(X) else [f"column {place}" for place in range(X.shape[1])]
    return {
        "clean": clean,
        "poisoned": poisoned,
        "moves": sizes,
        "columns": [str(names[place]) for place in places],
        "column_norms": moves.columns[places],
    }


def _cells(X, rows, places):
    cells = np.empty((len(rows), len(places)), dtype=object)
    for column, values in enumerate(values_of_columns(X, places, rows)):
        cells[:, column] = values
    return cells


def _numbers(X, rows, name):
    """Some rows, flattened, as numbers."""
    numbers = np.empty((len(rows), math.prod(X.shape[1:])))
    for place, values in enumerate(values_of_columns(X, range(numbers.shape[1]), rows)):
        cells = numbers_or_none(values)
        if cells is None:
            column = names_of(X)[place] if is_frame(X) else place
            raise ValueError(
                f"{name} must hold numbers to be shown as images, but column {column!r} does not"
            )
        numbers[:, place] = cells
    return numbers
