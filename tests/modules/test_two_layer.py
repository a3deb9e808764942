"""The net of Section 3, and its training through NetClassifier."""

import math

import numpy as np
import pytest
import torch
from scipy.special import expit
from sklearn.datasets import load_digits

from skpoison import NetClassifier
from skpoison.modules import TwoLayerReLU
from skpoison.theory import step_size


def one_pass(width=64, lr=1.0, **changes):
    arguments = {"batch_size": 1, "max_epochs": 1, "random_state": 0} | changes
    return NetClassifier(TwoLayerReLU, module__width=width, lr=lr, **arguments)


def zeros_and_ones():
    X, y = load_digits(n_class=2, return_X_y=True)
    return X / np.linalg.norm(X, axis=1, keepdims=True), y


def test_forward_is_the_formula():
    """Seen to fail without the 1/sqrt(m), with |z| for relu(z), and with logits [f, 0]."""
    torch.manual_seed(0)
    net = TwoLayerReLU(n_features=12, width=7)
    X = torch.randn(5, 3, 2, 2)
    W, a = net.weight.detach().numpy(), net.signs.numpy()
    flat = X.reshape(5, 12).numpy()
    f = [sum(a[s] * max(W[s] @ x, 0) for s in range(7)) / math.sqrt(7) for x in flat]
    logits = net(X).detach().numpy()
    np.testing.assert_allclose(logits[:, 1], f, rtol=1e-5, atol=1e-6)
    assert (logits[:, 0] == 0).all()


def test_cross_entropy_is_the_logistic_loss():
    """Seen to fail with logits [-f, f]."""
    net = TwoLayerReLU(n_features=4, width=9)
    X, y = torch.randn(6, 4), torch.tensor([0, 1, 1, 0, 1, 0])
    logits = net(X)
    f = logits[:, 1]
    loss = torch.log1p(torch.exp(-(2 * y - 1) * f))
    torch.testing.assert_close(torch.nn.functional.cross_entropy(logits, y), loss.mean())


def test_initialisation():
    """Seen to fail with PyTorch's uniform weights, and with signs all 1."""
    torch.manual_seed(0)
    net = TwoLayerReLU(n_features=50, width=2000)
    weight = net.weight.detach()
    assert abs(weight.mean()) < 4 / math.sqrt(100_000)
    assert abs(weight.std() - 1) < 0.01
    assert (weight**4).mean() == pytest.approx(3, abs=0.1)  # 9/5 were it uniform
    assert set(net.signs.tolist()) == {-1.0, 1.0}
    assert abs(net.signs.mean()) < 4 / math.sqrt(2000)
    assert [name for name, _ in net.named_parameters()] == ["weight"]


def test_training_is_section_3_step_by_step():
    """One pass over rows is W <- W + lr y (1 - sigmoid(y f)) a_s x 1[w_s . x > 0] / sqrt(m).

    Seen to fail with signs that train, with batches of two rows, and with a second epoch."""
    X, y = zeros_and_ones()
    X, y = X[:40].astype(np.float32), y[:40]
    lr, orders = step_size("C", n=40), []
    start = one_pass(width=16, lr=0.0).fit(X, y).module_
    W, a = start.weight.detach().cpu().numpy().astype(np.float64), start.signs.cpu().numpy()

    class Recorder(TwoLayerReLU):
        def forward(self, rows):
            orders.extend(rows.detach().cpu().numpy())
            return super().forward(rows)

    net = NetClassifier(
        Recorder, module__width=16, lr=lr, batch_size=1, max_epochs=1, random_state=0
    ).fit(X, y)
    assert len(orders) == 40
    for x in orders:
        sign = 2 * y[np.flatnonzero((X == x).all(axis=1))[0]] - 1
        active = W @ x > 0
        f = a @ np.maximum(W @ x, 0) / 4
        W += lr * sign * expit(-sign * f) * (a * active)[:, None] * x / 4
    np.testing.assert_allclose(net.module_.weight.detach().cpu().numpy(), W, atol=1e-5)
    assert (net.module_.signs.cpu().numpy() == a).all()


def test_learns_digits_in_one_pass():
    """Seen to fail with labels in the other order."""
    X, y = zeros_and_ones()
    names = np.where(y == 0, "zero", "one")
    net = one_pass(width=256, lr=step_size("B", n=300)).fit(X[:300], names[:300])
    assert net.score(X[300:], names[300:]) > 0.95
    again = one_pass(width=256, lr=step_size("B", n=300)).fit(X[:300], names[:300])
    assert (again.module_.weight == net.module_.weight).all()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"width": 0}, "`width` must be >= 1, got 0"),
        ({"n_classes": 3}, "`n_classes` must be 2 for TwoLayerReLU, got 3"),
        ({"n_outputs": 3}, "`n_outputs` must be 1 or 2, got 3"),
        ({"output_scale": 0.0}, "`output_scale` must be > 0, got 0.0"),
        ({"output_scale": math.nan}, "`output_scale` must be > 0, got nan"),
    ],
)
def test_nonsense_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        TwoLayerReLU(n_features=4, **arguments)


def test_three_classes_are_refused_by_the_classifier():
    with pytest.raises(ValueError, match="`n_classes` must be 2 for TwoLayerReLU, got 3"):
        one_pass().fit(np.eye(3), [0, 1, 2])


def test_other_scale_and_two_outputs():
    """Each class may have a sum of its own, and the factor in front may be any.

    Seen to fail with one column of signs for both outputs, and with the factor applied twice."""
    torch.manual_seed(0)
    net = TwoLayerReLU(n_features=3, width=5, output_scale=0.5, n_outputs=2)
    X = torch.randn(4, 3)
    hidden = np.maximum(X.numpy() @ net.weight.detach().numpy().T, 0)
    assert net.signs.shape == (5, 2)
    np.testing.assert_allclose(
        net(X).detach().numpy(), 0.5 * hidden @ net.signs.numpy(), rtol=1e-5, atol=1e-6
    )
    torch.manual_seed(0)
    plain = TwoLayerReLU(n_features=3, width=5)
    torch.manual_seed(0)
    named = TwoLayerReLU(n_features=3, width=5, output_scale=1 / math.sqrt(5))
    torch.testing.assert_close(plain(X), named(X), rtol=0, atol=0)
