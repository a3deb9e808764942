"""Frames of any library, and labels in any container, taken apart and put together.

A frame is a table in memory that narwhals can read: of pandas, polars, pyarrow or another library.
This module imports none of these libraries.
"""

import math
from collections.abc import Mapping

import narwhals.stable.v2 as nw
import numpy as np
from scipy.sparse import issparse
from sklearn.utils.validation import _num_samples

# Rows, and cells of an array, that are compared at a time, so that the comparison needs memory for
# these only.
_PART = 4096
_PART_CELLS = 2**18


def is_frame(X):
    """Whether X is a frame, of whichever library."""
    # Arrays are most of what is asked about, and narwhals asks each library in turn.
    return type(X) is not np.ndarray and nw.dependencies.is_into_dataframe(X)


def is_series(y):
    """Whether y is a column of a frame, of whichever library."""
    return type(y) is not np.ndarray and nw.dependencies.is_into_series(y)


def is_sparse(X):
    """Whether X is a sparse array or matrix of scipy."""
    return issparse(X)


def is_dict_of_parts(X):
    """Whether X is a dict whose values have the rows, as skorch takes it."""
    return isinstance(X, Mapping) and not hasattr(X, "shape")  # Some sparse arrays are mappings.


def count_rows(X):
    """The number of rows of X in any container; of a dict, the number of rows of its values."""
    if is_dict_of_parts(X):
        counts = {name: count_rows(part) for name, part in X.items()}
        if len(set(counts.values())) != 1:
            raise ValueError(f"X must have the same number of rows in all its parts, got {counts}")
        return next(iter(counts.values()))
    try:
        return _num_samples(X)
    except TypeError as error:
        raise TypeError(f"X must have rows: {error}") from None


def shape_of(X):
    """The shape of X; (n,) for rows that have none, such as lists of several lengths."""
    if hasattr(X, "shape"):
        return tuple(X.shape)
    try:
        return np.shape(X)
    except ValueError:
        return (count_rows(X),)


def count_cells(X):
    """The number of values in X; for sparse rows, the number of stored values."""
    return X.nnz if is_sparse(X) else math.prod(shape_of(X))


def names_of(X):
    """The names of a frame's columns, which need not be strings."""
    return list(X.columns) if hasattr(X, "iloc") else [column.name for column in columns_of(X)]


def numeric_places(X):
    """The positions of a frame's columns of integers, floats and decimals; booleans are none."""
    kinds = [column.dtype for column in columns_of(head_of(X, 0))]
    return [place for place, kind in enumerate(kinds) if kind.is_numeric()]


def head_of(X, n_rows):
    """The first rows of an array or a frame."""
    if not is_frame(X):
        return X[:n_rows]
    return X.iloc[:n_rows] if hasattr(X, "iloc") else nw.from_native(X).head(n_rows).to_native()


def numbers_of(X, places=None, *, allow_missing=False):
    """The cells of a frame as an array (n, d) in C order, in a dtype that holds all columns.

    Numbers are columns of integers, floats, booleans and decimals, categories whose labels are
    numbers, and columns of Python's numbers. Raises for any other column, for infinity, and for a
    missing cell unless these are allowed: then they are NaN. The error names the column and the
    reason. `places` are the positions of the columns that are read; None: all.
    """
    plain = _plain_dtypes(X)
    if plain is not None:
        if places is not None:
            X, plain = X.iloc[:, places], [plain[place] for place in places]
        rows = np.ascontiguousarray(X.to_numpy(dtype=np.result_type(*plain)))
        columns = None
    else:
        columns = columns_of(X)
        columns = columns if places is None else [columns[place] for place in places]
        cells = [_numbers_of_column(column, allow_missing) for column in columns]
        dtype = np.result_type(*(part.dtype for part in cells)) if cells else np.float64
        rows = np.empty((count_rows(X), len(cells)), dtype=dtype)
        for place, part in enumerate(cells):
            rows[:, place] = part
    if rows.dtype.kind == "f":
        _check_finite(rows, X if columns is None else columns, allow_missing)
    return rows


