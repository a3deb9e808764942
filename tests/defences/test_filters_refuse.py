"""What filters refuse, and in which words; and that a failed fit changes nothing."""

import re

import numpy as np
import pytest
from sklearn.base import BaseEstimator, clone
from sklearn.cluster import KMeans
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from makers import NARROW, NoFit, X, Y, net
from refusals import BAD_X, BAD_Y, Refusals, check_refused
from skpoison import (
    ActivationClustering,
    BaseFilter,
    DeepKNN,
    FilteredClassifier,
    NeighbourVote,
    SpectralSignatures,
)

TABLE = Refusals()
KINDS = {
    "spectral": (SpectralSignatures, {"estimator": net()}),
    "clusters": (ActivationClustering, {"estimator": net()}),
    "deep": (DeepKNN, {"estimator": net()}),
    "vote": (NeighbourVote, {}),
    "filtered": (
        FilteredClassifier,
        {"estimator": LogisticRegression(), "filter": NeighbourVote()},
    ),
}
NETS = ("spectral", "clusters", "deep")


def make(name, **kwargs):
    kind, given = KINDS[name]
    return kind(**{"random_state": 0, **given, **kwargs})


def fitting(name, parameter):
    return lambda value: make(name, **{parameter: value}).fit(X, Y)


TABLE.refuse_all_but_reals_from_0("spectral.fraction", fitting("spectral", "fraction"))
TABLE.refuse_each(
    "spectral.fraction",
    fitting("spectral", "fraction"),
    [2 / 3, 0.7, 1],
    ValueError,
    "`fraction` must be < 2/3, because 1.5 times it is dropped, got ",
)
TABLE.refuse_all_but_reals_from_0("clusters.size_threshold", fitting("clusters", "size_threshold"))
TABLE.refuse_each(
    "clusters.size_threshold",
    fitting("clusters", "size_threshold"),
    [0.51, 1],
    ValueError,
    "`size_threshold` must be <= 0.5, got {}",
)
TABLE.refuse_each(
    "clusters.reduction",
    fitting("clusters", "reduction"),
    ["svd", None],
    ValueError,
    "`reduction` must be one of 'ica', 'pca', got ",
)
for name, parameter in (
    ("clusters", "n_components"),
    ("deep", "n_neighbors"),
    ("vote", "n_neighbors"),
):
    TABLE.refuse_all_but_integers_from_1(f"{name}.{parameter}", fitting(name, parameter))
for name in NETS:
    TABLE.refuse_each(
        f"{name}.estimator",
        fitting(name, "estimator"),
        [3, None, LogisticRegression(), type(net())],
        TypeError,
        "`estimator` must be a NetClassifier, or a Pipeline that ends in one, got ",
    )
    TABLE.refuse_each(
        f"{name}.layer",
        fitting(name, "layer"),
        [1, -2, ["layers"]],
        TypeError,
        "`layer` must be None or the name of a module, got ",
    )
TABLE.refuse_each(
    "vote.transformer",
    fitting("vote", "transformer"),
    [3, StandardScaler, LogisticRegression()],
    TypeError,
    "`transformer` must be a transformer or None, got ",
)
TABLE.refuse_each(
    "filtered.filter",
    fitting("filtered", "filter"),
    [None, NeighbourVote, StandardScaler()],
    TypeError,
    "`filter` must have a method `flag`, got ",
)
TABLE.refuse_each(
    "filtered.estimator",
    fitting("filtered", "estimator"),
    [3, None, LogisticRegression, StandardScaler(), KMeans(2, n_init=1)],
    TypeError,
    "`estimator` must be a classifier, got ",
)
for name in KINDS:
    TABLE.refuse_all_but_seeds(f"{name}.random_state", fitting(name, "random_state"))
    for what, (value, error, words) in BAD_Y.items():
        TABLE.refuse(f"{name}: y {what}", lambda v=value, n=name: make(n).fit(X, v), error, words)

