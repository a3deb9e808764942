"""The conformance suite: our attacks pass it, and each of its checks catches a broken attack."""

import inspect
import random

import numpy as np
import pytest
import torch
from sklearn.dummy import DummyClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.tree import DecisionTreeClassifier

from skpoison import (
    MLP,
    BackdoorPatch,
    BaseAttack,
    BaseFeatureAttack,
    BaseLabelAttack,
    ChainedAttack,
    CleanLabelPGA,
    GradientMatching,
    LabelFlip,
    NetClassifier,
    RandomNoise,
    project_l2inf,
)
from skpoison.testing import _requirements, check_attack

LINEAR = LogisticRegression(C=0.1, tol=0.01)
NET = NetClassifier(MLP, module__width=8, max_epochs=8, lr=0.5, batch_size=32)
NOISE = RandomNoise(norm="l2,inf", budget=0.5)


def matching(surrogate, **options):
    """An attack whose targets, rows and labels, are made of the data that it is tried on."""

    def make(X, y):
        target = X[:2], np.roll(np.unique(y), 1)[:2]
        return GradientMatching(surrogate, target, max_iter=5, **options)

    return make


PASSING = {
    "flip": (LabelFlip(0.3), {}),
    "uniform": (LabelFlip(0.5, transition="uniform"), {"effective": False}),
    "exact": (LabelFlip(0.3, sampling="exact"), {}),
    "matrix": (LabelFlip(transition=np.full((10, 10), 0.1)), {"idle": {"transition": np.eye(10)}}),
    "margin": (LabelFlip(0.4, selection="margin", surrogate=LINEAR), {}),
    "loss": (
        LabelFlip(0.3, sampling="exact", selection="loss", surrogate=LINEAR),
        {},
    ),
    "loss of a tree": (
        LabelFlip(0.3, selection="loss", surrogate=DecisionTreeClassifier(max_depth=4)),
        {},
    ),
    # Targeted: right on clean rows, and so no worse there than noise.
    "matching": (matching(LINEAR), {"effective": False}),
    "matching, a total": (matching(NET, norm="l2,1", budget=5.0), {"effective": False}),
    "backdoor": (
        lambda X, y: BackdoorPatch([1.0], target=np.unique(y)[3], rate=0.2),
        {"effective": False},
    ),
    "A": (CleanLabelPGA(LINEAR, norm="l2,1", budget=25.0, max_iter=20), {}),
    "B": (CleanLabelPGA(LINEAR, norm="l2,inf", budget=1.0, max_iter=20), {}),
    "fraction": (
        CleanLabelPGA(
            LINEAR, budget=25.0, loss="cross_entropy", max_iter=20, max_fraction=0.5, clip=None
        ),
        {},
    ),
    "net": (CleanLabelPGA(NET, norm="l2,inf", budget=1.0, max_iter=10), {}),
    "noise": (NOISE, {"effective": False}),
    "total noise": (RandomNoise(norm="l2,1", budget=10.0), {"effective": False}),
    "chain": (ChainedAttack([NOISE, LabelFlip(0.3)]), {}),
}


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("name", PASSING)
def test_our_attacks_pass(name):
    attack, options = PASSING[name]
    passed = check_attack(attack, **options)
    # Fails if a check of the file is never run.
    known = {name for name, _ in inspect.getmembers(_requirements, inspect.isfunction)}
    known = {n for n in known if getattr(_requirements, n).__module__ == _requirements.__name__}
    known -= {"check_effective"} if "effective" in options else set()
    assert set(passed) == {n for n in known if n.startswith("check_")}


class Good(BaseLabelAttack):
    """All labels of the first half of the classes move by one: the broken ones differ by a line."""

    def __init__(self, *, rate=0.5, random_state=None):
        self.rate = rate
        self.random_state = random_state

    def _relabel(self, X, codes, n_classes, random_state):
        flip = random_state.random_sample(len(codes)) < self.rate
        return np.where(flip, (codes + 1) % n_classes, codes)


class WritesToX(Good):
    def poison(self, X, y):
        new = super().poison(X, y)
        X *= 0.5
        return new


class SharesMemory(Good):
    def poison(self, X, y):
        _, y = super().poison(X, y)
        return X[:], y  # X itself may come back, but no view of it


class Shuffles(Good):
    def poison(self, X, y):
        X_new, y_new = super().poison(X, y)
        order = np.random.RandomState(0).permutation(len(X))
        return X_new[order], y_new[order]


class DropsARow(Good):
    def poison(self, X, y):
        X_new, y_new = super().poison(X, y)
        return X_new[1:].copy(), y_new[1:]


class MakesDoubles(Good):
    def poison(self, X, y):
        X_new, y_new = super().poison(X, y)
        return X_new.astype(np.float64), y_new


class CountsWrongRows(Good):
    def poison(self, X, y):
        new = super().poison(X, y)
        self.poison_indices_ = self.poison_indices_[1:]
        return new


class KeepsTheData(Good):
    def poison(self, X, y):
        self.X_ = X
        return super().poison(X, y)


class DoesNothing(Good):
    def _relabel(self, X, codes, n_classes, random_state):
        return codes.copy()


