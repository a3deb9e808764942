"""A hash of estimators and data that is the same in every process.

`joblib.hash` would not do: it pickles its argument, and torch tensors and fitted nets have another
pickle in each process. Classes and functions are hashed with their source, so that an attack that
was edited does not pass for the old one.
"""

import functools
import hashlib
import inspect

import joblib
import numpy as np

_SCALARS = (bool, int, float, complex, str, bytes, np.generic)


def fingerprint(value):
    """Hash a value built of estimators, arrays, tensors, containers, functions and scalars."""
    digest = _Digest()
    digest.add(value)
    return digest.hash.hexdigest()


class _Digest:
    """A hash that takes in values one after another.

    Each value starts with its kind and length, so that ["ab", "c"] and ["a", "bc"] differ.
    """

    def __init__(self):
        self.hash = hashlib.blake2b(digest_size=20)
        self.parents = []

    def add(self, value):
        if value is None or isinstance(value, _SCALARS):
            self.tag(type(value).__name__, repr(value))
        elif id(value) in self.parents:
            self.tag("above", len(self.parents) - self.parents.index(id(value)))
        else:
            self.parents.append(id(value))
            self.add_compound(value)
            self.parents.pop()

    def add_compound(self, value):
        kind = type(value)
        if isinstance(value, np.ndarray):
            self.add_array(value)
        elif isinstance(value, dict):
            keys = sorted((fingerprint(key), key) for key in value)
            self.parts("dict", *[part for mark, key in keys for part in (mark, value[key])])
        elif isinstance(value, (set, frozenset)):
            self.parts("set", *sorted(map(fingerprint, value)))
        elif isinstance(value, (list, tuple, range)):
            self.parts(kind.__name__, *value)
        elif isinstance(value, functools.partial):
            self.parts("partial", value.func, value.args, value.keywords)
        elif inspect.isclass(value):
            self.tag(value.__module__, value.__qualname__, _source(value))
        elif inspect.ismodule(value):
            self.tag("module", value.__name__)
        elif inspect.isroutine(value):
            self.add_function(value)
        elif isinstance(value, np.random.RandomState):
            self.parts("RandomState", *value.get_state(legacy=True))
        elif hasattr(value, "iloc"):
            is_frame = value.ndim == 2
            names = list(value.columns) if is_frame else [value.name]
            dtypes = [str(dtype) for dtype in (value.dtypes if is_frame else [value.dtype])]
            self.parts(kind, names, dtypes, value.to_numpy())
        elif hasattr(value, "detach"):
            value = value.detach().cpu()
            # numpy has no such types; doubles hold all their values.
            is_strange = "bfloat16" in str(value.dtype) or "float8" in str(value.dtype)
            self.parts(
                "tensor", str(value.dtype), (value.double() if is_strange else value).numpy()
            )
        elif hasattr(value, "state_dict") and hasattr(value, "forward"):
            self.parts(kind, repr(value), dict(value.state_dict()))
        elif hasattr(value, "get_params"):
            self.parts(kind, value.get_params(deep=False), _fitted_state(value))
        elif hasattr(value, "__dict__"):
            self.parts(kind, vars(value))
        else:
            self.tag("pickle", joblib.hash(value))

    def add_array(self, value):
        if value.dtype == object:
            self.parts("object array", value.shape, *value.ravel().tolist())
            return
        self.tag("array", value.dtype.str, value.shape)
        value = np.ascontiguousarray(value)
        # Dates have no buffer; the integers behind them do.
        self.hash.update((value.view(np.int64) if value.dtype.kind in "mM" else value).data)

    def add_function(self, value):
        self.tag(getattr(value, "__module__", ""), value.__qualname__, _source(value))
        code = getattr(value, "__code__", None)
        if code is not None:
            # Defaults and closures are not in the source.
            cells = [cell.cell_contents for cell in getattr(value, "__closure__", None) or ()]
            defaults = value.__defaults__, value.__kwdefaults__
            self.parts(_code(code), *defaults, *cells)
        owner = getattr(value, "__self__", None)
        if owner is not None:
            self.add(owner)

    def tag(self, *words):
        text = "\0".join(map(str, words)).encode()
        self.hash.update(f"{len(text)}:".encode())
        self.hash.update(text)

    def parts(self, *values):
        self.tag(len(values))
        for value in values:
            self.add(value)


def _fitted_state(estimator):
    """What a fitted estimator learned. For a net these are its weights, not its training times."""
    if hasattr(estimator, "module_"):
        return estimator.module_, estimator.classes_, estimator.input_shape_
    return {
        name: value
        for name, value in vars(estimator).items()
        if name.endswith("_") and not name.startswith("_")
    }


def _code(code):
    """The bytes and constants of compiled code and of the functions inside it."""
    constants = [_code(part) if hasattr(part, "co_code") else part for part in code.co_consts]
    return [code.co_code, constants, code.co_names]


@functools.cache
def _source(value):
    """The source of a function, or of everything that a class and its bases define."""
    if inspect.isclass(value):
        return "".join(map(_definition, (p for b in value.__mro__ for p in vars(b).items())))
    try:
        return inspect.getsource(value)
    except (OSError, TypeError):
        return ""


def _definition(item):
    name, part = item
    if isinstance(part, (staticmethod, classmethod)):
        part = part.__func__
    if isinstance(part, property):
        return "".join(_source(f) for f in (part.fget, part.fset) if f is not None)
    if inspect.isfunction(part):
        return _source(part)
    is_constant = part is None or isinstance(part, (*_SCALARS, tuple))
    return f"{name}={part!r}" if is_constant and not name.startswith("__") else ""
