"""What a worker does in a study: run an attack, or fit and score one net."""

import time
import traceback

import numpy as np
from sklearn.utils import _safe_indexing
from threadpoolctl import threadpool_limits


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


def failed_cell(error_score):
    return {"score": error_score, "train_score": error_score, "fit_time": np.nan}


def take(data, rows):
    """The given rows of X and y."""
    X, y = data
    return _safe_indexing(X, rows), _safe_indexing(y, rows)
