"""What an interval of a curve speaks about, and when there is a verdict."""

import importlib.util
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.stats import t as student_t
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, make_scorer
from sklearn.model_selection import RepeatedStratifiedKFold, ShuffleSplit, StratifiedKFold
from sklearn.tree import DecisionTreeClassifier

from skpoison import LabelFlip, RobustnessCurve, breaking_point, robustness_curve
from skpoison.study import corrected_interval
from skpoison.study.engine import FitTask

TOOL = Path(__file__).parents[2] / "tools" / "simulate_intervals.py"
TREE = DecisionTreeClassifier()
STUDY = {
    "attacks": {"clean": None, "flips": LabelFlip(0.3)},
    "param_name": "max_depth",
    "param_range": [1, 3, 9],
    "random_state": 0,
}


@pytest.mark.parametrize("n_test", [80, 83])
def test_a_fixed_test_set_keeps_what_each_fit_gets_right(digits, n_test, tmp_path):
    X, y = digits
    test = X[:n_test], y[:n_test]
    curve = robustness_curve(TREE, X[100:], y[100:], test=test, cv=3, n_repeats=2, **STUDY)
    assert curve.n_test == n_test
    for name, bits in curve.hits.items():
        assert bits.shape == (3, 6, -(-n_test // 8))
        hits = np.unpackbits(bits, axis=-1, count=n_test)
        np.testing.assert_allclose(hits.mean(axis=2), curve.scores[name])
    seeds = np.random.RandomState(0).randint(2**31 - 1, size=(2, 3))
    train = list(StratifiedKFold(3).split(X[100:], y[100:]))[1][0] + 100
    tree = DecisionTreeClassifier(max_depth=9, random_state=seeds[0, 1]).fit(X[train], y[train])
    hits = np.unpackbits(curve.hits["clean"][2, 1], count=n_test)
    assert abs((tree.predict(test[0]) == test[1]).mean() - hits.mean()) < 0.1
    curve.save(tmp_path / "curve.json")
    loaded = RobustnessCurve.load(tmp_path / "curve.json")
    for name in curve.scores:
        np.testing.assert_array_equal(loaded.hits[name], curve.hits[name])
    assert loaded.u_shape("flips") == curve.u_shape("flips")


def test_a_metric_that_is_no_mean_over_rows_gets_no_verdict(digits):
    X, y = digits
    study = {**STUDY, "test": (X[:100], y[:100]), "cv": 4}
    metrics = ["accuracy", "balanced_accuracy"]
    curves = robustness_curve(TREE, X[100:], y[100:], scoring=metrics, **study)
    assert curves["accuracy"].hits is not None
    assert curves["accuracy"].u_shape("clean").about == "splits, seeds and test rows"
    assert curves["accuracy"].u_shape("clean").is_u is not None
    for name in metrics[1:]:
        shape = curves[name].u_shape("clean")
        assert curves[name].hits is None
        assert shape.is_u is None
        assert shape.about == "splits and seeds on these test rows"
        assert shape.left.high > shape.left.low
        assert "no verdict: " in str(curves[name])
    # What counts is whether the score is the share of rows, not its name.
    own = robustness_curve(TREE, X[100:], y[100:], scoring=make_scorer(accuracy_score), **study)
    assert own.hits is not None


def test_held_out_folds_keep_nothing(digits):
    curve = robustness_curve(TREE, *digits, cv=3, **STUDY)
    assert (curve.n_test, curve.hits, curve.sharing) == (None, None, None)
    assert curve.u_shape("clean").about == "splits and seeds"


def test_splits_that_hold_out_rows_in_common_do_not_choose_for_each_other(digits):
    # Fails if each split of a repeated splitter counts as a fold of its own.
    cv = RepeatedStratifiedKFold(n_splits=3, n_repeats=2, random_state=0)
    curve = robustness_curve(TREE, *digits, cv=cv, **STUDY)
    sharing = np.array(curve.sharing)
    for block in (sharing[:3, :3], sharing[3:, 3:]):
        np.testing.assert_array_equal(block, np.eye(3, dtype=bool))
    assert sharing[:3, 3:].all()
    # By hand, for the first split: the splits 1 and 2 choose.
    table = curve.scores["flips"]
    others = [0, 1]
    differences = []
    for split in range(6):
        first = split // 3 * 3
        choosing = [k for k in range(first, first + 3) if k != split]
        best = others[np.argmax(table[others][:, choosing].mean(axis=1))]
        differences.append(table[best, split] - table[2, split])
    shape = curve.u_shape("flips")
    assert shape.right.mean == pytest.approx(np.mean(differences))
    assert shape.is_u is not None


def test_splits_that_all_share_rows_give_no_verdict(digits):
    cv = ShuffleSplit(6, test_size=0.5, random_state=0)
    shape = robustness_curve(TREE, *digits, cv=cv, **STUDY).u_shape("clean")
    assert shape.left.high > shape.left.low
    assert shape.is_u is None


def test_one_split_given_several_times_gives_no_verdict(digits):
    # Fails if the same training rows count as five splits: only test rows and seeds vary then.
    X, y = digits
    cv = [(np.arange(80), np.arange(80, 100))] * 5
    for test in (None, (X[100:], y[100:])):
        shape = robustness_curve(TREE, X, y, cv=cv, test=test, **STUDY).u_shape("clean")
        assert shape.is_u is None


@pytest.mark.parametrize("kind", ["column", "frame", "strings"])
def test_labels_of_a_test_set_may_be_of_any_kind(digits, kind):
    X, y = digits
    y = np.char.add("digit ", y.astype(str))
    given = {"column": y[:50, None], "frame": pd.DataFrame({"digit": y[:50]}), "strings": y[:50]}
    test = X[:50], given[kind]
    curve = robustness_curve(TREE, X[50:], y[50:], cv=3, test=test, **STUDY)
    hits = np.unpackbits(curve.hits["clean"], axis=-1, count=50)
    np.testing.assert_allclose(hits.mean(axis=2), curve.scores["clean"])


@pytest.mark.filterwarnings("error")
def test_a_test_set_of_one_row_gives_no_verdict(digits):
    X, y = digits
    curve = robustness_curve(TREE, X[1:], y[1:], cv=3, test=(X[:1], y[:1]), **STUDY)
    assert curve.hits is None
    assert curve.u_shape("clean").is_u is None


def test_test_rows_are_predicted_on_one_thread(digits):
    # Fails if only fits and scores are: the threads of a worker are not the caller's.
    X, y = digits
    threads = []

    class Looking(DecisionTreeClassifier):
        def predict(self, X):
            threads.append(torch.get_num_threads())
            return super().predict(X)

    task = FitTask(Looking().fit(X, y), (X, y), None, (X, y), None)
    torch.set_num_threads(2)
    try:
        assert task.hits() is not None
    finally:
        torch.set_num_threads(1)
    assert threads == [1]


def luck_of_rows(rng, n_widths=7, n_folds=5, n_repeats=4, n_test=400):
    """Equal widths, each of which has its own luck with the rows of the test set."""
    luck = rng.random((n_widths, 1, n_test)) < 0.3
    hits = rng.random((n_widths, n_folds * n_repeats, n_test)) < 0.9
    hits &= ~(luck & (rng.random(hits.shape) < 0.9))
    table = {"C": hits.mean(axis=2)}
    bits = {"C": np.packbits(hits, axis=-1)}
    return [*[table] * 3, n_folds, n_repeats, 0.25, n_test, bits]


def test_the_rows_of_a_fixed_test_set_are_part_of_the_interval():
    # Fails if the rows are taken for all rows that there are: of curves without any fall, 38% were
    # called a U, and the end lay in its interval in half of the cases.
    rng = np.random.default_rng(0)
    covered, false, naive = [], [], []
    for _ in range(60):
        curve = RobustnessCurve("width", list(range(7)), *luck_of_rows(rng))
        shape = curve.u_shape("C")
        covered.append(shape.right.low <= 0 <= shape.right.high)
        false.append(shape.is_u)
        table = curve.scores["C"]
        alone = RobustnessCurve("width", list(range(7)), *[{"C": table}] * 3, 5, 4, 0.25)
        naive.append(alone.u_shape("C").right.low > 0)
    assert np.mean(covered) >= 0.92
    assert np.mean(false) <= 0.04
    assert np.mean(naive) > 0.2


def test_a_breaking_point_says_what_it_is_about(digits):
    X, y = digits
    kwargs = {"attack": LabelFlip(), "max_budget": 0.6, "n_steps": 2, "random_state": 0}
    linear = LogisticRegression(C=0.1)
    found = {
        "splits and seeds": {"cv": 3},
        "splits, seeds and test rows": {"cv": 3, "test": (X[:50], y[:50])},
        "seeds on one split": {"cv": [(np.arange(200), np.arange(200, 300))], "n_repeats": 2},
    }
    for about, arguments in found.items():
        assert breaking_point(linear, X, y, **arguments, **kwargs).about == about


@pytest.fixture(scope="module")
def simulation():
    spec = importlib.util.spec_from_file_location("simulate_intervals", TOOL)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    "name",
    [
        "held-out, 7 values, 5 folds, 4 repeats, rho 0.2",
        "held-out, 7 values, 5 folds, 4 repeats, rho 0.2, 2% of fits failed",
        "RepeatedKFold, 7 values, 5 folds, 4 times",
        "test=, 7 values, 5 folds, 4 repeats, 500 test rows",
    ],
)
def test_simulated_verdicts(simulation, name):
    # A small part of the table in docs/guarantees.md. Of 150 curves 4% are 6.
    make, n = next(cell[1:] for cell in simulation.cells() if cell[0] == name)
    n_curves = 150 if "test=" not in name else 50
    flat, worse, covers, _ = simulation.verdicts(make, n, n_curves, seed=0)
    assert max(flat, worse) <= 6
    assert covers >= 92


def test_simulated_breaking_points(simulation):
    assert simulation.breaking(100, 0, 5, 4, 0.2) >= 92


@pytest.mark.parametrize("ratio", [0.0, 0.25])
def test_corrected_interval_by_hand(ratio):
    values = np.random.default_rng(0).normal(0.03, 0.01, size=5)
    mean, low, high = corrected_interval(values, ratio)
    half = student_t.ppf(0.975, 4) * values.std(ddof=1) * np.sqrt(1 / 5 + ratio)
    assert mean == pytest.approx(values.mean())
    assert (low, high) == (pytest.approx(mean - half), pytest.approx(mean + half))
    assert np.isnan(corrected_interval([0.1], ratio).low)
