"""What a worker does in a study: run an attack, fit and score an estimator or a stack of nets.

Each kind of work is a class of tasks. A task holds everything that it needs. A worker gets it,
calls its `outcomes` and sends the result back.
"""

import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypedDict

import numpy as np
from sklearn.frozen import FrozenEstimator
from sklearn.utils import _safe_indexing

from ..._frames import count_rows, rows_that_differ
from ..._threads import one_thread
from ...nets import fit_many
from ._telling import POISON


class Cell(TypedDict):
    """The result of one fit: scores (with several metrics, dicts of scores) and seconds.

    A score is None where scoring failed. `hits` says in packed bits which rows of a fixed test set
    were predicted right; else it is None.
    """

    score: Any
    train_score: Any
    fit_time: float
    hits: np.ndarray | None


class Outcome(NamedTuple):
    """A value and None; or, if the work failed, the text of the error beside what there is."""

    value: Any
    error: str | None


def attempt(work, strict):
    """Call `work` on one thread, and return its outcome; with `strict` an error is raised as is."""
    with one_thread():
        try:
            return Outcome(work(), None)
        except Exception as error:
            if strict:
                raise
            return Outcome(None, f"{type(error).__name__}: {error}\n{traceback.format_exc()}")


# Slots rule out weak references, on purpose. With its Dask backend, joblib keeps a large argument
# that can be weakly referenced on one worker only; if that worker died, the argument would be lost.


class Poisoned(NamedTuple):
    """Poisoned rows, and the indices of those that changed, or None if nobody asks for them."""

    X: Any
    y: Any
    changed: np.ndarray | None


@dataclass(eq=False, slots=True)
class AttackTask:
    """Run an attack on clean rows; its one outcome is a `Poisoned`.

    `finds_rows` says whether it has the indices of the rows that changed: the attack's
    `poison_indices_`, or if it has none, those that are found by comparison.
    """

    attack: Any
    X: Any
    y: Any
    finds_rows: bool = False

    def outcomes(self, strict):
        return [attempt(self.run, strict)]

    def run(self):
        X, y = run_attack(self.attack, self.X, self.y)
        changed = None
        if self.finds_rows:
            changed = getattr(self.attack, "poison_indices_", None)
            if changed is None:
                changed = rows_that_differ(self.X, X) | rows_that_differ(self.y, y)
                changed = np.flatnonzero(changed)
        return Poisoned(X, y, changed)


@dataclass(eq=False, slots=True)
class SharedSurrogateTask:
    """Run attacks that would fit the same surrogate on the same rows; each has an outcome.

    The first that succeeds fits the surrogate, and all later ones are given it.
    """

    tasks: list[AttackTask]

    def outcomes(self, strict):
        outcomes, fitted = [], None
        for task in self.tasks:
            if fitted is not None:
                task.attack.set_params(surrogate=FrozenEstimator(fitted))
            outcomes += task.outcomes(strict)
            fitted = fitted or getattr(task.attack, "surrogate_", None)
        return outcomes


@dataclass(eq=False, slots=True)
class FitTask:
    """Fit an estimator on rows that may be poisoned, and score it on clean rows.

    The one outcome is a cell. The estimator is fitted in place, on the `rows` of `data`, or on all
    of them if `rows` is None. `data`, `test` and `validation` are pairs (X, y).
    """

    estimator: Any
    data: tuple
    rows: np.ndarray | None
    test: tuple
    scorer: Any
    validation: tuple | None = None
    fit_params: dict = field(default_factory=dict)
    train_score_params: dict = field(default_factory=dict)
    test_score_params: dict = field(default_factory=dict)
    scores_training: bool = True
    keeps_hits: bool = False
    poison_indices: np.ndarray | None = None

    def outcomes(self, strict):
        fitted = attempt(self.fit, strict)
        return [fitted if fitted.error else self.scored(*fitted.value, strict)]

    def fit(self):
        """Fit the estimator; returns the rows it was trained on, and seconds."""
        training = self.training()
        start = time.perf_counter()
        fit_params = dict(self.fit_params)
        if self.validation is not None:
            fit_params["X_val"], fit_params["y_val"] = self.validation
        self.estimator.fit(*training, **fit_params)
        return training, time.perf_counter() - start

    def training(self):
        """The rows to train on, a pair (X, y)."""
        return self.data if self.rows is None else take(self.data, self.rows)

    def scored(self, training, fit_time, strict):
        """Score the estimator, which must be fitted; the outcome is a cell."""
        told = {}
        if self.poison_indices is not None:
            told = {"poison": dict(zip(POISON, (self.poison_indices, *training), strict=True))}
        score, error = self.score(self.test, self.test_score_params | told, strict)
        train_score, train_error = np.nan, None
        if self.scores_training:
            train_score, train_error = self.score(training, self.train_score_params | told, strict)
        cell = {"score": score, "train_score": train_score, "fit_time": fit_time}
        cell["hits"] = self.hits() if self.keeps_hits else None
        return Outcome(cell, error or train_error)

    def hits(self):
        """Which test rows are predicted right, in packed bits; None for what is no classifier."""
        X, y = self.test
        predicted, _ = attempt(lambda: np.asarray(self.estimator.predict(X)), strict=False)
        labels = np.asarray(y)
        if labels.shape[1:] == (1,):
            labels = labels[:, 0]
        # Half of the rows choose a value, and the other half judges it.
        if (
            predicted is None
            or predicted.shape != labels.shape
            or labels.shape[1:]
            or len(labels) < 2
        ):
            return None
        return np.packbits(predicted == labels)

    def score(self, data, params, strict):
        """Score the estimator; each metric fails by itself."""
        result, error = attempt(lambda: self.scorer(self.estimator, *data, **params), strict)
        if error is not None:
            return Outcome(None, f"Scoring failed: {error}")
        if not isinstance(result, dict):
            return Outcome(float(result), None)
        scores = {}
        for metric, value in result.items():
            # scikit-learn's scorer of several metrics gives the traceback of one that failed.
            failed = isinstance(value, str)
            scores[metric] = None if failed else float(value)
            if failed and error is None:
                reason = value.strip().rpartition("\n")[2]
                error = f"Scoring failed: the metric {metric!r}: {reason}\n{value}"
        return Outcome(scores, error)


