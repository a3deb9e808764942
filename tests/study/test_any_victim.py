"""Any scikit-learn classifier is a victim: its parameters, weights, metadata, methods, looks."""

import numpy as np
import pandas as pd
import pytest
import sklearn
import torch
from imblearn.pipeline import make_pipeline as make_imblearn_pipeline
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import make_column_transformer
from sklearn.ensemble import AdaBoostClassifier, BaggingClassifier
from sklearn.exceptions import UnsetMetadataPassedError
from sklearn.linear_model import LogisticRegression, Perceptron
from sklearn.metrics import accuracy_score, get_scorer
from sklearn.model_selection import GridSearchCV, GroupKFold, StratifiedKFold, cross_validate
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler
from sklearn.svm import SVC
from sklearn.tree import DecisionTreeClassifier
from sklearn.utils import estimator_html_repr
from sklearn.utils.fixes import parse_version
from sklearn.utils.validation import has_fit_parameter

from skpoison import (
    MLP,
    CleanLabelPGA,
    LabelFlip,
    NetClassifier,
    PoisonedClassifier,
    RandomNoise,
    breaking_point,
    robustness_curve,
)

FLIP = LabelFlip(0.3, random_state=0)
NOISE = RandomNoise(norm="l2,inf", budget=0.5, random_state=0)
TREE = DecisionTreeClassifier(max_depth=4, random_state=0)
LINEAR = LogisticRegression(C=0.1, tol=0.01)
# Older versions do not route weights to the scores of a search or of cross-validation, those of a
# plain tree included.
ROUTES_SCORES = parse_version(sklearn.__version__) >= parse_version("1.9")
NET = NetClassifier(MLP, module__width=8, lr=0.5, batch_size=32, max_epochs=3, random_state=0)


@pytest.fixture
def routing():
    with sklearn.config_context(enable_metadata_routing=True):
        yield


@pytest.mark.parametrize(
    ("victim", "param_name", "values"),
    [
        (DecisionTreeClassifier(), "max_depth", [1, 4, None]),
        (LogisticRegression(tol=0.01), "C", [1e-3, 1.0]),
        (KNeighborsClassifier(), "n_neighbors", [1, 25]),
        (make_pipeline(StandardScaler(), SVC()), "svc__kernel", ["linear", "rbf"]),
        (PoisonedClassifier(TREE, FLIP), "attack__rate", [0.0, 0.9]),
    ],
    ids=["tree", "linear", "k-NN", "pipeline", "poisoned"],
)
def test_curve_over_any_parameter_is_the_loop_by_hand(digits, victim, param_name, values):
    # Fails if a value, a seed or the poison does not reach the victim.
    X, y = digits
    cv = StratifiedKFold(3)
    curve = robustness_curve(
        victim, X, y, attacks={"clean": None, "flips": LabelFlip(0.4)}, param_name=param_name,
        param_range=values, cv=cv, random_state=0, error_score="raise",
    )  # fmt: skip
    assert curve.param_range == values
    seeds = np.random.RandomState(0).randint(2**31 - 1, size=(1, 3))[0]
    for i, value in enumerate(values):
        for k, (train, test) in enumerate(cv.split(X, y)):
            model = clone(victim).set_params(**{param_name: value})
            names = sorted(name for name in model.get_params() if name.endswith("random_state"))
            draw = np.random.RandomState(seeds[k])
            model.set_params(**{name: draw.randint(2**31 - 1) for name in names})
            score = model.fit(X[train], y[train]).score(X[test], y[test])
            assert curve.scores["clean"][i, k] == score
    assert curve.scores["flips"].mean() < curve.scores["clean"].mean()


def test_flips_hurt_one_neighbour_more_than_many(digits):
    # What each victim is known for: the nearest neighbour memorises, many vote the flips down.
    curve = robustness_curve(
        KNeighborsClassifier(), *digits, attacks={"flips": LabelFlip(0.3)},
        param_name="n_neighbors", param_range=[1, 9], cv=3, random_state=0,
    )  # fmt: skip
    scores = curve.scores["flips"].mean(axis=1)
    assert scores[1] > scores[0] + 0.1


def test_weights_reach_the_fits_of_their_rows(digits):
    # Fails if weights are not cut to the fold, or not passed on: rows of weight 0 do not count.
    X, y = digits
    weights = (y < 5).astype(float)
    study = {"param_name": "max_depth", "param_range": [2, 8], "cv": 3, "random_state": 0}
    attacks = {"clean": None, "noise": NOISE}
    curve = robustness_curve(
        TREE, X, y, attacks=attacks, params={"sample_weight": weights}, error_score="raise", **study
    )
    for table in curve.scores.values():
        assert (table <= 0.52).all()
    train, test = next(iter(StratifiedKFold(3).split(X, y)))
    seed = np.random.RandomState(0).randint(2**31 - 1, size=(1, 3))[0, 0]
    tree = clone(TREE).set_params(
        max_depth=8, random_state=np.random.RandomState(seed).randint(2**31 - 1)
    )
    tree.fit(X[train], y[train], sample_weight=weights[train])
    assert curve.scores["clean"][1, 0] == tree.score(X[test], y[test])


