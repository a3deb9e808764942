"""Budgets hold for rows as they are returned, rounded to their dtype."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression

from skpoison import CleanLabelPGA
from skpoison.attacks._rounding import moved_by, shrink_to_budget


def norms(delta):
    return np.linalg.norm(delta.astype(np.float64).reshape(len(delta), -1), axis=1)


@settings(deadline=None, max_examples=40)
@given(
    st.integers(0, 2**32 - 1),
    st.sampled_from([np.float16, np.float32, np.float64]),
    st.sampled_from(["l2,1", "l2,inf"]),
    st.floats(0, 1.2),
    st.sampled_from([1.0, 1e-3, 1e-7, 1e-16]),
)
def test_rows_are_shrunk_into_the_budget(seed, dtype, norm, share, far):
    # Fails if a row stays outside, leaves its way to X, or is shrunk though it may stay.
    rng = np.random.default_rng(seed)
    shape = [(1, 1), (7, 3), (20, 2, 2, 2)][seed % 3]
    X = rng.random(shape).astype(dtype)
    X_new = (X + far * rng.standard_normal(shape)).astype(dtype)
    before, X_before = moved_by(X, X_new), X_new.copy()
    np.testing.assert_allclose(before, norms(X_new.astype(np.float64) - X), rtol=1e-12)
    radius = share * (before.sum() if norm == "l2,1" else before.max())
    after = shrink_to_budget(X, X_new, before, radius, norm)
    np.testing.assert_allclose(after, norms(X_new.astype(np.float64) - X), rtol=1e-12)
    used, was = (v.sum() if norm == "l2,1" else v.max() for v in (after, before))
    assert used <= radius * (1 + 1e-6)
    if was <= radius:
        np.testing.assert_array_equal(X_new, X_before)
    if norm == "l2,inf":
        stay = before <= radius
        np.testing.assert_array_equal(X_new[stay], X_before[stay])
    # Each feature stays on its way.
    low, high = np.minimum(X, X_before), np.maximum(X, X_before)
    assert ((low <= X_new) & (X_new <= high)).all()
    # A radius at the level of rounding may leave no number but X itself.
    if dtype == np.float64 and far == 1.0 and share > 1e-6:
        assert used >= min(was, radius) * (1 - 1e-5)


@pytest.mark.parametrize("norm", ["l2,1", "l2,inf"])
@pytest.mark.parametrize("budget", [1e-6, 1e-3, 1.0])
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_the_budget_holds_in_an_array_that_the_caller_gives(norm, budget, digits):
    # Fails if only rows that fit into memory are measured as they are returned.
    X, y = digits
    X = (255 * X).astype(np.float32)
    out = np.empty_like(X)
    attack = CleanLabelPGA(
        LogisticRegression(), norm=norm, budget=budget, clip=(0, 255), max_iter=3, batch_size=100
    )
    attack.poison(X, y, out=out)
    size = norms(out.astype(np.float64) - X)
    used = size.sum() if norm == "l2,1" else size.max()
    assert used <= attack.budget_ * (1 + 1e-6)
    np.testing.assert_allclose(attack.perturbation_norms_, size, rtol=1e-12)