@dataclass(eq=False, slots=True)
class StackTask:
    """Fit nets together and score each; every fit has an outcome, a cell.

    `fused` is passed to `fit_many`. If the net is the last part of the estimators (of a Pipeline),
    `until_net(estimator, X, y)` fits the parts before it, and returns the net and its rows (X, y).
    If the stack fails and `one_by_one` is True, its fits are tried one by
    one. All fits get an equal share of the stack's time.
    """

    fits: list[FitTask]
    fused: bool | str = True
    until_net: Callable | None = None
    one_by_one: bool = True

    def outcomes(self, strict):
        with one_thread():
            try:
                trainings = self.trainings()
                fit_time = self.fit(trainings)
            except Exception:
                if not self.one_by_one:
                    raise
                return [outcome for fit in self.fits for outcome in fit.outcomes(strict)]
            return [
                fit.scored(training, fit_time, strict)
                for fit, training in zip(self.fits, trainings, strict=True)
            ]

    def trainings(self):
        """The training rows of each fit. Fits on the same rows share one object, held once."""
        found = {}
        trainings = []
        for fit in self.fits:
            key = *map(id, fit.data), id(fit.rows)
            if key not in found:
                found[key] = fit.training()
            trainings.append(found[key])
        return trainings

    def fit(self, trainings):
        """Fit the nets, and return the seconds for each."""
        nets, data = [], []
        for fit, training in zip(self.fits, trainings, strict=True):
            net, rows = fit.estimator, training
            if self.until_net is not None:
                net, rows = self.until_net(net, *training)
            nets.append(net)
            data.append((*rows, *(fit.validation or ())))
        start = time.perf_counter()
        fit_many(nets, data, fused=self.fused)
        return (time.perf_counter() - start) / len(nets)


def run_attack(attack, X, y):
    """Return the poisoned rows (X, y), and raise if their number has changed."""
    poisoned = attack.poison(X, y)
    name = type(attack).__name__
    if not isinstance(poisoned, tuple) or len(poisoned) != 2:
        raise TypeError(f"`poison` of {name} must return a pair (X, y), got {type(poisoned)}")
    n_rows = [count_rows(part) for part in (X, *poisoned)]
    if len(set(n_rows)) > 1:
        raise ValueError(f"`poison` of {name} must keep {n_rows[0]} rows, got {n_rows[1:]}")
    return poisoned


def without_gaps(cell, error_score) -> Cell:
    """The cell with `error_score` for each missing score. A cell that is None has none at all."""
    if cell is None:
        score = error_score
        return {"score": score, "train_score": score, "fit_time": np.nan, "hits": None}

    def put(score):
        if isinstance(score, dict):
            return {metric: put(value) for metric, value in score.items()}
        return error_score if score is None else score

    return {
        "score": put(cell["score"]),
        "train_score": put(cell["train_score"]),
        "fit_time": cell["fit_time"],
        "hits": cell["hits"],
    }


def has_score(cell):
    """Whether a cell has a score on clean rows, of one metric at least."""
    score = None if cell is None else cell["score"]
    return any(
        value is not None for value in (score.values() if isinstance(score, dict) else [score])
    )


def take(data, rows):
    """The given rows of X and y."""
    X, y = data
    return _safe_indexing(X, rows), _safe_indexing(y, rows)
