"""Attacks that the user gave, and the words for them."""

from collections.abc import Mapping

from sklearn.base import clone

from ..attacks import BaseAttack
from ._attack_facts import AttackFacts
from ._code import code_of
from ._strengths import BUDGET_FACTORS, RATES, check_list


def check_own_attacks(attacks):
    """Raise unless `attacks` is a dict of names to attacks that a study can vary."""
    if not isinstance(attacks, Mapping) or not attacks:
        raise TypeError(f"`attacks` must be 'default' or a non-empty dict, got {attacks!r}")
    for name, attack in attacks.items():
        if not isinstance(name, str):
            raise TypeError(f"`attacks` must have strings as keys, got {name!r}")
        if isinstance(attack, type) or not hasattr(attack, "poison"):
            raise TypeError(
                f"`attacks[{name!r}]` must have a method `poison`, got {attack!r}; clean training "
                "is always in the report"
            )


def facts_of_own(name, attack, strengths):
    """The words of an attack that the user gave. `strengths` is None for the defaults."""
    word = strength_name_of(attack)
    last = None if word is None else word.rpartition("__")[2]
    if strengths is None and last == "rate":
        strengths = [0.0, *RATES]
    elif strengths is None and last == "budget":
        budget = clone(attack).get_params()[word]
        strengths = [0.0, *(factor * budget for factor in BUDGET_FACTORS)]
        strengths = check_list(strengths, name)
    elif strengths is None:
        raise ValueError(
            f"`strengths` must have a list for {name!r}: there are defaults for a rate or a "
            f"budget, and its strength is {word!r}"
        )
    is_share = last == "rate"
    return AttackFacts(
        phrase=f"a rate of {{}} of {name}" if is_share else f"a strength of {{}} of {name}",
        axis=f"{last or 'strength'} of {name}",
        is_share=is_share,
        strengths=list(strengths),
        tags=dict(getattr(attack, "tags", BaseAttack.tags)),
        made_by=code_of(attack),
        has_success=hasattr(attack, "success_rate"),
    )


def strength_name_of(attack):
    """The parameter that is the strength of an attack; None if it has none."""
    if hasattr(attack, "strength_name"):
        return attack.strength_name
    params = attack.get_params() if hasattr(attack, "get_params") else {}
    return next((name for name in ("budget", "rate") if name in params), None)
