"""Bad input is a clear error, and changes nothing: what is refused, and in which words.

Each case says what was called, which error it must be, and what the message must name.
"""

import functools
import random
import re
import warnings
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np
import pandas as pd
import pytest
import scipy.sparse
import sklearn
import torch
from matplotlib import pyplot as plt
from sklearn.base import BaseEstimator, clone
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.model_selection import GridSearchCV, KFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC, LinearSVC
from sklearn.tree import DecisionTreeClassifier
from sklearn.utils.fixes import parse_version
from sklearn.utils.validation import check_is_fitted

from skpoison import (
    MLP,
    BackdoorPatch,
    BaseFeatureAttack,
    BaseLabelAttack,
    BudgetHeatmapDisplay,
    ChainedAttack,
    CleanLabelPGA,
    GradientMatching,
    LabelFlip,
    LossTrimming,
    MnistConvNet,
    NetClassifier,
    PartitionEnsemble,
    PerturbationNormDisplay,
    PoisonedClassifier,
    RandomNoise,
    RobustnessCurve,
    RobustnessCurveDisplay,
    TwoLayerReLU,
    breaking_point,
    fetch_cifar10,
    fetch_mnist,
    fit_many,
    project_l2inf,
    project_l21,
    robustness_curve,
)
from skpoison.study import validation_curve
from skpoison.testing import check_attack

# What scikit-learn itself refuses since this version, and took before.
REFUSED_SINCE_1_9 = ("X same column names", "predict: words for y", "study: test words")
REFUSES_MORE = parse_version(sklearn.__version__) >= parse_version("1.9")
KEPT = []


def keep(array):
    """An array that must be the same, bit for bit, after every case."""
    # Writable: what writes must be seen to write.
    KEPT.append(np.asarray(array))
    return array


RNG = np.random.default_rng(0)
X = keep(RNG.random((40, 6)))
Y = keep(np.arange(40) % 4)
IMAGES = keep(X.reshape(40, 1, 2, 3).copy())
NARROW = keep(X[:, :3].copy())
FRAME = pd.DataFrame(X.copy(), columns=list("abcdef"))
DELTA = keep(RNG.standard_normal((5, 3)))
NAN, INF = float("nan"), float("inf")


def holed(value, shape=X.shape):
    X_bad = X.copy()
    X_bad[3, 2] = value
    return keep(X_bad.reshape(shape))


HOLED = {value: holed(value) for value in (NAN, INF, -INF)}


def pga(**kwargs):
    return CleanLabelPGA(LogisticRegression(), **{"max_iter": 2, "random_state": 0, **kwargs})


def pga_with(surrogate):
    return CleanLabelPGA(surrogate, max_iter=2, random_state=0)


def noise(**kwargs):
    return RandomNoise(**{"norm": "l2,inf", "budget": 0.1, "random_state": 0, **kwargs})


def flip(*args, **kwargs):
    return LabelFlip(*args, **{"random_state": 0, **kwargs})


def chosen(selection="loss", surrogate=None, **kwargs):
    surrogate = LogisticRegression() if surrogate is None else surrogate
    return flip(0.3, selection=selection, surrogate=surrogate, **kwargs)


def match(target=None, surrogate=None, **kwargs):
    target = (X[:2], Y[1:3]) if target is None else target
    surrogate = LogisticRegression() if surrogate is None else surrogate
    return GradientMatching(surrogate, target, **{"max_iter": 2, "random_state": 0, **kwargs})


def backdoor(patch=(0.5,), *args, **kwargs):
    return BackdoorPatch(patch, *args, **{"random_state": 0, **kwargs})


def net(**kwargs):
    kwargs = {"module": MLP, "max_epochs": 1, "random_state": 0, **kwargs}
    return NetClassifier(**kwargs)


def stopping(**kwargs):
    return net(early_stopping=True, **kwargs)


def parted(n_partitions=3, **kwargs):
    kwargs = {"estimator": LogisticRegression(), "random_state": 0, **kwargs}
    return PartitionEnsemble(n_partitions=n_partitions, **kwargs)


def trimmed(fraction=0.1, n_rounds=1, **kwargs):
    kwargs = {"estimator": LogisticRegression(), "random_state": 0, **kwargs}
    return LossTrimming(fraction=fraction, n_rounds=n_rounds, **kwargs)


def broken(X=X, y=Y, **kwargs):
    kwargs = {"attack": flip(), "budget_name": "rate", "max_budget": 0.5, "cv": 2, **kwargs}
    kwargs = {"estimator": LogisticRegression(), "random_state": 0, **kwargs}
    return breaking_point(kwargs.pop("estimator"), X, y, **kwargs)


def mapped(**kwargs):
    kwargs = {"attack": flip(), "budgets": [0.1], "budget_name": "rate", "cv": 2, **kwargs}
    kwargs = {"param_name": "C", "param_range": [1.0], "random_state": 0, **kwargs}
    return BudgetHeatmapDisplay.from_estimator(LogisticRegression(), X, Y, **kwargs)


def study(estimator=None, X=X, y=Y, run=robustness_curve, **kwargs):
    arguments = {
        "attacks": {"clean": None},
        "param_name": "module__width",
        "param_range": [2],
        "cv": 2,
        **kwargs,
    }
    if run is validation_curve:
        del arguments["attacks"]
    else:
        arguments.setdefault("random_state", 0)
    return run(net() if estimator is None else estimator, X, y, **arguments)


def curve(**kwargs):
    table = {"a": np.zeros((2, 4))}
    names = ("scores", "train_scores", "fit_times")
    arguments = {name: table for name in names} | {"param_name": "width", "param_range": [1, 2]}
    arguments |= {"n_splits": 4, "n_repeats": 1, "test_train_ratio": 0.25}
    return RobustnessCurve(**{**arguments, **kwargs})


def plot(**kwargs):
    figure, ax = plt.subplots()
    try:
        RobustnessCurveDisplay.from_curve(curve(), ax=ax, **kwargs)
    finally:
        plt.close(figure)


class NoPoison(BaseFeatureAttack):
    """An attack that fails where it is run."""

    def _perturb(self, X, y, random_state):
        raise ZeroDivisionError("the attack broke")


class NoLabels(BaseLabelAttack):
    def _relabel(self, X, codes, n_classes, random_state):
        raise ZeroDivisionError("the attack broke")


class Cache:
    """What scikit-learn takes for a joblib.Memory, and a study cannot write to."""

    def cache(self, function):
        return function


class NoFit(LogisticRegression):
    def fit(self, X, y):
        raise ZeroDivisionError("the estimator broke")


class Scorable(BaseEstimator):
    """A surrogate whose logits are not finite."""

    def fit(self, X, y):
        self.classes_ = np.unique(y)
        return self

    def logits(self, X):
        return X[:, :4] * NAN


class NoForward(MLP):
    def forward(self, X):
        raise ZeroDivisionError("the module broke")


class Case(NamedTuple):
    name: str
    call: object
    error: object
    words: str


CASES = []


def refuse(name, call, error, words):
    # A name that has an address is another in each run.
    name = re.sub(r" at 0x\w*", "", name)
    if name.endswith(REFUSED_SINCE_1_9) and not REFUSES_MORE:
        return
    CASES.append(Case(name, call, error, words))


def refuse_each(name, call, values, error, words):
    """Cases of one parameter, called with each of the values; {} in the words is the value."""
    for value in values:
        shown = f"{type(value).__name__} {value}" if hasattr(value, "__dict__") else repr(value)
        refuse(
            f"{name}={shown[:30]}",
            lambda v=value: call(v),
            error,
            words.replace("{}", re.escape(f"{value!r}" if isinstance(value, str) else f"{value}")),
        )


# Numbers: wrong kinds and wrong values, with the name of the parameter.

INSTANCE = MLP(6, 4)
NOT_REAL = ["1", None, True, [1.0], 1j, np.array([1.0])]
for name, call in {
    "pga.budget": lambda v: pga(budget=v).poison(X, Y),
    "noise.budget": lambda v: noise(budget=v).poison(X, Y),
    "flip.rate": lambda v: flip(v).poison(X, Y),
    "backdoor.rate": lambda v: backdoor(rate=v).poison(X, Y),
    "match.budget": lambda v: match(budget=v).poison(X, Y),
    "match.max_fraction": lambda v: match(max_fraction=v).fit(X, Y),
    "pga.max_fraction": lambda v: pga(max_fraction=v).fit(X, Y),
    "pga.step_size": lambda v: pga(step_size=v).fit(X, Y),
    "project_l21.radius": lambda v: project_l21(DELTA, v),
    "project_l2inf.radius": lambda v: project_l2inf(DELTA, v),
    "net.lr": lambda v: net(lr=v).fit(X, Y),
    "trimmed.fraction": lambda v: trimmed(v).fit(X, Y),
}.items():
    word = name.partition(".")[2]
    kinds = NOT_REAL[word == "step_size" :]
    few = [-1.0, -1, np.float32(-1), -5e-324]
    refuse_each(name, call, few, ValueError, f"`{word}` must be >= 0, got {{}}")
    refuse_each(name, call, [NAN, INF, -INF], ValueError, f"`{word}` must be finite, got {{}}")
    refuse_each(name, call, kinds, TypeError, f"`{word}` must be a real number, got ")
