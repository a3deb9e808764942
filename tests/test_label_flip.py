import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare

from skpoison import LabelFlip

X = np.zeros((3000, 1))
Y = np.arange(3000) % 3


@settings(deadline=None, max_examples=30)
@given(st.floats(0.02, 0.98), st.sampled_from(["next", "uniform"]), st.integers(0, 10**6))
def test_bernoulli_rate_lies_within_three_standard_errors(rate, transition, seed):
    # Fails if "uniform" may draw the label that is there (the effective rate is then 2/3 of it).
    # Of 30 examples at 3 standard errors some would fall outside by chance: the mean of 20 seeds.
    n_seeds = 20
    flips = [
        np.mean(LabelFlip(rate, transition=transition, random_state=seed + k).poison(X, Y)[1] != Y)
        for k in range(n_seeds)
    ]
    error = np.sqrt(rate * (1 - rate) / (len(Y) * n_seeds))
    assert abs(np.mean(flips) - rate) <= 4.5 * error


@pytest.mark.parametrize("seed", range(5))
def test_bernoulli_rate_of_one_draw(seed):
    flipped = LabelFlip(0.3, random_state=seed).poison(X, Y)[1] != Y
    assert abs(flipped.mean() - 0.3) <= 3 * np.sqrt(0.3 * 0.7 / len(Y))


@given(st.integers(2, 200), st.floats(0, 1), st.integers(0, 10**6))
def test_exact_rate_is_exact(n, rate, seed):
    # Fails if rows are drawn with replacement.
    y = np.arange(n) % 2
    attack = LabelFlip(rate, sampling="exact", random_state=seed)
    y_poisoned = attack.poison(np.zeros((n, 1)), y)[1]
    assert (y_poisoned != y).sum() == round(rate * n) == len(attack.poison_indices_)
    np.testing.assert_array_equal(np.flatnonzero(y_poisoned != y), attack.poison_indices_)


def test_rate_one_moves_every_label_to_the_next():
    # Fails if the shift is taken in the values of the labels and not in their order.
    y = np.array(["b", "a", "d", "d", "a"])
    y_poisoned = LabelFlip(1.0, random_state=0).poison(np.zeros((5, 1)), y)[1]
    assert y_poisoned.tolist() == ["d", "b", "a", "a", "b"]
    signs = np.array([-1, 1, 1])
    assert LabelFlip(1.0).poison(np.zeros((3, 1)), signs)[1].tolist() == [1, -1, -1]


def test_new_labels_come_from_the_old_ones():
    # Fails if labels are taken after the flip instead of before it: a row would move twice.
    y_poisoned = LabelFlip(1.0, transition="next").poison(X, Y)[1]
    np.testing.assert_array_equal(y_poisoned, (Y + 1) % 3)
    matrix = np.eye(3)[[1, 2, 0]]
    np.testing.assert_array_equal(LabelFlip(transition=matrix).poison(X, Y)[1], (Y + 1) % 3)


@pytest.mark.parametrize("seed", range(3))
def test_matrix_gives_its_frequencies(seed):
    # Fails if the matrix is transposed.
    matrix = np.array([[0.5, 0.3, 0.2], [0.0, 1.0, 0.0], [0.1, 0.6, 0.3]])
    y_poisoned = LabelFlip(transition=matrix, random_state=seed).poison(X, Y)[1]
    for label, row in enumerate(matrix):
        counts = np.bincount(y_poisoned[label == Y], minlength=3)
        assert (counts[row == 0] == 0).all()
        if (row > 0).sum() > 1:
            assert chisquare(counts[row > 0], row[row > 0] * counts.sum()).pvalue > 1e-4


def test_uniform_spreads_over_the_others():
    y_poisoned = LabelFlip(1.0, transition="uniform", random_state=0).poison(X, Y)[1]
    for label in range(3):
        counts = np.bincount(y_poisoned[label == Y], minlength=3)
        assert counts[label] == 0
        assert chisquare(np.delete(counts, label)).pvalue > 1e-4


def test_rate_is_ignored_with_a_matrix():
    poisoned = [LabelFlip(rate, transition=np.eye(3)).poison(X, Y)[1] for rate in (0.0, 7.0)]
    np.testing.assert_array_equal(poisoned[0], Y)
    np.testing.assert_array_equal(poisoned[1], Y)


def test_larger_rate_flips_more_of_the_same_rows():
    few = LabelFlip(0.1, random_state=0).fit(X, Y).poison_indices_
    many = LabelFlip(0.4, random_state=0).fit(X, Y).poison_indices_
    assert set(few) < set(many)


def test_a_draw_of_zero_takes_no_class_of_probability_zero():
    # Fails with > for >=, once in 2**53 draws.
    class Zeros:
        def random_sample(self, n):
            return np.zeros(n)

    attack = LabelFlip(transition=[[0.0, 1.0], [0.5, 0.5]])
    new = attack._relabel(X[:2], np.array([0, 1]), 2, Zeros())
    assert new.tolist() == [1, 0]
