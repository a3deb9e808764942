"""The smallest budget that costs a victim a given share of its score."""

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import clone
from sklearn.metrics import check_scoring
from sklearn.model_selection import check_cv
from sklearn.utils import check_random_state, indexable

from .._intervals import Drop
from .._typing import Attack, Classifier, Seed
from .._validation import check_confidence, check_int, check_labels, check_real
from ._arguments import budget_name_of
from ._results import RobustnessCurve, check_curve, fall_between
from ._robustness_curve import robustness_curve
from .engine import Store, route, unseeded_in_study


class BreakingPoint(NamedTuple):
    """The result of `breaking_point`."""

    budget: float
    low: float
    high: float
    drops: dict[float, Drop]
    about: str

    def __repr__(self) -> str:
        n = len(self.drops)
        scored = [budget for budget, fall in self.drops.items() if not math.isnan(fall.mean)]
        largest = f"{max(scored, default=math.nan):.3g}"
        ends = (f"over {largest}" if math.isinf(b) else f"{b:.3g}" for b in (self.low, self.high))
        interval = f"[{', '.join(ends)}]"
        if math.isnan(self.low):
            interval = "(no interval)"
        about = "" if self.about == "splits and seeds" else f" (about {self.about})"
        found = f"breaks at budget {self.budget:.3g}"
        if math.isnan(self.budget):
            found = "no budget has scores"
        elif math.isinf(self.budget):
            found = f"does not break up to budget {largest}"
        return f"{found} {interval}; {n} budget{'s' * (n != 1)} tried{about}"


