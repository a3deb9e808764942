"""The study of a classifier over a parameter, under each of several attacks."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import clone
from sklearn.metrics import check_scoring
from sklearn.model_selection import check_cv
from sklearn.utils import check_random_state, indexable
from sklearn.utils.validation import _num_samples, has_fit_parameter

from .._typing import Attack, Classifier, Memory, Seed
from .._validation import check_choice, check_int, check_labels, check_real
from ._arguments import check_attacks, check_test
from ._results import RobustnessCurve
from .engine import RobustnessPlan, Store, route, run_plan, unseeded_in_study


def robustness_curve(
    estimator: Classifier,
    X: ArrayLike,
    y: ArrayLike,
    *,
    attacks: Mapping[str, Attack | None],
    param_name: str,
    param_range: Iterable[Any],
    cv: Any = None,
    test: tuple[ArrayLike, ArrayLike] | None = None,
    poison: str = "fold",
    early_stop_on: str = "fraction",
    n_repeats: int = 1,
    scoring: str | Callable[..., float] | None = None,
    n_jobs: int | None = None,
    memory: Memory = None,
    fused: bool | str = "auto",
    error_score: str | float = np.nan,
    random_state: Seed = None,
    progress: bool = False,
    params: dict[str, Any] | None = None,
) -> RobustnessCurve:
    """Score a classifier on clean data over a parameter, trained under each of several attacks.

    Every attack is run once for each fold and repeat, whatever the number of parameter values, and
    all attacks and values see the same folds and seeds, so that comparisons are paired.

    Parameters
    ----------
    estimator : classifier
        The victim, cloned for each fit. The study sets every `random_state` in it.
    X : array-like of shape (n, d) or (n, c, h, w), or frame of n rows
        Clean rows, in any container that the victim and the attacks take: arrays, frames of any
        library, sparse rows, texts.
    y : array-like of shape (n,)
        Their labels.
    attacks : dict of str to attack or None
        The attacks by name; None stands for clean training. They are cloned, and the study sets
        every `random_state` in them. An attack gets rows as X has them, even if the estimator is a
        Pipeline.
    param_name : str
        Parameter of `estimator` to vary, such as ``"module__width"``.
    param_range : array-like of shape (n_params,)
        Its values.
    cv : int, cross-validation generator or iterable, default=None
        The folds, as in `sklearn.model_selection.cross_validate`; None: 5 stratified folds.
    test : tuple of (X_test, y_test), default=None
        A fixed clean test set to score on. None: the held-out fold, clean.
    poison : {"fold", "dataset"}, default="fold"
        "fold": the attack runs on the training rows of each fold separately. "dataset": it runs
        once on all of (X, y), which are then split, so that held-out rows take part in it; this is
        the protocol of [1]_.
    early_stop_on : {"fraction", "held-out"}, default="fraction"
        "fraction" leaves validation to the estimator. "held-out" passes the held-out fold to `fit`
        as ``X_val, y_val``; a `NetClassifier` takes them, a Pipeline does not. Under
        ``poison="dataset"`` this fold is poisoned, as in [1]_. `test` must be given then, because
        a fold that chooses the epoch scores too well.
    n_repeats : int, default=1
        How often to repeat everything, on the same folds with new seeds.
    scoring : str, callable, list or dict, default=None
        The scorer, or None for the estimator's own `score`. Several metrics are given as in
        `sklearn.model_selection.cross_validate`: a list of names, a dict of scorers, or a callable
        that returns a dict of numbers.
    n_jobs : int, default=None
        Number of jobs for joblib. The result does not depend on it, because each fit runs on one
        thread; with ``fused=True`` or on CUDA, stacks of other modules than linear chains may
        differ by rounding.
    memory : str, path-like, joblib.Memory or None, default=None
        Where to keep each finished fit and attack. A run that was killed continues where it
        stopped if it is started again with the same arguments, the same code and versions, and an
        int `random_state`. The page "What a user may rely on" lists what must be equal. The folder
        holds pickles: never load one from a stranger.
    fused : {"auto", True, False}, default="auto"
        Whether to train nets of one architecture together, across folds, attacks and repeats
        (`skpoison.nets.fit_many`). "auto" does so where it is faster, which depends on sizes alone;
        True does so wherever it is possible. Only a plain `NetClassifier` is trained so. Scores
        agree up to rounding.
    error_score : "raise" or float, default=nan
        The score of a fit that failed; a warning then lists the errors. A metric that fails has
        this score too, and the other metrics keep theirs. "raise" raises the error.
    random_state : int, RandomState instance or None, default=None
        Seeds the study, which draws one seed for each repeat and split.
    progress : bool, default=False
        Whether to show a progress bar, which counts attacks and fits.
    params : dict, default=None
        Parameters for the `fit` of `estimator`, such as ``{"sample_weight": weights}``. A parameter
        with one value for each row of X is cut to the rows of each fit. ``groups`` go to the
        splitter instead. With scikit-learn's metadata routing enabled, parameters go to `fit`, the
        scorer and the splitter, as these request them. Attacks get none.

    Returns
    -------
    curve : RobustnessCurve or dict of str to RobustnessCurve
        Scores on clean rows, scores on the rows trained on, and fit times. The time of nets that
        are trained together is shared equally. With several metrics, there is a curve for each.

    Raises
    ------
    ValueError
        If an argument is out of its range, all fits failed, or an attack failed at all folds of a
        repeat.
    RuntimeError
        If a worker process died. Finished fits and attacks are in `memory`, if that is set.

    Warns
    -----
    FitFailedWarning
        If some fits, attacks or scores failed and `error_score` is a number.
    UserWarning
        If `memory` cannot be written, or there is no seed, so that nothing is kept; if something
        cannot be fingerprinted or does not pickle, so that its results are not kept; or if an entry
        is damaged and computed again.

    References
    ----------
    .. [1] Wang, Mianjy, Arora, "Robust Learning for Data Poisoning Attacks", ICML 2021, Section 5.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from skpoison import LabelFlip, MLP, NetClassifier, robustness_curve
    >>> X, y = load_digits(return_X_y=True)
    >>> curve = robustness_curve(
    ...     NetClassifier(MLP, lr=0.5, batch_size=32), X[:500] / 16, y[:500],
    ...     attacks={"clean": None, "flips": LabelFlip(0.3)},
    ...     param_name="module__width", param_range=[2, 64], cv=3, random_state=0,
    ... )
    >>> curve.scores["flips"].shape
    (2, 3)
    """
    X, y = indexable(X, y)
    _, classes = check_labels(y, min_classes=2)
    if error_score != "raise" and not (
        isinstance(error_score, (float, np.floating)) and np.isnan(error_score)
    ):
        error_score = check_real(error_score, "error_score")
    cv = check_cv(cv, y, classifier=True)
    scorer = check_scoring(estimator, scoring=scoring, raise_exc=error_score == "raise")
    split_params, fit_params, score_params = route(params, estimator, cv, scorer)
    if score_params and test is not None:
        raise ValueError(
            "`params` must not go to the scorer with a fixed `test`, whose rows they do not "
            f"describe, got {sorted(score_params)}"
        )
    check_attacks(attacks)
    values = _check_range(estimator, param_name, param_range)
    splits = _check_folds(cv.split(X, y, **split_params))
    test = check_test(test)
    check_choice(poison, "poison", ("fold", "dataset"))
    hold_out = _check_early_stop(estimator, early_stop_on, test)
    check_int(n_repeats, "n_repeats", low=1)
    if isinstance(fused, np.bool_):
        fused = bool(fused)
    if not isinstance(fused, bool):
        check_choice(fused, "fused", ("auto",))
    # A row for each repeat: the first seeds do not depend on how many repeats follow.
    shape = (n_repeats, len(splits))
    seeds = check_random_state(random_state).randint(2**31 - 1, size=shape)
    plan = RobustnessPlan(
        estimator=estimator,
        attacks=dict(attacks),
        param_name=param_name,
        param_range=values,
        data=(X, y),
        classes=classes,
        splits=splits,
        seeds=seeds,
        test=test,
        poison=poison,
        hold_out=hold_out,
        scoring=scoring,
        scorer=scorer,
        fit_params=fit_params,
        score_params=score_params,
        fused=fused,
    )
    cells = run_plan(
        plan,
        n_jobs=n_jobs,
        store=Store(memory, unseeded_in_study(random_state, cv)),
        error_score=error_score,
        progress=progress,
        description="robustness",
    )
    return _result(cells, plan)


def _result(cells, plan):
    """The curve of a study's cells, or of several metrics a dict of curves."""
    scores = [cell["score"] for cell in cells.values()]
    metrics = next((list(score) for score in scores if isinstance(score, dict)), None)
    if metrics is None:
        return _curve(cells, plan)
    return {metric: _curve(cells, plan, metric) for metric in metrics}