class UsesGlobalGenerator(Good):
    def _relabel(self, X, codes, n_classes, random_state):
        return super()._relabel(X, codes, n_classes, np.random.mtrand._rand)


class SeedsGlobalGenerators(Good):
    def _relabel(self, X, codes, n_classes, random_state):
        # As scripts do: after the first run nothing moves any more.
        np.random.seed(0)  # noqa: NPY002
        torch.manual_seed(0)
        return super()._relabel(X, codes, n_classes, random_state)


class UsesPythonsGenerator(Good):
    def _relabel(self, X, codes, n_classes, random_state):
        random.random()
        return super()._relabel(X, codes, n_classes, random_state)


class Remembers(Good):
    def _relabel(self, X, codes, n_classes, random_state):
        self.runs_ = getattr(self, "runs_", 0) + 1
        return np.roll(super()._relabel(X, codes, n_classes, random_state), self.runs_ - 1)


class ForgetsItsSeed(Good):
    def __getstate__(self):
        return {**super().__getstate__(), "random_state": 1}


class IgnoresRate(Good):
    def _relabel(self, X, codes, n_classes, random_state):
        return (codes + 1) % n_classes


class ReadsNumbers(Good):
    def poison(self, X, y):
        X_new, y_new = super().poison(X, y)
        return X_new, np.where(y == np.sort(y)[0], y, y_new) if y.dtype.kind == "U" else y_new


class FillsNaN(Good):
    def poison(self, X, y):
        _, y_new = super().poison(np.nan_to_num(X), y)
        return np.nan_to_num(X), y_new


class IsBoth(Good):
    def fit_transform(self, X, y):
        return self.poison(X, y)[0]


class OtherResample(Good):
    def fit_resample(self, X, y):
        return X, y


class LosesTheFrame(Good):
    def poison(self, X, y):
        X_new, y_new = super().poison(X, y)
        return np.asarray(X_new), y_new


class FlattensImages(Good):
    def poison(self, X, y):
        X_new, y_new = super().poison(X, y)
        return (X_new.reshape(len(X), -1) if np.ndim(X) == 4 else X_new), y_new


class ScalesIntegers(Good):
    def poison(self, X, y):
        X_new, y_new = super().poison(X, y)
        is_scaled = getattr(X, "dtype", None) == np.uint8
        return (X_new / np.float32(255) if is_scaled else X_new), y_new


class Shrink(BaseFeatureAttack):
    """Moves rows towards the mean: hurts no more than noise of this size."""

    def _perturb(self, X, y, random_state):
        return X.mean(axis=0) - X


class Overspends(Shrink):
    def poison(self, X, y, out=None):
        X_new, y_new = super().poison(X, y)
        return X + 2 * (X_new - X), y_new


class RoundsLast(Shrink):
    """Keeps the budget, and then rounds: which only coarse rows show."""

    def _poison(self, cells, y, random_state, out=None):
        X = cells.rows
        delta = project_l2inf(X.mean(axis=0, dtype=np.float64) - X, self.budget)
        return np.clip(X + delta, *self.clip).astype(X.dtype), y.copy()


class LeavesTheBox(Shrink):
    def poison(self, X, y, out=None):
        X_new, y_new = super().poison(X, y)
        return X - (X_new - X), y_new


class MovesOtherColumns(Shrink):
    def poison(self, X, y, out=None):
        if self.columns is None:
            return super().poison(X, y)
        return type(self)(**{**self.get_params(), "columns": None}).poison(X, y)


class IgnoresTheScale(Shrink):
    def _check_and_poison(self, X, y, **out):
        self.scale, scale = None, self.scale
        new = super()._check_and_poison(X, y, **out)
        self.scale = scale
        return new


class LeavesTheRange(Shrink):
    def _check_and_poison(self, X, y, **out):
        self.clip, clip = None if self.clip == "range" else self.clip, self.clip
        new = super()._check_and_poison(X, y, **out)
        self.clip = clip
        return new

    def _perturb(self, X, y, random_state):
        return X - X.mean(axis=0)


class MakesFractions(Shrink):
    def _check_and_poison(self, X, y, **out):
        self.whole, whole = None, self.whole
        new = super()._check_and_poison(X, y, **out)
        self.whole = whole
        return new


class AttacksWhatIsPredicted(Shrink):
    def transform(self, X):
        return super().transform(X) * 0.9


class TransformsOtherwise(Shrink):
    def fit_transform(self, X, y):
        self.poison(X, y)
        return np.array(X)


class FlipsToo(Shrink):
    def poison(self, X, y, out=None):
        X_new, y_new = super().poison(X, y)
        return X_new, np.roll(y_new, 1)


class FlipsMore(LabelFlip):
    def _relabel(self, X, codes, n_classes, random_state):
        return (super()._relabel(X, codes, n_classes, random_state) + (codes == 0)) % n_classes


