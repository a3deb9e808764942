"""A defence with nothing to defend against scores as its estimator alone, on any table."""

import re

import numpy as np
import pandas as pd
import polars as pl
import pytest
from scipy.sparse import coo_array, issparse
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import MultinomialNB
from sklearn.pipeline import make_pipeline
from sklearn.utils import _safe_indexing, get_tags

from skpoison import LossTrimming, PartitionEnsemble, robustness_curve
from skpoison.defences._partitions import split_by_content
from skpoison.defences._rows import rows_of
from tables import CONTAINERS, CONTENTS, VICTIMS, table, victim

CASES = [
    (name, container, content)
    for name in VICTIMS
    for container in CONTAINERS
    for content in CONTENTS
    if table(container, content) is not None and victim(name, container, content) is not None
]


@pytest.mark.parametrize(("name", "container", "content"), CASES)
def test_nothing_to_defend_against_is_no_defence(name, container, content):
    # Failed for each frame with categories (codes instead), text, dates, missing cells and for
    # sparse rows (refused).
    X, y = table(container, content)
    X_test, y_test = table(container, content, n_rows=40, seed=1)
    alone = victim(name, container, content).fit(X, y)
    trimmed = LossTrimming(victim(name, container, content), 0.0).fit(X, y)
    np.testing.assert_array_equal(trimmed.predict_proba(X_test), alone.predict_proba(X_test))
    assert trimmed.score(X_test, y_test) == alone.score(X_test, y_test)
    ensemble = PartitionEnsemble(victim(name, container, content), 1, random_state=0).fit(X, y)
    (member,) = ensemble.estimators_
    order = sorted_rows(X, y)
    # The member's seed, on the rows as they were given, in the order of their content.
    alone = clone(member).fit(_safe_indexing(X, order), _safe_indexing(y, order))
    np.testing.assert_array_equal(ensemble.predict(X_test), np.asarray(alone.predict(X_test)))
    assert ensemble.score(X_test, y_test) == alone.score(X_test, y_test)
    assert ensemble.score(X, y) > 0.6


@pytest.mark.parametrize("name", ["boosting", "net"])
@pytest.mark.parametrize("container", ["pandas", "nullable", "pyarrow", "polars", "sparse"])
def test_what_the_estimator_refuses_is_refused_in_its_words(name, container):
    # `fused` decides whether a net is asked alone or in a stack.
    X, y = table(container, "numbers" if container == "sparse" else "text")
    estimator = victim(name, "pandas", "numbers")
    with pytest.raises((TypeError, ValueError)) as alone:
        clone(estimator).fit(X, y)
    for defence in (
        LossTrimming(estimator, 0.0),
        PartitionEnsemble(estimator, 1),
        PartitionEnsemble(estimator, 1, fused=False),
    ):
        with pytest.raises(alone.type) as ours:
            defence.fit(X, y)
        assert shorn(ours) == shorn(alone)


def shorn(error):
    """The words of an error without the cell that it names: the ensemble sorts rows."""
    return re.sub("'(north|south|west)'", "''", str(error.value))


def sorted_rows(X, y):
    """The order of rows in the only partition."""
    rows = rows_of(Spy(), X, reset=True)
    (order,) = split_by_content(rows.contents(), np.asarray(y), 1, rows.spellings)
    return order


