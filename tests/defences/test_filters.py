"""Filters score what their papers say, on the right layer, in parts, and drop what they state."""

import numpy as np
import pytest
import torch
from scipy.sparse import csr_array
from sklearn.base import clone
from sklearn.cluster import KMeans
from sklearn.decomposition import FastICA
from sklearn.frozen import FrozenEstimator
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler
from torch import nn

from skpoison import (
    MLP,
    ActivationClustering,
    BackdoorPatch,
    BaseFilter,
    DeepKNN,
    FilteredClassifier,
    LabelFlip,
    MnistConvNet,
    NeighbourVote,
    NetClassifier,
    SpectralSignatures,
    TwoLayerReLU,
    detection_rates,
)

NET = NetClassifier(MLP, module__width=16, lr=0.5, batch_size=32, max_epochs=5, random_state=0)
FILTERS = {
    "spectral": SpectralSignatures(NET, 0.1, random_state=0),
    "ica": ActivationClustering(NET, random_state=0),
    "pca": ActivationClustering(NET, reduction="pca", random_state=0),
    "deep": DeepKNN(NET, 10, random_state=0),
    "vote": NeighbourVote(5),
}


def penultimate(net, X):
    """The hidden layer of an MLP of one hidden layer, by its weights."""
    _, first, *_ = net.module_.layers
    with torch.no_grad():
        hidden = first.weight.numpy() @ X.T.astype(np.float32) + first.bias.numpy()[:, np.newaxis]
    return np.maximum(hidden.T, 0)


# What the papers compute, written anew.


def spectral_scores(activations, y):
    """Algorithm 1 of Tran, Li and Madry (2018)."""
    scores = np.empty(len(y))
    for label in np.unique(y):
        R = activations[y == label].astype(np.float64)
        M = R - R.mean(axis=0)
        v = np.linalg.svd(M)[2][0]
        scores[y == label] = (M @ v) ** 2
    return scores


def test_spectral_signatures_are_those_of_the_paper(digits):
    # Fails for uncentred activations, another singular vector, another layer, or another share.
    X, y = digits
    spectral = clone(FILTERS["spectral"])
    scores, flagged = spectral.score_rows(X, y), spectral.flag(X, y)
    expected = spectral_scores(penultimate(spectral.estimator_, X), y)
    np.testing.assert_allclose(scores, expected, rtol=1e-4, atol=1e-6 * expected.max())
    for label in np.unique(y):
        own = y == label
        n_dropped = int(1.5 * 0.1 * own.sum())
        least = np.sort(scores[own])[-n_dropped]
        np.testing.assert_array_equal(flagged[own], scores[own] >= least)


def test_spectral_signatures_of_more_units_than_rows(digits):
    # The other of two ways to the singular vector.
    X, y = digits[0][:60], digits[1][:60]
    spectral = SpectralSignatures(clone(NET).set_params(module__width=64), random_state=0)
    scores = spectral.score_rows(X, y)
    expected = spectral_scores(penultimate(spectral.estimator_, X), y)
    np.testing.assert_allclose(scores, expected, rtol=1e-4, atol=1e-6 * expected.max())


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("reduction", ["ica", "pca"])
def test_activation_clustering_is_that_of_the_paper(digits, reduction):
    # Fails if independent components are not scaled or principal ones are, if rows are not centred,
    # if classes are clustered together, or if the large cluster goes.
    X, y = digits
    clustering = clone(FILTERS[reduction])
    scores, flagged = clustering.score_rows(X, y), clustering.flag(X, y)
    activations = penultimate(clustering.estimator_, X).astype(np.float64)
    excesses = []
    for label in np.unique(y):
        own = y == label
        values = np.unique(scores[own])
        if len(values) == 1:
            continue  # Of two equal halves, scores do not tell which is which.
        ours = np.searchsorted(values, scores[own])
        sizes = np.bincount(ours)
        np.testing.assert_allclose(scores[own], sizes[1 - ours] / own.sum())
        np.testing.assert_array_equal(flagged[own], (sizes / own.sum())[ours] < 0.35)
        alive = activations[own][:, activations[own].std(axis=0) > 0]
        if reduction == "ica":
            ica = FastICA(10, whiten="unit-variance", random_state=0, max_iter=50)
            reduced = ica.fit_transform(alive)
        else:
            centred = alive - alive.mean(axis=0)
            reduced = centred @ np.linalg.svd(centred)[2][:10].T
        # 2-means may end in another local optimum, which is about as good.
        best = KMeans(2, n_init=50, random_state=0).fit(reduced).inertia_
        excesses.append(within(reduced, ours) / best - 1)
    assert len(excesses) >= 6
    assert max(excesses) < 0.05, excesses


