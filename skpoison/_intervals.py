"""Confidence intervals of scores whose folds share training rows."""

import math
from typing import NamedTuple

from scipy.stats import t as student_t


class Drop(NamedTuple):
    """How far scores lie under others: mean and confidence interval."""

    mean: float
    low: float
    high: float

    def __repr__(self) -> str:
        if math.isnan(self.low):
            return f"{rounded(self.mean)} (no interval)"
        digits = decimals(self.low, self.high, self.high - self.low)
        mean, low, high = (rounded(value, digits) for value in self)
        return f"{mean} [{low}, {high}]"


def decimals(*values):
    """How many decimals tell the values from 0 and from each other: 2 to 6."""
    # What is smaller is a 0 that was rounded.
    sizes = [abs(value) for value in values if abs(value) > 1e-9 and math.isfinite(value)]
    return min(6, max([2, *(math.ceil(-math.log10(size)) for size in sizes)]))


def rounded(value, digits=2):
    """A number for people to read; never "-0.00"."""
    return f"{value:z.{digits}f}"


def mean_interval(values, factor, confidence, *, row_differences=None, widening=1.0):
    """Compute the mean of values and its interval by Student's t.

    Parameters
    ----------
    values : ndarray of shape (n_values,)
        The values. They need not be independent.
    factor : float
        The variance of their mean over their sample variance: 1/n for independent values. For
        others, see `corrected_factor` and `jackknife_factor`.
    confidence : float
        Coverage of the interval, between 0 and 1.
    row_differences : ndarray of shape (n_rows,), default=None
        What each value is a mean of over the same rows, averaged over the values. The variance of
        these rows is added. None: nothing is shared.
    widening : float, default=1.0
        The half-width is multiplied by this.

    Returns
    -------
    drop : Drop
        Without an interval (NaN) where there are fewer than two values.
    """
    n = len(values)
    if n < 2:
        return Drop(float(values.mean()) if n else math.nan, math.nan, math.nan)
    parts = [(values.var(ddof=1) * factor, n - 1)]
    if row_differences is not None and len(row_differences) > 1:
        n_rows = len(row_differences)
        parts.append((row_differences.var(ddof=1) / n_rows, n_rows - 1))
    variance = sum(part for part, _ in parts)
    # Welch and Satterthwaite: the degrees of freedom of a sum of variances.
    parts = [(part / variance, df) for part, df in parts if part > 0]
    df = 1 / sum(share**2 / df for share, df in parts) if parts else n - 1
    half = widening * student_t.ppf((1 + confidence) / 2, df) * math.sqrt(variance)
    mean = values.mean()
    return Drop(float(mean), float(mean - half), float(mean + half))


def corrected_factor(n, test_train_ratio):
    """The factor of `mean_interval` for n folds that are scored on held-out rows of their own.

    Training folds overlap, so that 1/n becomes 1/n + n_test/n_train [1]_.

    References
    ----------
    .. [1] Nadeau, Bengio, "Inference for the Generalization Error", Machine Learning 52, 2003.
    """
    return 1 / n + test_train_ratio


def jackknife_factor(n, test_train_ratio):
    """The factor of `mean_interval` for n folds that are scored on the same rows.

    Their training sets differ by the rows held out only, and so do their scores: the delete-d
    jackknife [1]_ makes up for this.

    References
    ----------
    .. [1] Shao, Wu, "A General Theory for Jackknife Variance Estimation", Annals of Statistics 17,
       1989.
    """
    return (n - 1) / (n * test_train_ratio)
