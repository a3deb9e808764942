"""What holds for every attack, beside what `skpoison.testing.check_attack` asks of each."""

import numpy as np
import pandas as pd
import pytest
from sklearn import config_context
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.tree import DecisionTreeClassifier

from skpoison import (
    BackdoorPatch,
    BaseAttack,
    BaseFeatureAttack,
    BaseLabelAttack,
    ChainedAttack,
    CleanLabelPGA,
    GradientMatching,
    LabelFlip,
    RandomNoise,
)


class Shrink(BaseFeatureAttack):
    """An attack as a user writes it."""

    def _perturb(self, X, y, random_state):
        return X.mean(axis=0) - X


class AllFirst(BaseLabelAttack):
    """An attack as a user writes it."""

    def _relabel(self, X, codes, n_classes, random_state):
        return np.zeros_like(codes)


FEATURE_ATTACKS = [
    CleanLabelPGA(LogisticRegression(), norm="l2,inf", budget=0.3, max_iter=5),
    CleanLabelPGA(LogisticRegression(), norm="l2,1", budget=3.0, max_iter=10),
    RandomNoise(norm="l2,inf", budget=0.3, random_state=0),
    Shrink(norm="l2,inf", budget=0.3),
]
LABEL_ATTACKS = [
    LabelFlip(0.3, random_state=0),
    LabelFlip(0.3, selection="loss", surrogate=LogisticRegression(), random_state=0),
    LabelFlip(0.3, selection="margin", surrogate=DecisionTreeClassifier(), random_state=0),
    BackdoorPatch([0.5], random_state=0),
    AllFirst(),
]
CHAINED = ChainedAttack([RandomNoise(norm="l2,inf", budget=0.3, random_state=0), LabelFlip(0.3)])
CHAINED.set_params(labelflip__random_state=0)
ATTACKS = [*FEATURE_ATTACKS, *LABEL_ATTACKS, CHAINED]


def name(attack):
    return f"{type(attack).__name__}-{getattr(attack, 'norm', '')}"


every = pytest.mark.parametrize("attack", ATTACKS, ids=name)


@every
def test_bits_do_not_depend_on_how_the_rows_lie_in_memory(attack, digits):
    # Fails if a sum runs along the memory of the caller, or a surrogate is fitted on it.
    X, y = digits
    expected = clone(attack).poison(X, y)
    backwards = np.ascontiguousarray(X[::-1, ::-1])[::-1, ::-1]
    for same in (np.asfortranarray(X), np.repeat(X, 2, axis=1)[:, ::2], backwards):
        assert not same.flags.c_contiguous
        for part, other in zip(clone(attack).poison(same, y), expected, strict=True):
            np.testing.assert_array_equal(part, other)


@every
def test_frames_and_series_keep_their_labels(attack, digits):
    X, y = digits
    index = np.random.default_rng(0).permutation(len(y)) + 1000
    frame = pd.DataFrame(X, index=index, columns=[f"pixel{i}" for i in range(64)])
    series = pd.Series(y, index=index, name="digit")
    X_poisoned, y_poisoned = clone(attack).poison(frame, series)
    expected = clone(attack).poison(X, y)
    pd.testing.assert_frame_equal(
        X_poisoned, pd.DataFrame(expected[0], index=index, columns=frame.columns)
    )
    pd.testing.assert_series_equal(y_poisoned, pd.Series(expected[1], index=index, name="digit"))


LETTERS = np.array(list("abcdefghij"))
LABELS = {
    "categories": lambda y: pd.Series(pd.Categorical(LETTERS[y], list("jihgfedcba"), ordered=True)),
    "a Categorical": lambda y: pd.Categorical(LETTERS[y]),
    "strings": lambda y: pd.Series(LETTERS[y], dtype="string"),
    "nullable integers": lambda y: pd.Series(y, dtype="Int64"),
    "nullable booleans": lambda y: pd.Series(y > 4, dtype="boolean"),
    "an array of pandas": lambda y: pd.array(y, dtype="Int8"),
    "days": lambda y: pd.Series(np.datetime64("2026-11-01") + y),
    "a column": lambda y: pd.DataFrame({"digit": LETTERS[y]}, index=-np.arange(len(y))),
}