refuse_each(
    "flip.rate", lambda v: flip(v).fit(X, Y), [1.5, 1e9], ValueError, "`rate` must be <= 1, got {}"
)
refuse("backdoor.rate=2", lambda: backdoor(rate=2).fit(X, Y), ValueError, "`rate` must be <= 1")
refuse_each(
    "pga.max_fraction",
    lambda v: pga(max_fraction=v).fit(X, Y),
    [1.5, np.nextafter(1, 2)],
    ValueError,
    "`max_fraction` must be <= 1, got {}",
)
for name, call in {
    "pga.max_iter": lambda v: pga(max_iter=v).fit(X, Y),
    "pga.batch_size": lambda v: pga(batch_size=v).fit(X, Y),
    "match.max_iter": lambda v: match(max_iter=v).fit(X, Y),
    "match.batch_size": lambda v: match(batch_size=v).fit(X, Y),
    "net.max_epochs": lambda v: net(max_epochs=v).fit(X, Y),
    "net.batch_size": lambda v: net(batch_size=v).fit(X, Y),
    "net.n_iter_no_change": lambda v: stopping(n_iter_no_change=v).fit(X, Y),
    "study.n_repeats": lambda v: study(n_repeats=v),
    "parted.n_partitions": lambda v: parted(v).fit(X, Y),
    "trimmed.n_rounds": lambda v: trimmed(n_rounds=v).fit(X, Y),
    "broken.n_steps": lambda v: broken(n_steps=v),
}.items():
    word = name.partition(".")[2]
    kinds = ["1", None, True, 1.5, 2.0, NAN]
    refuse_each(name, call, [0, -2, np.int64(-7)], ValueError, f"`{word}` must be >= 1, got {{}}")
    refuse_each(name, call, kinds, TypeError, f"`{word}` must be an integer, got {{}}")
for name, call in {
    "net.validation_fraction": lambda v: net(validation_fraction=v).fit(X, Y),
    "u_shape.confidence": lambda v: curve().u_shape("a", v),
    "broken.confidence": lambda v: broken(confidence=v),
}.items():
    word = name.partition(".")[2]
    refuse_each(name, call, [0.0, 1.0, -0.5], ValueError, f"`{word}` must lie between 0 and 1, g")
    refuse_each(name, call, [NAN], ValueError, f"`{word}` must be finite, got nan")
    refuse_each(
        name, call, ["a", None, True], TypeError, f"`{word}` must be a real number, got {{}}"
    )
for word in ("drop_last", "early_stopping"):
    refuse_each(
        f"net.{word}",
        lambda v, w=word: net(**{w: v}).fit(X, Y),
        [1, 0, "x", None],
        TypeError,
        f"`{word}` must be True or False, got {{}}",
    )
for name, call in {
    "broken.drop": lambda v: broken(drop=v),
    "broken.max_budget": lambda v: broken(max_budget=v),
    "mapped.drop": lambda v: mapped(drop=v),
}.items():
    word = name.partition(".")[2]
    refuse_each(name, call, [0, -1.0, np.float32(-1)], ValueError, f"`{word}` must be > 0.*, got ")
    refuse_each(name, call, [NAN, INF], ValueError, f"`{word}` must be finite, got {{}}")
    refuse_each(name, call, ["1", True], TypeError, f"`{word}` must be a real number, got {{}}")
refuse_each(
    "trimmed.fraction",
    lambda v: trimmed(v).fit(X, Y),
    [1, 1.0, 7.5],
    ValueError,
    "`fraction` must be < 1, got ",
)
refuse_each(
    "parted.fused",
    lambda v: parted(fused=v).fit(X, Y),
    [1, 0, "auto", None],
    TypeError,
    "`fused` must be True or False, got {}",
)
for name, make in {"parted": parted, "trimmed": trimmed}.items():
    refuse_each(
        f"{name}.estimator",
        lambda v, m=make: m(estimator=v).fit(X, Y),
        [3, None, LogisticRegression, StandardScaler()],
        TypeError,
        "`estimator` must be a classifier",
    )
refuse(
    "trimmed: no probabilities", lambda: trimmed(estimator=LinearSVC()).fit(X, Y), TypeError, "`p"
)
for name, call in {
    "pga": lambda v: pga(random_state=v).fit(X, Y),
    "parted": lambda v: parted(random_state=v).fit(X, Y),
    "trimmed": lambda v: trimmed(random_state=v).fit(X, Y),
    "broken": lambda v: broken(random_state=v),
    "noise": lambda v: noise(random_state=v).fit(X, Y),
    "flip": lambda v: flip(random_state=v).fit(X, Y),
    "match": lambda v: match(random_state=v).fit(X, Y),
    "backdoor": lambda v: backdoor(random_state=v).fit(X, Y),
    "net": lambda v: net(random_state=v).fit(X, Y),
    "study": lambda v: study(random_state=v),
}.items():
    # scikit-learn's own words.
    values = ["a", -1, 1.5, 2**32, np.random.default_rng(0)]
    refuse_each(f"{name}.random_state", call, values, ValueError, "[Ss]eed")

# Choices.

for name, make, values, options in [
    ("pga.norm", pga, ["l2", None, 2, "L2,1", ["l2,1"]], "'l2,1', 'l2,inf'"),
    ("noise.norm", noise, ["l1", None, np.inf], "'l2,1', 'l2,inf'"),
    ("pga.loss", pga, ["hinge", None, torch.nn.CrossEntropyLoss], "'negated', 'cross_entropy'"),
    ("flip.transition", flip, ["prev", None, "NEXT", ""], "'next', 'uniform'"),
    ("flip.sampling", flip, ["poisson", None, True], "'bernoulli', 'exact'"),
    ("flip.selection", flip, ["Loss", None, 1, LogisticRegression()], "'random', 'margin', 'loss'"),
    ("match.norm", match, ["l2", None, 2], "'l2,1', 'l2,inf'"),
    ("pga.step_size", pga, ["big", "1"], "'auto'"),
]:
    word = name.partition(".")[2]
    refuse_each(
        name,
        lambda v, m=make, w=word: m(**{w: v}).fit(X, Y),
        values,
        ValueError,
        f"`{word}` must be one of {options}, got {{}}",
    )
for word, options in {
    "poison": "'fold', 'dataset'",
    "early_stop_on": "'fraction', 'held-out'",
    "fused": "'auto'",
}.items():
    refuse_each(
        f"study.{word}",
        lambda v, w=word: study(**{w: v}),
        ["x", None, 1],
        ValueError,
        f"`{word}` must be one of {options}, got {{}}",
    )
refuse_each(
    "fit_many.fused",
    lambda v: fit_many([net()], [(X, Y)], fused=v),
    ["x", None, 1],
    ValueError,
    "`fused` must be one of 'auto', got {}",
)
for name, call in {
    "peak": lambda v: curve().peak(v),
    "u_shape": lambda v: curve().u_shape(v),
}.items():
    refuse_each(
        f"curve.{name}", call, ["b", None, 0], ValueError, "`name` must be one of 'a', got {}"
    )
refuse_each(
    "plot.std_display_style",
    lambda v: plot(std_display_style=v),
    ["x", 1, True],
    ValueError,
    "`std_display_style` must be one of 'fill_between', 'errorbar', got {}",
)
refuse("plot.unknown", lambda: plot(color="red"), TypeError, "unexpected keyword argument 'color'")
for fetch in (fetch_mnist, fetch_cifar10):
    name = fetch.__name__
    words = "`split` must be one of 'train', 'test', got {}"
    refuse_each(f"{name}.split", lambda v, f=fetch: f(split=v), ["val", None, 0], ValueError, words)
    words = "`verify` must be True or False, got {}"
    refuse_each(f"{name}.verify", lambda v, f=fetch: f(verify=v), [1, None, "x"], TypeError, words)

# The box.

for name, make in {"pga": pga, "noise": noise, "match": match}.items():
    for error, words, values in [
        (ValueError, "`clip` must have low < high, got ", [(1, 0), (0, 0), [1.0, -1.0]]),
        (ValueError, "`clip` must be None or a pair .low, high., got ", [3, True, (0,), (0, 1, 2)]),
        (ValueError, r"`clip\[1\]` must be finite, got", [(0, NAN), (0, INF)]),
        (ValueError, r"`clip\[0\]` must be finite, got -inf", [(-INF, 1)]),
        (TypeError, r"`clip\[0\]` must be a real number, got", [(None, 1), "01", (True, 2)]),
        (ValueError, r"X must lie inside `clip` = .*, got values from 0.00", [(0.2, 0.8), (2, 3)]),
    ]:
        refuse_each(f"{name}.clip", lambda v, m=make: m(clip=v).fit(X, Y), values, error, words)
    for which, factor, shift in [("above", 255, 0), ("below", 1, -0.5), ("by little", 1.01, 0)]:
        X_far = keep(X * factor + shift)
        refuse(
            f"{name}: X {which} clip",
            lambda m=make, x=X_far: m().fit(x, Y),
            ValueError,
            r"X must lie inside `clip` = \(0.0, 1.0\), got values from .*; scale X or set `clip`",
        )

# Data, with scikit-learn's words for X.

