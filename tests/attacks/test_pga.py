import os
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression, RidgeClassifier, SGDClassifier
from sklearn.svm import SVC, LinearSVC

from skpoison import MLP, CleanLabelPGA, Linear, MnistConvNet, NetClassifier, RandomNoise
from skpoison.attacks._surrogate import logits_of


@pytest.fixture(scope="module")
def frozen(digits):
    return FrozenEstimator(LogisticRegression().fit(*digits))


def row_norms(difference):
    return np.linalg.norm(difference.reshape(len(difference), -1).astype(np.float64), axis=1)


@settings(deadline=None, max_examples=40)
@given(
    norm=st.sampled_from(["l2,1", "l2,inf"]),
    budget=st.floats(0, 20),
    scale=st.sampled_from([1e-3, 1.0, 255.0]),
    dtype=st.sampled_from([np.float32, np.float64]),
    step_size=st.sampled_from(["auto", 0.1, 1e3]),
    loss=st.sampled_from(["negated", "cross_entropy"]),
    max_fraction=st.sampled_from([1.0, 0.5]),
)
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_budget_and_box_hold_at_once(
    digits, norm, budget, scale, dtype, step_size, loss, max_fraction
):
    # Fails if the projection is left out after the last step, or if the box is not applied to X.
    X, y = digits
    X = (X[:60] * scale).astype(dtype)
    surrogate = LogisticRegression(C=1 / scale)
    attack = CleanLabelPGA(
        surrogate,
        norm=norm,
        budget=budget * scale,
        clip=(0, scale),
        max_iter=5,
        step_size=step_size,
        loss=loss,
        max_fraction=max_fraction,
    )
    X_poisoned, y_poisoned = attack.poison(X, y[:60])
    assert X_poisoned.dtype == dtype
    assert X_poisoned.min() >= 0
    assert X_poisoned.max() <= dtype(scale)
    size = row_norms(X_poisoned.astype(np.float64) - X)
    radius = budget * scale * (np.sqrt(60) if norm == "l2,1" else 1)
    rounding = 1e-5 * scale
    used = size.sum() if norm == "l2,1" else size.max()
    assert used <= radius * (1 + 1e-5) + rounding
    assert (size > 0).sum() <= max_fraction * 60
    np.testing.assert_allclose(attack.perturbation_norms_, size, rtol=1e-6, atol=1e-12)
    assert attack.budget_ == pytest.approx(radius)
    np.testing.assert_array_equal(y_poisoned, y[:60])


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e3])
@pytest.mark.parametrize(("norm", "budget"), [("l2,1", 8.0), ("l2,inf", 0.5)])
def test_auto_step_spends_the_budget_at_any_scale(digits, scale, norm, budget):
    # Fails if "auto" is a constant: at one of the scales the budget is then hardly touched.
    X, y = digits
    surrogate = RidgeClassifier(alpha=scale**2)
    attack = CleanLabelPGA(surrogate, norm=norm, budget=budget * scale, clip=(0, scale))
    attack.fit(X * scale, y)
    assert attack.budget_spent_ == pytest.approx(attack.budget_, rel=1e-3)
    # The problem is the same in other units, and so is the attack.
    unit = CleanLabelPGA(RidgeClassifier(), norm=norm, budget=budget).fit(X, y)
    np.testing.assert_allclose(
        attack.perturbation_norms_ / scale, unit.perturbation_norms_, atol=0.02 * budget
    )


