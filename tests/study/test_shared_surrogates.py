"""Attacks of a study that have the same surrogate share its fit, and no result changes."""

import numpy as np
import pytest
from joblib import parallel_config
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression

from skpoison import MLP, CleanLabelPGA, NetClassifier, robustness_curve
from skpoison.study.engine import AttackTask, SharedSurrogateTask

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


class Counted(NetClassifier):
    n_fits = 0

    def fit(self, *args, **kwargs):
        Counted.n_fits += 1
        return super().fit(*args, **kwargs)


class Own(CleanLabelPGA):
    pass


SURROGATE = Counted(MLP, module__width=4, max_epochs=1, batch_size=32)


def attack(surrogate=SURROGATE, kind=CleanLabelPGA, norm="l2,1", budget=3.0, seed=0):
    return kind(surrogate, norm=norm, budget=budget, max_iter=2, random_state=seed)


def study(digits, attacks, **kwargs):
    """The curve, and how many surrogates were fitted for it."""
    before = Counted.n_fits
    options = {"param_name": "C", "param_range": [0.1], "cv": 3, "random_state": 0} | kwargs
    X, y = (part[:120] for part in digits)
    curve = robustness_curve(LogisticRegression(), X, y, attacks=attacks, **options)
    return curve, Counted.n_fits - before


def test_attacks_with_one_surrogate_fit_it_once_a_fold(digits):
    shared = {"A": attack(), "B": attack(norm="l2,inf", budget=0.5, seed=1)}
    apart = {"A": shared["A"], "B": clone(shared["B"])}
    curve, n_fits = study(digits, shared)
    expected, n_fits_apart = study(digits, apart)
    assert (n_fits, n_fits_apart) == (3, 6)
    for name in shared:
        np.testing.assert_array_equal(curve.scores[name], expected.scores[name])
        np.testing.assert_array_equal(curve.train_scores[name], expected.train_scores[name])
    assert not np.array_equal(curve.train_scores["A"], curve.train_scores["B"])


def test_each_repeat_fits_a_surrogate_of_its_own(digits):
    # Fails if a repeat gets the surrogate of another one, which has another seed.
    shared = {"A": attack(), "B": attack(norm="l2,inf", budget=0.5)}
    curve, n_fits = study(digits, shared, n_repeats=2, cv=2)
    expected, _ = study(digits, {"B": clone(shared["B"])}, n_repeats=2, cv=2)
    assert n_fits == 4
    np.testing.assert_array_equal(curve.train_scores["B"], expected.train_scores["B"])


def test_the_strengths_of_an_attack_share_a_surrogate(digits):
    strengths = {"param_name": "strength", "param_range": [0.0, 1.0, 3.0]}
    curve, n_fits = study(digits, {"A": attack()}, **strengths)
    assert n_fits == 3
    single, _ = study(digits, {"A": attack()}, **strengths | {"param_range": [3.0]})
    np.testing.assert_array_equal(curve.train_scores["A"][2], single.train_scores["A"][0])


def test_no_worker_waits_for_a_shared_surrogate(digits):
    attacks = {"A": attack(), "B": attack(budget=1.0), "C": attack(budget=0.5)}
    with parallel_config("threading"):
        curve, n_fits = study(digits, attacks, poison="dataset", n_jobs=2)
    assert n_fits == 2
    expected, n_fits = study(digits, attacks, poison="dataset")
    assert n_fits == 1
    for name in attacks:
        np.testing.assert_array_equal(curve.train_scores[name], expected.train_scores[name])


@pytest.mark.parametrize(
    "other",
    [
        attack(clone(SURROGATE)),
        attack(clone(SURROGATE).set_params(lr=0.2)),
        attack(kind=Own),
    ],
    ids=["another object", "another rate", "a subclass"],
)
def test_what_may_differ_is_fitted_apart(digits, other):
    assert study(digits, {"A": attack(), "B": other})[1] == 6


def test_an_attack_that_fails_leaves_the_others_alone(digits):
    X, y = (part[:60] for part in digits)
    tasks = [AttackTask(clone(attack(budget=budget)), X, y) for budget in (-1.0, 3.0, 1.0)]
    for task in tasks:
        task.attack.set_params(surrogate__random_state=0)
    before = Counted.n_fits
    failed, *outcomes = SharedSurrogateTask(tasks).outcomes(strict=False)
    assert "`budget` must be" in failed.error
    assert Counted.n_fits - before == 1
    for budget, outcome in zip((3.0, 1.0), outcomes, strict=True):
        alone = clone(attack(budget=budget)).set_params(surrogate__random_state=0)
        np.testing.assert_array_equal(outcome.value.X, alone.poison(X, y)[0])
