"""Regime B's per-sample budget, and the width that it leaves room for."""

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
    A: gamma / sqrt(d), for the largest row; its budget is `total_budget`.

    Parameters
    ----------
    n : int or array-like, default=None
        Training rows, >= 2. Only regime A can do without.
    margin : float or array-like
        gamma of Assumption 1, in (0, 1/2].
    width : int or array-like, default=None
        m, hidden units, >= 1. Only regime A can do without.
    n_features : int or array-like
        d >= 1, features of a row.
    failure_probability : float or array-like, default=0.05
        The paper's delta, in (0, 1).
    regime : {"A", "B"}, default="B"
        The theorem whose bound on ||delta_i|| is wanted.

    Returns
    -------
    budget : float or ndarray
        B, in units of the rows (which have norm 1).

    Raises
    ------
    TypeError, ValueError
        If an argument is missing, no number or out of its range.

    Notes
    -----
    Theorems 3.2 and 3.1 of [1]_; the constants, and A's logarithms, that the paper hides are 1
    here. The extracted text has "ln(m delta)" and "ln(mn delta)": read with the fraction bar before
    each delta lost, as with m delta a smaller delta would be easier to have.

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

    The budget falls with the width; this is the (real) width at which it equals the given bound.
    `min_width` is the smallest, and the theorem says nothing if that is larger.

    Parameters
    ----------
    n : int or array-like
        Training rows, >= 2.
    margin : float or array-like
        gamma of Assumption 1, in (0, 1/2].
    n_features : int or array-like
        d >= 1, features of a row.
    perturbation_bound : float or array-like
        B >= 0, in units of the rows (which have norm 1). 0: any width.
    failure_probability : float or array-like, default=0.05
        The paper's delta, in (0, 1).

    Returns
    -------
    width : float or ndarray
        0 where not even width 1 is allowed, infinity where B is 0 (or so small that the width
        overflows).

    Raises
    ------
    TypeError, ValueError
        If an argument is no number or out of its range.

    Notes
    -----
    The text after Theorem 3.3 of [1]_: "there is an implicit upper bound on m in terms of B in
    Theorem 3.2". Constants that the paper hides are 1 here.

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
        # The slack is for rounding: the budget of width 1 allows width 1.
        width = np.where(log_width >= -_SLACK, np.exp(np.maximum(log_width, 0)), 0.0)
    return unwrap(np.where(bound == 0, np.inf, width))


def _log_width_by_margin(n, gamma, d, bound, delta):
    """ln m where gamma / (gamma + sqrt(d) + sqrt(ln(m n/delta))) = B; -inf where no m is."""
    root = gamma / bound - gamma - np.sqrt(d)
    return np.where(root >= 0, root**2 - np.log(n / delta), -np.inf)


def _log_width_by_width(d, bound, delta):
    """ln m where sqrt(m) (sqrt(d) + sqrt(ln(m/delta))) = 1/B; < 0 where no m >= 1 is."""

    def excess(x):
        return x / 2 + np.log(np.sqrt(d) + np.sqrt(x - np.log(delta))) + np.log(bound)

    # m grows with 1/B no faster than its square, so that the root lies under this.
    low, high = np.zeros(np.shape(bound)), np.maximum(-2 * np.log(bound), 0)
    possible = excess(low) <= _SLACK
    high = np.where(possible & np.isfinite(high), high, 0)
    for _ in range(100):
        middle = (low + high) / 2
        low, high = np.where(excess(middle) <= 0, (middle, high), (low, middle))
    return np.where(possible, low, -1.0)
