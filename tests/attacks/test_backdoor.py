import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.dummy import DummyClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_validate
from sklearn.tree import DecisionTreeClassifier

from skpoison import BackdoorPatch, PoisonedClassifier, robustness_curve

CORNER = np.full((8, 8), np.nan)
CORNER[-2:, -2:] = 1.0


@pytest.mark.filterwarnings("ignore:.* selects none of the:UserWarning")
@settings(deadline=None, max_examples=40)
@given(
    st.integers(4, 80),
    st.floats(0, 1),
    st.integers(0, 2),
    st.sampled_from([np.float32, np.float64]),
    st.integers(0, 10**6),
)
def test_exact_rate_of_other_rows_gets_patch_and_label(n, rate, target, dtype, seed):
    # Fails if rows that have the label already are drawn, or rows are stamped that keep theirs.
    rng = np.random.default_rng(seed)
    X, y = rng.random((n, 5)).astype(dtype), np.arange(n) % 3
    patch = np.array([np.nan, 2.0, np.nan, np.nan, -1.0])
    attack = BackdoorPatch(patch, target, rate, random_state=seed)
    X_new, y_new = attack.poison(X, y)
    changed = attack.poison_indices_
    assert len(changed) == min(round(rate * n), (y != target).sum())
    assert (y_new != y).sum() == len(changed)
    assert (y_new[changed] == target).all()
    np.testing.assert_array_equal(X_new[changed], attack.stamp(X)[changed])
    others = np.setdiff1d(np.arange(n), changed)
    np.testing.assert_array_equal(X_new[others], X[others])
    np.testing.assert_array_equal(y_new[others], y[others])
    assert X_new.dtype == dtype


def test_stamp_sets_the_patch_and_nothing_else(digits):
    # Fails if NaN is written, or if the patch lands in the caller's array.
    X = digits[0]
    attack = BackdoorPatch(CORNER.ravel())
    stamped, before = attack.stamp(X), X.copy()
    is_patch = ~np.isnan(CORNER.ravel())
    assert (stamped[:, is_patch] == 1.0).all()
    np.testing.assert_array_equal(stamped[:, ~is_patch], X[:, ~is_patch])
    np.testing.assert_array_equal(X, before)
    np.testing.assert_array_equal(attack.stamp(stamped), stamped)
    frame = pd.DataFrame(X, columns=[f"pixel {k}" for k in range(64)])
    assert attack.stamp(frame).columns.tolist() == frame.columns.tolist()
    np.testing.assert_array_equal(attack.stamp(frame), stamped)
    images = BackdoorPatch(CORNER).stamp((X * 16).astype(np.uint8).reshape(-1, 1, 8, 8))
    assert images.dtype == np.float32
    assert images.shape == (len(X), 1, 8, 8)
    assert (images[:, 0, -2:, -2:] == 1).all()


def test_a_patch_by_name_is_one_by_place(digits):
    # Fails if a named patch goes by the order of its names.
    X, y = digits
    frame = pd.DataFrame(X, columns=[f"pixel {k}" for k in range(64)])
    by_place = np.full(64, np.nan)
    by_place[[3, 60]] = 1.0, 0.25
    expected = BackdoorPatch(by_place, random_state=0).poison(frame, y)
    named = {"pixel 60": 0.25, "pixel 3": 1.0}
    for patch in (named, pd.Series(named)):
        attack = BackdoorPatch(patch, random_state=0)
        pd.testing.assert_frame_equal(attack.stamp(frame), BackdoorPatch(by_place).stamp(frame))
        for part, other in zip(attack.poison(frame, y), expected, strict=True):
            np.testing.assert_array_equal(part, other)
        pd.testing.assert_frame_equal(attack.stamp(frame), BackdoorPatch(by_place).stamp(frame))
    # A Series that has no names is an array.
    stamped = BackdoorPatch(pd.Series(by_place)).stamp(X)
    np.testing.assert_array_equal(stamped, BackdoorPatch(by_place).stamp(X))


def test_success_rate_leaves_rows_of_the_target_out(digits):
    # Fails if the rows are not stamped, or those of the target are counted.
    X, y = digits
    attack = BackdoorPatch(CORNER.ravel(), target=3)
    always = DummyClassifier(strategy="constant", constant=3).fit(X, y)
    never = DummyClassifier(strategy="constant", constant=4).fit(X, y)
    assert (attack.success_rate(always, X, y), attack.success_rate(never, X, y)) == (1.0, 0.0)
    assert np.isnan(attack.success_rate(always, X[y == 3], y[y == 3]))
    # A patch that is on all rows already, and a victim that knows them by heart.
    right = DecisionTreeClassifier(random_state=0).fit(X, y)
    patch = np.where(np.arange(64) == 0, 0.0, np.nan)
    assert BackdoorPatch(patch, target=3).success_rate(right, X, y) == 0.0
    sees = LogisticRegression().fit(X, y)
    sees.coef_[:], sees.intercept_[:] = 0, 0
    sees.coef_[3, -1], sees.intercept_[4] = 2.0, 1.5
    assert attack.success_rate(sees, X, y) == 1.0
    assert np.mean(sees.predict(X[y != 3]) == 3) < 0.2


def test_backdoor_opens_and_clean_rows_stay_right(digits):
    # Fails if the labels of stamped rows stay; the control has the labels without the patch.
    X, y = digits
    attack = BackdoorPatch(CORNER.ravel(), target=0, rate=0.1, random_state=0)
    both = {"success": attack.success_rate, "accuracy": "accuracy"}
    victim = LogisticRegression()
    opened = cross_validate(PoisonedClassifier(victim, attack), X, y, scoring=both, cv=3)
    clean = cross_validate(PoisonedClassifier(victim), X, y, scoring=both, cv=3)
    assert opened["test_success"].mean() > 0.8
    assert clean["test_success"].mean() < 0.2
    assert opened["test_accuracy"].mean() > clean["test_accuracy"].mean() - 0.05


@pytest.mark.parametrize("labels", [np.array(list("cab")), np.array([7, -1, 3])])
def test_target_of_none_is_the_first_class(labels):
    y = labels[np.arange(30) % 3]
    X = np.random.default_rng(0).random((30, 2))
    attack = BackdoorPatch([9.0, np.nan], rate=0.5, random_state=0).fit(X, y)
    assert attack.target_ == np.sort(labels)[0]
    model = LogisticRegression().fit(*attack.poison(X, y))
    named = BackdoorPatch([9.0, np.nan], target=np.sort(labels)[0])
    assert attack.success_rate(model, X, y) == named.success_rate(model, X, y)


def test_a_study_scores_the_trigger(digits):
    X, y = digits
    attack = BackdoorPatch(CORNER.ravel(), rate=0.1)
    curve = robustness_curve(
        LogisticRegression(),
        X,
        y,
        attacks={"clean": None, "backdoor": attack},
        param_name="C",
        param_range=[1.0],
        cv=2,
        scoring=attack.success_rate,
        random_state=0,
    )
    assert curve.scores["backdoor"].mean() > curve.scores["clean"].mean() + 0.5