@pytest.mark.parametrize("victim", [TREE, LINEAR, KNeighborsClassifier(), NET], ids=repr)
def test_the_signature_of_fit_says_whether_the_victim_takes_weights(victim):
    poisoned = PoisonedClassifier(PoisonedClassifier(victim), FLIP)
    has = has_fit_parameter(victim, "sample_weight")
    assert has_fit_parameter(poisoned, "sample_weight") is has
    assert has_fit_parameter(clone(poisoned), "sample_weight") is has
    assert not hasattr(poisoned, "set_fit_request")  # The victim has it.


@pytest.mark.parametrize(
    "ensemble",
    [
        AdaBoostClassifier(n_estimators=3, random_state=0),
        BaggingClassifier(n_estimators=3, random_state=0),
        CalibratedClassifierCV(cv=2),
    ],
    ids=repr,
)
def test_ensembles_around_a_victim_do_as_around_its_own_kind(digits, ensemble):
    # Fails if the weights of an ensemble stop at the PoisonedClassifier.
    X, y = digits
    weights = np.random.default_rng(0).random(len(y))
    plain, poisoned = (
        clone(ensemble).set_params(estimator=victim).fit(X, y, sample_weight=weights)
        for victim in (TREE, PoisonedClassifier(TREE))
    )
    np.testing.assert_array_equal(poisoned.predict_proba(X), plain.predict_proba(X))
    unweighted = clone(ensemble).set_params(estimator=TREE).fit(X, y)
    assert not np.array_equal(unweighted.predict_proba(X), plain.predict_proba(X))


@pytest.mark.parametrize("metric", ["accuracy", ["accuracy"]], ids=["one", "several"])
def test_groups_go_to_the_splitter_without_routing(digits, metric):
    X, y = digits
    groups = np.arange(len(y)) % 6
    kwargs = {
        "attacks": {"flips": FLIP},
        "param_name": "max_depth",
        "param_range": [4],
        "random_state": 0,
        "scoring": metric,
    }
    curve = robustness_curve(TREE, X, y, cv=GroupKFold(3), params={"groups": groups}, **kwargs)
    splits = list(GroupKFold(3).split(X, y, groups))
    expected = robustness_curve(TREE, X, y, cv=splits, **kwargs)
    if isinstance(metric, list):
        curve, expected = curve["accuracy"], expected["accuracy"]
    np.testing.assert_array_equal(curve.scores["flips"], expected.scores["flips"])


def test_groups_and_weights_of_a_breaking_point(digits):
    X, y = digits
    groups, weights = np.arange(len(y)) % 6, np.random.default_rng(0).random(len(y))
    kwargs = {"attack": LabelFlip(), "max_budget": 0.8, "n_steps": 2, "random_state": 0}
    params = {"groups": groups, "sample_weight": weights}
    point = breaking_point(TREE, X, y, cv=GroupKFold(3), params=params, **kwargs)
    splits = list(GroupKFold(3).split(X, y, groups))
    params = {"sample_weight": weights}
    assert point == breaking_point(TREE, X, y, cv=splits, params=params, **kwargs)
    assert point != breaking_point(TREE, X, y, cv=splits, **kwargs)
    with sklearn.config_context(enable_metadata_routing=True):
        tree = clone(TREE).set_fit_request(sample_weight=True).set_score_request(sample_weight=True)
        params = {"groups": groups, "sample_weight": weights}
        routed = breaking_point(tree, X, y, cv=GroupKFold(3), params=params, **kwargs)
    assert routed.budget > 0
    assert routed != point  # Weights go to the scorer too.


def test_memory_knows_the_weights(digits, tmp_path):
    # Fails if the key of a fit leaves `params` out.
    X, y = digits
    study = {
        "attacks": {"clean": None}, "param_name": "max_depth", "param_range": [8], "cv": 3,
        "random_state": 0, "memory": tmp_path,
    }  # fmt: skip
    plain = robustness_curve(TREE, X, y, **study)
    weighted = robustness_curve(TREE, X, y, params={"sample_weight": y < 5}, **study)
    assert weighted.scores["clean"].mean() < plain.scores["clean"].mean() - 0.2


