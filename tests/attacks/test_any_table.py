"""Any table, any victim: what an attack does not change comes back as it was."""

import copy
import tracemalloc

import imblearn.utils.estimator_checks as imblearn_checks
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from scipy.sparse import issparse
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.utils import get_tags

from skpoison import (
    BackdoorPatch,
    BaseAttack,
    BaseFeatureAttack,
    BaseLabelAttack,
    ChainedAttack,
    CleanLabelPGA,
    GradientMatching,
    LabelFlip,
    PoisonedClassifier,
    RandomNoise,
    breaking_point,
    robustness_curve,
)
from tables import CONTAINERS, CONTENTS, VICTIMS, table, victim

pytestmark = pytest.mark.filterwarnings(
    "ignore::sklearn.exceptions.ConvergenceWarning", "ignore:.* selects none of the:UserWarning"
)
PLACES = [(c, k) for c in CONTAINERS for k in CONTENTS if table(c, k) is not None]
HALF = slice(0, 40), slice(40, None)


class Nothing(BaseFeatureAttack):
    """An attack of one's own that asks for no change."""

    def _perturb(self, X, y, random_state):
        return np.zeros_like(X)


class NoNewLabel(BaseLabelAttack):
    def _relabel(self, X, codes, n_classes, random_state):
        return codes


def own(X, y):
    """A pair (row, label) like those of X, for a targeted attack."""
    return rows(X, slice(0, 1)), ["yes"]


def rows(X, part):
    return X.iloc[part] if hasattr(X, "iloc") else X[part]


def idle_attacks(container, content):
    """Every attack at strength 0."""
    X, y = table(container, content)
    chosen = victim("pipeline", container, content)
    flip, noise = LabelFlip(0.0), RandomNoise(budget=0.0, clip=None)
    bare = LogisticRegression(max_iter=20, tol=1e-2)
    patch = [0.5, np.nan, np.nan] if container == "numpy" else {"width": 0.5}
    return {
        "flip": flip,
        "flip by loss": LabelFlip(0.0, selection="loss", surrogate=chosen),
        "flip by margin": LabelFlip(0.0, selection="margin", surrogate=chosen),
        "own labels": NoNewLabel(),
        "noise": noise,
        "own features": Nothing(clip=None),
        "noise in units": RandomNoise(budget=0.0, clip="range", scale="std"),
        "pga": CleanLabelPGA(chosen, budget=0.0, clip=None, scale="std"),
        "matching": GradientMatching(chosen, own(X, y), budget=0.0, clip="range", scale="iqr"),
        "bare pga": CleanLabelPGA(bare, budget=0.0, clip=None),
        "bare matching": GradientMatching(bare, own(X, y), budget=0.0, clip=None),
        "backdoor": BackdoorPatch(patch, rate=0.0),
        "chain": ChainedAttack([flip, noise]),
        "chain of flips": ChainedAttack([flip, flip]),
    }


def is_on_labels(name):
    return name.startswith("flip") or name in ("own labels", "chain of flips")


def takes_table(name, container, content):
    """Whether an attack takes a table: bare surrogates take numbers, or categories of numbers."""
    if is_on_labels(name):
        return True
    is_category_of_numbers = content == "codes" and container != "polars"
    holds_numbers = content == "numbers" or is_category_of_numbers
    return container != "sparse" and (holds_numbers or not name.startswith("bare"))


REFUSED = {
    "numbers": r"X must be dense for \w+, got a sparse csr_array: use `X.toarray\(\)`",
    "codes": "column 'code' holds categories that are text: could not convert string to float",
    "mixed": "column 'length' contains NaN. A `surrogate` that is a Pipeline can impute",
    "text": "column 'length' contains NaN. A `surrogate` that is a Pipeline can impute",
}


