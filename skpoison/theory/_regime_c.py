"""Regime C: flipped labels."""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from ._arguments import unwrap
from ._formulas import capacity, check_problem, unwrap_bool


class FlipRateBudget(NamedTuple):
    """A rate of flipped labels, and whether the formula for it is defined.

    Attributes
    ----------
    value : float or ndarray
        The rate, 1/2 at most; NaN where it is not defined.
    raw : float or ndarray
        The value of the formula; negative (or infinite) where the rate is not defined.
    defined : bool or ndarray
        Whether the formula's denominator is positive.

    Examples
    --------
    >>> from skpoison.theory import FlipRateBudget
    >>> FlipRateBudget(value=0.01, raw=0.01, defined=True).value
    0.01
    """

    value: float
    raw: float
    defined: bool


def flip_rate_budget(
    *, n: ArrayLike, margin: ArrayLike, failure_probability: ArrayLike = 0.05
) -> FlipRateBudget:
    """Regime C's budget: the rate beta of flipped labels that Theorem 3.3 tolerates.

    With N = ln(n/delta) + ln^2(n),
    beta = N / ([sqrt(ln(n/delta)) + ln(gamma^2 sqrt(n) / N)] gamma sqrt(n)).
    No rate of 1/2 or more is tolerated: at 1/2 the labels of two classes say nothing, and above it
    they name the wrong class more often than the right one.

    Parameters
    ----------
    n : int or array-like
        Training rows, >= 2.
    margin : float or array-like
        gamma of Assumption 1, in (0, 1/2].
    failure_probability : float or array-like, default=0.05
        The paper's delta, in (0, 1).

    Returns
    -------
    budget : FlipRateBudget
        ``value``, ``raw`` and ``defined``. The bracket is <= 0 for small n and gamma, such as
        n = 10,000 and gamma = 0.125. Then the formula promises nothing: ``value`` is NaN and
        ``defined`` is False. If the bracket is just above 0, ``raw`` is large; ``value`` is 1/2 at
        most.

    Raises
    ------
    TypeError, ValueError
        If an argument is not a number, or out of its range.

    Notes
    -----
    Theorem 3.3 of [1]_; the constant that the paper hides is 1 here. In the extracted text the
    denominator is spread over two lines. We read a bracket, with a square root and a logarithm,
    times gamma sqrt(n). The remark at the end of Section 3.3 says that the theorem needs
    beta <= O(1/m), but this formula has no m. The code follows the formula.

    References
    ----------
    .. [1] Wang, Mianjy, Arora, "Robust Learning for Data Poisoning Attacks", ICML 2021,
       Theorem 3.3.

    Examples
    --------
    >>> from skpoison.theory import flip_rate_budget
    >>> budget = flip_rate_budget(n=10_000, margin=0.125)
    >>> budget.value, round(budget.raw, 1), budget.defined
    (nan, -12.2, False)
    """
    n, gamma, delta = check_problem(n, margin, failure_probability)
    scale = capacity(n, delta)
    bracket = np.sqrt(np.log(n / delta)) + np.log(gamma**2 * np.sqrt(n) / scale)
    with np.errstate(divide="ignore"):
        raw = scale / (bracket * gamma * np.sqrt(n))
    defined = bracket > 0
    value = np.where(defined, np.minimum(raw, 0.5), np.nan)
    return FlipRateBudget(unwrap(value), unwrap(raw), unwrap_bool(defined))
