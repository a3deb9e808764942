"""Properties of attacks and projections on random data of random shape, dtype and scale."""

import pickle

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression

from skpoison import (
    MLP,
    ActivationClustering,
    BackdoorPatch,
    BaseFeatureAttack,
    ChainedAttack,
    CleanLabelPGA,
    DeepKNN,
    FilteredClassifier,
    GradientMatching,
    LabelFlip,
    LossTrimming,
    NeighbourVote,
    NetClassifier,
    PartitionEnsemble,
    PoisonedClassifier,
    RandomNoise,
    SpectralSignatures,
    project_l2inf,
    project_l21,
)

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
seeds = st.integers(0, 2**32 - 1)


def norms(delta):
    return np.linalg.norm(np.asarray(delta, dtype=np.float64).reshape(len(delta), -1), axis=1)


# Projections


@st.composite
def perturbations(draw):
    rng = np.random.default_rng(draw(seeds))
    shape = draw(st.sampled_from([(1, 1), (2, 5), (9, 3), (30, 7), (8, 2, 3, 3), (5, 1, 4, 4)]))
    delta = 10.0 ** draw(st.integers(-6, 6)) * rng.standard_normal(shape)
    if draw(st.booleans()):
        delta[rng.random(len(delta)) < 0.3] = 0
    return delta


projections = pytest.mark.parametrize("project", [project_l21, project_l2inf])


def radius_of(project, delta, share):
    return share * (norms(delta).sum() if project is project_l21 else norms(delta).max())


@projections
@settings(deadline=None, max_examples=50)
@given(perturbations(), st.floats(0.01, 2), st.integers(-8, 8))
def test_projection_of_a_multiple_is_the_multiple(project, delta, share, power):
    # Fails if the threshold or a tolerance is absolute. Powers of two: no rounding of their own.
    radius, factor = radius_of(project, delta, share), 2.0**power
    expected = factor * project(delta, radius)
    np.testing.assert_array_equal(project(factor * delta, factor * radius), expected)


@projections
@settings(deadline=None, max_examples=50)
@given(perturbations(), st.floats(0.01, 2), seeds)
def test_projection_of_permuted_rows_is_permuted(project, delta, share, seed):
    # Fails if the factors are left in the order of the sorted norms.
    order = np.random.default_rng(seed).permutation(len(delta))
    radius = radius_of(project, delta, share)
    np.testing.assert_allclose(
        project(delta[order], radius), project(delta, radius)[order], rtol=1e-9
    )


@projections
@settings(deadline=None, max_examples=50)
@given(perturbations(), st.floats(0.01, 2), seeds, st.floats(-3, 3))
def test_projection_is_non_expansive(project, delta, share, seed, power):
    # Fails if rows inside the ball are blown up to it.
    step = np.random.default_rng(seed).standard_normal(delta.shape)
    other = delta + 10**power * np.abs(delta).max() * step
    radius = radius_of(project, delta, share)
    distance = np.linalg.norm(project(delta, radius) - project(other, radius))
    rounding = 1e-12 * max(np.abs(delta).max(), np.abs(other).max())
    assert distance <= np.linalg.norm(delta - other) * (1 + 1e-9) + rounding


@projections
@settings(deadline=None, max_examples=50)
@given(perturbations(), st.floats(0.01, 0.99), seeds)
def test_projection_is_the_nearest_point_of_the_ball(project, delta, share, seed):
    # <delta - P, Q - P> <= 0 for every Q of the ball: optimality, for both balls alike.
    radius = radius_of(project, delta, share)
    assume(radius > 0)
    nearest = project(delta, radius)
    other = project(np.random.default_rng(seed).standard_normal(delta.shape) * delta.std(), radius)
    angle = ((delta - nearest) * (other - nearest)).sum()
    assert angle <= 1e-9 * norms(delta).max() * radius * len(delta)


# Feature attacks


class Shrink(BaseFeatureAttack):
    def _perturb(self, X, y, random_state):
        return X.mean(axis=0) - X