def narrowing_of(X, dtype, places):
    """A function that rounds rows of `dtype` to the dtypes of the columns of X, in place.

    Its rows hold the columns at `places`. None if X is no frame, or if all these columns that hold
    floats have this dtype.
    """
    if not is_frame(X):
        return None
    narrow = {}
    plain = _plain_dtypes(X) or list(map(_dtype_of, columns_of(X)))
    for place, own in enumerate(plain[place] for place in places):
        if own.kind == "f" and own.itemsize < dtype.itemsize:
            narrow.setdefault(own, []).append(place)

    def round_cells(rows):
        for own, places in narrow.items():
            with np.errstate(over="ignore"):
                rows[:, places] = rows[:, places].astype(own)

    return round_cells if narrow else None


def like(rows, original, before, moved, places=None):
    """`rows` in the container of `original`, from which `check_rows` has made the rows `before`.

    What did not change comes back as it was. `moved` says which rows changed; None: they are
    compared. An array keeps its dtype if no row changed. A frame keeps its columns, index and
    dtypes. If a cell changed in a column that has no floats, the column becomes float64 in its own
    way: float64, Float64, double[pyarrow], or Float64 of polars. `places` are the positions of the
    columns of a frame that `rows` and `before` hold; None: all.
    """
    moved = rows_that_differ(rows, before) if moved is None else moved
    if is_frame(original):
        places = range(before.shape[1]) if places is None else places
        return _frame_with(rows, original, before, places)
    if isinstance(original, np.ndarray) and not moved.any():
        return np.array(original)
    return rows.copy() if np.may_share_memory(rows, before) else rows


def copy_of(X):
    """A copy of a frame; of anything else an array."""
    if not is_frame(X):
        return np.array(X)
    if hasattr(X, "iloc"):
        return X.copy()
    return nw.from_native(X, eager_only=True).clone().to_native()


def labels_like(labels, original, before):
    """`labels` in the container of `original`, from which `check_labels` has made `before`.

    A label that changed is taken from a row that had it, so that container, dtype, categories and
    the type of each label stay. If no row had it, `labels` come back in such a container and, if
    this is possible, with its dtype.
    """
    changed = np.flatnonzero(labels != before)
    values, first = np.unique(before, return_index=True)
    if labels.dtype.kind != before.dtype.kind or not np.isin(labels[changed], values).all():
        return _new_labels_like(labels, original)
    if not len(changed) and hasattr(original, "iloc"):
        return original.copy()  # Of all rows in their order, `take` would be a view.
    source = np.arange(len(before))
    source[changed] = first[np.searchsorted(values, labels[changed])]
    return _taken(original, source, labels)


def rows_that_differ(one, two):
    """Which rows differ between two containers of equally many rows, (n,); NaN equals NaN."""
    n_rows = count_rows(two)
    if one is two:
        return np.zeros(n_rows, dtype=bool)
    if is_sparse(one) and is_sparse(two):
        differ, holes = (one != two).astype(np.int8), (one != one).multiply(two != two)
        cells = (differ - holes.astype(np.int8)).tocsr()
        cells.eliminate_zeros()
        return np.diff(cells.indptr) > 0
    if is_frame(one) and is_frame(two):
        differ = np.zeros(n_rows, dtype=bool)
        for own, other in zip(columns_of(one), columns_of(two), strict=True):
            differ |= _columns_differ(own, other)
        return differ
    one, two = np.asarray(one), np.asarray(two)
    differ = np.empty(n_rows, dtype=bool)
    for start in range(0, n_rows, _PART):
        part = slice(start, start + _PART)
        cells = _cells_differ(one[part], two[part])
        differ[part] = cells.reshape(len(cells), -1).any(axis=1)
    return differ


