"""What a study computes: the place of each cell, what is poisoned for it, and its task."""

import math
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, Protocol

import numpy as np
from joblib import effective_n_jobs
from sklearn.base import clone

from ..._frames import count_cells, shape_of
from ..._seeding import seed_estimator
from ...nets.stacks import is_worth_a_stack
from ._keys import Keys
from ._metadata import rows_of
from ._worker import AttackTask, FitTask, StackTask, take

# How many bytes of poisoned rows are held at a time. Attacks beyond that wait for the next wave.
MAX_BYTES = 2**30


@dataclass(frozen=True)
class Place:
    """The place of a cell in a study; `value` is an index into the parameter's values."""

    attack: str
    repeat: int
    value: int
    split: int


@dataclass(frozen=True)
class Part:
    """What one run of an attack poisons: the training rows of `split`, or all if it is None."""

    attack: str
    repeat: int
    split: int | None


@dataclass(frozen=True, eq=False)
class PlannedFit:
    """A fit that is to be computed, or read from the store (the argument `memory`).

    `estimator` has its seeds. `part` says what must be poisoned first; None means clean training.
    `key` is the key of the fit in the store, or None if nothing is kept.
    """

    estimator: Any
    part: Any
    key: str | None


class Plan(Protocol):
    """What `run_plan` needs of a plan.

    Places and parts may be any values that can be hashed. A part has the fields `attack`, the name
    of an attack, and `repeat`. If `needs_attacks`, an attack that fails on all its parts of a
    repeat ends the study.
    """

    needs_attacks: bool

    @property
    def n_cells(self) -> int: ...

    @property
    def n_parts(self) -> int:
        """How often an attack runs, if nothing is in the store."""

    @property
    def keys(self) -> Keys:
        """The keys of results in the store."""

    def waves(self) -> Iterable[list]:
        """The places of all cells, in lists. Poisoned rows are held until their list is done."""

    def fit(self, place: Any, *, keyed: bool) -> PlannedFit:
        """The fit at a place, with its key in the store if `keyed`."""

    def attack_key(self, part: Any) -> str | None:
        """The key of poisoned rows in the store, or None if nothing is kept."""

    def attack_task(self, part: Any) -> AttackTask:
        """The task that poisons a part."""

    def fit_task(self, place: Any, fit: PlannedFit, poisoned: tuple | None) -> FitTask:
        """The task of a fit; `poisoned` has its poisoned rows, or is None for clean training."""

    def group(self, tasks: dict, fits: dict, n_jobs: int | None) -> dict:
        """Put together the tasks that one worker does as one.

        `tasks` has the tasks of this wave by place, and `fits` all its fits by place, also those
        read from the store. Returns a dict of tuples of places to tasks.
        """


