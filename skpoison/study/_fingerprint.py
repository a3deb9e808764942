"""A hash of estimators and data that is the same in every process.

`joblib.hash` pickles its argument, and torch tensors and fitted nets pickle differently in each
process: nothing would ever be found again. Classes enter with their source, so that an edited
attack is not taken for the old one.
"""

import functools
import hashlib
import inspect

import joblib
import numpy as np


def fingerprint(value):
    """Hash a value built of estimators, arrays, tensors, containers, functions and scalars."""
    digest = hashlib.blake2b(digest_size=20)
    _update(digest, value)
    return digest.hexdigest()


def _update(digest, value):
    # Each value starts with its type and length, so that neighbours cannot run together.
    kind = type(value)
    if value is None or isinstance(value, (bool, int, float, complex, str, bytes, np.generic)):
        _tag(digest, kind.__name__, repr(value))
    elif isinstance(value, np.ndarray):
        if value.dtype == object:
            _parts(digest, "object array", value.shape, *value.ravel().tolist())
        else:
            _tag(digest, "array", value.dtype.str, value.shape)
            digest.update(np.ascontiguousarray(value).data)
    elif isinstance(value, dict):
        items = sorted((fingerprint(key), key) for key in value)
        _parts(digest, "dict", *[part for print_, key in items for part in (print_, value[key])])
    elif isinstance(value, (set, frozenset)):
        _parts(digest, "set", *sorted(map(fingerprint, value)))
    elif isinstance(value, (list, tuple, range)):
        _parts(digest, kind.__name__, *value)
    elif isinstance(value, functools.partial):
        _parts(digest, "partial", value.func, value.args, value.keywords)
    elif inspect.isclass(value) or inspect.isroutine(value):
        _tag(digest, value.__module__, value.__qualname__, _source(value))
    elif isinstance(value, np.random.RandomState):
        _parts(digest, "RandomState", *value.get_state(legacy=True))
    elif hasattr(value, "iloc"):
        labels = value.columns if value.ndim == 2 else [value.name]
        _parts(digest, kind, list(labels), value.to_numpy())
    elif hasattr(value, "detach"):
        _parts(digest, "tensor", value.detach().cpu().numpy())
    elif hasattr(value, "state_dict") and hasattr(value, "forward"):
        _parts(digest, kind, dict(value.state_dict()))
    elif hasattr(value, "get_params"):
        _parts(digest, kind, value.get_params(deep=False), _fitted_state(value))
    elif hasattr(value, "__dict__"):
        _parts(digest, kind, vars(value))
    else:
        _tag(digest, "pickle", joblib.hash(value))


def _fitted_state(estimator):
    """What a fitted estimator learned; of a net its weights, and not its times of training."""
    if hasattr(estimator, "module_"):
        return estimator.module_, estimator.classes_, estimator.input_shape_
    learned = {name: value for name, value in vars(estimator).items() if name.endswith("_")}
    return {name: value for name, value in learned.items() if not name.startswith("_")}


@functools.cache
def _source(value):
    """The source of a function, or of all methods of a class and its bases."""
    if inspect.isclass(value):
        parts = [part for base in value.__mro__ for part in vars(base).values()]
        return "".join(_source(part) for part in parts if inspect.isfunction(part))
    try:
        return inspect.getsource(value)
    except (OSError, TypeError):
        return ""


def _tag(digest, *words):
    text = "\0".join(map(str, words)).encode()
    digest.update(f"{len(text)}:".encode())
    digest.update(text)


def _parts(digest, *parts):
    _tag(digest, len(parts))
    for part in parts:
        _update(digest, part)