def cells_that_differ(one, two):
    """The cells that differ between two containers of one kind and shape, in parts.

    A part is a tuple of four arrays of shape (n_cells,): the positions of rows, the positions of
    columns, and the values in `one` and in `two`. Rows of several axes are flattened in C order. A
    missing cell equals another; its value is NaN among numbers, and None among others. Frames and
    arrays of objects come column by column, so that a part has values of one kind. Other arrays
    come in the order of their rows.
    """
    if is_sparse(one):
        yield _sparse_cells_that_differ(one, two)
    elif is_frame(one):
        for place, (own, other) in enumerate(zip(columns_of(one), columns_of(two), strict=True)):
            rows = np.flatnonzero(_columns_differ(own, other))
            if len(rows):
                places = np.full(len(rows), place)
                yield rows, places, _values_at(own, rows), _values_at(other, rows)
    elif one.dtype.hasobject or two.dtype.hasobject:
        for place in range(math.prod(one.shape[1:])):
            own, other = (_flat_column(X, place) for X in (one, two))
            rows = np.flatnonzero(_cells_differ(own, other))
            if len(rows):
                yield (
                    rows,
                    np.full(len(rows), place),
                    _with_none(own[rows]),
                    _with_none(other[rows]),
                )
    else:
        step = max(1, _PART_CELLS // max(1, math.prod(one.shape[1:])))
        for start in range(0, len(one), step):
            own, other = (part[start : start + step] for part in (one, two))
            own, other = (part.reshape(len(part), -1) for part in (own, other))
            rows, places = np.nonzero(_cells_differ(own, other))
            if len(rows):
                yield start + rows, places, own[rows, places], other[rows, places]


def values_of_columns(X, places, rows):
    """For each of the columns at `places`, an array of its values in some rows (None: in all).

    Columns are counted, and missing cells given, as in `cells_that_differ`.
    """
    if is_sparse(X):
        X = (X.tocsr() if rows is None else X.tocsr()[rows]).tocsc()
    every = np.arange(X.shape[0])
    for place in places:
        if is_frame(X):
            yield _values_at(_column_at(X, place), every if rows is None else rows)
        elif is_sparse(X):
            yield X[:, [place]].toarray()[:, 0]
        else:
            values = _flat_column(X, place)[slice(None) if rows is None else rows]
            yield _with_none(values) if values.dtype.hasobject else values


def count_missing(y):
    """How many labels of y are missing."""
    if is_frame(y):
        return sum(column.null_count() for column in columns_of(y))
    if is_series(y):
        return nw.from_native(y, series_only=True).null_count()
    if _is_pandas_array(y):
        return int(np.sum(y.isna()))
    is_object = isinstance(y, np.ndarray) and y.dtype.hasobject and y.ndim == 1
    if is_object or isinstance(y, (list, tuple)):
        return sum(map(_is_hole, y))
    return 0


def plain_labels(y):
    """A column of labels, none of them missing, as an array of numpy's; anything else as it is."""
    if is_series(y):
        return nw.from_native(y, series_only=True).to_numpy()
    return y.to_numpy() if _is_pandas_array(y) else y


def _is_pandas_array(y):
    """Whether y is an array of pandas' own, such as a Categorical."""
    return hasattr(getattr(y, "dtype", None), "construct_array_type") and hasattr(y, "isna")


def _is_hole(label):
    """Whether a label is missing: NaN is unequal to itself, and comparing pandas' NA raises."""
    if label is None:
        return True
    try:
        return bool(label != label)
    except (TypeError, ValueError):
        # An array among the labels is not missing; a check of the shape refuses it.
        return np.ndim(label) == 0


def columns_of(X):
    """The columns of a frame as series of narwhals; pandas' names need not be strings."""
    if hasattr(X, "iloc"):
        parts = [X.iloc[:, place] for place in range(X.shape[1])]
        return [nw.from_native(part, series_only=True) for part in parts]
    return list(nw.from_native(X, eager_only=True).iter_columns())


def _column_at(X, place):
    if hasattr(X, "iloc"):
        return nw.from_native(X.iloc[:, place], series_only=True)
    frame = nw.from_native(X, eager_only=True)
    return frame.get_column(frame.columns[place])


def _plain_dtypes(X):
    """The dtypes of a frame of pandas whose columns all hold numbers of numpy; else None.

    Such a frame can be converted as a whole, which is faster than column by column.
    """
    dtypes = list(X.dtypes) if hasattr(X, "iloc") else []
    is_plain = dtypes and all(isinstance(d, np.dtype) and d.kind in "biuf" for d in dtypes)
    return dtypes if is_plain else None


def _dtype_of(column):
    """The dtype of a column's cells as an array of numpy's."""
    return column.head(0).to_numpy().dtype


def _numbers_of_column(column, allow_missing):
    name, kind = column.name, getattr(column.to_native(), "dtype", column.dtype)
    if str(kind).startswith("Sparse"):
        raise TypeError(
            f"X must be dense, but column {name!r} is sparse ({kind}): make it dense, or use an "
            "attack on labels, which takes X as it is"
        )
    if column.null_count():
        if not allow_missing:
            raise ValueError(f"X must have no missing cells, but column {name!r} contains NaN")
        if column.dtype.is_numeric():
            return column.cast(nw.Float64()).to_numpy()
    values = column.to_numpy()
    if values.dtype.kind in "biuf":
        return values
    what = _words_for(column, values)
    if what is None:
        try:
            return values.astype(np.float64)
        except (TypeError, ValueError) as error:
            what = f"values of dtype {kind}: {error}"
    raise ValueError(f"X must hold numbers, but column {name!r} holds {what}")


def _words_for(column, values):
    """What a column holds instead of numbers; None if it may hold numbers."""
    dtype = column.dtype
    text = next((v for v in values if isinstance(v, (str, bytes))), None)
    if text is not None:
        is_category = dtype in (nw.Categorical, nw.Enum)
        what = "categories that are text" if is_category else "text"
        return f"{what}: could not convert string to float: {str(text)!r}"
    if dtype.is_temporal() or values.dtype.kind in "mM":
        return "dates or times"
    return "complex numbers" if values.dtype.kind == "c" else None


def _check_finite(rows, columns, allow_missing):
    """Raise for infinity and, unless it is allowed, for NaN. `columns` are those of the rows."""
    with np.errstate(over="ignore", invalid="ignore"):
        if np.isfinite(rows.sum()):
            return
    is_bad = np.isinf(rows) if allow_missing else ~np.isfinite(rows)
    if not is_bad.any():
        return
    place = int(np.flatnonzero(is_bad.any(axis=0))[0])
    columns = columns_of(columns) if is_frame(columns) else columns
    what = "NaN" if np.isnan(rows[is_bad[:, place], place]).any() else "infinity"
    raise ValueError(f"X must be finite, but column {columns[place].name!r} contains {what}")


def _frame_with(rows, original, before, places):
    """A copy of a frame in which the cells that changed have their new values.

    `rows` and `before` hold the columns at `places`; a cell that is NaN in both did not change.
    """
    own = np.flatnonzero(_cells_differ(rows, before).any(axis=0))
    if not len(own):
        return copy_of(original)
    plain = _plain_dtypes(original)
    if plain is not None:
        frame = original.copy()
        if set(plain) == {rows.dtype} and len(places) == len(plain):
            frame.iloc[:, places] = rows
            return frame
        for i in own:
            kept = plain[places[i]] if plain[places[i]].kind == "f" else np.float64
            frame.isetitem(places[i], rows[:, i].astype(kept))
        return frame
    columns = columns_of(original)
    changed = {places[i]: _column_with(rows[:, i], columns[places[i]], before[:, i]) for i in own}
    if hasattr(original, "iloc"):
        frame = original.copy()
        for place, column in changed.items():
            frame.isetitem(place, column.to_native())
        return frame
    return nw.from_native(original, eager_only=True).with_columns(*changed.values()).to_native()


def _column_with(cells, column, before):
    """A column of floats in which the cells that changed have their new values."""
    if _dtype_of(column).kind != "f":
        column = column.cast(nw.Float64())
    own = np.flatnonzero(_cells_differ(cells, before))
    return column.scatter(own, cells[own].astype(_dtype_of(column)))


def _columns_differ(one, two):
    """Which cells differ between two columns, (n,); a missing cell equals another."""
    holes = [_holes_of(column) for column in (one, two)]
    differ, full = holes[0] != holes[1], np.flatnonzero(~(holes[0] | holes[1]))
    # Without missing cells, integers stay integers in numpy.
    one, two = (column if len(full) == len(column) else column[full] for column in (one, two))
    differ[full] = _cells_differ(one.to_numpy(), two.to_numpy())
    return differ


def _holes_of(column):
    """Which cells of a column are missing, (n,); NaN is."""
    if column.dtype.is_float():
        return np.isnan(column.to_numpy())
    return np.array(column.is_null().to_numpy(), dtype=bool)


def _cells_differ(one, two):
    """Which cells differ between two arrays of one shape; a missing cell equals another."""
    if one.dtype.hasobject or two.dtype.hasobject:
        holes = [_holes_of_objects(cells) for cells in (one, two)]
        differ, full = holes[0] != holes[1], ~(holes[0] | holes[1])
        differ[full] = one[full] != two[full]
        return differ
    differ = np.asarray(one != two, dtype=bool)
    return differ & ~(np.asarray(one != one, dtype=bool) & np.asarray(two != two, dtype=bool))


def _holes_of_objects(cells):
    holes = np.fromiter(map(_is_hole, cells.ravel().tolist()), dtype=bool, count=cells.size)
    return holes.reshape(cells.shape)


def _with_none(cells):
    """Objects, in which None stands for all that is missing."""
    cells = cells.astype(object)
    cells[_holes_of_objects(cells)] = None
    return cells


def _flat_column(X, place):
    """A column of an array whose rows are flattened in C order, as a view."""
    return X[(slice(None), *np.unravel_index(place, X.shape[1:]))]


def _values_at(column, rows):
    """The values of a column in some rows; a missing one is NaN among numbers, else None."""
    column = column[rows]
    holes = _holes_of(column)
    column = column[np.flatnonzero(~holes)] if holes.any() else column
    values = column.to_numpy()
    if values.dtype.kind not in "biuf":
        # Dates are those of the library, with their time zone.
        values = np.fromiter(column.to_list(), dtype=object, count=len(column))
    if not holes.any():
        return values
    if values.dtype.kind in "iuf":
        cells = np.full(len(holes), np.nan, np.result_type(values.dtype, np.float16))
        cells[~holes] = values
        with np.errstate(invalid="ignore"):
            is_exact = (cells[~holes].astype(values.dtype) == values).all()
        if is_exact:
            return cells
    cells = np.full(len(holes), None)
    cells[~holes] = values
    return cells


def _sparse_cells_that_differ(one, two):
    """The part of `cells_that_differ` that has all cells of two sparse containers."""
    n_columns = one.shape[1]
    found = [_stored_cells(X) for X in (one, two)]
    keys = np.union1d(found[0][0], found[1][0])
    values = []
    for stored, cells in found:
        values.append(np.zeros(len(keys), dtype=cells.dtype))
        values[-1][np.searchsorted(keys, stored)] = cells
    differ = _cells_differ(*values)
    rows, places = np.divmod(keys[differ], max(1, n_columns))
    return rows, places, values[0][differ], values[1][differ]


def _stored_cells(X):
    """The positions, counted row by row, and the values of the cells that sparse rows store."""
    X = X.tocoo()
    keys = X.row.astype(np.int64) * X.shape[1] + X.col
    order = np.argsort(keys, kind="stable")
    keys, first = np.unique(keys[order], return_index=True)
    # Cells that are stored in several pieces are their sums.
    cells = X.data[order]
    return keys, np.add.reduceat(cells, first) if len(keys) else cells


def _taken(original, source, labels):
    """The rows `source` of a container, under the index that it has."""
    if hasattr(original, "iloc"):
        taken = original.take(source)
        taken.index = original.index
        return taken
    if isinstance(original, (list, tuple)):
        return type(original)([original[place] for place in source.tolist()])
    if is_frame(original) or is_series(original):
        whole = nw.from_native(original, allow_series=True, eager_only=True)
        return whole[source.tolist()].to_native()
    if isinstance(original, np.ndarray):
        return original[source]
    if _is_pandas_array(original):
        return original.take(source)
    return labels.copy()


def _new_labels_like(labels, original):
    """Labels that may be new, in the container and, where it has them, dtype of `original`."""
    if isinstance(original, (list, tuple)):
        return type(original)(labels.tolist())
    if is_frame(original):
        column = _new_labels_like(labels, columns_of(original)[0].to_native())
        if hasattr(original, "iloc"):
            return column.to_frame().set_axis(original.columns, axis="columns")
        return nw.from_native(column, series_only=True).to_frame().to_native()
    dtype = getattr(original, "dtype", None)
    # A dtype of pandas' own, such as categories and nullable integers.
    if hasattr(dtype, "construct_array_type"):
        is_column = hasattr(original, "iloc")
        kept = (original.array if is_column else original).copy()
        try:
            kept[:] = labels
            labels = kept
        except (TypeError, ValueError):
            pass
        if not is_column:
            return labels
    if hasattr(original, "iloc"):
        return type(original)(labels, index=original.index, name=original.name)
    if is_series(original):
        column = nw.from_native(original, series_only=True)
        backend = column.implementation
        return nw.new_series(column.name, labels.tolist(), backend=backend).to_native()
    return labels.copy()
