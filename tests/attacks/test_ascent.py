"""The loop of CleanLabelPGA and its closed form for linear surrogates."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression

from skpoison import CleanLabelPGA, project_l2inf, project_l21
from skpoison.attacks._ascent import Ascent, DeviceRows, Objective, drop_outward, parts_of_moving
from skpoison.attacks._fitted_surrogate import PlainLogits
from skpoison.attacks._linear import LinearLogits, LinearObjective


def objectives(rng, n, shape, n_classes, loss, scale=1.0):
    """The objective of a linear surrogate in closed form, and by autograd."""
    size = int(np.prod(shape))
    n_scores = 1 if n_classes == 2 else n_classes
    surrogate = SimpleNamespace(
        coef_=scale * rng.standard_normal((n_scores, size)),
        intercept_=rng.standard_normal(n_scores),
    )
    logits, codes = LinearLogits(surrogate), torch.tensor(rng.integers(0, n_classes, n))
    return in_closed_form(logits, loss, codes), Objective(PlainLogits(logits, None), loss, codes)


def in_closed_form(logits, loss, codes):
    return LinearObjective(*PlainLogits(logits, None).as_linear(), loss, codes)


@settings(deadline=None, max_examples=30)
@given(
    seed=st.integers(0, 99),
    n_classes=st.integers(2, 6),
    loss=st.sampled_from(["negated", "cross_entropy"]),
    dtype=st.sampled_from([torch.float32, torch.float64]),
    shape=st.sampled_from([(4,), (1,), (2, 3, 2)]),
)
def test_closed_form_is_the_gradient_of_autograd(seed, n_classes, loss, dtype, shape):
    # Fails if a sign is wrong, or class 0 is measured from itself.
    rng = np.random.default_rng(seed)
    closed, auto = objectives(rng, 12, shape, n_classes, loss)
    part = slice(3, 12)
    rows = torch.tensor(rng.standard_normal((9, *shape)), dtype=dtype)
    rtol = 1e-4 if dtype == torch.float32 else 1e-10
    for own, expected in zip(closed.gradient(rows, part), auto.gradient(rows, part), strict=True):
        assert own.dtype == expected.dtype
        torch.testing.assert_close(own, expected, rtol=rtol, atol=rtol)
    torch.testing.assert_close(
        closed.losses(rows, part), auto.losses(rows, part), rtol=rtol, atol=rtol
    )


@pytest.mark.parametrize("n_classes", [2, 3])
def test_a_certain_surrogate_keeps_the_digits_of_its_slope(n_classes):
    # Fails if p - 1 is computed as a difference: where p rounds to 1 it is 0.
    weight = np.array([[1.0], [-1.0], [-50.0]])[:n_classes]
    if n_classes == 2:
        weight = weight[1:] - weight[:1]
    logits = LinearLogits(SimpleNamespace(coef_=weight, intercept_=np.zeros(len(weight))))
    for label, row in [(0, 30.0), (1, -30.0)] if n_classes == 2 else [(0, 30.0)]:
        closed = in_closed_form(logits, "cross_entropy", torch.tensor([label]))
        _, gradient = closed.gradient(torch.tensor([[row]], dtype=torch.float64), slice(None))
        # Two classes count, whose logits are x and -x: the slope is -2 exp(-2 |x|), or 2 exp(..).
        assert gradient.item() == pytest.approx(-np.sign(row) * 2 * np.exp(-60), rel=1e-12)


@pytest.mark.parametrize("norm", ["l2,1", "l2,inf"])
@pytest.mark.parametrize("n_classes", [2, 5])
def test_bits_of_a_linear_surrogate_do_not_depend_on_batch_size(norm, n_classes):
    # Fails if the rows of a product are cut by `batch_size`: its edges round in another way.
    X, y = np.random.default_rng(0).standard_normal((40, 3), np.float32), np.arange(40) % n_classes
    surrogate = FrozenEstimator(LogisticRegression().fit(X, y))
    results = [
        CleanLabelPGA(
            surrogate, norm=norm, budget=1.0, max_iter=4, clip=None, batch_size=batch_size
        ).poison(X, y)[0]
        for batch_size in (1, 7, 4096)
    ]
    np.testing.assert_array_equal(results[0], results[1])
    np.testing.assert_array_equal(results[0], results[2])


VALUES = st.sampled_from([-2.0, -1.0, -0.5, 0.0, 0.5, 1.0, 2.0])


@settings(deadline=None, max_examples=60)
@given(data=st.data(), kind=st.sampled_from(["number", "column", "infinite"]))
def test_only_components_out_of_the_box_are_dropped(data, kind):
    n, d = 4, 3
    numbers = st.lists(VALUES, min_size=n * d, max_size=n * d)
    gradient, position = (
        torch.tensor(data.draw(numbers), dtype=torch.float64).reshape(n, d) for _ in range(2)
    )
    low, high = {
        "number": (-1.0, 1.0),
        "column": (torch.tensor([-1.0, 0.5, -2.0]), torch.tensor([1.0, 0.5, 2.0])),
        "infinite": (torch.tensor([-torch.inf, -1, -1]), torch.tensor([1, 1, torch.inf])),
    }[kind]
    before, out = gradient.clone(), torch.empty_like(gradient)
    dropped = drop_outward(gradient, position, (low, high), out)
    outward = ((position <= low) & (before < 0)) | ((position >= high) & (before > 0))
    torch.testing.assert_close(dropped, torch.where(outward, 0.0, before), rtol=0, atol=0)
    # A surrogate may go on using the tensor that was its gradient.
    assert torch.equal(gradient, before)


@settings(deadline=None, max_examples=60)
@given(moving=st.lists(st.booleans(), min_size=1, max_size=20), size=st.integers(1, 8))
def test_parts_have_each_moving_row_once(moving, size):
    moving = np.array(moving)
    rows = np.arange(len(moving))
    expected = np.flatnonzero(moving)
    for own in (moving, torch.tensor(moving)):
        parts = [np.atleast_1d(rows[part]) for part in parts_of_moving(own, moving.sum(), size)]
        assert max((len(part) for part in parts), default=0) <= size
        np.testing.assert_array_equal(np.concatenate([[], *parts]), expected)


@pytest.mark.parametrize("norm", ["l2,1", "l2,inf"])
@pytest.mark.parametrize("loss", ["negated", "cross_entropy"])
def test_sides_of_columns_are_sides_of_numbers(norm, loss):
    # Fails if sides are compared with other rows than their own; several parts, of which the last
    # is smaller, and rows that stop.
    rng = np.random.default_rng(0)
    closed, auto = objectives(rng, 50, (3,), 3, loss)
    values = torch.tensor(rng.uniform(-1, 1, (50, 3)))
    values[:20] = values[:20].sign()
    results = []
    for box in [(-1.0, 1.0), tuple(torch.full((3,), side).double() for side in (-1, 1))]:
        for objective in (auto, closed):
            rows, delta, scratch = (
                DeviceRows(own, "cpu")
                for own in (values.clone(), torch.empty_like(values), torch.empty_like(values))
            )
            ascent = Ascent(
                norm, 2.0, box, 50, step_size="auto", max_iter=6, batch_size=8, verbose=0
            )
            ascent.run(objective, rows, delta, scratch)
            results.append(delta.values)
            assert (values + delta.values).abs().max() <= 1
            assert torch.equal(rows.values, values)
    assert torch.equal(results[0], results[2])
    assert torch.equal(results[1], results[3])
    torch.testing.assert_close(results[0], results[1])


class Cliff:
    """An objective whose slope ends where the first feature passes 0.5; a weight for each row."""

    def __init__(self, weights):
        self.weights = weights

    def part_size(self, rows, batch_size):
        return batch_size

    def losses(self, position, part):
        return self.gradient(position, part)[0]

    def gradient(self, position, part):
        gradient = torch.zeros_like(position)
        gradient[:, 0] = torch.where(position[:, 0] < 0.5, self.weights[part], 0.0)
        return self.weights[part] * position[:, 0].clamp(max=0.5), gradient


def plain(objective, X, radius, norm, box, max_iter):
    """The steps that `CleanLabelPGA` documents, on all rows at once."""
    project = {"l2,1": project_l21, "l2,inf": project_l2inf}[norm]
    delta = torch.zeros_like(X)
    for step in range(max_iter):
        _, gradient = objective.gradient(X + delta, slice(None))
        if box:
            gradient = drop_outward(gradient, X + delta, box, gradient)
        slopes = gradient.norm(dim=1)
        lengths = 8 * radius / max_iter * (1 - step / max_iter) * torch.ones_like(slopes)
        if norm == "l2,1":
            lengths = lengths * slopes / slopes.sum()
        if not slopes.any():
            break
        unit = gradient / torch.where(slopes > 0, slopes, 1.0)[:, None]
        delta = project(delta + unit * lengths[:, None], radius)
        if box:
            delta = (X + delta).clamp(*box) - X
    return delta


@settings(deadline=None, max_examples=25)
@given(
    seed=st.integers(0, 10**6),
    norm=st.sampled_from(["l2,1", "l2,inf"]),
    box=st.sampled_from([None, (0.0, 0.7)]),
    radius=st.sampled_from([0.1, 0.5, 2.0]),
    batch_size=st.sampled_from([3, 100]),
)
def test_ascent_takes_the_steps_that_are_documented(seed, norm, box, radius, batch_size):
    # Fails if a part is projected twice or with the factors of another step, or rows stop early.
    rng = np.random.default_rng(seed)
    X = torch.tensor(rng.uniform(0, 0.7, (12, 2)))
    objective = Cliff(torch.tensor(rng.exponential(size=12)))
    rows, delta, scratch = (
        DeviceRows(own, "cpu") for own in (X, torch.empty_like(X), torch.empty_like(X))
    )
    options = {"step_size": "auto", "max_iter": 8, "batch_size": batch_size, "verbose": 0}
    Ascent(norm, radius, box, 12, **options).run(objective, rows, delta, scratch)
    expected = plain(objective, X, radius, norm, box, 8)
    torch.testing.assert_close(delta.values, expected, rtol=1e-9, atol=1e-12)
