"""Where a victim breaks: bisection, intervals, and the heat map."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib import pyplot as plt
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.linear_model import RidgeClassifier
from sklearn.model_selection import KFold
from sklearn.tree import DecisionTreeClassifier

from skpoison import (
    MLP,
    BaseLabelAttack,
    BudgetHeatmapDisplay,
    LabelFlip,
    NetClassifier,
    RobustnessCurve,
    breaking_point,
)
from skpoison._intervals import Drop
from skpoison.study._breaking_point import BreakingPoint

X, Y = np.arange(400.0).reshape(-1, 1), np.arange(400) % 2
DATA = X, Y


class Marks(BaseLabelAttack):
    """Flips exactly the first share of the rows."""

    def __init__(self, budget=0.0, *, random_state=None):
        self.budget = budget
        self.random_state = random_state

    def _relabel(self, X, codes, n_classes, random_state):
        new = codes.copy()
        n = round(self.budget * len(codes))
        new[:n] = 1 - codes[:n]
        return new


class Falls(ClassifierMixin, BaseEstimator):
    """A victim whose score is 1 less the share of flipped rows, plus the noise of its seed."""

    def __init__(self, noise=0.0, random_state=None):
        self.noise = noise
        self.random_state = random_state

    def fit(self, X, y):
        self.classes_ = np.unique(y)
        self.share_ = (y != X[:, 0] % 2).mean()
        rng = np.random.default_rng(self.random_state)
        # Common to all budgets, and one that grows with the harm.
        self.level_, self.slope_ = 1 + self.noise * rng.standard_normal(2)
        return self

    def predict(self, X):
        return self.classes_[(X[:, 0] % 2).astype(int)]

    def score(self, X, y):
        return 0.8 * self.level_ - self.slope_ * self.share_


def point_of(estimator, **kwargs):
    kwargs = {"attack": Marks(), "max_budget": 0.8, "random_state": 0, **kwargs}
    return breaking_point(estimator, *DATA, **kwargs)


@pytest.mark.parametrize("drop", [0.05, 0.21, 0.33])
@pytest.mark.parametrize("n_steps", [3, 8])
def test_bisection_finds_where_the_score_falls(drop, n_steps):
    # Fails if an end of the bracket is returned, or the range is halved too seldom.
    point = point_of(Falls(), drop=drop, n_steps=n_steps)
    tolerance = 0.8 / 2**n_steps
    assert point.budget == pytest.approx(drop, abs=4e-3)  # of 320 rows
    assert point.low - 4e-3 <= drop <= point.high + 4e-3
    assert point.high - point.low <= tolerance + 1e-9
    assert len(point.drops) <= n_steps + 2


@settings(deadline=None, max_examples=60)
@given(st.data())
def test_the_bracket_holds_the_budget_where_the_score_falls(data):
    # A study without noise: the fall at a budget is exactly this budget. Fails if `low` is rounded
    # up to a budget at which the score has fallen already.
    grid = sorted({0, *data.draw(st.lists(st.integers(1, 50), min_size=1, max_size=12))})
    budgets = {repr(k / 64): [[1 - k / 64] * 3] for k in grid}
    tables = {name: np.array(table) for name, table in budgets.items()}
    tables["0"] = tables.pop("0.0")
    drop = data.draw(st.integers(1, 60)) / 64
    curve = RobustnessCurve("width", [2], tables, tables, tables, 3, 1, 0.5)
    point = breaking_point(curve, drop=drop)
    if drop > grid[-1] / 64:
        assert (point.budget, point.low, point.high) == (math.inf, grid[-1] / 64, math.inf)
        return
    assert point.budget == pytest.approx(drop)
    assert point.low < drop <= point.high
    inside = [k / 64 for k in grid if point.low < k / 64 < point.high]
    assert not inside


def test_a_budget_whose_fits_failed_says_nothing():
    tables = {"0": np.full((1, 4), 0.9), "0.2": np.array([[0.89, 0.9, 0.88, 0.9]])}
    tables["0.5"] = np.full((1, 4), np.nan)
    point = breaking_point(RobustnessCurve("w", [1], tables, tables, tables, 4, 1, 1 / 3))
    assert str(point) == "does not break up to budget 0.2 (no interval); 3 budgets tried"
    tables = {"0": tables["0"], "0.2": tables["0.5"], "0.5": np.full((1, 4), 0.5)}
    point = breaking_point(RobustnessCurve("w", [1], tables, tables, tables, 4, 1, 1 / 3))
    assert point.budget == pytest.approx(0.5 * 0.05 / 0.4)
    tables = {"0": tables["0.2"], "0.5": tables["0.2"]}
    point = breaking_point(RobustnessCurve("w", [1], tables, tables, tables, 4, 1, 1 / 3))
    assert math.isnan(point.budget)
    assert str(point).startswith("no budget has scores (no interval)")


def test_values_that_are_equal_are_told_apart_by_type():
    # max_features=1 and 1.0 mean different things. Fails if the first equal value is taken.
    tables = {"0": np.full((2, 4), 0.9), "0.5": np.array([[0.89] * 4, [0.5, 0.4, 0.5, 0.6]])}
    curve = RobustnessCurve("max_features", [1, 1.0], tables, tables, tables, 4, 1, 1 / 3)
    assert breaking_point(curve, value=1).budget == math.inf
    assert breaking_point(curve, value=1.0).budget < 0.5
    assert breaking_point(curve, value=np.float64(1.0)).budget == math.inf  # the first equal one
    display = BudgetHeatmapDisplay.from_curve(curve, drop=0.05)
    assert len(display.lines_.get_segments()) == 1
    arrays = RobustnessCurve("p", [np.zeros(2), np.ones(2)], tables, tables, tables, 4, 1, 1 / 3)
    assert breaking_point(arrays, value=np.ones(2)).budget < 0.5
    plt.close(display.figure_)


def test_all_studies_of_a_breaking_point_speak_about_the_same():
    # A score of 1 is the share of rows by any metric. Fails if the clean study alone is asked.
    X = np.repeat([[0.0], [1.0]], 100, axis=0) + np.arange(200)[:, None] / 1e3
    y = np.repeat([0, 1], 100)
    rows = np.random.default_rng(0).permutation(200)
    train, test = rows[:100], rows[100:]
    point = breaking_point(
        DecisionTreeClassifier(max_depth=4), X[train], y[train], attack=LabelFlip(),
        max_budget=0.6, n_steps=2, cv=4, random_state=0, scoring="f1_macro",
        test=(X[test], y[test]),
    )  # fmt: skip
    assert point.about == "splits and seeds on these test rows"


def test_a_fall_at_once_has_the_lower_end_0():
    tables = {name: np.full((1, 3), score) for name, score in (("0", 0.9), ("0.1", 0.5))}
    point = breaking_point(RobustnessCurve("width", [2], tables, tables, tables, 3, 1, 0.5))
    assert (point.low, point.high) == (0.0, 0.1)
    assert point.budget == pytest.approx(0.0125)  # 0.05 of a fall of 0.4


def test_rows_of_a_fixed_test_set_count():
    # Fails if the interval is about the seeds alone: all victims have the same luck with the rows.
    X, y = DATA
    kwargs = {"attack": LabelFlip(), "max_budget": 0.4, "n_steps": 2, "cv": 5, "random_state": 0}
    tree = DecisionTreeClassifier(max_depth=6)
    rows = np.random.default_rng(0).permutation(400)
    X = np.random.default_rng(1).random((400, 3))
    y = (X.sum(axis=1) > 1.5).astype(int)
    test = X[rows[:40]], y[rows[:40]]
    point = breaking_point(tree, X[rows[40:]], y[rows[40:]], test=test, **kwargs)
    assert point.about == "splits, seeds and test rows"
    assert str(point).endswith("budgets tried (about splits, seeds and test rows)")
    loss = breaking_point(
        tree, X[rows[40:]], y[rows[40:]], test=test, scoring="balanced_accuracy", **kwargs
    )
    assert loss.about == "splits and seeds on these test rows"


def test_comparisons_are_paired():
    # Fails if the clean score has other seeds, or other folds, than the poisoned one: the level of
    # a fit is ten times the fall.
    shuffled = KFold(5, shuffle=True, random_state=np.random.RandomState(0))
    for cv in (None, shuffled):
        point = point_of(Falls(noise=0.5), drop=0.1, n_repeats=2, cv=cv, n_steps=3)
        assert point.drops[0.8].mean == pytest.approx(0.8, abs=0.5)
        assert abs(point.budget - 0.1) < 0.2
    again = [point_of(Falls(noise=0.5), drop=0.1, cv=2, n_steps=2) for _ in range(2)]
    assert again[0] == again[1]


def test_interval_covers_the_breaking_point():
    # The mean fall of the population is the budget. 95% of intervals cover it; the corrected
    # variance makes that more. Fails if the ends are those of one standard error.
    covered, widths = 0, []
    for seed in range(8):
        point = point_of(Falls(noise=0.3), drop=0.3, random_state=seed, cv=3, n_steps=4)
        assert point.low <= point.budget <= point.high
        covered += point.low <= 0.3 <= point.high
        widths.append(point.high - point.low)
    assert covered >= 7
    assert np.median(widths) > 0.1


def test_a_victim_that_does_not_break():
    point = point_of(Falls(), drop=0.9)
    assert point.budget == point.high == math.inf
    assert point.low == 0.8
    assert list(point.drops) == [0.0, 0.8]


def test_a_single_split_has_no_interval():
    point = point_of(Falls(), cv=[(np.arange(300), np.arange(300, 400))])
    assert 0.03 < point.budget < 0.09
    assert math.isnan(point.low)
    assert math.isnan(point.high)


def curve_of(scores, **kwargs):
    tables = {name: np.array(table, dtype=float) for name, table in scores.items()}
    arguments = {"n_splits": 2, "n_repeats": 1, "test_train_ratio": 1.0, **kwargs}
    return RobustnessCurve("width", [2, 64], tables, tables, tables, **arguments)


SCORES = {
    "0.2": [[0.5, 0.5], [0.5, 0.5]],
    "0": [[0.8, 0.8], [0.9, 0.9]],
    "0.1": [[0.78, 0.78], [0.5, 0.9]],
}


def test_point_of_a_curve():
    curve = curve_of(SCORES)
    narrow = breaking_point(curve, value=2)
    assert narrow.budget == pytest.approx(0.1 + 0.1 * 0.03 / 0.28)
    assert (narrow.low, narrow.high) == (0.1, 0.2)
    wide = breaking_point(curve, value=64)
    assert wide.budget == pytest.approx(0.1 * 0.05 / 0.2)
    assert (wide.low, wide.high) == (0.0, 0.2)
    assert list(wide.drops) == [0.0, 0.1, 0.2]
    assert breaking_point(curve, value=2, drop=0.02).budget == pytest.approx(0.1)
    with pytest.raises(ValueError, match=r"`value` must be one of \[2, 64\], got None"):
        breaking_point(curve)


@pytest.mark.parametrize(
    ("point", "text"),
    [
        ((0.25, 0.2, 0.31875), "breaks at budget 0.25 [0.2, 0.319]; 2 budgets tried"),
        ((0.25, 0.2, math.inf), "breaks at budget 0.25 [0.2, over 0.8]; 2 budgets tried"),
        (
            (math.inf, 0.8, math.inf),
            "does not break up to budget 0.8 [0.8, over 0.8]; 2 budgets tried",
        ),
        (
            (0.25, math.nan, math.nan),
            "breaks at budget 0.25 (no interval); 2 budgets tried",
        ),
    ],
)
def test_a_point_prints_in_words_and_stays_a_tuple(point, text):
    drops = {0.0: Drop(0.0, 0.0, 0.0), 0.8: Drop(0.4, 0.3, 0.5)}
    found = BreakingPoint(*point, drops, "splits and seeds")
    assert repr(found) == text
    assert found == (*point, drops, "splits and seeds")
    assert repr(found._replace(about="seeds on one split")) == f"{text} (about seeds on one split)"
    budget, *_ = found
    assert budget == point[0]


def test_a_net_breaks_at_flips(digits):
    net = NetClassifier(MLP, module__width=16, lr=0.5, batch_size=32, max_epochs=10)
    kwargs = {"attack": LabelFlip(), "budget_name": "rate", "max_budget": 0.8, "random_state": 0}
    point = breaking_point(net, *digits, **kwargs, drop=0.2, n_steps=3, cv=3)
    assert 0.1 < point.budget < 0.7


def test_the_strength_is_found_by_itself():
    kwargs = {"max_budget": 0.5, "n_steps": 2, "cv": 3, "random_state": 0}
    for attack, name in ((LabelFlip(), "rate"), (Marks(), "budget")):
        found = breaking_point(Falls(), *DATA, attack=attack, **kwargs)
        assert found == breaking_point(Falls(), *DATA, attack=attack, budget_name=name, **kwargs)
    display = BudgetHeatmapDisplay.from_estimator(
        Falls(),
        *DATA,
        attack=LabelFlip(),
        budgets=[0.2],
        param_name="noise",
        param_range=[0.0],
        cv=2,
    )
    assert display.ax_.get_ylabel() == "rate"


def test_map_shows_the_study():
    display = BudgetHeatmapDisplay.from_curve(curve_of(SCORES), drop=0.05)
    np.testing.assert_allclose(display.im_.get_array(), [[0.8, 0.9], [0.78, 0.7], [0.5, 0.5]])
    assert [text.get_text() for text in display.text_[1]] == ["0.78", "0.70"]
    assert [label.get_text() for label in display.ax_.get_yticklabels()] == ["0", "0.1", "0.2"]
    # The rows 0, 1 and 2 are the budgets 0, 0.1 and 0.2; `test_point_of_a_curve` has the points.
    narrow, wide = 1 + 0.03 / 0.28, 0.05 / 0.2
    np.testing.assert_allclose(
        display.lines_.get_segments(),
        [[[-0.5, narrow], [0.5, narrow]], [[0.5, wide], [1.5, wide]]],
    )
    plt.close(display.figure_)


@settings(deadline=None, max_examples=10)
@given(st.integers(0, 2**32 - 1), st.floats(0.01, 0.5))
def test_the_line_of_the_map_is_the_breaking_point(seed, drop):
    # Fails if the means of a clean and a poisoned row are over different fits, where some failed,
    # or if fits count alike though their folds have lost different numbers.
    rng = np.random.default_rng(seed)
    budgets = [0.0, 0.1, 0.4, 0.5]
    scores = rng.random((4, 2, 6))
    scores[rng.random(scores.shape) < 0.3] = np.nan
    tables = {repr(budget): table for budget, table in zip(budgets, scores, strict=True)}
    curve = curve_of(tables, n_splits=3, n_repeats=2)
    _, ax = plt.subplots()
    display = BudgetHeatmapDisplay.from_curve(curve, drop=drop, ax=ax)
    drawn = {
        curve.param_range[int((start[0] + stop[0]) / 2)]: np.interp(start[1], range(4), budgets)
        for start, stop in display.lines_.get_segments()
    }
    points = {value: breaking_point(curve, value=value, drop=drop).budget for value in (2, 64)}
    assert drawn == pytest.approx({v: b for v, b in points.items() if math.isfinite(b)})
    plt.close(display.figure_)


def test_the_line_of_plain_scores_is_paired():
    # The second fit failed under the attack; the first lost 0.05. The means fell by 0.1 or rose.
    for other, drop in ((0.9, 0.08), (0.3, 0.04)):
        scores = np.array([[[0.8, other]], [[0.75, np.nan]]])
        display = BudgetHeatmapDisplay(
            budgets=[0, 0.2], param_name="width", param_range=[2], scores=scores
        )
        display.plot(drop=drop)
        heights = [segment[0][1] for segment in display.lines_.get_segments()]
        assert heights == pytest.approx([0.8] if drop < 0.05 else [])
        plt.close(display.figure_)


def test_map_of_failed_fits():
    scores = {"0": [[0.8, np.nan], [np.nan, np.nan]], "1": SCORES["0.2"]}
    display = BudgetHeatmapDisplay.from_curve(curve_of(scores), drop=0.1)
    assert display.text_[0, 0].get_text() == "0.80"
    assert display.text_[0, 1].get_text() == "nan"
    assert len(display.lines_.get_segments()) == 1
    plt.close(display.figure_)


def test_map_runs_the_study():
    figure, ax = plt.subplots()
    display = BudgetHeatmapDisplay.from_estimator(
        Falls(),
        *DATA,
        attack=Marks(),
        budgets=[0.2, 0.1],
        param_name="noise",
        param_range=[0.0, 0.1],
        ax=ax,
        random_state=0,
    )
    assert display.ax_ is ax
    assert list(display.curve_.scores) == ["0.0", "0.1", "0.2"]
    np.testing.assert_allclose(display.im_.get_array()[:, 0], [0.8, 0.7, 0.6], atol=1e-2)
    point = breaking_point(display.curve_, value=0.0, drop=0.15)
    assert point.budget == pytest.approx(0.15, abs=1e-2)
    plt.close(figure)


@pytest.mark.filterwarnings("ignore:.* selects none of the:UserWarning")
@pytest.mark.parametrize("n_steps", [60, 2000])
def test_bisection_ends_where_floats_do(n_steps, digits):
    # Fails if the middle of two neighbouring floats is tried for ever.
    X, y = digits
    point = breaking_point(
        RidgeClassifier(), X[:60], y[:60] % 2, attack=LabelFlip(sampling="exact"),
        budget_name="rate", max_budget=0.8, n_steps=n_steps, cv=2, random_state=0,
    )  # fmt: skip
    assert len(point.drops) < 200
    assert 0 < point.budget <= 0.8
