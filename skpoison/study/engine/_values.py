"""The print of a value: what it is, all its state, and no address or caching of Python's."""

import copyreg
import functools
import sys
import types
import weakref

from ._bytecode import code_digest
from ._digest import NoFingerprint, digest
from ._library_values import HANDLERS
from ._origins import origin

# Their `repr` tells all values apart, from those of the other types too.
_PLAIN = {bool, int, float, complex, str, bytes, bytearray, range, type(None), type(...)}
_PLAIN.add(type(NotImplemented))
# What refers to something that it is a part of is walked again wherever it is met. This bounds how
# often, because in a dense graph there are more ways than one could walk.
_MOST_REPEATS = 200_000


class Walk:
    """Prints of values, from which one of a whole is built.

    A value in which no reference leads out of it is walked once. `code_of` gives the print of a
    function, class or module that is somebody's own code.
    """

    def __init__(self, code_of):
        self._code_of = code_of
        self._found = {}  # By id; the value too, so that no other gets its id.
        self._open = {}  # The depth of each value that is being walked, by id.
        self._lowest = 0  # The smallest depth that the values walked since have referred to.
        self._n_repeats = 0
        self._path = []

    def print_of(self, value):
        """The digest of a value."""
        if type(value) in _PLAIN:
            return digest(type(value).__name__, repr(value))
        key = id(value)
        if key in self._found:
            return self._found[key][1]
        depth = len(self._open)
        if key in self._open:
            self._lowest = min(self._lowest, self._open[key])
            return digest("above", depth - self._open[key])
        self._open[key] = depth
        outer, self._lowest = self._lowest, depth
        found = _handler(type(value))(self, value)
        del self._open[key]
        if self._lowest == depth:
            self._found[key] = value, found
        else:
            self._n_repeats += 1
            if self._n_repeats > _MOST_REPEATS:
                raise self.refusal("its references run in too many circles")
        self._lowest = min(outer, self._lowest)
        return found

    def prints_of(self, values):
        """The digest of a sequence."""
        values = list(values)
        if set(map(type, values)) <= _PLAIN:
            return digest("plain", repr(values))
        return digest("values", *map(self.print_of, values))

    def named(self, values):
        """The digest of a dict of names to values, whatever their order."""
        parts = []
        for name in sorted(values):
            parts += [name, self.print_at(name, values[name])]
        return digest("named", *parts)

    def print_at(self, name, value):
        """The digest of a value; if there is none, the error says at which name."""
        self._path.append(name)
        found = self.print_of(value)
        self._path.pop()
        return found

    def refusal(self, reason):
        """The error for what is being walked."""
        place = ".".join(map(str, self._path))
        return NoFingerprint(f"`{place}`: {reason}" if place else reason)

    def state(self, value):
        """Everything in an object's `__dict__` and `__slots__`, by name."""
        state = object.__getstate__(value)
        state, slots = state if isinstance(state, tuple) else (state, None)
        return {**(state or {}), **(slots or {})}

    def instance(self, value, state=None):
        """The digest of an object by its type and its state, by default all of it."""
        state = self.state(value) if state is None else state
        self._path.append(type(value).__name__)
        found = digest("instance", self.print_of(type(value)), self.named(state))
        self._path.pop()
        return found

    def _sequence(self, value):
        return digest(type(value).__name__, self.prints_of(value))

    def _dict(self, value):
        if set(map(type, value)) == {str}:
            # In the order that the dict has, which is a part of it.
            return digest("dict", self.prints_of(value), self.named(value))
        return digest("dict", self.prints_of(value), self.prints_of(value.values()))

    def _set(self, value):
        return digest(type(value).__name__, *sorted(map(self.print_of, value)))

    def _slice(self, value):
        return digest("slice", self.prints_of([value.start, value.stop, value.step]))

    def _module(self, value):
        found = origin(value.__name__)
        return digest("module", value.__name__, found) if found else self._code_of(value)

    def _class(self, value):
        name = value.__module__, value.__qualname__
        found = origin(value.__module__)
        is_compiled = not value.__flags__ & (1 << 9)  # Py_TPFLAGS_HEAPTYPE
        if found and (is_compiled or _look_up(*name) is value):
            return digest("class", *name, found)
        if is_compiled:
            raise self.refusal(f"{value} is compiled code of no installed package")
        # Of an installed package's function that makes classes, each is another.
        return self._code_of(value)

    def _function(self, value):
        module = value.__globals__.get("__name__")
        found = origin(module) if isinstance(module, str) else None
        if not found:
            return self._code_of(value)
        if _look_up(module, value.__qualname__) is value:
            return digest("function", module, value.__qualname__, found)
        return digest("function", module, found, code_digest(value.__code__), *self.around(value))

    def around(self, function):
        """The digests of what a function has besides its code: defaults, closure, attributes."""
        cells = []
        for cell in function.__closure__ or ():
            try:
                cells.append(self.print_of(cell.cell_contents))
            except ValueError:
                cells.append(digest("empty cell"))
        parts = function.__defaults__, function.__kwdefaults__, vars(function)
        return [*map(self.print_of, parts), *cells]

    def _method(self, value):
        return digest("method", self.print_of(value.__func__), self.print_of(value.__self__))

    def _builtin(self, value):
        owner = value.__self__
        if owner is not None and not isinstance(owner, types.ModuleType):
            return digest("builtin method", value.__name__, self.print_of(owner))
        module = value.__module__ or getattr(owner, "__name__", "")
        found = origin(module)
        if not found:
            raise self.refusal(f"{value} is compiled code of no installed package")
        return digest("builtin", module, value.__qualname__, found)

    def _descriptor(self, value):
        if not origin(value.__objclass__.__module__):
            raise self.refusal(f"{value} is compiled code of no installed package")
        return digest("descriptor", value.__name__, self.print_of(value.__objclass__))

    def _slot(self, value):
        return digest("slot", value.__name__, self.print_of(value.__objclass__))

    def _wrapper(self, value):
        return digest(type(value).__name__, self.print_of(value.__func__))

    def _property(self, value):
        return digest("property", self.prints_of([value.fget, value.fset, value.fdel]))

    def _cached_property(self, value):
        return digest("cached_property", value.attrname, self.print_of(value.func))

    def _lru_cache(self, value):
        parameters = value.cache_parameters()
        return digest("lru_cache", self.print_of(parameters), self.print_of(value.__wrapped__))

    def _weakref(self, value):
        return digest("weakref", self.print_of(value()))

    def _object(self, value):
        """An object of any class, as pickle takes it apart."""
        kind = type(value)
        reduce = copyreg.dispatch_table.get(kind, lambda value: value.__reduce_ex__(4))
        try:
            reduced = reduce(value)
        except RecursionError:
            raise
        except Exception as error:
            raise self.refusal(f"{_in_words(kind)} has no state to be read: {error}") from error
        if isinstance(reduced, str):
            return self._global(value, reduced)
        make, args, state, items, pairs = (*reduced, None, None, None)[:5]
        parts = [self.prints_of(items or ()), self.prints_of(map(list, pairs or ()))]
        if kind in copyreg.dispatch_table or _has_own_reduce(kind):
            parts += map(self.print_of, (kind, make, args, state))
            if not origin(kind.__module__):
                parts.append(self._attempt(value) or b"")
        else:
            # pickle's default: the class, its arguments and its state.
            parts.append(self.print_of(args[1:]))
            chooser = next(base for base in kind.__mro__ if "__getstate__" in vars(base))
            if chooser is object:
                parts.append(self.instance(value))
            elif origin(chooser.__module__):
                is_named = isinstance(state, dict) and set(map(type, state)) == {str}
                parts.append(self.instance(value, state if is_named else {"state": state}))
            else:
                # Somebody's own may leave out what matters, and decides only if the rest cannot be
                # fingerprinted.
                parts.append(self._attempt(value) or self.print_of((kind, state)))
        return digest("object", *parts)

    def _attempt(self, value):
        """The digest of an object with all its state, or None if it has something without one."""
        before = dict(self._open), self._lowest, len(self._path)
        try:
            return self.instance(value)
        except NoFingerprint:
            self._open, self._lowest = before[:2]
            del self._path[before[2] :]
            return None

    def _global(self, value, name):
        """What pickle takes by its name."""
        module = getattr(value, "__module__", None)
        if _look_up(module, name) is not value:
            module = next((m for m in list(sys.modules) if _look_up(m, name) is value), None)
        if module is None:
            raise self.refusal(f"{_in_words(type(value))} is not what its name {name!r} says")
        found, kind = origin(module), type(value)
        if not found and not origin(kind.__module__):
            return digest("global", module, name, self.instance(value))
        if not found and kind.__module__.partition(".")[0] not in ("typing", "typing_extensions"):
            raise self.refusal(f"{name} is compiled code of no installed package")
        return digest("global", module, name, found)

    def _sentinel(self, value):
        """A bare `object()`: nothing but its name tells it from others."""
        for module, space in list(sys.modules.items()):
            for name, other in list(getattr(space, "__dict__", {}).items()):
                if other is value:
                    return digest("sentinel", module, name)
        raise self.refusal("a bare `object()` has neither a state nor a name")


