"""Small fits, attacks and stacks of every kind: on a GPU they give what they give on the CPU."""

import copy
import io
import pickle

import numpy as np
import pytest
import torch
from sklearn.frozen import FrozenEstimator
from skorch.callbacks import Checkpoint, EpochScoring, GradientNormClipping, LRScheduler
from torch import nn
from torch.utils.data import DataLoader

from skpoison import (
    MLP,
    CleanLabelPGA,
    GradientMatching,
    NetClassifier,
    fit_many,
    project_l2inf,
    project_l21,
    robustness_curve,
)

pytestmark = [
    pytest.mark.gpu,
    # So few steps leave some of a budget.
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
]

N = 100


class Own(nn.Module):
    """A module that no stack knows by heart."""

    def __init__(self, n_features, n_classes, width=8):
        super().__init__()
        self.first, self.last = nn.Linear(n_features, width), nn.Linear(width, n_classes)

    def forward(self, X):
        return self.last(torch.relu(self.first(X.flatten(1))))


class Conv(nn.Module):
    input_shape = (1, 8, 8)

    def __init__(self, n_classes=10):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(1, 4, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(36, n_classes)
        )

    def forward(self, X):
        return self.layers(X)


class Double(Own):
    def __init__(self, n_features, n_classes):
        super().__init__(n_features, n_classes)
        self.double()


@pytest.fixture
def rows(digits):
    X, y = digits
    return X[:N].astype(np.float32), y[:N]


def net(device="cuda", module=MLP, **kwargs):
    # All rows in a batch: the order of the rows comes from a generator on the device.
    options = {"lr": 0.2, "max_epochs": 2, "batch_size": -1, "random_state": 0, "device": device}
    if module is MLP:
        options["module__width"] = 8
    return NetClassifier(module, **{**options, **kwargs})


def schedule():
    return ("lr", LRScheduler("StepLR", step_size=1))


# Functions, so that each net has callbacks of its own.
FITS = {
    "chain": lambda: {},
    "own module": lambda: {"module": Own},
    "convolutions": lambda: {"module": Conv},
    "early stopping": lambda: {"early_stopping": True, "n_iter_no_change": 1, "max_epochs": 4},
    "momentum": lambda: {"module": Own, "optimizer__momentum": 0.9, "lr": 0.05},
    "Adam": lambda: {"optimizer": torch.optim.Adam, "lr": 0.01},
    "a schedule": lambda: {"callbacks": [schedule()]},
    "clipping": lambda: {"callbacks": [GradientNormClipping(0.1)]},
    "class weights": lambda: {"criterion__weight": torch.linspace(0.5, 1.5, 10)},
    "float64": lambda: {"module": Double},
    "scores": lambda: {
        "early_stopping": True,
        "callbacks": [
            EpochScoring("accuracy", name="a", lower_is_better=False),
            EpochScoring("neg_log_loss", on_train=True, name="b"),
        ],
    },
}


# Data that a DataLoader reads stay on the CPU: the device can be neither pinned nor forked.
LOADERS = [{"pin_memory": True}, {"num_workers": 1}, {"pin_memory": True, "num_workers": 1}]


@pytest.mark.parametrize("options", LOADERS)
def test_a_loader_of_torch_reads_on_the_cpu(rows, options):
    X, y = rows
    options = {f"iterator_train__{name}": value for name, value in options.items()}
    gpu, cpu = (
        net(device, iterator_train=DataLoader, batch_size=N, **options).fit(X, y)
        for device in ("cuda", "cpu")
    )
    np.testing.assert_allclose(gpu.predict_proba(X), cpu.predict_proba(X), atol=1e-4)


@pytest.mark.parametrize("name", FITS)
def test_a_fit_agrees(rows, name):
    X, y = rows
    gpu, cpu = (net(device, **FITS[name]()).fit(X, y) for device in ("cuda", "cpu"))
    assert gpu.device_.type == "cuda"
    np.testing.assert_allclose(gpu.predict_proba(X), cpu.predict_proba(X), atol=1e-4)
    for column in {"train_loss", "valid_acc", "valid_loss", "a", "b"} & set(cpu.history_[-1]):
        np.testing.assert_allclose(gpu.history_[:, column], cpu.history_[:, column], atol=2 / N)


BOUND = {"norm": "l2,inf", "budget": 0.5}
SUM = {"norm": "l2,1", "budget": 3.0}
ATTACKS = {
    "a bound for each row": BOUND,
    "a bound on the sum": SUM,
    "some of the rows": {**BOUND, "max_fraction": 0.1},
    "cross-entropy": {**BOUND, "loss": "cross_entropy"},
    "batches": {**SUM, "batch_size": 32},
    "a step size": {**BOUND, "step_size": 0.5},
    "not clipped": {**BOUND, "clip": None},
    "no budget": {**BOUND, "budget": 0.0},
}


@pytest.mark.parametrize("module", [MLP, Conv])
@pytest.mark.parametrize("name", ATTACKS)
def test_an_attack_agrees(rows, name, module):
    X, y = rows

    def poisoned(device):
        attack = CleanLabelPGA(net(device, module), max_iter=3, random_state=0, **ATTACKS[name])
        return attack.poison(X, y)[0], attack.budget_spent_

    (X_gpu, spent_gpu), (X_cpu, spent_cpu) = poisoned("cuda"), poisoned("cpu")
    np.testing.assert_allclose(X_gpu, X_cpu, atol=1e-3)
    assert spent_gpu == pytest.approx(spent_cpu, rel=1e-3)


