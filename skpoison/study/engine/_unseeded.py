"""Which seed is missing, so that each run draws other numbers and no earlier result is found."""

import numpy as np


def unseeded_in_study(random_state, cv=None):
    """Name of the parameter that leaves the draws of a study open, or None if they are fixed."""
    if random_state is None or random_state is np.random:
        return "random_state"
    # Of scikit-learn's splitters some always draw, and others if they are told to.
    draws = hasattr(cv, "random_state") and getattr(cv, "shuffle", True)
    return "cv.random_state" if draws and cv.random_state is None else None


def unseeded_in_attack(attack):
    """Name of the parameter that leaves the draws of an attack open, or None if they are fixed.

    A seed of an estimator seeds the estimators inside it; without one, each of these needs its own.
    """
    if not hasattr(attack, "get_params"):
        return None
    seeds = {
        name.removesuffix("random_state"): seed
        for name, seed in attack.get_params(deep=True).items()
        if name == "random_state" or name.endswith("__random_state")
    }
    for owner, seed in sorted(seeds.items(), key=lambda item: item[0]):
        above = [other for other in seeds if owner.startswith(other)]
        if seed is None and all(seeds[other] is None for other in above):
            return f"attack__{owner}random_state"
    return None
