"""Any table, any victim: what an attack does not change comes back as it was."""

import re

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from scipy.sparse import issparse
from sklearn.base import clone
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression

from skpoison import (
    BackdoorPatch,
    BaseFeatureAttack,
    BaseLabelAttack,
    ChainedAttack,
    CleanLabelPGA,
    GradientMatching,
    LabelFlip,
    PoisonedClassifier,
    RandomNoise,
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
    surrogate = LogisticRegression(max_iter=20, tol=1e-2)
    return {
        "flip": flip,
        "flip by loss": LabelFlip(0.0, selection="loss", surrogate=chosen),
        "flip by margin": LabelFlip(0.0, selection="margin", surrogate=chosen),
        "own labels": NoNewLabel(),
        "noise": noise,
        "own features": Nothing(clip=None),
        "pga": CleanLabelPGA(surrogate, budget=0.0, clip=None),
        "matching": GradientMatching(surrogate, own(X, y), budget=0.0, clip=None),
        "backdoor": BackdoorPatch([0.5], rate=0.0),
        "chain": ChainedAttack([flip, noise]),
        "chain of flips": ChainedAttack([flip, flip]),
    }


def is_on_labels(name):
    return name.startswith("flip") or name in ("own labels", "chain of flips")


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
    # Fails if a category comes back as its code, NaN is refused where y alone is attacked, or text.
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
            if is_on_labels(name) or (content == "numbers" and container != "sparse"):
                found = poisoned.fit(*halves[0])
                np.testing.assert_array_equal(found.predict_proba(halves[1][0]), expected)
                continue
            column = {"codes": "code", "mixed": "length|place", "text": "length|place|day"}
            words = "must be dense .* use `X.toarray" if container == "sparse" else "column '({})'"
            if content == "codes" and container != "polars":
                poisoned.fit(*halves[0])  # Their labels are numbers.
                np.testing.assert_array_equal(poisoned.predict_proba(halves[1][0]), expected)
                continue
            with pytest.raises((ValueError, TypeError), match=words.format(column.get(content))):
                poisoned.fit(*halves[0])


@pytest.mark.parametrize(("container", "content"), PLACES)
def test_zero_strength_returns_what_was_given(container, content):
    X, y = table(container, content)
    for name, attack in idle_attacks(container, content).items():
        if is_on_labels(name):
            X_poisoned, y_poisoned = attack.poison(X, y)
            assert X_poisoned is X
        else:
            try:
                X_poisoned, y_poisoned = attack.poison(X, y)
            except (ValueError, TypeError) as error:
                assert re.search(r"column '\w+'|must be dense", str(error))
                continue
            assert X_poisoned is not X
            if hasattr(attack, "transform"):
                assert_same(attack.transform(X), X)
        assert_same(X_poisoned, X)
        assert_same(y_poisoned, y)
        assert len(attack.poison_indices_) == 0
