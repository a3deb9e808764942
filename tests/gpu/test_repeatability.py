"""The same seed gives the same bits on a GPU, whatever else the process computes or has set."""

import numpy as np
import pytest
import torch
from sklearn.frozen import FrozenEstimator
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from skpoison import MLP, CleanLabelPGA, MnistConvNet, NetClassifier, fit_many

pytestmark = pytest.mark.gpu


SEEN = []


class Seen(nn.Module):
    """A convolution and dropout, which note the switches of torch in each pass, also backwards."""

    input_shape = (1, 8, 8)

    def __init__(self, n_classes):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Dropout(0.2), nn.Linear(144, n_classes)
        )

    def forward(self, X):
        SEEN.append(switches())
        output = self.layers(X)
        if output.requires_grad:
            output.register_hook(lambda slope: SEEN.append(switches()))
        return output


class Plain(Seen):
    """Without dropout, so that a stack takes it."""

    def __init__(self, n_classes):
        super().__init__(n_classes)
        self.layers.pop(3)


def switches():
    return torch.get_deterministic_debug_mode(), torch.backends.cudnn.benchmark


@pytest.fixture
def benchmark():
    """The user lets cuDNN choose its algorithms by timing them."""
    before, torch.backends.cudnn.benchmark = torch.backends.cudnn.benchmark, True
    yield
    torch.backends.cudnn.benchmark = before


def net(module, **params):
    params = {"lr": 0.1, "max_epochs": 2, "batch_size": 20, "random_state": 0, **params}
    if module is MLP:
        params["module__width"] = 8
    return NetClassifier(module, **{"device": "cuda", **params})


def weights(net):
    return np.concatenate([p.detach().cpu().numpy().ravel() for p in net.module_.parameters()])


@pytest.mark.parametrize("module", [MLP, Seen, Plain])
def test_the_same_seed_gives_the_same_bits(digits, benchmark, module):
    # Fails if a kernel adds up in the order in which threads finish, or draws from a generator that
    # is not seeded.
    X, y = (part[:60] for part in digits)
    found = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        torch.rand(seed, device="cuda")
        state = torch.cuda.get_rng_state()
        fitted = net(module).fit(X, y)
        alike = fit_many([net(module, random_state=k) for k in range(4)], [(X, y)] * 4, fused=True)
        found.append([fitted.predict_proba(X), *(weights(one) for one in (fitted, *alike))])
        assert torch.equal(torch.cuda.get_rng_state(), state)
    for first, second in zip(*found, strict=True):
        np.testing.assert_array_equal(first, second)


def attack_on(net):
    return CleanLabelPGA(FrozenEstimator(net), norm="l2,inf", budget=0.1, max_iter=2)


CALLS = {
    "fit": lambda net, X, y: net.fit(X, y),
    "partial_fit": lambda net, X, y: net.partial_fit(X, y),
    "early stopping": lambda net, X, y: net.set_params(early_stopping=True).fit(X, y),
    "fit_many": lambda net, X, y: fit_many([net], [(X, y)], fused=True),
    "predict": lambda net, X, y: net.predict(X),
    "logits": lambda net, X, y: net.logits(torch.tensor(X)),
    "attack": lambda net, X, y: attack_on(net).poison(X, y),
}


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("mode", [0, 2])
def test_kernels_are_deterministic_while_a_net_computes(digits, benchmark, call, mode):
    # Fails if a call computes with the user's switches, changes them for good, or weakens them.
    X, y = (part[:40] for part in digits)
    y = y % 3
    ready = {d: net(Plain, device=d, max_epochs=1).fit(X, y) for d in ("cpu", "cuda")}
    for device, inside in (("cuda", (mode or 1, False)), ("cpu", (mode, True))):
        SEEN.clear()
        torch.set_deterministic_debug_mode(mode)
        try:
            CALLS[call](ready[device], X, y)
            assert switches() == (mode, True)
        finally:
            torch.set_deterministic_debug_mode(0)
        assert set(SEEN) == {inside}


# Deterministic kernels of these sort, and in many versions of torch they wait for the GPU.
SORTING = ("index_add", "index_copy", "index_put", "put_", "scatter_add")


class Watch(TorchDispatchMode):
    """Notes the operations on CUDA."""

    def __init__(self):
        super().__init__()
        self.names = set()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        if isinstance(out, torch.Tensor) and out.device.type == "cuda":
            self.names.add(str(func).split(".")[1])
        return out


@pytest.mark.parametrize("module", [MLP, MnistConvNet])
def test_no_step_sorts_because_it_is_deterministic(digits, module):
    # Fails if a step takes an operation that is slow, or waits, where kernels are deterministic.
    X, y = (part[:40] for part in digits)
    X = X if module is MLP else np.zeros((40, 1, 28, 28), np.float32)
    with Watch() as watch:
        net(module, max_epochs=1).fit(X, y)
        fit_many([net(module, max_epochs=1)], [(X, y)], fused=True)
    assert {"index_select", "_log_softmax"} <= watch.names
    assert [name for name in watch.names if name.startswith(SORTING)] == []


class Unpooling(nn.Module):
    """Has no deterministic kernel, on any device."""

    input_shape = (1, 8, 8)

    def __init__(self, n_classes):
        super().__init__()
        self.pool, self.unpool = nn.MaxPool2d(2, return_indices=True), nn.MaxUnpool2d(2)
        self.layer = nn.Linear(64, n_classes)

    def forward(self, X):
        return self.layer(self.unpool(*self.pool(X)).flatten(1))


def test_an_operation_without_a_deterministic_kernel_is_a_warning(digits):
    # Fails if the user is not told, or cannot train such a net any more.
    with pytest.warns(UserWarning, match="does not have a deterministic implementation"):
        fitted = net(Unpooling, max_epochs=1).fit(*digits)
    assert len(fitted.history_) == 1
