"""Attacks on a GPU: what the CPU gives, one copy an iteration, and every kind of surrogate."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.frozen import FrozenEstimator
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from skpoison import (
    MLP,
    CleanLabelPGA,
    GradientMatching,
    LabelFlip,
    NetClassifier,
    project_l2inf,
    project_l21,
)

# Some surrogates here have rows without a slope, and leave budget for which there is no use.
pytestmark = [
    pytest.mark.gpu,
    pytest.mark.filterwarnings("ignore:CleanLabelPGA spent"),
]


class Convolution(nn.Module):
    input_shape = (1, 8, 8)

    def __init__(self, n_classes=10):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(1, 4, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(36, n_classes)
        )

    def forward(self, X):
        return self.layers(X)


class Recurrent(nn.Module):
    input_shape = (8, 8)

    def __init__(self, n_classes=10):
        super().__init__()
        self.layer, self.last = nn.RNN(8, 8, batch_first=True), nn.Linear(8, n_classes)

    def forward(self, X):
        # Whether cuDNN computes this layer; it has no gradient then, as the net is not trained.
        self.saw_cudnn = torch.backends.cudnn.enabled
        return self.last(self.layer(X)[0][:, -1])


class Plain(ClassifierMixin, BaseEstimator):
    """A surrogate of the documented protocol: it does not say where it computes."""

    def __init__(self, device="cuda"):
        self.device = device

    def fit(self, X, y):
        self.classes_ = np.unique(y)
        generator = torch.Generator().manual_seed(0)
        weight = torch.randn(X[0].size, len(self.classes_), generator=generator)
        self.module_ = nn.Linear(*weight.shape, device=self.device)
        with torch.no_grad():
            self.module_.weight.copy_(weight.T)
            self.module_.bias.zero_()
        return self

    def logits(self, rows):
        rows = rows.flatten(1)
        # Rows of which one feature is small have no slope.
        rows = rows * (rows[:, 20:21] > 0.5)
        return self.module_(rows.to(self.device, torch.float32))


class Placed(Plain):
    """A surrogate that says where it computes, and takes no rows of other devices."""

    @property
    def device_(self):
        return torch.device(self.device)

    def logits(self, rows):
        assert rows.device.type == self.device_.type
        return super().logits(rows)


@pytest.fixture(scope="module")
def data(digits):
    X, y = digits
    return X[:60].astype(np.float32), y[:60]


def on_both(module, data):
    """The same net on the GPU and on the CPU."""
    net = NetClassifier(module, lr=0.5, max_epochs=2, batch_size=-1, random_state=0)
    for device in ("cuda", "cpu"):
        yield FrozenEstimator(clone(net).set_params(device=device).fit(*data))


@pytest.fixture(scope="module")
def nets(data):
    """By module, the same net on the GPU and on the CPU."""
    return {module: list(on_both(module, data)) for module in (MLP, Convolution)}


def ascent(surrogate, **kwargs):
    kwargs = {"norm": "l2,1", "budget": 0.5, "max_iter": 3, "random_state": 0, **kwargs}
    return CleanLabelPGA(surrogate, **kwargs)


def matching(surrogate, data, **kwargs):
    X, y = data
    kwargs = {"max_fraction": 0.3, "max_iter": 3, "random_state": 0, **kwargs}
    return GradientMatching(surrogate, (X[:1], [(y[0] + 3) % 10]), **kwargs)


def assert_agree(a, b, data, atol=1e-4):
    """Two attacks give the same rows and the same curve, and did something."""
    X, (X_a, _), (X_b, _) = data[0], a.poison(*data), b.poison(*data)
    np.testing.assert_allclose(X_a, X_b, rtol=0, atol=atol)
    name = "loss_curve_" if isinstance(a, CleanLabelPGA) else "cosine_curve_"
    np.testing.assert_allclose(getattr(a, name), getattr(b, name), rtol=1e-3, atol=1e-5)
    assert a.n_iter_ == b.n_iter_
    assert np.abs(X_a - X).max() > 1e-2


ASCENTS = {
    "l2,1": {"batch_size": 25},
    "l2,inf": {"norm": "l2,inf"},
    "rows": {"max_fraction": 0.2, "batch_size": 25},
    "no box": {"norm": "l2,inf", "clip": None, "loss": "cross_entropy"},
    "step": {"step_size": 0.5},
}


@pytest.mark.parametrize("module", [MLP, Convolution])
@pytest.mark.parametrize("kind", ASCENTS)
def test_ascent_agrees_with_the_cpu(nets, data, kind, module):
    # Fails if lengths, projection or choice of rows are other than on the CPU.
    gpu, cpu = (ascent(net, **ASCENTS[kind]) for net in nets[module])
    assert_agree(gpu, cpu, data)


@pytest.mark.parametrize("dtype", [np.float16, np.float64])
def test_other_dtypes_agree_with_the_cpu(nets, data, dtype):
    X, y = data
    for kwargs in ({"norm": "l2,inf"}, {"max_fraction": 0.2}):
        gpu, cpu = (ascent(net, **kwargs) for net in nets[MLP])
        assert_agree(gpu, cpu, (X.astype(dtype), y), atol=2e-3 if dtype == np.float16 else 1e-4)


@pytest.mark.parametrize("norm", ["l2,1", "l2,inf"])
@pytest.mark.parametrize("module", [MLP, Convolution])
def test_matching_agrees_with_the_cpu(nets, data, norm, module):
    for batch_size in (4096, 5):
        gpu, cpu = (matching(net, data, norm=norm, batch_size=batch_size) for net in nets[module])
        assert_agree(gpu, cpu, data)


def test_batches_and_out_do_not_change_the_result(nets, data, tmp_path):
    # Fails if rows that do not fit on the device are attacked otherwise.
    X, y = data
    whole, _ = ascent(nets[MLP][0], max_fraction=0.5).poison(X, y)
    attack = ascent(nets[MLP][0], max_fraction=0.5, batch_size=11)
    out = np.memmap(tmp_path / "out", dtype=X.dtype, shape=X.shape, mode="w+")
    attack.poison(X, y, out=out)
    np.testing.assert_allclose(out, whole, atol=1e-5)
    np.testing.assert_allclose(attack.poison(X, y)[0], whole, atol=1e-5)


def copies(transfers, make, data, few=1, many=3):
    """Copies to the host and to the device that each further iteration makes."""
    counts = []
    for max_iter in (few, many):
        attack = make(max_iter)
        with transfers() as count:
            attack.poison(*data)
        assert attack.n_iter_ == max_iter
        counts.append(np.array([count.to_host, count.to_device]))
    return (counts[1] - counts[0]) / (many - few)


@pytest.mark.parametrize("norm", ["l2,1", "l2,inf"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_an_iteration_copies_once(nets, data, norm, dtype, transfers):
    # Fails if a batch is waited for: there are many in an iteration.
    data, net = (data[0].astype(dtype), data[1]), nets[MLP][0]

    def ascend(max_iter):
        return ascent(net, norm=norm, max_iter=max_iter, batch_size=20, budget=0.1)

    def match(max_iter):
        return matching(net, data, norm=norm, max_iter=max_iter, batch_size=6, budget=0.1)

    for make in (ascend, match):
        to_host, to_device = copies(transfers, make, data)
        assert (to_host, to_device) == (1, 0)


def test_two_ascents_copy_once_an_iteration_each(nets, data, transfers):
    # Fails if the rows that may change are sent to the device again at each step.
    def make(max_iter):
        return ascent(nets[MLP][0], max_fraction=0.3, max_iter=max_iter, batch_size=20)

    assert copies(transfers, make, data).tolist() == [2, 0]


def test_rows_that_stop_are_not_looked_for(data, transfers):
    # Fails if the device is asked which rows are left, or if a row that stopped is attacked on.
    def make(max_iter):
        return ascent(Placed(), norm="l2,inf", max_iter=max_iter, batch_size=20)

    assert copies(transfers, make, data).tolist() == [1, 0]
    assert_agree(make(3), clone(make(3)).set_params(surrogate__device="cpu"), data)


@pytest.mark.parametrize("norm", ["l2,1", "l2,inf"])
def test_surrogate_that_does_not_say_where_it_computes(data, norm):
    # Fails if the labels are expected where the rows are.
    gpu, cpu = Plain("cuda"), Plain("cpu")
    for kwargs in ({}, {"batch_size": 25, "max_fraction": 0.5}):
        assert_agree(ascent(gpu, norm=norm, **kwargs), ascent(cpu, norm=norm, **kwargs), data)
        own = {"norm": norm, "max_fraction": 1.0}
        assert_agree(matching(gpu, data, **own), matching(cpu, data, **own), data)


def test_scores_of_a_surrogate(nets, data):
    # Fails if a surrogate is scored on rows of another device than it is attacked on.
    surrogates = [(Plain("cuda"), Plain("cpu")), (Placed("cuda"), Plain("cpu"))]
    surrogates.append(nets[MLP])
    for gpu, cpu in surrogates:
        flipped = [
            LabelFlip(0.2, selection="margin", surrogate=own, random_state=0).poison(*data)[1]
            for own in (gpu, cpu)
        ]
        np.testing.assert_array_equal(*flipped)


@pytest.mark.filterwarnings("ignore:PyTorch was compiled without cuDNN")
def test_recurrent_layers(data):
    # Fails on cuDNN: it differentiates recurrent layers in training mode only, and never twice.
    gpu, cpu = on_both(Recurrent, data)
    for kwargs in ({}, {"norm": "l2,inf"}):
        assert_agree(ascent(gpu, **kwargs), ascent(cpu, **kwargs), data)
        assert not gpu.estimator.module_.saw_cudnn
        assert cpu.estimator.module_.saw_cudnn
        assert_agree(matching(gpu, data, **kwargs), matching(cpu, data, **kwargs), data)
        assert not gpu.estimator.module_.saw_cudnn
    assert torch.backends.cudnn.enabled


class OnCudnn(torch.autograd.Function):
    """The identity, which cuDNN would not differentiate in evaluation mode."""

    @staticmethod
    def forward(ctx, rows):
        return rows.clone()

    @staticmethod
    def backward(ctx, gradient):
        if torch.backends.cudnn.enabled:
            raise RuntimeError("cudnn RNN backward can only be called in training mode")
        return gradient.clone()


class Hidden(Plain):
    """A surrogate whose recurrent layers are not to be seen from outside."""

    def logits(self, rows):
        return super().logits(OnCudnn.apply(rows))


def test_recurrent_layers_that_are_not_to_be_seen(data):
    # Fails if torch's error is all that the user gets, or if the advice does not help.
    for attack in (ascent(Hidden()), matching(Hidden(), data, max_fraction=1.0)):
        with pytest.raises(
            ValueError, match=r"`surrogate` must have gradients .* recurrent layers"
        ):
            attack.poison(*data)
        assert not hasattr(attack, "surrogate_")
        with torch.backends.cudnn.flags(enabled=False):
            attack.poison(*data)
        assert attack.n_iter_ == 3


def test_other_errors_of_a_surrogate_stay_as_they_are(data):
    class Broken(Plain):
        def logits(self, rows):
            raise RuntimeError("my own error")

    with pytest.raises(RuntimeError, match="my own error"):
        ascent(Broken()).poison(*data)


class NoFloat64(TorchDispatchMode):
    """Refuses float64 on the device, as Apple's does."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        for value in tree_leaves(out):
            if isinstance(value, torch.Tensor) and value.device.type == "cuda":
                assert value.dtype != torch.float64, func
        return out


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_device_without_float64(monkeypatch, nets, data, dtype):
    # Fails if a sum, a norm or a row is put in float64 on the device.
    monkeypatch.setattr("skpoison.attacks._vectors._WITHOUT_FLOAT64", ("cuda",))
    data = data[0].astype(dtype), data[1]
    pairs = [nets[MLP], (Plain("cuda"), Plain("cpu"))]
    with NoFloat64():
        for gpu, cpu in pairs:
            for norm in ("l2,1", "l2,inf"):
                assert_agree(ascent(gpu, norm=norm), ascent(cpu, norm=norm), data)
                own = {"norm": norm, "max_fraction": 1.0}
                assert_agree(matching(gpu, data, **own), matching(cpu, data, **own), data)
            flips = [
                LabelFlip(0.2, selection="margin", surrogate=own, random_state=0).poison(*data)[1]
                for own in (gpu, cpu)
            ]
            np.testing.assert_array_equal(*flips)
        delta = torch.tensor(data[0], dtype=torch.float32).to("cuda")
        for project in (project_l21, project_l2inf):
            np.testing.assert_allclose(
                project(delta, 2.0).cpu().numpy(), project(delta.cpu(), 2.0).numpy(), atol=1e-6
            )


