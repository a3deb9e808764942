"""The interval of a mean difference over splits that share training rows."""

import numpy as np
from numpy.typing import ArrayLike

from .._intervals import Drop, corrected_factor, mean_interval
from .._validation import check_confidence, check_real


def corrected_interval(
    differences: ArrayLike, test_train_ratio: float, *, confidence: float = 0.95
) -> Drop:
    """Compute the mean of paired differences of scores, and its interval.

    This is the corrected resampled t-test [1]_, for differences of two scores on each of several
    random hold-outs or folds. Their training sets overlap, so that 1/J, the variance of a mean of J
    independent values, becomes 1/J + n_test/n_train.

    Parameters
    ----------
    differences : array-like of shape (n_splits,)
        One difference for each split. Average the repeats of a split first.
    test_train_ratio : float
        Rows held out over rows trained on, >= 0: 0.25 for five folds. 0 takes the differences as
        independent, as those of several seeds on one split are. The interval then speaks about
        seeds on this split.
    confidence : float, default=0.95
        Coverage of the interval, between 0 and 1.

    Returns
    -------
    drop : Drop
        A named tuple (mean, low, high). With fewer than two differences, low and high are NaN.

    Raises
    ------
    ValueError
        If an argument is out of its range, or a difference is not finite.

    References
    ----------
    .. [1] Nadeau, Bengio, "Inference for the Generalization Error", Machine Learning 52, 2003.

    Examples
    --------
    >>> from skpoison.study import corrected_interval
    >>> corrected_interval([0.02, 0.05, 0.03, 0.04, 0.03], 0.25)
    0.03 [0.01, 0.06]
    """
    values = np.asarray(differences, dtype=np.float64)
    if values.ndim != 1 or not len(values) or not np.isfinite(values).all():
        raise ValueError(
            f"`differences` must be finite numbers of shape (n_splits,), got {differences!r}"
        )
    ratio = check_real(test_train_ratio, "test_train_ratio", low=0)
    confidence = check_confidence(confidence)
    return mean_interval(values, corrected_factor(len(values), ratio), confidence)
