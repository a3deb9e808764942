"""The print of somebody's own code: a function, class or module, with all own code it reaches."""

import builtins
import contextlib
import importlib
import importlib.machinery
import importlib.util
import threading
import types

from ._bytecode import code_digest, names_in
from ._digest import NoFingerprint, digest
from ._origins import origin
from ._values import Walk

# Attributes of classes that say nothing of what a class does, or that Python adds while it runs.
_NOTES = {
    *("__dict__", "__weakref__", "__module__", "__firstlineno__", "__static_attributes__"),
    *("__annotations__", "__annotate__", "__annotate_func__", "__annotations_cache__"),
    *("__orig_bases__", "__parameters__", "__slotnames__", "_abc_impl"),
}
_COMPILED = tuple(importlib.machinery.EXTENSION_SUFFIXES)
# Their name says all. Locks guard what is computed, and no result depends on them; with a bare
# `object()` values are compared, and it has nothing inside.
_NAMED = {type(threading.Lock()), type(threading.RLock()), threading.Condition, object}
# With these a function reaches anything in its module.
_ANYTHING = {"eval", "exec", "globals"}


# The digest that code counts with, by the digest that it has: see `Code.settle`.
_SETTLED: dict[bytes, bytes] = {}


class Code:
    """Prints of own code, each as it was when it was met first."""

    def __init__(self):
        self._known = {}  # By id; the part too, so that no other gets its id.

    def print_of(self, part):
        """The digest of a function, class or module."""
        key = id(part)
        if key not in self._known:
            now = _Reach(part).digest()
            self._known[key] = part, _SETTLED.setdefault(now, now)
        return self._known[key][1]

    def settle(self):
        """Say that all code that was met has run, and that nobody has edited it since.

        What code has changed in itself by running, such as a class that counts its calls, is no
        edit: from now on it counts as it did before.
        """
        for part, before in self._known.values():
            with contextlib.suppress(Exception):  # It has no fingerprint any more.
                _SETTLED.setdefault(_Reach(part).digest(), before)


class _Reach:
    """All own code that is reached from one part.

    A part that is met gets a number, and its content is walked later: functions may call each other
    in circles.
    """

    def __init__(self, root):
        self._parts = []
        self._numbers = {}
        self._walk = Walk(self._number)
        self._number(root)

    def digest(self):
        # The list grows while it is walked.
        return digest("reach", *map(self._content, self._parts))

    def _content(self, part):
        try:
            if isinstance(part, types.FunctionType):
                return self._function(part)
            return self._module(part) if isinstance(part, types.ModuleType) else self._class(part)
        except NoFingerprint as error:
            raise NoFingerprint(f"`{part.__name__}` reaches {error}") from error

    def _number(self, part):
        number = self._numbers.setdefault(id(part), len(self._parts))
        if number == len(self._parts):
            self._parts.append(part)
        return digest("code", number)

    def _function(self, function):
        space, code = function.__globals__, function.__code__
        parts = [self._name(chain, space) for chain in names_in(code).chains]
        parts += [self._import(each, space) for each in names_in(code).imports]
        name = function.__module__, function.__qualname__
        return digest("function", *name, code_digest(code), *self._walk.around(function), *parts)

    def _class(self, part):
        state = {name: value for name, value in vars(part).items() if name not in _NOTES}
        bases = self._walk.prints_of([type(part), *part.__bases__])
        return digest("class", part.__module__, part.__qualname__, bases, self._walk.named(state))

    def _module(self, module):
        if str(getattr(module, "__file__", "")).endswith(_COMPILED):
            raise NoFingerprint(f"{module} is compiled code of no installed package")
        return self._whole(vars(module))

    def _whole(self, space):
        """All names of a module but those that Python gives it."""
        names = sorted(name for name in space if not (name[:2] == name[-2:] == "__"))
        return digest("whole", *names, *(self._value(name, space[name]) for name in names))

    def _name(self, chain, space):
        """What a global name, and the attributes read from it, lead to."""
        name, *attributes = chain
        if name in space:
            return digest("name", name, self._follow(name, space[name], attributes))
        if name in _ANYTHING and hasattr(builtins, name):
            return digest("name", name, self._whole(space))
        return digest("name", name, "builtin" if hasattr(builtins, name) else "missing")

    def _follow(self, name, value, attributes):
        """The value of a name. Of an own module count the attributes that are read, or else all."""
        if not isinstance(value, types.ModuleType) or not attributes or origin(value.__name__):
            return self._value(name, value)
        attribute, *others = attributes
        space = vars(value)
        if attribute in space:
            return digest(attribute, self._follow(f"{name}.{attribute}", space[attribute], others))
        # A `__getattr__` of the module may make it up from anything.
        return self._value(name, value) if "__getattr__" in space else digest(attribute, "missing")

    def _value(self, name, value):
        if type(value) in _NAMED:
            return digest("named", type(value).__name__)
        return self._walk.print_at(name, value)

    def _import(self, each, space):
        """What an import inside a function brings."""
        level, name, names = each
        if level:
            name = importlib.util.resolve_name("." * level + name, space.get("__package__") or "")
        found = origin(name)
        if found:
            return digest("import", name, found)
        try:
            # The function would do so. Nothing else can tell what the module has.
            module = importlib.import_module(name)
        except Exception as error:
            return digest("import", name, type(error).__name__)
        if not names:
            # `import a.b` binds `a`.
            top = importlib.import_module(name.partition(".")[0])
            return digest("import", name, self._value(name, module), self._value(name, top))
        if "__getattr__" in vars(module):
            return digest("import", name, self._value(name, module))
        parts = []
        for each in names:
            if each not in vars(module):
                with contextlib.suppress(ImportError):
                    importlib.import_module(f"{name}.{each}")
            parts += [each, self._follow(name, module, [each])]
        return digest("import", name, *parts)