@every
@pytest.mark.parametrize("kind", LABELS)
@pytest.mark.filterwarnings("ignore:A column-vector y:sklearn.exceptions.DataConversionWarning")
def test_labels_keep_container_and_dtype(attack, kind, digits):
    # Fails if categories come back as strings, or nullable integers as floats.
    X, y = digits
    y = y % 9 if kind == "nullable booleans" else y
    given = LABELS[kind](y)
    _, poisoned = clone(attack).poison(X, given)
    assert type(poisoned) is type(given)
    if kind == "a column":
        pd.testing.assert_index_equal(poisoned.index, given.index)
        given, poisoned = given["digit"], poisoned["digit"]
    assert poisoned.dtype == given.dtype
    plain = given.to_numpy() if kind == "days" else np.array(given.tolist())
    _, expected = clone(attack).poison(X, plain)
    assert poisoned.tolist() == pd.Series(expected).tolist()


class NewLabel(BaseAttack):
    random_state = None

    def _poison(self, X, y, random_state):
        return X.copy(), np.where(y == "a", "new", y)


def test_a_label_of_no_category_is_not_lost(digits):
    X, y = digits
    given = pd.Series(pd.Categorical(LETTERS[y]))
    _, poisoned = NewLabel().poison(X, given)
    assert (poisoned == "new").sum() == (y == 0).sum()


@pytest.mark.parametrize("attack", FEATURE_ATTACKS, ids=name)
def test_images_are_no_frame(attack, digits):
    images, y = digits[0].reshape(-1, 1, 8, 8), digits[1]
    attack = clone(attack).fit(images, y)
    words = (
        r"`transform` of `set_output` must be 'default' for rows of shape \(1, 8, 8\), .*'pandas'"
    )
    asked = clone(attack).set_output(transform="pandas").fit(images, y)
    for call in (lambda: asked.fit_transform(images, y), lambda: asked.transform(images)):
        with pytest.raises(ValueError, match=words):
            call()
    with config_context(transform_output="pandas"), pytest.raises(ValueError, match=words):
        attack.transform(images)
    assert attack.transform(images).shape == images.shape


@every
def test_integers_become_float32_unscaled(attack, digits):
    X, y = digits
    pixels = (X * 16).astype(np.uint8)
    attack = clone(attack)
    if hasattr(attack, "clip"):
        attack.set_params(clip=(0, 16))
    if isinstance(attack, ChainedAttack):
        attack.set_params(randomnoise__clip=(0, 16))
    X_poisoned, _ = attack.poison(pixels, y)
    if isinstance(attack, BaseLabelAttack):
        assert X_poisoned is pixels
        return
    assert X_poisoned.dtype == np.float32
    expected, _ = clone(attack).poison(pixels.astype(np.float32), y)
    np.testing.assert_array_equal(X_poisoned, expected)


@every
def test_large_integers_keep_their_values(attack):
    # Fails if they become float32: of seven digits.
    rng = np.random.default_rng(0)
    X, y = 1_700_000_000 + rng.integers(0, 100, (60, 3)), np.arange(60) % 2
    attack = clone(attack)
    for name in {"clip", "randomnoise__clip"} & attack.get_params().keys():
        attack.set_params(**{name: None})
    X_poisoned, _ = attack.poison(X, y)
    if isinstance(attack, BaseLabelAttack):
        assert X_poisoned is X
        return
    assert X_poisoned.dtype == np.float64
    rows = np.setdiff1d(np.arange(60), attack.poison_indices_)
    np.testing.assert_array_equal(X_poisoned[rows], X[rows])


