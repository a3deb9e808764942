"""A table in a file, as rows and labels, and what each column is taken for."""

import hashlib
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from sklearn.compose import make_column_transformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OrdinalEncoder

from ._data_facts import column_kinds

SUFFIXES = (".csv", ".csv.gz", ".parquet", ".pq")
# Boosting takes categories up to 254, and this leaves one for the rare ones.
MOST_CATEGORIES = 254


class Table(NamedTuple):
    """Rows and labels of a file, and the kind of each column by name."""

    X: Any
    y: Any
    kinds: dict[str, str]
    facts: dict[str, Any]


def read_table(path, target, n_folds):
    """Read a table, or raise a ValueError that says what is wrong with it."""
    path = Path(path)
    if path.is_dir():
        raise ValueError(f"the table must be a file, got the folder {path}")
    if not path.name.lower().endswith(SUFFIXES):
        raise ValueError(f"the table must end in {', '.join(SUFFIXES)}, got {path}")
    frame = _frame(path)
    if not len(frame):
        raise ValueError(f"{path} must have rows, got none")
    if not frame.columns.is_unique:
        twice = frame.columns[frame.columns.duplicated()][0]
        raise ValueError(f"{path} must have columns of different names, got {twice!r} twice")
    frame.columns = frame.columns.map(str)
    if target not in frame.columns:
        raise ValueError(
            f"--target must be a column of {path} ({', '.join(frame.columns)}), got {target!r}"
        )
    X, y = frame.drop(columns=target), frame[target]
    _check_target(y, target, n_folds)
    if not X.shape[1]:
        raise ValueError(f"{path} must have a column besides the target {target!r}, got none")
    if X.isna().all(axis=None):
        raise ValueError(f"{path} must have a value besides the target, got missing cells only")
    X = _plain(X)
    _check_finite(X, path)
    kinds = dict(column_kinds(X))
    # Such as lists, which no attack and hardly a classifier takes.
    X = X.drop(columns=[name for name, kind in kinds.items() if kind == "other values"])
    facts = {"file": path.name, "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
    return Table(X, y, kinds, {**facts, "target": target})


def _frame(path):
    import pandas as pd

    try:
        if path.name.lower().endswith((".csv", ".csv.gz")):
            return pd.read_csv(path, low_memory=False)
        return pd.read_parquet(path)
    except FileNotFoundError:
        raise ValueError(f"the table must be a file that exists, got {path}") from None
    except ImportError as error:
        raise ValueError(f"{path} cannot be read: {first_line(error)}") from None
    except (ValueError, OSError) as error:
        # The errors of pandas and pyarrow for what they cannot parse are ValueErrors.
        raise ValueError(f"{path} cannot be read as a table: {first_line(error)}") from None


def first_line(error):
    """The first line of an error, or its class if it says nothing."""
    return next(iter(str(error).strip().splitlines()), type(error).__name__)


def _check_target(y, target, n_folds):
    missing = int(y.isna().sum())
    if missing == len(y):
        raise ValueError(f"--target must have labels, but {target!r} has missing cells only")
    if missing:
        raise ValueError(
            f"--target must have a label in each row, but {target!r} has {missing} missing cells"
        )
    counts = y.map(str).value_counts()
    if len(counts) < 2:
        raise ValueError(
            f"--target must have at least 2 classes, but {target!r} has only {counts.index[0]!r}"
        )
    if counts.min() < n_folds:
        raise ValueError(
            f"--target must have at least {n_folds} rows of each class, one for each fold, but "
            f"{target!r} has {len(counts)} classes, and {counts.min()} of {counts.idxmin()!r}"
        )


def _plain(X):
    """The frame with pandas' own columns of numbers as floats, in which NaN is missing."""
    from pandas.api.types import is_numeric_dtype

    own = [
        name
        for name, dtype in X.dtypes.items()
        if not isinstance(dtype, np.dtype) and is_numeric_dtype(dtype)
    ]
    return X.astype(dict.fromkeys(own, np.float64)) if own else X


def _check_finite(X, path):
    for name, column in X.select_dtypes("number").items():
        if np.isinf(column).any():
            raise ValueError(f"{path} must have finite numbers, but column {name!r} has infinity")


def taken_for(table):
    """What each column is taken for, in lines for the terminal."""
    labels = table.y.map(str).value_counts()
    shown = ", ".join(f"{label} ({n})" for label, n in labels.head(10).items())
    more = ", ..." if len(labels) > 10 else ""
    words = {
        "numbers": "numbers",
        "categories": "categories",
        "text": "text, taken for categories",
        "dates": "dates, left out by the default estimator",
        "other values": "other values, left out",
    }
    lines = [f"target: {table.facts['target']}, {len(labels)} classes: {shown}{more}"]
    for kind, text in words.items():
        names = [name for name, own in table.kinds.items() if own == kind]
        if names:
            lines.append(f"{text}: {', '.join(names)}")
    return lines


def boosting_for(table):
    """Histogram boosting on the columns of numbers and of categories, missing cells included."""
    categories = [name for name, kind in table.kinds.items() if kind in ("text", "categories")]
    numbers = [name for name, kind in table.kinds.items() if kind == "numbers"]
    if not categories + numbers:
        raise ValueError(
            f"the table must have a column of numbers or of text for the default estimator, got "
            f"{table.kinds}"
        )
    encoder = OrdinalEncoder(
        handle_unknown="use_encoded_value",
        unknown_value=np.nan,
        encoded_missing_value=np.nan,
        max_categories=MOST_CATEGORIES,
    )
    columns = make_column_transformer((encoder, categories), ("passthrough", numbers))
    boosting = HistGradientBoostingClassifier(categorical_features=list(range(len(categories))))
    return make_pipeline(columns, boosting)
