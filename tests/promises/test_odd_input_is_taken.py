"""Odd but good input is taken: numpy's numbers, labels of any kind, columns of pandas."""

import numpy as np
import pandas as pd
import pytest

from makers import X, Y, flip, net, noise, pga, study
from skpoison import LabelFlip


def test_nullable_and_categorical_columns_are_taken():
    frame = pd.DataFrame({"a": pd.array([1, 2, 3, 4], "Int64"), "b": [0.1, 0.2, 0.3, 0.4]})
    y = pd.Series(["u", "v", "u", "v"], dtype="category", index=[9, 8, 7, 6])
    X_poisoned, y_poisoned = LabelFlip(1.0).poison(frame, y)
    assert y_poisoned.tolist() == ["v", "u", "v", "u"]
    assert y_poisoned.dtype == y.dtype
    assert X_poisoned.columns.tolist() == ["a", "b"]


@pytest.mark.parametrize(
    ("call", "count"),
    [
        (lambda: flip(np.float32(1)).poison(X, Y)[1] != Y, 40),
        (lambda: flip(np.int64(1)).poison(X, Y)[1] != Y, 40),
        (lambda: flip(0.5, sampling="exact").poison(X, Y)[1] != Y, 20),
        (lambda: flip(5e-324).poison(X, Y)[1] != Y, 0),
        (lambda: noise(budget=np.float16(0.25)).poison(X, Y)[0].max(axis=1) > 0, 40),
        (lambda: noise(budget=np.int64(0)).poison(X, Y)[0].min(axis=1) != X.min(axis=1), 0),
        (lambda: noise(clip=np.array([0, 1])).poison(X, Y)[0].max(axis=1) <= 1, 40),
        (lambda: pga(max_iter=np.int64(1), budget=0.0).poison(X, Y)[0][:, 0] != X[:, 0], 0),
        (lambda: net(max_epochs=np.int64(2), lr=np.float32(0.1)).fit(X, Y).predict(X) >= 0, 40),
        (lambda: flip(random_state=np.random.RandomState(0)).poison(X, Y)[0][:, 0] == X[:, 0], 40),
        (lambda: flip().poison(X, Y.astype(np.uint64) + 2**63)[1] >= 2**63, 40),
        (lambda: flip(1.0).poison(X, np.array(["a", "bb", "ccc", "dddd"])[Y])[1] == "dddd", 10),
        (lambda: flip(1.0).poison(X, tuple(Y.tolist()))[1] != Y, 40),
        (lambda: flip(1.0).poison(X, Y.astype(np.float16))[1] != Y, 40),
    ],
)
@pytest.mark.filterwarnings("ignore:.* selects none of the:UserWarning")
def test_odd_but_good_values_are_taken(call, count):
    assert np.count_nonzero(call()) == count


def test_values_of_a_study_may_come_from_a_generator():
    found = study(param_range=(width for width in (2, np.int64(3))))
    assert found.param_range == [2, 3]
    assert all(type(width) is int for width in found.param_range)
