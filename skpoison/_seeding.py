"""Seeds for the estimators inside an estimator."""

from sklearn.utils import check_random_state


def seed_estimator(estimator, random_state, *, overwrite):
    """Give `estimator` and all estimators nested in it integer seeds drawn from `random_state`.

    Parameters are visited in sorted order, so equal estimators get equal seeds. One draw is made
    for each `random_state` parameter; with `overwrite=False` it is set only where the parameter is
    None. This changes `estimator` in place and returns it: pass a clone.
    """
    random_state = check_random_state(random_state)
    seeds = {}
    for name, value in sorted(estimator.get_params(deep=True).items(), key=lambda item: item[0]):
        if name == "random_state" or name.endswith("__random_state"):
            seed = int(random_state.randint(2**31 - 1))
            if overwrite or value is None:
                seeds[name] = seed
    if seeds:
        estimator.set_params(**seeds)
    return estimator
