"""Attacks, defences and studies on a GPU agree with the CPU, and leave nothing behind."""

import gc
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator

from skpoison import (
    MLP,
    ActivationClustering,
    CleanLabelPGA,
    DeepKNN,
    GradientMatching,
    LabelFlip,
    Linear,
    LossTrimming,
    NetClassifier,
    PartitionEnsemble,
    PoisonedClassifier,
    SpectralSignatures,
    fit_many,
    robustness_curve,
)
from world import state_of_the_world

pytestmark = pytest.mark.gpu

N = 120


@pytest.fixture
def rows(digits):
    X, y = digits
    return X[:N].astype(np.float32), y[:N]


def net(device="cuda", module=MLP, **kwargs):
    # All rows in a batch: the order of the rows comes from a generator on the device.
    options = {"lr": 0.5, "max_epochs": 3, "batch_size": -1, "random_state": 0, "device": device}
    if module is MLP:
        options["module__width"] = 8
    return NetClassifier(module, **{**options, **kwargs})


def pga(surrogate, **kwargs):
    options = {"norm": "l2,inf", "budget": 0.3, "max_iter": 3, "random_state": 0}
    return CleanLabelPGA(surrogate, **{**options, **kwargs})


def on_both(make):
    """What `make` returns for the GPU and for the CPU."""
    return [make(device) for device in ("cuda", "cpu")]


def curve(rows, device="cuda", estimator=None, **kwargs):
    X, y = rows
    options = {"param_name": "module__width", "param_range": [4, 8], "cv": 2, "random_state": 0}
    attacks = {"clean": None, "pga": pga(net(device, Linear))}
    estimator = net(device) if estimator is None else estimator
    return robustness_curve(estimator, X, y, attacks=attacks, **{**options, **kwargs})


def test_gradient_matching_agrees(rows):
    # Fails if a pull or a slope is computed from other rows, or with less than float32.
    X, y = rows

    def make(device):
        target = X[-1:], [(y[-1] + 1) % 10]
        attack = GradientMatching(net(device), target, max_iter=5, random_state=0)
        X_new, _ = attack.poison(X[:-1], y[:-1])
        assert attack.surrogate_.device_.type == device
        return X_new, attack.cosine_curve_

    (X_gpu, cosines_gpu), (X_cpu, cosines_cpu) = on_both(make)
    assert np.abs(X_gpu - X[:-1]).max() > 1e-3
    np.testing.assert_allclose(X_gpu, X_cpu, atol=1e-3)
    np.testing.assert_allclose(cosines_gpu, cosines_cpu, atol=1e-3)


def test_a_frozen_surrogate_agrees(rows):
    # Fails if a surrogate that is fitted already is moved, or read on the wrong device.
    X, y = rows
    fitted = net(module=Linear).fit(X, y)
    moved = net("cpu", Linear).fit(X, y)
    poisoned = [pga(FrozenEstimator(model)).poison(X, y)[0] for model in (fitted, moved)]
    assert fitted.device_.type == "cuda"
    np.testing.assert_allclose(*poisoned, atol=1e-4)


def test_flips_chosen_by_a_net_agree(rows):
    X, y = rows
    flips = on_both(
        lambda device: LabelFlip(
            0.2, selection="loss", surrogate=net(device, Linear), random_state=0
        ).poison(X, y)[1]
    )
    assert (flips[0] != y).any()
    assert (flips[0] == flips[1]).mean() > 0.95


def test_loss_trimming_agrees(rows):
    # Fails if losses are read in another order than the rows.
    X, y = rows
    y = np.where(np.arange(N) % 10 == 0, (y + 1) % 10, y)
    gpu, cpu = on_both(
        lambda device: LossTrimming(
            net(device, max_epochs=20), 0.1, n_rounds=1, random_state=0
        ).fit(X, y)
    )
    assert gpu.estimator_.device_.type == "cuda"
    assert len(np.setxor1d(gpu.kept_indices_, cpu.kept_indices_)) <= 2
    np.testing.assert_allclose(gpu.predict_proba(X), cpu.predict_proba(X), atol=0.05)


@pytest.mark.parametrize("kind", [SpectralSignatures, ActivationClustering, DeepKNN])
def test_filters_agree(rows, kind):
    # Fails if activations stay on the device, or if rows are not put there.
    X, y = rows
    gpu, cpu = on_both(lambda device: kind(net(device), random_state=0).fit(X, y))
    assert gpu.estimator_.device_.type == "cuda"
    assert np.mean(gpu.flagged_ == cpu.flagged_) > 0.9
    if kind is SpectralSignatures:
        np.testing.assert_allclose(gpu.scores_, cpu.scores_, rtol=0.01, atol=1e-4)


