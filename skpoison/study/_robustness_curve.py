"""The study of a classifier over a parameter, under each of several attacks."""

import copy
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
from ._arguments import check_attacks, check_strengths, check_test
from ._results import RobustnessCurve, RobustnessCurves
from .engine import (
    RobustnessPlan,
    Store,
    Victim,
    route,
    run_plan,
    telling_scorer,
    unseeded_in_study,
)


def robustness_curve(
    estimator: Classifier | Mapping[str, Classifier],
    X: ArrayLike,
    y: ArrayLike,
    *,
    attacks: Mapping[str, Attack | None],
    param_name: str | Mapping[str, str | None] | None = None,
    param_range: Iterable[Any] | Mapping[str, Any] | None = None,
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
) -> Any:  # A curve, curves by victim, or a dict of these by metric.
    """Score classifiers on clean data over a parameter, trained under each of several attacks.

    The parameter is one of the classifier, the victim, or the strength of the attacks. Every attack
    is run once for each fold and repeat, whatever the number of victims and of their parameter
    values. All victims, attacks and values see the same folds and seeds, so that comparisons are
    paired.

    Parameters
    ----------
    estimator : classifier or dict of str to classifier
        The victim, or several victims by name. They are cloned for each fit, and the study sets
        every `random_state` in them. A victim gets the same scores whether it is studied alone or
        with others.
    X : array-like of shape (n, d) or (n, c, h, w), or frame of n rows
        Clean rows, in any container that the victims and the attacks take: arrays, frames of any
        library, sparse rows, texts.
    y : array-like of shape (n,)
        Their labels.
    attacks : dict of str to attack or None
        The attacks by name; None stands for clean training. They are cloned, and the study sets
        every `random_state` in them. An attack gets rows as X has them, even if the estimator is a
        Pipeline.
    param_name : str, dict of str to str, or None, default=None
        What to vary: a parameter of `estimator`, such as ``"module__width"``; or ``"strength"``,
        the strength of the attacks. Each attack names the parameter that is its strength in
        `strength_name`, such as "rate" or "budget". None: nothing varies, and there is one fit for
        each attack and fold. A dict has a parameter, or None, for each victim.
    param_range : array-like of shape (n_params,), dict of str to array-like, or None, default=None
        Its values; a dict has the values for each victim. Strengths are numbers >= 0, for all
        attacks; a dict has a list for each attack, all of the same length. The strength 0 is clean
        training: it is fitted once for all attacks, and no attack is run for it, but a chain, whose
        strength is the one of its first attack. An attack None is the same fit at all strengths.
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
        a fold that chooses the epoch scores too well. The `fit` of each victim must take them.
    n_repeats : int, default=1
        How often to repeat everything, on the same folds with new seeds.
    scoring : str, callable, list or dict, default=None
        The scorer, or None for the estimator's own `score`. Several metrics are given as in
        `sklearn.model_selection.cross_validate`: a list of names, a dict of scorers, or a callable
        that returns a dict of numbers. A scorer may ask for the poison: `poison_indices`, the
        positions in the training fold of the rows that the attack changed (none for clean
        training), and `X_poisoned` and `y_poisoned`, the training fold that the victim was fitted
        on. A function asks by having a parameter of this name. A scorer of
        `sklearn.metrics.make_scorer` asks by ``set_score_request(poison_indices=True)``, with
        scikit-learn's metadata routing enabled.
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
        True does so wherever it is possible. Only a plain `NetClassifier` is trained so, and nets
        of different victims are not trained together. Scores agree up to rounding.
    error_score : "raise" or float, default=nan
        The score of a fit that failed; a warning then lists the errors. A metric that fails has
        this score too, and the other metrics keep theirs. A victim whose fits all fail has this
        score everywhere, and the other victims keep theirs, as the candidates of a grid search do;
        only if all fits of all victims fail, this is an error. "raise" raises the first error.
    random_state : int, RandomState instance or None, default=None
        Seeds the study, which draws one seed for each repeat and split.
    progress : bool, default=False
        Whether to show a progress bar, which counts attacks and fits.
    params : dict, default=None
        Parameters for the `fit` of `estimator`, such as ``{"sample_weight": weights}``. A parameter
        with one value for each row of X is cut to the rows of each fit. ``groups`` go to the
        splitter instead. With scikit-learn's metadata routing enabled, parameters go to `fit`, the
        scorer and the splitter, as these request them. Attacks get none. Without routing, the `fit`
        of every victim must take all parameters; with it, each victim gets what it requests.

    Returns
    -------
    curve : RobustnessCurve, RobustnessCurves, or dict of str to one of these
        Scores on clean rows, scores on the rows trained on, and fit times. The time of nets that
        are trained together is shared equally. A dict of victims gives `RobustnessCurves`, a dict
        with a curve for each. With several metrics, the result is a dict of metric to such a curve
        or to such curves.

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

    Two victims over the rate of flipped labels:

    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn.tree import DecisionTreeClassifier
    >>> curves = robustness_curve(
    ...     {"linear": LogisticRegression(C=0.1), "tree": DecisionTreeClassifier()},
    ...     X[:500] / 16, y[:500], attacks={"flips": LabelFlip()},
    ...     param_name="strength", param_range=[0.0, 0.2, 0.4], cv=3, random_state=0,
    ... )
    >>> curves["tree"].strengths
    {'flips': [0.0, 0.2, 0.4]}
    """
    X, y = indexable(X, y)
    _, classes = check_labels(y, min_classes=2)
    if error_score != "raise" and not (
        isinstance(error_score, (float, np.floating)) and np.isnan(error_score)
    ):
        error_score = check_real(error_score, "error_score")
    estimators = _check_victims(estimator)
    cv = check_cv(cv, y, classifier=True)
    raise_exc = error_score == "raise"
    scorers = {
        name: check_scoring(victim, scoring=scoring, raise_exc=raise_exc)
        for name, victim in estimators.items()
    }
    split_params, fit_params, score_params = route(params, estimators, cv, scorers)
    if test is not None and any(score_params.values()):
        names = sorted(set().union(*score_params.values()))
        raise ValueError(
            "`params` must not go to the scorer with a fixed `test`, whose rows they do not "
            f"describe, got {names}"
        )
    check_attacks(attacks)
    over_strengths = param_name == "strength"
    strength_names = strengths = None
    if over_strengths:
        strength_names, strengths = check_strengths(attacks, param_range)
        param_name = param_range = None
    ranges = _check_ranges(estimators, param_name, param_range)
    splits = _check_folds(cv.split(X, y, **split_params))
    test = check_test(test)
    check_choice(poison, "poison", ("fold", "dataset"))
    hold_out = _check_early_stop(estimators, early_stop_on, test)
    check_int(n_repeats, "n_repeats", low=1)
    if isinstance(fused, np.bool_):
        fused = bool(fused)
    if not isinstance(fused, bool):
        check_choice(fused, "fused", ("auto",))
    # A row for each repeat: the first seeds do not depend on how many repeats follow.
    shape = (n_repeats, len(splits))
    seeds = check_random_state(random_state).randint(2**31 - 1, size=shape)
    telling = {name: telling_scorer(scoring, scorer, raise_exc) for name, scorer in scorers.items()}
    plan = RobustnessPlan(
        victims={
            name: Victim(
                estimator=victim,
                param_name=ranges[name][0],
                param_range=ranges[name][1],
                scorer=telling[name],
                fit_params=fit_params[name],
                score_params=score_params[name],
            )
            for name, victim in estimators.items()
        },
        attacks=dict(attacks),
        strengths=strengths,
        strength_names=strength_names,
        data=(X, y),
        classes=classes,
        splits=splits,
        seeds=seeds,
        test=test,
        poison=poison,
        hold_out=hold_out,
        scoring=scoring,
        tells_poison=any(telling[name] is not scorers[name] for name in scorers),
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
    """The curve or curves of a study's cells, or of several metrics a dict of them."""
    scores = [cell["score"] for cell in cells.values()]
    metrics = next((list(score) for score in scores if isinstance(score, dict)), None)
    if metrics is None:
        return _curves(cells, plan, None)
    return {metric: _curves(cells, plan, metric) for metric in metrics}


def _curves(cells, plan, metric):
    if None in plan.victims:
        return _curve(cells, plan, None, metric)
    return RobustnessCurves({name: _curve(cells, plan, name, metric) for name in plan.victims})


def _curve(cells, plan, victim, metric):
    found = {
        (name, value, repeat * len(plan.splits) + split): cells[
            plan.place(victim, name, repeat, value, split)
        ]
        for name in plan.attacks
        for value in range(plan.n_values(victim))
        for repeat in range(len(plan.seeds))
        for split in range(len(plan.splits))
    }
    shape = (plan.n_values(victim), plan.seeds.size)
    tables = {
        field: {name: np.empty(shape) for name in plan.attacks}
        for field in ("score", "train_score", "fit_time")
    }
    for (name, value, column), cell in found.items():
        for field, table in tables.items():
            table[name][value, column] = _of_metric(cell[field], metric)
    ratio = np.mean([len(test) / len(train) for train, test in plan.splits])
    n_test = None if plan.test is None else _num_samples(plan.test[0])
    param_name, param_range = _axis(plan, victim)
    return RobustnessCurve(
        param_name=param_name,
        param_range=param_range,
        scores=tables["score"],
        train_scores=tables["train_score"],
        fit_times=tables["fit_time"],
        n_splits=len(plan.splits),
        n_repeats=len(plan.seeds),
        test_train_ratio=float(ratio),
        n_test=n_test,
        hits=None if n_test is None else _hits(found, tables["score"], n_test),
        sharing=_sharing([test for _, test in plan.splits]),
        strengths=copy.deepcopy(plan.strengths),
        strength_names=copy.copy(plan.strength_names),
        metric=_metric_name(plan.scoring, metric),
    )


def _axis(plan, victim):
    """The name of what varies in the curve of a victim, and its values."""
    if plan.strengths is None:
        return plan.victims[victim].param_name, plan.victims[victim].param_range
    attacked = [values for name, values in plan.strengths.items() if plan.attacks[name] is not None]
    first, *others = attacked or plan.strengths.values()
    shared = all(values == first for values in others)
    return "strength", list(first) if shared else list(range(len(first)))


def _metric_name(scoring, metric):
    if metric is not None:
        return metric
    return scoring if isinstance(scoring, str) else getattr(scoring, "__name__", None)


def _hits(found, scores, n_test):
    """The hits of all fits by attack; None unless every score is the share of hits."""
    hits = {
        name: np.zeros((*table.shape, -(-n_test // 8)), dtype=np.uint8)
        for name, table in scores.items()
    }
    for (name, value, column), cell in found.items():
        score = scores[name][value, column]
        if cell["hits"] is not None:
            hits[name][value, column] = cell["hits"]
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


def _check_victims(estimator):
    """The victims by name; a single one has the name None."""
    if not isinstance(estimator, Mapping):
        return {None: estimator}
    if not estimator:
        raise ValueError(f"`estimator` must have at least one victim, got {estimator!r}")
    for name, victim in estimator.items():
        if not isinstance(name, str):
            raise TypeError(f"`estimator` must have strings as keys, got {name!r}")
        if isinstance(victim, type) or not hasattr(victim, "fit"):
            raise TypeError(f"`estimator[{name!r}]` must be a classifier, got {victim!r}")
    return dict(estimator)


def _check_ranges(estimators, param_name, param_range):
    """The name and the values of each victim's parameter; "" and [None] if none varies."""
    param_names = _by_victim(estimators, param_name, "param_name")
    param_ranges = _by_victim(estimators, param_range, "param_range")
    return {
        victim: _check_range(estimators[victim], victim, param_names[victim], param_ranges[victim])
        for victim in estimators
    }


def _by_victim(estimators, value, name):
    if None in estimators or not isinstance(value, Mapping):
        return dict.fromkeys(estimators, value)
    if value.keys() != estimators.keys():
        raise ValueError(
            f"`{name}` must have an entry for each victim ({list(estimators)}), got {list(value)}"
        )
    return value


def _check_range(estimator, victim, param_name, param_range):
    if param_name is None and param_range is None:
        return "", [None]
    owner = "`estimator`" if victim is None else f"the victim {victim!r}"
    of = "" if victim is None else f" for {owner}"
    if not isinstance(param_name, str):
        raise TypeError(f"`param_name` must be a string{of}, got {param_name!r}")
    is_values = hasattr(param_range, "__iter__") and not isinstance(param_range, (str, Mapping))
    if not is_values:
        raise TypeError(f"`param_range` must be an array-like of values{of}, got {param_range!r}")
    values = list(param_range)
    if not values:
        raise ValueError(f"`param_range` must have at least one value{of}, got none")
    # An unknown name fails here, and not in each fit.
    try:
        clone(estimator).set_params(**{param_name: values[0]})
    except ValueError as error:
        raise ValueError(f"`param_name` must be a parameter of {owner}: {error}") from None
    if param_name not in estimator.get_params() and "__" not in param_name:
        raise ValueError(f"`param_name` must be a parameter of {owner}, got {param_name!r}")
    values = [value.item() if isinstance(value, np.generic) else value for value in values]
    return param_name, values


def _check_folds(splits):
    splits = [tuple(map(np.asarray, split)) for split in splits]
    sizes = [tuple(map(len, split)) for split in splits]
    if not sizes or any(len(size) != 2 or 0 in size for size in sizes):
        raise ValueError(
            f"`cv` must give at least one pair (train, test), none of them empty, got sizes {sizes}"
        )
    return splits


def _check_early_stop(estimators, early_stop_on, test):
    check_choice(early_stop_on, "early_stop_on", ("fraction", "held-out"))
    if early_stop_on == "held-out" and test is None:
        raise ValueError(
            "`test` must be given with early_stop_on='held-out', got None: the held-out rows "
            "choose the epoch, so that their score is too good"
        )
    for name, estimator in estimators.items():
        if early_stop_on == "held-out" and not has_fit_parameter(estimator, "X_val"):
            victim = "" if name is None else f" ({name!r})"
            raise ValueError(
                "`early_stop_on` must be 'fraction' for an estimator whose `fit` does not take "
                f"`X_val`, got 'held-out' with {type(estimator).__name__}{victim}"
            )
    return early_stop_on == "held-out"
