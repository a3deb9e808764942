"""`LossTrimming` drops what it should, and no class."""

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB
from sklearn.svm import LinearSVC

from skpoison import (
    MLP,
    LabelFlip,
    LossTrimming,
    NetClassifier,
    PoisonedClassifier,
    robustness_curve,
)

NET = NetClassifier(MLP, module__width=64, lr=0.5, batch_size=32, max_epochs=15)


def test_drops_flipped_rows(split_digits):
    # Fails if rows of the largest loss are kept, or losses are those of another label.
    X, y, X_test, y_test = split_digits
    flips = LabelFlip(0.3, sampling="exact", random_state=0)
    y_poisoned = flips.poison(X, y)[1]
    victim = LogisticRegression(C=0.1)
    trimmed = LossTrimming(victim, 0.3, random_state=0).fit(X, y_poisoned)
    wrong = (y_poisoned != y)[trimmed.kept_indices_].mean()
    assert wrong < 0.05
    assert len(trimmed.kept_indices_) == len(y) - int(0.3 * len(y))
    alone = PoisonedClassifier(victim, flips).fit(X, y)
    assert trimmed.score(X_test, y_test) > alone.score(X_test, y_test) + 0.02


def test_no_fraction_is_the_estimator(digits):
    X, y = digits
    model = LossTrimming(LogisticRegression(), 0.0).fit(X, y)
    np.testing.assert_array_equal(model.kept_indices_, np.arange(len(y)))
    alone = LogisticRegression().fit(X, y)
    np.testing.assert_array_equal(model.predict_proba(X), alone.predict_proba(X))


@pytest.mark.parametrize("fraction", [0.5, 0.9, 0.999])
def test_no_class_goes_missing(fraction):
    # A class of a single row, in the midst of another. Fails if only the least losses are kept.
    rng = np.random.default_rng(0)
    X = rng.standard_normal((101, 2))
    y = np.r_[np.zeros(50), np.ones(50), 2]
    model = LossTrimming(GaussianNB(var_smoothing=0.1), fraction).fit(X, y)
    assert model.estimator_.classes_.tolist() == [0, 1, 2]
    assert 100 in model.kept_indices_
    assert len(model.kept_indices_) <= 101 - int(fraction * 101) + 3


def test_needs_probabilities(digits):
    with pytest.raises(TypeError, match="`estimator` must be a classifier with `predict_proba`"):
        LossTrimming(LinearSVC()).fit(*digits)


def test_a_net_that_diverges_is_no_crash(digits):
    with pytest.warns(UserWarning, match="diverged"):
        model = LossTrimming(clone(NET).set_params(lr=1e6), random_state=0).fit(*digits)
    assert model.predict(digits[0]).shape == (300,)


def test_in_a_study_and_images(digits):
    X, y = digits
    curve = robustness_curve(
        LossTrimming(NET, 0.2, 1),
        X.reshape(-1, 1, 8, 8),
        y,
        attacks={"flips": LabelFlip(0.2)},
        param_name="estimator__module__width",
        param_range=[16, 32],
        cv=2,
        random_state=0,
    )
    assert curve.scores["flips"].min() > 0.5


def test_a_failed_fit_leaves_a_fitted_one(digits):
    X, y = digits
    model = LossTrimming(LogisticRegression()).fit(X, y)
    before = model.predict_proba(X)
    model.estimator = LogisticRegression(C=-1)
    with pytest.raises(ValueError, match="'C' parameter"):
        model.fit(X[:, :5], y % 2)
    np.testing.assert_array_equal(model.predict_proba(X), before)


def test_columns_are_in_the_order_of_the_classes(digits):
    # Fails if an order that the estimator was given is not that of `classes_`.
    X, y = digits
    net = NetClassifier(MLP, module__width=8, lr=0.5, batch_size=16, random_state=0)
    net.set_params(classes=list(range(9, -1, -1)))
    model = LossTrimming(net, 0.1, 1, random_state=0).fit(X, y)
    labels = model.classes_[model.predict_proba(X).argmax(axis=1)]
    np.testing.assert_array_equal(labels, model.predict(X))


def test_a_share_of_rows_is_not_rounded_down_by_the_binary_system(digits):
    # 0.29 times 100 is 28.999999999999996: fails if 28 rows are dropped.
    X, y = digits
    model = LossTrimming(LogisticRegression(), 0.29, 1).fit(X[:100], y[:100] % 2)
    assert len(model.kept_indices_) == 71
