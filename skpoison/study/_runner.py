"""How a study is computed: jobs, memory, failures."""

import warnings

from sklearn.exceptions import FitFailedWarning
from sklearn.utils.parallel import Parallel, delayed

from ._tasks import attempt, failed_cell, fit_and_score, run_attack


class Runner:
    """How it is computed: jobs, memory, failures."""

    def __init__(self, n_jobs, store, error_score):
        self.n_jobs = n_jobs
        self.store = store
        self.error_score = error_score
        self.failures = []
        self.n_failed_cells = 0

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
                cells[place] = self._fail()
                bar.update()
            else:
                tasks[place] = fit_and_score, *study.fit_arguments(fit, data)
        for place, cell, error in self._parallel(tasks):
            cells[place] = self._keep(missing[place].key, cell, error) or self._fail()
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
        tasks = {
            part: (run_attack, study.seeded_attack(attack, seeds, part), *study.attacked(part))
            for part in parts
            if poisoned[part] is None
        }
        for part, data, error in self._parallel(tasks):
            poisoned[part] = self._keep(keys.get(part), data, error)
        return poisoned

    def _keep(self, key, value, error):
        """Keep a value for a later run; of an error take note, and return None."""
        if error is None:
            self.store.keep(key, value)
        else:
            self.failures.append(error)
        return value

    def _fail(self):
        self.n_failed_cells += 1
        return failed_cell(self.error_score)

    def _parallel(self, tasks):
        """Run tasks by place; yields (place, value, error) as they end."""
        strict = self.error_score == "raise"
        calls = (delayed(attempt)(place, strict, *task) for place, task in tasks.items())
        yield from Parallel(n_jobs=self.n_jobs, return_as="generator_unordered")(calls)

    def report(self, n_cells):
        if not self.failures:
            return
        message = f"{len(self.failures)} steps of the study failed. The first:\n{self.failures[0]}"
        if self.n_failed_cells == n_cells:
            raise ValueError(f"All {n_cells} fits of the study failed. {message}")
        warnings.warn(
            f"{message}Their scores are {self.error_score}.", FitFailedWarning, stacklevel=3
        )
