"""Plain tables and labels are checked in the short way, which finds what the long way finds."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.base import BaseEstimator

from skpoison import _validation
from skpoison._validation import check_rows, encode_labels


def test_a_plain_table_does_not_go_through_scikit_learns_checks(monkeypatch):
    # They take a fifth of the time of making a small net, of which an ensemble makes thousands.
    def refused(*args, **kwargs):
        raise AssertionError

    monkeypatch.setattr(_validation, "validate_data", refused)
    for dtype in (np.float32, np.float64):
        X, estimator = np.ones((3, 2), dtype), BaseEstimator()
        assert check_rows(estimator, X, reset=True) is X
        assert check_rows(estimator, X, reset=False) is X
        assert (estimator.n_features_in_, estimator.input_shape_) == (2, (2,))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_plain_table_is_checked(bad):
    # Fails if a sum hides what is not finite, or an overflow of the sum counts as infinity.
    X, estimator = np.ones((4, 3)), BaseEstimator()
    check_rows(estimator, X, reset=True)
    X[:2] = 1e308
    np.testing.assert_array_equal(check_rows(estimator, X, reset=False), X)
    with pytest.raises(ValueError, match="X has 2 features, but BaseEstimator is expecting 3"):
        check_rows(estimator, X[:, :2].copy(), reset=False)
    X[:2] = 1
    X[0, 0] = bad
    with pytest.raises(ValueError, match=r"contains NaN|contains infinity"):
        check_rows(estimator, X, reset=False)
    X[0, 1] = -bad
    # Scikit-learn's own sum warns here.
    with np.errstate(invalid="ignore"), pytest.raises(ValueError, match="contains"):
        check_rows(estimator, X, reset=True)


def test_names_are_learned_and_forgotten():
    estimator, X = BaseEstimator(), np.ones((3, 2))
    check_rows(estimator, pd.DataFrame(X, columns=["a", "b"]), reset=True)
    with pytest.warns(UserWarning, match="X does not have valid feature names"):
        check_rows(estimator, X, reset=False)
    check_rows(estimator, X, reset=True)
    assert not hasattr(estimator, "feature_names_in_")


def test_labels_that_do_not_compare_with_the_classes_are_refused():
    # Fails if they are looked up before they are checked: numpy's TypeError says nothing of y.
    with pytest.raises(
        ValueError, match=r"must have only labels in .* \(\['a', 'b'\]\), got \[1\]"
    ):
        encode_labels(np.array([1, 1]), np.array(["a", "b"], dtype=object), "it")


@given(st.lists(st.integers(0, 9), min_size=1, unique=True), st.lists(st.integers(-1, 10)))
def test_labels_are_encoded_in_the_order_of_the_classes(classes, labels):
    # Fails if a label beyond the last class counts as the last, or one of another type is missed.
    classes, labels = np.array(classes), np.array(labels, dtype=int)
    for y in (labels, labels.astype(float), labels.astype(str)):
        kinds = classes.astype(str) if y.dtype.kind == "U" else classes
        unknown = sorted(set(y.tolist()) - set(kinds.tolist()))
        if unknown:
            with pytest.raises(ValueError, match="must have only labels in") as error:
                encode_labels(y, kinds, "it")
            assert str(error.value).endswith(f"got {unknown}")
        else:
            assert (kinds[encode_labels(y, kinds, "it")] == y).all()
