"""Regime A: large perturbations of some rows, small in total."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from ._arguments import check_values, unwrap
from ._formulas import capacity, check_problem, unwrap_bool


class WidthWindow(NamedTuple):
    """The widths m for which a theorem holds, ``lower <= m <= upper``; empty if lower > upper.

    Examples
    --------
    >>> from skpoison.theory import WidthWindow
    >>> WidthWindow(lower=1e9, upper=1e6).is_empty
    True
    """

    lower: float
    upper: float

    @property
    def is_empty(self) -> Any:
        return unwrap_bool(np.asarray(self.lower) > np.asarray(self.upper))


def min_width(*, n: ArrayLike, margin: ArrayLike, failure_probability: ArrayLike = 0.05) -> Any:
    """The width that all three regimes need: m >= [ln(n/delta) + ln^2(n)] / gamma^8.

    Parameters
    ----------
    n : int or array-like
        Training rows, >= 2.
    margin : float or array-like
        gamma of Assumption 1, in (0, 1/2]; see `ntk_margin`. Rows of norm 1 cannot have a larger
        margin.
    failure_probability : float or array-like, default=0.05
        The paper's delta, in (0, 1).

    Returns
    -------
    width : float or ndarray

    Raises
    ------
    TypeError, ValueError
        If an argument is not a number, or out of its range.

    Notes
    -----
    Theorems 3.1 to 3.3 of [1]_. The constant that the paper hides is 1 here, so only the order of
    magnitude counts. The extracted text has "ln(n delta) + ln2(n)" over "gamma8". We read a
    fraction n/delta whose bar was lost (Theorem 3.3 keeps it), a square, and an eighth power.

    References
    ----------
    .. [1] Wang, Mianjy, Arora, "Robust Learning for Data Poisoning Attacks", ICML 2021, Section 3.

    Examples
    --------
    >>> from skpoison.theory import min_width
    >>> f"{min_width(n=10_000, margin=0.125):.1e}"
    '1.6e+09'
    """
    n, gamma, delta = check_problem(n, margin, failure_probability)
    return unwrap(capacity(n, delta) / gamma**8)


def width_window(
    *,
    n: ArrayLike,
    margin: ArrayLike,
    total_perturbation: ArrayLike,
    failure_probability: ArrayLike = 0.05,
) -> WidthWindow:
    """Regime A's widths: `min_width` <= m <= [n ln^4(n) + n ln^2(n/delta)] / (gamma^4 S^2).

    Parameters
    ----------
    n : int or array-like
        Training rows, >= 2.
    margin : float or array-like
        gamma of Assumption 1, in (0, 1/2].
    total_perturbation : float or array-like
        S = sum_i ||delta_i|| >= 0, in units of the rows (which have norm 1). With 0 the window has
        no upper end.
    failure_probability : float or array-like, default=0.05
        The paper's delta, in (0, 1).

    Returns
    -------
    window : WidthWindow
        ``lower``, ``upper`` and ``is_empty``; empty exactly where S > `total_budget`.

    Raises
    ------
    TypeError, ValueError
        If an argument is not a number, or out of its range.

    Notes
    -----
    Theorem 3.1 of [1]_; the constants that the paper hides are 1 here. In the extracted text we
    read "gamma4S2" as gamma^4 S^2, and "ln2(n delta)" as ln^2(n/delta).

    References
    ----------
    .. [1] Wang, Mianjy, Arora, "Robust Learning for Data Poisoning Attacks", ICML 2021,
       Theorem 3.1.

    Examples
    --------
    >>> from skpoison.theory import width_window
    >>> width_window(n=10_000, margin=0.25, total_perturbation=1.0).is_empty
    False
    >>> width_window(n=10_000, margin=0.25, total_perturbation=100.0).is_empty
    True
    """
    n, gamma, delta = check_problem(n, margin, failure_probability)
    total = check_values(total_perturbation, "total_perturbation", low=0)
    lower = capacity(n, delta) / gamma**8
    with np.errstate(divide="ignore"):
        upper = n * (np.log(n) ** 4 + np.log(n / delta) ** 2) / (gamma**4 * total**2)
    lower, upper = np.broadcast_arrays(lower, upper)
    return WidthWindow(unwrap(lower.copy()), unwrap(upper.copy()))


def total_budget(*, n: ArrayLike, margin: ArrayLike, failure_probability: ArrayLike = 0.05) -> Any:
    """Regime A's budget: the largest S for which `width_window` is not empty.

    S = gamma^2 sqrt(n) sqrt([ln^4(n) + ln^2(n/delta)] / [ln^2(n) + ln(n/delta)]),
    where the two ends of the window meet.

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
    budget : float or ndarray
        In units of the rows, which have norm 1.

    Raises
    ------
    TypeError, ValueError
        If an argument is not a number, or out of its range.

    Notes
    -----
    The text after Theorem 3.1 of [1]_ states S <= gamma^2 sqrt(n) up to logarithms and constants.

    References
    ----------
    .. [1] Wang, Mianjy, Arora, "Robust Learning for Data Poisoning Attacks", ICML 2021,
       Theorem 3.1.

    Examples
    --------
    >>> from skpoison.theory import total_budget
    >>> round(total_budget(n=10_000, margin=0.125), 2)
    13.59
    """
    n, gamma, delta = check_problem(n, margin, failure_probability)
    ratio = (np.log(n) ** 4 + np.log(n / delta) ** 2) / capacity(n, delta)
    return unwrap(gamma**2 * np.sqrt(n * ratio))