ATTACKS = {
    "pga": pga,
    "noise": noise,
    "flip": flip,
    "chosen": chosen,
    "match": match,
    "backdoor": backdoor,
    "chain": lambda: ChainedAttack([flip()]),
}
FITTED_ON_DATA = {
    **{name: lambda X, y, m=make: m().poison(X, y) for name, make in ATTACKS.items()},
    "pga.fit_transform": lambda X, y: pga().fit_transform(X, y),
    "flip.fit_resample": lambda X, y: flip().fit_resample(X, y),
    "net": lambda X, y: net().fit(X, y),
    "net.partial_fit": lambda X, y: net().partial_fit(X, y),
    "poisoned": lambda X, y: PoisonedClassifier(net(), flip()).fit(X, y),
    "clean": lambda X, y: PoisonedClassifier(net()).fit(X, y),
    "fit_many": lambda X, y: fit_many([net(), net()], [(X, y)] * 2),
    "parted": lambda X, y: parted().fit(X, y),
    "trimmed": lambda X, y: trimmed().fit(X, y),
}
BAD_X = {
    "NaN": (HOLED[NAN], ValueError, "contains NaN"),
    "inf": (HOLED[INF], ValueError, "contains infinity"),
    "-inf": (HOLED[-INF], ValueError, "contains infinity"),
    "no rows": (X[:0], ValueError, r"0 sample\(s\)"),
    "no features": (X[:, :0], ValueError, r"0 feature\(s\)"),
    "one axis": (X[:, 0], ValueError, "Expected 2D array, got 1D array"),
    "no axis": (np.array(1.0), ValueError, "Expected 2D array, got scalar"),
    "a number": (3.0, ValueError, "Expected 2D array, got scalar"),
    "None": (None, ValueError, "Expected 2D array, got scalar"),
    "a word": ("abc", ValueError, "Expected 2D array, got scalar"),
    "ragged": ([[1, 2], [3]] * 20, ValueError, "inhomogeneous"),
    "sparse matrix": (scipy.sparse.csr_matrix(X), TypeError, "[Ss]parse"),
    "sparse array": (scipy.sparse.csr_array(X), TypeError, "[Ss]parse"),
    "words": (X.astype(str), ValueError, "not compatible with arrays of bytes/strings"),
    "bytes": (X.astype("S"), ValueError, "not compatible with arrays of bytes/strings"),
    "objects": (np.full(X.shape, "a", object), ValueError, "could not convert string to float"),
    "complex": (keep(X + 1j), ValueError, "Complex data not supported"),
    "records": (np.zeros(40, [("a", "f8"), ("b", "f8")]), ValueError, "Expected 2D array, got 1D"),
    "images with NaN": (holed(NAN, IMAGES.shape), ValueError, "contains NaN"),
    "no images": (IMAGES[:0], ValueError, r"0 sample\(s\)"),
    "empty images": (IMAGES[:, :, :0], ValueError, r"0 feature\(s\)"),
    "complex images": (keep(IMAGES + 1j), ValueError, "Complex data not supported"),
    "frame of words": (FRAME.assign(a="x"), ValueError, "could not convert string to float: 'x'"),
    "frame with NA": (
        FRAME.convert_dtypes().assign(a=pd.array([None] + [0.5] * 39, "Float64")),
        ValueError,
        "contains NaN",
    ),
    "same column names": (
        pd.DataFrame(X, columns=list("aabbcc")),
        Exception,
        "Expected unique column names",
    ),
    "too large": (
        np.full((40, 6), np.longdouble("1e400")),
        ValueError,
        "X must have values that float64 can hold, got larger ones",
    ),
    "mixed column names": (
        pd.DataFrame(X, columns=["a", "b", 1, 2, 3, 4]),
        TypeError,
        "Feature names are only supported if all input features have string names",
    ),
}
BAD_Y = {
    "None": (None, ValueError, "y must be given.*y to be passed, but the target y is None"),
    "one class": (np.zeros(40), ValueError, r"at least 2 classes, got 1 class: \[0.0\]"),
    "one class of zeros": (np.where(Y, 0.0, -0.0), ValueError, "at least 2 classes, got 1 class"),
    "continuous": (X[:, 0], ValueError, "Unknown label type: continuous"),
    "halves": (Y + 0.5, ValueError, "Unknown label type: continuous"),
    "too short": (Y[:5], ValueError, "one label for each row of X: 40 rows, got 5 labels"),
    "too long": (np.r_[Y, Y], ValueError, "one label for each row of X: 40 rows, got 80 labels"),
    "no labels": ([], ValueError, "one label for each row of X: 40 rows, got 0 labels"),
    "two columns": (np.stack([Y, Y], axis=1), ValueError, r"1d array, got .*shape \(40, 2\)"),
    "one-hot": (np.eye(4)[Y], ValueError, r"should be a 1d array, got an array of shape \(40, 4\)"),
    "a number": (1, ValueError, r"should be a 1d array, got an array of shape \(\)"),
    "a word": ("abc", ValueError, r"should be a 1d array, got an array of shape \(\)"),
    "NaN": (np.where(Y, 1.0, NAN), ValueError, "Input y contains NaN"),
    "inf": (np.where(Y, 1.0, INF), ValueError, "Input y contains infinity"),
    "None among words": (np.where(Y, "a", None), ValueError, "Unknown label type: unknown"),
    "NaN among words": (np.array(["a", NAN] * 20, object), ValueError, "contains NaN"),
    "bytes": (Y.astype("S"), TypeError, "labels represented as bytes is not supported"),
    "objects": (Y.astype(object), ValueError, "Unknown label type: unknown"),
    "complex": (Y + 0j, ValueError, "Complex data not supported"),
    "sparse": (scipy.sparse.csr_matrix(Y), TypeError, "Sparse data was passed for y"),
    "nullable with NA": (
        pd.Series(pd.array([None, *Y[1:]], "Int64")),
        ValueError,
        "Input y contains NaN",
    ),
    "a frame": (pd.DataFrame({"a": Y, "b": Y}), ValueError, r"shape \(40, 2\)"),
    "ragged": ([[1], [2, 3]] * 20, ValueError, "inhomogeneous"),
}
for value, *_ in (*BAD_X.values(), *BAD_Y.values()):
    if isinstance(value, np.ndarray):
        keep(value)
for name, call in FITTED_ON_DATA.items():
    # A partition may have one class, and so may the whole.
    bad_y = {k: v for k, v in BAD_Y.items() if name != "parted" or not k.startswith("one class")}
    for what, (value, error, words) in BAD_X.items():
        refuse(f"{name}: X {what}", lambda c=call, v=value: c(v, Y), error, words)
    for what, (value, error, words) in bad_y.items():
        refuse(f"{name}: y {what}", lambda c=call, v=value: c(X, v), error, words)

# Attacks.

refuse("pga.transform unfitted", lambda: pga().transform(X), NotFittedError, "not fitted yet")
refuse("noise.transform unfitted", lambda: noise().transform(X), NotFittedError, "not fitted yet")
refuse(
    "noise.transform features",
    lambda: noise().fit(X, Y).transform(NARROW),
    ValueError,
    "X has 3 features, but RandomNoise is expecting 6",
)
refuse(
    "noise.transform images",
    lambda: noise().fit(X, Y).transform(IMAGES),
    ValueError,
    r"rows of shape \(6,\), as in the fit of RandomNoise, got \(1, 2, 3\)",
)
refuse(
    "noise.transform names",
    lambda: noise().fit(FRAME, Y).transform(FRAME[list("fedcba")]),
    ValueError,
    "feature names should match",
)
for name, surrogate in {
    "tree": DecisionTreeClassifier(),
    "frozen tree": FrozenEstimator(DecisionTreeClassifier().fit(X, Y)),
    "kernel": SVC(),
    "one against one": SVC(kernel="linear"),
    "regressor": LinearRegression(),
    "pipeline": make_pipeline(StandardScaler(), LogisticRegression()),
    "search": GridSearchCV(LogisticRegression(), {"C": [1.0]}, cv=2),
    "transformer": StandardScaler(),
    "attack": LabelFlip(random_state=0),
    "poisoned": PoisonedClassifier(LogisticRegression()),
}.items():
    refuse(
        f"surrogate: {name}",
        lambda s=surrogate: pga_with(s).fit(X, Y),
        TypeError,
        r"`surrogate` must have gradients: a NetClassifier .* or a linear .* classifier, got \w+$",
    )
for surrogate in (None, "lr", 3, LogisticRegression, NetClassifier, MLP, INSTANCE):
    refuse(
        f"surrogate: {surrogate}"[:50],
        lambda s=surrogate: pga_with(s).fit(X, Y),
        TypeError,
        "`surrogate` must be a classifier, got ",
    )
for name, surrogate, error, words in [
    ("unfitted net", FrozenEstimator(net()), NotFittedError, "NetClassifier instance is not fitte"),
    ("unfitted linear", FrozenEstimator(LogisticRegression()), NotFittedError, "LogisticRegressi"),
    ("unfitted tree", FrozenEstimator(DecisionTreeClassifier()), NotFittedError, "DecisionTree"),
    (
        "other labels",
        FrozenEstimator(LogisticRegression().fit(X, Y + 1)),
        ValueError,
        r"y must have only labels in `classes_` of `surrogate` \(\[1, 2, 3, 4\]\), got \[0\]",
    ),
    (
        "fewer labels",
        FrozenEstimator(net().fit(X, Y % 2)),
        ValueError,
        r"only labels in `classes_` of `surrogate` \(\[0, 1\]\), got \[2, 3\]",
    ),
    (
        "words for numbers",
        FrozenEstimator(net().fit(X, Y.astype(str))),
        ValueError,
        r"`classes_` of `surrogate` \(\['0', '1', '2', '3'\]\), got \[0, 1, 2, 3\]",
    ),
    (
        "other features",
        FrozenEstimator(LogisticRegression().fit(NARROW, Y)),
        ValueError,
        "X has 6 features, but LogisticRegression is expecting 3",
    ),
    ("its parameters", net(lr=-1), ValueError, "`lr` must be >= 0, got -1"),
    ("linear parameters", LogisticRegression(C=-1), ValueError, "'C' parameter of LogisticReg"),
    ("module instance", net(module=INSTANCE), TypeError, "`module` must be a class .* of MLP"),
    ("fails", NoFit(), ZeroDivisionError, "the estimator broke"),
    ("NaN logits", Scorable(), ValueError, "`surrogate` must have finite losses and gradients"),
]:
    refuse(f"surrogate: {name}", lambda s=surrogate: pga_with(s).fit(X, Y), error, words)

for name, value, words in [
    ("one", [1.0], "one value for each of the 40 rows of X, got shape"),
    ("column", np.full((40, 1), 0.1), r"for each of the 40 rows of X, got shape \(40, 1\)"),
    ("negative", -np.ones(40), "finite and >= 0"),
    ("NaN", np.full(40, NAN), "finite and >= 0"),
    ("too large", np.ones(40), "keep to `budget` = 0.1 .*'l2,inf'.*, got 1.0"),
]:
    refuse(
        f"noise.norms: {name}",
        lambda v=value: noise(norms=v).fit(X, Y),
        ValueError,
        f"`norms` must .*{words}",
    )
