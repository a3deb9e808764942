"""The cells of X that an attack on features may move: in which unit, and between which sides."""

import math
from collections.abc import Mapping, Set
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from sklearn.preprocessing import StandardScaler

from .._frames import is_frame, like, names_of, rows_that_differ
from .._validation import check_interval, check_rows, note_rows
from .._warnings import warn_caller
from ._columns import positions_of
from ._parts import parts_of

SCALES = ("std", "iqr")


@dataclass(frozen=True, eq=False)
class Cells:
    """The cells of some rows that an attack may move, as finite numbers in raw units.

    Attributes
    ----------
    X : array or frame
        The rows, all columns: what a surrogate is fitted on. An array holds floats.
    rows : ndarray of shape (n, k), or of the shape of X
        The columns that may move. A missing cell holds the mean of its column.
    places : ndarray of int of shape (k,), or None
        Their positions in a row. None: all columns of an array, and `rows` have its shape.
    missing : ndarray of bool of the shape of rows, or None
        Which cells are missing; None: none is.
    scale : ndarray of float of shape (k,), or None
        The unit of each column; None: 1.
    box : tuple of two floats or two ndarrays of shape (k,), or None
        The lowest and the highest value of each column, in raw units.
    whole : ndarray of bool of shape (k,), or None
        Which columns stay at whole numbers.
    """

    X: Any
    rows: np.ndarray
    places: np.ndarray | None = None
    missing: np.ndarray | None = None
    scale: np.ndarray | None = None
    box: tuple | None = None
    whole: np.ndarray | None = None

    def __len__(self):
        return len(self.rows)

    @property
    def are_whole_rows(self):
        """Whether `rows` are X itself, as numbers: every column, in order and in raw units."""
        if self.places is None:
            return True
        shape = self.X.shape
        is_all = len(shape) == 2 and np.array_equal(self.places, np.arange(shape[1]))
        return is_all and self.scale is None and self.missing is None

    def in_units(self):
        """The rows in units of the scale."""
        return self.rows if self.scale is None else self.rows / self.scale.astype(self.rows.dtype)

    def box_in_units(self):
        """The box in units of the scale, or None."""
        if self.box is None or self.scale is None:
            return self.box
        low, high = self.box
        with np.errstate(over="ignore"):  # A side that is too far is none.
            return low / self.scale, high / self.scale

    def moved_by(self, delta, out):
        """Write the rows, moved by a perturbation in units of the scale, into `out`.

        The perturbation is 0 in missing cells.
        """
        with np.errstate(over="ignore"):
            moved = delta if self.scale is None else delta * self.scale
            np.add(self.rows, moved, out=out, casting="same_kind")

    def keep_in_box(self, rows):
        """Clip rows in place."""
        limits = np.finfo(rows.dtype)
        box = (limits.min, limits.max) if self.box is None else self.box
        box = [np.asarray(side, dtype=rows.dtype) for side in box]
        for part in parts_of(len(rows)):
            np.clip(rows[part], *box, out=rows[part])

    def settling(self, narrow=None):
        """A function (clean, rows) that rounds rows in place, never away from the clean ones.

        First `narrow` rounds them, where it is given; then the columns that stay whole. None if
        nothing is rounded.
        """
        if self.whole is None:
            return narrow and (lambda clean, rows: narrow(rows))
        whole = self.whole

        def settle(clean, rows):
            if narrow is not None:
                narrow(rows)
            own = clean[:, whole]
            rows[:, whole] = own + np.trunc(rows[:, whole] - own)

        return settle

    def without_stuck(self, radius):
        """The cells without the whole columns in which a step of 1 is longer than the radius.

        If no other column is there, all stay.
        """
        if self.whole is None:
            return self
        is_stuck = self.whole & (self._unit_steps() > radius)
        return self.without(is_stuck) if is_stuck.any() and not is_stuck.all() else self

    def lost_by_rounding(self):
        """How long the part of a row's perturbation can be that whole columns do not take."""
        return 0.0 if self.whole is None else float(np.linalg.norm(self._unit_steps()[self.whole]))

    def _unit_steps(self):
        """The length of a step of 1 in each column, in units of the scale."""
        return np.ones(len(self.whole)) if self.scale is None else 1 / self.scale

    def put_into(self, rows, X):
        """Write rows of these columns into an array of all columns; missing cells stay missing."""
        rows = self.with_missing(rows)
        if self.places is None:
            X[...] = rows
        else:
            flat = X.reshape(len(X), -1)
            flat[:, self.places] = rows

    def given_back(self, rows, X):
        """Return `rows` in the container of the given X, and which of them changed, (n,).

        A cell of `rows` that is NaN, where it was missing before, stays as it was.
        """
        before = self.with_missing(self.rows)
        moved = rows_that_differ(rows, before)
        if is_frame(X):
            return like(rows, X, before, moved, self.all_places()), moved
        if self.places is None:
            return like(rows, X, before, moved), moved
        every = self.X.copy()
        every.reshape(len(every), -1)[:, self.places] = rows
        return like(every, X, self.X, moved), moved

    def all_places(self):
        """The positions of the columns that may move, where all may."""
        return np.arange(self.rows.shape[1]) if self.places is None else self.places

    def with_missing(self, rows):
        """The rows with NaN in missing cells."""
        return rows if self.missing is None else np.where(self.missing, np.nan, rows)

    def without(self, is_held):
        """The cells without the columns that must stay."""
        shape, kept = self.rows.shape[1:], ~np.ravel(is_held)
        places = np.arange(math.prod(shape)) if self.places is None else self.places

        def own(values):
            if values is None or not np.ndim(values):
                return values
            return np.broadcast_to(values, (*np.shape(values)[:-1], len(kept)))[..., kept]

        rows = own(self.rows.reshape(len(self), -1))
        rows.flags.writeable = False
        return Cells(
            self.X,
            rows,
            places[kept],
            own(self.missing),
            own(self.scale),
            self.box and tuple(own(side) for side in self.box),
            own(self.whole),
        )

    def take(self, index):
        """The cells of some of the rows; they have no X."""
        missing = None if self.missing is None else self.missing[index]
        return replace(self, X=None, rows=self.rows[index], missing=missing)


