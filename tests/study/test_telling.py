"""Scorers that ask which rows are poisoned."""

import numpy as np
import pandas as pd
import polars as pl
import pytest
from scipy import sparse
from sklearn import config_context
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.metrics import accuracy_score, make_scorer
from sklearn.model_selection import KFold
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from skpoison import BackdoorPatch, LabelFlip, RandomNoise, robustness_curve
from skpoison.study.engine import AttackTask

VICTIM = GaussianNB()
KNN = KNeighborsClassifier(1)


class Duck:
    """Changes the first and the third row, and does not say which."""

    def get_params(self, deep=True):
        return {}

    def set_params(self):
        return self

    def poison(self, X, y):
        y = np.array(y)
        y[[0, 2]] = (y[[0, 2]] + 1) % 10
        return X, y


class DuckOfFrames(Duck):
    def poison(self, X, y):
        return X.copy(), y.where(np.arange(len(y)) > 3, "yes")


class GaussianDense(GaussianNB):
    def fit(self, X, y):
        return super().fit(X.toarray(), y)

    def predict(self, X):
        return super().predict(X.toarray())


ATTACKS = {
    "clean": None,
    "flips": LabelFlip(0.3),
    "noise": RandomNoise(norm="l2,inf", budget=1.0),
    "backdoor": BackdoorPatch(np.full(64, 0.5), rate=0.1),
    "duck": Duck(),
}
STUDY = {"attacks": ATTACKS, "cv": KFold(3), "random_state": 0}


class Told:
    """A scorer that keeps what it is told."""

    def __init__(self):
        self.calls = []

    def __call__(self, estimator, X, y, *, poison_indices, X_poisoned, y_poisoned):
        self.calls.append((poison_indices, X_poisoned, y_poisoned))
        return len(poison_indices) / len(y_poisoned)


@pytest.mark.parametrize("poison", ["fold", "dataset"])
def test_a_scorer_is_told_the_rows_of_its_training_fold(digits, poison):
    # Fails if indices are of the whole data, or those of another fold.
    X, y = digits
    order = np.random.default_rng(0).permutation(len(y))
    folds = [(order[train], order[test]) for train, test in KFold(3).split(X)]
    told = Told()
    study = {**STUDY, "cv": folds, "poison": poison, "attacks": ATTACKS, "scoring": told}
    curve = robustness_curve(VICTIM, X, y, **study)
    # Each fit is scored on test rows and on training rows, in this order of attacks and folds.
    assert len(told.calls) == 2 * len(ATTACKS) * 3
    places = [(name, fold) for name in ATTACKS for fold in range(3) for _ in range(2)]
    for (name, fold), (rows, X_fold, y_fold) in zip(places, told.calls, strict=True):
        train = folds[fold][0]
        changed = (X_fold != X[train]).any(axis=1) | (y_fold != y[train])
        np.testing.assert_array_equal(rows, np.flatnonzero(changed))
        assert len(rows) > 0 or name in ("clean", "duck")
        column = curve.scores[name][0, fold]
        assert column == curve.train_scores[name][0, fold] == len(rows) / len(train)
    n_duck = sum(len(rows) for (name, _), (rows, *_) in zip(places, told.calls, strict=True)
                 if name == "duck")  # fmt: skip
    # Two rows, twice each: under "dataset" in two of three training folds.
    assert n_duck == (12 if poison == "fold" else 8)


def test_a_table_is_told_as_it_is():
    rng = np.random.default_rng(0)
    X = pd.DataFrame({"a": rng.random(60), "b": rng.choice(["x", "y"], 60)}).astype(
        {"b": "category"}
    )
    X.loc[::7, "a"] = np.nan
    y = pd.Series(np.where(X["b"] == "x", "no", "yes"))
    told = Told()
    victims = {
        "boosting": HistGradientBoostingClassifier(max_iter=2),
        "pipeline": make_pipeline(OneHotEncoder(handle_unknown="ignore"), GaussianDense()),
    }
    attacks = {"flips": LabelFlip(0.3), "duck": DuckOfFrames()}
    robustness_curve(victims, X, y, attacks=attacks, cv=KFold(2), random_state=0, scoring=told)
    folds = [X.iloc[train] for train, _ in KFold(2).split(X)]
    assert len(told.calls) == 2 * 2 * 2 * 2
    for rows, X_fold, y_fold in told.calls:
        (clean,) = [fold for fold in folds if fold.index.equals(X_fold.index)]
        pd.testing.assert_frame_equal(X_fold, clean)
        changed = (y_fold != y[X_fold.index]).to_numpy()
        np.testing.assert_array_equal(rows, np.flatnonzero(changed))


def share_fitted(estimator, X, y, *, poison_indices, X_poisoned, y_poisoned):
    """The share of poisoned rows that the victim has learned."""
    if not len(poison_indices):
        return np.nan
    fitted = estimator.predict(X_poisoned) == y_poisoned
    return fitted[poison_indices].mean()


def n_poisoned(y, predicted, poison_indices):
    return float(len(poison_indices))


