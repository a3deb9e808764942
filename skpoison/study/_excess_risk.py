"""The study behind `ExcessRiskDisplay`: the cost of training on poisoned samples."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
from sklearn.base import clone
from sklearn.metrics import check_scoring
from sklearn.utils import check_random_state, indexable
from sklearn.utils.validation import _num_samples

from .._seeding import seed_estimator
from .._validation import check_int
from ._arguments import check_attacks, check_test
from .engine import (
    AttackTask,
    FitTask,
    Keys,
    PlannedFit,
    Store,
    run_plan,
    take,
    unseeded_in_study,
)


def excess_risks(
    estimator,
    X,
    y,
    *,
    attacks,
    train_sizes,
    test,
    scoring,
    n_repeats,
    random_state,
    n_jobs,
    memory,
    progress,
):
    """Train on poisoned samples of several sizes, and once on all rows, which are then clean.

    The arguments are those of `ExcessRiskDisplay.from_estimator`. Returns the sizes, a list of int,
    and the excess risks, a dict of attack to an array of shape (n_sizes, n_repeats), with NaN where
    a fit or its score failed.
    """
    X, y = indexable(X, y)
    n_rows = _num_samples(y)
    sizes = [check_int(n, "train_sizes", low=1, high=n_rows) for n in train_sizes]
    check_int(n_repeats, "n_repeats", low=1)
    check_attacks(attacks)
    if test is None:
        raise ValueError("`test` must be a pair (X_test, y_test), got None")
    test = check_test(test)
    scorer = check_scoring(estimator, scoring=scoring)
    rng = check_random_state(random_state)
    orders, seeds = [], []
    for _ in range(n_repeats):
        orders.append(rng.permutation(n_rows))
        seeds.append(rng.randint(2**31 - 1))
    plan = _ExcessRiskPlan(
        estimator=estimator,
        attacks=dict(attacks),
        sizes=sizes,
        data=(X, y),
        orders=orders,
        seeds=seeds,
        test=test,
        scoring=scoring,
        scorer=scorer,
    )
    cells = run_plan(
        plan,
        n_jobs=n_jobs,
        store=Store(memory, unseeded_in_study(random_state)),
        error_score=np.nan,
        progress=progress,
        description="excess risk",
    )
    excess = {name: np.empty((len(sizes), n_repeats)) for name in attacks}
    for place, cell in cells.items():
        if place.attack is not None:
            clean = cells[_Place(None, None, place.repeat)]
            excess[place.attack][place.size, place.repeat] = clean["score"] - cell["score"]
    return sizes, excess


@dataclass(frozen=True)
class _Place:
    """The place of a fit; `size` is an index. Both are None for clean training on all rows."""

    attack: str | None
    size: int | None
    repeat: int

    @property
    def label(self):
        return self.attack


@dataclass
class _ExcessRiskPlan:
    """The plan of an excess-risk study.

    In repeat r a sample of n rows is the first n of `orders[r]`, and `seeds[r]` seeds attacks and
    fits.
    """

    estimator: Any
    attacks: dict
    sizes: list[int]
    data: tuple
    orders: list[np.ndarray]
    seeds: list[int]
    test: tuple
    scoring: Any
    scorer: Any
    # A small sample may lack a class, so that an attack fails on it.
    needs_attacks: ClassVar[bool] = False

    @property
    def n_cells(self):
        return len(self.seeds) * (1 + len(self.sizes) * len(self.attacks))

    @property
    def n_parts(self):
        n_attacks = sum(attack is not None for attack in self.attacks.values())
        return len(self.seeds) * len(self.sizes) * n_attacks

    def waves(self):
        for repeat in range(len(self.seeds)):
            samples = [
                _Place(name, size, repeat)
                for size in range(len(self.sizes))
                for name in self.attacks
            ]
            yield [_Place(None, None, repeat), *samples]

    def fit(self, place, *, keyed):
        estimator = seed_estimator(clone(self.estimator), self.seeds[place.repeat], overwrite=True)
        is_clean = place.attack is None or self.attacks[place.attack] is None
        part = None if is_clean else place
        key = None
        if keyed:
            attack = None if part is None else self._seeded_attack(part)
            key = self.keys.of("fit", attack, estimator, self._rows(place))
        return PlannedFit(estimator, part, key)

    def attack_key(self, part):
        return self.keys.of("attack", self._seeded_attack(part), self._rows(part))

    def attack_tasks(self, parts, n_jobs):
        return {
            (part,): AttackTask(self._seeded_attack(part), *take(self.data, self._rows(part)))
            for part in parts
        }

    def fit_task(self, place, fit, poisoned):
        data, rows = self.data, self._rows(place)
        if poisoned is not None:
            data, rows = (poisoned.X, poisoned.y), None
        return FitTask(fit.estimator, data, rows, self.test, self.scorer, scores_training=False)

    def error_prefix(self, place):
        return ""

    def group(self, tasks, fits, n_jobs):
        # Samples have different sizes, so few fits could share a stack: each is fitted alone.
        return {(place,): task for place, task in tasks.items()}

    @cached_property
    def keys(self):
        """The keys of results; all depend on data and scorer."""
        return Keys("excess risk", self.data, self.test, self.scoring)

    def _rows(self, place):
        """The rows of a sample; None stands for all, in their own order."""
        return None if place.size is None else self.orders[place.repeat][: self.sizes[place.size]]

    def _seeded_attack(self, part):
        attack = clone(self.attacks[part.attack])
        return seed_estimator(attack, self.seeds[part.repeat], overwrite=True)
