"""What a study computes: the place of each cell, what is poisoned for it, and its task."""

import itertools
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
from ._worker import AttackTask, FitTask, Poisoned, SharedSurrogateTask, StackTask, take

# How many bytes of poisoned rows are held at a time. Attacks beyond that wait for the next wave.
MAX_BYTES = 2**30


@dataclass(frozen=True)
class Place:
    """The place of a fit in a study.

    `victim` is None if the study has a single one. `attack` is None for clean training. `value` is
    an index into the values of the victim's parameter, or into the strengths of the attack; it is
    None for clean training in a study over strengths.
    """

    victim: str | None
    attack: str | None
    repeat: int
    value: int | None
    split: int


@dataclass(frozen=True)
class Part:
    """What one run of an attack poisons: the training rows of `split`, or all if it is None.

    `strength` is None if the attack is run as it is.
    """

    attack: str
    repeat: int
    split: int | None
    strength: float | None

    @property
    def label(self):
        at = "" if self.strength is None else f" at strength {self.strength:g}"
        return f"{self.attack}{at}"


@dataclass(frozen=True, eq=False)
class Victim:
    """A victim, and the parameter that varies; with the name "" none does.

    Parameters of its fits and scores are those that are passed to it and its scorer.
    """

    estimator: Any
    param_name: str
    param_range: list
    scorer: Any
    fit_params: dict
    score_params: dict

    def at(self, value):
        """A clone at the value with an index."""
        estimator = clone(self.estimator)
        if not self.param_name:
            return estimator
        # A value may be an estimator; the caller's must not be fitted.
        return estimator.set_params(**{self.param_name: clone(self.param_range[value], safe=False)})


@dataclass(frozen=True, eq=False)
class PlannedFit:
    """A fit that is to be computed, or read from the store (the argument `memory`).

    `estimator` has its seeds. `part` says what must be poisoned first; None means clean training.
    `key` is the key of the fit in the store, or None if nothing is kept.
    """

    estimator: Any
    part: Any
    key: str | None


def is_whole(strength_name):
    """Whether an attack of strength 0 changes nothing.

    The strength of a chain is the one of its first attack, and the others poison at 0 too.
    """
    return "__" not in strength_name


