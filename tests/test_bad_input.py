"""Bad input is a clear error, and changes nothing: what is refused, and in which words."""

import random

import numpy as np
import pandas as pd
import pytest
import scipy.sparse
import torch
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.tree import DecisionTreeClassifier
from sklearn.utils.validation import check_is_fitted

from skpoison import (
    MLP,
    ChainedAttack,
    CleanLabelPGA,
    LabelFlip,
    MnistConvNet,
    NetClassifier,
    PoisonedClassifier,
    RandomNoise,
    RobustnessCurve,
    project_l2inf,
    project_l21,
    robustness_curve,
)

RNG = np.random.default_rng(0)
X = RNG.random((40, 6))
Y = np.arange(40) % 4
X.flags.writeable = Y.flags.writeable = False


def pga(**kwargs):
    return CleanLabelPGA(LogisticRegression(), **{"max_iter": 2, **kwargs})


def net(**kwargs):
    return NetClassifier(**{"module": MLP, "max_epochs": 1, "random_state": 0, **kwargs})


def study(estimator=None, **kwargs):
    arguments = {
        "attacks": {"clean": None},
        "param_name": "module__width",
        "param_range": [2],
        "cv": 2,
        **kwargs,
    }
    return robustness_curve(estimator or net(), X, Y, **arguments)


def holed(value):
    X_bad = np.array(X)
    X_bad[3, 2] = value
    return X_bad


def curve():
    table = {"a": np.zeros((2, 4))}
    return RobustnessCurve("width", [1, 2], table, table, table, 4, 1, 0.25)


INSTANCE = MLP(6, 4)
NUMBERS = [
    (-1.0, ValueError, ">= 0, got -1.0"),
    (np.nan, ValueError, "finite, got nan"),
    (np.inf, ValueError, "finite, got inf"),
    ("1", TypeError, "a real number, got '1'"),
    (None, TypeError, "a real number, got None"),
    (True, TypeError, "a real number, got True"),
]
CASES = []


def refuse(call, error, words):
    CASES.append((call, error, words))


for value, error, words in NUMBERS:
    refuse(lambda v=value: pga(budget=v).poison(X, Y), error, f"`budget` must be {words}")
    refuse(lambda v=value: RandomNoise(budget=v).poison(X, Y), error, f"`budget` must be {words}")
    refuse(lambda v=value: LabelFlip(v).poison(X, Y), error, f"`rate` must be {words}")
    refuse(lambda v=value: pga(max_fraction=v).fit(X, Y), error, f"`max_fraction` must be {words}")
    refuse(lambda v=value: project_l21(X, v), error, f"`radius` must be {words}")
    refuse(lambda v=value: project_l2inf(X, v), error, f"`radius` must be {words}")
    refuse(lambda v=value: net(lr=v).fit(X, Y), error, f"`lr` must be {words}")
    if value != "1":
        refuse(lambda v=value: pga(step_size=v).fit(X, Y), error, f"`step_size` must be {words}")

for attack in (pga(), RandomNoise(), LabelFlip(), ChainedAttack([LabelFlip()]), net()):
    run = getattr(attack, "poison", None) or attack.fit
    refuse(lambda r=run: r(holed(np.nan), Y), ValueError, "NaN")
    refuse(lambda r=run: r(holed(np.inf), Y), ValueError, "infinity")
    refuse(lambda r=run: r(X[:0], Y[:0]), ValueError, "0 sample")
    refuse(lambda r=run: r(X[:, :0], Y), ValueError, "0 feature")
    refuse(lambda r=run: r(X[:, 0], Y), ValueError, "Expected 2D array, got 1D array")
    refuse(lambda r=run: r(scipy.sparse.csr_array(X), Y), TypeError, "[Ss]parse")
    refuse(lambda r=run: r(X.astype(str).astype(object) + "x", Y), ValueError, "could not convert")
    refuse(lambda r=run: r(X + 1j, Y), ValueError, "Complex data not supported")
    refuse(lambda r=run: r(X, np.zeros(40)), ValueError, "at least 2 classes, got 1 class")
    refuse(lambda r=run: r(X, X[:, 0]), ValueError, "continuous")
    refuse(lambda r=run: r(X, Y[:5]), ValueError, "one label for each row of X: 40 rows, got 5")
    refuse(lambda r=run: r(X, np.stack([Y, Y], axis=1)), ValueError, "1d array")
    refuse(lambda r=run: r(X, None), ValueError, "y must be given")

