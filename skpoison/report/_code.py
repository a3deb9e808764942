"""Estimators as code, for readers who want to make them again."""

import inspect
import re

import numpy as np


def code_of(thing):
    """An estimator as code in one line: its class, and the parameters that are not defaults.

    `repr` does not do for all: that of a skorch net leaves out most of its parameters.
    """
    if isinstance(thing, type) or inspect.isroutine(thing):
        return getattr(thing, "__name__", repr(thing))
    if hasattr(thing, "get_params"):
        defaults = _defaults_of(type(thing))
        arguments = [
            f"{name}={code_of(value)}"
            for name, value in sorted(thing.get_params(deep=False).items())
            if not name.startswith("_")
            and (name not in defaults or code_of(value) != code_of(defaults[name]))
        ]
        return f"{type(thing).__name__}({', '.join(arguments)})"
    if type(thing) in (list, tuple):
        entries = ", ".join(map(code_of, thing))
        if type(thing) is list:
            return f"[{entries}]"
        return f"({entries},)" if len(thing) == 1 else f"({entries})"
    if type(thing) is dict:
        return f"{{{', '.join(f'{code_of(key)}: {code_of(thing[key])}' for key in thing)}}}"
    if isinstance(thing, np.generic):
        thing = thing.item()
    # Addresses differ from run to run.
    return re.sub(r" at 0x[0-9a-f]+", "", " ".join(repr(thing).split()))


def _defaults_of(kind):
    """The defaults of the parameters of a class; a net takes those of its base classes too."""
    defaults = {}
    for base in reversed(kind.__mro__):
        if base is not object and inspect.isfunction(vars(base).get("__init__")):
            for name, parameter in inspect.signature(base.__init__).parameters.items():
                if parameter.default is not parameter.empty:
                    defaults[name] = parameter.default
                else:
                    defaults.pop(name, None)
    return defaults