def cells_of(estimator, X, *, columns, clip, scale=None, whole=None):
    """Check X, and return the cells that may move by these parameters of an attack.

    The estimator learns the shape and the names of X.
    """
    is_plain = columns is None and scale is None and whole is None
    rows, places, X = _chosen_rows(estimator, X, columns, is_plain)
    names = _Names(X, places)
    rows, missing = _filled(rows)
    if missing is not None and places is None:
        places = np.arange(rows[0].size)
    shape = rows.shape[1:] if places is None else (len(places),)
    rows = rows.reshape(len(rows), *shape)
    missing = None if missing is None else missing.reshape(rows.shape)
    whole = _whole_columns(whole, X, rows, missing, places, names)
    box = _box_of(check_clip(clip), rows, missing, whole, names)
    scale = _scale_of(scale, rows, missing, names)
    rows = rows.view()
    rows.flags.writeable = False  # They may be the caller's.
    cells = Cells(X, rows, places, missing, scale, box, whole)
    if scale is None or scale.all():
        return cells
    if not scale.any():
        raise ValueError(
            "`scale` must be over 0 in a column that `columns` selects, got 0 in all of them"
        )
    return cells.without(scale == 0)


def cells_like(cells, estimator, X, clip):
    """The same columns of other rows, in the same units; they must lie in `clip`, too."""
    if is_frame(X):
        note_rows(estimator, X, reset=False)
        places = range(len(names_of(X))) if cells.places is None else cells.places
        rows = check_rows(estimator, X, reset=False, places=places, allow_missing=True)
    else:
        X = rows = check_rows(estimator, X, reset=False, allow_missing=True)
        if cells.places is not None:
            rows = rows.reshape(len(rows), -1)[:, cells.places]
    names = _Names(X, cells.places)
    rows, missing = _filled(rows.astype(cells.rows.dtype, copy=False))
    clip = check_clip(clip)
    if clip is not None and not isinstance(clip, str):
        _box_of(cells.box if np.ndim(clip[0]) else clip, rows, missing, None, names)
    return replace(cells, X=X, rows=rows, missing=missing)