def assert_same(one, other):
    """Both are the same container of the same cells."""
    assert type(one) is type(other)
    if isinstance(one, pd.DataFrame):
        pd.testing.assert_frame_equal(one, other)
    elif isinstance(one, pd.Series):
        pd.testing.assert_series_equal(one, other)
    elif isinstance(one, (pl.DataFrame, pl.Series)):
        assert one.equals(other)
        assert getattr(one, "schema", None) == getattr(other, "schema", None)
    elif issparse(one):
        assert (one != other).nnz == 0
    else:
        np.testing.assert_array_equal(one, other)
        assert one.dtype == other.dtype


@pytest.mark.parametrize(("container", "content"), PLACES)
def test_zero_strength_scores_as_no_attack(container, content):
    # Fails if a category comes back as a number, or if text is refused where y alone is attacked.
    X, y = table(container, content)
    halves = [(rows(X, part), rows(y, part)) for part in HALF]
    victims = [victim(name, container, content) for name in VICTIMS]
    clean = [
        model and clone(model).fit(*halves[0]).predict_proba(halves[1][0]) for model in victims
    ]
    for name, attack in idle_attacks(container, content).items():
        for model, expected in zip(victims, clean, strict=True):
            if model is None:
                continue
            poisoned = PoisonedClassifier(model, attack)
            if takes_table(name, container, content):
                found = poisoned.fit(*halves[0]).predict_proba(halves[1][0])
                np.testing.assert_array_equal(found, expected)
            else:
                with pytest.raises((ValueError, TypeError), match=REFUSED[content]):
                    poisoned.fit(*halves[0])


@pytest.mark.parametrize(("container", "content"), PLACES)
def test_zero_strength_returns_what_was_given(container, content):
    X, y = table(container, content)
    for name, attack in idle_attacks(container, content).items():
        if is_on_labels(name):
            X_poisoned, y_poisoned = attack.poison(X, y)
            assert X_poisoned is X
        else:
            if not takes_table(name, container, content):
                continue
            X_poisoned, y_poisoned = attack.poison(X, y)
            assert X_poisoned is not X
            if hasattr(attack, "transform"):
                assert_same(attack.transform(X), X)
        assert_same(X_poisoned, X)
        assert_same(y_poisoned, y)
        assert len(attack.poison_indices_) == 0


# What does change, and the rest beside it.


class Move(BaseFeatureAttack):
    """Moves the rows of odd number by the same step in the columns `places`."""

    places = (0,)

    def _perturb(self, X, y, random_state):
        delta = np.zeros_like(X)
        delta[1::2, self.places] = 0.3
        return delta


FAMILIES = {
    "pandas": pd.DataFrame({"a": np.arange(6), "b": np.arange(6) % 2 > 0, "c": np.zeros(6)}),
    "narrow": pd.DataFrame(
        {"a": np.arange(6, dtype=np.int8), "b": np.uint8(1), "c": np.zeros(6, np.float32)}
    ),
    "objects": pd.DataFrame({"a": [1, 2, 3, 4.5, 5, 6], "b": 1, "c": 0.0}).astype({"a": object}),
    "categories": pd.DataFrame({"a": pd.Categorical([3, 5] * 3), "b": True, "c": 0.0}),
    "nullable": pd.DataFrame(
        {"a": np.arange(6), "b": True, "c": 0.0}, index=[7, 7, 5, 5, 6, 6]
    ).convert_dtypes(),
    "pyarrow": pd.DataFrame({"a": np.arange(6), "b": True, "c": 0.0}).convert_dtypes(
        dtype_backend="pyarrow"
    ),
    "polars": pl.DataFrame({"a": range(6), "b": [True] * 6, "c": [0.0] * 6}),
    "arrow": pa.table({"a": list(range(6)), "b": [True] * 6, "c": [0.0] * 6}),
    "names that are numbers": pd.DataFrame(np.arange(18).reshape(6, 3)),
    "names of two levels": pd.DataFrame(
        np.arange(18).reshape(6, 3), columns=pd.MultiIndex.from_product([["x"], ["a", "b", "c"]])
    ),
}
FLOATS = {
    "nullable": "Float64",
    "pyarrow": "double[pyarrow]",
    "polars": "Float64",
    "arrow": "double",
}