READ_ONLY = np.zeros_like(X)
READ_ONLY.flags.writeable = False
for name, value, words in [
    ("list", X.tolist(), "must be an array of shape .40, 6. and dtype float64, got .* list"),
    ("shape", np.zeros((40, 5)), r"got shape \(40, 5\)"),
    ("dtype", np.zeros((40, 6), np.float32), "got .* float32"),
    ("frame", FRAME, "got .* DataFrame"),
    ("tensor", torch.zeros(40, 6), "got .* torch.float32"),
    ("read-only", READ_ONLY, "must be writeable and apart from X"),
    ("X itself", X, "must be writeable and apart from X"),
    ("X reversed", X[::-1], "must be writeable and apart from X"),
]:
    for who, make in {"pga": pga, "noise": noise}.items():
        refuse(
            f"{who}.out: {name}",
            lambda m=make, v=value: m().poison(X, Y, out=v),
            ValueError,
            f"`out` {words}" if words.startswith("must") else f"`out` must be an array .*{words}",
        )
refuse(
    "pga.out: float16",
    lambda: pga().poison(X.astype(np.float16), Y, out=np.zeros(X.shape, np.float16)),
    ValueError,
    "`out` must be float32 or float64",
)

CYCLE = np.roll(np.eye(4), 1, axis=0)
for name, matrix, words in [
    ("for fewer classes", np.eye(3), r"a row for each of the 4 classes in y, got shape \(3, 3\)"),
    ("for more classes", np.eye(5), r"a row for each of the 4 classes in y, got shape \(5, 5\)"),
    ("not square", np.ones((4, 3)) / 3, r"a square matrix, got shape \(4, 3\)"),
    ("one axis", np.ones(4), r"a square matrix, got shape \(4,\)"),
    ("three axes", np.ones((4, 4, 4)) / 4, r"a square matrix, got shape \(4, 4, 4\)"),
    ("a number", 5, r"a square matrix, got shape \(\)"),
    ("rows sum to 0.9", np.eye(4) * 0.9, r"rows that sum to 1, got \[0.9, 0.9, 0.9, 0.9\]"),
    ("rows sum to 2", np.eye(4) + CYCLE, r"rows that sum to 1, got \[2.0"),
    ("columns sum to 1", np.eye(4) + CYCLE / 2 - np.diag([0.5, 0, 0, 0]), "rows that sum to 1, g"),
    ("negative", np.eye(4) + CYCLE - CYCLE.T, "finite entries >= 0"),
    ("NaN", np.full((4, 4), NAN), "finite entries >= 0"),
    ("inf", np.full((4, 4), INF), "finite entries >= 0"),
    ("words", [["a"]], "'next', 'uniform' or a matrix of numbers"),
    ("dict", {}, "'next', 'uniform' or a matrix of numbers"),
    ("class", LabelFlip, "'next', 'uniform' or a matrix of numbers"),
    ("sparse", scipy.sparse.csr_array(np.eye(4)), "'next', 'uniform' or a matrix of numbers"),
    ("empty", np.zeros((0, 0)), r"a row for each of the 4 classes in y, got shape \(0, 0\)"),
]:
    refuse(
        f"transition: {name}",
        lambda m=matrix: flip(transition=m).poison(X, Y),
        ValueError,
        f"`transition` must .*{words}",
    )
refuse(
    "transition: exact",
    lambda: flip(transition=np.eye(4), sampling="exact").poison(X, Y),
    ValueError,
    "`sampling` must be 'bernoulli' when `transition` is a matrix, got 'exact'",
)

# Flips chosen with care, targets and triggers.

for value in (None, "lr", 3, LogisticRegression):
    refuse(
        f"chosen.surrogate: {value}"[:50],
        lambda v=value: flip(selection="loss", surrogate=v).fit(X, Y),
        TypeError,
        "`surrogate` must be a classifier, got ",
    )
for name, surrogate, error, words in [
    ("transformer", StandardScaler(), AttributeError, "classes_"),
    ("one against one", SVC(decision_function_shape="ovo"), TypeError, "one for each pair"),
    (
        "one against one in a Pipeline",
        make_pipeline(StandardScaler(), SVC(decision_function_shape="ovo")),
        TypeError,
        "one for each pair",
    ),
    ("NaN logits", Scorable(), ValueError, "`surrogate` must have finite scores, got others"),
    ("fails", NoFit(), ZeroDivisionError, "the estimator broke"),
    (
        "other labels",
        FrozenEstimator(LogisticRegression().fit(X, Y + 1)),
        ValueError,
        r"y must have only labels in `classes_` of `surrogate` \(\[1, 2, 3, 4\]\), got \[0\]",
    ),
]:
    refuse(
        f"chosen.surrogate: {name}", lambda s=surrogate: chosen(surrogate=s).fit(X, Y), error, words
    )
for selection in ("margin", "loss"):
    refuse(
        f"selection {selection} with a matrix",
        lambda s=selection: chosen(s, transition=np.eye(4)).fit(X, Y),
        ValueError,
        f"`selection` must be 'random' when `transition` is a matrix, got '{selection}'",
    )
for name, value, error, words in [
    ("number", 3, ValueError, r"a pair \(X_t, y_t\), got an instance of int"),
    ("rows alone", X[:2].copy(), ValueError, r"a pair \(X_t, y_t\), got an instance of ndarray"),
    ("three", (X, Y, Y), ValueError, r"a pair \(X_t, y_t\)"),
    ("features", (NARROW, Y), ValueError, "rows like X and their labels: X has 3 features"),
    ("images", (IMAGES, Y), ValueError, r"rows like X and their labels: .*\(1, 2, 3\)"),
    ("NaN", (HOLED[NAN], Y), ValueError, "rows like X and their labels: .*NaN"),
    ("one axis", (X[0], [1]), ValueError, "rows like X and their labels: Expected 2D array"),
    ("no rows", (X[:0], Y[:0]), ValueError, "rows like X and their labels: .*0 sample"),
    ("sparse", (scipy.sparse.csr_array(X), Y), TypeError, "rows like X .*[Ss]parse"),
    ("short labels", (X[:3], Y[:2]), ValueError, "their labels: .* 3 rows, got 2 labels"),
    ("no labels", (X[:3], None), ValueError, "their labels: y must be given"),
    ("real labels", (X[:3], X[:3, 0]), ValueError, "their labels: Unknown label type"),
    ("unknown label", (X[:3], [1, 2, 9]), ValueError, r"labels that y has, got \[9\]"),
    ("words", (X[:1], ["a"]), ValueError, r"labels that y has, got \['a'\]"),
    ("outside", (X[:1] + 2, [1]), ValueError, r"X must lie inside `clip` = \(0.0, 1.0\)"),
]:
    refuse(f"target: {name}", lambda v=value: match(v).fit(X, Y), error, f"`target` must .*{words}")
for name, surrogate, error, words in [
    ("tree", DecisionTreeClassifier(), TypeError, "`surrogate` must have gradients"),
    ("class", LogisticRegression, TypeError, "`surrogate` must be a classifier, got "),
    ("no module", Scorable(), TypeError, "`surrogate` must have a `module_`.* got Scorable"),
    ("fails", NoFit(), ZeroDivisionError, "the estimator broke"),
]:
    refuse(
        f"match.surrogate: {name}",
        lambda s=surrogate: match(surrogate=s).fit(X, Y),
        error,
        words,
    )
for name, value, error, words in [
    ("words", ["a"], TypeError, "an array of numbers"),
    ("None", None, ValueError, "set a feature, got no value but NaN"),
    ("dict", {}, ValueError, "set a feature, got no value but NaN"),
    ("dict of words", {"a": "b"}, TypeError, "an array of numbers"),
    ("names", {"a": 1.0}, ValueError, r"named by columns of the DataFrame X, got \['a'\]"),
    ("complex", [1j], TypeError, "an array of numbers"),
    ("ragged", [[1], [1, 2]], TypeError, "an array of numbers"),
    ("inf", [INF], ValueError, "finite, or NaN where a row stays, got infinity"),
    ("NaN", [NAN] * 6, ValueError, "set a feature, got no value but NaN"),
    ("empty", [], ValueError, "set a feature, got no value but NaN"),
    ("features", [0.5] * 5, ValueError, r"broadcast to the shape of a row, \(6,\), got .*\(5,\)"),
    ("axes", [[0.5] * 6], ValueError, r"broadcast to the shape of a row, \(6,\), got .*\(1, 6\)"),
]:
    words = f"`patch` must .*{words}"
    refuse(f"patch: {name}", lambda v=value: backdoor(v).fit(X, Y), error, words)
    refuse(f"patch, stamp: {name}", lambda v=value: backdoor(v).stamp(X), error, words)
for name, words in {"patch": r"named by columns .* got \['z'\]", "order": "feature names"}.items():
    patched = backdoor({"z": 1.0}) if name == "patch" else backdoor().fit(FRAME, Y)
    refuse(
        f"stamp of a frame: {name}",
        lambda p=patched: p.stamp(FRAME[list("fedcba")]),
        ValueError,
        words,
    )
refuse(
    "patch too large",
    lambda: backdoor([1e300]).stamp(X.astype(np.float32)),
    ValueError,
    "`patch` must have values that float32 can hold, got larger ones",
)
refuse(
    "backdoor.success_rate of fewer labels",
    lambda: backdoor().success_rate(LogisticRegression().fit(X, Y), X, Y[:9]),
    ValueError,
    "40 rows, got 9 labels",
)
refuse(
    "match.success_rate of fewer labels",
    lambda: match((X[:3], [1])).success_rate(LogisticRegression().fit(X, Y)),
    ValueError,
    "3 rows, got 1 labels",
)
for value in (7, "a", [0], (0, 1)):
    refuse(
        f"backdoor.target: {value!r}",
        lambda v=value: backdoor(target=v).fit(X, Y),
        ValueError,
        r"`target` must be a label that y has \(\[0, 1, 2, 3\]\), got ",
    )
