"""Checks of arguments that several studies take."""

from sklearn.base import clone
from sklearn.utils import indexable


def check_attacks(attacks):
    """Raise unless `attacks` is a dict of name to attack or None, with at least one entry."""
    if not isinstance(attacks, dict) or not attacks:
        raise ValueError(f"`attacks` must be a non-empty dict of name to attack, got {attacks!r}")
    for name, attack in attacks.items():
        if not isinstance(name, str):
            raise TypeError(f"`attacks` must have strings as keys, got {name!r}")
        if attack is not None and (isinstance(attack, type) or not hasattr(attack, "poison")):
            raise TypeError(f"`attacks[{name!r}]` must have a method `poison`, got {attack!r}")


def budget_name_of(attack, budget_name):
    """The name of the parameter that is the strength of an attack.

    This is `budget_name`, which must be one of its parameters; for None it is `budget` or `rate`.
    """
    is_attack = hasattr(attack, "poison") and not isinstance(attack, type)
    params = clone(attack).get_params() if is_attack else {}
    if budget_name is None:
        budget_name = next((name for name in ("budget", "rate") if name in params), None)
    if budget_name not in params:
        raise ValueError(
            f"`budget_name` must be a parameter of `attack`, got {budget_name!r} with {attack!r}"
        )
    return budget_name


def check_test(test):
    """Return the pair `test`, or None for None; raise for anything else."""
    if test is None:
        return None
    try:
        X_test, y_test = test if isinstance(test, (tuple, list)) else ()
    except ValueError:
        raise ValueError(f"`test` must be a pair (X_test, y_test), got {type(test)}") from None
    return tuple(indexable(X_test, y_test))
