"""A net on a GPU takes what a net on a CPU takes, wherever the rows lie, and learns the same."""

import itertools

import numpy as np
import pytest
import torch
from sklearn.base import clone
from skorch.callbacks import EpochScoring
from skorch.dataset import Dataset, ValidSplit
from skorch.helper import predefined_split
from torch import nn
from torch.utils.data import DataLoader, Subset, TensorDataset

from skpoison import MLP, NetClassifier

pytestmark = pytest.mark.gpu

EVERY_SECOND = np.arange(0, 30, 2)


class Named(nn.Module):
    """Takes its inputs by their names."""

    def __init__(self, n_classes=10):
        super().__init__()
        self.left, self.right = nn.Linear(32, n_classes), nn.Linear(32, n_classes)

    def forward(self, left, right):
        return self.left(left) + self.right(right)


class Rows(torch.utils.data.Dataset):
    """A Dataset of the user's own, whose labels are ints."""

    def __init__(self, X, y):
        self.X, self.y = X, y

    def __len__(self):
        return len(self.X)

    def __getitem__(self, i):
        return self.X[i], int(self.y[i])


class OnTheCpu(DataLoader):
    """A loader that workers or pinned memory may serve: it must get rows that lie on the CPU."""

    def __init__(self, dataset, **kwargs):
        super().__init__(dataset, **kwargs)
        X, y = dataset[0]
        parts = [*X.values(), y] if isinstance(X, dict) else [X, y]
        assert {torch.as_tensor(part).device.type for part in parts} == {"cpu"}


@pytest.fixture(scope="module")
def data(digits):
    X, y = digits
    return X[:30].astype(np.float32), y[:30]


def named(X):
    return {"left": X[:, :32], "right": X[:, 32:]}


def tensors(X, y, rows="cpu", labels="cpu"):
    return torch.tensor(X).to(rows), torch.tensor(y).to(labels)


# What `fit` is given, (X, y), by the place of rows and labels.
DATASETS = {
    "numpy": lambda X, y, *_: Dataset(X, y),
    "named": lambda X, y, *_: Dataset(named(X), y),
    "tensors": lambda *data: Dataset(*tensors(*data)),
    "of torch": lambda *data: TensorDataset(*tensors(*data)),
    "own": lambda *data: Rows(*tensors(*data)),
    "subset": lambda *data: Subset(Dataset(*tensors(*data)), EVERY_SECOND),
    "subset of a subset": lambda *data: Subset(
        Subset(Dataset(*tensors(*data)), EVERY_SECOND), list(range(10))
    ),
    "subset of the own": lambda *data: Subset(Rows(*tensors(*data)), EVERY_SECOND),
}
PLACES = list(itertools.product(["cpu", "cuda"], repeat=2))


def net(module=MLP, **params):
    params = {"lr": 0.3, "max_epochs": 2, "batch_size": 8, "random_state": 0, **params}
    if module is MLP:
        params = {"module__width": 8, **params}
    return NetClassifier(module, **params)


def weights(net):
    return np.concatenate([p.detach().cpu().numpy().ravel() for p in net.module_.parameters()])


def fit_on_both(estimator, X, y=None, X_gpu=None):
    """Return the net fitted on the CPU and on the GPU, after a check that they agree."""
    cpu = clone(estimator).set_params(device="cpu").fit(X, y)
    gpu = clone(estimator).set_params(device="cuda").fit(X if X_gpu is None else X_gpu, y)
    assert gpu.device_.type == "cuda"
    np.testing.assert_allclose(weights(gpu), weights(cpu), atol=1e-5)
    losses = [[row["train_loss"] for row in one.history_] for one in (gpu, cpu)]
    np.testing.assert_allclose(*losses, rtol=1e-4)
    return cpu, gpu