for what in ("NaN", "no rows", "one axis", "sparse array", "words"):
    value, error, words = BAD_X[what]
    refuse(f"backdoor.stamp: X {what}", lambda v=value: backdoor().stamp(v), error, words)
refuse(
    "backdoor.success_rate unfitted",
    lambda: backdoor().success_rate(LogisticRegression(), X, Y),
    NotFittedError,
    "not fitted yet",
)

for value in (None, [], (), "abc", LabelFlip(), {"a": LabelFlip()}, np.array([LabelFlip()])):
    refuse(
        f"chain: {value!r}"[:40],
        lambda v=value: ChainedAttack(v).poison(X, Y),
        ValueError,
        "`attacks` must be a non-empty list of attacks, got ",
    )
for value in (None, 1, LogisticRegression()):
    refuse(
        f"chain: [{value!r}]",
        lambda v=value: ChainedAttack([flip(), v]).poison(X, Y),
        TypeError,
        r"`attacks` must hold attacks \(with a `poison` method\), got ",
    )
for name, attack, error, words in [
    ("parameters", noise(budget=-1), ValueError, "`budget` must be >= 0, got -1"),
    ("clip", noise(clip=(2, 3)), ValueError, r"inside `clip` = \(2.0, 3.0\)"),
    ("breaks", NoPoison(random_state=0), ZeroDivisionError, "the attack broke"),
    ("labels break", NoLabels(random_state=0), ZeroDivisionError, "the attack broke"),
]:
    refuse(f"chain: {name}", lambda a=attack: ChainedAttack([flip(), a]).poison(X, Y), error, words)
for key in ("rate", "noise__rate", "labelflip__", "labelflip__ratio"):
    refuse(
        f"chain.set_params {key}",
        lambda k=key: ChainedAttack([flip()]).set_params(**{k: 0.1}),
        ValueError,
        "Invalid parameter",
    )

for project in (project_l21, project_l2inf):
    name = project.__name__
    for what, value, error, words in [
        ("list", DELTA.tolist(), TypeError, "must be an ndarray or a torch.Tensor, got list"),
        ("frame", FRAME, TypeError, "must be an ndarray or a torch.Tensor, got DataFrame"),
        ("sparse", scipy.sparse.csr_array(DELTA), TypeError, "ndarray or a torch.Tensor, got csr"),
        ("number", np.float64(1), TypeError, "must be an ndarray or a torch.Tensor, got float64"),
        ("None", None, TypeError, "must be an ndarray or a torch.Tensor, got NoneType"),
        ("integers", np.ones((2, 2), int), TypeError, "a real float dtype, got int64"),
        ("booleans", np.ones((2, 2), bool), TypeError, "a real float dtype, got bool"),
        ("complex", DELTA + 1j, TypeError, "a real float dtype, got complex128"),
        ("objects", DELTA.astype(object), TypeError, "a real float dtype, got object"),
        ("integer tensor", torch.arange(3), TypeError, "a real float dtype, got torch.int64"),
        ("NaN", np.full((2, 2), NAN), ValueError, "must be finite, got NaN or infinity"),
        ("inf", np.array([[0, INF]]), ValueError, "must be finite, got NaN or infinity"),
        ("NaN tensor", torch.full((2, 2), NAN), ValueError, "must be finite, got NaN or infin"),
        ("huge", DELTA * 1e200, ValueError, "must be finite, got NaN or infinity in .* its norm"),
        ("no axis", np.array(1.0), ValueError, "must have rows, got a scalar"),
        ("tensor of no axis", torch.tensor(1.0), ValueError, "must have rows, got a scalar"),
    ]:
        refuse(f"{name}: {what}", lambda p=project, v=value: p(v, 1.0), error, f"`delta` .*{words}")

# Nets.

for value in (None, 3, "MLP", INSTANCE, torch.nn.Linear(6, 4)):
    refuse(
        f"net.module={value!r}"[:40].replace("\n", ""),
        lambda v=value: net(module=v).fit(X, Y),
        TypeError,
        "`module` must be a class or a function that returns a torch.nn.Module, got an instance of",
    )
for name, call, error, words in [
    ("rows for the module", lambda: net(module=MnistConvNet).fit(X, Y), ValueError, "784 .* got 6"),
    ("typo", lambda: net(modul__width=3).fit(X, Y), ValueError, "modul__width"),
    ("typo in the module", lambda: net(module__witdh=3).fit(X, Y), TypeError, "argument 'witdh'"),
    ("typo in set_params", lambda: net().set_params(widht=3), ValueError, "'widht'"),
    ("depth", lambda: net(module__depth=0).fit(X, Y), ValueError, "`depth` must be .*>= 1, got 0"),
    ("momentum", lambda: net(optimizer__momentum=-1).fit(X, Y), ValueError, "momentum value: -1"),
    (
        "batch_size=-2",
        lambda: net(batch_size=-2).fit(X, Y),
        ValueError,
        "`batch_size` must be >= 1",
    ),
    ("callbacks", lambda: stopping(callbacks="disable").fit(X, Y), ValueError, "`callbacks` must"),
    ("classes", lambda: net(classes=[0, 1]).fit(X, Y), ValueError, r"\(\[0, 1\]\), got \[2, 3\]"),
    ("no classes", lambda: net(classes=[]).fit(X, Y), ValueError, "at least 2 classes"),
    (
        "classes of another kind",
        lambda: net(classes=["a", "b"]).fit(X, Y),
        ValueError,
        r"only labels in `classes_` of this NetClassifier \(\['a', 'b'\]\), got \[0, 1, 2, 3\]",
    ),
    (
        "partial_fit classes",
        lambda: net().partial_fit(X, Y, classes=[0, 1]),
        ValueError,
        r"only labels in `classes_` of this NetClassifier \(\[0, 1\]\), got \[2, 3\]",
    ),
    (
        "partial_fit new label",
        lambda: net().fit(X, Y).partial_fit(X, Y + 1),
        ValueError,
        r"only labels in `classes_` .* got \[4\]",
    ),
    (
        "partial_fit features",
        lambda: net().fit(X, Y).partial_fit(NARROW, Y),
        ValueError,
        "X has 3 features, but NetClassifier is expecting 6",
    ),
    (
        "warm start features",
        lambda: net(warm_start=True).fit(X, Y).fit(NARROW, Y),
        ValueError,
        "X has 3 features, but NetClassifier is expecting 6",
    ),
    (
        "hold-out smaller than the classes",
        lambda: stopping(validation_fraction=0.1).fit(X[:8], Y[:8]),
        ValueError,
        "test_size = 1 should be greater or equal to the number of classes = 4",
    ),
    (
        "hold-out of all rows",
        lambda: stopping(validation_fraction=0.999).fit(X, Y),
        ValueError,
        "test_size=0.999 .* train set will be empty",
    ),
    ("rare class", lambda: stopping().fit(X[:5], [0, 1, 2, 3, 0]), ValueError, "least populated"),
    ("X_val alone", lambda: stopping().fit(X, Y, X_val=X), ValueError, "`X_val` and `y_val` must"),
    ("y_val alone", lambda: stopping().fit(X, Y, y_val=Y), ValueError, "`X_val` and `y_val` must"),
    (
        "X_val without early stopping",
        lambda: net().fit(X, Y, X_val=X, y_val=Y),
        ValueError,
        "`X_val` must come with `early_stopping=True`, got False",
    ),
    (
        "X_val features",
        lambda: stopping().fit(X, Y, X_val=NARROW, y_val=Y),
        ValueError,
        "X has 3 features, but NetClassifier is expecting 6",
    ),
    (
        "X_val images",
        lambda: stopping().fit(X, Y, X_val=IMAGES, y_val=Y),
        ValueError,
        r"rows of shape \(6,\), as in the fit of NetClassifier, got \(1, 2, 3\)",
    ),
    ("X_val NaN", lambda: stopping().fit(X, Y, X_val=HOLED[NAN], y_val=Y), ValueError, "NaN"),
    ("X_val empty", lambda: stopping().fit(X, Y, X_val=X[:0], y_val=Y[:0]), ValueError, "0 sample"),
    ("y_val short", lambda: stopping().fit(X, Y, X_val=X, y_val=Y[:3]), ValueError, "40 .* got 3"),
    (
        "y_val new label",
        lambda: stopping().fit(X, Y, X_val=X, y_val=Y + 1),
        ValueError,
        r"only labels in `classes_` .* got \[4\]",
    ),
    (
        "cuda",
        lambda: net(device="cuda:99").fit(X, Y),
        (ValueError, RuntimeError),
        "99|without CUDA",
    ),
    ("fit parameter", lambda: net().fit(X, Y, sample_weight=1), TypeError, "'sample_weight'"),
    ("module breaks", lambda: net(module=NoForward).fit(X, Y), ZeroDivisionError, "module broke"),
    ("predict unfitted", lambda: net().predict(X), NotFittedError, "not .*yet"),
    ("proba unfitted", lambda: net().predict_proba(X), NotFittedError, "not .*yet"),
    ("score unfitted", lambda: net().score(X, Y), NotFittedError, "not .*yet"),
    ("logits unfitted", lambda: net().logits(torch.zeros(2, 6)), NotFittedError, "not .*yet"),
]:
    refuse(f"net: {name}", call, error, words)
