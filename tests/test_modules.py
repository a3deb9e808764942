import pytest
import torch

from skpoison import MLP, Linear, MnistConvNet


def count(module):
    return sum(parameter.numel() for parameter in module.parameters())


def test_parameter_counts_by_hand():
    assert count(Linear(64, 10)) == 64 * 10 + 10
    assert count(MLP(64, 10, width=7)) == 64 * 7 + 7 + 7 * 10 + 10
    assert count(MLP(64, 10, width=7, depth=3)) == 64 * 7 + 7 + 2 * (7 * 7 + 7) + 7 * 10 + 10
    # Section 5 of the paper: [1, 10, 5], [10, 20, 5], [320, width], [width, 10].
    convolutions = (1 * 10 * 25 + 10) + (10 * 20 * 25 + 20)
    for width in (10, 100):
        dense = 320 * width + width + width * 10 + 10
        assert count(MnistConvNet(width)) == convolutions + dense


@pytest.mark.parametrize(
    ("module", "shape"),
    [
        (Linear(12, 3), (5, 3, 2, 2)),
        (MLP(12, 3, width=4, depth=2), (5, 12)),
        (MnistConvNet(4, n_classes=3), (5, 1, 28, 28)),
    ],
)
def test_logits_have_a_column_a_class(module, shape):
    assert module(torch.zeros(shape)).shape == (5, 3)


def test_hidden_layers_are_nonlinear():
    # Fails if the activation is left out: the map is then affine. Many rows: two may well share
    # the piece of the map on which it is affine.
    generator = torch.Generator().manual_seed(0)
    for module, shape in ((MLP(6, 2, width=8), (50, 6)), (MnistConvNet(8), (9, 1, 28, 28))):
        a, b = (torch.randn(shape, generator=generator) for _ in range(2))
        bend = module(a) + module(b) - 2 * module((a + b) / 2)
        assert bend.abs().max() > 1e-4


def test_depth_must_be_positive():
    with pytest.raises(ValueError, match="`depth` must be an integer >= 1, got 0"):
        MLP(4, 2, depth=0)
