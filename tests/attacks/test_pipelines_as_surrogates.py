"""A surrogate may be a Pipeline: its gradients reach the raw columns; unknown steps are refused."""

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from sklearn.base import clone
from sklearn.compose import ColumnTransformer, make_column_selector, make_column_transformer
from sklearn.ensemble import RandomForestClassifier
from sklearn.feature_selection import SelectKBest
from sklearn.frozen import FrozenEstimator
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, RidgeClassifier
from sklearn.pipeline import FeatureUnion, Pipeline, make_pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    MaxAbsScaler,
    MinMaxScaler,
    OneHotEncoder,
    OrdinalEncoder,
    PolynomialFeatures,
    RobustScaler,
    StandardScaler,
)

from skpoison import MLP, CleanLabelPGA, GradientMatching, NetClassifier, RandomNoise
from skpoison.attacks._ascent import Objective
from skpoison.attacks._cells import cells_of
from skpoison.attacks._fitted_surrogate import FittedSurrogate
from tables import table

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

RNG = np.random.default_rng(0)
N = 60
FRAME = pd.DataFrame(
    {
        "who": RNG.choice(["ann", "bob", "cy"], N),
        "kg": 900 + 200 * RNG.standard_normal(N),
        "m": np.where(RNG.random(N) < 0.2, np.nan, RNG.random(N)),
        "age": RNG.integers(20, 60, N),
        "code": RNG.integers(0, 3, N),
        "empty": np.nan,
    }
)
SCORE = (FRAME["kg"] - 900) / 200 + FRAME["m"].fillna(0.5) + (FRAME["who"] == "bob")
Y = np.where(SCORE > SCORE.median(), "yes", "no")
LINEAR = LogisticRegression()
NET = NetClassifier(MLP, module__width=6, max_epochs=3, random_state=0)
ENCODED = ("who", OneHotEncoder(), ["who"])
# Names to the steps before the model, and to the columns whose logits must not move.
STEPS = {
    "columns": (
        ColumnTransformer(
            [
                ENCODED,
                ("n", make_pipeline(SimpleImputer(), StandardScaler()), ["m", "kg"]),
                ("rest", RobustScaler(), [3]),
                ("codes", OneHotEncoder(), ["code"]),
            ]
        ),
        ["code"],
    ),
    "remainder": (
        ColumnTransformer(
            [ENCODED, ("dropped", "drop", ["empty", "code"])],
            remainder=make_pipeline(SimpleImputer(add_indicator=True), MinMaxScaler()),
        ),
        ["code"],
    ),
    "twice": (
        # "age" is scaled by one step and encoded by another; "kg" gives two features.
        ColumnTransformer(
            [
                ("scaled", MaxAbsScaler(), ["age", "kg"]),
                ("coded", OrdinalEncoder(), ["age", "who"]),
                ("again", MinMaxScaler((-2, 2)), make_column_selector("kg")),
                ("slice", SimpleImputer(strategy="median"), slice("m", "age")),
            ],
            sparse_threshold=0,
        ),
        ["age", "code"],
    ),
    "nested": (
        make_pipeline(
            "passthrough",
            ColumnTransformer(
                [("all", make_pipeline(FunctionTransformer(), SimpleImputer()), [1, 2, 3])],
            ).set_output(transform="pandas"),
            FunctionTransformer(),
            ColumnTransformer([("x", StandardScaler(), [1, 0])], remainder="drop"),
            StandardScaler(with_mean=False),
        ),
        ["age", "code"],
    ),
    "other names": (
        ColumnTransformer(
            [
                ("n", make_pipeline(SimpleImputer(), StandardScaler()), pd.Index(["m", "kg"])),
                ("tuple", FrozenEstimator(StandardScaler().fit(FRAME[["age"]])), ("age",)),
            ],
            transformer_weights={"n": 3.0},
        ),
        ["code"],
    ),
    "empty columns": (
        ColumnTransformer([("n", SimpleImputer(), ["empty", "kg", "m"])]),
        ["age", "code"],
    ),
}