@pytest.mark.parametrize("norm", ["l2,1", "l2,inf"])
@pytest.mark.parametrize("loss", ["negated", "cross_entropy"])
@pytest.mark.parametrize("step_size", ["auto", 0.05])
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_result_does_not_depend_on_batch_size(digits, frozen, norm, loss, step_size):
    # Fails if a step is divided by the batch size, or the projection made batch by batch.
    X, y = digits
    attacks = [
        CleanLabelPGA(
            frozen,
            norm=norm,
            budget=2.0,
            loss=loss,
            step_size=step_size,
            batch_size=batch_size,
            max_iter=20,
        )
        for batch_size in (64, 4096)
    ]
    results = [attack.poison(X, y)[0] for attack in attacks]
    np.testing.assert_allclose(*results, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(*[attack.loss_curve_ for attack in attacks], rtol=1e-4)


@pytest.mark.parametrize("norm", ["l2,1", "l2,inf"])
def test_permuting_rows_permutes_the_attack(digits, frozen, norm):
    X, y = digits
    order = np.random.default_rng(0).permutation(len(y))
    attack = CleanLabelPGA(frozen, norm=norm, budget=2.0, max_iter=20)
    X_poisoned, _ = attack.poison(X, y)
    X_permuted, _ = attack.poison(X[order], y[order])
    np.testing.assert_allclose(X_permuted, X_poisoned[order], rtol=1e-4, atol=1e-6)


def test_linear_l2inf_optimum_is_the_gradient_direction():
    # For two classes and a linear surrogate the optimum is known: B along -y w / ||w||.
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((50, 5)), np.arange(50) % 2
    X[y == 1] += 1
    attack = CleanLabelPGA(LogisticRegression(), norm="l2,inf", budget=0.7, clip=None)
    X_poisoned, _ = attack.poison(X, y)
    w = attack.surrogate_.coef_[0] / np.linalg.norm(attack.surrogate_.coef_)
    expected = X - 0.7 * np.where(y == 1, 1, -1)[:, np.newaxis] * w
    np.testing.assert_allclose(X_poisoned, expected, atol=1e-6)


def test_l21_ascent_comes_close_to_the_optimum(digits, frozen):
    # The negated loss of a linear surrogate is concave: 30 steps against 1,000.
    X, y = digits
    kwargs = {"norm": "l2,1", "budget": 10.0, "loss": "negated"}
    few = CleanLabelPGA(frozen, max_iter=30, **kwargs).fit(X, y)
    many = CleanLabelPGA(frozen, max_iter=1000, **kwargs).fit(X, y)
    gain = many.loss_curve_[-1] - many.loss_curve_[0]
    assert few.loss_curve_[-1] >= many.loss_curve_[-1] - 0.01 * gain
    # The losses are those of iterates inside the budget: fails without the projection.
    judge = CleanLabelPGA(frozen, budget=0.0).fit(few.poison(X, y)[0], y)
    assert judge.loss_curve_[0] == pytest.approx(few.loss_curve_[-1], rel=1e-4)


@pytest.mark.parametrize("loss", ["negated", "cross_entropy"])
@pytest.mark.parametrize(("norm", "budget"), [("l2,1", 10.0), ("l2,inf", 0.5)])
def test_attack_raises_its_loss_more_than_noise(digits, frozen, norm, budget, loss):
    # Fails if the gradient is descended.
    X, y = digits
    attack = CleanLabelPGA(frozen, norm=norm, budget=budget, loss=loss).fit(X, y)
    noise = RandomNoise(
        norm=norm, budget=budget, norms=attack.perturbation_norms_, random_state=0
    ).poison(X, y)[0]
    judge = CleanLabelPGA(frozen, norm=norm, budget=0.0, loss=loss)
    clean_loss, noise_loss = judge.fit(X, y).loss_curve_[0], judge.fit(noise, y).loss_curve_[0]
    assert attack.loss_curve_[0] == pytest.approx(clean_loss)
    assert attack.loss_curve_[-1] - clean_loss > 3 * abs(noise_loss - clean_loss)


def test_attack_hurts_a_victim_more_than_noise(split_digits):
    X, y, X_test, y_test = split_digits
    net = NetClassifier(MLP, module__width=64, lr=0.5, batch_size=32, max_epochs=15)
    differences = []
    for seed in range(3):
        attack = CleanLabelPGA(net, norm="l2,inf", budget=1.0, max_iter=20, random_state=seed)
        victim = NetClassifier(
            MLP, module__width=64, lr=0.5, batch_size=32, max_epochs=15, random_state=10 + seed
        )
        poisoned = victim.fit(*attack.poison(X, y)).score(X_test, y_test)
        noise = RandomNoise(
            norm="l2,inf", budget=1.0, norms=attack.perturbation_norms_, random_state=seed
        )
        differences.append(poisoned - victim.fit(*noise.poison(X, y)).score(X_test, y_test))
    assert max(differences) < -0.1


# A net of two epochs has rows where all its units are off: no gradient, and budget left over.
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_same_seed_same_bytes(digits):
    X, y = digits
    net = NetClassifier(MLP, module__width=8, max_epochs=2)
    attacks = [
        CleanLabelPGA(net, norm="l2,inf", budget=0.5, random_state=seed) for seed in (0, 0, 1)
    ]
    first, again, other = [attack.poison(X, y)[0].tobytes() for attack in attacks]
    assert first == again
    assert first != other
    # A surrogate with a seed of its own keeps it.
    net.set_params(random_state=5)
    seeded = [attack.poison(X, y)[0].tobytes() for attack in attacks]
    assert seeded[0] == seeded[2]


def test_zero_budget_is_identity(digits):
    X, y = digits
    for kwargs in ({"budget": 0.0}, {"max_fraction": 0.0}):
        attack = CleanLabelPGA(LogisticRegression(), norm="l2,inf", **kwargs)
        X_poisoned, y_poisoned = attack.poison(X, y)
        np.testing.assert_array_equal(X_poisoned, X)
        np.testing.assert_array_equal(y_poisoned, y)
        assert len(attack.poison_indices_) == 0
        assert attack.n_iter_ == 0


def test_max_fraction_keeps_the_most_damaging_rows(digits, frozen):
    # Fails if the first rows are kept, or those of the least gain.
    X, y = digits
    n = len(y)
    attack = CleanLabelPGA(frozen, norm="l2,inf", budget=0.5, max_fraction=0.2).fit(X, y)
    assert len(attack.poison_indices_) == n // 5
    judge = CleanLabelPGA(frozen, norm="l2,inf", budget=0.5)
    X_all = judge.poison(X, y)[0]
    logits = logits_of(frozen, X)

    def losses(rows):
        z = -logits(torch.tensor(rows))
        return (
            -torch.nn.functional.cross_entropy(z, torch.tensor(y), reduction="none")
            .detach()
            .numpy()
        )

    gain = losses(X_all) - losses(X)
    kept = np.isin(np.arange(n), attack.poison_indices_)
    assert gain[kept].min() >= gain[~kept].max()
    # Under "l2,1" the rows that may change share all of the budget.
    shared = CleanLabelPGA(frozen, norm="l2,1", budget=3.0, max_fraction=0.2).fit(X, y)
    assert shared.budget_spent_ == pytest.approx(shared.budget_, rel=1e-3)


def test_an_almost_flat_loss_is_still_climbed(digits):
    # Fails if norms are taken or inverted in float32: 1e-20 squared is 0 there.
    X, y = digits
    X = X.astype(np.float32)
    frozen = LogisticRegression().fit(X, y)
    frozen.coef_, frozen.intercept_ = frozen.coef_ * 1e-25, frozen.intercept_ * 1e-25
    for norm in ("l2,1", "l2,inf"):
        attack = CleanLabelPGA(FrozenEstimator(frozen), norm=norm, budget=0.5).fit(X, y)
        assert attack.budget_spent_ == pytest.approx(attack.budget_, rel=1e-3)


@pytest.mark.parametrize(("fraction", "rows"), [(0.29, 87), (0.57, 171), (0.335, 100)])
def test_max_fraction_is_a_floor(digits, frozen, fraction, rows):
    attack = CleanLabelPGA(frozen, norm="l2,inf", budget=0.1, max_iter=2, max_fraction=fraction)
    assert len(attack.fit(*digits).poison_indices_) == rows


def test_surrogate_without_numbers_is_refused(digits):
    net = NetClassifier(MLP, module__width=4, max_epochs=1).fit(*digits)
    with torch.no_grad():
        next(net.module_.parameters()).fill_(np.nan)
    with pytest.raises(ValueError, match="`surrogate` must have finite losses"):
        CleanLabelPGA(FrozenEstimator(net)).fit(*digits)


def test_surrogate_that_knows_names_and_another_order_of_classes(digits):
    X, y = digits[0][digits[1] < 3], digits[1][digits[1] < 3]
    frame = pd.DataFrame(X, columns=[f"pixel{i}" for i in range(64)])
    named = FrozenEstimator(LogisticRegression().fit(frame, y))
    attack = CleanLabelPGA(named, norm="l2,inf", budget=0.3).fit(X, y)
    assert attack.loss_curve_[-1] > attack.loss_curve_[0]
    net = NetClassifier(MLP, classes=[2, 0, 1], lr=0.5, batch_size=32, random_state=0)
    attack = CleanLabelPGA(net, norm="l2,inf", budget=0.3, loss="cross_entropy").fit(X, y)
    # Fails if labels are looked up as if the classes were sorted: the clean loss is then large.
    assert attack.loss_curve_[0] < 0.3


def test_unspendable_budget_warns(digits):
    X, y = digits
    attack = CleanLabelPGA(LogisticRegression(), norm="l2,1", budget=1e4)
    with pytest.warns(ConvergenceWarning, match=r"spent .* of its budget"):
        X_poisoned, _ = attack.poison(X, y)
    assert attack.budget_spent_ < 0.99 * attack.budget_
    assert ((X_poisoned >= 0) & (X_poisoned <= 1)).all()


def test_fitted_attributes(digits):
    X, y = digits
    attack = CleanLabelPGA(LogisticRegression(), norm="l2,1", budget=5.0, max_iter=7).fit(X, y)
    assert attack.n_iter_ == 7
    assert len(attack.loss_curve_) == 8
    assert attack.budget_ == pytest.approx(5 * np.sqrt(len(y)))
    assert attack.n_features_in_ == 64
    assert attack.input_shape_ == (64,)
    np.testing.assert_array_equal(
        attack.poison_indices_, np.flatnonzero(attack.perturbation_norms_ > 0)
    )
    # No copy of the data: nothing in the attack has their size.
    arrays = [value for value in vars(attack).values() if isinstance(value, np.ndarray)]
    assert all(array.size <= len(y) for array in arrays)


@pytest.mark.parametrize(
    "surrogate",
    [
        LogisticRegression(),
        LinearSVC(),
        RidgeClassifier(),
        SGDClassifier(random_state=0),
        NetClassifier(Linear, max_epochs=3),
    ],
    ids=lambda surrogate: type(surrogate).__name__,
)
@pytest.mark.parametrize("n_classes", [2, 10])
def test_surrogates_agree_with_their_own_decision(digits, surrogate, n_classes):
    # Fails if the two-class score is taken for the first class.
    X, y = digits[0][digits[1] < n_classes], digits[1][digits[1] < n_classes]
    attack = CleanLabelPGA(surrogate, norm="l2,inf", budget=0.5, random_state=0).fit(X, y)
    logits = logits_of(attack.surrogate_, X)(torch.tensor(X)).detach().cpu().numpy()
    assert logits.shape == (len(X), n_classes)
    np.testing.assert_array_equal(logits.argmax(axis=1), attack.surrogate_.predict(X))
    assert attack.loss_curve_[-1] > attack.loss_curve_[0]


def test_surrogate_whose_coefficients_are_not_its_decision(digits):
    # A linear SVC of three classes has three rows of coefficients, one a pair of classes.
    X, y = digits[0][digits[1] < 3], digits[1][digits[1] < 3]
    with pytest.raises(TypeError, match="must have gradients"):
        CleanLabelPGA(SVC(kernel="linear")).fit(X, y)


def test_frozen_surrogate(digits):
    X, y = digits
    with pytest.raises(NotFittedError):
        CleanLabelPGA(FrozenEstimator(LogisticRegression())).fit(X, y)
    net = NetClassifier(MLP, module__width=8, max_epochs=3, random_state=0).fit(X, y)
    before = {name: value.clone() for name, value in net.module_.state_dict().items()}
    attack = CleanLabelPGA(FrozenEstimator(net), norm="l2,inf", budget=0.5, max_iter=5)
    attack.fit(X[:100], y[:100])
    assert attack.surrogate_.estimator is net
    for name, value in net.module_.state_dict().items():
        assert torch.equal(value, before[name])
    # A class that the surrogate has never seen cannot be attacked.
    with pytest.raises(ValueError, match="surrogate"):
        attack.fit(X[:100], np.where(y[:100] == 0, 11, y[:100]))


def test_images_as_images():
    rng = np.random.default_rng(0)
    X, y = rng.random((40, 1, 28, 28), dtype=np.float32), np.arange(40) % 2
    net = NetClassifier(MnistConvNet, module__width=8, max_epochs=1, random_state=0)
    attack = CleanLabelPGA(net, norm="l2,inf", budget=1.0, max_iter=3)
    X_poisoned, _ = attack.poison(X, y)
    assert X_poisoned.shape == X.shape
    assert X_poisoned.dtype == np.float32
    assert attack.n_features_in_ == 784
    assert attack.input_shape_ == (1, 28, 28)
    # Flat rows of the same images are the same attack; a linear surrogate takes images too.
    flat, _ = attack.poison(X.reshape(40, 784), y)
    np.testing.assert_allclose(flat, X_poisoned.reshape(40, 784), atol=1e-6)
    linear = CleanLabelPGA(LogisticRegression(), norm="l2,inf", budget=1.0, max_iter=3)
    assert linear.poison(X, y)[0].shape == X.shape


def test_surrogate_is_left_in_evaluation_mode_and_dropout_is_off(digits):
    class Dropping(MLP):
        def forward(self, X):
            return torch.nn.functional.dropout(super().forward(X), 0.5, self.training)

    X, y = digits
    net = NetClassifier(Dropping, max_epochs=1, random_state=0).fit(X, y)
    attack = CleanLabelPGA(FrozenEstimator(net), norm="l2,inf", budget=0.5, max_iter=3)
    np.testing.assert_array_equal(attack.poison(X, y)[0], attack.poison(X, y)[0])


def test_verbose_prints_the_loss(digits, capsys):
    CleanLabelPGA(LogisticRegression(), norm="l2,inf", budget=0.1, max_iter=2, verbose=1).fit(
        *digits
    )
    assert capsys.readouterr().out.count("attack loss") == 3


class HalfFlat(ClassifierMixin, BaseEstimator):
    """A surrogate of the documented protocol: no slope where the first feature is under 0.5."""

    rows = 0

    def fit(self, X, y):
        self.classes_ = np.unique(y)
        return self

    def logits(self, X):
        type(self).rows += len(X)
        slope = torch.where(X[:, :1] < 0.5, 0.0, 1.0).detach()
        return torch.cat([slope * X.sum(dim=1, keepdim=True), torch.zeros_like(slope)], dim=1)


@pytest.mark.parametrize(("norm", "budget"), [("l2,1", 0.2), ("l2,inf", 0.01)])
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_rows_at_rest_are_left_alone(norm, budget):
    # Fails if gradients of rows without a slope are computed again and again.
    rng = np.random.default_rng(0)
    X, y = rng.uniform(0.2, 0.8, (200, 5)), np.arange(200) % 2
    X[:, 0] = np.where(np.arange(200) < 100, 0.2, 0.8)
    HalfFlat.rows = 0
    attack = CleanLabelPGA(HalfFlat(), norm=norm, budget=budget, max_iter=10).fit(X, y)
    # All rows for the first gradient and the last loss, half of them for nine gradients.
    assert HalfFlat.rows == 200 + 9 * 100 + 200
    assert attack.poison_indices_.min() >= 100


@pytest.mark.parametrize("norm", ["l2,1", "l2,inf"])
@pytest.mark.parametrize("loss", ["negated", "cross_entropy"])
@pytest.mark.parametrize("max_fraction", [1.0, 0.3])
def test_out_takes_the_poisoned_rows(digits, frozen, tmp_path, norm, loss, max_fraction):
    # Fails if the rows on disk are clipped or projected otherwise than those in memory.
    X, y = digits[0].astype(np.float32), digits[1]
    budget = 5.0 if norm == "l2,1" else 0.5
    attack = CleanLabelPGA(
        frozen, norm=norm, budget=budget, loss=loss, max_fraction=max_fraction, batch_size=64
    )
    expected, _ = attack.poison(X, y)
    expected_norms = attack.perturbation_norms_
    out = np.memmap(tmp_path / "out", dtype=np.float32, mode="w+", shape=X.shape)
    X_poisoned, y_poisoned = attack.poison(X, y, out=out)
    assert X_poisoned is out
    np.testing.assert_allclose(out, expected, atol=1e-5)
    np.testing.assert_allclose(attack.perturbation_norms_, expected_norms, atol=1e-4)
    np.testing.assert_array_equal(y_poisoned, y)
    assert not np.shares_memory(y, y_poisoned)


def test_bad_out(digits, frozen):
    X, y = digits[0].astype(np.float32), np.array(digits[1])
    attack = CleanLabelPGA(frozen, norm="l2,inf", budget=0.1, max_iter=2)
    read_only = np.empty_like(X)
    read_only.flags.writeable = False
    for out, words in [
        (np.empty((2, 2), np.float32), "shape"),
        (np.empty(X.shape), "dtype float32"),
        ([], "`out` must be an array"),
        (X, "apart from X"),
        (read_only, "writeable"),
    ]:
        with pytest.raises(ValueError, match=words):
            attack.poison(X, y, out=out)
    with pytest.raises(ValueError, match="float16"):
        attack.poison(X.astype(np.float16), y, out=np.empty(X.shape, np.float16))
    noise = RandomNoise(norm="l2,inf", budget=0.1, random_state=0)
    out = np.empty_like(X)
    assert noise.poison(X, y, out=out)[0] is out
    np.testing.assert_array_equal(out, noise.poison(X, y)[0])


MEMORY_CODE = """
import sys, threading, time
import numpy as np
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import RidgeClassifier
from skpoison import CleanLabelPGA

def anonymous():
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("RssAnon")) / 1024

n, d, folder = 40_000, 784, sys.argv[1]
X = np.memmap(folder + "/X", np.float32, "w+", shape=(n, d))
rng = np.random.default_rng(0)
for k in range(0, n, 4000):
    X[k : k + 4000] = rng.random((4000, d), dtype=np.float32)
y = np.arange(n) % 2
surrogate = FrozenEstimator(RidgeClassifier().fit(X[:500], y[:500]))
attack = CleanLabelPGA(surrogate, norm="l2,1", budget=2.0, max_iter=2, batch_size=1024)
attack.poison(X[:5000], y[:5000])
before, peak, done = anonymous(), 0, False

def watch():
    global peak
    while not done:
        peak = max(peak, anonymous())
        time.sleep(0.002)

thread = threading.Thread(target=watch)
thread.start()
out = np.memmap(folder + "/out", np.float32, "w+", shape=(n, d)) if sys.argv[2] == "disk" else None
attack.poison(X, y, out=out)
done = True
thread.join()
print(peak - before)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_out_on_disk_needs_memory_for_a_batch(tmp_path):
    # Fails if anything of the size of the data (120 MiB) is held in memory.
    peaks = {
        where: float(
            subprocess.run(
                [sys.executable, "-c", MEMORY_CODE, str(tmp_path), where],
                # Freed memory goes back at once: what is counted is what is in use.
                env={**os.environ, "MALLOC_MMAP_THRESHOLD_": "65536"},
                capture_output=True,
                text=True,
                check=True,
            ).stdout
        )
        for where in ("disk", "memory")
    }
    assert peaks["disk"] < 60
    assert peaks["memory"] > 240
