import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator

from skpoison import (
    MLP,
    AlexNet,
    CifarConvNet,
    CleanLabelPGA,
    Linear,
    MnistConvNet,
    NetClassifier,
    ResNet18,
    fit_many,
)


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
        (CifarConvNet(4, n_classes=3), (5, 3, 32, 32)),
        (AlexNet(n_classes=3), (5, 3, 32, 32)),
        (ResNet18(n_classes=3), (5, 3, 32, 32)),
    ],
)
def test_logits_have_a_column_a_class(module, shape):
    assert module(torch.zeros(shape)).shape == (5, 3)


def test_hidden_layers_are_nonlinear():
    # Fails if the activation is left out: the map is then affine. Many rows: two may well share
    # the piece of the map on which it is affine.
    generator = torch.Generator().manual_seed(0)
    for module, shape in (
        (MLP(6, 2, width=8), (50, 6)),
        (MnistConvNet(8), (9, 1, 28, 28)),
        (CifarConvNet(8), (9, 3, 32, 32)),
        (AlexNet().eval(), (1, 3, 32, 32)),
        (ResNet18().eval(), (1, 3, 32, 32)),
    ):
        a, b = (torch.randn(shape, generator=generator) for _ in range(2))
        bend = module(a) + module(b) - 2 * module((a + b) / 2)
        assert bend.abs().max() > 1e-4


def test_depth_must_be_positive():
    with pytest.raises(ValueError, match="`depth` must be an integer >= 1, got 0"):
        MLP(4, 2, depth=0)


# Section 5: [3, 6, 5], [6, 16, 5], then [400, 120], [120, width], [width, 10].
CIFAR_CONV_NET = (3 * 6 * 25 + 6) + (6 * 16 * 25 + 16) + (400 * 120 + 120)
ALEXNET = (
    (3 * 64 * 9 + 64)
    + (64 * 192 * 9 + 192)
    + (192 * 384 * 9 + 384)
    + (384 * 256 * 9 + 256)
    + (256 * 256 * 9 + 256)
    + (256 * 2 * 2 * 4096 + 4096)
    + (4096 * 4096 + 4096)
    + (4096 * 10 + 10)
)
# Convolutions without bias, each with scale and shift of its normalisation; a stage's first block
# has a 1x1 shortcut where it changes the shape.
RESNET18 = (
    (3 * 64 * 9 + 2 * 64)
    + 4 * (64 * 64 * 9 + 2 * 64)
    + (64 * 128 * 9 + 2 * 128)
    + 3 * (128 * 128 * 9 + 2 * 128)
    + (64 * 128 + 2 * 128)
    + (128 * 256 * 9 + 2 * 256)
    + 3 * (256 * 256 * 9 + 2 * 256)
    + (128 * 256 + 2 * 256)
    + (256 * 512 * 9 + 2 * 512)
    + 3 * (512 * 512 * 9 + 2 * 512)
    + (256 * 512 + 2 * 512)
    + (512 * 10 + 10)
)


def test_parameter_counts_by_hand_cifar():
    for width in (10, 1000):
        dense = 120 * width + width + width * 10 + 10
        assert count(CifarConvNet(width)) == CIFAR_CONV_NET + dense
    assert count(AlexNet()) == ALEXNET == 23_272_266
    assert count(ResNet18()) == RESNET18 == 11_173_962
    assert count(AlexNet(n_classes=3)) == ALEXNET - 7 * 4097
    assert count(ResNet18(n_classes=3)) == RESNET18 - 7 * 513


@pytest.fixture(scope="module")
def images():
    """16 images of 3 x 32 x 32 in [0, 1], of two classes that differ in one corner."""
    X = np.random.default_rng(0).random((16, 3, 32, 32), dtype=np.float32)
    y = np.arange(16) % 2
    X[y == 1, 0, :8, :8] = 1.0
    return X, np.array(["left", "right"])[y]


MODULES = [CifarConvNet, AlexNet, ResNet18]


@pytest.mark.parametrize("module", MODULES)
def test_flat_rows_are_channels_rows_columns(module, images):
    # Fails if `input_shape` is left out or has another order.
    X, y = images
    net = NetClassifier(module, lr=0.01, batch_size=8, max_epochs=1, random_state=0)
    net.fit(X.reshape(16, -1), y)
    net.module_.eval()
    with torch.no_grad():
        expected = net.module_(torch.tensor(X[:4]).to(net.device_))
        logits = net.logits(torch.tensor(X[:4].reshape(4, -1)))
    assert torch.equal(logits, expected)
    assert logits.shape == (4, 2)
    assert net.classes_.tolist() == ["left", "right"]


@pytest.mark.parametrize("module", MODULES)
def test_surrogates_stay_as_they_are(module, images):
    # Fails in training mode: dropout draws, and normalisation mixes rows and moves its statistics.
    X, y = images
    net = NetClassifier(module, lr=0.01, batch_size=8, max_epochs=1, random_state=0).fit(X, y)
    before = {name: value.clone() for name, value in net.module_.state_dict().items()}

    def poison(batch_size):
        attack = CleanLabelPGA(
            FrozenEstimator(net), norm="l2,inf", budget=0.5, max_iter=2, batch_size=batch_size
        )
        return attack.poison(X, y)[0]

    # A row's gradient depends on that row alone, so the batches do not matter but for rounding.
    np.testing.assert_allclose(poison(16), poison(5), atol=1e-3)
    after = net.module_.state_dict()
    assert all(torch.equal(value, after[name]) for name, value in before.items())
    assert any("running_mean" in name for name in before) == (module is ResNet18)


def test_normalisation_is_fitted_one_by_one(images, capsys):
    # Fails if a stack takes the module: it would hold one copy of the running statistics for all.
    X, y = images
    net = NetClassifier(ResNet18, lr=0.01, batch_size=8, max_epochs=1)
    nets = [clone(net).set_params(random_state=seed) for seed in range(2)]
    fit_many(nets, [(X, y)] * 2, fused=True, verbose=1)
    reason = "the module has dropout or batch normalisation"
    assert f"2 nets are fitted one by one: {reason}" in capsys.readouterr().out
    alone = clone(nets[0]).fit(X, y)
    together = nets[0].module_.state_dict()
    for name, value in alone.module_.state_dict().items():
        assert torch.equal(value, together[name]), name


def test_width_100_000():
    # The paper's widest nets are made and mapped.
    for module, shape in ((MnistConvNet, (1, 28, 28)), (CifarConvNet, (3, 32, 32))):
        assert module(100_000)(torch.zeros(2, *shape)).shape == (2, 10)
