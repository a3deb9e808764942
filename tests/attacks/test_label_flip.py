import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression

from skpoison import MLP, LabelFlip, NetClassifier

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


@pytest.mark.filterwarnings("ignore:.* selects none of the:UserWarning")
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


class OnlyProba(ClassifierMixin, BaseEstimator):
    """A surrogate that has probabilities and nothing else."""

    def fit(self, X, y):
        self.inner_ = LogisticRegression().fit(X, y)
        self.classes_ = self.inner_.classes_
        return self

    def predict_proba(self, X):
        return self.inner_.predict_proba(X)


@pytest.mark.filterwarnings("ignore:.* selects none of the:UserWarning")
@settings(deadline=None, max_examples=20)
@given(
    st.floats(0, 1),
    st.sampled_from(["next", "uniform"]),
    st.sampled_from(["bernoulli", "exact"]),
    st.integers(0, 10**6),
)
def test_all_selections_flip_as_many_rows_to_the_same_labels(rate, transition, sampling, seed):
    # Fails if the surrogate's seed is drawn before the rows, or the new labels after the choice.
    y = np.arange(60) % 3
    rows = np.random.default_rng(0).random((60, 2)) + y[:, np.newaxis]
    surrogate = FrozenEstimator(LogisticRegression().fit(rows, y))
    flipped = {}
    for selection in ("random", "margin", "loss"):
        attack = LabelFlip(
            rate,
            transition=transition,
            sampling=sampling,
            selection=selection,
            surrogate=surrogate,
            random_state=seed,
        )
        flipped[selection] = attack.poison(rows, y)[1]
        assert len(attack.poison_indices_) == (flipped["random"] != y).sum()
    both = (flipped["random"] != y) & (flipped["loss"] != y)
    np.testing.assert_array_equal(flipped["random"][both], flipped["loss"][both])


@pytest.mark.parametrize("transition", ["next", "uniform"])
@pytest.mark.parametrize("kind", ["linear", "net", "proba"])
def test_what_is_flipped_comes_first(kind, transition, digits):
    # Fails if an order is reversed, or if columns of scores are taken for the sorted classes.
    rows, y = digits
    names = np.array(list("jihgfedcba"))[y]
    net = NetClassifier(
        MLP, classes=list("fghijabcde"), lr=0.5, batch_size=32, max_epochs=5, random_state=0
    )
    surrogate = {"linear": LogisticRegression(), "net": net, "proba": OnlyProba()}[kind]
    surrogate.fit(rows, names)
    proba = surrogate.predict_proba(rows)
    score = dict(zip(surrogate.classes_, np.log(proba + 1e-30).T, strict=True))
    own = np.array([score[name][i] for i, name in enumerate(names)])
    options = {"transition": transition, "sampling": "exact", "random_state": 0}
    wanted = LabelFlip(1.0, **options).poison(rows, names)[1]
    new = np.array([score[name][i] for i, name in enumerate(wanted)])
    best_other = np.array(
        [max(score[k][i] for k in score if k != name) for i, name in enumerate(names)]
    )
    for selection, order in (("loss", new - own), ("margin", own - best_other)):
        attack = LabelFlip(
            0.3, selection=selection, surrogate=FrozenEstimator(surrogate), **options
        )
        flipped = attack.poison(rows, names)[1] != names
        assert flipped.sum() == round(0.3 * len(names))
        assert order[flipped].max() <= order[~flipped].min() + 1e-4


def test_flips_by_loss_hurt_more_than_random_ones(digits):
    # Fails if "loss" takes the rows first that the surrogate is least sure of, or any.
    rows, y = digits
    scores = {"random": [], "loss": []}
    for seed in range(3):
        order = np.random.default_rng(seed).permutation(len(y))
        train, test = order[: len(y) // 2], order[len(y) // 2 :]
        for selection, found in scores.items():
            attack = LabelFlip(
                0.3,
                sampling="exact",
                selection=selection,
                surrogate=LogisticRegression(),
                random_state=seed,
            )
            victim = LogisticRegression(C=0.1).fit(*attack.poison(rows[train], y[train]))
            found.append(victim.score(rows[test], y[test]))
    assert np.mean(scores["loss"]) < np.mean(scores["random"]) - 0.05