FITTED = net().fit(X, Y)
FITTED_ON_IMAGES = net().fit(IMAGES, Y)
FITTED_ON_FRAME = net().fit(FRAME, Y)
for name, call, error, words in [
    ("features", lambda: FITTED.predict(NARROW), ValueError, "X has 3 features, but NetClassifier"),
    ("images", lambda: FITTED.predict(IMAGES), ValueError, r"shape \(6,\), .* got \(1, 2, 3\)"),
    ("flat", lambda: FITTED_ON_IMAGES.predict(X), ValueError, r"\(1, 2, 3\), .* got \(6,\)"),
    (
        "other axes",
        lambda: FITTED_ON_IMAGES.predict(X.reshape(40, 2, 3, 1)),
        ValueError,
        r"rows of shape \(1, 2, 3\), as in the fit of NetClassifier, got \(2, 3, 1\)",
    ),
    ("one row", lambda: FITTED.predict(X[0]), ValueError, "Expected 2D array, got 1D array"),
    ("no rows", lambda: FITTED.predict(X[:0]), ValueError, "0 sample"),
    ("NaN", lambda: FITTED.predict(HOLED[NAN]), ValueError, "contains NaN"),
    ("sparse", lambda: FITTED.predict(scipy.sparse.csr_array(X)), TypeError, "[Ss]parse"),
    ("words", lambda: FITTED.predict(X.astype(str)), ValueError, "bytes/strings"),
    ("None", lambda: FITTED.predict(None), ValueError, "Expected 2D array, got scalar"),
    (
        "order of names",
        lambda: FITTED_ON_FRAME.predict(FRAME[list("bacdef")]),
        ValueError,
        "feature names should match",
    ),
    ("short y", lambda: FITTED.score(X, Y[:3]), ValueError, "inconsistent numbers of samples"),
    ("y None", lambda: FITTED.score(X, None), ValueError, "y_true.* Got None"),
    ("words for y", lambda: FITTED.score(X, Y.astype(str)), ValueError, "Mix of label input types"),
]:
    refuse(f"predict: {name}", call, error, words)
refuse("MLP depth", lambda: MLP(6, 4, depth=0), ValueError, "`depth` must be .*>= 1, got 0")
refuse("TwoLayerReLU width", lambda: TwoLayerReLU(6, 0), ValueError, "`width` must be >= 1, got 0")
refuse("TwoLayerReLU classes", lambda: TwoLayerReLU(6, 3, 4), ValueError, "`n_classes` must be 2")
refuse(
    "TwoLayerReLU in a net",
    lambda: net(module=TwoLayerReLU).fit(X, Y),
    ValueError,
    "`n_classes` must be 2 for TwoLayerReLU, got 4",
)
for name, nets, data, error, words in [
    ("too few data", [net(), net()], [(X, Y)], ValueError, "a tuple for each of 2 nets, got 1"),
    ("not a net", [net(), LogisticRegression()], [(X, Y)] * 2, TypeError, "`nets` must be instanc"),
    ("one twice", [FITTED, FITTED], [(X, Y)] * 2, ValueError, "`nets` must be different objects"),
    ("bad parameter", [net(), net(lr=-1)], [(X, Y)] * 2, ValueError, "`lr` must be >= 0, got -1"),
]:
    refuse(f"fit_many: {name}", lambda n=nets, d=data: fit_many(n, d), error, words)

# PoisonedClassifier.

for value in (3, "flip", LabelFlip, LogisticRegression(), [LabelFlip()]):
    refuse(
        f"poisoned.attack={value!r}"[:40],
        lambda v=value: PoisonedClassifier(net(), v).fit(X, Y),
        TypeError,
        "`attack` must have a method `poison`, or be None, got ",
    )


@functools.cache
def fitted_poisoned():
    # Not at import: an attack that is broken must fail the cases of attacks, and not all of them.
    return PoisonedClassifier(net(), flip()).fit(X, Y)


for name, call, error, words in [
    ("unfitted", lambda: PoisonedClassifier(net()).predict(X), NotFittedError, "not fitted yet"),
    ("proba unfitted", lambda: PoisonedClassifier(net()).predict_proba(X), NotFittedError, "not f"),
    ("score unfitted", lambda: PoisonedClassifier(net()).score(X, Y), NotFittedError, "not fitted"),
    ("estimator None", lambda: PoisonedClassifier(None).fit(X, Y), TypeError, "'None'"),
    ("estimator class", lambda: PoisonedClassifier(NetClassifier).fit(X, Y), TypeError, "class"),
    (
        "its rate",
        lambda: PoisonedClassifier(net(), flip(2)).fit(X, Y),
        ValueError,
        "`rate` must be",
    ),
    (
        "its lr",
        lambda: PoisonedClassifier(net(lr=-1), flip()).fit(X, Y),
        ValueError,
        "`lr` must be",
    ),
    ("memory", lambda: PoisonedClassifier(net(), flip(), memory=3).fit(X, Y), ValueError, "memory"),
    ("features", lambda: fitted_poisoned().predict(NARROW), ValueError, "X has 3 features"),
    ("images", lambda: fitted_poisoned().predict(IMAGES), ValueError, r"rows of shape \(6,\)"),
    (
        "decision",
        lambda: fitted_poisoned().decision_function(X),
        AttributeError,
        "decision_function",
    ),
    (
        "proba",
        lambda: PoisonedClassifier(LinearSVC(random_state=0)).fit(X, Y).predict_proba(X),
        AttributeError,
        "predict_proba",
    ),
    (
        "fit parameter",
        lambda: PoisonedClassifier(LogisticRegression()).fit(X, Y, weights=1),
        TypeError,
        "weights",
    ),
    (
        "the attack breaks",
        lambda: PoisonedClassifier(net(), NoPoison(random_state=0)).fit(X, Y),
        ZeroDivisionError,
        "the attack broke",
    ),
    (
        "the victim breaks",
        lambda: PoisonedClassifier(NoFit()).fit(X, Y),
        ZeroDivisionError,
        "broke",
    ),
    (
        "the flips leave one class",
        lambda: PoisonedClassifier(net(), flip(transition=np.eye(4)[[1] * 4])).fit(X, Y),
        ValueError,
        r"at least 2 classes, got 1 class: \[1\]",
    ),
]:
    refuse(f"poisoned: {name}", call, error, words)

# Studies.

for value in ({}, None, [], [LabelFlip()], "flip", LabelFlip()):
    refuse(
        f"study.attacks={value!r}",
        lambda v=value: study(attacks=v),
        ValueError,
        "`attacks` must be a non-empty dict of name to attack, got ",
    )
for value in (LabelFlip, "flip", LogisticRegression(), 3):
    refuse(
        f"study.attacks: {value!r}"[:40],
        lambda v=value: study(attacks={"a": v}),
        TypeError,
        r"`attacks\['a'\]` must have a method `poison`, got ",
    )
LINEAR = {"estimator": LogisticRegression(), "param_name": "C"}
for name, kwargs, error, words in [
    ("key", {"attacks": {1: None}}, TypeError, "`attacks` must have strings as keys, got 1"),
    ("no range", {"param_range": []}, ValueError, "`param_range` must have at least one value"),
    ("name", {"param_name": "width"}, ValueError, "`param_name` must be a parameter .*'width'"),
    ("empty name", {"param_name": ""}, ValueError, "`param_name` must be a parameter of `estim"),
    ("nested name", {**LINEAR, "param_name": "a__b"}, ValueError, "`param_name` must be a param"),
    ("typo in the module", {"param_name": "module__witdh"}, ValueError, "All 2 fits .*'witdh'"),
    ("values", {"param_range": ["a"]}, ValueError, "All 2 fits of the study failed"),
    ("values of lr", {"param_name": "lr", "param_range": [-1]}, ValueError, "`lr` must be >= 0"),
    ("no folds", {"cv": 0}, ValueError, "n_splits=0"),
    ("one fold", {"cv": 1}, ValueError, "n_splits=1"),
    ("folds over rows", {"cv": 50}, ValueError, "n_splits=50"),
    ("cv of KFold", {"cv": KFold(41)}, ValueError, "n_splits=41"),
    ("cv word", {"cv": "x"}, ValueError, "Expected `?cv`? as an integer.* Got x"),
    ("cv real", {"cv": 2.5}, ValueError, "Expected `?cv`? as an integer.* Got 2.5"),
    ("fold of one class", {"cv": [(np.arange(0, 40, 4), [1])]}, ValueError, "2 classes, got 1 cl"),
    ("test", {"test": X}, ValueError, r"`test` must be a pair \(X_test, y_test\)"),
    ("test of three", {"test": (X, Y, Y)}, ValueError, r"`test` must be a pair \(X_test, y_test\)"),
    ("test number", {"test": 3}, ValueError, r"`test` must be a pair \(X_test, y_test\)"),
    ("test short", {"test": (X, Y[:3])}, ValueError, "inconsistent numbers of samples"),
    ("test features", {"test": (NARROW, Y)}, ValueError, "X has 3 features"),
    ("test images", {"test": (IMAGES, Y)}, ValueError, r"rows of shape \(6,\)"),
    ("test NaN", {"test": (HOLED[NAN], Y)}, ValueError, "contains NaN"),
    ("test words", {"test": (X, Y.astype(str))}, ValueError, "Mix of label input types"),
    ("error_score word", {"error_score": "x"}, TypeError, "`error_score` must be a real number"),
    ("error_score inf", {"error_score": INF}, ValueError, "`error_score` must be finite, got inf"),
    ("error_score None", {"error_score": None}, TypeError, "`error_score` must be a real number"),
    ("scoring", {"scoring": "nonsense"}, ValueError, "nonsense"),
    ("scoring breaks", {"scoring": lambda *_: 1 / 0}, ValueError, "All 2 fits .*ZeroDivisionError"),
    ("n_jobs", {"n_jobs": 0}, ValueError, "n_jobs == 0"),
    ("memory", {"memory": 3}, ValueError, "'memory' should be None, a string"),
    ("memory of others", {"memory": Cache()}, TypeError, "`memory` must be a path, a joblib.Memo"),
    ("X NaN", {"X": HOLED[NAN]}, ValueError, "All 2 fits .*contains NaN"),
    ("X one axis", {"X": X[:, 0]}, ValueError, "Expected 2D array, got 1D array"),
    ("X None", {"X": None}, TypeError, "Expected sequence or array-like, got .*NoneType"),
    ("y short", {"y": Y[:3]}, ValueError, "inconsistent numbers of samples"),
    ("y None", {"y": None}, ValueError, "y must be given"),
    ("y continuous", {"y": X[:, 0]}, ValueError, "Unknown label type: continuous"),
    ("y of one class", {"y": np.zeros(40)}, ValueError, "at least 2 classes, got 1 class"),
    ("y of two columns", {"y": np.stack([Y, Y], 1)}, ValueError, "1d array"),
    ("no rows", {"X": X[:0], "y": Y[:0]}, ValueError, "at least 2 classes, got 0"),
    ("class", {"estimator": NetClassifier}, TypeError, "instance of .* instead of a class"),
    (
        "not an estimator",
        {"estimator": "net"},
        (TypeError, ValueError),
        "'estimator' parameter .* must be an object implementing 'fit'",
    ),
    (
        "early stopping without",
        {**LINEAR, "early_stop_on": "held-out"},
        ValueError,
        "`early_stop_on` must be 'fraction' for .* `X_val`, got 'held-out' with LogisticRegression",
    ),
    (
        "early stopping in a pipeline",
        {
            "estimator": make_pipeline(StandardScaler(), stopping()),
            "param_name": "netclassifier__lr",
            "early_stop_on": "held-out",
        },
        ValueError,
        "`early_stop_on` must be 'fraction' for .* with Pipeline",
    ),
    (
        "early stopping not set",
        {"early_stop_on": "held-out"},
        ValueError,
        "`X_val` must come with `early_stopping=True`",
    ),
    ("attack", {"attacks": {"a": flip(2)}}, ValueError, "All 2 fits .*`rate` must be <= 1, got 2"),
    (
        "attack, raised",
        {"attacks": {"clean": None, "a": flip(2)}, "error_score": "raise"},
        ValueError,
        "^`rate` must be <= 1, got 2",
    ),
    (
        "attack breaks",
        {"attacks": {"a": NoPoison(clip=None)}},
        ValueError,
        "All 2 fits of the study failed.*ZeroDivisionError: the attack broke",
    ),
    (
        "attack breaks, raised",
        {"attacks": {"a": NoLabels()}, "error_score": "raise", "poison": "dataset"},
        ZeroDivisionError,
        "^the attack broke",
    ),
    (
        "estimator breaks",
        {**LINEAR, "estimator": NoFit(), "param_range": [1.0]},
        ValueError,
        "All 2 fits of the study failed.*ZeroDivisionError: the estimator broke",
    ),
    (
        "X outside clip",
        {"X": keep(X * 9), "attacks": {"a": noise()}},
        ValueError,
        r"X must lie inside `clip` = \(0.0, 1.0\)",
    ),
    (
        "frozen",
        {"estimator": FrozenEstimator(FITTED), "param_name": "estimator__lr"},
        ValueError,
        "`param_name` must be a parameter of `estimator`: .*frozen",
    ),
]:
    refuse(f"study: {name}", lambda k=kwargs: study(**k), error, words)