def columns_of(frame):
    """The names, dtypes and cells of a frame's columns."""
    if isinstance(frame, pd.DataFrame):
        return [(name, str(dtype)) for name, dtype in frame.dtypes.items()], frame.to_numpy()
    if isinstance(frame, pa.Table):
        return [(field.name, str(field.type)) for field in frame.schema], frame.to_pandas().values
    return [(name, str(dtype)) for name, dtype in frame.schema.items()], frame.to_numpy()


@pytest.mark.parametrize("family", FAMILIES)
def test_a_column_that_changes_becomes_a_float_of_its_family(family):
    # Fails if one changed cell costs the other columns their dtypes, or the frame its library.
    frame = FAMILIES[family]
    before = columns_of(copy.deepcopy(frame))
    attack = Move(norm="l2,inf", budget=1.0, clip=None, columns=[0, 1, 2])
    X_poisoned, _ = attack.poison(frame, [0, 1] * 3)
    assert type(X_poisoned) is type(frame)
    (heads, cells), (old_heads, old_cells) = columns_of(X_poisoned), columns_of(frame)
    assert old_heads == before[0]
    np.testing.assert_array_equal(old_cells, before[1])
    assert heads[1:] == old_heads[1:]
    assert heads[0] == (old_heads[0][0], FLOATS.get(family, "float64"))
    moved = cells.astype(float) - old_cells.astype(float)
    np.testing.assert_allclose(moved[:, 0], [0, 0.3] * 3, atol=1e-6)
    np.testing.assert_array_equal(moved[:, 1:], 0)
    if isinstance(frame, pd.DataFrame):
        pd.testing.assert_index_equal(X_poisoned.index, frame.index)
        pd.testing.assert_index_equal(X_poisoned.columns, frame.columns)


@pytest.mark.parametrize("norm", ["l2,1", "l2,inf"])
def test_a_budget_holds_in_the_dtype_of_each_column(norm):
    # Fails if rows are rounded to narrow columns after the budget was measured.
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"a": 1e3 * rng.random(50), "b": 1e3 * rng.random(50)})
    frame = frame.astype({"b": np.float32})
    y = np.arange(50) % 2
    attack = RandomNoise(norm=norm, budget=1e-3, clip=None, random_state=0)
    X_poisoned, _ = attack.poison(frame, y)
    assert X_poisoned.dtypes.tolist() == [np.float64, np.float32]
    moved = X_poisoned.to_numpy(np.float64) - frame.to_numpy(np.float64)
    norms = np.linalg.norm(moved, axis=1)
    assert (norms.sum() if norm == "l2,1" else norms.max()) <= attack.budget_ * (1 + 1e-6)
    np.testing.assert_allclose(norms, attack.perturbation_norms_)
    np.testing.assert_array_equal(np.flatnonzero(norms), attack.poison_indices_)


def test_an_integer_array_keeps_its_dtype_where_nothing_changes():
    X, y = np.arange(12, dtype=np.uint8).reshape(6, 2), [0, 1] * 3
    for attack in (RandomNoise(budget=0.0, clip=None), BackdoorPatch([1.0], rate=0.0)):
        X_poisoned, _ = attack.poison(X, y)
        assert X_poisoned.dtype == np.uint8
        assert not np.shares_memory(X_poisoned, X)
    assert BackdoorPatch([1.0], rate=0.5).poison(X, y)[0].dtype == np.float32
    assert RandomNoise(clip=None).fit(X, y).transform(X).dtype == np.uint8


