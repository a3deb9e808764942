"""Devices other than the CPU and CUDA: what is random there is seeded, or refused."""

import numpy as np
import pytest
import torch
from sklearn.base import clone
from skorch.dataset import Dataset, ValidSplit
from torch import nn
from torch._lazy import ts_backend

from skpoison import Linear, NetClassifier
from skpoison.nets._parameter_checks import check_dtypes
from skpoison.nets._random import local_seed


@pytest.fixture(scope="module")
def lazy():
    """Torch's lazy device, which is in each of its builds."""
    ts_backend.init()
    return "lazy"


class Dropping(nn.Module):
    """Draws random numbers, in a way that no look at its layers would find."""

    rate = 0.0

    def __init__(self, n_features, n_classes):
        super().__init__()
        self.layer = nn.Linear(n_features, n_classes)

    def forward(self, X):
        return self.layer(nn.functional.dropout(X, self.rate) if self.rate else X)


@pytest.fixture(scope="module")
def data(digits):
    return torch.tensor(digits[0][:40], dtype=torch.float32), torch.tensor(digits[1][:40])


def net(module=Linear, **params):
    params = {"lr": 0.3, "max_epochs": 1, "batch_size": 20, "random_state": 0, **params}
    return NetClassifier(module, **params)


def test_a_second_device_agrees(lazy, data):
    # Fails if something lies on the CPU that must lie on the device, or the other way round.
    X, y = data
    split = net(train_split=ValidSplit(2))
    whole = net(module__n_features=64, module__n_classes=10)
    for estimator, there in ((split, (X, y)), (whole, (Dataset(X.to(lazy), y.to(lazy)), None))):
        here = (X, y) if there[1] is not None else (Dataset(X, y), None)
        cpu = clone(estimator).set_params(device="cpu").fit(*here).predict_proba(X)
        fitted = clone(estimator).set_params(device=lazy).fit(*there)
        assert fitted.device_.type == lazy
        np.testing.assert_allclose(fitted.predict_proba(X), cpu, atol=1e-5)


def test_random_numbers_without_a_seed_are_refused(lazy, data, monkeypatch):
    # Fails if a net is trained with dropout that `random_state` does not determine: what is drawn
    # on the lazy device is drawn later, when somebody reads the result.
    fitted = net(Dropping, device=lazy).fit(*data)
    before = fitted.predict_proba(data[0])
    monkeypatch.setattr(Dropping, "rate", 0.5)
    with pytest.raises(ValueError, match=r"`module` must not draw .* got 'dropout' on 'lazy'"):
        fitted.fit(*data)
    monkeypatch.setattr(Dropping, "rate", 0.0)
    np.testing.assert_array_equal(fitted.predict_proba(data[0]), before)


@pytest.mark.parametrize(
    "draw",
    [
        lambda x: nn.functional.dropout(x),
        lambda x: nn.Dropout1d()(x),
        lambda x: nn.RReLU()(x),
        lambda x: nn.init.kaiming_normal_(x),
        lambda x: nn.functional.gumbel_softmax(x),
        lambda x: x.bernoulli(),
        lambda x: torch.rand_like(x),
        lambda x: torch.rand(2, device=x.device),
        lambda x: torch.multinomial(x, 1),
    ],
)
def test_each_way_to_draw_is_refused(lazy, draw):
    with local_seed(0, lazy):
        draw(torch.ones(2, 2))
        with pytest.raises(ValueError, match="`module` must not draw"):
            draw(torch.ones(2, 2, device=lazy))


def test_the_generator_of_a_device_is_seeded_in_a_block_only(monkeypatch):
    # Fails if dropout there depends on draws before the fit, or changes draws after it. This
    # generator stands for the one of a device that the machine has not.
    stand_in, before = torch.Generator(), torch.get_rng_state()
    monkeypatch.setattr(torch.mps, "get_rng_state", lambda device: stand_in.get_state())
    monkeypatch.setattr(torch.mps, "set_rng_state", lambda state, device: stand_in.set_state(state))
    monkeypatch.setattr(torch.mps, "manual_seed", stand_in.manual_seed)
    state = stand_in.get_state()
    with local_seed(3, "mps"):
        assert stand_in.initial_seed() == torch.initial_seed() == 3
        torch.rand(2, generator=stand_in)
    assert torch.equal(stand_in.get_state(), state)
    assert torch.equal(torch.get_rng_state(), before)


def test_float64_is_refused_where_there_is_none():
    # Fails if a net of double precision dies inside torch, in words about a tensor.
    module = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2).double())
    check_dtypes(module, "cpu")
    check_dtypes(module.float(), "mps")
    words = "`module` must not have float64 on `device` 'mps', .* got '1.running_mean'"
    module[1].running_mean = module[1].running_mean.double()
    with pytest.raises(ValueError, match=words):
        check_dtypes(module, torch.device("mps"))
