"""Filters take any table that their transformer or net takes, and hand its rows on as they are."""

import numpy as np
import pandas as pd
import polars as pl
import pytest
from scipy.sparse import issparse
from sklearn.base import clone
from sklearn.compose import ColumnTransformer
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.impute import SimpleImputer
from sklearn.naive_bayes import MultinomialNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder
from sklearn.utils import _safe_indexing

from skpoison import (
    MLP,
    ActivationClustering,
    BaseFilter,
    DeepKNN,
    FilteredClassifier,
    NeighbourVote,
    NetClassifier,
    SpectralSignatures,
    robustness_curve,
)
from tables import CONTAINERS, CONTENTS, table, victim

NET = NetClassifier(MLP, module__width=4, max_epochs=2, batch_size=16, random_state=0)
TABLES = [(a, b) for a in CONTAINERS for b in CONTENTS if table(a, b) is not None]


class Nothing(BaseFilter):
    """Flags no row."""

    def _score(self, X, y, random_state):
        return np.zeros(len(y))

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = tags.input_tags.allow_nan = True
        return tags


class Third(Nothing):
    """Flags every third row."""

    def _score(self, X, y, random_state):
        return (np.arange(len(y)) % 3 == 0) * 1.0


def encoder(container, content):
    """A transformer that makes numbers of a table."""
    if container in ("numpy", "sparse"):
        return None
    texts = {"codes": ["code"], "mixed": ["place"], "text": ["place"]}.get(content, [])
    return ColumnTransformer(
        [
            ("numbers", SimpleImputer(), ["length", "width", "count"]),
            ("texts", OneHotEncoder(handle_unknown="ignore"), texts),
        ]
    )


@pytest.mark.parametrize(("container", "content"), TABLES)
def test_neighbours_vote_on_any_table(container, content):
    # Fails if rows come back converted, or if a vote reads a table that only its transformer can.
    X, y = table(container, content)
    vote = NeighbourVote(5, transformer=encoder(container, content))
    flagged = vote.flag(X, y)
    X_kept, y_kept = vote.fit_resample(X, y)
    same(X_kept, X, ~flagged)
    same(y_kept, y, ~flagged)
    assert 0 < flagged.sum() < 40
    plain, labels = table("numpy" if content == "numbers" else "pandas", content)
    expected = NeighbourVote(5, transformer=encoder("pandas", content))
    if content == "numbers":
        expected = NeighbourVote(5)
    np.testing.assert_array_equal(flagged, expected.flag(plain, labels))


def same(kept, given, mask):
    """The rows of a container that a mask keeps, of the same type and dtypes."""
    assert type(kept) is type(given)
    expected = _safe_indexing(given, np.flatnonzero(mask))
    if isinstance(given, pd.DataFrame):
        pd.testing.assert_frame_equal(kept, expected)
    elif isinstance(given, pd.Series):
        pd.testing.assert_series_equal(kept, expected)
    elif isinstance(given, (pl.DataFrame, pl.Series)):
        assert kept.equals(expected)
        assert getattr(kept, "schema", None) == getattr(expected, "schema", None)
    else:
        kept, expected = (p.toarray() if issparse(p) else p for p in (kept, expected))
        np.testing.assert_array_equal(kept, expected)


@pytest.mark.parametrize(("container", "content"), TABLES)
@pytest.mark.parametrize("name", ["boosting", "pipeline"])
def test_a_filtered_classifier_takes_what_its_estimator_takes(container, content, name):
    X, y = table(container, content)
    X_test, y_test = table(container, content, n_rows=40, seed=1)
    estimator = victim(name, container, content)
    if estimator is None:
        return
    alone = clone(estimator).fit(X, y)
    model = FilteredClassifier(estimator, Nothing()).fit(X, y)
    np.testing.assert_array_equal(model.predict_proba(X_test), alone.predict_proba(X_test))
    assert model.score(X_test, y_test) == alone.score(X_test, y_test)
    kept = np.flatnonzero(np.arange(80) % 3)
    alone = clone(estimator).fit(_safe_indexing(X, kept), _safe_indexing(y, kept))
    model = FilteredClassifier(estimator, Third()).fit(X, y)
    np.testing.assert_array_equal(model.predict_proba(X_test), alone.predict_proba(X_test))


def test_no_flagged_row_is_the_estimator_in_a_study():
    # The victims have no seed of their own. Fails if the filter draws a seed before the estimator.
    X, y = table("pandas", "numbers")
    net = clone(NET).set_params(random_state=None)
    nothing = SpectralSignatures(net, 0.0)
    scores = [
        robustness_curve(
            estimator,
            X,
            y,
            attacks={"clean": None},
            param_name=name,
            param_range=[0.3],
            cv=2,
            random_state=0,
        ).scores["clean"]
        for estimator, name in ((net, "lr"), (FilteredClassifier(net, nothing), "estimator__lr"))
    ]
    np.testing.assert_array_equal(*scores)


@pytest.mark.parametrize("container", ["pandas", "polars"])
def test_nets_compare_frames_of_numbers(container):
    X, y = table(container, "numbers")
    plain, labels = table("numpy", "numbers")
    for kind in (SpectralSignatures, ActivationClustering, DeepKNN):
        one = kind(NET, random_state=0)
        expected = kind(NET, random_state=0).score_rows(plain, labels)
        np.testing.assert_allclose(one.score_rows(X, y), expected, rtol=1e-5, atol=1e-6)
        assert one.feature_names_in_.tolist() == list(X.columns)
    # A Pipeline makes numbers of a table, part by part.
    X, y = table(container, "text")
    piped = make_pipeline(encoder(container, "text").set_params(sparse_threshold=0), NET)
    spectral = SpectralSignatures(piped, random_state=0)
    same(spectral.fit_resample(X, y)[0], X, ~spectral.flagged_)


def test_texts_without_columns():
    texts = ["red apple", "green pear", "red cherry", "green grape"] * 6
    y = [0, 1] * 12
    y[0] = 1
    vote = NeighbourVote(5, transformer=CountVectorizer())
    for X in (texts, np.array(texts), pd.Series(texts), pl.Series(texts)):
        model = FilteredClassifier(make_pipeline(CountVectorizer(), MultinomialNB()), vote)
        model.fit(X, y)
        assert model.kept_indices_.tolist() == list(range(1, 24))
        assert type(vote.fit_resample(X, y)[0]) is type(X)