def test_routing_in_poisoned_classifier(digits, routing):
    X, y = digits
    weights = (y < 5).astype(float)
    with pytest.raises(UnsetMetadataPassedError, match="sample_weight"):
        PoisonedClassifier(TREE, FLIP).fit(X, y, sample_weight=weights)
    victim = clone(TREE).set_fit_request(sample_weight=True).set_score_request(sample_weight=True)
    poisoned = PoisonedClassifier(victim, FLIP).fit(X, y, sample_weight=weights)
    assert set(poisoned.predict(X)) <= {0, 1, 2, 3, 4, 5}
    expected = accuracy_score(y, poisoned.predict(X), sample_weight=weights)
    assert poisoned.score(X, y, sample_weight=weights) == expected != poisoned.score(X, y)
    deaf = clone(TREE).set_fit_request(sample_weight=False)
    with pytest.raises(TypeError, match="not routed"):
        PoisonedClassifier(deaf, FLIP).fit(X, y, sample_weight=weights)
    # Through scikit-learn's own: a Pipeline, a search and cross-validation route to the victim.
    pipeline = make_pipeline(MinMaxScaler(clip=True), PoisonedClassifier(victim, FLIP))
    if ROUTES_SCORES:
        search = GridSearchCV(pipeline, {"poisonedclassifier__estimator__max_depth": [2, 8]}, cv=3)
        pipeline = search.fit(X, y, sample_weight=weights)
    else:
        pipeline.fit(X, y, sample_weight=weights)
    assert set(pipeline.predict(X)) <= {0, 1, 2, 3, 4, 5}
    found = cross_validate(
        PoisonedClassifier(victim, FLIP), X, y, cv=3, params={"sample_weight": weights}
    )
    # Of all digits no more than 0.5 can be right.
    assert (found["test_score"].mean() > 0.5) == ROUTES_SCORES


def test_routing_in_a_curve(digits, routing):
    # Weights go to fit and score, groups to the splitter; each only where requested.
    X, y = digits
    weights = (y < 5).astype(float)
    groups = np.arange(len(y)) % 6
    victim = clone(TREE).set_fit_request(sample_weight=True)
    scorer = get_scorer("accuracy")
    study = {"attacks": {"flips": FLIP}, "param_name": "max_depth", "param_range": [3, 8]}
    study |= {"cv": GroupKFold(3), "random_state": 0, "error_score": "raise"}
    params = {"sample_weight": weights, "groups": groups}
    if ROUTES_SCORES:
        with pytest.raises(UnsetMetadataPassedError, match="sample_weight"):
            robustness_curve(victim, X, y, params=params, scoring=scorer, **study)
    low = robustness_curve(
        victim, X, y, params=params, scoring=scorer.set_score_request(sample_weight=False), **study
    )
    scorer = scorer.set_score_request(sample_weight=True)
    high = robustness_curve(victim, X, y, params=params, scoring=scorer, **study)
    # Only digits under 5 are trained on: they are all that the weighted scorer sees.
    assert (high.scores["flips"] > low.scores["flips"] + 0.2).all()
    assert (high.train_scores["flips"] > low.train_scores["flips"]).all()
    with pytest.raises(ValueError, match="`params` must not go to the scorer with a fixed `test`"):
        robustness_curve(victim, X, y, params=params, scoring=scorer, test=(X, y), **study)


def test_weighted_scores_of_nets_trained_together(digits, routing):
    X, y = digits
    scorer = get_scorer("accuracy").set_score_request(sample_weight=True)
    study = {"attacks": {"clean": None}, "param_name": "module__width", "param_range": [8]}
    study |= {"cv": 3, "random_state": 0, "scoring": scorer}
    params = {"sample_weight": (y == 3).astype(float)}
    together, alone = (
        robustness_curve(NET, X, y, params=params, fused=fused, **study) for fused in (True, False)
    )
    np.testing.assert_allclose(together.scores["clean"], alone.scores["clean"], atol=0.1)
    plain = robustness_curve(NET, X, y, **study)
    assert abs(together.scores["clean"].mean() - plain.scores["clean"].mean()) > 0.01


@pytest.mark.filterwarnings("ignore:divide by zero")  # the tree's own log of 0
@pytest.mark.parametrize(
    ("victim", "has"),
    [
        (TREE, {"predict_proba", "predict_log_proba"}),
        (LINEAR, {"predict_proba", "predict_log_proba", "decision_function"}),
        (Perceptron(), {"decision_function"}),
        (KNeighborsClassifier(), {"predict_proba"}),
        (NET, {"predict_proba", "predict_log_proba"}),
    ],
    ids=["tree", "linear", "perceptron", "k-NN", "net"],
)
def test_methods_are_the_victims(digits, victim, has):
    X, y = digits
    names = {"predict_proba", "predict_log_proba", "decision_function"}
    for attack in (None, FLIP, NOISE):
        poisoned = PoisonedClassifier(victim, attack)
        assert {name for name in names if hasattr(poisoned, name)} == has
        poisoned.fit(X, y)
        assert {name for name in names if hasattr(poisoned, name)} == has
        for name in [*has, "predict"]:
            expected = getattr(poisoned.estimator_, name)(X)
            np.testing.assert_array_equal(getattr(poisoned, name)(X), expected)