def breaking_point(
    estimator: Classifier | RobustnessCurve,
    X: ArrayLike | None = None,
    y: ArrayLike | None = None,
    *,
    attack: Attack | str | None = None,
    budget_name: str | None = None,
    max_budget: float | None = None,
    value: Any = None,
    drop: float = 0.05,
    n_steps: int = 5,
    confidence: float = 0.95,
    cv: Any = None,
    random_state: Seed = None,
    **study_kw: Any,
) -> BreakingPoint:
    """Find the smallest budget at which the score on clean data falls by `drop`.

    With an estimator, the budget is found by bisection, and each step is a study. With a curve, the
    budgets of its attacks are compared. A fall compares scores of the same fold and seed, and has
    an interval as in `RobustnessCurve.u_shape`.

    Parameters
    ----------
    estimator : classifier or RobustnessCurve
        The victim, or a finished study. This is a study over strengths (``param_name="strength"``),
        with the strength 0 or an attack None; or one attack at several budgets, named by the
        budgets ("0" for clean training, "0.1", ...), as `BudgetHeatmapDisplay.from_estimator` makes
        it.
    X : array-like of shape (n, d) or (n, c, h, w) or frame, default=None
        Clean rows; None with a curve.
    y : array-like of shape (n,), default=None
        Their labels; None with a curve.
    attack : attack or str, default=None
        The attack, at any budget. With a curve over strengths, the name of the attack to look at,
        or None if there is only one; None with any other curve.
    budget_name : str, default=None
        The parameter of the attack to vary. None: its strength, which an attack names in
        `strength_name`; without one `budget`, or `rate` if the attack has no `budget`.
    max_budget : float, default=None
        The largest budget to try, > 0. Needed with an estimator; None with a curve.
    value : object, default=None
        With a curve, the value of its parameter to look at; None if it has only one.
    drop : float, default=0.05
        How far the mean score must fall, > 0. 0.05 means five points of accuracy.
    n_steps : int, default=5
        How often to halve the range, >= 1: the budget is found up to `max_budget` / 2**n_steps. The
        search tries `max_budget` and `n_steps` more, and up to `n_steps` for each end of the
        interval.
    confidence : float, default=0.95
        Coverage of the interval, between 0 and 1.
    cv : int, cross-validation generator or iterable, default=None
        The folds, as in `robustness_curve`. Every budget has the same.
    random_state : int, RandomState instance or None, default=None
        Seeds fits and attacks. Every budget has the same seeds.
    **study_kw
        Passed to `robustness_curve`: `test`, `poison`, `n_repeats`, `scoring` (one metric),
        `n_jobs`, `memory` and so on.

    Returns
    -------
    point : BreakingPoint
        A named tuple. `budget` is where the mean fall reaches `drop`, on a straight line between
        two budgets tried, or inf if no budget is large enough. `low` and `high` are the ends of its
        interval. `low` is the largest budget tried before the upper end of the fall's interval
        reaches `drop`: up to it, the score has not fallen that far. `high` is the smallest budget
        tried at which the lower end reaches it: from there on, it has, or inf. Both hold with the
        given `confidence`, and are NaN where a fall has no interval (fewer than two folds, or with
        a single split fewer than two repeats). `drops` has the fall and its interval at each budget
        tried. `about` says what the intervals speak about, as in `RobustnessCurve.u_shape`.
        Printed, it is a sentence.

    Raises
    ------
    ValueError
        If an argument is out of its range, or does not belong with a curve.
    TypeError
        If `estimator` is neither a classifier nor a RobustnessCurve.

    Notes
    -----
    Bisection assumes that a larger budget does at least as much harm. Where it does not, one of the
    budgets at which the fall crosses `drop` is found. The interval is not corrected for the number
    of budgets tried.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn.linear_model import LogisticRegression
    >>> from skpoison import LabelFlip, breaking_point
    >>> X, y = load_digits(return_X_y=True)
    >>> point = breaking_point(
    ...     LogisticRegression(C=0.1), X[:500] / 16, y[:500],
    ...     attack=LabelFlip(), max_budget=0.8, n_steps=3, cv=3, random_state=0,
    ... )
    >>> 0.1 < point.budget < 0.5
    True
    """
    drop = check_real(drop, "drop")
    if not drop > 0:
        raise ValueError(f"`drop` must be > 0, got {drop}")
    confidence = check_confidence(confidence)
    if isinstance(estimator, RobustnessCurve):
        is_name = attack is None or isinstance(attack, str)
        if any(given is not None for given in (X, y, max_budget, cv)) or study_kw or not is_name:
            raise ValueError(
                "a curve must be given alone, with `value` or the name of an attack, got data or "
                "an attack"
            )
        return _of_curve(estimator, attack, value, drop, confidence)
    if isinstance(study_kw.get("scoring"), (list, tuple, set, dict)):
        raise ValueError(f"`scoring` must be one metric, got {study_kw['scoring']!r}")
    if isinstance(estimator, Mapping):
        raise TypeError(
            "`estimator` must be a classifier or a RobustnessCurve, got a dict: give one of its "
            f"values, which are {list(estimator)}"
        )
    if isinstance(estimator, type) or not hasattr(estimator, "get_params"):
        raise TypeError(f"`estimator` must be a classifier or a RobustnessCurve, got {estimator!r}")
    check_int(n_steps, "n_steps", low=1)
    max_budget = check_real(max_budget, "max_budget")
    if not max_budget > 0:
        raise ValueError(f"`max_budget` must be > 0, got {max_budget}")
    budget_name = budget_name_of(attack, budget_name)
    X, y = indexable(X, y)
    check_labels(y)
    unseeded = unseeded_in_study(random_state, cv)
    if unseeded is not None:
        Store(study_kw.pop("memory", None), unseeded)  # It warns. The studies below have a seed.
    # A splitter could give other folds at each call, and a generator other seeds.
    cv = check_cv(cv, y, classifier=True)
    params = study_kw.pop("params", None)
    scorer = check_scoring(estimator, scoring=study_kw.get("scoring"))
    split_params, fit_params, score_params = route(params, {None: estimator}, cv, {None: scorer})
    splits = list(cv.split(X, y, **split_params))
    if params is not None:
        study_kw["params"] = {**fit_params[None], **score_params[None]}
    seed = check_random_state(random_state).randint(2**31 - 1)

    def scores(attack):
        curve = robustness_curve(
            estimator,
            X,
            y,
            attacks={"attack": attack},
            cv=splits,
            random_state=seed,
            **study_kw,
        )
        check_curve(curve)
        return curve

    clean = scores(None)
    drops, has_hits = {0.0: Drop(0.0, 0.0, 0.0)}, [clean.judging_hits is not None]

    def try_budget(budget):
        attacked = scores(clone(attack).set_params(**{budget_name: budget}))
        has_hits.append(attacked.judging_hits is not None)
        drops[budget] = fall_between((clean, "attack", 0), (attacked, "attack", 0), confidence)

    try_budget(max_budget)
    for which in ("mean", "high", "low"):
        _bisect(drops, which, drop, math.ldexp(max_budget, -n_steps), try_budget)
    return _point(drops, drop, clean.design.about(all(has_hits)))


def _bisect(drops, which, drop, tolerance, try_budget):
    """Try budgets until the smallest is found at which `which` of the fall reaches `drop`.

    `which` is "mean", or an end of the interval, "low" or "high".
    """
    while True:
        end = _first(drops, which, drop)
        if math.isinf(end):
            return
        start = max((budget for budget in drops if budget < end), default=end)
        middle = (start + end) / 2
        # After many steps, no float is left between the two.
        if end - start <= tolerance * (1 + 1e-9) or middle in drops:
            return
        try_budget(middle)