def _chosen_rows(estimator, X, columns, is_plain):
    """The columns that `columns` selects as floats, their positions or None, and all columns."""
    if is_frame(X):
        note_rows(estimator, X, reset=True)
        places = positions_of(columns, X, "columns")
        if not len(places):
            raise ValueError(
                "`columns` must select a numeric column of X, got none (by default these are the "
                "columns of integers and floats; booleans are none)"
            )
        return check_rows(estimator, X, reset=True, places=places, allow_missing=True), places, X
    X = check_rows(estimator, X, reset=True, allow_missing=True)
    if is_plain:
        return X, None, X
    places = positions_of(columns, X, "columns")
    if not len(places):
        raise ValueError(f"`columns` must select a column of X, got {columns!r}")
    rows = X.reshape(len(X), -1)
    return (rows if columns is None else rows[:, places]), places, X


class _Names:
    """What an error calls a column: its name in a frame, its position in an array."""

    def __init__(self, X, places):
        self.names = names_of(X) if is_frame(X) else None
        self.places = places

    def __getitem__(self, i):
        place = i if self.places is None else int(self.places[i])
        return repr(place if self.names is None else self.names[place])


def _filled(rows):
    """Rows with the mean of its column in each missing cell, and which cells are missing or None.

    A column that has nothing but missing cells is filled with 0.
    """
    if not any(np.isnan(rows[part].min()) for part in parts_of(len(rows))):
        return rows, None
    missing = np.isnan(rows)
    counts = np.maximum((~missing).sum(axis=0), 1)
    means = np.where(missing, 0, rows).sum(axis=0, dtype=np.float64) / counts
    return np.where(missing, means.astype(rows.dtype), rows), missing


def check_clip(clip):
    """Return `clip` as None, "range", two floats, or two arrays of floats."""
    if clip is None or (isinstance(clip, str) and clip == "range"):
        return clip
    is_list = hasattr(clip, "__len__") and not isinstance(clip, (str, Mapping, Set))
    if not is_list or len(clip) != 2:
        raise ValueError(f"`clip` must be None, 'range' or a pair (low, high), got {clip!r}")
    if not (np.ndim(clip[0]) or np.ndim(clip[1])):
        return check_interval(clip, "clip")
    low, high = (_array_of_floats(side, f"clip[{i}]") for i, side in enumerate(clip))
    low, high = np.broadcast_arrays(low, high) if 0 in (low.ndim, high.ndim) else (low, high)
    if low.shape != high.shape:
        raise ValueError(f"`clip` must have sides of one shape, got {low.shape} and {high.shape}")
    if np.isnan(low).any() or np.isnan(high).any() or not (low <= high).all():
        raise ValueError("`clip` must have low <= high in each column, got others")
    return low, high


def check_scale(scale):
    """Return `scale` as None, "std", "iqr" or an array of floats >= 0."""
    if scale is None:
        return None
    if isinstance(scale, str):
        if scale not in SCALES:
            raise ValueError(f"`scale` must be None, 'std', 'iqr' or an array, got {scale!r}")
        return scale
    scale = _array_of_floats(scale, "scale")
    bad = scale[~(np.isfinite(scale) & (scale >= 0))]
    if len(bad):
        raise ValueError(f"`scale` must be finite and >= 0, got {bad[0]}")
    return scale


def _array_of_floats(values, name):
    try:
        if np.iscomplexobj(values):
            raise TypeError
        return np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError):
        raise TypeError(f"`{name}` must be an array of numbers, got {values!r}") from None


def _for_each_column(values, shape, name):
    """An array of one value for each column, in the shape of a row of the columns that may move."""
    if values.size != math.prod(shape):
        raise ValueError(
            f"`{name}` must have a value for each of the {math.prod(shape)} columns that may "
            f"change, got {values.size}"
        )
    return values.reshape(shape)


def _box_of(clip, rows, missing, whole, names):
    """The sides of the box, widened to hold rows that leave it by a rounding error."""
    shape = rows.shape[1:]
    if clip is None or isinstance(clip, str):
        low, high = rows.min(axis=0), rows.max(axis=0)
        if clip is None:
            low, high = np.full(shape, -np.inf), np.full(shape, np.inf)
    elif np.ndim(clip[0]):
        low, high = (_for_each_column(side, shape, "clip") for side in clip)
        _check_inside_columns(rows, missing, low, high, names)
        low, high = np.minimum(low, rows.min(axis=0)), np.maximum(high, rows.max(axis=0))
    else:
        low, high = clip
        _check_inside_columns(rows, missing, low, high, names)
        # A column without a value, which is filled with 0, may lie elsewhere.
        own = rows if missing is None else rows[:, ~missing.all(axis=0)]
        low, high = min(low, own.min(initial=low)), max(high, own.max(initial=high))
        low, high = float(low), float(high)
    if whole is not None:
        is_zero_or_one = np.isin(rows, (0, 1))
        if missing is not None:
            is_zero_or_one |= missing
        is_flag = whole & is_zero_or_one.all(axis=0)
        low = np.where(is_flag, np.maximum(low, 0), low)
        high = np.where(is_flag, np.minimum(high, 1), high)
    return None if clip is None and whole is None else (low, high)