# Rows are counted before they are read, and a vote takes sparse rows.
NO_ROWS = "X must have at least one row"
OWN_WORDS = {
    **{what: (ValueError, NO_ROWS) for what in ("no rows", "no images")},
    "no axis": (TypeError, "at least 1 dimension .* got scalar"),
    "a number": (TypeError, "Expected sequence or array-like, got .*float"),
    "None": (TypeError, "Expected sequence or array-like, got .*NoneType"),
    "a word": (TypeError, "X must be a table or a list of rows, got a str"),
}
for name in ("spectral", "vote"):
    for what, (value, error, words) in BAD_X.items():
        if not (name == "vote" and what.startswith("sparse")):
            error, words = OWN_WORDS.get(what, (error, words))
            TABLE.refuse(
                f"{name}: X {what}", lambda v=value, n=name: make(n).fit(v, Y), error, words
            )
FITTED = make("filtered").fit(X, Y)
for method in ("predict", "predict_proba", "decision_function"):
    TABLE.refuse(
        f"{method}: narrow", lambda m=method: getattr(FITTED, m)(NARROW), ValueError, "X has 3 feat"
    )
    TABLE.refuse(
        f"{method}: unfitted",
        lambda m=method: getattr(clone(FITTED), m)(X),
        NotFittedError,
        "not fitted",
    )


@TABLE.each_case
def test_bad_input_is_refused(case):
    check_refused(case)


class Own(BaseFilter):
    """A filter as a user writes it: it returns what it is told to."""

    def __init__(self, scores, chosen=None):
        super().__init__()
        self.scores = scores
        self.chosen = chosen

    def _score(self, X, y, random_state):
        return self.scores

    def _choose(self, scores, y):
        return super()._choose(scores, y) if self.chosen is None else self.chosen


def test_what_hooks_return_is_checked():
    good = np.zeros(len(Y))
    with pytest.raises(ValueError, match=r"`_score` of Own must return finite .*got NaN or inf"):
        Own(good + np.nan).fit(X, Y)
    for chosen in ([3, 5], [True], good):
        with pytest.raises(ValueError, match="`_choose` of Own must return booleans of shape"):
            Own(good, chosen).fit(X, Y)


class Flags(BaseEstimator):
    """Another's filter: all that is known of it is its method `flag`."""

    def __init__(self, flagged):
        self.flagged = flagged

    def flag(self, X, y):
        return self.flagged


@pytest.mark.parametrize(
    ("flagged", "words"),
    [
        # Positions, and a short mask, would otherwise train on the first rows only.
        ([3, 5], r"must return booleans of shape \(40,\) from `flag`, got int64 of shape \(2,\)"),
        ([False] * 5, r"must return booleans of shape \(40,\) from `flag`, got bool of shape \(5,"),
        (-np.ones(40), "must return booleans"),
        ([True] * 40, "must keep a row, but it flagged all 40"),
    ],
)
def test_what_another_filter_flags_is_checked(flagged, words):
    with pytest.raises(ValueError, match=f"`filter` {words}"):
        FilteredClassifier(LogisticRegression(), Flags(flagged)).fit(X, Y)


def test_a_share_that_selects_no_row_warns():
    with pytest.warns(UserWarning, match="`fraction` = 0.01 selects none of the 40 rows: Spectral"):
        assert not make("spectral", fraction=0.01).flag(X, Y).any()


@pytest.mark.parametrize("name", KINDS)
def test_a_failed_fit_leaves_a_fitted_one(name):
    model = make(name).fit(X, Y)
    before = {key: repr(value) for key, value in vars(model).items() if key.endswith("_")}
    failing = {"vote": {"transformer": NoTransform()}, "filtered": {"estimator": NoFit()}}
    model.set_params(**failing.get(name, {"estimator": net(NoModule)}))
    with pytest.raises(ZeroDivisionError, match="broke"):
        model.fit(X[:30, :3], np.array(["a", "b"] * 15))
    after = {key: repr(value) for key, value in vars(model).items() if key.endswith("_")}
    assert after == before
    assert re.search("n_features_in_", " ".join(after))


class NoTransform(StandardScaler):
    def fit(self, X, y=None, sample_weight=None):
        raise ZeroDivisionError("the transformer broke")


class NoModule:
    def __init__(self, n_features, n_classes):
        raise ZeroDivisionError("the module broke")