def _in_words(kind):
    return f"an object of class {kind.__module__}.{kind.__qualname__}"


def _has_own_reduce(kind):
    names = "__reduce_ex__", "__reduce__"
    return any(getattr(kind, name) is not getattr(object, name) for name in names)


def _look_up(module, qualname):
    """What is found in a loaded module under a name, or None."""
    found = sys.modules.get(module)
    for name in qualname.split("."):
        # No `getattr` on modules: theirs may import or warn.
        is_module = isinstance(found, types.ModuleType)
        found = vars(found).get(name) if is_module else getattr(found, name, None)
    return found


@functools.lru_cache(maxsize=4096)
def _handler(kind):
    """How values of a type, or of a base of it, are taken apart."""
    if kind in _EXACT:
        return _EXACT[kind]
    for base in kind.__mro__:
        handler = HANDLERS.get((base.__module__.partition(".")[0], base.__qualname__))
        if handler is not None:
            return handler
    return Walk._class if issubclass(kind, type) else Walk._object


_EXACT = {
    dict: Walk._dict,
    types.MappingProxyType: Walk._dict,
    list: Walk._sequence,
    tuple: Walk._sequence,
    set: Walk._set,
    frozenset: Walk._set,
    slice: Walk._slice,
    object: Walk._sentinel,
    types.ModuleType: Walk._module,
    types.FunctionType: Walk._function,
    types.MethodType: Walk._method,
    types.BuiltinFunctionType: Walk._builtin,
    types.MethodDescriptorType: Walk._descriptor,
    types.ClassMethodDescriptorType: Walk._descriptor,
    types.WrapperDescriptorType: Walk._descriptor,
    types.GetSetDescriptorType: Walk._slot,
    types.MemberDescriptorType: Walk._slot,
    staticmethod: Walk._wrapper,
    classmethod: Walk._wrapper,
    property: Walk._property,
    functools.cached_property: Walk._cached_property,
    type(functools.lru_cache(len)): Walk._lru_cache,
    weakref.ref: Walk._weakref,
}
