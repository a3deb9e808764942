"""How a plan is computed: wave by wave, in jobs, with a memory and a list of failures."""

from collections import Counter
from concurrent.futures.process import BrokenProcessPool

from joblib.parallel import get_active_backend
from sklearn.exceptions import FitFailedWarning
from sklearn.utils.parallel import Parallel, delayed
from tqdm.auto import tqdm

from ..._threads import one_thread
from ..._warnings import warn_caller
from ._worker import FitTask, Outcome, has_score, without_gaps


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
    n_steps = plan.n_cells + plan.n_parts
    bar = tqdm(total=n_steps, disable=not progress, unit="step", desc=description)
    with bar, one_thread(), plan.keys:
        runner = _Runner(plan, n_jobs, store, error_score, bar)
        for wave in plan.waves():
            runner.run_wave(wave)
    runner.report()
    return runner.cells


def run_tasks(tasks, *, strict, n_jobs, **parallel_kw):
    """Run tasks in jobs; yields (places, outcomes) as they end.

    `tasks` is a dict of places to tasks; a task has an outcome for each of its places.
    `parallel_kw` is passed to joblib's Parallel.
    """
    calls = (delayed(_outcomes)(places, task, strict) for places, task in tasks.items())
    # joblib's "multiprocessing" gives results at the end only.
    is_lazy = get_active_backend()[0].supports_return_generator
    return_as = "generator_unordered" if is_lazy else "list"
    try:
        yield from Parallel(n_jobs=n_jobs, return_as=return_as, **parallel_kw)(calls)
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
        self.failures = Counter()  # How many cells lack a score, by the text of the error.
        self.n_lost = 0  # Cells without any score.

    def run_wave(self, places):
        fits = {place: self.plan.fit(place, keyed=self.store.enabled) for place in places}
        missing = {}
        for place, fit in fits.items():
            found = self.store.find(fit.key)
            if found is None:
                missing[place] = fit
            else:
                self.put(place, Outcome(found, None))
        parts = _parts(fits)
        poisoned = self.run_attacks(parts, missing, fits)
        self.bar.update(len(parts) - len(poisoned))
        tasks = {}
        for place, fit in missing.items():
            rows, error = poisoned.get(fit.part, (None, None))
            if place in self.cells:
                continue  # It ran beside the attacks.
            if error is None:
                tasks[place] = self.plan.fit_task(place, fit, rows)
            else:
                self.put(place, Outcome(None, f"The attack {fit.part.label!r} failed: {error}"))
        # Results of a batch reach the store when the batch ends.
        batch_size = 1 if self.store.enabled else "auto"
        tasks = self.plan.group(tasks, fits, self.n_jobs)
        for places, outcomes in self.run_tasks(tasks, batch_size):
            self.finish(places, outcomes, missing)

    def clean_fits(self, missing, fits):
        """The tasks that need no attack, and fit one estimator each.

        They run beside the attacks, so that no worker waits for the last of these.
        """
        clean = {
            place: self.plan.fit_task(place, fit, None)
            for place, fit in missing.items()
            if fit.part is None
        }
        # Nets that are trained together wait for the poisoned ones of their stack.
        grouped = self.plan.group(clean, fits, self.n_jobs)
        return {places: task for places, task in grouped.items() if isinstance(task, FitTask)}

    def finish(self, places, outcomes, fits):
        """Enter the cells of a task and keep them in the store."""
        for place, outcome in zip(places, outcomes, strict=True):
            if outcome.error is None:
                self.store.keep(fits[place].key, outcome.value)
            else:
                outcome = outcome._replace(error=self.plan.error_prefix(place) + outcome.error)
            self.put(place, outcome)

    def run_attacks(self, all_parts, missing_fits, fits):
        """Poison what missing fits need; returns a dict of part to outcome.

        Fits that need no attack are done meanwhile. `all_parts` are those of all fits of the wave.
        """
        keys, parts = {}, _parts(missing_fits)
        if self.store.enabled:
            keys = {part: self.plan.attack_key(part) for part in parts}
        poisoned, missing = {}, []
        for part in parts:
            rows = self.store.find(keys.get(part))
            if rows is None:
                missing.append(part)
            else:
                poisoned[part] = Outcome(rows, None)
        self.bar.update(len(poisoned))
        attacks = self.plan.attack_tasks(missing, self.n_jobs)
        if not attacks:
            return poisoned
        tasks = {("attack", parts): task for parts, task in attacks.items()}
        beside = self.clean_fits(missing_fits, fits)
        tasks |= {("fit", places): task for places, task in beside.items()}
        # One at a time: joblib would put a long attack behind another after some short ones.
        for (kind, done), outcomes in self.run_tasks(tasks, batch_size=1):
            if kind == "fit":
                self.finish(done, outcomes, missing_fits)
                continue
            for part, outcome in zip(done, outcomes, strict=True):
                poisoned[part] = outcome
                if outcome.error is None:
                    self.store.keep(keys.get(part), outcome.value)
                self.bar.update()
            if self.plan.needs_attacks:
                # At once, and not after all fits beside it.
                _check_attacks(all_parts, poisoned)
        return poisoned

    def run_tasks(self, tasks, batch_size):
        strict = self.error_score == "raise"
        return run_tasks(tasks, strict=strict, n_jobs=self.n_jobs, batch_size=batch_size)

    def put(self, place, outcome):
        """Enter the cell of a fit."""
        if outcome.error is not None:
            self.failures[outcome.error] += 1
        self.n_lost += not has_score(outcome.value)
        self.cells[place] = without_gaps(outcome.value, self.error_score)
        self.bar.update()

    def report(self):
        """Warn if some fits or scores failed, and raise if no fit has a score."""
        if not self.failures:
            return
        errors = _counted(self.failures)
        n_cells = len(self.cells)
        if self.n_lost == n_cells:
            raise ValueError(f"All {n_cells} fits of the study failed.\n{errors}")
        warn_caller(
            f"{self.failures.total()} of {n_cells} fits of the study failed, or some of their "
            f"scores; a score that failed is {self.error_score}.\n{errors}",
            FitFailedWarning,
        )


def _parts(fits):
    """What must be poisoned for the fits, each part once; no part stands for clean training."""
    parts = dict.fromkeys(fit.part for fit in fits.values())
    parts.pop(None, None)
    return parts


def _check_attacks(parts, poisoned):
    """Raise if an attack failed on each of its parts in a repeat: no number would be left of it.

    `poisoned` has the outcomes so far; a part without one has not failed.
    """
    errors = {}
    for part in parts:
        _, error = poisoned.get(part, (None, None))
        errors.setdefault((part.label, part.repeat), []).append(error)
    for (name, repeat), found in errors.items():
        if None not in found:
            raise ValueError(
                f"The attack {name!r} failed each time that it ran in repeat {repeat}.\n"
                f"{_counted(Counter(found))}"
            )


def _counted(errors):
    return "\n".join(f"{count} times:\n{error}" for error, count in errors.items())