def _curve(cells, plan, metric=None):
    shape = (len(plan.param_range), plan.seeds.size)
    tables = {
        field: {name: np.empty(shape) for name in plan.attacks}
        for field in ("score", "train_score", "fit_time")
    }
    n_splits = len(plan.splits)
    for place, cell in cells.items():
        column = place.repeat * n_splits + place.split
        for field, table in tables.items():
            table[place.attack][place.value, column] = _of_metric(cell[field], metric)
    ratio = np.mean([len(test) / len(train) for train, test in plan.splits])
    n_test = None if plan.test is None else _num_samples(plan.test[0])
    return RobustnessCurve(
        param_name=plan.param_name,
        param_range=plan.param_range,
        scores=tables["score"],
        train_scores=tables["train_score"],
        fit_times=tables["fit_time"],
        n_splits=n_splits,
        n_repeats=len(plan.seeds),
        test_train_ratio=float(ratio),
        n_test=n_test,
        hits=None if n_test is None else _hits(cells, plan, tables["score"], n_test),
        sharing=_sharing([test for _, test in plan.splits]),
    )


def _hits(cells, plan, scores, n_test):
    """The hits of all fits by attack; None unless every score is the share of hits."""
    shape = (len(plan.param_range), plan.seeds.size, -(-n_test // 8))
    hits = {name: np.zeros(shape, dtype=np.uint8) for name in plan.attacks}
    n_splits = len(plan.splits)
    for place, cell in cells.items():
        column = place.repeat * n_splits + place.split
        score = scores[place.attack][place.value, column]
        if cell["hits"] is not None:
            hits[place.attack][place.value, column] = cell["hits"]
            share = np.unpackbits(cell["hits"], count=n_test).mean()
        if np.isfinite(score) and (cell["hits"] is None or abs(share - score) > 1e-6):
            return None
    return hits


def _sharing(held_out):
    """Which splits hold out rows in common; None if all do so with themselves only."""
    rows = np.concatenate(held_out)
    if len(np.unique(rows)) == len(rows):
        return None
    return [[bool(np.isin(own, other).any()) for other in held_out] for own in held_out]


def _of_metric(value, metric):
    """The value of one metric. Times and the scores of failed fits have no metrics."""
    return value[metric] if isinstance(value, dict) else value


def _check_range(estimator, param_name, param_range):
    if not isinstance(param_name, str):
        raise TypeError(f"`param_name` must be a string, got {param_name!r}")
    if isinstance(param_range, str) or not hasattr(param_range, "__iter__"):
        raise TypeError(f"`param_range` must be an array-like of values, got {param_range!r}")
    values = list(param_range)
    if not values:
        raise ValueError("`param_range` must have at least one value, got none")
    # An unknown name fails here, and not in each fit.
    try:
        clone(estimator).set_params(**{param_name: values[0]})
    except ValueError as error:
        raise ValueError(f"`param_name` must be a parameter of `estimator`: {error}") from None
    if param_name not in estimator.get_params() and "__" not in param_name:
        raise ValueError(f"`param_name` must be a parameter of `estimator`, got {param_name!r}")
    return [value.item() if isinstance(value, np.generic) else value for value in values]


def _check_folds(splits):
    splits = [tuple(map(np.asarray, split)) for split in splits]
    sizes = [tuple(map(len, split)) for split in splits]
    if not sizes or any(len(size) != 2 or 0 in size for size in sizes):
        raise ValueError(
            f"`cv` must give at least one pair (train, test), none of them empty, got sizes {sizes}"
        )
    return splits


def _check_early_stop(estimator, early_stop_on, test):
    check_choice(early_stop_on, "early_stop_on", ("fraction", "held-out"))
    if early_stop_on == "held-out" and test is None:
        raise ValueError(
            "`test` must be given with early_stop_on='held-out', got None: the held-out rows "
            "choose the epoch, so that their score is too good"
        )
    if early_stop_on == "held-out" and not has_fit_parameter(estimator, "X_val"):
        raise ValueError(
            "`early_stop_on` must be 'fraction' for an estimator whose `fit` does not take "
            f"`X_val`, got 'held-out' with {type(estimator).__name__}"
        )
    return early_stop_on == "held-out"