def _first(drops, which, drop):
    """The smallest budget tried at which `which` of the fall reaches `drop`."""
    # Up to rounding: 0.8 - 0.75 counts as 0.05.
    reached = (b for b, fall in drops.items() if getattr(fall, which) >= drop - 1e-9)
    return min(reached, default=math.inf)


def _point(tried, drop, about):
    # A budget whose fits failed says nothing.
    drops = {budget: fall for budget, fall in tried.items() if not math.isnan(fall.mean)}
    budget = low = high = math.nan
    if len(drops) > 1:
        budget = _crossing(drops, drop)
        low, high = _before(drops, _first(drops, "high", drop)), _first(drops, "low", drop)
    if any(math.isnan(fall.low) for fall in tried.values()):
        low = high = math.nan
    return BreakingPoint(budget, low, high, dict(sorted(tried.items())), about)


def _before(drops, budget):
    """The largest budget tried that is smaller; budget 0, at which nothing falls, is one."""
    return max(b for b in drops if b < budget)


def _crossing(drops, drop):
    """Where the mean fall reaches `drop`, on a straight line between two budgets tried."""
    end = _first(drops, "mean", drop)
    if math.isinf(end):
        return end
    start = _before(drops, end)
    low, high = drops[start].mean, drops[end].mean
    return start + (end - start) * min(1.0, (drop - low) / (high - low))


def budgets_of(curve):
    """The budgets of a study's attacks by name, in ascending order."""
    try:
        budgets = {name: check_real(float(name), name, low=0) for name in curve.scores}
    except ValueError:
        raise ValueError(
            "`curve` must have attacks that are named by their budgets >= 0 ('0', '0.1'), got "
            f"{list(curve.scores)}"
        ) from None
    if len(set(budgets.values())) < len(budgets):
        raise ValueError(
            f"`curve` must have attacks of different budgets, got {list(curve.scores)}"
        )
    if 0.0 not in budgets.values():
        raise ValueError(
            f"`curve` must have an attack '0', clean training, got {list(curve.scores)}"
        )
    return dict(sorted(budgets.items(), key=lambda item: item[1]))


def _of_curve(curve, attack, value, drop, confidence):
    if curve.strengths is not None:
        if value is not None:
            raise ValueError(f"`value` must be None with a curve over strengths, got {value!r}")
        return _over_strengths(curve, _attack_of(curve, attack), drop, confidence)
    if attack is not None:
        raise ValueError(
            f"`attack` must be None with a curve that is not over strengths, got {attack!r}"
        )
    if value is None and len(curve.param_range) == 1:
        value = curve.param_range[0]
    return point_of_row(curve, _row_of(curve.param_range, value), drop, confidence)


def _attack_of(curve, attack):
    """The name of the attack to look at, which may be left out if there is only one."""
    names = [name for name, word in curve.strength_names.items() if word is not None]
    if attack is None and len(names) == 1:
        return names[0]
    if attack not in names:
        raise ValueError(f"`attack` must be the name of an attack ({names}), got {attack!r}")
    return attack


def _over_strengths(curve, attack, drop, confidence):
    """The breaking point of a curve over the strengths of an attack."""
    budgets = curve.values_of(attack)
    clean = next(
        (
            (name, i)
            for name in (attack, *(n for n, word in curve.strength_names.items() if word is None))
            for i, strength in enumerate(curve.values_of(name))
            if strength == 0 or curve.strength_names[name] is None
        ),
        None,
    )
    if clean is None:
        raise ValueError(
            "`curve` must have the strength 0 or an attack None, clean training, got strengths "
            f"{budgets} of {attack!r}"
        )
    start = (curve, *clean)
    drops = {0.0: Drop(0.0, 0.0, 0.0)}
    for i, budget in sorted(enumerate(budgets), key=lambda item: item[1]):
        if budget != 0:
            drops[float(budget)] = fall_between(start, (curve, attack, i), confidence)
    return _point(drops, drop, curve.design.about(curve.judging_hits is not None))


def _row_of(values, value):
    """The index of a value: of the very object, else of one of its type, else of an equal one."""
    same = (
        lambda other: other is value,
        lambda other: type(other) is type(value) and np.array_equal(other, value),
        lambda other: bool(np.all(other == value)) and np.shape(other) == np.shape(value),
    )
    for is_same in same:
        for i, other in enumerate(values):
            if is_same(other):
                return i
    raise ValueError(f"`value` must be one of {values}, got {value!r}")


def point_of_row(curve, i, drop, confidence=0.95):
    """The breaking point of a curve at the value with index i."""
    names = list(budgets_of(curve).items())
    clean = names[0][0]
    start = (curve, clean, i)
    drops = {b: fall_between(start, (curve, name, i), confidence) for name, b in names}
    return _point(drops, drop, curve.design.about(curve.judging_hits is not None))