def test_partition_ensemble_agrees(rows):
    # Fails if a member is fitted on the rows of another, or if the votes are of another order.
    X, y = rows
    gpu, cpu = on_both(
        lambda device: PartitionEnsemble(net(device), n_partitions=4, random_state=0).fit(X, y)
    )
    assert all(member.device_.type == "cuda" for member in gpu.estimators_)
    for a, b in zip(gpu.estimators_, cpu.estimators_, strict=True):
        np.testing.assert_allclose(a.predict_proba(X), b.predict_proba(X), atol=1e-4)
    assert (gpu.votes(X) == cpu.votes(X)).mean() > 0.98
    assert (gpu.certify(X) == cpu.certify(X)).mean() > 0.98


def test_poisoned_classifier_agrees(rows):
    X, y = rows
    gpu, cpu = on_both(
        lambda device: PoisonedClassifier(net(device), pga(net(device, Linear))).fit(X, y)
    )
    assert gpu.estimator_.device_.type == "cuda"
    np.testing.assert_allclose(gpu.predict_proba(X), cpu.predict_proba(X), atol=1e-3)


@pytest.mark.parametrize("fused", [False, True])
def test_a_study_agrees(rows, fused):
    # Fails if a victim in a study is not fitted on its device, or by another seed.
    gpu, cpu = on_both(lambda device: curve(rows, device, fused=fused))
    for name, scores in cpu.scores.items():
        # One row of a fold may lie on a boundary, to rounding.
        np.testing.assert_allclose(gpu.scores[name], scores, atol=2.5 / N)


def test_auto_is_the_gpu_everywhere(rows):
    # Fails where a part of the package takes "auto" for the CPU.
    X, y = rows
    stacked = fit_many([net("auto", random_state=k) for k in range(3)], [(X, y)] * 3, fused=True)
    attack = pga(net("auto", Linear))
    attack.poison(X, y)
    ensemble = PartitionEnsemble(net("auto"), n_partitions=2, random_state=0).fit(X, y)
    members = [*stacked, attack.surrogate_, *ensemble.estimators_]
    assert {member.device_.type for member in members} == {"cuda"}
    auto, cuda = (clone(net(device)).fit(X, y) for device in ("auto", "cuda"))
    np.testing.assert_allclose(auto.predict_proba(X), cuda.predict_proba(X), atol=1e-6)


def state_of_cuda():
    return {
        **state_of_the_world(),
        "stream": torch.cuda.current_stream() == torch.cuda.default_stream(),
        "device": torch.cuda.current_device(),
        "convolutions": torch.backends.cudnn.allow_tf32,
        "products": torch.backends.cuda.matmul.allow_tf32,
        "cudnn": (torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "synchronisation": torch.cuda.get_sync_debug_mode(),
    }


def tensors_alive():
    gc.collect()
    # Some objects answer isinstance with an import, so their type is asked.
    return sum(issubclass(type(o), torch.Tensor) and o.is_cuda for o in gc.get_objects())


def test_two_studies_leave_nothing_behind(rows):
    # Fails if a stack, a graph or a history keeps tensors of a study, or if a switch stays set.
    def study():
        before = state_of_cuda()
        scores = curve(rows, fused=True).scores
        assert state_of_cuda() == before
        return scores, tensors_alive(), torch.cuda.memory_allocated()

    alive = tensors_alive()
    first, second = study(), study()
    # The first use of a GPU makes workspaces that stay; they are not tensors.
    assert first[1:] == second[1:]
    assert first[1] == alive
    for name, scores in first[0].items():
        np.testing.assert_array_equal(scores, second[0][name])


@pytest.mark.parametrize("fused", [False, True])
def test_two_threads_fit_at_once(rows, fused):
    # Fails if threads share a generator, a stream or a capture.
    X, y = rows

    def fit(seed):
        nets = [net(batch_size=16, random_state=2 * seed + k) for k in range(2)]
        return fit_many(nets, [(X, y)] * 2, fused=fused)

    one_by_one = [fit(seed) for seed in range(4)]
    with ThreadPoolExecutor(2) as pool:
        at_once = list(pool.map(fit, range(4)))
    for nets, others in zip(one_by_one, at_once, strict=True):
        for a, b in zip(nets, others, strict=True):
            np.testing.assert_allclose(a.predict_proba(X), b.predict_proba(X), atol=1e-5)


def accuracy_on_the_gpu(estimator, X, y):
    assert estimator.device_.type == "cuda"
    return estimator.score(X, y)


def test_two_workers_share_one_gpu(rows):
    # Fails if a net cannot go to a worker process and back, or computes there on the CPU.
    options = {"scoring": accuracy_on_the_gpu, "error_score": "raise", "param_range": [4]}
    serial, parallel = (curve(rows, n_jobs=n, **options) for n in (1, 2))
    for name, scores in serial.scores.items():
        np.testing.assert_allclose(parallel.scores[name], scores, atol=2.5 / N)