@st.composite
def data(draw, dtypes=(np.float32, np.float64)):
    """Rows in a box, labels, and the box: any shape, dtype, scale and offset."""
    rng = np.random.default_rng(draw(seeds))
    n = draw(st.integers(4, 40))
    shape = draw(st.sampled_from([(n, 1), (n, 6), (n, 1, 2, 3), (n, 3, 2, 2)]))
    dtype = draw(st.sampled_from(dtypes))
    scale = 10.0 ** draw(st.integers(-3, 3))
    low = draw(st.sampled_from([0.0, -scale, 5 * scale]))
    X = (low + scale * rng.random(shape)).astype(dtype)
    # Corners: rows on the sides of the box.
    X[: n // 4] = np.where(X[: n // 4] > low + scale / 2, dtype(low + scale), dtype(low))
    box = float(min(X.min(), low)), float(max(X.max(), low + scale))
    return X, rng.permutation(np.arange(n) % 2), box, scale


LINEAR = LogisticRegression(max_iter=20)
ATTACKS = {
    "noise": RandomNoise(random_state=0),
    "shrink": Shrink(),
    "pga": CleanLabelPGA(LINEAR, max_iter=4),
    "pga of the other loss": CleanLabelPGA(LINEAR, max_iter=4, loss="cross_entropy"),
}


@pytest.mark.parametrize("name", ATTACKS)
@settings(deadline=None, max_examples=25)
@given(
    data((np.float16, np.float32, np.float64)),
    st.sampled_from(["l2,1", "l2,inf"]),
    st.one_of(st.floats(0, 2), st.sampled_from([1e-17, 1e-8, 1e-6, 1e-4, 1e-3])),
    st.booleans(),
)
def test_budget_box_shape_and_dtype(name, given, norm, share, boxed):
    # Fails if the budget is held before clipping or rounding and not after, or in another unit than
    # X's.
    X, y, box, scale = given
    n, before = len(X), X.tobytes()
    budget = share * scale
    attack = clone(ATTACKS[name]).set_params(norm=norm, budget=budget, clip=box if boxed else None)
    X_poisoned, y_poisoned = attack.poison(X, y)
    assert X.tobytes() == before
    assert (X_poisoned.shape, X_poisoned.dtype) == (X.shape, X.dtype)
    np.testing.assert_array_equal(y_poisoned, y)
    if boxed:
        assert X_poisoned.min() >= X.dtype.type(box[0])
        assert X_poisoned.max() <= X.dtype.type(box[1])
    size = norms(X_poisoned.astype(np.float64) - X)
    radius = budget * (np.sqrt(n) if norm == "l2,1" else 1)
    used = size.sum() if norm == "l2,1" else size.max()
    assert used <= radius * (1 + 1e-6)
    changed = (X_poisoned != X).reshape(n, -1).any(axis=1)
    np.testing.assert_array_equal(attack.poison_indices_, np.flatnonzero(changed))


@settings(deadline=None, max_examples=25)
@given(data(), st.sampled_from(["l2,1", "l2,inf"]), st.floats(0.01, 1), seeds)
def test_permuting_rows_permutes_the_attack_on_a_frozen_surrogate(given, norm, share, seed):
    # Fails if rows of one batch lean on each other, or the surrogate is fitted again.
    X, y, box, scale = given
    order = np.random.default_rng(seed).permutation(len(X))
    frozen = FrozenEstimator(clone(LINEAR).fit(X.reshape(len(X), -1), y))
    attack = CleanLabelPGA(frozen, norm=norm, budget=share * scale, clip=box, max_iter=4)
    attack.set_params(batch_size=7)
    X_poisoned = attack.poison(X, y)[0]
    X_permuted = attack.poison(X[order], y[order])[0]
    tolerance = 1e-4 if X.dtype == np.float32 else 1e-9
    np.testing.assert_allclose(
        X_permuted, X_poisoned[order], rtol=tolerance, atol=tolerance * scale
    )


# Label attacks


@settings(deadline=None, max_examples=25)
@given(st.integers(2, 6), seeds)
def test_any_transition_matrix_gives_its_frequencies(n_classes, seed):
    # Fails if the matrix is transposed, or its columns follow another order than `classes_`.
    rng = np.random.default_rng(seed)
    matrix = rng.dirichlet(np.full(n_classes, 0.7), size=n_classes)
    matrix[matrix < 0.02] = 0
    matrix /= matrix.sum(axis=1, keepdims=True)
    names = np.array(list("zyxwvu"))[:n_classes]
    codes = rng.integers(n_classes, size=6000)
    attack = LabelFlip(transition=matrix, random_state=seed)
    y_poisoned = attack.poison(np.zeros((6000, 1)), names[codes])[1]
    classes = np.sort(names)
    np.testing.assert_array_equal(attack.classes_, classes)
    old, new = np.searchsorted(classes, names[codes]), np.searchsorted(classes, y_poisoned)
    for label, row in enumerate(matrix):
        counts = np.bincount(new[old == label], minlength=n_classes)
        assert (counts[row == 0] == 0).all()
        if (row > 0).sum() > 1:
            # 25 examples x 6 rows: 1e-7 keeps the chance of a false alarm below 2e-5.
            assert chisquare(counts[row > 0], row[row > 0] * counts.sum()).pvalue > 1e-7


@pytest.mark.filterwarnings("ignore:.* selects none of the:UserWarning")
@settings(deadline=None, max_examples=25)
@given(
    st.integers(2, 60),
    st.floats(0, 1),
    st.sampled_from(["next", "uniform"]),
    st.sampled_from(["bernoulli", "exact"]),
    st.sampled_from([np.float16, np.float32, np.int8, np.bool_]),
    seeds,
)
def test_labels_change_and_rows_do_not(n, rate, transition, sampling, dtype, seed):
    # Fails if rows are shuffled along with labels, or copied.
    rng = np.random.default_rng(seed)
    X = rng.integers(0, 2, size=(n, 3)).astype(dtype)
    before = X.copy()
    y = rng.permutation(np.arange(n) % 2) * 7 - 3
    attack = LabelFlip(rate, transition=transition, sampling=sampling, random_state=seed)
    X_poisoned, y_poisoned = attack.poison(X, y)
    assert X_poisoned is X
    np.testing.assert_array_equal(X, before)
    assert y_poisoned.dtype == y.dtype
    assert set(y_poisoned) <= {-3, 4}
    np.testing.assert_array_equal(attack.poison_indices_, np.flatnonzero(y_poisoned != y))


# Round trips

NET = NetClassifier(MLP, module__width=4, max_epochs=1, random_state=0)
ESTIMATORS = {
    "net": NET,
    "pga": CleanLabelPGA(NET, norm="l2,inf", budget=0.1, max_iter=2, random_state=0),
    "noise": RandomNoise(budget=0.1, random_state=0),
    "flip": LabelFlip(0.3, random_state=0),
    "matrix": LabelFlip(transition=np.eye(10)[::-1], random_state=0),
    "loss": LabelFlip(0.3, selection="loss", surrogate=LINEAR, random_state=0),
    "matching": GradientMatching(LINEAR, (np.zeros((1, 64)), [3]), max_iter=2, random_state=0),
    "backdoor": BackdoorPatch(np.full(64, 0.5), 3, random_state=0),
    "chain": ChainedAttack([LabelFlip(0.3, random_state=0), RandomNoise(random_state=0)]),
    "poisoned": PoisonedClassifier(NET, LabelFlip(0.3, random_state=0)),
    "clean": PoisonedClassifier(NET),
    "partitions": PartitionEnsemble(NET, 3, random_state=0),
    "trimming": LossTrimming(NET, 0.1, 1, random_state=0),
    "spectral": SpectralSignatures(NET, random_state=0),
    "clustering": ActivationClustering(NET, random_state=0),
    "deep": DeepKNN(NET, random_state=0),
    "vote": NeighbourVote(),
    "filtered": FilteredClassifier(NET, NeighbourVote(), random_state=0),
}


def settings_of(estimator):
    """All parameters by value; skorch lists its callbacks, which are objects, among them."""
    return {
        key: repr(value) if hasattr(value, "get_params") or isinstance(value, list) else value
        for key, value in estimator.get_params().items()
        if "callbacks__" not in key
    }


@pytest.mark.parametrize("name", ESTIMATORS)
def test_pickling_and_cloning_round_trips(name, digits):
    # Fails if a parameter is changed by __init__ or by fit, or a fitted part does not survive.
    X, y = digits
    estimator = clone(ESTIMATORS[name])
    before = settings_of(estimator)
    fitted = clone(estimator).fit(X, y)
    for copied in (
        clone(fitted),
        pickle.loads(pickle.dumps(estimator)),
        pickle.loads(pickle.dumps(fitted)),
    ):
        np.testing.assert_equal(settings_of(copied), before)
    again = pickle.loads(pickle.dumps(fitted))
    if hasattr(fitted, "flag"):
        np.testing.assert_array_equal(again.scores_, fitted.scores_)
        np.testing.assert_array_equal(again.flag(X, y), clone(estimator).flag(X, y))
    elif not hasattr(fitted, "predict_proba"):
        np.testing.assert_array_equal(again.poison_indices_, fitted.poison_indices_)
        np.testing.assert_array_equal(again.poison(X, y)[1], clone(estimator).poison(X, y)[1])
    else:
        expected = fitted.predict_proba(X)
        np.testing.assert_array_equal(again.predict_proba(X), expected)
        np.testing.assert_array_equal(clone(fitted).fit(X, y).predict_proba(X), expected)