def _check_inside_columns(rows, missing, low, high, names):
    """Raise unless rows lie between the sides; a scaler to [0, 1] may give 1.0000000000000002."""
    largest = np.maximum(*(np.where(np.isfinite(side), np.abs(side), 0) for side in (low, high)))
    slack = 8 * np.finfo(rows.dtype).eps * largest
    lowest, highest = rows.min(axis=0), rows.max(axis=0)
    is_outside = (lowest < low - slack) | (highest > high + slack)
    is_full = np.ones(lowest.shape, dtype=bool) if missing is None else ~missing.all(axis=0)
    is_outside &= is_full
    if not is_outside.any():
        return
    if np.ndim(low):
        i = int(np.flatnonzero(is_outside)[0])
        sides, found = (low.flat[i], high.flat[i]), (lowest.flat[i], highest.flat[i])
        what = f"but column {names[i]} has"
    else:
        sides, found, what = (low, high), (lowest[is_full].min(), highest[is_full].max()), "got"
    raise ValueError(
        f"X must lie inside `clip` = ({float(sides[0])}, {float(sides[1])}), {what} values from "
        f"{float(found[0]):.6g} to {float(found[1]):.6g}; scale X or set `clip`, for instance to "
        "'range', the range of each column"
    )


def _scale_of(scale, rows, missing, names):
    """The unit of each column; 0 for one that must stay. None: all are 1."""
    scale = check_scale(scale)
    if scale is None:
        return None
    if not isinstance(scale, str):
        return _for_each_column(scale, rows.shape[1:], "scale")
    values = rows.astype(np.float64)
    if missing is not None:
        # A column without a value is filled with 0, and so has no scale.
        values[missing & ~missing.all(axis=0)] = np.nan
    if scale == "std":
        # Squares of tiny and huge units have no place in float64. Powers of two round nothing.
        largest = np.maximum(-np.nanmin(values, axis=0), np.nanmax(values, axis=0))
        _, exponents = np.frexp(largest)
        scaler = StandardScaler().fit(np.ldexp(values, -exponents, out=values))
        # It divides a column that is constant, but for rounding, by 1.
        own = np.where(np.isclose(scaler.scale_**2, scaler.var_), scaler.scale_, 0.0)
        own = np.ldexp(own, exponents)
    else:
        low, high = np.nanpercentile(values, (25, 75), axis=0)
        own = high - low
    own = np.where(np.isfinite(own), own, 0.0)
    stuck = np.flatnonzero((own == 0) & (rows.min(axis=0) < rows.max(axis=0)))
    if len(stuck):
        columns = ", ".join(names[i] for i in stuck)
        warn_caller(
            f"`scale` = {scale!r} is 0 in a column that is not constant, so the attack leaves it "
            f"as it is: {columns}",
            UserWarning,
        )
    return own


def _whole_columns(whole, X, rows, missing, places, names):
    """Which of the columns that may move stay at whole numbers, or None."""
    if whole is None:
        return None
    own = positions_of(whole, X, "whole")
    others = np.setdiff1d(own, places)
    if len(others):
        every = _Names(X, None)
        raise ValueError(
            "`whole` must select columns that may change, got also "
            f"{', '.join(every[int(place)] for place in others)}"
        )
    is_whole = np.isin(places, own)
    fractions = (rows != np.trunc(rows)) & is_whole
    if missing is not None:
        fractions &= ~missing
    if fractions.any():
        i = int(np.flatnonzero(fractions.any(axis=0))[0])
        got = rows[fractions[:, i], i][0]
        raise ValueError(
            f"`whole` must select columns of whole numbers, but column {names[i]} has {got:g}"
        )
    return is_whole
