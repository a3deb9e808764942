"""Attacks, nets and scikit-learn's tools together: every route gives the same scores."""

import numpy as np
import pandas as pd
import pytest
import torch
from imblearn.pipeline import make_pipeline as make_imblearn_pipeline
from joblib import Memory, parallel_config
from sklearn.base import clone
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import (
    GridSearchCV,
    cross_val_score,
    cross_validate,
    validation_curve,
)
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler

from skpoison import (
    MLP,
    ChainedAttack,
    CleanLabelPGA,
    LabelFlip,
    NetClassifier,
    PoisonedClassifier,
    RandomNoise,
)

NET = NetClassifier(MLP, module__width=8, lr=0.5, batch_size=32, max_epochs=3, random_state=0)
FLIP = LabelFlip(0.3, random_state=0)
PGA = CleanLabelPGA(NET, norm="l2,inf", budget=0.5, max_iter=5, random_state=0)
pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


def test_label_attack_routes_agree(digits):
    # Fails if a route poisons the rows it scores: the scores of flipped test labels differ.
    X, y = digits
    by_hand = []
    for train, test in (
        (np.arange(0, 200), np.arange(200, 300)),
        (np.arange(100, 300), np.arange(100)),
    ):
        net = clone(NET).fit(*clone(FLIP).poison(X[train], y[train]))
        by_hand.append(net.score(X[test], y[test]))
    cv = [(np.arange(0, 200), np.arange(200, 300)), (np.arange(100, 300), np.arange(100))]
    routes = [
        PoisonedClassifier(NET, FLIP),
        make_imblearn_pipeline(FLIP, NET),
        make_imblearn_pipeline(PoisonedClassifier(NET, FLIP)),
        PoisonedClassifier(make_pipeline(NET), FLIP),
        make_pipeline(PoisonedClassifier(NET, FLIP)),
    ]
    for route in routes:
        np.testing.assert_array_equal(cross_val_score(route, X, y, cv=cv), by_hand)


def test_feature_attack_routes_agree(digits):
    # Fails if transform attacks what is predicted.
    X, y = digits
    routes = [
        PoisonedClassifier(NET, PGA),
        make_pipeline(PGA, NET),
        make_imblearn_pipeline(PGA, NET),
        PoisonedClassifier(NET, ChainedAttack([PGA])),
        make_imblearn_pipeline(ChainedAttack([PGA]), NET),
    ]
    scores = [cross_val_score(route, X, y, cv=3) for route in routes]
    for other in scores[1:]:
        np.testing.assert_array_equal(other, scores[0])


def test_scaler_before_a_poisoned_classifier(digits):
    X, y = digits
    route = make_pipeline(MinMaxScaler(clip=True), PoisonedClassifier(NET, FLIP))
    inside = make_imblearn_pipeline(MinMaxScaler(clip=True), FLIP, NET)
    np.testing.assert_array_equal(
        cross_val_score(route, X * 16, y, cv=3), cross_val_score(inside, X * 16, y, cv=3)
    )


@pytest.mark.parametrize(
    ("estimator", "param_name"),
    [
        (NET, "module__width"),
        (PoisonedClassifier(NET, FLIP), "estimator__module__width"),
        (make_pipeline(PGA, NET), "netclassifier__module__width"),
        (make_imblearn_pipeline(FLIP, NET), "netclassifier__module__width"),
        (PoisonedClassifier(NET, FLIP), "attack__rate"),
    ],
    ids=["net", "poisoned", "pipeline", "imblearn", "rate"],
)
def test_curves_and_searches_agree(digits, estimator, param_name):
    X, y = digits
    values = [0.0, 0.5] if param_name.endswith("rate") else [2, 16]
    _, scores = validation_curve(estimator, X, y, param_name=param_name, param_range=values, cv=3)
    search = GridSearchCV(estimator, {param_name: values}, cv=3).fit(X, y)
    for i, value in enumerate(values):
        by_hand = clone(estimator).set_params(**{param_name: value})
        np.testing.assert_array_equal(cross_val_score(by_hand, X, y, cv=3), scores[i])
        for split in range(3):
            assert search.cv_results_[f"split{split}_test_score"][i] == scores[i, split]


