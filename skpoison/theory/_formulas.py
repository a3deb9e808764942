"""Parts that the formulas of Theorems 3.1 to 3.3 share."""

import numpy as np

from ._arguments import check_values


def check_problem(n, margin, failure_probability):
    """Return n, gamma and delta as arrays, or raise."""
    n = check_values(n, "n", low=2)
    margin = check_values(margin, "margin", above=0, high=0.5)
    delta = check_values(failure_probability, "failure_probability", above=0, below=1)
    return n, margin, delta


def capacity(n, delta):
    """The term ln(n/delta) + ln^2(n) of all three theorems."""
    return np.log(n / delta) + np.log(n) ** 2


def unwrap_bool(array):
    """A bool for an array without axes, else the array."""
    return array if np.ndim(array) else bool(array)