@every
def test_images_keep_their_axes(attack, digits):
    X, y = digits
    X_poisoned, y_poisoned = clone(attack).poison(X.reshape(-1, 1, 8, 8), y)
    expected_X, expected_y = clone(attack).poison(X, y)
    np.testing.assert_allclose(X_poisoned, expected_X.reshape(-1, 1, 8, 8), atol=1e-12)
    np.testing.assert_array_equal(y_poisoned, expected_y)


@every
@pytest.mark.filterwarnings("ignore:.* selects none of the:UserWarning")
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_lists_are_taken(attack):
    X = [[0.1, 0.2], [0.3, 0.9], [0.5, 0.4], [0.8, 0.7]]
    X_poisoned, y_poisoned = clone(attack).poison(X, ["a", "b", "a", "b"])
    if isinstance(attack, BaseLabelAttack):
        assert X_poisoned is X
    else:
        assert X_poisoned.shape == (4, 2)
    assert type(y_poisoned) is list
    assert set(y_poisoned) <= {"a", "b"}


@pytest.mark.parametrize(
    "attack",
    [
        RandomNoise(norm="l2,1", budget=0.0),
        RandomNoise(norm="l2,inf", budget=0.0),
        Shrink(budget=0.0),
        Shrink(max_fraction=0.0),
        LabelFlip(0.0),
        LabelFlip(0.0, transition="uniform", sampling="exact"),
        LabelFlip(0.0, selection="loss", surrogate=LogisticRegression()),
        BackdoorPatch([0.5], rate=0.0),
        GradientMatching(LogisticRegression(), ([[0.5] * 64], [3]), budget=0.0),
        GradientMatching(LogisticRegression(), ([[0.5] * 64], [3]), max_fraction=0.0),
        ChainedAttack([RandomNoise(budget=0.0), LabelFlip(0.0)]),
    ],
    ids=str,
)
def test_zero_budget_is_identity(attack, digits):
    X, y = digits
    X_poisoned, y_poisoned = attack.poison(X, y)
    np.testing.assert_array_equal(X_poisoned, X)
    np.testing.assert_array_equal(y_poisoned, y)
    assert len(attack.poison_indices_) == 0


@pytest.mark.parametrize("attack", FEATURE_ATTACKS, ids=name)
def test_feature_attacks_are_transformers(attack, digits):
    # Fails if transform attacks what is predicted.
    X, y = digits
    poisoned, _ = clone(attack).poison(X, y)
    fitted = clone(attack)
    np.testing.assert_array_equal(fitted.fit_transform(X, y), poisoned)
    np.testing.assert_array_equal(fitted.transform(X), X)
    assert not np.shares_memory(fitted.transform(X), X)
    assert not hasattr(attack, "fit_resample")
    frame = pd.DataFrame(X, columns=[f"pixel{i}" for i in range(64)])
    fitted = clone(attack).set_output(transform="pandas").fit(frame, y)
    assert fitted.get_feature_names_out().tolist() == frame.columns.tolist()
    pd.testing.assert_frame_equal(fitted.transform(frame), frame)


@pytest.mark.parametrize("norm", ["l2,1", "l2,inf"])
def test_base_holds_the_budget_of_an_attack_that_asks_for_more(norm, digits):
    # Fails if the base trusts the hook.
    X, y = digits
    attack = Shrink(norm=norm, budget=0.5, max_fraction=0.3).fit(X, y)
    size = attack.perturbation_norms_
    assert (size.sum() if norm == "l2,1" else size.max()) <= attack.budget_ * (1 + 1e-6)
    assert (size > 0).sum() <= 0.3 * len(y)


class Brighten(BaseFeatureAttack):
    def _perturb(self, X, y, random_state):
        return np.full(X.shape, 10.0)


