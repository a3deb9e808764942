"""How several nets train as one: the rules of who may, and the stack that does it."""

from ._groups import fit_stacked
from ._independent import fit_independent, is_independent_in_a_stack
from ._rules import is_worth_a_stack

__all__ = ["fit_independent", "fit_stacked", "is_independent_in_a_stack", "is_worth_a_stack"]