def on(frame, surrogate, y=Y, **kwargs):
    attack = RandomNoise(clip=None)
    options = {"columns": None, "clip": None, "scale": "std", **kwargs}
    cells = cells_of(attack, frame, **options)
    return cells, FittedSurrogate(surrogate, cells, y, np.random.RandomState(0))


@pytest.mark.filterwarnings("ignore:Skipping features without any observed values")
@pytest.mark.parametrize("name", STEPS)
@pytest.mark.parametrize("model", [LINEAR, NET, RidgeClassifier()])
def test_gradients_are_those_of_the_whole_pipeline(name, model):
    # Fails if a feature is matched with another column, a slope or a unit is wrong, or a missing
    # cell or a code moves.
    steps, still = STEPS[name]
    cells, surrogate = on(FRAME, make_pipeline(clone(steps), clone(model)))
    logits = surrogate.on(cells)
    start = logits.start.clone().requires_grad_()
    weights = torch.tensor(RNG.standard_normal(N))
    out = logits(start, slice(0, N))
    (gradient,) = torch.autograd.grad((weights * (out[:, 1] - out[:, 0])).sum(), start)
    gradient = gradient.numpy()
    names = [FRAME.columns[place] for place in cells.places]
    assert not gradient[:, [names.index(column) for column in still]].any()
    assert not gradient[cells.missing].any()
    fitted, found = surrogate.estimator, []
    step = 1e-2 if model is NET else 1e-4

    def score(frame):
        if model is not NET:
            return fitted.decision_function(frame)
        rows = torch.tensor(np.asarray(fitted[:-1].transform(frame), dtype=np.float64))
        with torch.no_grad():
            own = fitted[-1].logits(rows).double().numpy()
        return own[:, 1] - own[:, 0]

    free = [column for column in names if column not in still]
    for i in (names.index(column) for column in free):
        sides = []
        for sign in (1, -1):
            frame = FRAME.copy()
            frame[names[i]] = frame[names[i]] + sign * step * cells.scale[i]
            sides.append(score(frame))
        slopes = weights.numpy() * (sides[0] - sides[1]) / (2 * step)
        found.append(np.where(cells.missing[:, i], 0, slopes))
    expected = gradient[:, [names.index(column) for column in free]]
    size = np.abs(expected).max()
    if model is NET:  # Single precision, and kinks between the two sides.
        close = np.isclose(np.array(found).T, expected, rtol=0.02, atol=0.02 * size)
        assert close.mean() > 0.9
    else:
        np.testing.assert_allclose(np.array(found).T, expected, rtol=1e-5, atol=1e-6 * size)