@settings(deadline=None, max_examples=20)
@given(
    st.integers(0, 2**32 - 1),
    st.sampled_from([np.float16, np.float32, np.float64]),
    st.floats(0, 1.5),
    st.booleans(),
)
def test_projections_agree_with_the_cpu(seed, dtype, share, is_tiny):
    # Fails if a threshold is one row off, or if squares underflow on the device.
    rng = np.random.default_rng(seed)
    delta = rng.standard_normal((rng.integers(0, 20), rng.integers(1, 9)))
    delta[rng.random(len(delta)) < 0.2] = 0
    if is_tiny and dtype == np.float64:
        delta *= 10.0 ** rng.integers(-320, -150)
    delta = delta.astype(dtype)
    largest = float(np.abs(delta).max(initial=0))
    total = largest * np.sqrt(delta.shape[1]) * len(delta)
    for project in (project_l21, project_l2inf):
        expected = project(delta, share * total)
        found = project(torch.tensor(delta).to("cuda"), share * total)
        assert found.device.type == "cuda"
        assert found.cpu().numpy().dtype == dtype
        atol = 4 * float(np.finfo(dtype).eps) * largest
        np.testing.assert_allclose(found.cpu().numpy(), expected, rtol=0, atol=atol)


@pytest.mark.parametrize("norm", ["l2,1", "l2,inf"])
@pytest.mark.parametrize("kind", [CleanLabelPGA, GradientMatching])
def test_a_pipeline_on_the_device_moves_a_table_as_on_the_cpu(kind, norm):
    # Fails if sides of the box, features, slopes or missing cells stay on the CPU.
    rng = np.random.default_rng(0)
    X = rng.standard_normal((40, 3)) * [1.0, 100.0, 1.0] + [0.0, 900.0, 0.0]
    X[::5, 2] = np.nan
    y = (X[:, 0] > 0).astype(int)
    moved = []
    for device in ("cpu", "cuda"):
        net = NetClassifier(MLP, module__width=8, max_epochs=3, random_state=0, device=device)
        surrogate = make_pipeline(SimpleImputer(), StandardScaler(), net)
        options = {"scale": "std", "clip": "range", "max_iter": 5, "norm": norm, "budget": 0.5}
        target = {"target": (X[1:2], [0])} if kind is GradientMatching else {}
        moved.append(kind(surrogate, **target, **options, random_state=0).poison(X, y)[0])
    assert np.nan_to_num(moved[0] - X).any()
    np.testing.assert_allclose(moved[1] / X, moved[0] / X, rtol=1e-3, atol=1e-4)
