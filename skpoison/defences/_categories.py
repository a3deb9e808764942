"""A column of categories, and what a member of an ensemble sees of it: its own categories."""

import narwhals.stable.v2 as nw
import numpy as np

from ._content import contents_of_cells, is_missing


class CategoricalColumn:
    """Labels by position in a list of distinct ones; a missing cell has position -1.

    Parameters
    ----------
    series : narwhals.Series
        pandas' categories or arrow's dictionaries in pandas, polars' Categorical or Enum, arrow's
        dictionaries.
    """

    def __init__(self, series):
        cells = series.to_list()
        self._series = series
        found = {}
        codes = [-1 if is_missing(cell) else found.setdefault(cell, len(found)) for cell in cells]
        self._codes = np.array(codes, dtype=np.intp)
        self._labels = [_plain(label) for label in found]
        self._order = {label: place for place, label in enumerate(_order_of(series))}

    def contents(self):
        of_labels = contents_of_cells([*self._labels, None], self._series.name)
        return tuple(of_labels[code] for code in self._codes)

    def categories(self, rows):
        """The labels of some rows: in their order if they have one, else sorted."""
        codes = np.unique(self._codes[rows])
        labels = [self._labels[code] for code in codes if code >= 0]
        if self._order:
            return sorted(labels, key=self._order.__getitem__)
        try:
            return sorted(labels)
        except TypeError:  # Labels of several types.
            return sorted(labels, key=lambda label: contents_of_cells([label], None))

    def take(self, rows, categories):
        """Some rows as a column of the library, of these categories; other labels are missing."""
        places = {label: place for place, label in enumerate(categories)}
        lookup = np.array([places.get(label, -1) for label in self._labels] + [-1], dtype=np.int32)
        return _column(self._series, lookup[self._codes[rows]], categories)


def is_categorical(series):
    return series.dtype == nw.Categorical or series.dtype == nw.Enum


def _plain(label):
    """A label as it is without the others: beside a label 1.5, pandas has 1.0 for the label 1."""
    return int(label) if isinstance(label, float) and label.is_integer() else label


def _order_of(series):
    """All categories of a column in their order; none if they have no order."""
    if series.dtype == nw.Enum:
        return map(_plain, series.dtype.categories)
    kind = _arrow_type(series)
    if kind is not None and kind.ordered:
        native = series.to_native()
        if not series.implementation.is_pyarrow():
            native = native.array.__arrow_array__()
        return map(_plain, native.unify_dictionaries().chunk(0).dictionary.to_pylist())
    return ()


def _arrow_type(series):
    """The type of a dictionary of arrow, which pandas may hold; None for other categories."""
    native = series.to_native()
    if series.implementation.is_pyarrow():
        return native.type
    return getattr(native.dtype, "pyarrow_dtype", None)


def _column(like, codes, categories):
    library = like.__native_namespace__()
    if like.implementation.is_polars():
        labels = [*categories, None]
        dtype = like.to_native().dtype
        if like.dtype == nw.Enum:
            dtype = library.Enum(categories)
        return library.Series(like.name, [labels[code] for code in codes], dtype=dtype)
    kind = _arrow_type(like)
    if kind is None:
        made = library.Categorical.from_codes(
            codes, library.Index(categories), ordered=like.dtype == nw.Enum
        )
        return library.Series(made)
    pyarrow = nw.dependencies.get_pyarrow()
    made = pyarrow.DictionaryArray.from_arrays(
        pyarrow.array(codes, mask=codes < 0, type=kind.index_type),
        pyarrow.array(categories, type=kind.value_type),
        ordered=kind.ordered,
    )
    if like.implementation.is_pyarrow():
        return made
    return library.Series(library.arrays.ArrowExtensionArray(made))