REFUSED_COLUMNS = {
    "text": (["a", "b"], "text: could not convert string to float: 'a'"),
    "categories": (pd.Categorical(["a", "b"]), "categories that are text: .* 'a'"),
    "dates": (pd.to_datetime(["2026-11-01", "2026-11-02"]), "dates or times"),
    "spans": (pd.to_timedelta([1, 2]), "dates or times"),
    "complex": ([1j, 2j], "complex numbers"),
    "lists": ([[1], [2]], "values of dtype object"),
    "infinite": ([1.0, np.inf], "contains infinity"),
    "sparse": (pd.arrays.SparseArray([0, 1]), "sparse .* attack on labels, which takes X as it is"),
    "text of polars": (pl.Series(["a", "b"]), "text: could not convert string to float: 'a'"),
    "dates of polars": (pl.Series(pd.to_datetime(["2026-11-01"] * 2)), "dates or times"),
}


@pytest.mark.parametrize("kind", REFUSED_COLUMNS)
def test_a_column_of_no_numbers_is_refused_by_its_name(kind):
    cells, words = REFUSED_COLUMNS[kind]
    make = pl.DataFrame if isinstance(cells, pl.Series) else pd.DataFrame
    frame = make({"good": [0.1, 0.2], "bad": cells})
    for attack in (RandomNoise(clip=None, columns=[0, 1]), BackdoorPatch([0.5], rate=1.0)):
        with pytest.raises((ValueError, TypeError), match=f"column 'bad' .*{words}"):
            attack.poison(frame, [0, 1])
        assert not hasattr(attack, "n_features_in_")


# Attacks on labels take anything.

ROWS = {
    "texts": ["a text", "another", "a third", "a fourth"],
    "array of texts": np.array(["a", "b", "c", "d"], dtype=object),
    "dicts": [{"a": 1}, {"b": 2.0}, {}, {"a": 3}],
    "ragged": [[1], [2, 3], [], [4]],
    "series": pd.Series(["a", None, "b", "c"]),
    "parts": {"image": np.zeros((4, 1, 2, 2)), "table": pd.DataFrame({"a": [1, 2, 3, None]})},
    "dates": np.array(["2026-11-01", "NaT", "2026-11-02", "2026-11-03"], "datetime64[D]"),
    "complex images": np.full((4, 1, 2, 2), 1j),
    "no features": np.zeros((4, 0)),
    "arrow": pa.table({"a": [1, None, 3, 4], "b": ["x", "y", None, "z"]}),
}


@pytest.mark.parametrize("kind", ROWS)
def test_an_attack_on_labels_takes_any_rows(kind):
    X, y = ROWS[kind], ["u", "v", "u", "v"]
    flip = LabelFlip(1.0, random_state=0)
    for attack in (flip, ChainedAttack([flip])):
        X_poisoned, y_poisoned = attack.fit_resample(X, y)
        assert X_poisoned is X
        assert y_poisoned == ["v", "u", "v", "u"]
        assert attack.poison_indices_.tolist() == [0, 1, 2, 3]


def test_what_is_known_of_rows_is_forgotten_with_them():
    attack = LabelFlip(1.0).fit(pd.DataFrame({"a": [1, 2]}), [0, 1])
    assert attack.feature_names_in_.tolist() == ["a"]
    assert (attack.n_features_in_, attack.input_shape_) == (1, (1,))
    attack.fit(["text", "other"], [0, 1])
    known = {"n_features_in_", "input_shape_", "feature_names_in_"}
    assert not known & vars(attack).keys()


def test_a_surrogate_gets_rows_as_they_are():
    # Fails if flips are ranked by codes of categories, or by anything but what the caller gave.
    seen = []

    class Looks(LogisticRegression):
        def fit(self, X, y):
            seen.append(X)
            return super().fit(X[["width"]], y)

        def decision_function(self, X):
            seen.append(X)
            return super().decision_function(X[["width"]])

    for container in ("pandas", "polars"):
        X, y = table(container, "text")
        LabelFlip(0.2, selection="loss", surrogate=Looks()).poison(X, y)
        assert seen[-2] is X
        assert seen[-1] is X


