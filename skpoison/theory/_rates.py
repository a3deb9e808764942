"""The step sizes and error bounds of the three regimes."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from .._validation import check_choice
from ._arguments import check_values, unwrap
from ._formulas import check_problem

_REGIMES = ("A", "B", "C")


def step_size(regime: str, *, n: ArrayLike, perturbation_bound: ArrayLike = 0.0) -> Any:
    """The constant step size of SGD in a regime.

    A: 1 / ((1 + B)^2 sqrt(n)). B: 1 / (1 + B)^2. C: 1 / sqrt(n).

    Parameters
    ----------
    regime : {"A", "B", "C"}
        Small total perturbation, small perturbation of each row, or flipped labels.
    n : int or array-like
        Training rows, >= 2. SGD passes over them once, one row at a time.
    perturbation_bound : float or array-like, default=0.0
        B >= 0: ||delta_i|| <= B for each row, in units of the rows (which have norm 1). Regime C
        does not use it.

    Returns
    -------
    step_size : float or ndarray

    Raises
    ------
    TypeError, ValueError
        If `regime` is unknown, or a number is out of its range.

    References
    ----------
    .. [1] Wang, Mianjy, Arora, "Robust Learning for Data Poisoning Attacks", ICML 2021,
       Theorems 3.1 to 3.3.

    Examples
    --------
    >>> from skpoison.theory import step_size
    >>> [step_size(regime, n=100, perturbation_bound=1.0) for regime in "ABC"]
    [0.025, 0.25, 0.1]
    """
    check_choice(regime, "regime", _REGIMES)
    n = check_values(n, "n", low=2)
    bound = check_values(perturbation_bound, "perturbation_bound", low=0)
    n, bound = np.broadcast_arrays(n, bound)
    if regime == "A":
        return unwrap(1 / ((1 + bound) ** 2 * np.sqrt(n)))
    return unwrap((1 + bound) ** -2.0 if regime == "B" else 1 / np.sqrt(n))


def error_rate(
    regime: str, *, n: ArrayLike, margin: ArrayLike, failure_probability: ArrayLike = 0.05
) -> Any:
    """The error bound of a regime's theorem: a bound on the mean error over the iterates of SGD.

    A: [ln^2(sqrt(n)/4) + ln(24 n/delta)] / (sqrt(n) gamma^2). B: the same numerator over n gamma^2.
    C: the formula of A with 16 in place of 24. The bound is for the average of the
    misclassification probabilities of the n iterates, not for the last iterate. A bound of 1 or
    more says nothing.

    Parameters
    ----------
    regime : {"A", "B", "C"}
        Small total perturbation, small perturbation of each row, or flipped labels.
    n : int or array-like
        Training rows, >= 2.
    margin : float or array-like
        gamma of Assumption 1, in (0, 1/2].
    failure_probability : float or array-like, default=0.05
        The paper's delta, in (0, 1).

    Returns
    -------
    rate : float or ndarray
        A share of errors; the formula can be over 1.

    Raises
    ------
    TypeError, ValueError
        If `regime` is unknown, or a number is out of its range.

    Notes
    -----
    Theorems 3.1 to 3.3 of [1]_. The constants that the paper hides in A and C are 1 here; B has
    none. We read "ln2(sqrt n/4)" in the extracted text as the square of ln(sqrt(n)/4).

    References
    ----------
    .. [1] Wang, Mianjy, Arora, "Robust Learning for Data Poisoning Attacks", ICML 2021,
       Theorems 3.1 to 3.3.

    Examples
    --------
    >>> from skpoison.theory import error_rate
    >>> [round(error_rate(regime, n=10_000, margin=0.25), 3) for regime in "ABC"]
    [4.119, 0.041, 4.054]
    """
    check_choice(regime, "regime", _REGIMES)
    rows, gamma, delta = check_problem(n, margin, failure_probability)
    factor = 16 if regime == "C" else 24
    numerator = np.log(np.sqrt(rows) / 4) ** 2 + np.log(factor * rows / delta)
    return unwrap(numerator / ((rows if regime == "B" else np.sqrt(rows)) * gamma**2))
