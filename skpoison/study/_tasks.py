"""What a worker does in a study: run an attack, or fit and score one net."""

import time
import traceback

import numpy as np
from sklearn.utils import _safe_indexing
from threadpoolctl import threadpool_limits

from ..nets import fit_many


def attempt(place, strict, task, *args):
    """Run a task on one thread; returns (place, value, None) or (place, None, what went wrong).

    With `strict` an error is raised as it is.
    """
    with threadpool_limits(1):
        try:
            return place, task(*args), None
        except Exception:
            if strict:
                raise
            return place, None, traceback.format_exc()


def run_attack(attack, X, y):
    """Poison data; returns (X, y)."""
    return attack.poison(X, y)


def fit_and_score(estimator, data, train, validation, test, scorer):
    """Fit an estimator on rows `train` of the (poisoned) data and score it on the clean `test`.

    `train` None means all rows. Returns a cell of the study.
    """
    X, y = data if train is None else take(data, train)
    fit_params = {}
    if validation is not None:
        fit_params = dict(zip(("X_val", "y_val"), validation, strict=True))
    start = time.perf_counter()
    estimator.fit(X, y, **fit_params)
    fit_time = time.perf_counter() - start
    return {
        "score": float(scorer(estimator, *test)),
        "train_score": float(scorer(estimator, X, y)),
        "fit_time": fit_time,
    }


def fit_and_score_many(columns):
    """Fit nets together, each with the arguments of `fit_and_score`.

    Returns a cell for each, or what went wrong with it: if the group fails, its nets are tried one
    by one. The time of each fit is the group's over its size.
    """
    nets, data = [], []
    for estimator, whole, train, validation, _, _ in columns:
        nets.append(estimator)
        part = whole if train is None else take(whole, train)
        data.append((*part, *(validation or ())))
    start = time.perf_counter()
    try:
        fit_many(nets, data, fused=True)
    except Exception:
        attempts = [attempt(None, False, fit_and_score, *column) for column in columns]
        return [cell if error is None else error for _, cell, error in attempts]
    fit_time = (time.perf_counter() - start) / len(nets)
    return [
        {
            "score": float(scorer(net, *test)),
            "train_score": float(scorer(net, *part[:2])),
            "fit_time": fit_time,
        }
        for net, part, (*_, test, scorer) in zip(nets, data, columns, strict=True)
    ]


def failed_cell(error_score):
    return {"score": error_score, "train_score": error_score, "fit_time": np.nan}


def take(data, rows):
    """The given rows of X and y."""
    X, y = data
    return _safe_indexing(X, rows), _safe_indexing(y, rows)