class InMaximumNorm(BaseAttack):
    """A norm that skpoison does not know: each pixel moves by at most the budget."""

    def __init__(self, *, norm="linf", budget=0.1, random_state=None):
        self.norm = norm
        self.budget = budget
        self.random_state = random_state

    def _poison(self, X, y, random_state):
        return X + np.where(X > 0.5, -self.budget, self.budget).astype(X.dtype), y.copy()

    def fit_resample(self, X, y):
        return self.poison(X, y)


SHRINK = {"norm": "l2,inf", "budget": 0.5}
BROKEN = [
    (WritesToX(), "leave the caller's data alone"),
    (SharesMemory(), "return new arrays"),
    (Shuffles(), "list the rows that changed in `poison_indices_`"),
    (DropsARow(), "keep the shape of X"),
    (MakesDoubles(), "keep the dtype float32"),
    (CountsWrongRows(), "list the rows that changed in `poison_indices_`"),
    (KeepsTheData(), "keep no copy of the data"),
    (DoesNothing(), "change something"),
    (UsesGlobalGenerator(), "leave the global random generators alone, but .*numpy"),
    (SeedsGlobalGenerators(), "leave the global random generators alone, but .*numpy.*torch"),
    (UsesPythonsGenerator(), "leave the global random generators alone, but .*Python"),
    (Remembers(), "give equal bytes for equal seeds, but not when run again"),
    (ForgetsItsSeed(), "poison as before, but not when unpickled"),
    (IgnoresRate(), r"change nothing with \{'rate': 0.0\}"),
    (ReadsNumbers(), "take labels that are strings"),
    (FillsNaN(), "leave missing cells, and no others, missing"),
    (IsBoth(), "not both"),
    (OtherResample(), "return from `fit_resample` what `poison` does"),
    (LosesTheFrame(), "return a DataFrame"),
    (FlattensImages(), "keep images"),
    (ScalesIntegers(), "not scale integers"),
    (Overspends(**SHRINK), "stay within `budget` = 0.5"),
    (MovesOtherColumns(**SHRINK), "change only cells in `columns`"),
    (IgnoresTheScale(**SHRINK), "stay within `budget` .* in units of scale='std'"),
    (LeavesTheRange(**SHRINK), "keep each column in its range"),
    (MakesFractions(**SHRINK), "keep whole numbers whole"),
    (RoundsLast(**SHRINK), "stay within `budget` = .*, but spent .* on float16 rows"),
    (LeavesTheBox(**SHRINK), "keep X inside `clip`"),
    (AttacksWhatIsPredicted(**SHRINK), "leave alone what is predicted"),
    (TransformsOtherwise(**SHRINK), "return the poisoned X from `fit_transform`"),
    (FlipsToo(**SHRINK), "leave labels alone"),
    (FlipsMore(0.3, sampling="exact"), "flip exactly 150 labels"),
    (Shrink(**SHRINK), "hurt more than noise"),
]


@pytest.mark.parametrize(("attack", "rule"), BROKEN, ids=lambda value: type(value).__name__)
def test_a_broken_attack_is_caught(attack, rule):
    with pytest.raises(AssertionError, match=f"{type(attack).__name__} must.*{rule}"):
        check_attack(attack)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_strong_attacks_integers_and_other_norms_pass(digits):
    # Fails if rows must stay near their own, if integers must stay integers, or if any norm is l2.
    X, y = digits
    check_attack(CleanLabelPGA(LogisticRegression(), norm="l2,inf", budget=4.0, max_iter=5))
    check_attack(LabelFlip(0.4), X=(16 * X).astype(int), y=y)
    check_attack(InMaximumNorm(budget=0.1), effective=False)


def test_the_attack_that_the_broken_ones_are_made_of_passes():
    check_attack(Good())
    check_attack(Shrink(**SHRINK), effective=False)


def test_data_and_victim_of_the_user(digits):
    # Fails if a check goes on with digits, or with a logistic regression.
    X, y = digits[0].reshape(-1, 1, 8, 8)[y_is_small(digits)], digits[1][y_is_small(digits)]
    victim = NetClassifier(MLP, module__width=8, max_epochs=4, lr=0.5, batch_size=16)
    passed = check_attack(LabelFlip(0.45, sampling="exact"), X=X, y=y, victim=victim)
    assert "check_frames" not in passed
    assert "check_images" not in passed
    with pytest.raises(AssertionError, match="hurt more than noise"):
        check_attack(LabelFlip(0.3), victim=DummyClassifier(strategy="constant", constant=1))
    check_attack(LabelFlip(0.4), victim=DecisionTreeClassifier())


def y_is_small(digits):
    return digits[1] < 2


class AllFirst(BaseLabelAttack):
    def _relabel(self, X, codes, n_classes, random_state):
        return np.zeros_like(codes)


def test_what_cannot_be_checked_is_an_error(digits):
    with pytest.raises(ValueError, match="`idle` must be given"):
        check_attack(AllFirst())
    assert "check_idle" not in check_attack(AllFirst(), idle=None, victim=DecisionTreeClassifier())
    with pytest.raises(ValueError, match="`X` and `y` must be given together"):
        check_attack(AllFirst(), X=digits[0])
    with pytest.raises(TypeError, match="`effective` must be True or False"):
        check_attack(AllFirst(), effective="yes")