def test_base_holds_the_box_of_an_attack_that_leaves_it(digits):
    # Fails if the base trusts the hook.
    X, y = digits
    X_poisoned, _ = Brighten(norm="l2,inf", budget=5.0).poison(X, y)
    assert X_poisoned.max() == 1.0
    assert Brighten(norm="l2,inf", budget=5.0, clip=None).poison(X, y)[0].max() > 1


class BrightenSome(BaseFeatureAttack):
    """Asks for one of two perturbations, as far as the labels say."""

    def _perturb(self, X, y, random_state):
        return np.where(y[:, np.newaxis] == 1, 0.1, 0.05)


@pytest.mark.parametrize(
    "attack", [Brighten(), BrightenSome(), CleanLabelPGA(LogisticRegression(), max_iter=2)]
)
def test_of_rows_that_are_alike_the_first_change(attack):
    # Fails if the sort is not stable: which rows change would be up to numpy's algorithm.
    X, y = np.repeat([[0.2], [0.8]], 100, axis=0), np.repeat([0, 1], 100)
    order = np.random.default_rng(0).permutation(200)
    attack = clone(attack).set_params(norm="l2,inf", budget=0.1, max_fraction=0.25)
    changed = attack.fit(X[order], y[order]).poison_indices_
    assert len(changed) == 50
    for label in (0, 1):
        own = np.flatnonzero(y[order] == label)
        kept = np.isin(own, changed)
        assert (np.diff(kept.astype(int)) <= 0).all()


@pytest.mark.parametrize("attack", FEATURE_ATTACKS, ids=name)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_rounding_may_leave_the_box(attack, dtype, digits):
    # MinMaxScaler gives 1.0000000000000002. Fails if it is refused, or taken for poison.
    X, y = np.array(digits[0], dtype=dtype), digits[1]
    X[X == 1] = np.nextafter(dtype(1), dtype(2))
    X_poisoned, _ = clone(attack).poison(X, y)
    assert X_poisoned.max() <= X.max()
    still = clone(attack).set_params(budget=0.0)
    if not isinstance(still, RandomNoise) or still.norms is None:
        np.testing.assert_array_equal(still.poison(X, y)[0], X)
    with pytest.raises(ValueError, match="inside `clip`"):
        clone(attack).poison(X * dtype(1.0001), y)


def test_chained_attack_is_one_after_the_other(digits):
    # Fails if each attack is given the clean data.
    X, y = digits
    flip = LabelFlip(0.5, random_state=0)
    _, once = flip.poison(X, y)
    _, twice = flip.poison(X, once)
    chained = ChainedAttack([flip, flip])
    np.testing.assert_array_equal(chained.poison(X, y)[1], twice)
    assert len(chained.attacks_) == 2
    assert chained.attacks_[0] is not flip
    assert set(chained.get_params()) >= {"labelflip-1__rate", "labelflip-2__rate", "attacks"}


def test_chained_attack_sets_parameters_of_its_own_list(digits):
    attacks = [LabelFlip(0.1), RandomNoise()]
    chained = ChainedAttack(attacks)
    chained.set_params(labelflip__rate=0.7)
    assert chained.get_params()["labelflip__rate"] == 0.7
    other = LabelFlip(0.2)
    chained.set_params(labelflip=other)
    assert attacks[0].rate == 0.7
    assert chained.attacks[0] is other
    for name in ("flip__rate", "labelflip__", "rate"):
        with pytest.raises(ValueError, match=f"Invalid parameter '{name}'"):
            chained.set_params(**{name: 0.1})
    assert chained.set_params() is chained
    assert chained.set_params(attacks=attacks, randomnoise__budget=2.0) is chained
    assert [type(attack) for attack in chained.attacks] == [LabelFlip, RandomNoise]
    assert attacks[1].budget == 2.0
    nested = ChainedAttack([ChainedAttack([LabelFlip(0.1)])])
    nested.set_params(chainedattack__labelflip__rate=0.9)
    assert nested.attacks[0].attacks[0].rate == 0.9
