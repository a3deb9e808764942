"""Checks of the arguments of theory: numbers that may be arrays, vectors, data, seeds."""

import numpy as np

from .._validation import check_labels


def check_values(value, name, *, low=None, high=None, above=None, below=None):
    """Return `value` as a float64 array of any shape, or raise unless all of it is in the range.

    The range includes `low` and `high`, and excludes `above` and `below`.
    """
    array = np.asarray(value)
    if array.dtype.kind not in "iuf":
        raise TypeError(f"`{name}` must be a real number or an array of them, got {value!r}")
    _refuse(~np.isfinite(array), array, f"`{name}` must be finite")
    if low is not None:
        _refuse(array < low, array, f"`{name}` must be >= {low}")
    if above is not None:
        _refuse(array <= above, array, f"`{name}` must be > {above}")
    if high is not None:
        _refuse(array > high, array, f"`{name}` must be <= {high}")
    if below is not None:
        _refuse(array >= below, array, f"`{name}` must be < {below}")
    return array.astype(np.float64)


def _refuse(bad, array, rule):
    if bad.any():
        raise ValueError(f"{rule}, got {array[bad][0] if array.ndim else array}")


def unwrap(array):
    """A float for an array without axes, else the array."""
    return array if np.ndim(array) else float(array)


def check_vectors(value, name, *, ndim=None):
    """Return `value` as a new float64 array whose last axis holds vectors, or raise."""
    array = np.array(value)
    if array.dtype.kind not in "biuf":
        raise TypeError(f"`{name}` must be an array of real numbers, got dtype {array.dtype}")
    if array.ndim == 0 or array.size == 0 or ndim not in (None, array.ndim):
        axes = "at least 1 axis" if ndim is None else f"{ndim} axes"
        raise ValueError(f"`{name}` must have {axes} and entries, got shape {array.shape}")
    if not np.isfinite(array).all():
        raise ValueError(f"`{name}` must be finite, got NaN or infinity")
    return array.astype(np.float64, copy=False)


def check_rows(X, name="X"):
    """Return X as finite rows (n, d), trailing axes flattened; all but float32 become float64."""
    array = np.asarray(X)
    if array.dtype.kind not in "biuf":
        raise TypeError(f"{name} must be an array of real numbers, got dtype {array.dtype}")
    if array.ndim < 2 or array.size == 0:
        raise ValueError(f"{name} must have rows of features, got shape {array.shape}")
    if not np.isfinite(array).all():
        raise ValueError(f"{name} must be finite, got NaN or infinity")
    dtype = array.dtype if array.dtype in (np.float32, np.float64) else np.float64
    return array.reshape(len(array), -1).astype(dtype, copy=False)


def check_two_classes(y, n_rows):
    """Return signs (-1.0 for the first sorted class of y, 1.0 for the second) and the classes."""
    y, classes = check_labels(y, n_rows)
    if len(classes) != 2:
        raise ValueError(f"y must have 2 classes, got {len(classes)} classes: {classes.tolist()}")
    return np.where(y == classes[1], 1.0, -1.0), classes


def make_rng(random_state):
    """A numpy Generator from an int, a Generator, a RandomState (which is advanced) or None."""
    if isinstance(random_state, np.random.RandomState):
        random_state = random_state.randint(2**31 - 1)
    return np.random.default_rng(random_state)