LABELS = {
    "polars": (pl.Series("y", ["a", "b", "c", "a"]), pl.Series("y", ["b", "c", "a", "b"])),
    "polars categories": (
        pl.Series("y", ["a", "b", "c", "a"], dtype=pl.Categorical),
        pl.Series("y", ["b", "c", "a", "b"], dtype=pl.Categorical),
    ),
    "polars frame": (pl.DataFrame({"y": [1, 2, 3, 1]}), pl.DataFrame({"y": [2, 3, 1, 2]})),
    "pyarrow text": (
        pd.Series(["a", "b", "c", "a"], [7, 5, 5, 6], dtype="string[pyarrow]", name="y"),
        pd.Series(["b", "c", "a", "b"], [7, 5, 5, 6], dtype="string[pyarrow]", name="y"),
    ),
    "pyarrow bools": (
        pd.Series([True, False], dtype="bool[pyarrow]"),
        pd.Series([False, True], dtype="bool[pyarrow]"),
    ),
    "arrow": (pa.chunked_array([[1, 2], [3]]), pa.chunked_array([[2, 3, 1]])),
    "list": ([1, 2, 3], [2, 3, 1]),
    "tuple": (("a", "b"), ("b", "a")),
    "column": (np.array([[1], [2]], np.int8), np.array([[2], [1]], np.int8)),
    "large integers": ([2**62, 2**62 + 1], [2**62 + 1, 2**62]),
}


@pytest.mark.parametrize("kind", LABELS)
@pytest.mark.filterwarnings("ignore:A column-vector y:sklearn.exceptions.DataConversionWarning")
def test_labels_come_back_in_their_library(kind):
    given, expected = LABELS[kind]
    X = np.zeros((len(given), 1))
    for attack in (LabelFlip(1.0), ChainedAttack([LabelFlip(1.0)])):
        _, poisoned = attack.poison(X, given)
        assert type(poisoned) is type(expected)
        if isinstance(given, (list, tuple)):
            assert poisoned == expected
        elif isinstance(given, pa.ChunkedArray):
            assert poisoned.to_pylist() == expected.to_pylist()
        else:
            assert_same(poisoned, expected)
        _, same = RandomNoise(budget=0.0).poison(X, given)
        assert type(same) is type(given)


class Renames(BaseAttack):
    """Gives a label that y does not have."""

    random_state = None

    def _poison(self, X, y, random_state):
        return X.copy(), np.where(y == "a", "new", y)


@pytest.mark.parametrize(
    "y",
    [
        ["a", "b"],
        pl.Series("y", ["a", "b"]),
        pl.Series("y", ["a", "b"], dtype=pl.Enum(["a", "b"])),
        pl.DataFrame({"y": ["a", "b"]}),
        pa.chunked_array([["a", "b"]]),
        pd.Series(["a", "b"], [7, 6], dtype="string[pyarrow]", name="y"),
        pd.DataFrame({"y": ["a", "b"]}, [7, 6]),
        pd.Categorical(["a", "b"]),
    ],
    ids=lambda y: type(y).__name__,
)
@pytest.mark.filterwarnings("ignore:A column-vector y:sklearn.exceptions.DataConversionWarning")
def test_labels_that_are_new_are_kept(y):
    _, poisoned = Renames().poison(np.zeros((2, 1)), y)
    found = poisoned.to_numpy().ravel() if hasattr(poisoned, "columns") else poisoned
    assert list(map(str, found)) == ["new", "b"]
    if not isinstance(y, pd.Categorical):  # It has no category for a new label.
        assert type(poisoned) is type(y)


