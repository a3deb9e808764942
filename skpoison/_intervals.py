"""Confidence intervals of scores whose folds share training rows."""

import math
from typing import NamedTuple

import numpy as np
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


def corrected_interval(differences, groups, test_train_ratio, confidence):
    """Compute the mean of paired differences and its interval by the corrected resampled t-test.

    The variance of n means of folds is their sample variance times 1/n + test_train_ratio, because
    training folds overlap [1]_.

    Parameters
    ----------
    differences : ndarray of shape (n_differences,)
        Differences of scores, each of one fold and seed.
    groups : ndarray of shape (n_differences,)
        Which differences count as one: they are averaged first.
    test_train_ratio : float
        Rows held out over rows trained on.
    confidence : float
        Coverage of the interval, between 0 and 1.

    Returns
    -------
    drop : Drop
        Without an interval (NaN) where there are fewer than two groups.

    References
    ----------
    .. [1] Nadeau, Bengio, "Inference for the Generalization Error", Machine Learning 52, 2003.
    """
    values = np.array([differences[groups == own].mean() for own in np.unique(groups)])
    n = len(values)
    if n < 2:
        return Drop(float(values.mean()) if n else math.nan, math.nan, math.nan)
    error = values.std(ddof=1) * math.sqrt(1 / n + test_train_ratio)
    half = student_t.ppf((1 + confidence) / 2, n - 1) * error
    mean = values.mean()
    return Drop(float(mean), float(mean - half), float(mean + half))
