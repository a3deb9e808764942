"""How well a filter has found the poison: rates, intervals, and the scorers of a study."""

import math

import numpy as np
import pytest
from scipy.stats import norm
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import recall_score, roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skpoison import (
    FilteredClassifier,
    LabelFlip,
    LossTrimming,
    NeighbourVote,
    detection_rates,
    detection_scorers,
    robustness_curve,
)

RNG = np.random.default_rng(0)


def test_rates_are_those_of_scikit_learn():
    is_poisoned, scores = RNG.random(200) < 0.2, RNG.integers(0, 9, 200) / 9.0
    flagged, poisoned = scores > 0.7, np.flatnonzero(is_poisoned)
    rates = detection_rates(poisoned, flagged)
    assert list(rates) == ["true_positive_rate", "false_positive_rate"]
    assert rates["true_positive_rate"].value == recall_score(is_poisoned, flagged)
    assert rates["false_positive_rate"].value == pytest.approx(
        1 - recall_score(~is_poisoned, ~flagged)
    )
    (auc,) = detection_rates(poisoned.tolist(), scores).values()
    assert auc.value == roc_auc_score(is_poisoned, scores)


def test_wilsons_interval():
    # Newcombe (1998), Table I: 81 of 263, and 0 of 20.
    rate = detection_rates(np.arange(263), np.arange(263) < 81)["true_positive_rate"]
    assert rate == pytest.approx((81 / 263, 0.2553, 0.3662), abs=5e-5)
    rate = detection_rates(np.arange(20), np.zeros(20, bool))["true_positive_rate"]
    assert rate == pytest.approx((0, 0, 0.1611), abs=5e-5)


@pytest.mark.parametrize("true", [0.6, 0.95])
def test_intervals_hold_the_true_auc(true):
    # Normal scores, whose AUC is Phi(d / sqrt(2)). Fails if a variance is of one group only.
    rng = np.random.default_rng(0)
    shift = math.sqrt(2) * norm.ppf(true)
    hits = 0
    for _ in range(200):
        scores = np.r_[rng.standard_normal(15) + shift, rng.standard_normal(60)]
        auc = detection_rates(range(15), scores)["roc_auc"]
        assert 0 <= auc.low <= auc.value <= auc.high <= 1
        hits += auc.low <= true <= auc.high
    assert 0.92 <= hits / 200 <= 0.99


@pytest.mark.parametrize("order", [1, -1])
def test_a_perfect_filter_has_an_interval(order):
    scores = order * np.r_[np.ones(5), np.zeros(50)]
    auc = detection_rates(range(5), scores)["roc_auc"]
    assert auc.value == (order == 1)
    assert 0.15 < auc.high - auc.low < 0.3
    wide = detection_rates(range(5), scores, confidence=0.99)["roc_auc"]
    assert wide.high - wide.low > auc.high - auc.low


def test_without_poison_only_clean_rows_are_measured():
    flagged = np.arange(10) < 2
    rates = detection_rates([], flagged)
    assert all(map(math.isnan, rates["true_positive_rate"]))
    assert rates["false_positive_rate"].value == 0.2
    assert all(map(math.isnan, detection_rates([], np.arange(3.0))["roc_auc"]))
    assert all(map(math.isnan, detection_rates(range(3), np.arange(3.0))["roc_auc"]))


BAD = {
    "a table": (([0], np.zeros((3, 1), bool)), ValueError, r"`flagged` must have the shape \(n,\)"),
    "words": (([0], ["a", "b"]), TypeError, "`flagged` must have booleans or numbers, got <U1"),
    "NaN": (([0], [np.nan, 1.0]), ValueError, "`flagged` must have finite scores, got NaN"),
    "no row": (([3], [True] * 3), ValueError, "`poison_indices` must be rows from 0 to 2, got 3"),
    "negative": (([-1], [True] * 3), ValueError, "must be rows from 0 to 2, got -1"),
    "twice": (([1, 1], [True] * 3), ValueError, "must be distinct, got 1 more than once"),
    "a mask": (([True, False], [True] * 2), TypeError, "`poison_indices` must be integers of sh"),
    "floats": (([0.0], [True] * 2), TypeError, "`poison_indices` must be integers of shape"),
}


@pytest.mark.parametrize("what", BAD)
def test_bad_arguments_are_refused(what):
    arguments, error, words = BAD[what]
    with pytest.raises(error, match=words):
        detection_rates(*arguments)
    with pytest.raises(ValueError, match=r"`confidence` must lie between 0 and 1, got 1\.0"):
        detection_rates([0], [True], confidence=1.0)


def test_a_study_gives_the_rates(digits):
    # Fails if indices are of the whole data, or if rows that are scored are looked at.
    X, y = digits
    filtered = FilteredClassifier(LogisticRegression(max_iter=20, tol=0.01), NeighbourVote(5))
    victims = {
        "filtered": filtered,
        "piped": make_pipeline(StandardScaler(), filtered),
        "trimmed": LossTrimming(filtered.estimator, 0.2, 1),
        "plain": filtered.estimator,
    }
    told = []

    def keeps(estimator, X, y, poison_indices, X_poisoned, y_poisoned):
        told.append((poison_indices, X_poisoned, y_poisoned))
        return 0.0

    flips = LabelFlip(sampling="exact")
    curves = robustness_curve(
        victims,
        X,
        y,
        attacks={"flips": flips},
        param_name="strength",
        param_range=[0, 0.2],
        cv=2,
        scoring={"keeps": keeps, **detection_scorers()},
        random_state=0,
    )
    scores = {
        name: {victim: curves[name][victim].scores["flips"] for victim in victims}
        for name in detection_scorers()
    }
    for poisoned, X_fold, y_fold in told:
        vote = NeighbourVote(5)
        rates = detection_rates(poisoned, vote.flag(X_fold, y_fold))
        rates |= detection_rates(poisoned, vote.scores_)
        strength = int(len(poisoned) > 0)
        for name, rate in rates.items():
            row = scores[name]["filtered"][strength]
            assert np.isclose(row, rate.value, equal_nan=True).any()
    assert (scores["true_positive_rate"]["filtered"][1] > 0.7).all()
    assert (scores["true_positive_rate"]["piped"][1] > 0.6).all()
    assert (scores["true_positive_rate"]["trimmed"][1] > 0.5).all()
    assert (scores["false_positive_rate"]["trimmed"][0] == 0.2).all()
    assert (scores["roc_auc"]["filtered"][1] > 0.9).all()
    assert np.isnan(scores["true_positive_rate"]["filtered"][0]).all()
    assert np.isnan(scores["roc_auc"]["trimmed"]).all()
    assert all(np.isnan(table["plain"]).all() for table in scores.values())