def test_a_net_ranks_rows_of_a_frame_as_those_of_an_array():
    X, y = table("numpy", "numbers")
    flip = LabelFlip(0.3, selection="margin", surrogate=victim("net", "numpy", "numbers"))
    expected = flip.set_params(random_state=0).fit(X, y).poison_indices_
    for container in ("pandas", "nullable", "pyarrow", "polars"):
        found = flip.fit(*table(container, "numbers")).poison_indices_
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("container", ["pandas", "nullable", "pyarrow", "polars"])
def test_a_patch_changes_its_column_only(container):
    X, y = table(container, "numbers")
    attack = BackdoorPatch({"count": 0.5}, "yes", rate=0.2, random_state=0)
    X_poisoned, _ = attack.poison(X, y)
    for found in (X_poisoned, attack.stamp(X)):
        assert type(found) is type(X)
        old, new = (frame[["length", "width"]] for frame in (X, found))
        assert_same(new, old)
        assert (found["count"] == 0.5).sum() > 0
        assert found["count"].dtype == X["length"].dtype


@pytest.mark.parametrize(
    "y",
    [
        ["a", None, "b"],
        pd.Series(["a", pd.NA, "b"], dtype="string"),
        pd.Series([1, None, 0], dtype="int64[pyarrow]"),
        pd.Categorical(["a", None, "b"]),
        pl.Series(["a", None, "b"]),
        pl.DataFrame({"y": [1, None, 0]}),
        pa.chunked_array([["a", None, "b"]]),
        pd.array([True, None, False], "boolean"),
    ],
    ids=lambda y: type(y).__name__,
)
def test_missing_labels_are_refused_in_words(y):
    words = r"y must have a label for each row of X, got 1 missing labels \(Input y contains NaN\)"
    for attack in (LabelFlip(), RandomNoise()):
        with pytest.raises(ValueError, match=words):
            attack.poison(np.zeros((3, 1)), y)


@pytest.mark.parametrize("dtype", ["numpy", "pandas", "polars"])
def test_flips_copy_nothing_but_labels(dtype):
    # Fails if X is copied or converted: it has 50 times as many bytes as y.
    X, y = np.zeros((20_000, 50)), np.arange(20_000) % 2
    X[0] = np.nan
    X = {"numpy": np.array, "pandas": pd.DataFrame, "polars": pl.DataFrame}[dtype](X)
    attack = LabelFlip(0.3, random_state=0).fit(X[:10], y[:10])  # Imports, once.
    tracemalloc.start()
    try:
        X_poisoned, _ = attack.poison(X, y)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert X_poisoned is X
    assert peak < 10 * y.nbytes


# Beyond a single call.


@pytest.mark.parametrize("container", ["pandas", "polars", "pyarrow", "sparse"])
def test_a_study_takes_any_table(container, tmp_path):
    content = "numbers" if container == "sparse" else "text"
    X, y = table(container, content)
    flips = {
        "clean": None,
        "idle": LabelFlip(0.0),
        "flips": LabelFlip(0.5, sampling="exact"),
        "chain": ChainedAttack([LabelFlip(0.5, sampling="exact")]),
    }
    arguments = {
        "attacks": flips,
        "param_name": "logisticregression__C",
        "param_range": [0.1, 10.0],
        "cv": 2,
        "random_state": 0,
        "memory": tmp_path,
    }
    model = victim("pipeline", container, content)
    curve = robustness_curve(model, X, y, **arguments)
    np.testing.assert_array_equal(curve.scores["idle"], curve.scores["clean"])
    assert (curve.train_scores["flips"] < curve.train_scores["clean"]).all()
    again = robustness_curve(model, table(container, content)[0], y, **arguments)
    np.testing.assert_array_equal(again.fit_times["flips"], curve.fit_times["flips"])
    flip = LabelFlip(sampling="exact")
    broken = breaking_point(
        model, X, y, attack=flip, max_budget=1.0, n_steps=1, cv=2, random_state=0
    )
    assert 0 < broken.budget <= 1


def test_a_study_takes_texts():
    texts, y = ["good red", "good", "bad blue", "bad"] * 10, ["+", "+", "-", "-"] * 10
    model = make_pipeline(CountVectorizer(), LogisticRegression())
    curve = robustness_curve(
        model, texts, y, attacks={"flips": LabelFlip(0.0)}, param_name="logisticregression__C",
        param_range=[1.0], cv=2,
    )  # fmt: skip
    assert (curve.scores["flips"] == 1).all()