@pytest.mark.parametrize("kind", DATASETS)
def test_a_dataset_teaches_the_same_wherever_its_rows_lie(data, kind):
    # Fails if rows, labels, indices or the generator of the order meet on different devices, or if
    # the order of the batches depends on the device.
    if kind == "named":
        estimator = net(Named)
    else:
        estimator = net(module__n_features=64, module__n_classes=10, classes=list(range(10)))
    known = DATASETS[kind](*data, "cpu", "cpu")
    for places in PLACES[: 1 if kind in ("numpy", "named") else None]:
        given = DATASETS[kind](*data, *places)
        cpu, gpu = fit_on_both(estimator, known, None, given)
        np.testing.assert_allclose(gpu.predict_proba(given), cpu.predict_proba(known), atol=1e-5)


SETTINGS = {
    "split": {"train_split": ValidSplit(3)},
    "stratified": {"train_split": ValidSplit(3, stratified=True), "early_stopping": True},
    "held out": {"early_stopping": True, "validation_fraction": 0.5},
    "held out, loader": {
        "early_stopping": True,
        "validation_fraction": 0.5,
        "iterator_valid": OnTheCpu,
    },
    "loader": {"iterator_train": OnTheCpu, "iterator_train__shuffle": True},
    "loaders": {
        "iterator_train": OnTheCpu,
        "iterator_valid": OnTheCpu,
        "train_split": ValidSplit(3),
    },
    "split, loader": {"train_split": ValidSplit(3), "iterator_valid": OnTheCpu},
}


@pytest.mark.parametrize("settings", SETTINGS)
@pytest.mark.parametrize("module", [MLP, Named])
def test_splits_and_loaders_teach_the_same(data, settings, module):
    # Fails if a step does not move its batch, or a loader gets rows that lie on the GPU.
    X, y = data
    X = named(X) if module is Named else X
    y = np.arange(30) % 3  # Each class has rows to hold out.
    cpu, gpu = fit_on_both(net(module, **SETTINGS[settings]), X, y)
    np.testing.assert_allclose(gpu.predict_proba(X), cpu.predict_proba(X), atol=1e-5)
    if "valid_loss" in cpu.history_[-1]:
        for column in ("valid_loss", "valid_acc"):
            np.testing.assert_allclose(gpu.history_[:, column], cpu.history_[:, column], rtol=1e-4)


@pytest.mark.parametrize("kind", [Dataset, TensorDataset])
@pytest.mark.parametrize("place", ["cpu", "cuda"])
def test_a_split_may_put_the_rows_elsewhere(data, place, kind):
    # Fails if the short step takes a batch that lies elsewhere than the net.
    def split(dataset, y=None):
        X, y = dataset.X.to(place), dataset.y.to(place)
        return kind(X[:20], y[:20]), kind(X[20:], y[20:])

    fit_on_both(net(train_split=split), *data)
    X, y = data
    held_out = predefined_split(kind(*tensors(X[20:], y[20:], place, place)))
    fit_on_both(net(train_split=held_out), X, y)


def test_tensors_are_taken_wherever_they_lie(data):
    # Fails if a tensor on the GPU is read as if it lay on the CPU, by the net or by a callback.
    X, y = data[0], np.arange(30) % 3
    scoring = EpochScoring("accuracy", name="train_acc", on_train=True, use_caching=False)
    estimator = net(early_stopping=True, callbacks=[scoring])
    X_gpu, y_gpu = tensors(X, y, "cuda", "cuda")
    cpu = clone(estimator).set_params(device="cpu").fit(X, y, X_val=X, y_val=y)
    for device in ("cpu", "cuda"):
        fitted = clone(estimator).set_params(device=device)
        fitted.fit(X_gpu.requires_grad_(), y_gpu, X_val=X_gpu, y_val=y_gpu)
        np.testing.assert_array_equal(fitted.predict(X_gpu), cpu.predict(X))
        np.testing.assert_allclose(weights(fitted), weights(cpu), atol=1e-5)
        assert fitted.history_[:, "train_acc"] == cpu.history_[:, "train_acc"]
