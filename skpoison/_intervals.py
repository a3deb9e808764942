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