def within(rows, clusters):
    """The sum of squared distances to the mean of the cluster."""
    return sum(
        np.square(rows[clusters == k] - rows[clusters == k].mean(axis=0)).sum() for k in (0, 1)
    )


def test_dead_units_do_not_fail(digits):
    # Fails if a component without variance is scaled: a class of equal rows, units that are 0.
    X, y = digits[0].copy(), digits[1]
    X[y == 3] = X[y == 3][0]
    for name in ("spectral", "ica", "pca"):
        scores = clone(FILTERS[name]).score_rows(X, y)
        assert np.isfinite(scores).all()
        assert (scores[y == 3] <= 1e-9).all()
    assert not FILTERS["ica"].flag(X, y)[y == 3].any()


@pytest.mark.parametrize("name", ["deep", "vote"])
def test_neighbours_vote_without_the_row_itself(digits, name):
    X, y = digits
    X = np.repeat(X[:60], 3, axis=0) if name == "vote" else X  # Equal rows, too.
    y = np.repeat(y[:60], 3) if name == "vote" else y
    y = LabelFlip(0.2, random_state=0).poison(X, y)[1]
    chosen = clone(FILTERS[name])
    flagged, k = chosen.flag(X, y), chosen.n_neighbors
    rows = X if name == "vote" else penultimate(chosen.estimator_, X)
    for i in range(0, len(y), 7):
        others = np.flatnonzero(np.arange(len(y)) != i)
        model = KNeighborsClassifier(k).fit(rows[others], y[others])
        proba = model.predict_proba(rows[i : i + 1])[0]
        own = proba[model.classes_ == y[i]].sum()
        lead = proba[model.classes_ != y[i]].max() - own
        if len(np.unique(np.linalg.norm(rows[others] - rows[i], axis=1))) == len(others):
            np.testing.assert_allclose(chosen.scores_[i], lead, atol=1e-9)
    np.testing.assert_array_equal(flagged, chosen.scores_ > 0)
    wrong = np.flatnonzero(y != (np.repeat(digits[1][:60], 3) if name == "vote" else digits[1]))
    assert flagged[wrong].mean() > 0.6 > 0.3 > np.delete(flagged, wrong).mean()


# The layer.


class OddOrder(nn.Module):
    """The last linear module by name is not the last that is called; tensors are written into."""

    def __init__(self, n_features, n_classes):
        super().__init__()
        self.head = nn.Linear(8, n_classes)
        self.body = nn.Linear(n_features, 8)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, X):
        hidden = self.relu(self.body(X.flatten(1)))
        logits = self.head(hidden)
        if not self.training:
            hidden.zero_()
        return logits


def seen_by(net, layer, X, y):
    """What DeepKNN with `layer` compares rows by: its scores, and those of given activations."""
    deep = DeepKNN(FrozenEstimator(net), 5, layer=layer)
    return deep.score_rows(X, y)


def scores_of(activations, y):
    return NeighbourVote(5).score_rows(activations, y)


def test_the_default_layer_is_the_penultimate(digits):
    X, y = digits[0][:100], digits[1][:100]
    y = LabelFlip(0.3, random_state=0).poison(X, y)[1]
    odd = NetClassifier(OddOrder, lr=0.1, max_epochs=1, random_state=0).fit(X, y)
    mlp = clone(NET).set_params(module__depth=2).fit(X, y)
    rows = torch.tensor(X, dtype=torch.float32)
    with torch.no_grad():
        before = odd.module_.body(rows)
        hidden = before.relu()
        _, first, _, second, _, _ = mlp.module_.layers
        deep = second(first(rows).relu())
    expected = {(odd, None): hidden, (odd, "body"): before, (odd, "relu"): hidden}
    expected |= {(odd, "head"): odd.module_.head(hidden), (mlp, None): deep.relu()}
    expected |= {(mlp, "layers.3"): deep, (mlp, "layers.2"): first(rows).relu()}
    # Each layer has its own scores, or the test could not tell them apart.
    found = {}
    for (net, layer), activations in expected.items():
        found[net, layer] = seen_by(net, layer, X, y)
        np.testing.assert_allclose(
            found[net, layer], scores_of(activations.detach().numpy(), y), atol=1e-6
        )
    assert len({scores.tobytes() for scores in found.values()}) == len(found) - 1
    # No hook is left on a net that is not our own.
    assert not any(part._forward_hooks for part in odd.module_.modules())


class NoLinear(nn.Module):
    def __init__(self, n_features, n_classes):
        super().__init__()
        self.conv = nn.Conv1d(n_features, n_classes, 1)
        self.inner = nn.Linear(n_features, 7)

    def forward(self, X):
        return self.conv(X[:, :, None])[:, :, 0] + self.inner(X).mean()


