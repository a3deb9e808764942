"""Regime B: the budget of each row, and the largest width for a given budget."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from .._validation import check_choice
from ._arguments import check_values, unwrap

_SLACK = 1e-9


def per_sample_budget(
    *,
    n: ArrayLike | None = None,
    margin: ArrayLike,
    width: ArrayLike | None = None,
    n_features: ArrayLike,
    failure_probability: ArrayLike = 0.05,
    regime: str = "B",
) -> Any:
    """How far each row may be moved: regime B's budget, or regime A's limit.

    B: min{1 / (sqrt(m d) + sqrt(m ln(m/delta))), gamma / (gamma + sqrt(d) + sqrt(ln(m n/delta)))}.
    A: gamma / sqrt(d), a limit on the largest perturbation; A's budget is `total_budget`.

    Parameters
    ----------
    n : int or array-like, default=None
        Training rows, >= 2. Regime A does not need it.
    margin : float or array-like
        gamma of Assumption 1, in (0, 1/2].
    width : int or array-like, default=None
        m, hidden units, >= 1. Regime A does not need it.
    n_features : int or array-like
        d >= 1, features of a row.
    failure_probability : float or array-like, default=0.05
        The paper's delta, in (0, 1).
    regime : {"A", "B"}, default="B"
        The regime whose bound on ||delta_i|| is computed.

    Returns
    -------
    budget : float or ndarray
        B, in units of the rows (which have norm 1).

    Raises
    ------
    TypeError, ValueError
        If an argument is missing, not a number or out of its range.

    Notes
    -----
    Theorems 3.2 and 3.1 of [1]_. The constants that the paper hides are 1 here, and so are the
    logarithms that it hides in A. The extracted text has "ln(m delta)" and "ln(mn delta)". We read
    m/delta and m n/delta, with lost fraction bars: with m delta the budget would grow as the
    failure probability delta falls.

    References
    ----------
    .. [1] Wang, Mianjy, Arora, "Robust Learning for Data Poisoning Attacks", ICML 2021,
       Theorems 3.1 and 3.2.

    Examples
    --------
    >>> from skpoison.theory import per_sample_budget
    >>> round(per_sample_budget(n=10_000, margin=0.125, width=100, n_features=64), 5)
    0.0093
    """
    check_choice(regime, "regime", ("A", "B"))
    gamma = check_values(margin, "margin", above=0, high=0.5)
    d = check_values(n_features, "n_features", low=1)
    if regime == "A":
        return unwrap(gamma / np.sqrt(d))
    for name, value in (("n", n), ("width", width)):
        if value is None:
            raise ValueError(f"`{name}` must be given for regime B, got None")
    n = check_values(n, "n", low=2)
    m = check_values(width, "width", low=1)
    delta = check_values(failure_probability, "failure_probability", above=0, below=1)
    by_width = 1 / (np.sqrt(m * d) + np.sqrt(m * np.log(m / delta)))
    by_margin = gamma / (gamma + np.sqrt(d) + np.sqrt(np.log(m * n / delta)))
    return unwrap(np.minimum(by_width, by_margin))


def max_width(
    *,
    n: ArrayLike,
    margin: ArrayLike,
    n_features: ArrayLike,
    perturbation_bound: ArrayLike,
    failure_probability: ArrayLike = 0.05,
) -> Any:
    """Regime B's largest width: `per_sample_budget` solved for m.

    The budget falls with the width. This is the (real) width at which it equals the given bound. If
    `min_width` is larger, the theorem holds for no width.

    Parameters
    ----------
    n : int or array-like
        Training rows, >= 2.
    margin : float or array-like
        gamma of Assumption 1, in (0, 1/2].
    n_features : int or array-like
        d >= 1, features of a row.
    perturbation_bound : float or array-like
        B >= 0, in units of the rows (which have norm 1). With 0 any width is allowed.
    failure_probability : float or array-like, default=0.05
        The paper's delta, in (0, 1).

    Returns
    -------
    width : float or ndarray
        0 if not even width 1 is allowed. Infinity if B is 0, or so small that the width overflows.

    Raises
    ------
    TypeError, ValueError
        If an argument is not a number, or out of its range.

    Notes
    -----
    The text after Theorem 3.3 of [1]_ says: "there is an implicit upper bound on m in terms of B in
    Theorem 3.2". The constants that the paper hides are 1 here.

    References
    ----------
    .. [1] Wang, Mianjy, Arora, "Robust Learning for Data Poisoning Attacks", ICML 2021,
       Theorem 3.2.

    Examples
    --------
    >>> from skpoison.theory import max_width, per_sample_budget
    >>> budget = per_sample_budget(n=10_000, margin=0.125, width=100, n_features=64)
    >>> round(max_width(n=10_000, margin=0.125, n_features=64, perturbation_bound=budget), 6)
    100.0
    """
    n = check_values(n, "n", low=2)
    gamma = check_values(margin, "margin", above=0, high=0.5)
    d = check_values(n_features, "n_features", low=1)
    bound = check_values(perturbation_bound, "perturbation_bound", low=0)
    delta = check_values(failure_probability, "failure_probability", above=0, below=1)
    n, gamma, d, bound, delta = np.broadcast_arrays(n, gamma, d, bound, delta)
    with np.errstate(divide="ignore", over="ignore"):
        log_width = np.minimum(
            _log_width_by_margin(n, gamma, d, bound, delta), _log_width_by_width(d, bound, delta)
        )
        # The slack is for rounding: the budget for width 1 must allow width 1.
        width = np.where(log_width >= -_SLACK, np.exp(np.maximum(log_width, 0)), 0.0)
    return unwrap(np.where(bound == 0, np.inf, width))


def _log_width_by_margin(n, gamma, d, bound, delta):
    """ln m for which gamma / (gamma + sqrt(d) + sqrt(ln(m n/delta))) = B; -inf if there is none."""
    root = gamma / bound - gamma - np.sqrt(d)
    return np.where(root >= 0, root**2 - np.log(n / delta), -np.inf)


def _log_width_by_width(d, bound, delta):
    """ln m for which sqrt(m) (sqrt(d) + sqrt(ln(m/delta))) = 1/B; < 0 if there is no m >= 1."""

    def excess(x):
        return x / 2 + np.log(np.sqrt(d) + np.sqrt(x - np.log(delta))) + np.log(bound)

    # m grows no faster than 1/B^2, so the root is at most this.
    low, high = np.zeros(np.shape(bound)), np.maximum(-2 * np.log(bound), 0)
    possible = excess(low) <= _SLACK
    high = np.where(possible & np.isfinite(high), high, 0)
    for _ in range(100):
        middle = (low + high) / 2
        low, high = np.where(excess(middle) <= 0, (middle, high), (low, middle))
    return np.where(possible, low, -1.0)