def test_scorers_that_ask_stand_beside_others_and_go_through_memory(digits, tmp_path):
    victims = {"bayes": VICTIM, "knn": KNN}
    attacks = {"flips": LabelFlip(), "clean": None}
    study = {**STUDY, "attacks": attacks, "param_name": "strength", "param_range": [0, 0.3]}
    study["scoring"] = {"accuracy": "accuracy", "fitted": share_fitted}
    found = robustness_curve(victims, *digits, **study)
    assert (found["fitted"]["knn"].scores["flips"][1] == 1).all()
    assert (found["fitted"]["bayes"].scores["flips"][1] < 0.9).all()
    assert np.isnan(found["fitted"]["bayes"].scores["flips"][0]).all()
    plain = robustness_curve(VICTIM, *digits, **{**study, "scoring": "accuracy"})
    np.testing.assert_array_equal(found["accuracy"]["bayes"].scores["flips"], plain.scores["flips"])
    # Fits, and attacks whose fits are new, come from memory with the same rows.
    kept = [
        robustness_curve(names, *digits, memory=tmp_path, **study)
        for names in ({"bayes": VICTIM}, victims, victims)
    ]
    for again in kept[1:]:
        for name in victims:
            for metric in found:
                np.testing.assert_array_equal(
                    again[metric][name].scores["flips"], found[metric][name].scores["flips"]
                )


def test_scorers_ask_by_metadata_requests(digits):
    study = {**STUDY, "attacks": {"flips": LabelFlip(0.3), "clean": None}}
    with config_context(enable_metadata_routing=True):
        scorer = make_scorer(n_poisoned).set_score_request(poison_indices=True)
        alone = robustness_curve(VICTIM, *digits, scoring=scorer, **study)
        scoring = {"n": scorer, "accuracy": "accuracy", "told": Told()}
        several = robustness_curve(VICTIM, *digits, scoring=scoring, **study)
        weights = {"sample_weight": np.ones(300)}
        asks = VICTIM.set_score_request(sample_weight=False)
        asks = asks.set_fit_request(sample_weight=True)
        weighted = robustness_curve(asks, *digits, scoring=scorer, params=weights, **study)
    assert alone.scores["flips"].mean() == pytest.approx(60, rel=0.2)
    assert (alone.scores["clean"] == 0).all()
    np.testing.assert_array_equal(several["n"].scores["flips"], alone.scores["flips"])
    np.testing.assert_allclose(several["told"].scores["flips"] * 200, alone.scores["flips"])
    np.testing.assert_array_equal(weighted.scores["flips"], alone.scores["flips"])
    with pytest.raises(
        ValueError, match="`scoring` must not request metadata, got a request for p"
    ):
        robustness_curve(VICTIM, *digits, scoring=scorer, **study)


def test_each_victim_gets_the_parameters_that_it_requests(digits):
    # Fails if a weight goes to all, or if a victim that wants none is refused.
    weights = {"sample_weight": np.arange(300) % 3 + 0.5}
    study = {**STUDY, "attacks": {"flips": LabelFlip(0.3)}}
    with config_context(enable_metadata_routing=True):
        victims = {
            "weighted": GaussianNB().set_fit_request(sample_weight=True),
            "plain": GaussianNB().set_fit_request(sample_weight=False),
            "knn": KNN,
        }
        scorer = make_scorer(accuracy_score).set_score_request(sample_weight=False)
        curves = robustness_curve(victims, *digits, scoring=scorer, params=weights, **study)
    plain = robustness_curve(GaussianNB(), *digits, scoring="accuracy", **study)
    weighted = robustness_curve(GaussianNB(), *digits, scoring="accuracy", params=weights, **study)
    np.testing.assert_array_equal(curves["plain"].scores["flips"], plain.scores["flips"])
    np.testing.assert_array_equal(curves["weighted"].scores["flips"], weighted.scores["flips"])
    assert (weighted.scores["flips"] != plain.scores["flips"]).any()


def mixed(number, text):
    return pd.DataFrame({"a": [1.0, number, 3.0, np.nan], "b": ["x", text, None, "x"]})


CASES = {
    "array": lambda n, t: np.array([[1, 2], [n, 2], [3, 4], [np.nan, 4]]),
    "image": lambda n, t: np.array([0, n, 0, np.nan]).reshape(4, 1, 1, 1),
    "list": lambda n, t: [[1, "x"], [n, t], [None, "z"], [np.nan, "z"]],
    "text": lambda n, t: np.array(["x", t, "z", "z"]),
    "strings": lambda n, t: np.array(["x", t, None, "z"], dtype=object),
    "frame": mixed,
    "category": lambda n, t: mixed(n, t).astype({"b": "category"}),
    "nullable": lambda n, t: mixed(n, t).convert_dtypes(),
    "arrow": lambda n, t: mixed(n, t).convert_dtypes(dtype_backend="pyarrow"),
    "names given twice": lambda n, t: mixed(n, t).set_axis(["a", "a"], axis=1),
    "dates": lambda n, t: pd.DataFrame({"d": pd.to_datetime([1, int(n), 3, None])}),
    "polars": lambda n, t: pl.from_pandas(mixed(n, t)),
    "sparse": lambda n, t: sparse.csr_array([[0.0, 1], [n, 0], [0, 0], [3, 2]]),
    "sparse matrix": lambda n, t: sparse.csc_matrix([[0.0, 1], [n, 0], [0, 0], [3, 2]]),
}


class Swaps:
    """Puts other rows in place of all, and does not say which changed."""

    def __init__(self, X, y):
        self.X, self.y = X, y

    def poison(self, X, y):
        return self.X, self.y


@pytest.mark.parametrize("make", CASES.values(), ids=CASES)
def test_rows_that_changed_are_found_in_any_container(make):
    y, new = np.array(["a", "b", "a", "b"]), np.array(["b", "b", "a", "b"])
    before, same, after = make(2.0, "y"), make(2.0, "y"), make(7.0, "w")

    def changed(X, y_new, y=y):
        return AttackTask(Swaps(X, y_new), before, y, finds_rows=True).run().changed.tolist()

    assert changed(same, y.copy()) == []
    assert changed(after, y) == [1]
    assert changed(after, new) == [0, 1]
    assert changed(same, list(new), list(y)) == [0]
