"""The study itself: each attack, each fold, each value of the parameter."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import clone
from sklearn.metrics import check_scoring
from sklearn.model_selection import check_cv
from sklearn.utils import check_random_state, indexable
from sklearn.utils.validation import has_fit_parameter
from tqdm.auto import tqdm

from .._seeding import seed_estimator
from .._threads import one_thread
from .._typing import Attack, Classifier, Memory, Seed
from .._validation import check_choice, check_int, check_labels, check_real
from .._version import __version__
from ..nets.stacks import is_worth_a_stack
from ._curve import RobustnessCurve
from ._fingerprint import fingerprint
from ._memory import Store
from ._routing import route, rows_of
from ._runner import Runner
from ._tasks import take


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
    all attacks and values see the same folds and seeds: comparisons are paired.

    Parameters
    ----------
    estimator : classifier
        The victim. Cloned; its every nested `random_state` is set by the study.
    X : array-like of shape (n, d) or (n, c, h, w)
        Clean rows.
    y : array-like of shape (n,)
        Their labels.
    attacks : dict of str to attack or None
        The attacks by name; None stands for clean training. They are cloned, every nested
        `random_state` is set by the study, and they get rows as X has them: before the first step,
        if the estimator is a Pipeline.
    param_name : str
        Parameter of `estimator` to vary, such as ``"module__width"``.
    param_range : array-like of shape (n_params,)
        Its values.
    cv : int, cross-validation generator or iterable, default=None
        The folds, as in `sklearn.model_selection.cross_validate`; None: 5 stratified folds.
    test : tuple of (X_test, y_test), default=None
        A fixed clean test set to score on. None: the clean rows of the fold that is held out.
    poison : {"fold", "dataset"}, default="fold"
        "fold" attacks the training part of each fold by itself. "dataset" attacks all of (X, y)
        and then splits it, the protocol of [1]_: held-out rows take part in the attack.
    early_stop_on : {"fraction", "held-out"}, default="fraction"
        "held-out" passes the held-out fold to `fit` as ``X_val, y_val`` (poisoned under
        ``poison="dataset"``, as in [1]_), which a `NetClassifier` takes and a Pipeline does not;
        "fraction" leaves validation to the estimator.
    n_repeats : int, default=1
        How often to repeat all, on the same folds with new seeds.
    scoring : str, callable, list or dict, default=None
        Scorer; None: the estimator's own `score`. Several metrics are given as in
        `sklearn.model_selection.cross_validate`: a list of names, a dict of scorers, or a callable
        that returns a dict of numbers.
    n_jobs : int, default=None
        Number of jobs for joblib. The result does not depend on it: each fit runs on one thread.
    memory : str, path-like, joblib.Memory or None, default=None
        Where to keep each finished fit and attack: a run that was killed continues where it
        stopped, given the same arguments and an int `random_state`. A cache holds pickles: use
        your own.
    fused : {"auto", True, False}, default="auto"
        Whether to train nets of one architecture together (`skpoison.nets.fit_many`), across folds,
        attacks and repeats: "auto" where that is faster, a choice by sizes alone; True wherever it
        is possible. Applies to a plain `NetClassifier`. Scores agree but for rounding.
    error_score : "raise" or float, default=nan
        What to score a failed fit with, after a warning; or whether to raise.
    random_state : int, RandomState instance or None, default=None
        Seeds all of the study: one seed for each repeat and split.
    progress : bool, default=False
        Whether to show a progress bar.
    params : dict, default=None
        Parameters for the `fit` of `estimator`, such as ``{"sample_weight": weights}``; of those
        with a value for each row of X, a fit gets its rows'. With scikit-learn's metadata routing
        enabled they go to `fit`, the scorer and the splitter, as these request them. Attacks get
        none.

    Returns
    -------
    curve : RobustnessCurve or dict of str to RobustnessCurve
        Scores, scores on the data trained on, and fit times (of nets trained together: the group's
        over its size). Of several metrics, a curve for each.

    Raises
    ------
    ValueError
        If an argument is out of its range, or all fits failed.
    RuntimeError
        If a worker process died. What was finished is kept in `memory`.

    Warns
    -----
    FitFailedWarning
        If some fits failed and `error_score` is a number.
    UserWarning
        If `memory` cannot be written, and nothing is kept, or an entry of it is damaged, and
        computed again.

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
    cv, scorer = check_cv(cv, y, classifier=True), check_scoring(estimator, scoring=scoring)
    split_params, fit_params, score_params = route(params, estimator, cv, scorer)
    if score_params and test is not None:
        raise ValueError(
            "`params` must not go to the scorer with a fixed `test`, whose rows they do not "
            f"describe, got {sorted(score_params)}"
        )
    study = _Study(
        estimator=estimator,
        attacks=_check_attacks(attacks),
        param_name=param_name,
        param_range=_check_range(estimator, param_name, param_range),
        data=(X, y),
        classes=classes,
        splits=_check_folds(cv.split(X, y, **split_params)),
        test=_check_test(test),
        poison=check_choice(poison, "poison", ("fold", "dataset")),
        hold_out=_check_early_stop(estimator, early_stop_on),
        scoring=scoring,
        scorer=scorer,
        fit_params=fit_params,
        score_params=score_params,
    )
    check_int(n_repeats, "n_repeats", low=1)
    if not isinstance(fused, (bool, np.bool_)):
        check_choice(fused, "fused", ("auto",))
    if error_score != "raise" and not (
        isinstance(error_score, (float, np.floating)) and np.isnan(error_score)
    ):
        error_score = check_real(error_score, "error_score")
    # Row by row, so that the seeds of the first repeats do not depend on how many follow.
    shape = (n_repeats, len(study.splits))
    seeds = check_random_state(random_state).randint(2**31 - 1, size=shape)
    n_cells = len(study.attacks) * len(study.param_range) * seeds.size
    bar = tqdm(total=n_cells, disable=not progress, unit="fit", desc="robustness")
    with bar, one_thread():
        runner = Runner(
            study,
            seeds,
            n_jobs=n_jobs,
            store=Store(memory),
            fused=fused,
            error_score=error_score,
            bar=bar,
        )
        return study.collect(runner.run(), n_repeats)


@dataclass
class _Fit:
    """One cell of the study, to be computed or found."""

    estimator: object
    split: int
    key: str | None


@dataclass
class _Study:
    """What is asked: everything that a result depends on, apart from the seeds."""

    estimator: object
    attacks: dict
    param_name: str
    param_range: list
    data: tuple
    classes: np.ndarray
    splits: list
    test: tuple | None
    poison: str
    hold_out: bool
    scoring: object
    scorer: object
    fit_params: dict
    score_params: dict

    def plan(self, name, repeat, seeds, keyed):
        """The fits of one attack and repeat, by place."""
        fits = {}
        # The widest first: at the end of the list no worker waits long for another.
        for i in reversed(range(len(self.param_range))):
            for split, seed in enumerate(seeds[repeat]):
                estimator = seed_estimator(self.estimator_at(i), seed, overwrite=True)
                key = None
                if keyed:
                    attack_key = self.attack_key(name, repeat, split, seeds)
                    key = fingerprint((self.fingerprint, attack_key, estimator, split))
                fits[name, repeat, i, split] = _Fit(estimator, split, key)
        return fits

    def estimator_at(self, i):
        # A value may be an estimator, and the caller's stays as it is.
        value = clone(self.param_range[i], safe=False)
        return clone(self.estimator).set_params(**{self.param_name: value})

    @cached_property
    def fingerprint(self):
        whole = (__version__, self.data, self.splits, self.test, self.poison, self.hold_out)
        return fingerprint((*whole, self.scoring, self.fit_params, self.score_params))

    def attack_key(self, name, repeat, split, seeds):
        if self.attacks[name] is None:
            return None
        part = split if self.poison == "fold" else None
        attack = self.seeded_attack(name, repeat, part, seeds)
        return fingerprint((self.fingerprint, attack, part))

    def seeded_attack(self, name, repeat, split, seeds):
        seed = seeds[repeat, split if split is not None else 0]
        # Not the stream of the victim: a surrogate like it would else start from the same weights.
        random_state = np.random.RandomState([1, seed])
        return seed_estimator(clone(self.attacks[name]), random_state, overwrite=True)

    def attacked(self, part):
        """The data that an attack is run on; part is (name, repeat, split)."""
        split = part[2]
        return self.data if split is None else take(self.data, self.splits[split][0])

    def fit_arguments(self, fit, poisoned):
        """Arguments of `fit_and_score`; `poisoned` is what the attack left, None if clean."""
        train, held_out = self.splits[fit.split]
        test = self.test or take(self.data, held_out)
        X = self.data[0]
        fit_params = rows_of(self.fit_params, X, train)
        if self.hold_out:
            whole = poisoned if poisoned is not None and self.poison == "dataset" else self.data
            fit_params["X_val"], fit_params["y_val"] = take(whole, held_out)
        score_params = [rows_of(self.score_params, X, rows) for rows in (train, held_out)]
        scoring = test, self.scorer, score_params
        if poisoned is not None and self.poison == "fold":
            return fit.estimator, poisoned, None, fit_params, *scoring
        return fit.estimator, poisoned or self.data, train, fit_params, *scoring

    def is_stackable(self, i, n_nets, fused):
        """Whether the nets of a value are worth training together."""
        if self.fit_params:
            return False
        shape = np.shape(self.data[0])
        net = self.estimator_at(i)
        return is_worth_a_stack(net, shape, self.classes, n_nets, force=fused is True)

    def collect(self, cells, n_repeats):
        scores = [cell["score"] for cell in cells.values()]
        metrics = next((list(score) for score in scores if isinstance(score, dict)), None)
        if metrics is None:
            return self._curve(cells, n_repeats)
        return {metric: self._curve(cells, n_repeats, metric) for metric in metrics}

    def _curve(self, cells, n_repeats, metric=None):
        n_splits = len(self.splits)

        def table(name, field):
            return np.array(
                [
                    [
                        _of_metric(cells[name, repeat, i, split][field], metric)
                        for repeat in range(n_repeats)
                        for split in range(n_splits)
                    ]
                    for i in range(len(self.param_range))
                ]
            )

        ratio = np.mean([len(test) / len(train) for train, test in self.splits])
        return RobustnessCurve(
            param_name=self.param_name,
            param_range=self.param_range,
            scores={name: table(name, "score") for name in self.attacks},
            train_scores={name: table(name, "train_score") for name in self.attacks},
            fit_times={name: table(name, "fit_time") for name in self.attacks},
            n_splits=n_splits,
            n_repeats=n_repeats,
            test_train_ratio=float(ratio),
        )


def _of_metric(value, metric):
    """The value of a metric; times, and scores of fits that failed, are the same for all."""
    return value[metric] if isinstance(value, dict) else value


def _check_range(estimator, param_name, param_range):
    if not isinstance(param_name, str):
        raise TypeError(f"`param_name` must be a string, got {param_name!r}")
    if isinstance(param_range, str) or not hasattr(param_range, "__iter__"):
        raise TypeError(f"`param_range` must be an array-like of values, got {param_range!r}")
    values = list(param_range)
    if not values:
        raise ValueError("`param_range` must have at least one value, got none")
    # An unknown name must fail here, and not in each fit.
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


def _check_test(test):
    if test is None:
        return None
    try:
        X_test, y_test = test if isinstance(test, (tuple, list)) else ()
    except ValueError:
        raise ValueError(f"`test` must be a pair (X_test, y_test), got {type(test)}") from None
    return tuple(indexable(X_test, y_test))


def _check_early_stop(estimator, early_stop_on):
    check_choice(early_stop_on, "early_stop_on", ("fraction", "held-out"))
    if early_stop_on == "held-out" and not has_fit_parameter(estimator, "X_val"):
        raise ValueError(
            "`early_stop_on` must be 'fraction' for an estimator whose `fit` does not take "
            f"`X_val`, got 'held-out' with {type(estimator).__name__}"
        )
    return early_stop_on == "held-out"


def _check_attacks(attacks):
    if not isinstance(attacks, dict) or not attacks:
        raise ValueError(f"`attacks` must be a non-empty dict of name to attack, got {attacks!r}")
    for name, attack in attacks.items():
        if not isinstance(name, str):
            raise TypeError(f"`attacks` must have strings as keys, got {name!r}")
        if attack is not None and (isinstance(attack, type) or not hasattr(attack, "poison")):
            raise TypeError(f"`attacks[{name!r}]` must have a method `poison`, got {attack!r}")
    return attacks