for make in (pga, RandomNoise):
    refuse(lambda m=make: m(norm="l1").fit(X, Y), ValueError, "`norm` must be one of .*'l1'")
    refuse(lambda m=make: m(norm=None).fit(X, Y), ValueError, "`norm` must be one of .*None")
    refuse(lambda m=make: m().fit(X * 255, Y), ValueError, r"X must lie inside `clip` = \(0.0, 1")
    refuse(lambda m=make: m().fit(X - 0.5, Y), ValueError, "X must lie inside `clip`")
    refuse(lambda m=make: m(clip=(1, 0)).fit(X, Y), ValueError, "`clip` must have low < high")
    refuse(lambda m=make: m(clip=3).fit(X, Y), ValueError, "`clip` must be None or a pair")
    refuse(lambda m=make: m(clip=(0, np.nan)).fit(X, Y), ValueError, r"`clip\[1\]` must be finite")
    refuse(lambda m=make: m().transform(X), NotFittedError, "not fitted")
    refuse(
        lambda m=make: m(budget=0.1, random_state=0).fit(X, Y).transform(X[:, :3]),
        ValueError,
        "3 features",
    )

refuse(lambda: pga(loss="hinge").fit(X, Y), ValueError, "`loss` must be one of .*'hinge'")
refuse(lambda: pga(step_size="1").fit(X, Y), ValueError, "`step_size` must be one of 'auto'")
refuse(lambda: pga(max_iter=0).fit(X, Y), ValueError, "`max_iter` must be >= 1, got 0")
refuse(lambda: pga(max_iter=2.5).fit(X, Y), TypeError, "`max_iter` must be an integer, got 2.5")
refuse(lambda: pga(batch_size=0).fit(X, Y), ValueError, "`batch_size` must be >= 1, got 0")
refuse(lambda: pga(max_fraction=1.5).fit(X, Y), ValueError, "`max_fraction` must be <= 1, got 1.5")
for surrogate in (DecisionTreeClassifier(), FrozenEstimator(DecisionTreeClassifier().fit(X, Y))):
    refuse(
        lambda s=surrogate: CleanLabelPGA(s, random_state=0).fit(X, Y),
        TypeError,
        "`surrogate` must have gradients.*got DecisionTreeClassifier",
    )
refuse(lambda: CleanLabelPGA(LogisticRegression).fit(X, Y), TypeError, "`surrogate` must be a cl")
refuse(lambda: CleanLabelPGA(None).fit(X, Y), TypeError, "`surrogate` must be a classifier, got N")
refuse(lambda: CleanLabelPGA(FrozenEstimator(net())).fit(X, Y), NotFittedError, "not .*yet")
refuse(
    lambda: CleanLabelPGA(FrozenEstimator(LogisticRegression().fit(X, Y))).fit(X, Y + 1),
    ValueError,
    r"only labels in `classes_` of `surrogate` .* got \[4\]",
)
refuse(lambda: RandomNoise(norms=[1.0]).fit(X, Y), ValueError, "`norms` must have one value for")
refuse(lambda: RandomNoise(norms=-np.ones(40)).fit(X, Y), ValueError, "`norms` must be finite and")
refuse(
    lambda: RandomNoise(norm="l2,inf", budget=0.1, norms=np.ones(40)).fit(X, Y),
    ValueError,
    "`norms` must keep to `budget` = 0.1",
)

refuse(lambda: LabelFlip(1.5).poison(X, Y), ValueError, "`rate` must be <= 1, got 1.5")
refuse(lambda: LabelFlip(transition="up").poison(X, Y), ValueError, "`transition` must be one of")
refuse(lambda: LabelFlip(transition=None).poison(X, Y), ValueError, "`transition` must be one of")
refuse(lambda: LabelFlip(sampling="x").poison(X, Y), ValueError, "`sampling` must be one of")
for matrix, words in [
    (np.eye(3), r"a row for each of the 4 classes in y, got shape \(3, 3\)"),
    (np.ones((4, 3)) / 3, r"a square matrix, got shape \(4, 3\)"),
    (np.ones(4), r"a square matrix, got shape \(4,\)"),
    (np.eye(4) * 0.9, "rows that sum to 1, got"),
    (np.eye(4) + np.roll(np.eye(4), 1, 0) - np.roll(np.eye(4), 2, 0), "entries >= 0"),
    (np.full((4, 4), np.nan), "finite entries"),
    ([["a"]], "a matrix of numbers"),
]:
    refuse(lambda m=matrix: LabelFlip(transition=m).poison(X, Y), ValueError, words)
