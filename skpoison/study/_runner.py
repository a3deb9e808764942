"""How a study is computed: waves, groups, jobs, memory, failures."""

import math
import warnings
from collections import Counter
from concurrent.futures.process import BrokenProcessPool

import numpy as np
from joblib import effective_n_jobs
from sklearn.exceptions import FitFailedWarning
from sklearn.utils.parallel import Parallel, delayed

from ._tasks import attempt, failed_cell, fit_and_score, fit_and_score_many, run_attack

# Poisoned data that are held at a time: what does not fit is left to the next wave.
MAX_BYTES = 2**30


class Runner:
    """Computes the fits of a study that memory does not know.

    A unit is an attack in a repeat, a pair (name, repeat); a place is a cell of the study,
    (name, repeat, index of the parameter's value, split).
    """

    def __init__(self, study, seeds, *, n_jobs, store, fused, error_score, bar):
        self.study = study
        self.seeds = seeds
        self.n_jobs = n_jobs
        self.store = store
        self.fused = fused
        self.error_score = error_score
        self.bar = bar
        self.cells = {}
        self.failures = []
        self.n_failed_cells = 0

    def run(self):
        """Compute or find all cells; returns them by place."""
        study = self.study
        units = [(name, r) for r in range(len(self.seeds)) for name in study.attacks]
        n_parts = 1 if study.poison == "dataset" else len(study.splits)
        n_bytes = 8 * n_parts * math.prod(np.shape(study.data[0]))
        length = max(1, MAX_BYTES // n_bytes)
        for start in range(0, len(units), length):
            self._run_wave(units[start : start + length])
        self._report()
        return self.cells

    def _run_wave(self, units):
        fits = {}
        for unit in units:
            fits.update(self.study.plan(*unit, self.seeds, self.store.enabled))
        missing = {}
        for place, fit in fits.items():
            found = self.store.find(fit.key)
            if found is None:
                missing[place] = fit
            else:
                self._put(place, found)
        poisoned = self._poison(missing)
        arguments = {}
        for place, fit in missing.items():
            data = poisoned.get(self._part(place))
            if data is None and self.study.attacks[place[0]] is not None:
                self._put(place, None)
            else:
                arguments[place] = self.study.fit_arguments(fit, data)
        tasks = {}
        # Of all fits of a value, found ones too: a study that goes on computes as the whole one.
        sizes = Counter(place[2] for place in fits)
        for places, is_stack in self._group(list(arguments), sizes):
            columns = [arguments[place] for place in places]
            if is_stack:
                tasks[places] = (fit_and_score_many, (columns, self.error_score == "raise"))
            else:
                tasks[places] = (fit_and_score, columns[0])
        for places, result, error in self._parallel(tasks):
            if error is not None:
                result = [(None, error)] * len(places)
            elif tasks[places][0] is fit_and_score:
                result = [(result, None)]
            for place, (cell, what) in zip(places, result, strict=True):
                if what is None:
                    self.store.keep(missing[place].key, cell)
                else:
                    self.failures.append(what)
                self._put(place, cell)

    def _part(self, place):
        """What was attacked for a cell: (name, repeat, split), or split None for the whole."""
        name, repeat, _, split = place
        return name, repeat, split if self.study.poison == "fold" else None

    def _poison(self, missing):
        """Run the attacks that the missing cells need: part -> poisoned data, None if it failed."""
        parts = {self._part(place) for place in missing}
        parts = [part for part in sorted(parts, key=str) if self.study.attacks[part[0]] is not None]
        keys = {}
        if self.store.enabled:
            keys = {part: self.study.attack_key(*part, self.seeds) for part in parts}
        poisoned = {part: self.store.find(keys.get(part)) for part in parts}
        tasks = {
            part: (
                run_attack,
                (self.study.seeded_attack(*part, self.seeds), *self.study.attacked(part)),
            )
            for part in parts
            if poisoned[part] is None
        }
        for part, data, error in self._parallel(tasks):
            poisoned[part] = data
            if error is None:
                self.store.keep(keys.get(part), data)
            else:
                self.failures.append(error)
        return poisoned

    def _group(self, places, sizes):
        """Put the nets that are worth a stack together; yields tuples of places, and if they are.

        `sizes` has the number of fits for each value of the parameter.
        """
        by_value = {}
        for place in places:
            by_value.setdefault(place[2], []).append(place)
        n_jobs = effective_n_jobs(self.n_jobs)
        for value, group in by_value.items():
            n_fits = sizes[value]
            if self.fused is False or not self.study.is_stackable(value, n_fits, self.fused):
                yield from (((place,), False) for place in group)
                continue
            # A share for each worker: what a net becomes does not depend on its company.
            n_shares = min(n_jobs, math.ceil(len(group) / 3))
            for k in range(n_shares):
                yield tuple(group[k::n_shares]), True

    def _parallel(self, tasks):
        """Run tasks by place; yields (place, value, error) as they end."""
        strict = self.error_score == "raise"
        # The arguments stay in their tuple: Dask would put a large one on a worker of its choice,
        # and it would be gone with it.
        calls = (delayed(attempt)(place, strict, *task) for place, task in tasks.items())
        # What is computed in a batch is kept when the batch ends.
        batch_size = 1 if self.store.enabled else "auto"
        try:
            yield from Parallel(
                n_jobs=self.n_jobs, batch_size=batch_size, return_as="generator_unordered"
            )(calls)
        except BrokenProcessPool as error:
            raise RuntimeError(
                "A worker process of the study died: killed, out of memory, or crashed. "
                "What was finished is kept if `memory` is set: the same call then continues "
                f"where this one stopped; else set it. joblib says: {error}"
            ) from error

    def _put(self, place, cell):
        if cell is None:
            self.n_failed_cells += 1
            cell = failed_cell(self.error_score)
        self.cells[place] = cell
        self.bar.update()

    def _report(self):
        if not self.failures:
            return
        errors = "\n".join(
            f"{count} times:\n{error}" for error, count in Counter(self.failures).items()
        )
        message = f"{len(self.failures)} steps of the study failed.\n{errors}"
        if self.n_failed_cells == len(self.cells):
            raise ValueError(f"All {len(self.cells)} fits of the study failed. {message}")
        warnings.warn(
            f"{message}Their scores are {self.error_score}.", FitFailedWarning, stacklevel=4
        )