@pytest.mark.parametrize(
    ("module", "layer", "words"),
    [
        (NoLinear, None, "`layer` must name a module, because the last module of NoLinear is not"),
        (TwoLayerReLU, None, "`layer` must name a module, because the last module of TwoLayerReLU"),
        (MLP, "layers.9", r"`layer` must be the name of a module of MLP \(\['layers', 'layers.0'"),
        (MLP, "", "`layer` must be the name of a module of MLP"),
    ],
)
def test_a_layer_that_is_not_there_is_refused(digits, module, layer, words):
    net = NetClassifier(module, max_epochs=1, random_state=0)
    spectral = SpectralSignatures(net, layer=layer, random_state=0)
    with pytest.raises(ValueError, match=words):
        spectral.fit(digits[0], digits[1] % 2)
    assert not hasattr(spectral, "classes_")


def test_rows_are_scored_in_parts(digits):
    # Fails if all rows go through the net at once, or a part is left out.
    X, y = np.tile(digits[0], (4, 1)), np.tile(digits[1], 4)
    largest = []

    class Counting(MLP):
        def forward(self, X):
            if not self.training:
                largest.append(len(X))
            return super().forward(X)

    net = NetClassifier(Counting, module__width=4, max_epochs=1, random_state=0).fit(X, y)
    scores = DeepKNN(FrozenEstimator(net), 10).score_rows(X, y)
    assert max(largest) <= 512 < sum(largest) == len(X)
    assert scores.shape == y.shape


def test_a_pipeline_and_a_frozen_net_are_nets(digits):
    X, y = digits
    scaled = MinMaxScaler().fit_transform(X)
    for name in ("spectral", "deep"):
        expected = clone(FILTERS[name]).score_rows(scaled, y)
        piped = clone(FILTERS[name]).set_params(estimator=make_pipeline(MinMaxScaler(), NET))
        np.testing.assert_allclose(piped.score_rows(X, y), expected, rtol=1e-6)
        fitted = FrozenEstimator(clone(NET).fit(scaled, y))
        frozen = clone(FILTERS[name]).set_params(estimator=fitted)
        np.testing.assert_array_equal(frozen.score_rows(scaled, y), expected)
        assert frozen.estimator_.estimator is fitted.estimator


def test_images_of_a_convolutional_net():
    rng = np.random.default_rng(0)
    X, y = rng.random((60, 1, 28, 28)).astype(np.float32), np.arange(60) % 3
    net = NetClassifier(MnistConvNet, module__width=8, max_epochs=1, random_state=0)
    for kind in (SpectralSignatures, DeepKNN):
        X_kept, y_kept = kind(net, random_state=0).fit_resample(X, y)
        assert X_kept.shape == (len(y_kept), 1, 28, 28)
    flat = SpectralSignatures(net, random_state=0).score_rows(X.reshape(60, -1), y)
    np.testing.assert_allclose(
        flat, SpectralSignatures(net, random_state=0).score_rows(X, y), rtol=1e-5
    )


def test_a_net_that_diverged_has_no_scores(digits):
    net = clone(NET).set_params(lr=1e30)
    with (
        pytest.warns(UserWarning, match="diverged"),
        pytest.raises(ValueError, match="`estimator` must have finite activations, got NaN"),
    ):
        SpectralSignatures(net, random_state=0).fit(*digits)


# What is dropped.


@pytest.mark.parametrize("name", FILTERS)
def test_scores_flags_and_kept_rows_agree(digits, name):
    X, y = digits
    y_given = y.tolist()
    one = clone(FILTERS[name])
    flagged, scores = one.flag(X, y_given), one.score_rows(X, y_given)
    X_kept, y_kept = one.fit_resample(X, y_given)
    assert flagged.any()
    assert (flagged.dtype, scores.dtype, type(y_kept)) == (bool, np.float64, list)
    np.testing.assert_array_equal(X_kept, X[~flagged])
    assert y_kept == y[~flagged].tolist()
    np.testing.assert_array_equal(one.kept_indices_, np.flatnonzero(~flagged))
    # Larger is more suspicious: within a class no row is kept that scores more than one that goes.
    for label in np.unique(y):
        own = y == label
        if flagged[own].any():
            assert scores[own & flagged].min() >= scores[own & ~flagged].max()


@pytest.mark.parametrize("seed", range(3))
def test_no_more_than_the_stated_share_of_clean_data_is_flagged(digits, seed):
    X, y = digits
    rng = np.random.default_rng(seed)
    fraction, threshold = rng.uniform(0.02, 0.6), rng.uniform(0, 0.5)
    flagged = {
        1.5 * fraction: SpectralSignatures(NET, fraction, random_state=seed).flag(X, y),
        threshold: ActivationClustering(NET, threshold, random_state=seed).flag(X, y),
    }
    for share, mask in flagged.items():
        assert all(mask[y == label].mean() <= share for label in np.unique(y))