@pytest.mark.parametrize("backend", ["loky", "threading"])
def test_scores_do_not_depend_on_n_jobs(digits, backend):
    X, y = digits
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        kwargs = {"param_name": "estimator__module__width", "param_range": [4, 64], "cv": 3}
        estimator = PoisonedClassifier(NET, PGA)
        serial = validation_curve(estimator, X, y, **kwargs)
        with parallel_config(
            backend=backend, inner_max_num_threads=1 if backend == "loky" else None
        ):
            parallel = validation_curve(estimator, X, y, n_jobs=2, **kwargs)
    finally:
        torch.set_num_threads(threads)
    for a, b in zip(serial, parallel, strict=True):
        np.testing.assert_array_equal(a, b)


def test_clean_baseline_is_the_victim(digits):
    X, y = digits
    np.testing.assert_array_equal(
        cross_val_score(PoisonedClassifier(NET), X, y, cv=3), cross_val_score(NET, X, y, cv=3)
    )


@pytest.mark.parametrize(
    "victim",
    [
        LogisticRegression(C=0.1),
        make_pipeline(StandardScaler(), LogisticRegression(C=0.1)),
        RandomForestClassifier(n_estimators=5, random_state=0),
    ],
    ids=["linear", "pipeline", "forest"],
)
def test_any_victim(digits, victim):
    X, y = digits
    poisoned = PoisonedClassifier(victim, LabelFlip(1.0)).fit(X, y)
    assert poisoned.score(X, y) < 0.1
    np.testing.assert_array_equal(
        poisoned.predict(X), clone(victim).fit(X, (y + 1) % 10).predict(X)
    )
    assert poisoned.predict_proba(X).shape == (300, 10)
    assert hasattr(poisoned, "decision_function") == hasattr(victim, "decision_function")
    assert poisoned.n_features_in_ == 64
    np.testing.assert_array_equal(poisoned.classes_, np.arange(10))


def test_frames_reach_the_victim(digits):
    X = pd.DataFrame(digits[0], columns=[f"pixel{i}" for i in range(64)])
    y = pd.Series(digits[1].astype(str))
    for attack in (None, FLIP, RandomNoise(norm="l2,inf", budget=0.1, random_state=0)):
        poisoned = PoisonedClassifier(LogisticRegression(C=0.1), attack).fit(X, y)
        assert poisoned.feature_names_in_.tolist() == X.columns.tolist()
        assert set(poisoned.predict(X)) <= set(y)


def test_fit_parameters_reach_the_victim(digits):
    X, y = digits
    weights = (y < 5).astype(float)
    poisoned = PoisonedClassifier(LogisticRegression(C=0.1), FLIP)
    poisoned.fit(X, y, sample_weight=weights)
    expected = LogisticRegression(C=0.1).fit(*clone(FLIP).poison(X, y), sample_weight=weights)
    np.testing.assert_allclose(poisoned.estimator_.coef_, expected.coef_)


class CountingFlip(LabelFlip):
    runs = 0

    def _relabel(self, *args):
        type(self).runs += 1
        return super()._relabel(*args)


def test_memory_runs_the_attack_once_for_all_victims(digits, tmp_path):
    X, y = digits
    CountingFlip.runs = 0
    attack = CountingFlip(0.3, random_state=0)
    kwargs = {"param_name": "estimator__C", "param_range": [0.01, 0.1, 1.0], "cv": 2}
    victim = LogisticRegression(tol=0.1)
    without = validation_curve(PoisonedClassifier(victim, attack), X, y, **kwargs)
    assert CountingFlip.runs == 6
    CountingFlip.runs = 0
    for memory in (tmp_path, str(tmp_path), Memory(str(tmp_path), verbose=0)):
        cached = PoisonedClassifier(victim, attack, memory=memory)
        np.testing.assert_array_equal(validation_curve(cached, X, y, **kwargs), without)
        assert CountingFlip.runs == 2
    # Another seed, rate or data is another attack.
    cached.set_params(attack__random_state=1).fit(X, y)
    cached.set_params(attack__rate=0.2).fit(X, y)
    cached.fit(X[:200], y[:200])
    assert CountingFlip.runs == 5


def test_metrics_with_and_without_probabilities(digits):
    result = cross_validate(
        PoisonedClassifier(NET, FLIP),
        *digits,
        cv=2,
        scoring=["accuracy", "roc_auc_ovr"],
        error_score="raise",
    )
    assert (result["test_roc_auc_ovr"] > 0.5).all()