for name, kwargs, error, words in [
    ("name", {"param_name": "width"}, ValueError, "Invalid parameter 'width'"),
    ("cv", {"cv": 50}, ValueError, "n_splits=50"),
    ("short y", {"y": Y[:3]}, ValueError, "inconsistent numbers of samples"),
    ("scoring", {"scoring": "nonsense"}, ValueError, "nonsense"),
    (
        "raised",
        {"param_name": "lr", "param_range": [-1.0], "error_score": "raise"},
        ValueError,
        "`lr` must be >= 0",
    ),
    ("estimator", {"estimator": 3}, (TypeError, ValueError), "Got 3|estimator"),
]:
    refuse(
        f"validation_curve: {name}", lambda k=kwargs: study(run=validation_curve, **k), error, words
    )
refuse(
    "display: attacks",
    lambda: study(run=RobustnessCurveDisplay.from_estimator, attacks={}),
    ValueError,
    "`attacks` must be a non-empty dict",
)
refuse(
    "display: unknown",
    lambda: study(run=RobustnessCurveDisplay.from_estimator, splits=3),
    TypeError,
    "unexpected keyword argument 'splits'",
)
for name, kwargs, error, words in [
    ("no attack", {"attack": None}, ValueError, "`budget_name` must be a parameter of `attack`"),
    ("budget_name", {"budget_name": "budget"}, ValueError, "`budget_name` must be .*'budget'"),
    ("no X", {"X": None}, TypeError, "Expected sequence or array-like, got .*NoneType"),
    ("no y", {"y": None}, ValueError, "y must be given"),
    ("short y", {"y": Y[:3]}, ValueError, "inconsistent numbers of samples"),
    ("no max_budget", {"max_budget": None}, TypeError, "`max_budget` must be a real number, got N"),
    ("rate", {"max_budget": 2.0}, ValueError, "`rate` must be <= 1, got 2.0"),
    ("study", {"splits": 3}, TypeError, "unexpected keyword argument 'splits'"),
    ("curve and data", {"estimator": curve()}, ValueError, "a curve must be given alone"),
]:
    refuse(f"breaking_point: {name}", lambda k=kwargs: broken(**k), error, words)
for name, kwargs, words in [
    ("names", {"a": np.zeros((2, 4))}, r"named by their budgets .*\['a'\]"),
    ("negative", {"-1": np.zeros((2, 4))}, r"budgets >= 0 .*\['-1'\]"),
    (
        "twice",
        {n: np.zeros((2, 4)) for n in ("0", "0.0")},
        r"different budgets, got \['0', '0.0'\]",
    ),
    ("no clean", {"0.5": np.zeros((2, 4))}, r"must have an attack '0', .*\['0.5'\]"),
]:
    of_budgets = curve(scores=kwargs)
    refuse(
        f"breaking_point of a curve: {name}",
        lambda c=of_budgets: breaking_point(c, value=1),
        ValueError,
        words,
    )
    refuse(
        f"map of a curve: {name}",
        lambda c=of_budgets: BudgetHeatmapDisplay.from_curve(c),
        ValueError,
        words,
    )
refuse("breaking_point: value", lambda: breaking_point(curve()), ValueError, "`value` must be one")
for name, kwargs, error, words in [
    ("attack", {"attack": None}, ValueError, "`budget_name` must be a parameter of `attack`"),
    ("budget_name", {"budget_name": "x"}, ValueError, "`budget_name` must be a parameter .*'x'"),
    ("budgets", {"budgets": [-1.0]}, ValueError, "`budgets` must be >= 0, got -1.0"),
    ("budget word", {"budgets": ["a"]}, TypeError, "`budgets` must be a real number, got 'a'"),
    ("a budget", {"budgets": 0.1}, TypeError, "`budgets` must be numbers, one or more, got 0.1"),
    ("unknown", {"splits": 3}, TypeError, "unexpected keyword argument 'splits'"),
]:
    refuse(f"map: {name}", lambda k=kwargs: mapped(**k), error, words)
for display in (RobustnessCurveDisplay, BudgetHeatmapDisplay):
    refuse(
        f"{display.__name__} of several metrics",
        lambda d=display: d.from_curve({"accuracy": curve()}),
        TypeError,
        "`curve` must be a RobustnessCurve .*, got an instance of dict",
    )
refuse(
    "check_attack of a class",
    lambda: check_attack(LabelFlip),
    TypeError,
    "`attack` must be an instance, or a function .*, got .*LabelFlip",
)
FITTED_PARTED, FITTED_TRIMMED = parted().fit(X, Y), trimmed().fit(X, Y)
for name, model in {"parted": FITTED_PARTED, "trimmed": FITTED_TRIMMED}.items():
    for method in ("predict", "predict_proba", "certify", "votes"):
        if not hasattr(model, method):
            continue
        call = getattr(model, method)
        refuse(f"{name}.{method}: NaN", lambda c=call: c(HOLED[NAN]), ValueError, "contains NaN")
        refuse(f"{name}.{method}: narrow", lambda c=call: c(NARROW), ValueError, "X has 3 features")
        refuse(
            f"{name}.{method}: images", lambda c=call: c(IMAGES), ValueError, r"rows of shape \(6,"
        )
        unfitted = getattr(clone(model), method)
        refuse(f"{name}.{method}: unfitted", lambda c=unfitted: c(X), NotFittedError, "not fitted")
NORMS = PerturbationNormDisplay
refuse("norms: class", lambda: NORMS.from_estimator(RandomNoise, X, Y), TypeError, "of a class")
refuse("norms: X", lambda: NORMS.from_estimator(noise(), X * 9, Y), ValueError, "X must lie inside")
refuse("load: no JSON", lambda: RobustnessCurve.load(__file__), ValueError, "must hold a Robustn")
refuse("load: no file", lambda: RobustnessCurve.load("/no/such"), FileNotFoundError, "/no/such")
refuse("load: None", lambda: RobustnessCurve.load(None), ValueError, "None must hold a Robustness")
refuse("save: no folder", lambda: curve().save("/no/such/file"), FileNotFoundError, "/no/such")
refuse(
    "save: no form",
    lambda: curve(param_range=[LogisticRegression(), 2]).save("/no/such/file"),
    TypeError,
    "LogisticRegression is not JSON serializable",
)


def test_there_are_many_cases():
    names = [case.name for case in CASES]
    assert len(CASES) >= 150
    assert len(set(names)) == len(names)


def state_of_the_world():
    """What a call must leave as it was."""
    key, *numbers = np.random.get_state()[1:]  # noqa: NPY002
    return {
        "arrays": [array.tobytes() for array in KEPT],
        "frame": FRAME.to_numpy().tobytes(),
        "numpy's generator": (key.tobytes(), numbers),
        "python's generator": random.getstate(),
        "torch's generator": torch.get_rng_state().numpy().tobytes(),
        "torch's threads": torch.get_num_threads(),
        "torch's gradients": torch.is_grad_enabled(),
        "numpy's errors": np.geterr(),
        "open figures": plt.get_fignums(),
    }


