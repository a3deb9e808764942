"""How a study is computed: jobs, memory, failures."""

import warnings

from sklearn.exceptions import FitFailedWarning
from sklearn.utils.parallel import Parallel, delayed

from ._tasks import failed_cell, fit_and_score, run_attack


class Runner:
    """How it is computed: jobs, memory, failures."""

    def __init__(self, n_jobs, store, error_score):
        self.n_jobs = n_jobs
        self.store = store
        self.error_score = error_score
        self.failures = []

    def run(self, study, attack, seeds, fits, bar):
        """Compute the fits of one attack and repeat that memory does not know."""
        cells = {place: self.store.find(fit.key) for place, fit in fits.items()}
        missing = {place: fit for place, fit in fits.items() if cells[place] is None}
        bar.update(len(fits) - len(missing))
        poisoned = self._poison(study, attack, seeds, sorted({f.split for f in missing.values()}))
        tasks = {}
        for place, fit in missing.items():
            data = poisoned.get(fit.split if study.poison == "fold" else None)
            if attack is not None and data is None:
                cells[place] = failed_cell(self.error_score)
                bar.update()
            else:
                tasks[place] = delayed(_with_place)(
                    place, fit_and_score, *study.fit_arguments(fit, data)
                )
        for place, cell, error in self._parallel(tasks.values()):
            cells[place] = self._keep(missing[place].key, cell, error)
            bar.update()
        return cells

    def _poison(self, study, attack, seeds, splits):
        """Run the attack for each split (or once for all): part -> poisoned data."""
        if attack is None or not splits:
            return {}
        parts = splits if study.poison == "fold" else [None]
        keys = {}
        if self.store.enabled:
            keys = {part: study.attack_key(attack, seeds, part) for part in parts}
        poisoned = {part: self.store.find(keys.get(part)) for part in parts}
        tasks = [
            delayed(_with_place)(
                part, run_attack, study.seeded_attack(attack, seeds, part), *study.attacked(part)
            )
            for part in parts
            if poisoned[part] is None
        ]
        for part, data, error in self._parallel(tasks):
            poisoned[part] = self._keep(keys.get(part), data, error, failed=None)
        return poisoned

    def _keep(self, key, value, error, failed=...):
        if error is None:
            self.store.keep(key, value)
            return value
        if self.error_score == "raise":
            raise RuntimeError(f"A fit of the study failed:\n{error}")
        self.failures.append(error)
        return failed_cell(self.error_score) if failed is ... else failed

    def _parallel(self, tasks):
        yield from Parallel(n_jobs=self.n_jobs, return_as="generator_unordered")(tasks)

    def report(self, n_cells):
        if not self.failures:
            return
        message = f"{len(self.failures)} steps of the study failed. The first:\n{self.failures[0]}"
        if len(self.failures) >= n_cells:
            raise ValueError(f"All {n_cells} fits of the study failed. {message}")
        warnings.warn(
            f"{message}Their scores are {self.error_score}.", FitFailedWarning, stacklevel=3
        )


class Store:
    """Results by key in a joblib.Memory, written by the parent process alone."""

    def __init__(self, memory):
        self.enabled = memory.location is not None
        self._recall = memory.cache(_recall, ignore=["value"])

    def find(self, key):
        if key is None or not self._recall.check_call_in_cache(key, None):
            return None
        return self._recall(key, None)

    def keep(self, key, value):
        if key is not None:
            self._recall(key, value)


def _recall(key, value):
    """The value that a key was first given."""
    return value


def _with_place(place, function, *args):
    return place, *function(*args)
