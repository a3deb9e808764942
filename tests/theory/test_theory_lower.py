"""Theorem 2.3: the instance is a (1, 1)-PSFO, and no method gets under its bound."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skpoison.theory import lower_bound_instance, projected_sgd, sgd_step_size

DECADES = [10, 100, 1000, 10_000, 100_000]
GROWTHS = {"none": lambda T: 0.0, "root": np.sqrt, "linear": lambda T: 0.3 * T}


@settings(max_examples=300, deadline=None)
@given(T=st.integers(1, 10**7), share=st.floats(0, 1), sign=st.sampled_from([-1, 1]))
def test_instance_is_a_1_1_psfo(T, share, sign):
    """Seen to fail without the cut of the drift, and with noise 0.5 or 0.9 in place of 0.7."""
    S = share * T
    instance = lower_bound_instance(T, total_perturbation=S, sign=sign)
    hidden = instance.drift - instance.visible_drift
    assert instance.drift**2 + instance.noise**2 <= 1 + 1e-12
    assert -1e-15 <= hidden <= 1
    assert instance.total_perturbation == pytest.approx(hidden * T)
    assert instance.total_perturbation <= S + 1e-9 * T
    assert instance.excess_bound >= 0.2 * (1 / np.sqrt(T) + S / T)
    assert instance.excess([[-sign], [sign]]) == pytest.approx([0, 2 * instance.drift])
    assert instance.objective([1.0]) == sign * instance.drift


@pytest.mark.parametrize("sign", [-1, 1])
def test_answers_have_the_stated_law(sign):
    """Seen to fail with a perturbation of the wrong sign: the drift shows twice."""
    instance = lower_bound_instance(100, total_perturbation=30.0, sign=sign)
    rng = np.random.default_rng(0)
    answers = instance.oracle(np.zeros((200_000, 1)), rng)
    error = instance.noise / 200_000**0.5
    assert abs(answers.mean() - sign * instance.visible_drift) < 4 * error
    assert answers.std() == pytest.approx(instance.noise, rel=0.01)
    assert instance.oracle.max_perturbation == pytest.approx(np.full(200_000, 0.3))
    assert (instance.oracle.mean_squared_gradient.mean()) == pytest.approx(
        instance.drift**2 + instance.noise**2, rel=0.02
    )


def averaged_over_signs(T, S, method):
    """The mean excess of a method over both signs, minus 3 standard errors, and the instance."""
    means, variances = [], []
    for sign in (-1, 1):
        instance = lower_bound_instance(T, total_perturbation=S, sign=sign)
        excess = instance.excess(method(instance, np.random.default_rng(T + sign)))
        means.append(excess.mean())
        variances.append(excess.var(ddof=1) / len(excess))
    return np.mean(means) - 3 * np.sqrt(sum(variances)) / 2, instance


def run_sgd(instance, rng, runs=100):
    step = sgd_step_size(instance.n_steps, radius=1.0, gradient_bound=1.0, perturbation_bound=1.0)
    return projected_sgd(
        instance.oracle,
        np.zeros((runs, 1)),
        n_steps=instance.n_steps,
        radius=1.0,
        step_size=step,
        random_state=rng,
    )


def guess_sign(instance, rng):
    """The end that the mean of all answers points to: drawn from its law, N(s r, noise^2 / T)."""
    noise = instance.noise / np.sqrt(instance.n_steps) * rng.normal(size=(50_000, 1))
    return -np.sign(instance.sign * instance.visible_drift + noise)


@pytest.mark.parametrize("growth", sorted(GROWTHS))
@pytest.mark.parametrize("T", DECADES)
def test_no_method_gets_under_the_bound(T, growth):
    """Seen to fail with a visible drift four times as large, and where only half of the drift is
    hidden."""
    S = GROWTHS[growth](T)
    floor = 0.2 * (1 / np.sqrt(T) + S / T)
    runs = {}

    def sgd(answer):
        def method(instance, rng):
            if instance.sign not in runs:
                runs[instance.sign] = run_sgd(instance, rng)
            return runs[instance.sign][answer]

        return method

    for method in (sgd("x"), sgd("x_last"), guess_sign):
        lowest, instance = averaged_over_signs(T, S, method)
        assert lowest >= floor
    # The guesser is the best there is: it meets the instance's own bound.
    assert lowest <= instance.excess_bound <= 1.05 * lowest


def test_the_guesser_of_the_test_is_a_method():
    """The law that `guess_sign` draws from is that of the oracle's answers."""
    instance = lower_bound_instance(50, total_perturbation=10.0, sign=1)
    rng = np.random.default_rng(0)
    answers = [instance.oracle(np.zeros((20_000, 1)), rng) for _ in range(50)]
    asked = instance.excess(-np.sign(np.mean(answers, axis=0))).mean()
    assert asked == pytest.approx(instance.excess(guess_sign(instance, rng)).mean(), rel=0.05)


def test_sign_is_drawn_by_random_state():
    """Seen to fail with a fixed sign."""
    signs = [
        lower_bound_instance(10, total_perturbation=1, random_state=seed).sign for seed in range(20)
    ]
    assert set(signs) == {-1, 1}
    again = [
        lower_bound_instance(10, total_perturbation=1, random_state=seed).sign for seed in range(20)
    ]
    assert signs == again


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"n_steps": 0}, "`n_steps` must be >= 1, got 0"),
        ({"total_perturbation": -1.0}, "`total_perturbation` must be >= 0, got -1.0"),
        ({"total_perturbation": 11}, "`total_perturbation` must be <= 10, got 11"),
        ({"sign": 0}, "`sign` must be 1, -1 or None, got 0"),
    ],
)
def test_nonsense_is_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        lower_bound_instance(**({"n_steps": 10, "total_perturbation": 1.0} | changes))