@pytest.mark.filterwarnings("ignore:Skipping features without any observed values")
@pytest.mark.parametrize("name", STEPS)
@pytest.mark.parametrize("labels", [Y, FRAME["code"].to_numpy()], ids=["two", "three"])
def test_the_closed_form_of_a_linear_pipeline_is_its_gradient(name, labels):
    # Fails if a row's own constant is another row's, or a missing cell moves.
    cells, surrogate = on(FRAME, make_pipeline(clone(STEPS[name][0]), LINEAR), labels)
    logits = surrogate.on(cells)
    closed = surrogate.objective(logits, "negated")
    auto = Objective(logits, "negated", torch.tensor(surrogate.codes))
    assert type(closed) is not Objective
    for part in (slice(5, 40), np.array([3, 1, 50])):
        position = logits.start[part] + torch.tensor(RNG.standard_normal(len(FRAME)))[part, None]
        if cells.missing is not None:
            position = torch.where(torch.tensor(cells.missing[part]), logits.start[part], position)
        for own, expected in zip(
            closed.gradient(position, part), auto.gradient(position, part), strict=True
        ):
            torch.testing.assert_close(own, expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("container", ["pandas", "nullable", "pyarrow", "polars"])
def test_a_mixed_table_is_attacked_in_every_library(container):
    # Fails if the Pipeline gets an array without names, or the poisoned table cannot train it.
    X, y = table(container, "mixed")
    encoding = ColumnTransformer(
        [
            ("n", make_pipeline(SimpleImputer(), StandardScaler()), ["length", "width", "count"]),
            ("t", OneHotEncoder(), ["place"]),
        ]
    )
    surrogate = make_pipeline(encoding, LINEAR)
    poisoned = []
    for model in (surrogate, FrozenEstimator(clone(surrogate).fit(X, y))):
        attack = CleanLabelPGA(
            model, norm="l2,inf", budget=0.5, scale="std", clip=None, max_iter=5, random_state=0
        )
        X_poisoned, _ = attack.poison(X, y)
        assert attack.loss_curve_[-1] > attack.loss_curve_[0]
        assert attack.budget_spent_ >= 0.9 * attack.budget_
        clone(surrogate).fit(X_poisoned, y)
        poisoned.append(X_poisoned)
    assert poisoned[0].equals(poisoned[1])
    one = X.iloc[:1] if hasattr(X, "iloc") else X[:1]
    attack = GradientMatching(
        surrogate, (one, ["yes"]), scale="std", clip="range", max_iter=5, random_state=0
    )
    attack.poison(X, y)
    assert attack.cosine_curve_[-1] > attack.cosine_curve_[0]


def test_a_pipeline_of_nothing_but_a_model_is_that_model():
    rows, labels = FRAME[["kg", "age"]].to_numpy(dtype=float) / 1000, (Y == "yes").astype(int)
    expected, _ = CleanLabelPGA(LINEAR, budget=1.0, clip=None, max_iter=5).poison(rows, labels)
    for surrogate in (make_pipeline(LINEAR), Pipeline([("a", None), ("b", make_pipeline(LINEAR))])):
        found, _ = CleanLabelPGA(surrogate, budget=1.0, clip=None, max_iter=5).poison(rows, labels)
        np.testing.assert_allclose(found, expected, atol=1e-9)


class Louder(StandardScaler):
    """A subclass may compute anything."""

    def transform(self, X, copy=None):
        return np.sin(super().transform(X))


NUMBERS = FRAME[["kg", "age"]]


@pytest.mark.parametrize(
    ("steps", "error", "words"),
    [
        ([PolynomialFeatures()], TypeError, "got PolynomialFeatures as step 'polynomialfeatures'"),
        ([Louder()], TypeError, "got Louder as step 'louder'"),
        ([SelectKBest(k=1)], TypeError, "got SelectKBest"),
        ([FeatureUnion([("a", StandardScaler())])], TypeError, "got FeatureUnion"),
        ([FunctionTransformer(np.sqrt)], ValueError, "must have func=None in FunctionTransformer"),
        ([MinMaxScaler(clip=True)], ValueError, "must have clip=False in MinMaxScaler, got True"),
        ([SimpleImputer(missing_values=20)], ValueError, "must have missing_values=nan in Simple"),
        (
            [make_column_transformer((make_pipeline(PolynomialFeatures()), ["kg"]))],
            TypeError,
            "got PolynomialFeatures as step 'columntransformer__pipeline__polynomialfeatures'",
        ),
    ],
)
def test_other_steps_are_refused_by_name(steps, error, words):
    attack = CleanLabelPGA(make_pipeline(*steps, LINEAR), clip=None, max_iter=2)
    with pytest.raises(error, match=words):
        attack.poison(NUMBERS, Y)
    assert not hasattr(attack, "surrogate_")


def test_a_surrogate_that_cannot_encode_says_what_can():
    words = r"column 'who' holds text.* Pipeline can impute and encode"
    with pytest.raises(ValueError, match=words):
        CleanLabelPGA(LINEAR, clip=None).poison(FRAME, Y)
    attack = CleanLabelPGA(make_pipeline(StandardScaler(), RandomForestClassifier(3)), clip=None)
    with pytest.raises(TypeError, match="a Pipeline that ends in one, got RandomForestClassifier"):
        attack.poison(NUMBERS, Y)


def test_polars_keeps_its_names_through_a_pipeline():
    frame = pl.DataFrame(NUMBERS.to_dict(orient="list"))
    scaled = make_column_transformer((StandardScaler(), ["age"]), (MaxAbsScaler(), ["kg"]))
    attack = CleanLabelPGA(make_pipeline(scaled, LINEAR), clip="range", scale="iqr", max_iter=3)
    new, _ = attack.poison(frame, Y)
    expected, _ = clone(attack).poison(NUMBERS, Y)
    np.testing.assert_allclose(new.to_numpy(), expected.to_numpy(), rtol=1e-9)


@pytest.mark.parametrize("backend", ["numpy_nullable", "pyarrow"])
def test_features_of_several_dtypes_are_numbers(backend):
    # Fails if torch gets the array of objects in which the steps put columns side by side.
    frame = FRAME[["kg", "age"]].assign(flag=Y == "yes")
    steps = make_column_transformer((StandardScaler(), ["kg"]), remainder="passthrough")
    attack = CleanLabelPGA(make_pipeline(steps, LINEAR), clip=None, scale="std", max_iter=3)
    expected, _ = attack.poison(frame.astype(float), Y)
    frame = frame.astype({"flag": int}).convert_dtypes(dtype_backend=backend)
    found, _ = clone(attack).poison(frame, Y)
    np.testing.assert_allclose(found.astype(float), expected, rtol=1e-9)


def test_features_that_are_integers_keep_their_digits():
    rows = pd.DataFrame({"id": 10**8 + np.arange(N), "age": FRAME["age"]})
    steps = make_column_transformer(("passthrough", [0, 1]))
    cells, surrogate = on(rows, make_pipeline(steps, LINEAR))
    np.testing.assert_array_equal(surrogate.on(cells).features.numpy(), rows)


def test_rounded_rows_are_no_sign_of_an_unknown_step():
    # Fails if float32, whose steps are 128 here, is compared with a movement that is not rounded.
    times = np.linspace(1.6e9, 1.6e9 + 1e4, N).astype(np.float32)
    frame = pd.DataFrame({"time": times, "kg": FRAME["kg"]})
    attack = CleanLabelPGA(
        make_pipeline(StandardScaler(), LINEAR), clip=None, scale="std", max_iter=2
    )
    for rows in (frame, frame.to_numpy(dtype=np.float32)):
        assert len(attack.fit(rows, Y).poison_indices_)


def test_an_empty_column_of_half_precision_is_left_out():
    rows = np.stack([FRAME["kg"] / 900, np.full(N, np.nan)], axis=1).astype(np.float16)
    imputed = make_pipeline(SimpleImputer(), LINEAR)
    attack = CleanLabelPGA(imputed, clip=None, norm="l2,inf", budget=0.5, max_iter=2)
    with pytest.warns(UserWarning, match="without any observed values"):
        assert len(attack.fit(rows, Y).poison_indices_) == N


@pytest.mark.parametrize("steps", [(StandardScaler(), LINEAR), (FunctionTransformer(), NET)])
def test_images_reach_a_pipeline_as_its_last_step_takes_them(steps):
    # Fails if the steps get other shapes in the attack than in the fit.
    images = np.random.default_rng(0).random((N, 1, 3, 3))
    attack = CleanLabelPGA(make_pipeline(*steps), norm="l2,inf", budget=0.3, max_iter=2)
    new, _ = attack.poison(images, Y)
    assert new.shape == images.shape
    assert len(attack.poison_indices_) == N
