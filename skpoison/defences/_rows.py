"""Rows of any container: counted, compared by value, and taken for the members of an ensemble.

`rows_of` chooses one of four classes by the container. Each has these methods:

- ``contents()``: the content of each row as bytes, equal for rows of equal values;
- ``spellings(rows)``: what tells rows of equal content apart, such as 1 from True;
- ``categories(rows)``: the categories of these rows, for each column of categories;
- ``take(rows, categories)``: these rows as a member sees them, in the container that was given.

Where ``is_array``, they are an array of floats.
"""

import narwhals.stable.v2 as nw
import numpy as np
from scipy.sparse import issparse
from sklearn.utils import _safe_indexing, check_array
from sklearn.utils.validation import check_is_fitted

from .._frames import count_rows, is_frame
from .._validation import check_rows, note_rows, without_names
from ._categories import CategoricalColumn, is_categorical
from ._content import as_numbers, contents_of_numbers, contents_of_rows, with_one_zero

# Columns that numpy holds without a loss; others are read as Python objects.
_PLAIN = (
    *(nw.Int8, nw.Int16, nw.Int32, nw.Int64, nw.UInt8, nw.UInt16, nw.UInt32, nw.UInt64),
    *(nw.Float32, nw.Float64, nw.Boolean, nw.Date, nw.Datetime, nw.Duration),
)


def count_some_rows(X):
    """The number of rows, of which there must be some; a table must be in memory."""
    if isinstance(nw.from_native(X, pass_through=True), nw.LazyFrame):
        raise TypeError(f"X must be in memory, got a {type(X).__name__}: pass `X.collect()`")
    # scipy's dictionary of keys is a dict, too.
    if isinstance(X, (str, bytes, dict)) and not issparse(X):
        raise TypeError(f"X must be a table or a list of rows, got a {type(X).__name__}")
    n_rows = count_rows(X)
    if n_rows == 0:
        raise ValueError("X must have at least one row, got an array with 0 sample(s)")
    return n_rows


def check_shape(estimator, X):
    """Check the shape of rows and the names of columns, if X has rows of several features."""
    if len(getattr(X, "shape", (0, 0))) != 1:
        note_rows(estimator, X, reset=False)


def take_rows(data, rows):
    """Rows of X or y in their own container."""
    if issparse(data) and data.format not in ("csr", "csc", "lil"):
        data = data.tocsr()
    return _safe_indexing(data if hasattr(data, "__getitem__") else np.asarray(data), rows)


def single_column(y):
    """The column of a table or an array of one column; labels on one axis as they are."""
    return _safe_indexing(y, 0, axis=1) if len(getattr(y, "shape", ())) == 2 else y


def rows_of(estimator, X, *, reset, as_array=False):
    """The rows of X, of which `estimator` learns or checks the shape and the names of columns.

    With `as_array` a table becomes an array of numbers.
    """
    count_some_rows(X)
    if is_frame(X):
        note_rows(estimator, X, reset=reset)
        if not as_array:
            return _Table(X)
        X = check_array(X, ensure_all_finite=False)
    if issparse(X):
        note_rows(estimator, X, reset=reset)
        return _Sparse(check_array(X, accept_sparse="csr", ensure_all_finite=False, copy=True))
    array = np.asarray(X)
    if array.dtype.kind in "US" and not hasattr(X, "dtype"):
        array = np.asarray(X, dtype=object)  # numpy makes texts of the numbers beside texts.
    is_text = array.ndim == 1 and all(isinstance(cell, str) for cell in array.tolist())
    if array.dtype.kind in "OUSmM" and array.size and (array.ndim == 2 or is_text):
        note_rows(estimator, X, reset=reset)
        return _Cells(array)
    array = _check_numbers(estimator, X, array, reset)
    return _Numbers(with_one_zero(array) if reset else array)


def _check_numbers(estimator, X, array, reset):
    """What `check_rows` returns, but NaN and infinity are left to the members to judge."""
    holes = ~np.isfinite(array) if array.dtype.kind == "f" else np.zeros(1, dtype=bool)
    if not holes.any():
        return check_rows(estimator, X, reset=reset)
    rows = check_rows(estimator, np.where(holes, array.dtype.type(0), array), reset=reset)
    rows[holes] = array[holes]
    return rows


class _Array:
    """An array whose rows are taken as they are, and whose equal rows are spelt alike."""

    is_array = False

    def __init__(self, array):
        self._array = array

    def __len__(self):
        return self._array.shape[0]

    def spellings(self, rows):
        return [""] * len(rows)

    def categories(self, rows):
        return {}

    def take(self, rows, categories):
        return self._array[rows]


