"""Checks of arguments that several studies take."""

from collections.abc import Mapping

import numpy as np
from sklearn.base import clone
from sklearn.utils import indexable

from .._validation import check_real


def check_attacks(attacks):
    """Raise unless `attacks` is a dict of name to attack or None, with at least one entry."""
    if not isinstance(attacks, dict) or not attacks:
        raise ValueError(f"`attacks` must be a non-empty dict of name to attack, got {attacks!r}")
    for name, attack in attacks.items():
        if not isinstance(name, str):
            raise TypeError(f"`attacks` must have strings as keys, got {name!r}")
        if attack is not None and (isinstance(attack, type) or not hasattr(attack, "poison")):
            raise TypeError(f"`attacks[{name!r}]` must have a method `poison`, got {attack!r}")


def strength_name_of(attack):
    """The name of the parameter that is the strength of an attack, or None if it has none.

    This is its `strength_name`. An attack without this attribute may have a `budget` or a `rate`.
    """
    if hasattr(attack, "strength_name"):
        return attack.strength_name
    params = attack.get_params() if hasattr(attack, "get_params") else {}
    return next((name for name in ("budget", "rate") if name in params), None)


def budget_name_of(attack, budget_name):
    """`budget_name`, which must be a parameter of the attack; for None the one of its strength."""
    is_attack = hasattr(attack, "poison") and not isinstance(attack, type)
    attack = clone(attack) if is_attack else attack
    params = attack.get_params() if is_attack else {}
    if budget_name is None and is_attack:
        budget_name = strength_name_of(attack)
    if budget_name not in params:
        raise ValueError(
            f"`budget_name` must be a parameter of `attack`, got {budget_name!r} with {attack!r}"
        )
    return budget_name


def check_strengths(attacks, param_range):
    """The parameters that are the strengths of attacks, and the values that a study gives them.

    Parameters
    ----------
    attacks : dict of str to attack or None
    param_range : iterable of numbers, or dict of attack to such
        The strengths. A dict may leave out attacks that are None; their strength is 0.

    Returns
    -------
    names : dict of str to str or None
        The name of the parameter by attack; None for an attack None.
    strengths : dict of str to list
        The values by attack.
    """
    names = {}
    for name, attack in attacks.items():
        names[name] = None if attack is None else strength_name_of(attack)
        known = {} if attack is None else clone(attack).get_params()
        if attack is not None and names[name] not in known:
            raise ValueError(
                f"`attacks[{name!r}]` must name the parameter that is its strength in "
                f"`strength_name` to be varied, got {names[name]!r} with {attack!r}"
            )
    if not isinstance(param_range, Mapping):
        values = _check_numbers(param_range, "param_range")
        return names, {name: list(values) for name in attacks}
    needed = {name for name, attack in attacks.items() if attack is not None}
    if not needed <= set(param_range) <= set(attacks):
        raise ValueError(
            f"`param_range` must have strengths for each attack ({sorted(needed)}), got "
            f"{list(param_range)}"
        )
    found = {n: _check_numbers(r, f"param_range[{n!r}]") for n, r in param_range.items()}
    lengths = {name: len(values) for name, values in found.items()}
    if len(set(lengths.values())) > 1:
        raise ValueError(f"`param_range` must have lists of equal length, got lengths {lengths}")
    length = next(iter(lengths.values()), 1)
    return names, {name: found.get(name, [0.0] * length) for name in attacks}


def _check_numbers(values, name):
    if isinstance(values, (str, Mapping)) or not hasattr(values, "__iter__"):
        raise TypeError(f"`{name}` must be an array-like of numbers, got {values!r}")
    numbers = [value.item() if isinstance(value, np.generic) else value for value in values]
    if not numbers:
        raise ValueError(f"`{name}` must have at least one value, got none")
    for number in numbers:
        check_real(number, name, low=0)
    return numbers


def check_test(test):
    """Return the pair `test`, or None for None; raise for anything else."""
    if test is None:
        return None
    try:
        X_test, y_test = test if isinstance(test, (tuple, list)) else ()
    except ValueError:
        raise ValueError(f"`test` must be a pair (X_test, y_test), got {type(test)}") from None
    return tuple(indexable(X_test, y_test))
