"""What studies, their results and displays refuse, and in which words."""

import functools

import numpy as np
import pytest
from matplotlib import pyplot as plt
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import KFold
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC

from makers import (
    HOLED,
    IMAGES,
    INF,
    NAN,
    NARROW,
    NoFit,
    NoLabels,
    NoPoison,
    X,
    Y,
    flip,
    keep,
    net,
    noise,
    stopping,
    study,
)
from refusals import BAD_X, UNREAD_X, Refusals, check_refused
from skpoison import (
    BudgetHeatmapDisplay,
    LabelFlip,
    NetClassifier,
    PerturbationNormDisplay,
    PoisonedClassifier,
    RandomNoise,
    RobustnessCurve,
    RobustnessCurveDisplay,
    RobustnessCurves,
    breaking_point,
)
from skpoison.study import corrected_interval, validation_curve


def broken(X=X, y=Y, **kwargs):
    kwargs = {"attack": flip(), "budget_name": "rate", "max_budget": 0.5, "cv": 2, **kwargs}
    kwargs = {"estimator": LogisticRegression(), "random_state": 0, **kwargs}
    return breaking_point(kwargs.pop("estimator"), X, y, **kwargs)


def mapped(**kwargs):
    kwargs = {"attack": flip(), "budgets": [0.1], "budget_name": "rate", "cv": 2, **kwargs}
    kwargs = {"param_name": "C", "param_range": [1.0], "random_state": 0, **kwargs}
    return BudgetHeatmapDisplay.from_estimator(LogisticRegression(), X, Y, **kwargs)


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


class Cache:
    """What scikit-learn takes for a joblib.Memory, and a study cannot write to."""

    def cache(self, function):
        return function


TABLE = Refusals()
refuse, refuse_each = TABLE.refuse, TABLE.refuse_each

# Numbers and choices: wrong kinds and wrong values.

TABLE.refuse_all_but_integers_from_1("study.n_repeats", lambda v: study(n_repeats=v))
TABLE.refuse_all_but_integers_from_1("broken.n_steps", lambda v: broken(n_steps=v))
TABLE.refuse_all_but_reals_between_0_and_1("u_shape.confidence", lambda v: curve().u_shape("a", v))
TABLE.refuse_all_but_reals_between_0_and_1("broken.confidence", lambda v: broken(confidence=v))
TABLE.refuse_all_but_seeds("study.random_state", lambda v: study(random_state=v))
TABLE.refuse_all_but_seeds("broken.random_state", lambda v: broken(random_state=v))
for name, call in {
    "broken.drop": lambda v: broken(drop=v),
    "broken.max_budget": lambda v: broken(max_budget=v),
    "mapped.drop": lambda v: mapped(drop=v),
}.items():
    word = name.partition(".")[2]
    refuse_each(name, call, [0, -1.0, np.float32(-1)], ValueError, f"`{word}` must be > 0.*, got ")
    refuse_each(name, call, [NAN, INF], ValueError, f"`{word}` must be finite, got {{}}")
    refuse_each(name, call, ["1", True], TypeError, f"`{word}` must be a real number, got {{}}")
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

# PoisonedClassifier.

for value in (3, "flip", LabelFlip, LogisticRegression(), [LabelFlip()]):
    refuse(
        f"poisoned.attack={value!r}"[:40],
        lambda v=value: PoisonedClassifier(net(), v).fit(X, Y),
        TypeError,
        "`attack` must have a method `poison`, or be None, got ",
    )

