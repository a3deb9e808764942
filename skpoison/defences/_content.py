"""The content of cells as bytes, by value: what a hash of a row sees.

A number is the eight bytes of its float64, so that 1, 1.0 and True are one value, and so are 0.0
and -0.0. All missing cells (None, NaN, NA, NaT) are the float64 NaN. Any other cell starts with a
NaN of another payload, which says its kind.
"""

import struct
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from itertools import groupby
from numbers import Real

import numpy as np

_MISSING = struct.pack("<d", np.nan)
_TEXT, _BYTES, _INSTANT, _DURATION, _TIME, _INTERVAL, _PERIOD = (
    struct.pack("<Q", int.from_bytes(_MISSING, "little") + kind) for kind in range(1, 8)
)


def as_numbers(values):
    """A copy of an array of numbers as float64, with one zero and one NaN."""
    return with_one_zero(values.astype("<f8"))


def with_one_zero(values):
    """A copy of an array of floats with 0.0 for -0.0, and one NaN: equal values, equal bytes."""
    values = values + values.dtype.type(0)
    return np.where(np.isnan(values), values.dtype.type(np.nan), values)


def contents_of_numbers(values):
    """The content of each row of an array of floats with one zero and one NaN."""
    return [row.astype("<f8").tobytes() for row in values]


def contents_of_rows(columns, names):
    """The content of each row of a table: the contents of its cells, one after another.

    Parameters
    ----------
    columns : list
        For each column an array of numbers or dates, a list of Python objects, or the contents
        of its cells as a tuple of bytes.
    names : list
        Names of the columns, for the error.

    Raises
    ------
    TypeError
        If a cell has no value to compare by.
    """
    pieces = []
    # Columns of numbers are read together, since a table may have hundreds.
    for are_numbers, run in groupby(zip(columns, names, strict=True), lambda c: _are_numbers(c[0])):
        if are_numbers:
            numbers = np.stack([as_numbers(column) for column, _ in run], axis=1)
            pieces.append(contents_of_numbers(numbers))
        else:
            pieces.extend(
                column if isinstance(column, tuple) else contents_of_cells(column, name)
                for column, name in run
            )
    return [b"".join(cells) for cells in zip(*pieces, strict=True)]


def contents_of_cells(cells, name):
    """The content of each cell of a column, as a tuple: an array of dates, or a list of objects."""
    if isinstance(cells, np.ndarray):
        return _contents_of_times(cells)
    known = {}
    return tuple(_content(cell, known, name) for cell in cells)


def _are_numbers(column):
    return isinstance(column, np.ndarray) and column.dtype.kind in "biuf"


def is_missing(cell):
    if cell is None or type(cell).__name__ in ("NAType", "NaTType"):
        return True
    if isinstance(cell, (np.datetime64, np.timedelta64)):
        return bool(np.isnat(cell))
    return isinstance(cell, (float, np.floating, Decimal)) and bool(cell != cell)


def _content(cell, known, name):
    try:
        # By type too: in numpy 2.0 an hour equals the number 1.
        key = type(cell), cell
        found = known.get(key)
        if found is None:
            found = known[key] = _content_of(cell)
    except TypeError:
        raise TypeError(
            "X must have cells that are numbers, texts, dates or missing, got a "
            f"{type(cell).__name__} in column {name!r} (argument must be a string or a number)"
        ) from None
    return found


def _content_of(cell):
    if isinstance(cell, str):
        return _framed(_TEXT, cell.encode("utf-8", "surrogatepass"))
    if is_missing(cell):
        return _MISSING
    if isinstance(cell, (np.datetime64, np.timedelta64)):
        return _contents_of_times(np.array([cell]))[0]
    if isinstance(cell, (Real, np.bool_, Decimal)):
        return as_numbers(np.array(_as_float(cell))).tobytes()
    if isinstance(cell, bytes):
        return _framed(_BYTES, cell)
    if hasattr(cell, "to_datetime64"):
        return _content_of(cell.to_datetime64())  # pandas' Timestamp, in UTC.
    if hasattr(cell, "to_timedelta64"):
        return _content_of(cell.to_timedelta64())
    if isinstance(cell, datetime) and cell.tzinfo is not None:
        cell = cell.astimezone(UTC).replace(tzinfo=None)
    if isinstance(cell, date):
        return _content_of(np.datetime64(cell))
    if isinstance(cell, timedelta):
        return _content_of(np.timedelta64(cell))
    if isinstance(cell, time) and cell.tzinfo is None:
        return _framed(_TIME, cell.isoformat().encode())
    if hasattr(cell, "closed_left"):  # pandas' Interval, a label that `pandas.cut` gives.
        ends = _content_of(cell.left) + _content_of(cell.right)
        return _framed(_INTERVAL, ends + cell.closed.encode())
    if hasattr(cell, "freqstr"):  # pandas' Period.
        return _framed(_PERIOD, str((cell.freqstr, cell.ordinal)).encode())
    raise TypeError


def _framed(kind, content):
    return kind + struct.pack("<q", len(content)) + content


def _as_float(number):
    try:
        return float(number)
    except OverflowError:  # An int or a fraction that no float can hold.
        return np.inf if number > 0 else -np.inf


def _contents_of_times(values):
    """Instants and durations: whole seconds and nanoseconds, whatever the unit of the array."""
    kind = values.dtype.kind
    seconds = values.astype(f"{kind}8[s]")
    rest = (values - seconds).astype("m8[ns]")
    mark = _INSTANT if kind == "M" else _DURATION
    pairs = np.stack([seconds.view("i8"), rest.view("i8")], axis=1).astype("<i8")
    return tuple(
        _MISSING if is_nat else mark + pair.tobytes()
        for is_nat, pair in zip(np.isnat(values), pairs, strict=True)
    )