class Counts(ClassifierMixin, BaseEstimator):
    """A victim of rows without a shape: it predicts by their lengths."""

    def __init__(self, least=2):
        self.least = least

    def fit(self, X, y):
        self.classes_ = np.unique(y)
        return self

    def predict(self, X):
        rows = X["words"] if isinstance(X, dict) else X
        return self.classes_[[int(len(row) >= self.least) for row in rows]]


def test_rows_without_a_shape_pass():
    # Fails if somebody asks numpy for the shape of a list of lists, or a dict for its length.
    words, y = [["a"], ["b", "c"], ["d"], ["e", "f", "g"]] * 5, [0, 1, 0, 1] * 5
    curve = robustness_curve(
        Counts(), words, y, attacks={"flips": LabelFlip(1.0)}, param_name="least",
        param_range=[2, 9], cv=2,
    )  # fmt: skip
    np.testing.assert_array_equal(curve.scores["flips"], [[1, 1], [0.5, 0.5]])
    np.testing.assert_array_equal(curve.train_scores["flips"], [[0, 0], [0.5, 0.5]])
    parts = {"words": words, "more": np.arange(20)}
    poisoned = PoisonedClassifier(Counts(), LabelFlip(1.0)).fit(parts, y)
    assert poisoned.predict(parts).tolist() == y
    with pytest.raises(ValueError, match="X must have the same number of rows in all its parts"):
        LabelFlip().poison({"a": [1], "b": [1, 2]}, [0, 1])


def test_tags_tell_what_an_attack_takes():
    flip, noise = LabelFlip(), RandomNoise()
    scaled = make_pipeline(CountVectorizer(), LogisticRegression())
    chosen = LabelFlip(selection="loss", surrogate=LogisticRegression())
    boost = HistGradientBoostingClassifier()
    for attack, sparse, allow_nan in [
        (flip, True, True),
        (chosen, True, False),
        (noise, False, True),
        (CleanLabelPGA(LogisticRegression()), False, False),
        (CleanLabelPGA(make_pipeline(SimpleImputer(), LogisticRegression())), False, True),
        (BackdoorPatch([0.5]), False, True),
        (ChainedAttack([flip, flip]), True, True),
        (ChainedAttack([flip, noise]), False, True),
    ]:
        tags = get_tags(attack).input_tags
        assert (tags.sparse, tags.allow_nan) == (sparse, allow_nan)
        tags = get_tags(PoisonedClassifier(LogisticRegression(), attack)).input_tags
        assert (tags.sparse, tags.allow_nan) == (sparse, False)
        assert get_tags(PoisonedClassifier(boost, attack)).input_tags.allow_nan == allow_nan
    assert (
        get_tags(PoisonedClassifier(scaled)).input_tags.sparse == get_tags(scaled).input_tags.sparse
    )


# imbalanced-learn's own checks of samplers.

NOT_OURS = {
    "check_samplers_fit": "an attack has no `sampling_strategy_`",
    "check_samplers_multiclass_ova": "one-hot targets are no labels",
    "check_samplers_sample_indices": "asks for a tag that imbalanced-learn's base class has",
}
CHECKS = [
    name for name in dir(imblearn_checks) if name.startswith(("check_sampler", "check_target"))
]


@pytest.mark.parametrize("name", CHECKS)
@pytest.mark.filterwarnings("ignore:A column-vector y:sklearn.exceptions.DataConversionWarning")
def test_imbalanced_learns_checks(name):
    check = getattr(imblearn_checks, name)
    for attack in (LabelFlip(0.3, random_state=0), ChainedAttack([LabelFlip(0.3, random_state=0)])):
        if name in NOT_OURS:
            with pytest.raises((AssertionError, AttributeError, ValueError)):
                check(type(attack).__name__, attack)
        else:
            check(type(attack).__name__, attack)
