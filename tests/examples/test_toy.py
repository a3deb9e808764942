"""The toy of two Gaussians: its batched loop, its moves and its verdicts."""

import math

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from skpoison import NetClassifier
from skpoison.modules import TwoLayerReLU


@pytest.fixture
def toy(load_script):
    return load_script("toy_two_layer")


class ToyNet(TwoLayerReLU):
    """PyTorch's initial weights in place of the theory's."""

    def __init__(self, n_features, width, output_scale):
        super().__init__(n_features, width, output_scale=output_scale, n_outputs=2)
        nn.init.kaiming_uniform_(self.weight, a=math.sqrt(5))


class BothOutputs(nn.Module):
    """The mean binary cross-entropy of both outputs against one-hot labels."""

    def forward(self, outputs, y):
        wanted = nn.functional.one_hot(y, 2).to(outputs)
        return nn.functional.binary_cross_entropy_with_logits(outputs, wanted)


@pytest.mark.parametrize("variant", ["base", "scaled", "ten_passes", "cross_entropy"])
def test_the_loop_equals_single_fits(toy, variant):
    """Seen to fail with a loss summed over outputs, points in another order, and one pass less."""
    X, y, X_test, y_test = (part[:, :60] for part in toy.data_of("C", range(3)))
    settings = toy.settings_of(variant, 16)
    starts, fitted = [], []
    for k in range(3):
        net = NetClassifier(
            ToyNet,
            module__width=16,
            module__output_scale=settings.get("scale", 1.0),
            criterion=nn.CrossEntropyLoss if "loss" in settings else BothOutputs,
            lr=settings["lr"],
            batch_size=1,
            max_epochs=settings.get("n_passes", 1),
            iterator_train__shuffle=False,
            random_state=k,
        )
        starts.append(net.set_params(max_epochs=0).fit(X[k], y[k]).module_)
        net.set_params(max_epochs=settings.get("n_passes", 1))
        fitted.append(net.fit(X[k], y[k]))
    weights = torch.stack([module.weight.detach().T for module in starts])
    signs = torch.stack([module.signs for module in starts])
    trained = toy.train(weights, signs, X, y, **settings)
    expected = torch.stack([net.module_.weight.detach().T for net in fitted])
    assert not torch.allclose(trained, weights, atol=1e-2)
    torch.testing.assert_close(trained, expected, rtol=1e-4, atol=1e-5)
    scores = [net.score(X_test[k], y_test[k]) for k, net in enumerate(fitted)]
    np.testing.assert_allclose(toy.accuracy(trained, signs, X_test, y_test), scores)


def test_attacks_are_those_of_the_recipe(toy):
    """B moves each point by 0.975 after the scaling and does not scale again; C flips 40%."""
    X, y, X_test, y_test = toy.data_of("clean", range(2))
    moved, same, *test = toy.data_of("B", range(2))
    np.testing.assert_allclose(X.norm(dim=2), 1, rtol=1e-6)
    np.testing.assert_allclose(moved[..., 0] - X[..., 0], 0.975 * (1 - 2 * y), atol=1e-6)
    assert (moved[..., 1] == X[..., 1]).all()
    assert (same == y).all()
    assert (test[0] == X_test).all()
    assert (test[1] == y_test).all()
    rows, flipped, *_ = toy.data_of("C", range(2))
    assert (rows == X).all()
    assert ((flipped != y).sum(dim=1) == 320).all()


def test_a_repeat_does_not_depend_on_the_others(toy):
    few, more = (toy.scores_of("base", "B", 8, n) for n in (2, 4))
    np.testing.assert_array_equal(few, more[:2])


def test_the_verdict_is_about_other_repeats(toy):
    """The half that judges has no drop at all, whatever the half that chooses says."""
    scores = {4: [0.5] * 4 + [0.8] * 4, 8: [0.9] * 4 + [0.8] * 4, 16: [0.5] * 4 + [0.8] * 4}
    table = pd.DataFrame(
        [
            {"variant": "base", "attack": "B", "width": width, "repeat": k, "score": score}
            for width, values in scores.items()
            for k, score in enumerate(values)
        ]
    )
    (row,) = toy.verdicts(table).itertuples()
    assert row.best_width == 8
    assert row.narrow_drop == row.wide_drop == 0
    assert not row.is_u