class Plan(Protocol):
    """What `run_plan` needs of a plan.

    Places and parts may be any values that can be hashed. A part has `label`, which names its
    attack in messages, and `repeat`. If `needs_attacks`, an attack that fails on all its parts of a
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

    def attack_tasks(self, parts: list, n_jobs: int | None) -> dict:
        """The tasks that poison the parts: a dict of tuples of parts to tasks."""

    def fit_task(self, place: Any, fit: PlannedFit, poisoned: Poisoned | None) -> FitTask:
        """The task of a fit; `poisoned` has its poisoned rows, or is None for clean training."""

    def error_prefix(self, place: Any) -> str:
        """The words that stand before the error of a fit: which victim it is, or none."""

    def group(self, tasks: dict, fits: dict, n_jobs: int | None) -> dict:
        """Put together the tasks that one worker does as one.

        `tasks` has the tasks of this wave by place, and `fits` all its fits by place, also those
        read from the store. Returns a dict of tuples of places to tasks.
        """


@dataclass
class RobustnessPlan:
    """The plan of `robustness_curve`; most fields are arguments of it, checked.

    `victims` has a `Victim` for each name. `strengths` has a list of numbers for each attack, all
    of the same length, and `strength_names` the parameters that they are values of; both are None
    if a parameter of the victims varies. `splits` has pairs (train, test) of indices. `seeds` has
    shape (n_repeats, n_splits). `hold_out` says whether held-out rows are validation data, and
    `tells_poison` whether a scorer asks for the poisoned rows.

    The victims are one more dimension of the places. They share the parts, so that an attack runs
    once whatever their number; and a fit depends on its own victim only.
    """

    victims: dict
    attacks: dict
    strengths: dict | None
    strength_names: dict | None
    data: tuple
    classes: np.ndarray
    splits: list
    seeds: np.ndarray
    test: tuple | None
    poison: str
    hold_out: bool
    scoring: Any
    tells_poison: bool
    fused: bool | str
    needs_attacks: ClassVar[bool] = True

    @property
    def n_cells(self):
        return sum(map(len, self._units.values()))

    @property
    def n_parts(self):
        return len({self._part(place) for unit in self._units.values() for place in unit} - {None})

    def n_values(self, victim):
        """How many values a victim is fitted at, under each attack."""
        if self.strengths is None:
            return len(self.victims[victim].param_range)
        return len(next(iter(self.strengths.values())))

    def place(self, victim, attack, repeat, value, split):
        """The place of a fit. Clean training is one fit, whatever attack and strength ask for it.

        The arguments are the fields of `Place`, but the attack is a name, and the value an index.
        """
        is_clean = self.attacks[attack] is None
        if self.strengths is not None:
            strengths = self.strengths[attack]
            is_clean = is_clean or (strengths[value] == 0 and is_whole(self.strength_names[attack]))
            # A strength that is given twice is one fit too.
            value = None if is_clean else strengths.index(strengths[value])
        return Place(victim, None if is_clean else attack, repeat, value, split)

    def waves(self) -> Iterator[list[Place]]:
        units = list(self._units.values())
        n_parts = 1 if self.poison == "dataset" else len(self.splits)
        n_bytes = 8 * n_parts * count_cells(self.data[0])
        length = max(1, MAX_BYTES // max(1, n_bytes))
        for start in range(0, len(units), length):
            yield list(itertools.chain(*units[start : start + length]))

    @cached_property
    def _units(self):
        """The places of all fits, by what they need poisoned: these fits are in one wave."""
        units = {}
        for repeat in range(len(self.seeds)):
            for attack in self.attacks:
                for victim in self.victims:
                    # The last values first: of ascending widths, they take longest to fit. No
                    # worker then starts a long fit when the others are done.
                    for value in reversed(range(self.n_values(victim))):
                        for split in range(len(self.splits)):
                            place = self.place(victim, attack, repeat, value, split)
                            strength = None if self.strengths is None else place.value
                            unit = units.setdefault((repeat, place.attack, strength), {})
                            unit[place] = None
        return units

    def fit(self, place, *, keyed):
        seed = self.seeds[place.repeat, place.split]
        estimator = self.victims[place.victim].at(place.value)
        estimator = seed_estimator(estimator, seed, overwrite=True)
        part = self._part(place)
        key = None
        if keyed:
            attack = None if part is None else self._seeded_attack(part)
            params = self._params_key(place.victim)
            key = params and self.keys.of("fit", attack, estimator, place.split, params)
        return PlannedFit(estimator, part, key)

    def _part(self, place):
        """What must be poisoned for a place; None for clean training."""
        if place.attack is None:
            return None
        split = place.split if self.poison == "fold" else None
        strength = None if self.strengths is None else self.strengths[place.attack][place.value]
        return Part(place.attack, place.repeat, split, strength)

    def attack_key(self, part):
        return self.keys.of("attack", self._seeded_attack(part), part.split)

    def attack_tasks(self, parts, n_jobs):
        groups = {}
        for part in parts:
            groups.setdefault(self._shared_by(part), []).append(part)
        tasks = {}
        for group in groups.values():
            # Workers without a group of their own get a share of another's.
            n_shares = min(len(group), math.ceil(effective_n_jobs(n_jobs) / len(groups)))
            split = group[0].split
            X, y = self.data if split is None else take(self.data, self.splits[split][0])
            for k in range(n_shares):
                share = group[k::n_shares]
                own = [
                    AttackTask(self._seeded_attack(part), X, y, finds_rows=self.tells_poison)
                    for part in share
                ]
                tasks[tuple(share)] = SharedSurrogateTask(own) if len(own) > 1 else own[0]
        return tasks

    def _shared_by(self, part):
        """What parts have in common that fit the same surrogate; the part itself if none does.

        They have the rows, the seeds (a study sets them all) and each parameter that the surrogate
        depends on, down to its identity: estimators cannot be compared.
        """
        attack = self.attacks[part.attack]
        # A subclass may fit its surrogate in another way.
        later = vars(type(attack)).get("used_after_surrogate")
        # What has no `logits` is fitted fast, or is a Pipeline.
        if later is None or not hasattr(attack.surrogate, "logits"):
            return part
        strength = self.strength_names and self.strength_names[part.attack]
        if strength is not None and strength not in later:
            return part
        fixed = {
            name: id(value)
            for name, value in attack.get_params(deep=False).items()
            if name not in later and name != "random_state"
        }
        return type(attack), part.repeat, part.split, tuple(sorted(fixed.items()))

    def fit_task(self, place, fit, poisoned):
        train, held_out = self.splits[place.split]
        victim = self.victims[place.victim]
        X = self.data[0]
        # An attack has poisoned either all rows, or the training rows of this split.
        rows = None if poisoned is None else (poisoned.X, poisoned.y)
        whole = self.data if rows is None or self.poison == "fold" else rows
        is_fold = rows is not None and self.poison == "fold"
        return FitTask(
            estimator=fit.estimator,
            data=rows if is_fold else whole,
            rows=None if is_fold else train,
            validation=take(whole, held_out) if self.hold_out else None,
            test=self.test or take(self.data, held_out),
            scorer=victim.scorer,
            fit_params=rows_of(victim.fit_params, X, train),
            train_score_params=rows_of(victim.score_params, X, train),
            test_score_params=rows_of(victim.score_params, X, held_out),
            keeps_hits=self.test is not None,
            poison_indices=self._poison_indices(poisoned, train) if self.tells_poison else None,
        )

    def _poison_indices(self, poisoned, train):
        """Which of the training rows of a split changed."""
        if poisoned is None:
            return np.arange(0)
        if self.poison == "fold":
            return poisoned.changed
        return np.flatnonzero(np.isin(train, poisoned.changed))

    def error_prefix(self, place):
        return "" if place.victim is None else f"Victim {place.victim!r}: "

    def group(self, tasks, fits, n_jobs):
        # Fits from the store count too: a study that continues gives the same bits as a whole one.
        n_fits = Counter(self._stack_of(place) for place in fits)
        stacks = {}
        for place in tasks:
            stacks.setdefault(self._stack_of(place), []).append(place)
        n_jobs = effective_n_jobs(n_jobs)
        grouped = {}
        for stack, places in stacks.items():
            if not self._is_stackable(stack, n_fits[stack]):
                grouped.update({(place,): tasks[place] for place in places})
                continue
            # One stack for each worker. A net depends on the others in its stack by rounding only.
            n_shares = min(n_jobs, math.ceil(len(places) / 3))
            for k in range(n_shares):
                share = tuple(places[k::n_shares])
                grouped[share] = StackTask([tasks[place] for place in share])
        return grouped

    def _stack_of(self, place):
        """The victim and the value whose nets may be trained together with the one of a place.

        Nets of different victims are not, so that a further victim moves no bit of the others.
        """
        return place.victim, place.value if self.strengths is None else None

    @cached_property
    def keys(self):
        """The keys of results; all depend on data, folds and scorer, and none on other victims."""
        whole = self.data, self.splits, self.test, self.poison, self.hold_out
        return Keys("robustness", *whole, self.scoring)

    def _params_key(self, victim):
        """The key of what fits and scores of a victim are passed, or None if it has none."""
        if victim not in self._params_keys:
            chosen = self.victims[victim]
            found = self.keys.of("params", chosen.fit_params, chosen.score_params)
            self._params_keys[victim] = found
        return self._params_keys[victim]

    @cached_property
    def _params_keys(self):
        return {}

    def _seeded_attack(self, part):
        attack = clone(self.attacks[part.attack])
        if part.strength is not None:
            attack.set_params(**{self.strength_names[part.attack]: part.strength})
        seed = self.seeds[part.repeat, part.split or 0]
        # With the seed of the victim itself, a surrogate would start from the victim's weights.
        random_state = np.random.RandomState([1, seed])
        return seed_estimator(attack, random_state, overwrite=True)

    def _is_stackable(self, stack, n_nets):
        """Whether the nets of a victim at a value are to be trained together."""
        name, value = stack
        victim = self.victims[name]
        if self.fused is False or victim.fit_params:
            return False
        shape = shape_of(self.data[0])
        net = victim.at(value)
        return is_worth_a_stack(net, shape, self.classes, n_nets, force=self.fused is True)
