from abc import ABCMeta, abstractmethod
from typing import Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator
from sklearn.utils import check_random_state

from ..._threads import limit_threads
from ..._typing import Array, Rows, Seed
from ..._validation import check_labels, note_rows, unchanged_by
from .._rows import count_some_rows, single_column, take_rows


class BaseFilter(BaseEstimator, metaclass=ABCMeta):
    """Base of filters: the hook `_score` says how suspicious each training row is.

    A filter is a sampler: `fit_resample` drops the suspicious rows. So it works in
    imbalanced-learn's Pipeline, and `FilteredClassifier` makes a classifier of a filter and a
    classifier. A filter looks at a whole training set at once, and changes no row.

    Parameters
    ----------
    random_state : int, RandomState instance or None, default=None
        Seeds the filter's random choices.

    Attributes
    ----------
    scores_ : ndarray of float of shape (n,)
        How suspicious each row is; larger is more suspicious.
    flagged_ : ndarray of bool of shape (n,)
        Which rows are suspicious.
    kept_indices_ : ndarray of int of shape (n_kept,)
        The other rows, in ascending order.
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
    No class is lost: if all rows of a class are suspicious, the row with the smallest score stays.

    Examples
    --------
    A filter in three lines: rows far from the mean of their class are suspicious.

    >>> import numpy as np
    >>> from skpoison.defences import BaseFilter
    >>> class FarFromMean(BaseFilter):
    ...     def _score(self, X, y, random_state):
    ...         means = np.array([X[y == label].mean(axis=0) for label in self.classes_])
    ...         return np.linalg.norm(X - means[np.searchsorted(self.classes_, y)], axis=1) - 1
    >>> X, y = np.array([[0.0], [0.1], [0.2], [2.0], [3.0]]), np.array(["a", "a", "a", "a", "b"])
    >>> FarFromMean().flag(X, y)
    array([False, False, False,  True, False])
    >>> X_kept, y_kept = FarFromMean().fit_resample(X, y)
    >>> y_kept
    array(['a', 'a', 'a', 'b'], dtype='<U1')
    """

    def __init__(self, *, random_state: Seed = None) -> None:
        self.random_state = random_state

    @limit_threads
    def fit(self, X: Rows, y: ArrayLike) -> Self:
        """Score training rows, and set the attributes.

        Parameters
        ----------
        X : array-like, sparse matrix or frame, of shape (n, d) or (n, c, h, w)
            Training rows.
        y : array-like of shape (n,)
            Their labels.

        Returns
        -------
        self : object

        Raises
        ------
        ValueError
            If a parameter is out of its range, or X or y cannot be used.
        TypeError
            If a parameter is of a wrong type.
        """
        with unchanged_by(BaseException, self):
            self._check_parameters()
            n_rows = count_some_rows(X)
            note_rows(self, X, reset=True)
            labels, self.classes_ = check_labels(y, n_rows)
            random_state = check_random_state(self.random_state)
            scores = np.asarray(self._score(X, labels, random_state))
            is_number = scores.dtype.kind in "iuf" and scores.shape == (n_rows,)
            if not is_number or not np.isfinite(scores).all():
                got = f"{scores.dtype} of shape {scores.shape}"
                raise ValueError(
                    f"`_score` of {type(self).__name__} must return finite numbers of shape "
                    f"({n_rows},), got {'NaN or infinity' if is_number else got}"
                )
            flagged = np.array(self._choose(scores, labels))
            if flagged.dtype != bool or flagged.shape != (n_rows,):
                raise ValueError(
                    f"`_choose` of {type(self).__name__} must return booleans of shape "
                    f"({n_rows},), got {flagged.dtype} of shape {flagged.shape}"
                )
            flagged[_least_of_lost_classes(scores, labels, flagged)] = False
            self.scores_, self.flagged_ = scores, flagged
            self.kept_indices_ = np.flatnonzero(~flagged)
        return self

    def score_rows(self, X: Rows, y: ArrayLike) -> Array:
        """Run the filter, and return how suspicious each row is.

        Parameters
        ----------
        X : array-like, sparse matrix or frame, of shape (n, d) or (n, c, h, w)
            Training rows.
        y : array-like of shape (n,)
            Their labels.

        Returns
        -------
        scores : ndarray of float of shape (n,)
            Larger is more suspicious.
        """
        return self.fit(X, y).scores_.copy()

    def flag(self, X: Rows, y: ArrayLike) -> Array:
        """Run the filter, and return which rows are suspicious.

        Parameters
        ----------
        X : array-like, sparse matrix or frame, of shape (n, d) or (n, c, h, w)
            Training rows.
        y : array-like of shape (n,)
            Their labels.

        Returns
        -------
        flagged : ndarray of bool of shape (n,)
            True: suspicious.
        """
        return self.fit(X, y).flagged_.copy()

    def fit_resample(self, X: Rows, y: ArrayLike) -> tuple[Rows, Rows]:
        """Run the filter, and return the training set without the suspicious rows.

        Parameters
        ----------
        X : array-like, sparse matrix or frame, of shape (n, d) or (n, c, h, w)
            Training rows.
        y : array-like of shape (n,)
            Their labels.

        Returns
        -------
        X_kept, y_kept
            The other rows and their labels, in the containers of X and y.
        """
        self.fit(X, y)
        return take_rows(X, self.kept_indices_), take_rows(single_column(y), self.kept_indices_)

    @abstractmethod
    def _score(self, X, y, random_state):
        """Hook: return how suspicious each row is, (n,); larger is more suspicious.

        X is what the caller gave, in any container. y is an array of labels, of which `classes_`
        has the sorted ones. Do not write to X or y.
        """

    def _choose(self, scores, y):
        """Hook: return which rows are suspicious, (n,) of bool: those whose score is over 0."""
        return scores > 0

    def _check_parameters(self):
        """Hook: raise if a parameter is out of its range."""

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.target_tags.required = True
        return tags


def _least_of_lost_classes(scores, y, flagged):
    """The row with the smallest score of each class all of whose rows are suspicious."""
    order = np.argsort(scores, kind="stable")
    lost = np.setdiff1d(y, y[~flagged])
    return [order[y[order] == label][0] for label in lost]