TABLE.refuse_bad_data(
    "poisoned",
    lambda X, y: PoisonedClassifier(net(), flip()).fit(X, y),
    bad_x=BAD_X | UNREAD_X,  # What the flips take, the net refuses.
)
TABLE.refuse_bad_data("clean", lambda X, y: PoisonedClassifier(net()).fit(X, y))


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
        {**LINEAR, "test": (X, Y), "early_stop_on": "held-out"},
        ValueError,
        "`early_stop_on` must be 'fraction' for .* `X_val`, got 'held-out' with LogisticRegression",
    ),
    (
        "early stopping in a pipeline",
        {
            "estimator": make_pipeline(StandardScaler(), stopping()),
            "param_name": "netclassifier__lr",
            "test": (X, Y),
            "early_stop_on": "held-out",
        },
        ValueError,
        "`early_stop_on` must be 'fraction' for .* with Pipeline",
    ),
    (
        "early stopping without test",
        {"early_stop_on": "held-out"},
        ValueError,
        "`test` must be given with early_stop_on='held-out', got None",
    ),
    (
        "early stopping not set",
        {"test": (X, Y), "early_stop_on": "held-out"},
        ValueError,
        "`X_val` must come with `early_stopping=True`",
    ),
    (
        "attack",
        {"attacks": {"a": flip(2)}},
        ValueError,
        "The attack .a. failed .*`rate` must be <= 1, got 2",
    ),
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
        "The attack 'a' failed each time .*2 times:\nZeroDivisionError: the attack broke",
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
        {"estimator": FrozenEstimator(net().fit(X, Y)), "param_name": "estimator__lr"},
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
    ("no strength", {"attack": NoPoison}, ValueError, "`budget_name` must be a parameter of `at"),
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
for name, arguments, error, words in [
    ("shape", ([[0.1, 0.2]], 0.25), ValueError, "`differences` must be finite numbers of shape"),
    ("NaN", ([0.1, NAN], 0.25), ValueError, "`differences` must be finite numbers of shape"),
    ("ratio", ([0.1, 0.2], -1), ValueError, "`test_train_ratio` must be >= 0, got -1"),
]:
    refuse(f"interval: {name}", lambda a=arguments: corrected_interval(*a), error, words)
refuse(
    "interval: confidence",
    lambda: corrected_interval([0.1, 0.2], 0.25, confidence=1.0),
    ValueError,
    "`confidence` must lie between 0 and 1, got 1.0",
)
NORMS = PerturbationNormDisplay
refuse("norms: class", lambda: NORMS.from_estimator(RandomNoise, X, Y), TypeError, "of a class")
refuse("norms: X", lambda: NORMS.from_estimator(noise(), X * 9, Y), ValueError, "X must lie inside")
refuse("load: no JSON", lambda: RobustnessCurve.load(__file__), ValueError, "must hold a Robustn")
refuse("load: no file", lambda: RobustnessCurve.load("/no/such"), FileNotFoundError, "/no/such")
refuse("load: None", lambda: RobustnessCurve.load(None), ValueError, "None must hold a Robustness")
refuse("save: no folder", lambda: curve().save("/no/such/file"), FileNotFoundError, "/no/such")


# Several victims, and strengths.

TWO = {"a": LogisticRegression(), "b": GaussianNB()}


def victims(estimator=None, **kwargs):
    kwargs = {"param_name": None, "param_range": None, **kwargs}
    return study(TWO if estimator is None else estimator, **kwargs)


def strengths(param_range, **kwargs):
    kwargs = {"attacks": {"clean": None, "flips": flip()}, **kwargs}
    return victims(param_name="strength", param_range=param_range, **kwargs)


refuse(
    "victims: none", lambda: victims({}), ValueError, "`estimator` must have at least one victim"
)
refuse(
    "victims: name", lambda: victims({1: net()}), TypeError, "`estimator` must have strings as ke"
)
refuse_each(
    "victims.estimator",
    lambda v: victims({"a": v}),
    [None, 3, LogisticRegression],
    TypeError,
    r"`estimator\['a'\]` must be a classifier, got {}",
)
for name, value in {
    "param_name": {"a": "C"},
    "param_range": {"a": [1], "b": [1], "c": [1]},
}.items():
    given = {"param_name": "C", "param_range": [1.0], name: value}
    refuse(
        f"victims.{name}: keys",
        lambda given=given: victims(**given),
        ValueError,
        rf"`{name}` must have an entry for each victim \(\['a', 'b'\]\), got \['a'",
    )