@pytest.mark.parametrize("dtype", [np.float16, np.float64])
def test_rows_of_another_dtype_agree(rows, dtype):
    X, y = rows[0].astype(dtype), rows[1]
    gpu, cpu = (
        CleanLabelPGA(net(device), max_iter=3, random_state=0, **BOUND).poison(X, y)[0]
        for device in ("cuda", "cpu")
    )
    assert gpu.dtype == dtype
    np.testing.assert_allclose(gpu, cpu, atol=2e-3)


@pytest.mark.parametrize("module", [MLP, Conv])
@pytest.mark.parametrize("options", [SUM, {**BOUND, "batch_size": 7, "max_fraction": 0.3}])
def test_gradient_matching_agrees(rows, module, options):
    X, y = rows
    gpu, cpu = (
        GradientMatching(
            net(device, module), (X[-1:], [(y[-1] + 1) % 10]), max_iter=3, random_state=0, **options
        ).poison(X[:-1], y[:-1])[0]
        for device in ("cuda", "cpu")
    )
    np.testing.assert_allclose(gpu, cpu, atol=1e-3)


def test_poison_is_written_to_out(rows, tmp_path):
    X, y = rows
    attack = CleanLabelPGA(net(), max_iter=2, random_state=0, batch_size=32, **BOUND)
    out = np.memmap(tmp_path / "out", dtype=X.dtype, shape=X.shape, mode="w+")
    attack.poison(X, y, out=out)
    np.testing.assert_allclose(out, attack.poison(X, y)[0], atol=1e-5)


STACKS = {
    "plain": lambda: {},
    "early stopping": lambda: {"early_stopping": True, "n_iter_no_change": 1, "max_epochs": 3},
    "weight decay": lambda: {"optimizer__weight_decay": 0.01},
    "Nesterov": lambda: {"optimizer__momentum": 0.9, "optimizer__nesterov": True, "lr": 0.05},
    "a schedule": lambda: {"callbacks": [schedule()]},
}


@pytest.mark.parametrize("module", [MLP, Own, Conv])
@pytest.mark.parametrize("name", STACKS)
def test_a_stack_agrees(rows, name, module):
    # Nets of other numbers of rows, so that some have fewer batches.
    X, y = rows
    data = [(X[: N - 10 * k], y[: N - 10 * k]) for k in range(3)]
    gpu, cpu = (
        [net(device, module, **{**STACKS[name](), "random_state": k}) for k in range(3)]
        for device in ("cuda", "cpu")
    )
    fit_many(gpu, data, fused=True)
    for member, other, part in zip(gpu, cpu, data, strict=True):
        assert member.device_.type == "cuda"
        other.fit(*part)
        np.testing.assert_allclose(member.predict_proba(X), other.predict_proba(X), atol=1e-4)


def test_what_a_net_can_do_beside_a_fit(rows, tmp_path):
    X, y = rows
    whole = net(max_epochs=4).fit(X, y).predict_proba(X)
    parts = net()
    parts.partial_fit(X, y).partial_fit(X, y)
    np.testing.assert_allclose(parts.predict_proba(X), whole, atol=1e-5)
    warm = net(warm_start=True)
    np.testing.assert_allclose(warm.fit(X, y).fit(X, y).predict_proba(X), whole, atol=1e-5)
    for other in (copy.deepcopy(parts), pickle.loads(pickle.dumps(parts))):
        assert other.device_.type == "cuda"
        np.testing.assert_allclose(other.predict_proba(X), whole, atol=1e-5)
    file = io.BytesIO()
    parts.save_params(f_params=file)
    file.seek(0)
    sizes = {"module__n_features": 64, "module__n_classes": 10, "classes": list(range(10))}
    loaded = net(**sizes).initialize()
    loaded.load_params(f_params=file)
    np.testing.assert_allclose(loaded.predict_proba(X), whole, atol=1e-5)
    best = Checkpoint(dirname=str(tmp_path), monitor="train_loss_best", load_best=True)
    assert net(callbacks=[best]).fit(X, y).device_.type == "cuda"


def test_logits_have_gradients_where_the_rows_are(rows):
    X, y = rows
    fitted = net(module=Conv).fit(X, y)
    for device in ("cpu", "cuda"):
        t = torch.tensor(X[:4], device=device, requires_grad=True)
        fitted.logits(t).sum().backward()
        assert t.grad.device.type == device
        assert t.grad.abs().sum() > 0


@pytest.mark.parametrize("project", [project_l21, project_l2inf])
def test_a_projection_stays_on_the_device(project):
    delta = torch.arange(6.0).reshape(3, 2)
    out = project(delta.to("cuda"), 1.0)
    assert out.device.type == "cuda"
    torch.testing.assert_close(out.cpu(), project(delta, 1.0))


@pytest.mark.parametrize("fused", [False, True])
def test_a_study_with_a_memory_is_read_again(rows, tmp_path, fused):
    # Fails if what identifies a net depends on where its tensors lie, or if they cannot be saved.
    X, y = rows
    frozen = FrozenEstimator(net().fit(X, y))
    attacks = {"pga": CleanLabelPGA(frozen, max_iter=2, random_state=0, **BOUND)}
    first, again = (
        robustness_curve(
            net(),
            X,
            y,
            param_name="module__width",
            param_range=[4],
            attacks=attacks,
            cv=2,
            random_state=0,
            fused=fused,
            memory=str(tmp_path),
        )
        for _ in range(2)
    )
    np.testing.assert_array_equal(first.scores["pga"], again.scores["pga"])
