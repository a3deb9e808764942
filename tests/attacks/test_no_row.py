"""A strength over 0 that selects no row at all warns, in every attack; one of 0 never does."""

import warnings

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from skpoison import (
    BackdoorPatch,
    BaseFeatureAttack,
    ChainedAttack,
    CleanLabelPGA,
    GradientMatching,
    LabelFlip,
    LossTrimming,
    PoisonedClassifier,
)

RNG = np.random.default_rng(0)
X, Y = RNG.random((40, 3)), np.arange(40) % 2
LINEAR = LogisticRegression()


class Shrink(BaseFeatureAttack):
    """An attack as a user writes it."""

    def _perturb(self, X, y, random_state):
        return X.mean(axis=0) - X


def flip(rate, **options):
    return LabelFlip(rate, random_state=0, **options)


def chain(rate):
    return ChainedAttack([flip(0.0), flip(rate)])


def matrix(rate):
    return LabelFlip(transition=[[1 - rate, rate], [rate, 1 - rate]], random_state=0)


# How each is made of a strength.
ATTACKS = {
    "flip": flip,
    "exact flip": lambda rate: flip(rate, sampling="exact"),
    "chosen flip": lambda rate: flip(rate, selection="loss", surrogate=LINEAR),
    "matrix": matrix,
    "backdoor": lambda rate: BackdoorPatch([0.5], rate=rate, random_state=0),
    "pga": lambda share: CleanLabelPGA(LINEAR, budget=0.1, max_iter=2, max_fraction=share),
    "match": lambda share: GradientMatching(
        LINEAR, (X[:1], Y[1:2]), max_iter=2, max_fraction=share
    ),
    "own": lambda share: Shrink(max_fraction=share),
    "chain": chain,
    "inside": lambda rate: PoisonedClassifier(LINEAR, flip(rate)),
    "defence": lambda fraction: LossTrimming(LINEAR, fraction, n_rounds=1),
}
NAMES = {
    **{"flip": "rate", "exact flip": "rate", "chosen flip": "rate", "backdoor": "rate"},
    **{"pga": "max_fraction", "match": "max_fraction", "own": "max_fraction"},
    **{"matrix": "transition", "chain": "rate", "inside": "rate", "defence": "fraction"},
}


@pytest.mark.parametrize("name", ATTACKS)
def test_a_strength_that_selects_no_row_warns(name):
    # Fails if the fit passes for one that was poisoned.
    with pytest.warns(UserWarning, match=f"`{NAMES[name]}` = .* selects none of the 40 rows"):
        ATTACKS[name](0.001).fit(X, Y)


@pytest.mark.parametrize("name", ATTACKS)
@pytest.mark.parametrize("strength", [0.0, 0.2])
def test_a_strength_of_0_or_of_some_rows_does_not_warn(name, strength):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", ".*spent")
        ATTACKS[name](strength).fit(X, Y)


def test_a_budget_of_0_never_warns():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Shrink(budget=0.0, max_fraction=0.001).fit(X, Y)
