"""How far rows and columns move under an attack."""

from dataclasses import dataclass
from decimal import Decimal
from numbers import Real

import numpy as np

from ..._frames import cells_that_differ, values_of_columns


@dataclass
class Moves:
    """How far the cells, rows and columns of X move.

    Attributes
    ----------
    units : ndarray of shape (d,)
        The unit in which the moves of each column are measured; NaN for a column without a move.
    norms : ndarray of shape (n,)
        Euclidean norm of the move of each row.
    columns : ndarray of shape (d,)
        Root of the mean square of the moves of each column, over all rows.
    changed : ndarray of bool of shape (n,)
        Whether a cell of the row changed.
    """

    units: np.ndarray
    norms: np.ndarray
    columns: np.ndarray
    changed: np.ndarray


def moves_of(X, X_poisoned, *, in_deviations):
    """Measure moves in standard deviations of the clean columns, or in the units of X.

    A constant column has the unit 1, as in `StandardScaler`. A change that is no difference of
    numbers (of text, say, or of a missing cell) counts as a move by one unit.
    """
    n_rows, n_columns = X.shape[0], int(np.prod(X.shape[1:]))
    units = np.full(n_columns, np.nan)
    by_row, by_column = np.zeros(n_rows), np.zeros(n_columns)
    changed = np.zeros(n_rows, dtype=bool)
    for rows, places, clean, poisoned in cells_that_differ(X, X_poisoned):
        new = np.unique(places[np.isnan(units[places])])
        units[new] = (
            [_deviation(values) for values in values_of_columns(X, new, None)]
            if in_deviations
            else 1.0
        )
        moves = differences(clean, poisoned) / units[places]
        with np.errstate(over="ignore"):
            squares = np.where(np.isnan(moves), 1.0, moves) ** 2
        by_row += np.bincount(rows, squares, n_rows)
        by_column += np.bincount(places, squares, n_columns)
        changed[rows] = True
    return Moves(units, np.sqrt(by_row), np.sqrt(by_column / max(1, n_rows)), changed)


def differences(clean, poisoned):
    """The differences of two arrays of cells; NaN where they are no difference of numbers."""
    ends = [numbers_or_none(cells) for cells in (clean, poisoned)]
    if any(end is None for end in ends):
        return np.full(clean.shape, np.nan)
    with np.errstate(invalid="ignore", over="ignore"):
        return ends[1] - ends[0]


def numbers_or_none(cells):
    """An array of cells as float64, missing ones NaN; None if they are no numbers."""
    if cells.dtype.kind in "biuf":
        return cells.astype(np.float64)
    is_number = cells.dtype.kind == "O" and all(
        cell is None or isinstance(cell, (Real, Decimal)) for cell in cells.ravel().tolist()
    )
    return cells.astype(np.float64) if is_number else None


def _deviation(values):
    numbers = numbers_or_none(values)
    finite = np.zeros(0) if numbers is None else numbers[np.isfinite(numbers)]
    if not len(finite) or finite.min() == finite.max():
        return 1.0  # Rounding may leave a constant column a deviation.
    with np.errstate(over="ignore"):
        deviation = np.std(finite)
    return deviation if 0 < deviation < np.inf else 1.0