refuse(
    lambda: LabelFlip(transition=np.eye(4), sampling="exact").poison(X, Y),
    ValueError,
    "`sampling` must be 'bernoulli' when `transition` is a matrix",
)
refuse(lambda: ChainedAttack([]).poison(X, Y), ValueError, "`attacks` must be a non-empty list")
refuse(lambda: ChainedAttack([1]).poison(X, Y), TypeError, "`attacks` must hold attacks.*got 1")
refuse(lambda: ChainedAttack(LabelFlip()).poison(X, Y), ValueError, "`attacks` must be a non-emp")

refuse(lambda: project_l21([[1.0]], 1.0), TypeError, "`delta` must be an ndarray .* got list")
refuse(lambda: project_l21(np.ones((2, 2), int), 1.0), TypeError, "`delta` must have a real float")
refuse(lambda: project_l2inf(holed(np.nan), 1.0), ValueError, "`delta` must be finite")
refuse(lambda: project_l2inf(np.array(1.0), 1.0), ValueError, "`delta` must have rows")

refuse(lambda: net(module=INSTANCE).fit(X, Y), TypeError, "`module` must be a class .*instance")
refuse(lambda: net(module=3).fit(X, Y), TypeError, "`module` must be a class .* int")
refuse(lambda: net(module=MnistConvNet).fit(X, Y), ValueError, "784 features .* got 6")
refuse(lambda: net(max_epochs=0).fit(X, Y), ValueError, "`max_epochs` must be >= 1, got 0")
refuse(lambda: net(batch_size=0).fit(X, Y), ValueError, "`batch_size` must be >= 1, got 0")
refuse(lambda: net(batch_size="a").fit(X, Y), TypeError, "`batch_size` must be an integer")
refuse(lambda: net(drop_last=1).fit(X, Y), TypeError, "`drop_last` must be True or False, got 1")
refuse(lambda: net(early_stopping="x").fit(X, Y), TypeError, "`early_stopping` must be True or F")
refuse(lambda: net(validation_fraction=1.0).fit(X, Y), ValueError, "`validation_fraction` must lie")
refuse(
    lambda: net(n_iter_no_change=0).fit(X, Y), ValueError, "`n_iter_no_change` must be >= 1, got 0"
)
refuse(
    lambda: net(early_stopping=True, validation_fraction=0.1).fit(X[:8], Y[:8]),
    ValueError,
    "test_size = 1 should be greater or equal to the number of classes = 4",
)
refuse(
    lambda: net(early_stopping=True).fit(X[:5], [0, 1, 2, 3, 0]),
    ValueError,
    "least populated class",
)
refuse(lambda: net().fit(X, Y, X_val=X, y_val=Y), ValueError, "`X_val` must come with `early_st")
refuse(
    lambda: net(early_stopping=True).fit(X, Y, X_val=X),
    ValueError,
    "`X_val` and `y_val` must be given together",
)
refuse(
    lambda: net(early_stopping=True).fit(X, Y, X_val=X[:, :2], y_val=Y), ValueError, "2 features"
)
refuse(
    lambda: net(early_stopping=True).fit(X, Y, X_val=X, y_val=Y + 1),
    ValueError,
    r"only labels in `classes_` .* got \[4\]",
)
refuse(lambda: net().predict(X), NotFittedError, "not .*yet")
refuse(lambda: net().fit(X, Y).predict(X[:, :3]), ValueError, "3 features")
refuse(lambda: net().fit(X, Y).predict(X.reshape(40, 1, 2, 3)), ValueError, r"rows of shape \(6,\)")
refuse(
    lambda: net().fit(X.reshape(40, 1, 2, 3), Y).predict(X),
    ValueError,
    r"shape \(1, 2, 3\).*\(6,\)",
)
refuse(lambda: net(modul__width=3).fit(X, Y), ValueError, "modul__width")

refuse(lambda: PoisonedClassifier(net(), 3).fit(X, Y), TypeError, "`attack` must have a method")
refuse(lambda: PoisonedClassifier(net(), LabelFlip).fit(X, Y), TypeError, "`attack` must have a m")
refuse(lambda: PoisonedClassifier(net()).predict(X), NotFittedError, "not fitted")

