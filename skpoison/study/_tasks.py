"""What a worker does in a study: run an attack, or fit and score one net."""

import time
import traceback

import numpy as np
from sklearn.utils import _safe_indexing
from sklearn.utils.validation import _num_samples
from threadpoolctl import threadpool_limits

from ..nets import fit_many


def attempt(place, strict, task, args):
    """Run a task on one thread; returns (place, value, None) or (place, None, what went wrong).

    With `strict` an error is raised as it is.
    """
    with threadpool_limits(1):
        try:
            return place, task(*args), None
        except Exception as error:
            if strict:
                raise
            reason = f"{type(error).__name__}: {error}"
            return place, None, f"{reason}\n{traceback.format_exc()}"


def run_attack(attack, X, y):
    """Poison data; returns (X, y), as many rows as there were."""
    poisoned = attack.poison(X, y)
    name = type(attack).__name__
    if not isinstance(poisoned, tuple) or len(poisoned) != 2:
        raise TypeError(f"`poison` of {name} must return a pair (X, y), got {type(poisoned)}")
    n_rows = [_num_samples(part) for part in (X, *poisoned)]
    if len(set(n_rows)) > 1:
        raise ValueError(f"`poison` of {name} must keep {n_rows[0]} rows, got {n_rows[1:]}")
    return poisoned


def fit_and_score(estimator, data, train, fit_params, test, scorer, score_params):
    """Fit an estimator on rows `train` of the (poisoned) data and score it on the clean `test`.

    `train` None means all rows; `score_params` is a pair, for training rows and `test`. Returns a
    cell of the study.
    """
    X, y = data if train is None else take(data, train)
    start = time.perf_counter()
    estimator.fit(X, y, **fit_params)
    fit_time = time.perf_counter() - start
    return score(estimator, (X, y), test, scorer, score_params, fit_time)


def fit_and_score_many(columns, strict):
    """Fit nets together, each with the arguments of `fit_and_score`.

    Returns (cell, what went wrong) for each: if the group fails, its nets are tried one by one. The
    time of each fit is the group's over its size.
    """
    nets, data, parts = [], [], {}
    for estimator, whole, train, validation, *_ in columns:
        nets.append(estimator)
        # Nets of the same rows are given the same object, which the stack then holds once.
        key = *map(id, whole), id(train)
        if key not in parts:
            parts[key] = whole if train is None else take(whole, train)
        data.append((*parts[key], *validation.values()))
    start = time.perf_counter()
    try:
        fit_many(nets, data, fused=True)
    except Exception:
        return [attempt(None, strict, fit_and_score, column)[1:] for column in columns]
    fit_time = (time.perf_counter() - start) / len(nets)
    return [
        attempt(None, strict, score, (net, part[:2], *scoring, fit_time))[1:]
        for net, part, (_, _, _, _, *scoring) in zip(nets, data, columns, strict=True)
    ]


def score(estimator, training, test, scorer, score_params, fit_time):
    """A cell of the study, of a fitted estimator."""
    return {
        "score": _as_floats(scorer(estimator, *test, **score_params[1])),
        "train_score": _as_floats(scorer(estimator, *training, **score_params[0])),
        "fit_time": fit_time,
    }


def _as_floats(result):
    """A score, or of several metrics a dict of them, as plain floats."""
    if isinstance(result, dict):
        return {metric: float(value) for metric, value in result.items()}
    return float(result)


def failed_cell(error_score):
    return {"score": error_score, "train_score": error_score, "fit_time": np.nan}


def take(data, rows):
    """The given rows of X and y."""
    X, y = data
    return _safe_indexing(X, rows), _safe_indexing(y, rows)
