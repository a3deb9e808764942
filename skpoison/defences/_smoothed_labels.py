import math
from functools import partial
from typing import Self

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import logsumexp
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.validation import check_is_fitted

from .._threads import limit_threads
from .._typing import Array
from .._validation import (
    check_bool,
    check_choice,
    check_labels,
    check_real,
    check_rows,
    unchanged_by,
)
from ._label_noise import closed_form_radius, exact_radius, log_chernoff, tight_radius

# Weights (pairs of a row and a training row) that are held at a time: each array has 8 MB.
MAX_WEIGHTS = 2**20
BOUNDS = ("tight", "closed_form", "exact")


class SmoothedLabelClassifier(ClassifierMixin, BaseEstimator):
    """Ridge regression on labels, with a certificate against flipped training labels.

    Randomised smoothing [1]_ lets many classifiers vote, each fitted on labels of which some are
    replaced at random. A vote that is nearly unanimous survives flips of training labels. For least
    squares the vote need not be sampled: its error has an analytic bound, so there is no seed.
    `certify` returns how many flips each prediction withstands.

    Parameters
    ----------
    alpha : float, default=1.0
        Weight of the penalty on the squared coefficients, >= 0, as in scikit-learn's
        `RidgeClassifier`. 0 is least squares without a penalty. A larger value spreads the
        influence over more training rows, so that more flips are needed.
    noise : float, default=0.1
        Probability that the smoothing replaces a label (by one of the others at random), > 0 and
        < 1 - 1 / n_classes. It changes the certificates, but no prediction.
    fit_intercept : bool, default=True
        Whether to fit an intercept, which has no penalty.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        The sorted labels.
    n_features_in_ : int
        Features in a row: the product of the trailing axes of X.
    input_shape_ : tuple of int
        The trailing axes of X.
    feature_names_in_ : ndarray of shape (n_features,)
        Names of the columns, if X had any.

    Notes
    -----
    **Prediction.** Least squares is linear in the labels. For a row x, training row i weighs::

        w_i = 1 / n + (x - m)^T (X^T X + alpha I)^-1 (x_i - m),

    with the mean m of the n training rows, and X the training rows less m (without an intercept:
    without 1 / n, and m = 0). The score of a class is the sum of the weights of the training rows
    with this label, and the class with the largest score is predicted. This is what
    `RidgeClassifier` predicts. The noise takes the same share from all differences of scores, so
    the smoothed scores have the same order.

    **Bound.** Let S be the score of the predicted class c less the score of a rival, both on noisy
    labels. For all t >= 0, P(S <= 0) <= E exp(-t S) (Chernoff). This is a product over the training
    rows, and its logarithm is convex in t. Its minimum is found by Newton's method. The sum e of
    the minima over all rivals is at least the probability that the vote is not for c:
    `log_error_bound`.

    **Certificate.** r flips change the distribution of r noisy labels only. Let a label stay with
    probability s = 1 - noise, and become a given other one with probability u = noise / (n_classes
    - 1). If c keeps more than half of the votes, the flips are withstood.

    - ``bound="tight"``: Consider an event that has probability 1/2 after r flips, and that was as
      improbable as possible before. The lemma of Neyman and Pearson gives its probability before.
      If e is smaller, r flips leave the error of the vote below 1/2. No larger radius follows from
      e alone.
    - ``bound="closed_form"``: the divergence of the noise on two labels is D = (s - u) log(s / u),
      so r flips are withstood if r < -log(4 e (1 - e)) / (2 D). For two classes, D is
      (1 - 2 noise) log((1 - noise) / noise). This radius is about half of the tight one if e is
      small.
    - ``bound="exact"`` is not about a vote. Each flip lowers the lead of c by a known amount. The
      largest amounts are taken first, and counted until the lead is gone. So this is the exact
      number for `predict`, if a tie counts as lost and a class that loses all its rows still counts
      as a rival. It does not depend on `noise`.

    The first two hold for the vote of the smoothed classifier, and for `predict` as well: for the
    distributions P before and Q after the flips, log E_P exp(-t S) >= -t E_Q S - r D (Donsker and
    Varadhan). So if log e < -r D, the mean of S after the flips is positive, and c keeps the
    largest score. Both radii keep this rule too (it limits "tight" only for thousands of flips and
    hardly any noise), and neither exceeds "exact".

    **What is not certified.** A flip turns a label into another one of `classes_`. The certificate
    does not cover rows that are inserted or removed, features that change, or a label that no
    training row has. Steps before the classifier may read the features, as a scaler does, but not
    the labels. A fit that fails, because too few classes are left for `noise`, does not count as
    another prediction.

    There is no abstention. Where e >= 1/2, the vote is unknown, `predict` still returns the label
    with the largest score, and ``certify`` returns 0. A lead that rounding could have made counts
    as a tie.

    The model keeps a matrix of the size of X. `certify` takes time in proportion to rows times
    training rows times classes, and it holds some 20 arrays of 8 MB beside that matrix.

    References
    ----------
    .. [1] Rosenfeld, Winston, Ravikumar, Kolter, "Certified Robustness to Label-Flipping Attacks
       via Randomized Smoothing", ICML 2020.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from skpoison import SmoothedLabelClassifier
    >>> X, y = load_digits(n_class=2, return_X_y=True)
    >>> model = SmoothedLabelClassifier(alpha=100, noise=0.05).fit(X[:260] / 16, y[:260])
    >>> model.score(X[260:] / 16, y[260:]) > 0.95
    True
    >>> flips = model.certify(X[260:] / 16)  # that each prediction withstands
    >>> bool((flips >= 20).mean() > 0.5)
    True
    """

    def __init__(
        self, alpha: float = 1.0, noise: float = 0.1, *, fit_intercept: bool = True
    ) -> None:
        self.alpha = alpha
        self.noise = noise
        self.fit_intercept = fit_intercept

    @limit_threads
    def fit(self, X: ArrayLike, y: ArrayLike) -> Self:
        """Fit the coefficients, and keep what the weights of training rows are computed from.

        Parameters
        ----------
        X : array-like or frame of numbers, of shape (n, d) or (n, c, h, w)
            Training rows.
        y : array-like of shape (n,)
            Their labels. With one class, it is always predicted.

        Returns
        -------
        self : SmoothedLabelClassifier

        Raises
        ------
        TypeError, ValueError
            If a parameter is out of its range, or X or y cannot be used.
        """
        alpha = check_real(self.alpha, "alpha", low=0)
        noise = check_real(self.noise, "noise")
        fit_intercept = check_bool(self.fit_intercept, "fit_intercept")
        with unchanged_by(BaseException, self):
            rows = _flat(check_rows(self, X, reset=True))
            labels, classes = check_labels(y, len(rows), min_classes=1)
            _check_noise(noise, len(classes))
            self.classes_, self._noise = classes, noise
            self._codes = np.searchsorted(classes, labels)
            self._mean = rows.mean(axis=0) if fit_intercept else np.zeros(rows.shape[1])
            self._base = 1 / len(rows) if fit_intercept else 0.0
            centred = rows - self._mean
            self._whitening = _whitening(centred, alpha)
            # Weights of training rows are products of a row and of training rows, both whitened.
            self._whitened = centred @ self._whitening
            hits = self._codes[:, np.newaxis] == np.arange(len(classes))
            self._coefficients = self._whitened.T @ hits
            self._priors = self._base * hits.sum(axis=0)
            # Rounding changes a score by at most this, times the size of the row's features.
            steps = len(rows) + 2 * rows.shape[1]
            sizes = np.abs(self._whitening) @ np.abs(self._whitened).sum(axis=0)
            self._rounding = steps * np.finfo(float).eps * sizes
        return self

    @limit_threads
    def predict(self, X: ArrayLike) -> Array:
        """Predict the label with the largest score.

        Parameters
        ----------
        X : array-like or frame of numbers, with rows like those seen in `fit`
            Rows.

        Returns
        -------
        y : ndarray of shape (n,)
        """
        winners = self._winners(self._centred(X))
        return self.classes_[winners]

    @limit_threads
    def log_error_bound(self, X: ArrayLike) -> Array:
        """Bound the probability that the vote of the smoothed classifier is not for `predict`.

        Parameters
        ----------
        X : array-like or frame of numbers, with rows like those seen in `fit`
            Rows.

        Returns
        -------
        log_error : ndarray of shape (n,)
            The natural logarithm of the bound on the probability that least squares, fitted on
            noisy labels, predicts another label than `predict`; at most 0. (The probability itself
            may be smaller than a float can be.)
        """
        return self._log_error(self._centred(X))

    @limit_threads
    def certify(self, X: ArrayLike, *, bound: str = "tight") -> Array:
        """Return how many flips of training labels each prediction provably withstands.

        Parameters
        ----------
        X : array-like or frame of numbers, with rows like those seen in `fit`
            Rows.
        bound : {"tight", "closed_form", "exact"}, default="tight"
            "tight" and "closed_form" are about the vote of the smoothed classifier, and hold for
            `predict` too; "closed_form" is the smaller of both. "exact" is the largest number for
            `predict`, without any smoothing. See the notes.

        Returns
        -------
        radius : ndarray of int of shape (n,)
            After up to `radius` labels of training rows become other labels of `classes_`, a
            classifier fitted with the same parameters makes the same prediction. 0: nothing is
            certified. With one class there is no other label, and the radius is 0.

        Raises
        ------
        ValueError
            If `bound` is none of the three.
        """
        bound = check_choice(bound, "bound", BOUNDS)
        centred = self._centred(X)
        n_classes = len(self.classes_)
        if n_classes == 1:
            return np.zeros(len(centred), dtype=np.int64)
        if bound == "exact":
            radius = self._per_rival(centred, exact_radius).min(axis=0).astype(np.int64)
        elif bound == "closed_form":
            radius = closed_form_radius(self._log_error(centred), self._noise, n_classes)
        else:
            log_error = self._log_error(centred)
            radius = tight_radius(log_error, self._noise, n_classes, len(self._codes))
        return np.minimum(radius, self._rows_to_spare(centred))

    def _rows_to_spare(self, centred):
        """How many training rows may lose the predicted label, so that it is in `classes_` still.

        Without an intercept all scores of labels may be negative, less than that of a lost label.
        """
        counts = np.bincount(self._codes, minlength=len(self.classes_))
        return counts[self._winners(centred)] - 1

    def _centred(self, X):
        check_is_fitted(self)
        return _flat(check_rows(self, X, reset=False)) - self._mean

    def _winners(self, centred):
        scores = centred @ self._whitening @ self._coefficients + self._priors
        return scores.argmax(axis=1)

    def _log_error(self, centred):
        if len(self.classes_) == 1:
            return np.full(len(centred), -np.inf)
        bound = partial(log_chernoff, noise=self._noise, n_classes=len(self.classes_))
        return np.minimum(logsumexp(self._per_rival(centred, bound), axis=0), 0)

    def _per_rival(self, centred, of_pair):
        """What `of_pair` says of each rival of the predicted class, (n_classes - 1, n)."""
        n_rows, n_train, n_classes = len(centred), len(self._codes), len(self.classes_)
        values = np.empty((n_classes - 1, n_rows))
        step = max(MAX_WEIGHTS // n_train, 1)
        winners = self._winners(centred)
        # Two scores are computed here, and two in each `predict`.
        slack = 4 * (np.abs(centred) @ self._rounding + n_train * np.finfo(float).eps)
        for start in range(0, n_rows, step):
            part = slice(start, start + step)
            weights = centred[part] @ self._whitening @ self._whitened.T + self._base
            own = self._codes == winners[part, np.newaxis]
            for k in range(1, n_classes):
                rival = self._codes == (winners[part, np.newaxis] + k) % n_classes
                values[k - 1, part] = of_pair(weights, own, rival, slack=slack[part])
        return values

    def __sklearn_is_fitted__(self):
        return hasattr(self, "_rounding")


def _flat(rows):
    return rows.reshape(len(rows), math.prod(rows.shape[1:])).astype(np.float64)


def _check_noise(noise, n_classes):
    most = 1 - 1 / max(n_classes, 2)
    if not 0 < noise < most:
        raise ValueError(
            f"`noise` must be > 0 and < {most:.4g} for {n_classes} classes, got {noise}: a label "
            "must keep itself more often than it becomes another"
        )


def _whitening(rows, alpha):
    """W, (d, k), with W W^T the inverse of X^T X + alpha I on the span of the rows X, (n, d)."""
    n_rows, n_features = rows.shape
    wide = n_features > n_rows
    with np.errstate(over="ignore", invalid="ignore"):
        products = rows @ rows.T if wide else rows.T @ rows
    if not np.isfinite(products).all():
        raise ValueError(
            "X must have features whose squares float64 can hold, got values from "
            f"{rows.min():.3g} to {rows.max():.3g} (less the mean)"
        )
    values, vectors = np.linalg.eigh(products)
    values = np.maximum(values, 0)
    # What is as small as the rounding has no direction. Without a penalty its inverse is noise.
    kept = values > max(rows.shape) * np.finfo(float).eps * values.max()
    values, vectors = values[kept], vectors[:, kept]
    if wide:
        vectors = rows.T @ (vectors / np.sqrt(values))
    return vectors / np.sqrt(values + alpha)