class All(BaseFilter):
    def _score(self, X, y, random_state):
        return np.arange(1, len(y) + 1)[::-1]


def test_no_class_is_lost():
    # Fails if the most suspicious row of a class stays, or none.
    y = np.array(["a", "b", "a", "b", "c"])
    assert All().fit(np.zeros((5, 1)), y).kept_indices_.tolist() == [2, 3, 4]


class Wrong(BaseFilter):
    def __init__(self, scores=None):
        super().__init__()
        self.scores = scores

    def _score(self, X, y, random_state):
        return self.scores


@pytest.mark.parametrize("scores", [np.zeros(3), np.array([0, np.nan] * 2), np.array(["a"] * 4)])
def test_a_hook_that_returns_no_scores_is_refused(scores):
    with pytest.raises(ValueError, match=r"`_score` of Wrong must return finite numbers of shape"):
        Wrong(scores).fit(np.zeros((4, 1)), [0, 1, 0, 1])


def test_a_seed_determines_the_filter(digits):
    X, y = digits
    net = clone(NET).set_params(random_state=None)
    for kind in (SpectralSignatures, ActivationClustering, DeepKNN):
        one, two, three = (kind(net, random_state=seed).score_rows(X, y) for seed in (0, 0, 1))
        np.testing.assert_array_equal(one, two)
        assert (one != three).any()


def test_a_patch_is_found_on_digits(split_digits):
    # A tenth of the target's class is poisoned. Measured; docs/results/defences has more seeds.
    X, y = split_digits[0], split_digits[1]
    patch = np.full((8, 8), np.nan)
    patch[-2:, -2:] = 1.0
    share = 0.1 / 0.9 * np.mean(y == 0)
    attack = BackdoorPatch(patch.ravel(), target=0, rate=share, random_state=0)
    X_poisoned, y_poisoned = attack.poison(X, y)
    found = []
    for seed in range(3):
        net = clone(NET).set_params(module__width=32, max_epochs=30, random_state=seed)
        frozen = FrozenEstimator(net.fit(X_poisoned, y_poisoned))
        for kind in (SpectralSignatures, ActivationClustering, DeepKNN):
            flagged = kind(frozen, random_state=seed).flag(X_poisoned, y_poisoned)
            rates = detection_rates(attack.poison_indices_, flagged)
            found.append([rate.value for rate in rates.values()])
    true, false = np.array(found).reshape(3, 3, 2).mean(axis=0).T
    assert (true > [0.5, 0.4, 0.4]).all(), true
    assert (false < [0.15, 0.15, 0.05]).all(), false


# The classifier.


def test_a_filter_that_flags_nothing_is_no_defence(digits):
    X, y = digits
    net = clone(NET).set_params(random_state=None)
    alone = clone(net).set_params(random_state=np.random.RandomState(0).randint(2**31 - 1))
    model = FilteredClassifier(net, SpectralSignatures(net, 0.0), random_state=0).fit(X, y)
    np.testing.assert_array_equal(model.kept_indices_, np.arange(len(y)))
    np.testing.assert_array_equal(model.predict_proba(X), alone.fit(X, y).predict_proba(X))


def test_a_filtered_classifier_is_trained_on_the_other_rows(digits):
    X, y = digits
    y_poisoned = LabelFlip(0.2, random_state=0).poison(X, y)[1]
    victim = KNeighborsClassifier(1)
    model = FilteredClassifier(victim, NeighbourVote(5)).fit(X, y_poisoned)
    kept = np.flatnonzero(~NeighbourVote(5).flag(X, y_poisoned))
    np.testing.assert_array_equal(model.kept_indices_, kept)
    alone = clone(victim).fit(X[kept], y_poisoned[kept])
    np.testing.assert_array_equal(model.predict_proba(X), alone.predict_proba(X))
    assert model.score(X, y) > clone(victim).fit(X, y_poisoned).score(X, y) + 0.1
    assert not hasattr(model, "decision_function")


@pytest.mark.parametrize("kind", [np.asarray, csr_array])
def test_neighbour_vote_takes_a_transformer(digits, kind):
    X, y = digits
    X = X * np.r_[1000, np.ones(63)]
    alone = NeighbourVote(5).score_rows(StandardScaler(with_mean=False).fit_transform(X), y)
    vote = NeighbourVote(5, transformer=StandardScaler(with_mean=False))
    np.testing.assert_allclose(vote.score_rows(kind(X), y), alone, atol=0.21)
    assert np.mean(vote.score_rows(kind(X), y) == alone) > 0.95
    assert hasattr(vote.transformer_, "scale_")
