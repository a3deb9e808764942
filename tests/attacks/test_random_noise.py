import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression

from skpoison import CleanLabelPGA, RandomNoise

Y = np.arange(40) % 2


@settings(deadline=None, max_examples=40)
@given(
    seed=st.integers(0, 10**6),
    share=st.floats(0, 1),
    width=st.sampled_from([1, 5, 64]),
    corner=st.booleans(),
)
def test_any_norm_that_fits_the_box_is_met(seed, share, width, corner):
    # Fails if the norm is set before clipping instead of after.
    rng = np.random.default_rng(seed)
    X = rng.random((40, width))
    if corner:
        X = np.round(X)
    reachable = np.linalg.norm(np.maximum(X, 1 - X), axis=1)
    norms = share * reachable * (np.arange(40) % 4 > 0)
    noise = RandomNoise(norm="l2,inf", budget=10.0, norms=norms, random_state=seed)
    X_noisy, y_noisy = noise.poison(X, Y)
    np.testing.assert_array_equal(X_noisy[::4], X[::4])
    np.testing.assert_allclose(np.linalg.norm(X_noisy - X, axis=1), norms, rtol=1e-5, atol=1e-9)
    assert X_noisy.min() >= 0
    assert X_noisy.max() <= 1
    np.testing.assert_array_equal(y_noisy, Y)


@pytest.mark.parametrize("clip", [None, (-10.0, 10.0)])
def test_directions_are_uniform(clip):
    # Fails if directions are drawn from the cube: the fourth moment then differs.
    X, y = np.zeros((20000, 3)), np.arange(20000) % 2
    X_noisy, _ = RandomNoise(norm="l2,inf", budget=1.0, clip=clip, random_state=0).poison(X, y)
    np.testing.assert_allclose(np.linalg.norm(X_noisy, axis=1), 1, rtol=1e-6)
    np.testing.assert_allclose(X_noisy.mean(axis=0), 0, atol=0.02)
    np.testing.assert_allclose((X_noisy**2).mean(axis=0), 1 / 3, atol=0.02)
    np.testing.assert_allclose((X_noisy**4).mean(axis=0), 1 / 5, atol=0.02)


@pytest.mark.parametrize(("norm", "share"), [("l2,1", 2 / np.sqrt(40)), ("l2,inf", 2.0)])
def test_budget_is_spent_evenly(norm, share):
    X = np.full((40, 100), 0.5)
    noise = RandomNoise(norm=norm, budget=2.0, random_state=0).fit(X, Y)
    np.testing.assert_allclose(noise.perturbation_norms_, share, rtol=1e-5)
    assert noise.budget_spent_ == pytest.approx(noise.budget_, rel=1e-5)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("scale", [1, 255])
def test_norms_of_an_attack_are_taken(digits, dtype, scale):
    X, y = digits
    X = (X * scale).astype(dtype)
    for norm, budget in (("l2,1", 20.0), ("l2,inf", 2.0), ("l2,inf", 1e-4)):
        options = {"norm": norm, "budget": budget, "clip": (0, scale)}
        attack = CleanLabelPGA(LogisticRegression(), max_iter=20, **options).fit(X, y)
        # Fails if rounding lets an attack exceed its budget by more than the control may.
        noise = RandomNoise(norms=attack.perturbation_norms_, random_state=0, **options).fit(X, y)
        if dtype == np.float16 or budget == 1e-4:
            continue
        np.testing.assert_allclose(
            noise.perturbation_norms_, attack.perturbation_norms_, rtol=1e-4, atol=1e-7 * scale
        )
        # Fails if more than rounding is let through.
        noise.set_params(norms=attack.perturbation_norms_ * 1.001)
        with pytest.raises(ValueError, match="`norms` must keep to `budget`"):
            noise.fit(X, y)