class Pessimist(ClassifierMixin, BaseEstimator):
    """A victim with a score of its own."""

    def fit(self, X, y):
        self.classes_ = np.unique(y)
        return self

    def predict(self, X):
        return np.repeat(self.classes_[0], len(X))

    def score(self, X, y):
        return -1.0


def test_score_is_the_victims(digits):
    # Fails if accuracy is taken for what a grid search, say, scores by.
    X, y = digits
    assert PoisonedClassifier(Pessimist(), FLIP).fit(X, y).score(X, y) == -1.0
    search = GridSearchCV(LINEAR, {"C": [0.1]}, scoring="neg_log_loss", cv=2)
    assert PoisonedClassifier(search, FLIP).fit(X, y).score(X, y) < 0
    weights = (y == 1).astype(float)
    poisoned = PoisonedClassifier(TREE, FLIP).fit(X, y)
    expected = accuracy_score(y, poisoned.predict(X), sample_weight=weights)
    assert poisoned.score(X, y, sample_weight=weights) == expected


def test_log_probabilities_of_a_net(digits):
    net = clone(NET).fit(*digits)
    np.testing.assert_array_equal(
        net.predict_log_proba(digits[0]), np.log(net.predict_proba(digits[0]))
    )
    # Fails if a probability of 0 is a warning, which the suite makes an error.
    assert net.predict_log_proba(1e6 * digits[0]).min() == -np.inf


def test_html_shows_victim_and_attack(digits):
    for attack in (FLIP, CleanLabelPGA(NET), None):
        poisoned = PoisonedClassifier(NET, attack)
        page = estimator_html_repr(poisoned)
        for part in (poisoned, NET) if attack is None else (poisoned, NET, attack):
            assert type(part).__name__ in page
    assert "Not fitted" in estimator_html_repr(PoisonedClassifier(LINEAR, FLIP))
    fitted = estimator_html_repr(PoisonedClassifier(LINEAR, FLIP).fit(*digits))
    assert "<span>Fitted</span>" in fitted


def test_frames_stay_frames_in_a_pipeline(digits):
    # Fails if an attack loses names on the way: the column transformer asks for them.
    X = pd.DataFrame(digits[0], columns=[f"pixel{i}" for i in range(64)])
    columns = make_column_transformer((MinMaxScaler(clip=True), ["pixel10", "pixel20", "pixel30"]))
    pipeline = make_pipeline(columns, NOISE, TREE).set_output(transform="pandas")
    pipeline.fit(X, digits[1])
    names = pipeline[:-1].get_feature_names_out().tolist()
    assert names == [f"minmaxscaler__pixel{i}" for i in (10, 20, 30)]
    assert pipeline[-1].feature_names_in_.tolist() == names
    assert pipeline[:-1].transform(X).columns.tolist() == names
    flipped = make_imblearn_pipeline(columns, FLIP, TREE).set_output(transform="pandas")
    assert flipped.fit(X, digits[1])[-1].feature_names_in_.tolist() == names
    victim = make_pipeline(columns, TREE).set_output(transform="pandas")
    poisoned = PoisonedClassifier(victim, FLIP).fit(X, digits[1])
    assert poisoned.feature_names_in_.tolist() == X.columns.tolist()
    assert poisoned.estimator_[-1].feature_names_in_.tolist() == names


class Scaled(torch.nn.Module):
    """A module whose `forward` takes a parameter of `fit`."""

    def __init__(self, n_features, n_classes, width=8):
        super().__init__()
        self.layers = MLP(n_features, n_classes, width)

    def forward(self, X, scale=1.0):
        return self.layers(X) * scale


def test_parameters_of_forward_are_not_lost_in_a_stack(digits):
    # Fails if they are lost where nets could be trained together: a scale of 0 learns nothing.
    net = NetClassifier(Scaled, lr=0.5, batch_size=32, max_epochs=3)
    study = {"attacks": {"clean": None}, "param_name": "module__width", "param_range": [8]}
    study |= {"cv": 3, "random_state": 0}
    plain, mute = (
        robustness_curve(net, *digits, params=params, fused=True, **study).scores["clean"].mean()
        for params in (None, {"scale": 0.0})
    )
    assert mute < 0.3 < plain
