"""The plot of excess risk over the sample size."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
from sklearn.base import BaseEstimator
from sklearn.exceptions import FitFailedWarning
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss

from skpoison import CleanLabelPGA, ExcessRiskDisplay, LabelFlip, RandomNoise

SIZES = [100, 200, 400]


@pytest.fixture(autouse=True)
def _close():
    yield
    plt.close("all")


def test_draws_means_spread_and_bounds():
    table = np.array([[0.4, 0.6], [0.2, 0.2], [0.1, np.nan]])
    display = ExcessRiskDisplay.from_excess(
        SIZES,
        {"C = 50": table, "C = 100": 2 * table},
        bounds={"C = 100": [3, 2, 1]},
        risk_name="Excess loss",
    )
    first, second = display.lines_
    # Fails if a failed fit takes its row along.
    np.testing.assert_allclose(first.get_ydata(), [0.5, 0.2, 0.1])
    np.testing.assert_array_equal(second.get_xdata(), SIZES)
    band = display.fill_between_[0].get_paths()[0].vertices
    assert band[:, 1].max() == pytest.approx(0.5 + 0.1 * 2**0.5)
    # A bound has the colour of its attack, and a line that is not the measurements'.
    assert list(display.bounds_) == ["C = 100"]
    bound = display.bounds_["C = 100"]
    assert bound.get_color() == second.get_color() != first.get_color()
    assert bound.get_linestyle() == "--"
    np.testing.assert_array_equal(bound.get_ydata(), [3, 2, 1])
    assert display.ax_.get_xscale() == "log"
    assert display.ax_.get_ylabel() == "Excess loss"
    labels = [text.get_text() for text in display.ax_.get_legend().get_texts()]
    assert labels == ["C = 50", "C = 100"]


def test_plot_again_on_given_axes():
    display = ExcessRiskDisplay(train_sizes=[10], excess={"A": [[1.0]]}, bounds={"A": [2.0]})
    _, ax = plt.subplots()
    again = display.plot(
        ax=ax, std_display_style=None, line_kw={"marker": "x"}, bound_kw={"linestyle": ":"}
    )
    assert again is display
    assert display.ax_ is ax
    assert display.figure_ is ax.figure
    assert display.fill_between_ is None
    assert display.lines_[0].get_marker() == "x"
    assert display.bounds_["A"].get_linestyle() == ":"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"train_sizes": [0, 1]}, "`train_sizes` must be a list of numbers > 0"),
        ({"train_sizes": [1]}, "`excess` must have a row for each of the 1 `train_sizes`"),
        ({"excess": {"A": [1.0, 2.0]}}, r"got shape \(2,\) for 'A'"),
        ({"bounds": {"B": [1.0, 2.0]}}, "`bounds` must be one of 'A', got 'B'"),
        ({"bounds": {"A": [1.0]}}, "`bounds` must have a value for each of the 2"),
    ],
)
def test_what_does_not_fit_together(changes, message):
    arguments = {"train_sizes": [1, 2], "excess": {"A": [[1.0], [2.0]]}, **changes}
    n_figures = len(plt.get_fignums())
    with pytest.raises(ValueError, match=message):
        ExcessRiskDisplay.from_excess(
            arguments.pop("train_sizes"), arguments.pop("excess"), **arguments
        )
    assert len(plt.get_fignums()) == n_figures
    with pytest.raises(ValueError, match="`std_display_style` must be one of 'fill_between'"):
        ExcessRiskDisplay(train_sizes=[1], excess={}).plot(std_display_style="bars")


def test_from_estimator_by_hand(split_digits):
    X, y, *test = split_digits
    victim = LogisticRegression(C=0.1)
    display = ExcessRiskDisplay.from_estimator(
        victim,
        X,
        y,
        attacks={"clean": None, "flips": LabelFlip(0.3)},
        train_sizes=SIZES,
        test=test,
        n_repeats=2,
        random_state=0,
    )
    random_state = np.random.RandomState(0)
    for repeat in range(2):
        order = random_state.permutation(len(y))
        random_state.randint(2**31 - 1)
        best = log_loss(test[1], LogisticRegression(C=0.1).fit(X, y).predict_proba(test[0]))
        for i, n in enumerate(SIZES):
            model = LogisticRegression(C=0.1).fit(X[order[:n]], y[order[:n]])
            expected = log_loss(test[1], model.predict_proba(test[0])) - best
            # Fails if the excess has the wrong sign, or samples are not drawn anew in a repeat.
            assert display.excess["clean"][i, repeat] == pytest.approx(expected)
    clean, flips = (display.excess[name] for name in ("clean", "flips"))
    assert (clean > 0).all()
    assert (flips > clean).all()
    assert (np.diff(clean.mean(axis=1)) < 0).all()
    assert not hasattr(victim, "coef_")


def test_one_sample_without_an_attack_costs_its_own_number():
    # 5 of 100 rows have the other class: most samples of three rows have one class. Fails if an
    # attack that fails on the one sample of a repeat ends the study.
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((100, 2)), (np.arange(100) % 2 == 0).astype(int)
    with pytest.warns(FitFailedWarning, match="at least 2 classes"):
        display = ExcessRiskDisplay.from_estimator(
            LogisticRegression(), X, y, attacks={"clean": None, "flips": RandomNoise(clip=None)},
            train_sizes=[3], test=(X, y), n_repeats=10, random_state=0,
        )  # fmt: skip
    lost = np.isnan(display.excess["flips"])
    assert 0 < lost.sum() < 10


@pytest.mark.parametrize("scoring", ["neg_log_loss", "accuracy"])
def test_a_sample_that_lacks_a_class_is_nan(scoring):
    # 8 of 200 rows have the class 2. A sample of 10 has it in the second repeat; without it, the
    # log loss has no number. Fails if one such score ends the study.
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((200, 2)), np.arange(200) % 2
    y[::25] = 2
    X[:, 0] += y
    kwargs = {
        "attacks": {"clean": None, "flips": LabelFlip(0.2, sampling="exact")},
        "train_sizes": [10, 150],
        "test": (X, y),
        "scoring": scoring,
        "n_repeats": 4,
        "random_state": 0,
    }
    random_state = np.random.RandomState(0)
    is_whole = []
    for _ in range(4):
        is_whole.append(len(set(y[random_state.permutation(200)[:10]])) == 3)
        random_state.randint(2**31 - 1)
    assert 0 < sum(is_whole) < 4
    if scoring == "accuracy":
        excess = ExcessRiskDisplay.from_estimator(LogisticRegression(), X, y, **kwargs).excess
        assert np.isfinite(excess["clean"]).all()
        return
    with pytest.warns(FitFailedWarning, match=r"fits of the study failed(.|\n)*Scoring failed"):
        display = ExcessRiskDisplay.from_estimator(LogisticRegression(), X, y, **kwargs)
    np.testing.assert_array_equal(np.isfinite(display.excess["clean"]), [is_whole, [True] * 4])
    assert np.isfinite(display.excess["flips"][1]).all()
    assert np.isfinite(display.lines_[0].get_ydata()).all()


def test_from_estimator_depends_on_its_seed_alone(digits):
    kwargs = {
        "attacks": {"A": CleanLabelPGA(LogisticRegression(), budget=20.0, max_iter=20)},
        "train_sizes": [50, 100],
        "test": digits,
        "scoring": "accuracy",
    }
    one, two, other = (
        ExcessRiskDisplay.from_estimator(
            LogisticRegression(), *digits, random_state=seed, **kwargs
        ).excess["A"]
        for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(one, two)
    assert (one != other).any()


class Recorder(BaseEstimator):
    """An attack that keeps the rows it is given, and the seed it has."""

    seen = []

    def __init__(self, random_state=None):
        self.random_state = random_state

    def poison(self, X, y):
        self.seen.append((X, self.random_state))
        return X.copy(), y.copy()


def test_samples_are_nested_and_poisoned_by_themselves(digits):
    X, y = digits
    Recorder.seen.clear()
    ExcessRiskDisplay.from_estimator(
        LogisticRegression(),
        X,
        y,
        attacks={"A": Recorder(7)},
        train_sizes=[60, 90],
        test=(X, y),
        random_state=3,
    )
    (small, seed), (large, same_seed) = Recorder.seen
    assert (len(small), len(large)) == (60, 90)
    np.testing.assert_array_equal(large[:60], small)
    assert seed == same_seed != 7


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"train_sizes": [301]}, ValueError, "`train_sizes` must be <= 300, got 301"),
        ({"train_sizes": [0]}, ValueError, "`train_sizes` must be >= 1, got 0"),
        ({"train_sizes": [0.5]}, TypeError, "`train_sizes` must be an integer"),
        ({"n_repeats": 0}, ValueError, "`n_repeats` must be >= 1, got 0"),
        ({"test": None}, ValueError, "`test` must be a pair"),
        ({"attacks": {"A": 3}}, TypeError, "must have a method `poison`, got 3"),
    ],
)
def test_bad_arguments_of_from_estimator(digits, changes, error, message):
    kwargs = {"attacks": {"clean": None}, "train_sizes": [50], "test": digits, **changes}
    with pytest.raises(error, match=message):
        ExcessRiskDisplay.from_estimator(LogisticRegression(), *digits, **kwargs)


def test_jobs_and_memory_change_nothing(digits, tmp_path):
    kwargs = {
        "attacks": {"clean": None, "A": Recorder(7)},
        "train_sizes": [60, 90],
        "test": digits,
        "n_repeats": 2,
        "random_state": 3,
    }

    def excess(**study_kw):
        Recorder.seen.clear()
        display = ExcessRiskDisplay.from_estimator(
            LogisticRegression(), *digits, **kwargs, **study_kw
        )
        return display.excess

    expected = excess()
    assert len(Recorder.seen) == 4
    for study_kw, n_attacks in (
        ({"memory": tmp_path}, 4),
        # Fails if fits or attacks are kept under another address than they are looked for.
        ({"memory": tmp_path}, 0),
        ({"n_jobs": 2, "memory": tmp_path}, 0),
    ):
        found = excess(**study_kw)
        assert len(Recorder.seen) == n_attacks
        for name, table in expected.items():
            np.testing.assert_array_equal(found[name], table)
    # 2 repeats of: the clean fit, and of 2 sizes 2 fits and an attack.
    assert len(list(tmp_path.rglob("output.pkl"))) == 2 * (1 + 2 * 3)
    found = excess(n_jobs=2)
    for name, table in expected.items():
        np.testing.assert_array_equal(found[name], table)


def test_progress_counts_attacks_and_fits(digits, capsys):
    ExcessRiskDisplay.from_estimator(
        LogisticRegression(),
        *digits,
        attacks={"clean": None, "flips": LabelFlip(0.3)},
        train_sizes=[60, 90, 120],
        test=digits,
        progress=True,
        random_state=0,  # Some draws of 60 rows lack a class.
    )
    assert "10/10" in capsys.readouterr().err