refuse(lambda: study(attacks={}), ValueError, "`attacks` must be a non-empty dict")
refuse(lambda: study(attacks=[LabelFlip()]), ValueError, "`attacks` must be a non-empty dict")
refuse(lambda: study(attacks={1: None}), TypeError, "`attacks` must have strings as keys, got 1")
refuse(lambda: study(attacks={"a": LabelFlip}), TypeError, r"`attacks\['a'\]` must have a method")
refuse(lambda: study(param_range=[]), ValueError, "`param_range` must have at least one value")
refuse(lambda: study(param_name="width"), ValueError, "`param_name` must be a parameter")
refuse(
    lambda: study(LogisticRegression(), param_name="a__b"), ValueError, "`param_name` must be a par"
)
refuse(lambda: study(cv=1), ValueError, "n_splits=1|k-fold")
refuse(lambda: study(cv=50), ValueError, "n_splits=50")
refuse(lambda: study(test=X), ValueError, r"`test` must be a pair \(X_test, y_test\)")
refuse(lambda: study(test=(X, Y[:3])), ValueError, "inconsistent numbers of samples")
refuse(lambda: study(poison="all"), ValueError, "`poison` must be one of 'fold', 'dataset', got")
refuse(lambda: study(early_stop_on="x"), ValueError, "`early_stop_on` must be one of")
refuse(
    lambda: study(LogisticRegression(), param_name="C", early_stop_on="held-out"),
    ValueError,
    "`early_stop_on` must be 'fraction' .* LogisticRegression",
)
refuse(lambda: study(n_repeats=0), ValueError, "`n_repeats` must be >= 1, got 0")
refuse(lambda: study(fused="maybe"), ValueError, "`fused` must be one of 'auto', got 'maybe'")
refuse(lambda: study(error_score="x"), TypeError, "`error_score` must be a real number")
refuse(lambda: study(scoring="nonsense"), ValueError, "nonsense")
refuse(lambda: curve().peak("b"), ValueError, "`name` must be one of 'a', got 'b'")
refuse(lambda: curve().u_shape("a", confidence=1.0), ValueError, "`confidence` must lie between 0")
refuse(lambda: RobustnessCurve.load(__file__), ValueError, "must hold a RobustnessCurve in JSON")


def test_there_are_many_cases():
    assert len(CASES) >= 150


def state_of_the_world():
    return (
        X.tobytes(),
        Y.tobytes(),
        torch.get_rng_state().numpy().tobytes(),
        np.random.get_state()[1].tobytes(),  # noqa: NPY002
        random.getstate(),
        torch.get_num_threads(),
    )


@pytest.mark.parametrize(
    ("call", "error", "words"), CASES, ids=lambda v: v if isinstance(v, str) else ""
)
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_bad_input_is_refused(call, error, words):
    before = state_of_the_world()
    with pytest.raises(error, match=f"(?s){words}"):
        call()
    assert state_of_the_world() == before


@pytest.mark.parametrize(
    "estimator",
    [pga(budget=0.1), RandomNoise(budget=0.1), LabelFlip(), net(), PoisonedClassifier(net())],
    ids=lambda estimator: type(estimator).__name__,
)
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_a_failed_fit_leaves_nothing_half_done(estimator):
    # Fails if attributes are set before the data are checked.
    with pytest.raises(ValueError, match="NaN"):
        estimator.fit(holed(np.nan), Y)
    with pytest.raises(NotFittedError):
        check_is_fitted(estimator)


def test_a_fitted_net_survives_bad_data():
    fitted = net().fit(X, Y)
    before = fitted.predict_proba(X)
    for bad in (holed(np.nan), X[:3]):
        with pytest.raises(ValueError, match=r"NaN|one label"):
            fitted.fit(bad, Y)
    np.testing.assert_array_equal(fitted.predict_proba(X), before)


def test_nullable_and_categorical_columns_are_taken():
    frame = pd.DataFrame({"a": pd.array([1, 2, 3, 4], "Int64"), "b": [0.1, 0.2, 0.3, 0.4]})
    y = pd.Series(["u", "v", "u", "v"], dtype="category", index=[9, 8, 7, 6])
    X_poisoned, y_poisoned = LabelFlip(1.0).poison(frame, y)
    assert y_poisoned.tolist() == ["v", "u", "v", "u"]
    assert X_poisoned.columns.tolist() == ["a", "b"]
