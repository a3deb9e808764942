"""What attacks refuse, and in which words."""

import numpy as np
import scipy.sparse
import torch
from sklearn.base import BaseEstimator
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
from sklearn.tree import DecisionTreeClassifier

from makers import (
    DELTA,
    FRAME,
    HOLED,
    IMAGES,
    INF,
    INSTANCE,
    NAN,
    NARROW,
    NoFit,
    NoLabels,
    NoPoison,
    X,
    Y,
    backdoor,
    chosen,
    flip,
    keep,
    match,
    net,
    noise,
    pga,
)
from refusals import BAD_X, UNREAD_X, Refusals, check_refused
from skpoison import (
    MLP,
    ChainedAttack,
    LabelFlip,
    NetClassifier,
    PoisonedClassifier,
    project_l2inf,
    project_l21,
)


class Scorable(BaseEstimator):
    """A surrogate whose logits are not finite."""

    def fit(self, X, y):
        self.classes_ = np.unique(y)
        return self

    def logits(self, X):
        return X[:, :4] * NAN


TABLE = Refusals()
refuse, refuse_each = TABLE.refuse, TABLE.refuse_each

# Numbers: wrong kinds and wrong values.

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
}.items():
    TABLE.refuse_all_but_reals_from_0(name, call)
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
}.items():
    TABLE.refuse_all_but_integers_from_1(name, call)
for name, call in {
    "pga.random_state": lambda v: pga(random_state=v).fit(X, Y),
    "noise.random_state": lambda v: noise(random_state=v).fit(X, Y),
    "flip.random_state": lambda v: flip(random_state=v).fit(X, Y),
    "match.random_state": lambda v: match(random_state=v).fit(X, Y),
    "backdoor.random_state": lambda v: backdoor(random_state=v).fit(X, Y),
}.items():
    TABLE.refuse_all_but_seeds(name, call)

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

# The box.

for name, make in {"pga": pga, "noise": noise, "match": match}.items():
    for error, words, values in [
        (ValueError, "`clip` must have low < high, got ", [(1, 0), (0, 0), [1.0, -1.0]]),
        (
            ValueError,
            "`clip` must be None, 'range' or a pair .low, high., got ",
            [3, True, (0,), (0, 1, 2), "01", "std"],
        ),
        (ValueError, r"`clip\[1\]` must be finite, got", [(0, NAN), (0, INF)]),
        (ValueError, r"`clip\[0\]` must be finite, got -inf", [(-INF, 1)]),
        (TypeError, r"`clip\[0\]` must be a real number, got", [(None, 1), (True, 2)]),
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

# Data.

ATTACKS = {
    "pga": pga,
    "noise": noise,
    "flip": flip,
    "chosen": chosen,
    "match": match,
    "backdoor": backdoor,
    "chain": lambda: ChainedAttack([flip()]),
}
# Missing cells stay missing, and text stays where it is; a surrogate may take neither.
HOLES = ("NaN", "images with NaN", "frame with NA")
BAD_CELLS = {what: case for what, case in BAD_X.items() if what not in HOLES}
BAD_X_OF = {
    **dict.fromkeys(("flip", "chosen", "chain"), UNREAD_X),
    "noise": {what: case for what, case in BAD_CELLS.items() if what != "frame of words"},
    "backdoor": BAD_CELLS,
    # Its targets are no images.
    "match": {what: case for what, case in BAD_X.items() if what != "images with NaN"},
}
for name, make in ATTACKS.items():
    bad_x = BAD_X_OF.get(name, BAD_X)
    TABLE.refuse_bad_data(name, lambda X, y, m=make: m().poison(X, y), bad_x=bad_x)
TABLE.refuse_bad_data("pga.fit_transform", lambda X, y: pga().fit_transform(X, y))
TABLE.refuse_bad_data("flip.fit_resample", lambda X, y: flip().fit_resample(X, y), bad_x=UNREAD_X)
# What an attack on labels hands on, its surrogate may refuse.
for what in ("NaN", "inf", "one axis", "words", "objects", "complex", "frame of words"):
    value, error, words = BAD_X[what]
    refuse(f"chosen: X {what}", lambda v=value: chosen().poison(v, Y), error, words)
for name, make in {"pga": pga, "noise": noise, "match": match, "backdoor": backdoor}.items():
    refuse(
        f"{name}: advice for sparse X",
        lambda m=make: m().poison(scipy.sparse.csr_array(X), Y),
        TypeError,
        r"X must be dense for \w+, got a sparse csr_array: use `X.toarray\(\)`, or .* on labels",
    )

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
    "pipeline": make_pipeline(StandardScaler(), DecisionTreeClassifier()),
    "search": GridSearchCV(LogisticRegression(), {"C": [1.0]}, cv=2),
    "transformer": StandardScaler(),
    "attack": LabelFlip(random_state=0),
    "poisoned": PoisonedClassifier(LogisticRegression()),
}.items():
    refuse(
        f"surrogate: {name}",
        lambda s=surrogate: pga(s).fit(X, Y),
        TypeError,
        r"`surrogate` must have gradients: a NetClassifier .* or a linear .* in one, got \w+$",
    )
for surrogate in (None, "lr", 3, LogisticRegression, NetClassifier, MLP, INSTANCE):
    refuse(
        f"surrogate: {surrogate}"[:50],
        lambda s=surrogate: pga(s).fit(X, Y),
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
    refuse(f"surrogate: {name}", lambda s=surrogate: pga(s).fit(X, Y), error, words)

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
for what in ("no rows", "one axis", "sparse array", "words"):
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


@TABLE.each_case
def test_bad_input_is_refused(case):
    check_refused(case)
