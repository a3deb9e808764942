"""scikit-learn's validation curve, with the nets of a value trained together."""

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn import model_selection
from sklearn.base import clone
from sklearn.exceptions import FitFailedWarning
from sklearn.metrics import check_scoring
from sklearn.model_selection import check_cv
from sklearn.pipeline import Pipeline
from sklearn.utils import indexable

from .._threads import one_thread
from .._typing import Array, Classifier
from .._warnings import warn_caller
from ..nets import NetClassifier
from ..nets.stacks import is_worth_a_stack
from ._poisoned_classifier import PoisonedClassifier, poison_once
from .engine import FitTask, StackTask, run_tasks, take


def validation_curve(
    estimator: Classifier,
    X: ArrayLike,
    y: ArrayLike,
    *,
    param_name: str,
    param_range: Iterable[Any],
    groups: ArrayLike | None = None,
    cv: Any = None,
    scoring: str | Callable[..., float] | None = None,
    n_jobs: int | None = None,
    pre_dispatch: int | str = "all",
    verbose: int = 0,
    error_score: str | float = np.nan,
    params: dict[str, Any] | None = None,
) -> tuple[Array, Array]:
    """Like `sklearn.model_selection.validation_curve`, faster for small nets.

    The estimator may be a `NetClassifier`, or have one as the last step of a Pipeline or inside a
    `PoisonedClassifier`, nested in any order. For each parameter value, the nets of all folds are
    then trained together (`skpoison.nets.fit_many`) if that is faster; transformers and attacks run
    once for each value and fold. Any other estimator is left to scikit-learn's function, and so is
    one whose nets cannot be trained together, after a `FitFailedWarning`. The estimator keeps its
    own seeds: with an int `random_state`, scores agree with scikit-learn's up to rounding.

    Parameters
    ----------
    estimator : classifier
        As in scikit-learn.
    X : array-like of shape (n, d) or (n, c, h, w)
        Rows.
    y : array-like of shape (n,)
        Their labels.
    param_name : str
        Parameter to vary.
    param_range : array-like of shape (n_params,)
        Its values.
    groups, cv, scoring, n_jobs, pre_dispatch, verbose, error_score, params
        As in `sklearn.model_selection.validation_curve`.

    Returns
    -------
    train_scores : ndarray of shape (n_params, n_splits)
        Scores on the training rows, before any attack.
    test_scores : ndarray of shape (n_params, n_splits)
        Scores on the held-out rows.

    Warns
    -----
    FitFailedWarning
        If nets could not be trained together, and scikit-learn fits them one by one.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from skpoison import MLP, NetClassifier
    >>> from skpoison.study import validation_curve
    >>> X, y = load_digits(return_X_y=True)
    >>> net = NetClassifier(MLP, lr=0.5, batch_size=32, random_state=0)
    >>> train_scores, test_scores = validation_curve(
    ...     net, X / 16, y, param_name="module__width", param_range=[4, 64]
    ... )
    >>> test_scores.shape
    (2, 5)
    """
    values = list(param_range)  # An iterator can be read once only.
    if params is None and _net_of(estimator) is not None:
        X, y, groups = indexable(X, y, groups)
        splits = list(check_cv(cv, y, classifier=True).split(X, y, groups))
        cv = splits  # scikit-learn gets the same folds, even if they are random.
        if values and _is_stackable(estimator, param_name, values, X, y, len(splits)):
            scorer = check_scoring(estimator, scoring=scoring)
            tasks = _tasks(estimator, param_name, values, (X, y), splits, scorer)
            options = {"n_jobs": n_jobs, "pre_dispatch": pre_dispatch, "verbose": verbose}
            shape = (len(values), len(splits))
            train_scores, test_scores = np.empty(shape), np.empty(shape)
            try:
                with one_thread():
                    for places, outcomes in run_tasks(tasks, strict=True, **options):
                        for place, (cell, _) in zip(places, outcomes, strict=True):
                            train_scores[place] = cell["train_score"]
                            test_scores[place] = cell["score"]
                return train_scores, test_scores
            except Exception as error:
                # scikit-learn handles errors as `error_score` says.
                warn_caller(
                    f"Nets could not be trained together and are fitted one by one: {error!r}",
                    FitFailedWarning,
                )
    return model_selection.validation_curve(
        estimator,
        X,
        y,
        param_name=param_name,
        param_range=values,
        groups=groups,
        cv=cv,
        scoring=scoring,
        n_jobs=n_jobs,
        pre_dispatch=pre_dispatch,
        verbose=verbose,
        error_score=error_score,
        params=params,
    )


def _net_of(estimator):
    """The net inside pipelines and poisoned classifiers, or None if there is none."""
    while True:
        if type(estimator) is NetClassifier:
            return estimator
        if type(estimator) is PoisonedClassifier:
            estimator = estimator.estimator
        elif type(estimator) is Pipeline and estimator.memory is None:
            estimator = estimator.steps[-1][1]
        else:
            return None


def _is_stackable(estimator, param_name, values, X, y, n_splits):
    """Whether training together is faster for the nets of at least one value."""
    classes = np.unique(y)
    return any(
        is_worth_a_stack(
            _net_of(clone(estimator).set_params(**{param_name: value})),
            np.shape(X),
            classes,
            n_splits,
        )
        for value in values
    )


def _tasks(estimator, param_name, values, data, splits, scorer):
    """A stack for each value, of one net for each fold; a place is (index of the value, fold)."""
    tests = [take(data, held_out) for _, held_out in splits]
    tasks = {}
    for i, value in enumerate(values):
        fits = []
        for (train, _), test in zip(splits, tests, strict=True):
            whole = clone(estimator).set_params(**{param_name: clone(value, safe=False)})
            fits.append(FitTask(whole, data, train, test, scorer))
        places = tuple((i, fold) for fold in range(len(splits)))
        tasks[places] = StackTask(fits, fused="auto", until_net=_fit_until_net, one_by_one=False)
    return tasks


def _fit_until_net(estimator, X, y):
    """Fit all that comes before the net, in place; returns the net and its training rows."""
    if type(estimator) is PoisonedClassifier:
        estimator.attack_, X, y = poison_once(estimator.attack, X, y, estimator.memory)
        estimator.estimator_ = clone(estimator.estimator)
        return _fit_until_net(estimator.estimator_, X, y)
    if type(estimator) is Pipeline:
        for _, step in estimator.steps[:-1]:
            if step is not None and step != "passthrough":
                X = step.fit_transform(X, y)
        return _fit_until_net(estimator.steps[-1][1], X, y)
    return estimator, (X, y)
