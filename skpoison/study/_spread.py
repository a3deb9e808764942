"""The mean and the standard deviation of scores, as all tables and displays show them."""

import numpy as np


def means_and_deviations(table):
    """The mean and the standard deviation of each row, both of shape (n_rows,).

    Fits that failed do not count; a row without scores is NaN. The deviation is of a sample,
    with n - 1 in the denominator. It is NaN for a single score.
    """
    masked = np.ma.masked_invalid(table)
    return masked.mean(axis=1).filled(np.nan), masked.std(axis=1, ddof=1).filled(np.nan)


def mean_and_deviation(scores):
    """The mean and the deviation of a list of scores as text; of a single score only the mean."""
    (mean,), (deviation,) = means_and_deviations(np.asarray(scores)[np.newaxis])
    return f"{mean:.3f}" if np.isnan(deviation) else f"{mean:.3f} ± {deviation:.3f}"
