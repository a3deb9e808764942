"""How a plan is computed: wave by wave, in jobs, with a memory and a list of failures."""

from collections import Counter
from concurrent.futures.process import BrokenProcessPool

from sklearn.exceptions import FitFailedWarning
from sklearn.utils.parallel import Parallel, delayed
from tqdm.auto import tqdm

from ..._threads import one_thread
from ..._warnings import warn_caller
from ._worker import failed_cell


def run_plan(plan, *, n_jobs, store, error_score, progress, description):
    """Compute the cells of a plan, or read them from the store; returns them by place.

    Parameters
    ----------
    plan : Plan
        What to compute: see `Plan` in `_plan.py`.
    n_jobs : int or None
        Number of jobs for joblib.
    store : Store
        Where to keep each finished fit and attack.
    error_score : "raise" or float
        The score of a failed fit; "raise" raises its error.
    progress : bool
        Whether to show a progress bar.
    description : str
        The words in front of the bar.

    Returns
    -------
    cells : dict of Place to Cell
    """
    bar = tqdm(total=plan.n_cells, disable=not progress, unit="fit", desc=description)
    with bar, one_thread(), plan.keys:
        runner = _Runner(plan, n_jobs, store, error_score, bar)
        for wave in plan.waves():
            runner.run_wave(wave)
    runner.report()
    return runner.cells


def run_tasks(tasks, *, strict, n_jobs, **parallel_kw):
    """Run tasks in jobs; yields (places, outcomes) as they end.

    `tasks` is a dict of tuples of places to tasks; a task has an outcome for each place.
    `parallel_kw` is passed to joblib's Parallel.
    """
    calls = (delayed(_outcomes)(places, task, strict) for places, task in tasks.items())
    try:
        yield from Parallel(n_jobs=n_jobs, return_as="generator_unordered", **parallel_kw)(calls)
    except BrokenProcessPool as error:
        raise RuntimeError(
            "A worker process of the study died: killed, out of memory, or crashed. "
            "With `memory` set, finished fits are kept, and the same call continues from there. "
            f"joblib says: {error}"
        ) from error


def _outcomes(places, task, strict):
    return places, task.outcomes(strict)


class _Runner:
    """Computes waves of a plan, and collects cells and failures."""

    def __init__(self, plan, n_jobs, store, error_score, bar):
        self.plan = plan
        self.n_jobs = n_jobs
        self.store = store
        self.error_score = error_score
        self.bar = bar
        self.cells = {}
        self.failures = []
        self.n_failed_cells = 0

    def run_wave(self, places):
        fits = {place: self.plan.fit(place, keyed=self.store.enabled) for place in places}
        missing = {}
        for place, fit in fits.items():
            found = self.store.find(fit.key)
            if found is None:
                missing[place] = fit
            else:
                self.put(place, found)
        poisoned = self.run_attacks(dict.fromkeys(fit.part for fit in missing.values()))
        tasks = {}
        for place, fit in missing.items():
            if fit.part is not None and poisoned[fit.part] is None:
                self.put(place, None)
            else:
                tasks[place] = self.plan.fit_task(place, fit, poisoned.get(fit.part))
        for places, outcomes in self.run_tasks(self.plan.group(tasks, fits, self.n_jobs)):
            for place, (cell, error) in zip(places, outcomes, strict=True):
                if error is None:
                    self.store.keep(missing[place].key, cell)
                else:
                    self.failures.append(error)
                self.put(place, cell)

    def run_attacks(self, parts):
        """Poison the parts; returns their rows by part, None for an attack that failed.

        A part that is None stands for clean training and is left out.
        """
        parts = [part for part in parts if part is not None]
        keys = {}
        if self.store.enabled:
            keys = {part: self.plan.attack_key(part) for part in parts}
        poisoned = {part: self.store.find(keys.get(part)) for part in parts}
        tasks = {(part,): self.plan.attack_task(part) for part in parts if poisoned[part] is None}
        for (part,), ((rows, error),) in self.run_tasks(tasks):
            poisoned[part] = rows
            if error is None:
                self.store.keep(keys.get(part), rows)
            else:
                self.failures.append(error)
        return poisoned

    def run_tasks(self, tasks):
        # Results of a batch reach the store when the batch ends.
        batch_size = 1 if self.store.enabled else "auto"
        strict = self.error_score == "raise"
        return run_tasks(tasks, strict=strict, n_jobs=self.n_jobs, batch_size=batch_size)

    def put(self, place, cell):
        """Enter a cell; None stands for a fit that failed."""
        if cell is None:
            self.n_failed_cells += 1
            cell = failed_cell(self.error_score)
        self.cells[place] = cell
        self.bar.update()

    def report(self):
        """Warn if some fits failed, and raise if all did."""
        if not self.failures:
            return
        errors = "\n".join(
            f"{count} times:\n{error}" for error, count in Counter(self.failures).items()
        )
        message = f"{len(self.failures)} steps of the study failed.\n{errors}"
        if self.n_failed_cells == len(self.cells):
            raise ValueError(f"All {len(self.cells)} fits of the study failed. {message}")
        warn_caller(f"{message}Their scores are {self.error_score}.", FitFailedWarning)
