from typing import Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, ClassifierMixin, MetaEstimatorMixin, clone
from sklearn.utils import check_random_state

from .._seeding import seed_estimator
from .._threads import limit_threads
from .._typing import Array, Classifier, Seed
from .._validation import (
    check_int,
    check_labels,
    check_real,
    encode_labels,
    note_rows,
    rows_in_share,
    unchanged_by,
)
from .._warnings import warn_no_row
from ._rows import ask, count_some_rows, single_column, take_rows
from ._tags import tags_of_wrapper


class LossTrimming(ClassifierMixin, MetaEstimatorMixin, BaseEstimator):
    """Iterative trimmed loss: train, drop the rows with the largest losses, train anew.

    A net learns most rows before it learns the few whose label is wrong. So rows with a large loss
    after training are suspect [1]_. This defence promises nothing; `PartitionEnsemble` has a
    certificate.

    Parameters
    ----------
    estimator : classifier
        The classifier to train, with `predict_proba`; each round trains a clone. If it fits every
        row, wrong labels included, no row has a large loss: then stop its training early.
    fraction : float, default=0.1
        Share of the rows to leave out, >= 0 and < 1. Choose an upper bound on the poisoned share.
    n_rounds : int, default=3
        How often rows are chosen and a clone is trained on them, after a first one on all rows.
    random_state : int, RandomState instance or None, default=None
        Seeds every nested `random_state` that is None, anew in each round.

    Attributes
    ----------
    estimator_ : classifier
        The classifier of the last round.
    kept_indices_ : ndarray of int of shape (n_kept,)
        The rows on which `estimator_` was trained, in ascending order.
    classes_ : ndarray of shape (n_classes,)
        The sorted labels.
    n_features_in_ : int
        Features in a row: the product of the trailing axes of X.
    input_shape_ : tuple of int
        The trailing axes of X.
    feature_names_in_ : ndarray of shape (n_features,)
        Names of the columns, if X had any.

    Warns
    -----
    UserWarning
        If `fraction` is over 0 and leaves out no row.

    Notes
    -----
    If no row is left out, `estimator` is trained once, on X and y as they were given. It then
    scores exactly as alone, if its own `random_state` is set, or if both are trained in a study
    with the same seed.

    A round keeps the n - floor(fraction n) rows with the smallest cross-entropy; ties go to the
    first rows. It also keeps the row with the smallest loss of each class, so that no class is
    lost.

    References
    ----------
    .. [1] Shen, Sanghavi, "Learning with Bad Training Data via Iterative Trimmed Loss
       Minimization", ICML 2019.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn.linear_model import LogisticRegression
    >>> from skpoison import LabelFlip, LossTrimming, PoisonedClassifier
    >>> X, y = load_digits(return_X_y=True)
    >>> X_train, y_train, X_test, y_test = X[:1000] / 16, y[:1000], X[1000:] / 16, y[1000:]
    >>> flips, victim = LabelFlip(0.3, random_state=0), LogisticRegression(C=0.1)
    >>> alone = PoisonedClassifier(victim, flips).fit(X_train, y_train)
    >>> trimmed = PoisonedClassifier(LossTrimming(victim, 0.3), flips).fit(X_train, y_train)
    >>> trimmed.score(X_test, y_test) > alone.score(X_test, y_test)
    True
    """

    def __init__(
        self,
        estimator: Classifier,
        fraction: float = 0.1,
        n_rounds: int = 3,
        *,
        random_state: Seed = None,
    ) -> None:
        self.estimator = estimator
        self.fraction = fraction
        self.n_rounds = n_rounds
        self.random_state = random_state

    @limit_threads
    def fit(self, X: ArrayLike, y: ArrayLike) -> Self:
        """Train on all rows, then in each round on the rows with the smallest losses.

        Parameters
        ----------
        X : array-like, sparse matrix or frame, of shape (n, d) or (n, c, h, w)
            Training rows, which go to `estimator` as they are.
        y : array-like of shape (n,)
            Their labels, which go to `estimator` as they are.

        Returns
        -------
        self : LossTrimming

        Raises
        ------
        ValueError
            If a parameter is out of its range, or X or y cannot be used.
        TypeError
            If `estimator` is not a classifier with `predict_proba`.
        """
        fraction = check_real(self.fraction, "fraction", low=0)
        if not fraction < 1:
            raise ValueError(f"`fraction` must be < 1, got {fraction}")
        n_rounds = check_int(self.n_rounds, "n_rounds", low=1)
        if isinstance(self.estimator, type) or not hasattr(self.estimator, "predict_proba"):
            raise TypeError(
                f"`estimator` must be a classifier with `predict_proba`, got {self.estimator!r}"
            )
        with unchanged_by(BaseException, self):
            n_rows = count_some_rows(X)
            note_rows(self, X, reset=True)
            labels, _ = check_labels(y, n_rows)
            y = single_column(y)  # `check_labels` has warned.
            random_state = check_random_state(self.random_state)
            n_kept = n_rows - rows_in_share(fraction, n_rows)
            if fraction and n_kept == n_rows:
                warn_no_row(self, "fraction", fraction, n_rows)
            kept = np.arange(n_rows)
            model = self._fit_on(X, y, random_state)
            # If no row is left out, the rounds would train on the same rows again.
            for _ in range(n_rounds if n_kept < n_rows else 0):
                kept = _least(_losses(model, X, labels), labels, n_kept)
                model = self._fit_on(take_rows(X, kept), take_rows(y, kept), random_state)
            self.estimator_, self.kept_indices_ = model, kept
            # The estimator may have a parameter `classes`, in an order of its own.
            self.classes_ = np.asarray(model.classes_)
        return self

    def _fit_on(self, X, y, random_state):
        model = seed_estimator(clone(self.estimator), random_state, overwrite=False).fit(X, y)
        if not hasattr(model, "classes_"):
            raise TypeError(f"`estimator` must be a classifier, got {self.estimator!r}")
        return model

    @limit_threads
    def predict(self, X: ArrayLike) -> Array:
        """Predict labels with the classifier of the last round.

        Parameters
        ----------
        X : array-like, sparse matrix or frame, with rows like those seen in `fit`
            Rows.

        Returns
        -------
        y : ndarray of shape (n,)
        """
        return ask(self, "predict", X)

    @limit_threads
    def predict_proba(self, X: ArrayLike) -> Array:
        """Predict probabilities with the classifier of the last round.

        Parameters
        ----------
        X : array-like, sparse matrix or frame, with rows like those seen in `fit`
            Rows.

        Returns
        -------
        proba : ndarray of shape (n, n_classes)
            In the order of `classes_`.
        """
        return ask(self, "predict_proba", X)

    def __sklearn_is_fitted__(self):
        return hasattr(self, "kept_indices_")

    def __sklearn_tags__(self):
        return tags_of_wrapper(super().__sklearn_tags__(), self.estimator)


def _losses(model, X, y):
    """The cross-entropy of each row."""
    proba = np.asarray(model.predict_proba(X), dtype=np.float64)
    codes = encode_labels(y, np.asarray(model.classes_), "`estimator`")
    own = proba[np.arange(len(y)), codes]
    # The NaNs of a net that diverged count as probability 0, the largest loss.
    return -np.log(np.maximum(np.nan_to_num(own), np.finfo(np.float64).tiny))


def _least(losses, y, n_kept):
    """Indices of the `n_kept` smallest losses and the smallest of each class, ascending."""
    order = np.argsort(losses, kind="stable")
    best = order[np.unique(y[order], return_index=True)[1]]
    return np.union1d(order[:n_kept], best)