@dataclass
class RobustnessPlan:
    """The plan of `robustness_curve`; most fields are arguments of it, checked.

    `splits` has pairs (train, test) of indices. `seeds` has shape (n_repeats, n_splits).
    `hold_out` says whether held-out rows are validation data.
    """

    estimator: Any
    attacks: dict
    param_name: str
    param_range: list
    data: tuple
    classes: np.ndarray
    splits: list
    seeds: np.ndarray
    test: tuple | None
    poison: str
    hold_out: bool
    scoring: Any
    scorer: Any
    fit_params: dict
    score_params: dict
    fused: bool | str
    needs_attacks: ClassVar[bool] = True

    @property
    def n_cells(self):
        return len(self.attacks) * len(self.param_range) * self.seeds.size

    @property
    def n_parts(self):
        n_attacks = sum(attack is not None for attack in self.attacks.values())
        return n_attacks * (len(self.seeds) if self.poison == "dataset" else self.seeds.size)

    def waves(self) -> Iterator[list[Place]]:
        units = [(name, repeat) for repeat in range(len(self.seeds)) for name in self.attacks]
        n_parts = 1 if self.poison == "dataset" else len(self.splits)
        n_bytes = 8 * n_parts * count_cells(self.data[0])
        length = max(1, MAX_BYTES // max(1, n_bytes))
        for start in range(0, len(units), length):
            yield [
                Place(name, repeat, value, split)
                for name, repeat in units[start : start + length]
                # The last values first: of ascending widths, they take longest to fit. No worker
                # then starts a long fit when the others are done.
                for value in reversed(range(len(self.param_range)))
                for split in range(len(self.splits))
            ]

    def fit(self, place, *, keyed):
        seed = self.seeds[place.repeat, place.split]
        estimator = seed_estimator(self._estimator_at(place.value), seed, overwrite=True)
        part = None
        if self.attacks[place.attack] is not None:
            split = place.split if self.poison == "fold" else None
            part = Part(place.attack, place.repeat, split)
        key = None
        if keyed:
            attack = None if part is None else self._seeded_attack(part)
            key = self.keys.of("fit", attack, estimator, place.split)
        return PlannedFit(estimator, part, key)

    def attack_key(self, part):
        return self.keys.of("attack", self._seeded_attack(part), part.split)

    def attack_task(self, part):
        data = self.data if part.split is None else take(self.data, self.splits[part.split][0])
        return AttackTask(self._seeded_attack(part), *data)

    def fit_task(self, place, fit, poisoned):
        train, held_out = self.splits[place.split]
        X = self.data[0]
        # An attack has poisoned either all rows, or the training rows of this split.
        whole = self.data if poisoned is None or self.poison == "fold" else poisoned
        is_fold = poisoned is not None and self.poison == "fold"
        return FitTask(
            estimator=fit.estimator,
            data=poisoned if is_fold else whole,
            rows=None if is_fold else train,
            validation=take(whole, held_out) if self.hold_out else None,
            test=self.test or take(self.data, held_out),
            scorer=self.scorer,
            fit_params=rows_of(self.fit_params, X, train),
            train_score_params=rows_of(self.score_params, X, train),
            test_score_params=rows_of(self.score_params, X, held_out),
            keeps_hits=self.test is not None,
        )

    def group(self, tasks, fits, n_jobs):
        # Fits from the store count too: a study that continues gives the same bits as a whole one.
        n_fits = Counter(place.value for place in fits)
        by_value = {}
        for place in tasks:
            by_value.setdefault(place.value, []).append(place)
        n_jobs = effective_n_jobs(n_jobs)
        grouped = {}
        for value, places in by_value.items():
            if not self._is_stackable(value, n_fits[value]):
                grouped.update({(place,): tasks[place] for place in places})
                continue
            # One stack for each worker. A net depends on the others in its stack by rounding only.
            n_shares = min(n_jobs, math.ceil(len(places) / 3))
            for k in range(n_shares):
                share = tuple(places[k::n_shares])
                grouped[share] = StackTask([tasks[place] for place in share])
        return grouped

    def _estimator_at(self, value):
        # A value may be an estimator; the caller's must not be fitted.
        chosen = clone(self.param_range[value], safe=False)
        return clone(self.estimator).set_params(**{self.param_name: chosen})

    @cached_property
    def keys(self):
        """The keys of results; all depend on data, folds, scorer and the parameters of fits."""
        whole = self.data, self.splits, self.test, self.poison, self.hold_out
        return Keys("robustness", *whole, self.scoring, self.fit_params, self.score_params)

    def _seeded_attack(self, part):
        seed = self.seeds[part.repeat, part.split or 0]
        # With the seed of the victim itself, a surrogate would start from the victim's weights.
        random_state = np.random.RandomState([1, seed])
        return seed_estimator(clone(self.attacks[part.attack]), random_state, overwrite=True)

    def _is_stackable(self, value, n_nets):
        """Whether the nets of a value are to be trained together."""
        if self.fused is False or self.fit_params:
            return False
        shape = shape_of(self.data[0])
        net = self._estimator_at(value)
        return is_worth_a_stack(net, shape, self.classes, n_nets, force=self.fused is True)