refuse(
    "victims.param_name: not of all",
    lambda: victims(param_name="C", param_range=[1.0]),
    ValueError,
    "`param_name` must be a parameter of the victim 'b': ",
)
refuse(
    "victims.param_range: none",
    lambda: victims(param_name={"a": "C", "b": None}, param_range={"a": [], "b": None}),
    ValueError,
    "`param_range` must have at least one value for the victim 'a', got none",
)
for name, given in {
    "param_range": {"param_name": "C"},
    "param_name": {"param_range": [1.0]},
}.items():
    refuse(
        f"victims.{name}: alone",
        lambda given=given: victims({"a": LogisticRegression()}, **given),
        TypeError,
        f"`{name}` must be .* for the victim 'a', got None",
    )
refuse(
    "study.param_range: dict", lambda: study(param_range={"a": [1]}), TypeError, "`param_range` mu"
)
refuse(
    "victims.early_stop_on",
    lambda: victims({"net": net(), "b": GaussianNB()}, early_stop_on="held-out", test=(X, Y)),
    ValueError,
    r"does not take `X_val`, got 'held-out' with GaussianNB \('b'\)",
)
refuse(
    "victims.params",
    lambda: victims({"a": GaussianNB(), "k": KNeighborsClassifier()}, params={"sample_weight": Y}),
    ValueError,
    r"got 'sample_weight', which the `fit` of the victim 'k' \(KNeighborsClassifier\) does not",
)
refuse(
    "victims.params: reserved",
    lambda: victims(params={"poison_indices": Y}),
    ValueError,
    r"`params` must not have \['poison_indices'\], which the study passes to scorers",
)
refuse_each(
    "strengths", strengths, [None, 3, "ab"], TypeError, "`param_range` must be an array-like"
)
refuse_each(
    "strengths: value", strengths, [[-0.1], [0, -1]], ValueError, "`param_range` must be >= 0"
)
refuse_each("strengths: kind", strengths, [["a"], [True]], TypeError, "must be a real number, got ")
refuse(
    "strengths: none", lambda: strengths([]), ValueError, "must have at least one value, got none"
)
refuse_each(
    "strengths: attacks",
    strengths,
    [{}, {"clean": [0]}, {"flips": [0], "x": [0]}],
    ValueError,
    r"`param_range` must have strengths for each attack \(\['flips'\]\), got ",
)
refuse(
    "strengths: lengths",
    lambda: strengths({"flips": [0, 0.1], "clean": [0]}),
    ValueError,
    "must have lists of equal length, got lengths {'flips': 2, 'clean': 1}",
)
refuse(
    "strengths: nameless",
    lambda: strengths([0.1], attacks={"labels": NoLabels()}),
    ValueError,
    r"`attacks\['labels'\]` must name the parameter that is its strength in `strength_name`",
)
refuse(
    "breaking point of several victims",
    lambda: breaking_point(RobustnessCurves({"a": curve()})),
    TypeError,
    r"got a dict: give one of its values, which are \['a'\]",
)
refuse(
    "strengths: a matrix has none",
    lambda: strengths([0.1], attacks={"labels": LabelFlip(transition=np.eye(2))}),
    ValueError,
    r"must name the parameter that is its strength in `strength_name` to be varied, got None",
)
for value in (None, [], {}, curve()):
    refuse(
        f"from_curves: {value!r}"[:30],
        lambda v=value: RobustnessCurveDisplay.from_curves(v),
        TypeError,
        "`curves` must be a non-empty dict of RobustnessCurves, got ",
    )
refuse(
    "from_curves: metrics",
    lambda: RobustnessCurveDisplay.from_curves({"accuracy": RobustnessCurves({"a": curve()})}),
    TypeError,
    "one value of the dict.*, got an instance of RobustnessCurves for 'accuracy'",
)
refuse(
    "loads: no JSON", lambda: RobustnessCurves.load(__file__), ValueError, "hold RobustnessCurves"
)
refuse("loads: no file", lambda: RobustnessCurves.load("/no/such"), FileNotFoundError, "/no/such")


@TABLE.each_case
def test_bad_input_is_refused(case):
    check_refused(case)


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
        ('"version": 4', '"version": 5'),
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
