"""What a compiled function does and which names it looks up: its bytecode, and no source.

Source would not do: a file that was edited after its import is not what runs, and code typed into
an interactive session has none.
"""

import dis
import functools
import types
from typing import NamedTuple

from ._digest import digest

_LOOKUPS = {"LOAD_GLOBAL", "LOAD_NAME", "LOAD_FROM_DICT_OR_GLOBALS"}
_ATTRIBUTES = {"LOAD_ATTR", "LOAD_METHOD"}
_UNSEEN = {"CACHE", "EXTENDED_ARG", "PUSH_NULL"}


class Names(NamedTuple):
    """What a function looks up outside itself.

    `chains` has a tuple for each global name: the name, and attributes that are read from it at
    once. `imports` has tuples (level, module, names) of the imports inside the function.
    """

    chains: tuple
    imports: tuple


@functools.lru_cache(maxsize=4096)
def code_digest(code):
    """The digest of a code object and the functions inside it, without lines and comments."""
    counts = code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount, code.co_flags
    names = code.co_names, code.co_varnames, code.co_freevars, code.co_cellvars
    constants = [_constant(value) for value in code.co_consts]
    return digest(
        "code", code.co_name, counts, code.co_code, code.co_exceptiontable, names, *constants
    )


def _constant(value):
    if isinstance(value, types.CodeType):
        return code_digest(value)
    if isinstance(value, tuple):
        return digest("tuple", *map(_constant, value))
    if isinstance(value, frozenset):
        return digest("frozenset", *sorted(map(_constant, value)))
    return digest(type(value).__name__, repr(value))


@functools.lru_cache(maxsize=4096)
def names_in(code):
    """The names that a code object and the functions inside it look up."""
    chains, imports = set(), set()
    _collect(code, chains, imports)
    return Names(tuple(sorted(chains)), tuple(sorted(imports)))


def _collect(code, chains, imports):
    steps = [step for step in dis.get_instructions(code) if step.opname not in _UNSEEN]
    for i, step in enumerate(steps):
        if step.opname in _LOOKUPS:
            chain = [step.argval]
            for after in steps[i + 1 :]:
                if after.opname not in _ATTRIBUTES:
                    break
                chain.append(after.argval)
            chains.add(tuple(chain))
        elif step.opname == "IMPORT_NAME":
            # Before it lie the level (0 for an absolute import) and the names after `from`.
            level, names = steps[i - 2].argval, steps[i - 1].argval
            imports.add((level, step.argval, names or ()))
    for value in code.co_consts:
        if isinstance(value, types.CodeType):
            _collect(value, chains, imports)