class _Numbers(_Array):
    """An array of floats, of shape (n, d) or (n, c, h, w)."""

    is_array = True

    def contents(self):
        return contents_of_numbers(self._array)


class _Cells(_Array):
    """An array of texts, dates or Python objects; it may have a single axis, of texts."""

    def __init__(self, array):
        # An array of texts has the width of its longest text.
        dtype = object if array.dtype.kind == "U" else None
        super().__init__(np.array(array, dtype=dtype, order="C"))

    def contents(self):
        columns = self._array.reshape(len(self), -1).T
        are_times = columns.dtype.kind in "mM"
        columns = [column if are_times else column.tolist() for column in columns]
        return contents_of_rows(columns, range(len(columns)))

    def spellings(self, rows):
        return [repr(cells) for cells in self._array[rows].tolist()]


class _Sparse(_Array):
    """A sparse array or matrix in CSR form, without zeros."""

    def __init__(self, array):
        array.sum_duplicates()
        array.eliminate_zeros()
        super().__init__(array)

    def contents(self):
        places, values = self._array.indices.astype("<i8"), as_numbers(self._array.data)
        bounds = zip(self._array.indptr[:-1], self._array.indptr[1:], strict=True)
        return [places[a:b].tobytes() + values[a:b].tobytes() for a, b in bounds]


class _Table:
    """A frame of pandas, polars or pyarrow."""

    is_array = False

    def __init__(self, frame):
        if not frame.shape[1]:
            raise ValueError("X must have at least one column, got a table with 0 feature(s)")
        self._frame = frame
        columns = list(nw.from_native(frame, eager_only=True).iter_columns())
        self._categorical = {
            k: CategoricalColumn(column)
            for k, column in enumerate(columns)
            if is_categorical(column)
        }

    def __len__(self):
        return self._frame.shape[0]

    def contents(self):
        columns = list(nw.from_native(self._frame, eager_only=True).iter_columns())
        found = [
            self._categorical[k].contents() if k in self._categorical else _values(column)
            for k, column in enumerate(columns)
        ]
        return contents_of_rows(found, [column.name for column in columns])

    def spellings(self, rows):
        taken = nw.from_native(_safe_indexing(self._frame, rows), eager_only=True)
        columns = [column.to_list() for column in taken.iter_columns()]
        return [repr(cells) for cells in zip(*columns, strict=True)]

    def categories(self, rows):
        return {k: column.categories(rows) for k, column in self._categorical.items()}

    def take(self, rows, categories):
        """The rows in a new frame, because an index and a place in memory tell of other rows."""
        taken = _safe_indexing(self._frame, rows)
        frame = nw.from_native(taken, eager_only=True)
        library = frame.__native_namespace__()
        columns = [column.to_native() for column in frame.iter_columns()]
        for k in categories.keys() & self._categorical.keys():
            columns[k] = self._categorical[k].take(rows, categories[k])
        if frame.implementation.is_polars():
            return library.DataFrame(columns)
        if frame.implementation.is_pyarrow():
            return library.Table.from_arrays(columns, names=frame.columns)
        if len(set(taken.dtypes)) == 1 and _is_plain_number(columns[0].dtype):
            # Hundreds of columns at once.
            made = library.DataFrame(np.ascontiguousarray(taken))
        else:
            columns = [column.reset_index(drop=True) for column in columns]
            made = library.DataFrame(dict(enumerate(columns)))
        made.columns = taken.columns
        return made


def _is_plain_number(dtype):
    return isinstance(dtype, np.dtype) and dtype.kind in "biuf"


def _values(column):
    """A column as an array of numbers or dates, or else as a list of Python objects."""
    native = column.to_native()
    kind = str(native.type if column.implementation.is_pyarrow() else native.dtype)
    if column.dtype == nw.Time and "time32" not in kind:
        column = column.cast(nw.Int64)  # Python's times have no nanoseconds.
    values = column.to_numpy() if column.dtype in _PLAIN else None
    # Missing truth values make an array of objects.
    return column.to_list() if values is None or values.dtype == object else values


def ask(defence, method, X):
    """Call a method of the fitted `estimator_` of a defence, for rows like those of its fit."""
    check_is_fitted(defence)
    check_shape(defence, X)
    with without_names():  # `check_shape` has warned.
        return getattr(defence.estimator_, method)(X)