class Spy(ClassifierMixin, BaseEstimator):
    """Keeps what it is given; the later half of the rows has large losses."""

    def fit(self, X, y):
        self.X_, self.y_, self.classes_ = X, y, np.unique(np.asarray(y))
        return self

    def predict(self, X):
        return self.classes_[self.predict_proba(X).argmax(axis=1)]

    def predict_proba(self, X):
        n_rows = X.shape[0] if hasattr(X, "shape") else len(X)
        proba = np.full((n_rows, len(self.classes_)), 1 / len(self.classes_))
        proba[n_rows // 2 :] = 0
        return proba


@pytest.mark.parametrize("container", CONTAINERS)
def test_trimming_chooses_rows_and_changes_nothing_else(container):
    # Fails if rows or labels are converted on the way: container, columns, index, dtypes and
    # categories (a Series of categories with one that no row has).
    X, y = table(container, "numbers" if container in ("numpy", "sparse") else "text")
    if hasattr(y, "iloc"):
        y = y.astype(pd.CategoricalDtype(["yes", "unused", "no"]))
    model = LossTrimming(Spy(), 0.5, 1).fit(X, y)
    kept = model.kept_indices_
    assert 0 < len(kept) < len(y)
    assert type(model.estimator_.X_) is type(X)
    seen = as_frame(model.estimator_.X_)
    pd.testing.assert_frame_equal(seen, as_frame(_safe_indexing(X, kept)))
    assert seen.dtypes.equals(as_frame(X).dtypes)
    assert type(model.estimator_.y_) is type(y)
    assert model.estimator_.y_.dtype == y.dtype
    assert list(model.estimator_.y_) == list(_safe_indexing(y, kept))
    if container == "polars":
        assert model.estimator_.X_.schema == X.schema


def as_frame(X):
    if isinstance(X, pl.DataFrame):
        return X.to_pandas()
    return X if isinstance(X, pd.DataFrame) else pd.DataFrame(X.toarray() if issparse(X) else X)


WORDS = np.array(["no", "yes"])
CODES = np.arange(12) % 2
LABELS = {
    "list": WORDS[CODES].tolist(),
    "tuple": tuple(CODES.tolist()),
    "objects": WORDS[CODES].astype(object),
    "bools": CODES > 0,
    "series": pd.Series(WORDS[CODES], index=[7] * 12),
    "categories": pd.Series(WORDS[CODES], dtype=pd.CategoricalDtype(["zz", "yes", "no"])),
    "a Categorical": pd.Categorical(WORDS[CODES]),
    "nullable": pd.Series(CODES, dtype="Int64"),
    "nullable bools": pd.Series(CODES, dtype="boolean"),
    "arrow": pd.Series(WORDS[CODES], dtype="string[pyarrow]"),
    "arrow's integers": pd.Series(CODES, dtype="int64[pyarrow]"),
    "polars": pl.Series(WORDS[CODES]),
    "polars' categories": pl.Series(WORDS[CODES], dtype=pl.Categorical),
    "polars' Enum": pl.Series(WORDS[CODES], dtype=pl.Enum(["zz", "yes", "no"])),
}


@pytest.mark.parametrize("y", LABELS.values(), ids=LABELS)
def test_labels_in_any_container(y):
    X = np.random.default_rng(0).random((12, 1)) + 3 * CODES[:, np.newaxis]
    for defence in (LossTrimming(LogisticRegression(), 0.25), PartitionEnsemble(Spy(), 1)):
        model = defence.fit(X, y)
        assert model.classes_.tolist() == LogisticRegression().fit(X, y).classes_.tolist()
    model = LossTrimming(LogisticRegression(), 0.25).fit(X, y)
    assert model.score(X, y) == 1
    kind = list if isinstance(y, tuple) else type(y)
    assert type(LossTrimming(Spy(), 0.25).fit(X, y).estimator_.y_) is kind


@pytest.mark.parametrize("library", [pd, pl])
def test_a_frame_of_one_column_of_labels_is_a_column(library):
    X, y = np.arange(12.0).reshape(-1, 1), library.DataFrame({"y": CODES})
    for model in (LossTrimming(Spy(), 0.25), PartitionEnsemble(Spy(), 1)):
        # One warning, whatever the number of fits.
        with pytest.warns(UserWarning, match="column-vector") as warned:
            model.fit(X, y)
        assert len(warned) == 1
    assert type(LossTrimming(Spy()).fit(X, y["y"]).estimator_.y_) is library.Series


def test_texts_without_columns():
    texts = ["red apple", "green pear", "red cherry", "green grape"] * 6
    y = [0, 1] * 12
    victim = make_pipeline(CountVectorizer(), MultinomialNB())
    for X in (texts, np.array(texts), pd.Series(texts), pl.Series(texts)):
        trimmed = LossTrimming(victim, 0.2).fit(X, y)
        assert trimmed.score(X, y) == 1
        ensemble = PartitionEnsemble(victim, 1).fit(X, y)
        assert ensemble.score(X, y) == 1
        assert not hasattr(ensemble, "n_features_in_")


@pytest.mark.parametrize("layout", ["csr", "csc", "coo", "lil", "dok"])
def test_sparse_rows_in_any_layout(layout):
    X, y = table("sparse", "numbers")
    given = X.asformat(layout)
    models = [
        clone(defence).fit(rows, y).predict_proba(X)
        for defence in (
            LossTrimming(LogisticRegression(), 0.2),
            PartitionEnsemble(LogisticRegression(), 4, random_state=0),
        )
        for rows in (X, given)
    ]
    np.testing.assert_array_equal(models[0], models[1])
    np.testing.assert_array_equal(models[2], models[3])


def test_zeros_that_a_sparse_array_stores_are_zeros():
    X, y = table("sparse", "numbers")
    dense = X.toarray()
    rows, columns = np.indices(dense.shape)
    # Each cell as two halves, in another order.
    order = np.random.default_rng(0).permutation(2 * dense.size)
    places = [np.tile(axis.ravel(), 2)[order] for axis in (rows, columns)]
    stored = coo_array((np.tile(dense.ravel() / 2, 2)[order], places), dense.shape)
    a, b = (
        PartitionEnsemble(LogisticRegression(), 4, random_state=0).fit(part, y)
        for part in (X, stored)
    )
    assert a.partition_sizes_.tolist() == b.partition_sizes_.tolist()
    np.testing.assert_array_equal(a.votes(X), b.votes(stored.tocsr()))


def test_trimming_of_no_row_is_the_estimator_in_a_study():
    # The victims have no seed of their own. Fails if a round more is trained, with the next seed.
    X, y = table("pandas", "numbers")
    net = victim("net", "pandas", "numbers").set_params(random_state=None)
    scores = [
        robustness_curve(
            estimator,
            X,
            y,
            attacks={"clean": None},
            param_name=name,
            param_range=[0.3],
            cv=2,
            fused=False,
            random_state=0,
        ).scores["clean"]
        for estimator, name in ((net, "lr"), (LossTrimming(net, 0.0), "estimator__lr"))
    ]
    np.testing.assert_array_equal(*scores)


def test_tags_are_those_of_the_estimator():
    boost, linear = HistGradientBoostingClassifier(), LogisticRegression()
    for defence in (LossTrimming, PartitionEnsemble):
        for name in ("sparse", "allow_nan", "string", "categorical"):
            for estimator in (boost, linear):
                ours = getattr(get_tags(defence(estimator)).input_tags, name)
                assert ours == getattr(get_tags(estimator).input_tags, name)


N = np.arange(12.0)
ODD = {
    "same names": pd.DataFrame(np.c_[N, N], columns=["a", "a"]),
    "names of two types": pd.DataFrame(np.c_[N, N], columns=["a", 1]),
    "no rows": pd.DataFrame({"a": []}),
    "lists": pd.DataFrame({"a": N, "l": [[1]] * 12}),
    "lists of polars": pl.DataFrame({"a": N, "l": [[1]] * 12}),
    "arrays of polars": pl.DataFrame({"l": pl.Series([[1, 2]] * 12, dtype=pl.Array(pl.Int8, 2))}),
    "structs": pl.DataFrame({"l": [{"k": 1}] * 12}),
    "tuples": pd.DataFrame({"l": [(1, 2)] * 12}),
    "objects": pd.DataFrame({"l": [object()] * 12}),
    "complex": pd.DataFrame({"l": N + 1j}),
    "lazy": pl.DataFrame({"a": N}).lazy(),
    "dict": {"a": N},
    "no columns": pd.DataFrame(index=range(12)),
}
CELLS = "X must have cells that are numbers, texts, dates or missing, got a .* in column 'l'"
WORDS_FOR = {
    "same names": "Expected unique column names",
    "names of two types": "Feature names are only supported if all",
    "no rows": "X must have at least one row",
    "lazy": r"X must be in memory, got a LazyFrame: pass `X.collect\(\)`",
    "dict": "X must be a table or a list of rows, got a dict",
    "no columns": "X must have at least one column",
}


@pytest.mark.parametrize("what", ODD)
def test_odd_tables_are_refused_in_a_sentence(what):
    with pytest.raises((TypeError, ValueError), match=WORDS_FOR.get(what, CELLS)):
        PartitionEnsemble(Spy(), 3).fit(ODD[what], CODES)
    if what in ("same names", "names of two types", "no rows", "lazy", "dict"):
        with pytest.raises((TypeError, ValueError), match=WORDS_FOR[what]):
            LossTrimming(Spy(), 0.25).fit(ODD[what], CODES)
    else:
        # What the estimator takes.
        assert len(LossTrimming(Spy(), 0.25).fit(ODD[what], CODES).kept_indices_) < 12


TAKEN = {
    "integers for names": pd.DataFrame(np.c_[N, N]),
    "names of two levels": pd.DataFrame({("a", "b"): N, ("a", "c"): pd.Categorical(["u"] * 12)}),
    "an index of equal labels": pd.DataFrame({"a": N}, index=[0] * 12),
    "objects": pd.DataFrame({"o": [1, "a", None, 2.5, True, b"z", np.nan, pd.NA, pd.NaT, 1, 1, 1]}),
    "intervals": pd.DataFrame({"a": pd.cut(N, 3)}),
    "periods": pd.DataFrame({"a": pd.period_range("2026", periods=12, freq="M")}),
    "categories of several types": pd.DataFrame({"a": pd.Categorical([1, "a", 2.5] * 4)}),
    "categories without a row": pd.DataFrame({"a": pd.Categorical([None] * 12, ["x"])}),
    "sparse columns": pd.DataFrame({"a": pd.arrays.SparseArray(N)}),
    "surrogates": pd.DataFrame({"a": pd.Series(["\ud800"] * 12, dtype=object)}),
    "a list of numbers and texts": [[1, "a"], [2, "1"]] * 6,
    "dates of numpy": np.array([["2026", "2027"]] * 12, dtype="M8[D]"),
    "arrow": pl.DataFrame({"a": N, "b": pl.Series(["u"] * 12, dtype=pl.Categorical)}).to_arrow(),
}


@pytest.mark.parametrize("what", TAKEN)
def test_odd_tables_are_taken(what):
    X = TAKEN[what]
    for defence in (LossTrimming(Spy(), 0.25), PartitionEnsemble(Spy(), 3)):
        assert defence.fit(X, CODES).predict(X).shape == (12,)
    (seen,) = (member.X_ for member in PartitionEnsemble(Spy(), 1).fit(X, CODES).estimators_)
    assert type(seen) is (np.ndarray if isinstance(X, list) else type(X))
    if isinstance(X, pd.DataFrame):
        assert seen.columns.equals(X.columns)
        assert seen.dtypes[0:].map(str).tolist() == X.dtypes.map(str).tolist()
