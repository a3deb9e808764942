"""What is computed on a GPU agrees with the CPU, to the rounding of sums in another order."""

import os
import pickle
import subprocess
import sys

import numpy as np
import pytest
from sklearn.base import clone

from skpoison import MLP, CleanLabelPGA, Linear, MnistConvNet, NetClassifier, fit_many

pytestmark = pytest.mark.gpu


def weights(net):
    return np.concatenate([p.detach().cpu().numpy().ravel() for p in net.module_.parameters()])


def images(X):
    """Digits as images of 28x28."""
    X = X.reshape(-1, 1, 8, 8).repeat(3, 2).repeat(3, 3)
    return np.pad(X, [(0, 0), (0, 0), (2, 2), (2, 2)])


@pytest.mark.parametrize("module", [MLP, MnistConvNet])
def test_a_fit_agrees(digits, module):
    # Fails where rounding differs by more than float32's: TF32 keeps 10 bits. The order of the
    # batches comes from a generator on the device, so that only one full batch gives equal sums.
    X, y = digits
    X = images(X) if module is MnistConvNet else X
    net = NetClassifier(module, lr=0.1, max_epochs=3, batch_size=-1, random_state=0)
    cpu, gpu = (clone(net).set_params(device=d).fit(X, y) for d in ("cpu", "cuda"))
    assert gpu.device_.type == "cuda"
    assert cpu.device_.type == "cpu"
    np.testing.assert_allclose(weights(gpu), weights(cpu), atol=1e-5)
    np.testing.assert_allclose(gpu.predict_proba(X), cpu.predict_proba(X), atol=1e-5)


def test_early_stopping_restores_the_best_epoch(digits):
    # Fails if the weights restored are not those of the best epoch, or lie on another device.
    X, y = digits
    net = NetClassifier(
        MLP, lr=0.5, max_epochs=8, early_stopping=True, n_iter_no_change=3, device="cuda"
    )
    net.set_params(random_state=0).fit(X, y, X_val=X[:100], y_val=y[:100])
    best = max(net.history_[:, "valid_acc"])
    assert net.score(X[:100], y[:100]) == pytest.approx(best, abs=1e-9)
    assert net.device_.type == "cuda"


@pytest.mark.parametrize("norm", ["l2,1", "l2,inf"])
def test_an_attack_agrees(digits, norm):
    # Fails if gradient or projection differ, or if the budget does not hold there.
    X, y = digits
    X = X.astype(np.float32)
    budget = 5.0 if norm == "l2,1" else 0.5
    poisoned = {}
    for device in ("cpu", "cuda"):
        surrogate = NetClassifier(
            Linear, lr=0.1, max_epochs=5, batch_size=-1, device=device, random_state=0
        )
        attack = CleanLabelPGA(surrogate, norm=norm, budget=budget, max_iter=20, random_state=0)
        poisoned[device], y_new = attack.poison(X, y)
        np.testing.assert_array_equal(y_new, y)
        assert attack.surrogate_.device_.type == device
        assert attack.perturbation_norms_.max() > 0.1 * budget / (20 if norm == "l2,1" else 1)
        if norm == "l2,inf":
            assert attack.perturbation_norms_.max() <= budget * (1 + 1e-5)
        else:
            assert attack.perturbation_norms_.sum() <= budget * np.sqrt(len(X)) * (1 + 1e-5)
    np.testing.assert_allclose(poisoned["cuda"], poisoned["cpu"], atol=1e-3)


def test_a_stack_agrees_with_nets_alone(digits):
    # Fails if a net in a stack sees the rows, the order or the seed of another.
    X, y = digits
    net = NetClassifier(MLP, lr=0.1, max_epochs=3, batch_size=32, device="cuda")
    nets = [clone(net).set_params(random_state=seed) for seed in range(4)]
    data = [(X[k:], y[k:]) for k in range(4)]
    alone = [clone(member).fit(*part) for member, part in zip(nets, data, strict=True)]
    for one, member in zip(alone, fit_many(nets, data, fused=True), strict=True):
        assert member.device_.type == "cuda"
        np.testing.assert_allclose(weights(member), weights(one), atol=1e-4)


# What a machine without CUDA does with a net that was fitted on one with it.
ELSEWHERE = """
import pickle, sys
import numpy as np
import torch
assert not torch.cuda.is_available()
net, X, proba = pickle.load(open(sys.argv[1], "rb"))
assert net.device_.type == "cpu", net.device_
np.testing.assert_allclose(net.predict_proba(X), proba, atol=1e-5)
"""


@pytest.mark.parametrize("device", ["auto", "cuda"])
@pytest.mark.filterwarnings("ignore:Requested to load data to CUDA")
def test_a_net_pickles_to_a_machine_without_cuda(digits, tmp_path, device):
    # Fails if weights, generator or history need the device that they were made on.
    X, y = digits
    net = NetClassifier(MLP, lr=0.1, max_epochs=2, device=device, random_state=0).fit(X, y)
    assert net.device_.type == "cuda"
    path = tmp_path / "net.pickle"
    with open(path, "wb") as file:
        pickle.dump((net, X, net.predict_proba(X)), file)
    result = subprocess.run(
        [sys.executable, "-c", ELSEWHERE, path],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "CUDA_VISIBLE_DEVICES": ""},
    )
    assert result.returncode == 0, result.stderr


def test_auto_takes_the_gpu(digits):
    net = NetClassifier(MLP, max_epochs=1, random_state=0).fit(*digits)
    assert net.device_.type == "cuda"
