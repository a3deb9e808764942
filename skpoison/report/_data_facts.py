"""What a report says of the data: rows, columns and what they hold, classes."""

import narwhals.stable.v2 as nw
import numpy as np

from .._frames import columns_of, count_rows, is_frame, is_sparse, shape_of


def data_facts(X, labels, classes):
    """Facts about rows and labels by name: texts, numbers, and the counts of classes.

    Parameters
    ----------
    X : rows in any container
    labels : ndarray of shape (n,)
    classes : ndarray of shape (n_classes,)
        The sorted labels.
    """
    facts = {"rows": count_rows(X)}
    if is_frame(X):
        kinds = column_kinds(X)
        facts["columns"] = len(kinds)
        facts |= {
            f"columns of {kind}": ", ".join(name for name, own in kinds if own == kind)
            for kind in dict.fromkeys(own for _, own in kinds)
        }
        facts["missing cells"] = sum(int(column.null_count()) for column in columns_of(X))
    else:
        shape = shape_of(X)[1:]
        facts["shape of a row"] = " x ".join(map(str, shape)) or "no array"
        if isinstance(X, np.ndarray) and X.dtype.kind == "f":
            facts["missing cells"] = int(np.isnan(X).sum())
        if is_sparse(X):
            facts["stored values"] = int(X.nnz)
    facts["container"] = type(X).__module__.partition(".")[0] + "." + type(X).__name__
    counts = {str(label): int((labels == label).sum()) for label in classes}
    return facts, counts


def column_kinds(X):
    """Pairs of the name of each column of a frame, and what it holds."""
    return [(str(column.name), _kind(column.dtype)) for column in columns_of(X)]


def _kind(dtype):
    if dtype.is_numeric() or dtype == nw.Boolean:
        return "numbers"
    if dtype in (nw.Categorical, nw.Enum):
        return "categories"
    if dtype.is_temporal():
        return "dates"
    return "text" if dtype == nw.String else "other values"
