"""Checks of arguments that all packages share.

An error names the parameter, the rule and the value: "`budget` must be >= 0, got -1.0".
"""

import math
import warnings
from contextlib import contextmanager
from numbers import Integral, Real

import numpy as np
from sklearn.utils import check_array, column_or_1d, get_tags
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import validate_data

from ._frames import count_missing, is_dict_of_parts, is_frame, numbers_of, plain_labels


@contextmanager
def unchanged_by(errors, estimator):
    """Restore the attributes of an estimator if the block ends in one of `errors`."""
    before = dict(vars(estimator))
    try:
        yield
    except errors:
        vars(estimator).clear()
        vars(estimator).update(before)
        raise


@contextmanager
def without_names():
    """Silence the warning of an estimator fitted on named features that gets rows without names."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "X does not have valid feature names")
        yield


def takes(estimator, kind):
    """Whether an estimator says by a tag of its input, such as "sparse", that it takes such X."""
    has_tags = hasattr(estimator, "__sklearn_tags__") and not isinstance(estimator, type)
    return has_tags and getattr(get_tags(estimator).input_tags, kind)


def rows_in_share(fraction, n_rows):
    """The number of whole rows in a share of `n_rows` rows, rounded down."""
    # 0.29 * 100 is 28.999999999999996 in floating point.
    return math.floor(fraction * n_rows + 1e-9)


def check_real(value, name, *, low=None, high=None):
    """Return `value` as a float, or raise unless it is a finite number in [low, high]."""
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, Real):
        raise TypeError(f"`{name}` must be a real number, got {value!r}")
    try:
        number = float(value)
    except OverflowError:  # An int that no float can hold.
        number = math.inf
    if not math.isfinite(number):
        raise ValueError(f"`{name}` must be finite, got {number}")
    return float(_check_bounds(value, name, low, high))


def check_confidence(value):
    """Return the coverage of an interval as a float, or raise unless it lies between 0 and 1."""
    confidence = check_real(value, "confidence")
    if not 0 < confidence < 1:
        raise ValueError(f"`confidence` must lie between 0 and 1, got {confidence}")
    return confidence


def check_int(value, name, *, low=None, high=None):
    """Return `value` as an int, or raise unless it is an integer in [low, high]."""
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, Integral):
        raise TypeError(f"`{name}` must be an integer, got {value!r}")
    return int(_check_bounds(value, name, low, high))


def check_bool(value, name):
    """Return `value` as a bool, or raise unless it is True or False."""
    if not isinstance(value, (bool, np.bool_)):
        raise TypeError(f"`{name}` must be True or False, got {value!r}")
    return bool(value)


def _check_bounds(value, name, low, high):
    if low is not None and value < low:
        raise ValueError(f"`{name}` must be >= {low}, got {value}")
    if high is not None and value > high:
        raise ValueError(f"`{name}` must be <= {high}, got {value}")
    return value


def check_choice(value, name, options):
    """Return `value`, or raise unless it is one of the strings `options`."""
    if not isinstance(value, str) or value not in options:
        words = ", ".join(repr(option) for option in options)
        raise ValueError(f"`{name}` must be one of {words}, got {value!r}")
    return value


def check_interval(value, name):
    """Return `value` as two floats (low, high) with low < high; None stays None."""
    if value is None:
        return None
    try:
        low, high = value
    except (TypeError, ValueError):
        raise ValueError(f"`{name}` must be None or a pair (low, high), got {value!r}") from None
    low, high = check_real(low, f"{name}[0]"), check_real(high, f"{name}[1]")
    if not low < high:
        raise ValueError(f"`{name}` must have low < high, got {value!r}")
    return low, high


def check_rows(estimator, X, *, reset, places=None, allow_missing=False):
    """Return X as a dense, finite, numeric array of rows, (n, d) or (n, c, h, w).

    A frame of any library is an array of its columns, which must all hold numbers (`numbers_of`);
    with `places`, of the columns at these positions. With `allow_missing`, NaN is allowed too.
    Floats keep their dtype. Booleans and integers become floats of the same values: float32 if they
    have up to 16 bits, else float64. With `reset` the estimator learns `n_features_in_` (the
    product of the trailing axes), `input_shape_` (the trailing axes) and `feature_names_in_`;
    without it X is checked against them. X is copied only if it is not such an array in C order, so
    a caller that writes to the result must copy it first.
    """
    if is_frame(X):
        note_rows(estimator, X, reset=reset)
        X = numbers_of(X, places, allow_missing=allow_missing)
        X = check_array(X, estimator=estimator, ensure_all_finite="allow-nan")
        return _as_floats(X, allow_missing)
    if not hasattr(X, "shape"):
        X = check_array(X, allow_nd=True, ensure_all_finite=False)
    shape = tuple(X.shape)
    if _is_plain(X) and not hasattr(estimator, "feature_names_in_"):
        if reset:
            estimator.n_features_in_, estimator.input_shape_ = shape[1], shape[1:]
        if shape[1:] == estimator.input_shape_:
            return X
    if len(shape) > 2:
        if not reset and shape[1:] != estimator.input_shape_:
            _raise_shape(estimator, shape[1:])
        X = np.asarray(X).reshape(shape[0], math.prod(shape[1:]))
    is_finite = "allow-nan" if allow_missing else True
    X = validate_data(estimator, X, reset=reset, ensure_all_finite=is_finite)
    if reset:
        estimator.input_shape_ = shape[1:]
    elif shape[1:] != estimator.input_shape_:
        _raise_shape(estimator, shape[1:])
    return _as_floats(X, allow_missing).reshape(len(X), *estimator.input_shape_)


def _is_plain(X):
    """Whether X is a finite table of floats as `check_rows` returns it.

    Scikit-learn's checks of such a table take a fifth of the time of making a small net.
    """
    is_float = type(X) is np.ndarray and X.ndim == 2 and X.dtype in (np.float32, np.float64)
    if not is_float or not X.size or not X.flags.c_contiguous:
        return False
    # A sum that is finite has finite terms. If it is not, scikit-learn says what is wrong.
    with np.errstate(over="ignore", invalid="ignore"):
        return bool(np.isfinite(X.sum()))


def _as_floats(X, allow_missing):
    """Rows of numbers in a float dtype that torch takes, and in C order."""
    if X.dtype.kind != "f":
        X = X.astype(np.result_type(X.dtype, np.float32))
    # Torch refuses foreign byte orders, floats of more than 8 bytes and negative strides. C order
    # also makes the rounding of sums independent of how X lies in memory.
    is_wider = X.dtype.itemsize > 8
    dtype = np.float64 if is_wider else X.dtype.newbyteorder("=")
    with np.errstate(over="ignore"):
        X = X.astype(dtype, order="C", copy=False)
    if is_wider and (np.isinf(X) if allow_missing else ~np.isfinite(X)).any():
        raise ValueError("X must have values that float64 can hold, got larger ones")
    return X


def note_rows(estimator, X, *, reset):
    """Learn, or check, the shape of rows and the names of columns of X, without reading its values.

    For estimators that hand X on as it is, of any container and with any values. With `reset` the
    estimator learns `n_features_in_` (the product of the trailing axes), `input_shape_` (the
    trailing axes) and `feature_names_in_`; without it X is checked against them. Where X does not
    tell a shape (a list of texts, say), there is nothing to learn.
    """
    if reset:
        for name in ("n_features_in_", "input_shape_", "feature_names_in_"):
            vars(estimator).pop(name, None)
    if is_dict_of_parts(X):
        return
    shape = tuple(getattr(X, "shape", ()))[1:]
    if len(shape) > 1 and reset:
        estimator.n_features_in_, estimator.input_shape_ = math.prod(shape), shape
    if len(shape) < 2:
        validate_data(estimator, X, reset=reset, skip_check_array=True)
        if reset and hasattr(estimator, "n_features_in_"):
            estimator.input_shape_ = (estimator.n_features_in_,)
    if shape and shape != getattr(estimator, "input_shape_", shape):
        _raise_shape(estimator, shape)


def _raise_shape(estimator, shape):
    raise ValueError(
        f"X must have rows of shape {estimator.input_shape_}, as in the fit of "
        f"{type(estimator).__name__}, got {tuple(shape)}"
    )


def check_labels(y, n_rows=None, *, min_classes=2):
    """Return y as a 1-D array of class labels and the sorted classes."""
    if y is None:
        raise ValueError("y must be given: requires y to be passed, but the target y is None")
    classes = _classes_of_plain(y)
    if classes is None:
        missing = count_missing(y)
        if missing:
            raise ValueError(
                f"y must have a label for each row of X, got {missing} missing labels "
                "(Input y contains NaN)"
            )
        y = column_or_1d(plain_labels(y), warn=True)
        y = check_array(y, ensure_2d=False, dtype=None, input_name="y", ensure_min_samples=0)
        check_classification_targets(y)
    if n_rows is not None and len(y) != n_rows:
        raise ValueError(
            f"y must have one label for each row of X: {n_rows} rows, got {len(y)} labels "
            "(inconsistent numbers of samples)"
        )
    classes = np.unique(y) if classes is None else classes
    if len(classes) < min_classes:
        raise ValueError(
            f"y must have at least {min_classes} classes, got {len(classes)} class: "
            f"{classes.tolist()}"
        )
    return y, classes


def _classes_of_plain(y):
    """The classes of y if it is a plain array of integers, which needs no further check; else None.

    Scikit-learn's checks take as long as making a small net.
    """
    if type(y) is not np.ndarray or y.ndim != 1 or y.dtype.kind not in "iu":
        return None
    classes = np.unique(y)
    # Where most rows have a class of their own, scikit-learn has to warn.
    return classes if len(y) <= 20 or len(classes) <= len(y) // 2 else None


def encode_labels(y, classes, owner):
    """Return the index of each label of y in `classes`, which may be in any order.

    Raises for a label that is not in `classes`; the error says that they belong to `owner`.
    """
    y, order = np.asarray(y), np.argsort(classes)
    if y.dtype == classes.dtype and len(classes):
        # Numpy's difference of sets takes longer than making a layer of a net.
        codes = np.searchsorted(classes[order[:-1]], y)
        unknown = np.unique(y[classes[order[codes]] != y])
    else:
        codes, unknown = None, np.setdiff1d(y, classes)
    if len(unknown):
        raise ValueError(
            f"y must have only labels in `classes_` of {owner} ({np.asarray(classes).tolist()}), "
            f"got {unknown.tolist()}"
        )
    # Only now, because labels of another type may not compare with the classes.
    return order[np.searchsorted(classes[order], y) if codes is None else codes]
