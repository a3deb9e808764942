import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy.optimize import brentq

from skpoison import project_l2inf, project_l21


@st.composite
def perturbations(draw, dtype=np.float64):
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    n = draw(st.integers(1, 30))
    shape = draw(st.sampled_from([(n, 1), (n, 7), (n, 2, 3, 3)]))
    scale = 10.0 ** draw(st.integers(-6, 6) if dtype != np.float16 else st.integers(-6, 3))
    delta = scale * rng.standard_normal(shape)
    # Rows that are 0 and rows that tie are where a threshold goes wrong.
    if draw(st.booleans()):
        delta[rng.random(n) < 0.3] = 0
    if draw(st.booleans()):
        delta[: n // 2] = delta[0]
    return delta.astype(dtype)


def norms(delta):
    flat = np.asarray(delta, dtype=np.float64).reshape(len(delta), -1)
    # Scaled, so that squares do not underflow.
    largest = np.abs(flat).max(initial=0) or 1.0
    return largest * np.linalg.norm(flat / largest, axis=1)


def reference_l21(delta, radius):
    """The projection by root finding on the threshold: independent of sorting."""
    size = norms(delta)
    if size.sum() <= radius:
        return delta
    if radius == 0:
        return np.zeros_like(delta)
    threshold = brentq(
        lambda t: np.maximum(size - t, 0).sum() - radius, 0, size.max(), xtol=1e-300, rtol=1e-15
    )
    factor = np.maximum(size - threshold, 0) / np.where(size > 0, size, 1)
    return delta * factor.reshape(-1, *[1] * (delta.ndim - 1))


@settings(deadline=None)
@given(perturbations(), st.floats(0, 1.5))
def test_l21_agrees_with_root_finding(delta, share):
    # Fails if the threshold is divided by k - 1 or k + 1 instead of k (an off-by-one).
    radius = share * norms(delta).sum()
    projected = project_l21(delta, radius)
    scale = norms(delta).max()
    np.testing.assert_allclose(projected, reference_l21(delta, radius), rtol=0, atol=1e-6 * scale)


@settings(deadline=None)
@given(perturbations(), st.floats(0.01, 0.99))
def test_l21_satisfies_kkt(delta, share):
    # Fails if the rows are scaled alike instead of lowered by one threshold.
    radius = share * norms(delta).sum()
    if radius == 0:
        return
    before, after = norms(delta), norms(project_l21(delta, radius))
    scale = before.max()
    lowered = before - after
    alive = after > 1e-9 * scale
    threshold = lowered[alive].mean()
    # One multiplier for all rows that stay, and none of those that vanish was above it.
    np.testing.assert_allclose(lowered[alive], threshold, rtol=0, atol=1e-6 * scale)
    assert (before[~alive] <= threshold + 1e-6 * scale).all()
    assert after.sum() == pytest.approx(radius, rel=1e-6)


@settings(deadline=None)
@given(perturbations(), st.floats(0, 1.5))
def test_l2inf_is_optimal_row_by_row(delta, share):
    # Fails if all rows are divided by the largest norm.
    radius = share * norms(delta).max()
    projected, size = project_l2inf(delta, radius), norms(delta)
    for row, before, length in zip(projected, delta, size, strict=True):
        expected = before if length <= radius else before * (radius / length)
        np.testing.assert_allclose(row, expected, rtol=1e-6, atol=1e-6 * size.max())


@settings(deadline=None)
@given(
    st.sampled_from([project_l21, project_l2inf]),
    st.sampled_from([np.float16, np.float32, np.float64]).flatmap(perturbations),
    st.floats(0, 2),
)
@example(project_l21, np.ones((3, 7), np.float32), 3.2e-46)
@example(project_l21, np.arange(-9.0, 11.0).reshape(20, 1) / 7, 1e-5)
@example(project_l2inf, np.ones((3, 7), np.float32), 1e-42)
@example(project_l2inf, 1e6 * np.ones((3, 7), np.float32), 1.7e-41)
# Rows whose squares underflow, and rows of the smallest numbers of a dtype.
@example(project_l21, np.full((2, 3), 1e-170), 0.0)
@example(project_l2inf, np.full((2, 3), 1e-170), 0.0)
@example(project_l2inf, np.full((2, 3), 1e-165), 0.5)
@example(project_l21, np.full((2, 3), 1e-165), 0.5)
@example(project_l21, np.array([[1e-320, 1e-170], [1e-166, 1e-300]]), 0.7)
@example(project_l2inf, np.full((2, 500), 3e-5, np.float16), 0.4)
def test_radius_is_never_exceeded_and_the_ball_is_left_alone(project, delta, share):
    # Fails if the result is rounded up, or if rows inside the ball are rescaled.
    total = norms(delta).sum() if project is project_l21 else norms(delta).max()
    radius = share * total
    projected = project(delta, radius)
    size = norms(projected)
    used = size.sum() if project is project_l21 else size.max()
    assert used <= radius * (1 + 1e-6)
    if radius >= total:
        np.testing.assert_array_equal(projected, delta)
    np.testing.assert_array_equal(project(projected, radius), projected)


@settings(deadline=None)
@given(perturbations(), perturbations(), st.floats(0.01, 2))
def test_l21_is_non_expansive(a, b, share):
    # Fails if the threshold is taken from one row less than it should.
    if a.shape != b.shape:
        return
    radius = share * norms(a).sum()
    distance = np.linalg.norm(project_l21(a, radius) - project_l21(b, radius))
    assert distance <= np.linalg.norm(a - b) * (1 + 1e-6) + 1e-12 * np.abs(a).max()


@pytest.mark.parametrize("project", [project_l21, project_l2inf])
@pytest.mark.parametrize("radius", [0.0, 1e-166, 1e-120])
def test_rows_whose_squares_underflow_are_projected(project, radius):
    # Fails if such a row has the norm 0, inside every ball.
    for power in (-300, -170, -165, -150, -100):
        delta = 10.0**power * np.random.default_rng(0).standard_normal((4, 3))
        size = norms(project(delta, radius))
        assert (size.sum() if project is project_l21 else size.max()) <= radius * (1 + 1e-6)
        np.testing.assert_array_equal(project(torch.tensor(delta), radius), project(delta, radius))
        if norms(delta).sum() <= radius:
            np.testing.assert_array_equal(project(delta, radius), delta)


@pytest.mark.parametrize("project", [project_l21, project_l2inf])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_tensors_come_back_as_tensors(project, dtype):
    delta = torch.randn(20, 3, 4, generator=torch.Generator().manual_seed(0)).to(dtype)
    before = delta.clone()
    projected = project(delta, 1.5)
    assert projected.dtype == dtype
    assert projected.shape == delta.shape
    assert torch.equal(delta, before)
    size = norms(projected.double().numpy())
    assert (size.sum() if project is project_l21 else size.max()) <= 1.5 * (1 + 1e-6)
    expected = project(delta.double().numpy(), 1.5)
    tolerance = 4 * torch.finfo(dtype).eps
    np.testing.assert_allclose(projected.double().numpy(), expected, rtol=tolerance, atol=tolerance)


def test_a_large_array_takes_no_loop_over_rows():
    delta = np.random.default_rng(0).standard_normal((200_000, 16)).astype(np.float32)
    # A Python loop over rows would take the better part of a second and more.
    projected = project_l21(delta, 1000.0)
    assert norms(projected).sum() == pytest.approx(1000, rel=1e-5)