@contextmanager
def torch_threads(number):
    """More than one, so that a call that leaves one thread behind is seen."""
    before = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_bad_input_is_refused(case):
    # Two threads are slow where other work has the cores; only studies set their number.
    with torch_threads(2 if case.name.startswith("study") else 1), warnings.catch_warnings():
        # Some surrogates warn that they have not converged on noise.
        warnings.simplefilter("ignore")
        before = state_of_the_world()
        with pytest.raises(case.error, match=f"(?s){case.words}"):
            case.call()
        assert state_of_the_world() == before


@pytest.mark.parametrize(
    "text", ["", "[1]", "{}", "null", '{"format": "skpoison.RobustnessCurve"}']
)
def test_files_that_hold_no_curve(text, tmp_path):
    path = tmp_path / "curve.json"
    path.write_text(text)
    with pytest.raises(ValueError, match=r"curve\.json must hold a RobustnessCurve in JSON"):
        RobustnessCurve.load(path)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"version": 1', '"version": 2'),
        ('"n_splits": 4', '"n_splits": 0'),
        ('"n_splits": 4', '"n_splits": "4"'),
        ('"n_splits": 4', '"n_splits": -4'),
        ('"n_splits": 4', '"n_folds": 4'),
        ('"param_name": "width"', '"param_name": 3'),
        ('"test_train_ratio": 0.25', '"test_train_ratio": NaN'),
        ('"test_train_ratio": 0.25', '"test_train_ratio": -1'),
        ('"a": [', '"b": ['),
        (
            "0.0,",
            "",
        ),
        ("0.0,", '"x",'),
    ],
)
def test_files_of_a_damaged_curve(old, new, tmp_path):
    path = tmp_path / "curve.json"
    curve().save(path)
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    with pytest.raises(ValueError, match="must hold a RobustnessCurve in JSON"):
        RobustnessCurve.load(path)


ESTIMATORS = {
    "pga": lambda **kwargs: pga(norm="l2,inf", budget=0.1, max_iter=5, **kwargs),
    "noise": noise,
    "flip": flip,
    "chosen": chosen,
    "match": match,
    "backdoor": backdoor,
    "chain": lambda: ChainedAttack([flip()]),
    "net": net,
    "poisoned": lambda: PoisonedClassifier(net(), flip()),
    "clean": lambda: PoisonedClassifier(net()),
    "parted": parted,
    "trimmed": trimmed,
}


@pytest.mark.parametrize("name", ESTIMATORS)
def test_a_failed_fit_leaves_nothing_half_done(name):
    # Fails if attributes are set before the data are checked.
    estimator = ESTIMATORS[name]()
    with pytest.raises(ValueError, match="NaN"):
        estimator.fit(HOLED[NAN], Y)
    with pytest.raises(NotFittedError):
        check_is_fitted(estimator)
    for method in ("predict", "predict_proba", "transform"):
        if hasattr(estimator, method):
            with pytest.raises(NotFittedError):
                getattr(estimator, method)(X)


@pytest.mark.parametrize(
    "estimator",
    [
        pga(budget=-1),
        pga(loss="hinge"),
        pga(clip=(1, 0)),
        noise(norm="l1"),
        flip(2),
        flip(transition=np.eye(4) * 0.9),
        ChainedAttack([]),
        net(lr=-1),
        net(module__depth=0),
        net(module__witdh=1),
        net(classes=[0, 1]),
        net(module=MnistConvNet),
        PoisonedClassifier(net(lr=-1), flip()),
        PoisonedClassifier(net(), flip(2)),
        PoisonedClassifier(NoFit()),
        parted(0),
        parted(estimator=net(lr=-1)),
        parted(estimator=NoFit()),
        trimmed(1.0),
        trimmed(estimator=NoFit()),
    ],
    ids=lambda estimator: type(estimator).__name__,
)
def test_a_fit_with_bad_parameters_leaves_nothing_half_done(estimator):
    with pytest.raises((ValueError, TypeError, ZeroDivisionError)):
        estimator.fit(X, Y)
    with pytest.raises(NotFittedError):
        check_is_fitted(estimator)


@pytest.mark.parametrize(
    ("X_val", "y_val"), [(X[:4], Y[:4] + 9), (NARROW, Y), (HOLED[NAN], Y), (X, Y[:3])]
)
def test_bad_validation_data_leave_a_net_unfitted(X_val, y_val):
    estimator = stopping()
    with pytest.raises(ValueError, match=r"y must|features|NaN"):
        estimator.fit(X, Y, X_val=X_val, y_val=y_val)
    with pytest.raises(NotFittedError):
        check_is_fitted(estimator)


REFUSED = r"NaN|y must|continuous|strings|0 sample|features|Expected 2D"


BAD_DATA = {
    "NaN": (HOLED[NAN], Y),
    "short y": (X, Y[:3]),
    "no y": (X, None),
    "one class": (X, np.zeros(40)),
    "continuous": (X, X[:, 0]),
    "words": (X.astype(str), Y),
    "empty": (X[:0], Y[:0]),
    "one axis": (X[:, 0], Y),
}
# A PartitionEnsemble takes one class: a partition may have one.
REFUSING = [(n, bad) for n in ESTIMATORS for bad in BAD_DATA if (n, bad) != ("parted", "one class")]


@pytest.mark.parametrize(("name", "bad"), REFUSING)
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_what_is_fitted_survives_bad_data(name, bad):
    estimator = ESTIMATORS[name]().fit(X, Y)
    before = what_was_learned(estimator)
    with pytest.raises(ValueError, match=REFUSED):
        estimator.fit(*BAD_DATA[bad])
    assert what_was_learned(estimator) == before


@pytest.mark.parametrize("bad", [(HOLED[NAN], Y), (X, Y[:3]), (X, Y + 1), (NARROW, Y), (X[:0], [])])
def test_a_fitted_net_survives_bad_rows_in_partial_fit(bad):
    estimator = net().fit(X, Y)
    before = what_was_learned(estimator)
    with pytest.raises(ValueError, match=REFUSED):
        estimator.partial_fit(*bad)
    assert what_was_learned(estimator) == before


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("lr", -1),
        ("lr", NAN),
        ("max_epochs", 0),
        ("batch_size", "a"),
        ("validation_fraction", 2),
        ("early_stopping", "x"),
        ("n_iter_no_change", 0),
        ("module", INSTANCE),
        ("drop_last", None),
    ],
)
def test_a_fitted_net_survives_bad_parameters(name, value):
    estimator = net().fit(X, Y)
    before = what_was_learned(estimator)
    good = getattr(estimator, name)
    # Past set_params, which makes the components anew.
    setattr(estimator, name, value)
    with pytest.raises((ValueError, TypeError), match=f"`{name}` must "):
        estimator.fit(X, Y)
    setattr(estimator, name, good)
    assert what_was_learned(estimator) == before


def what_was_learned(estimator):
    learned = [estimator.classes_.tolist(), estimator.n_features_in_]
    for name in ("predict_proba", "transform"):
        if hasattr(estimator, name):
            learned.append(getattr(estimator, name)(X).tobytes())
    for name in ("poison_indices_", "perturbation_norms_"):
        if hasattr(estimator, name):
            learned.append(getattr(estimator, name).tobytes())
    return learned


def test_nullable_and_categorical_columns_are_taken():
    frame = pd.DataFrame({"a": pd.array([1, 2, 3, 4], "Int64"), "b": [0.1, 0.2, 0.3, 0.4]})
    y = pd.Series(["u", "v", "u", "v"], dtype="category", index=[9, 8, 7, 6])
    X_poisoned, y_poisoned = LabelFlip(1.0).poison(frame, y)
    assert y_poisoned.tolist() == ["v", "u", "v", "u"]
    assert X_poisoned.columns.tolist() == ["a", "b"]


@pytest.mark.parametrize(
    ("call", "count"),
    [
        (lambda: flip(np.float32(1)).poison(X, Y)[1] != Y, 40),
        (lambda: flip(np.int64(1)).poison(X, Y)[1] != Y, 40),
        (lambda: flip(0.5, sampling="exact").poison(X, Y)[1] != Y, 20),
        (lambda: flip(5e-324).poison(X, Y)[1] != Y, 0),
        (lambda: noise(budget=np.float16(0.25)).poison(X, Y)[0].max(axis=1) > 0, 40),
        (lambda: noise(budget=np.int64(0)).poison(X, Y)[0].min(axis=1) != X.min(axis=1), 0),
        (lambda: noise(clip=np.array([0, 1])).poison(X, Y)[0].max(axis=1) <= 1, 40),
        (lambda: pga(max_iter=np.int64(1), budget=0.0).poison(X, Y)[0][:, 0] != X[:, 0], 0),
        (lambda: net(max_epochs=np.int64(2), lr=np.float32(0.1)).fit(X, Y).predict(X) >= 0, 40),
        (lambda: flip(random_state=np.random.RandomState(0)).poison(X, Y)[0][:, 0] == X[:, 0], 40),
        (lambda: flip().poison(X, Y.astype(np.uint64) + 2**63)[1] >= 2**63, 40),
        (lambda: flip(1.0).poison(X, np.array(["a", "bb", "ccc", "dddd"])[Y])[1] == "dddd", 10),
        (lambda: flip(1.0).poison(X, tuple(Y.tolist()))[1] != Y, 40),
        (lambda: flip(1.0).poison(X, Y.astype(np.float16))[1] != Y, 40),
    ],
)
def test_odd_but_good_values_are_taken(call, count):
    assert np.count_nonzero(call()) == count


def test_values_of_a_study_may_come_from_a_generator():
    found = study(param_range=(width for width in (2, np.int64(3))))
    assert found.param_range == [2, 3]
    assert all(type(width) is int for width in found.param_range)
