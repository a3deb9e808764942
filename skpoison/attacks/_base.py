"""The base class of all attacks: it checks the data, and records what changed."""

from abc import ABCMeta, abstractmethod
from typing import Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator
from sklearn.utils import check_random_state

from .._frames import count_rows, is_sparse, labels_like, like, rows_that_differ
from .._threads import limit_threads
from .._typing import Rows
from .._validation import check_labels, check_rows, unchanged_by


class BaseAttack(BaseEstimator, metaclass=ABCMeta):
    """Base of all attacks. A subclass adds the hook `_poison`; everything else is here.

    An attack returns changed copies of the training data. It does not write to the caller's data,
    and it keeps the number and the order of the rows. What it does not change comes back as it was:
    columns, index, dtypes and labels, in a frame of the same library. Write a subclass of
    `BaseFeatureAttack` or `BaseLabelAttack` rather than of this class, unless the attack changes
    features and labels together.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        The sorted labels that `fit` or `poison` was given.
    poison_indices_ : ndarray of shape (n_poisoned,)
        The rows that changed, in ascending order.
    n_features_in_ : int
        Features in a row: the product of the trailing axes of X.
    input_shape_ : tuple of int
        The trailing axes of X.
    tags : dict of str to str
        The threat model in words and in the terms of two taxonomies: "goal", "knowledge" and
        "capability" of the attacker, "nist_ai_100_2_e2025" (the class of NIST AI 100-2 E2025) and
        "mitre_atlas" (the technique of MITRE ATLAS).

    Examples
    --------
    >>> from skpoison.attacks import BaseAttack
    >>> class Mirror(BaseAttack):
    ...     random_state = None
    ...     def _poison(self, X, y, random_state):
    ...         return 1 - X, y[::-1].copy()
    >>> X_poisoned, y_poisoned = Mirror().poison([[0.0], [0.25]], ["a", "b"])
    >>> X_poisoned.tolist(), y_poisoned
    ([[1.0], [0.75]], ['b', 'a'])
    """

    # The name of the parameter that studies vary: at 0 the attack changes nothing. None means that
    # the attack has no such parameter. If it is not set, studies look for `budget` and `rate`.
    strength_name: str | None

    # What a report says of the attack. An attack of one's own adds what it knows of itself:
    # ``tags = BaseFeatureAttack.tags | {"goal": "..."}``.
    tags: dict[str, str] = {
        "goal": "not stated",
        "knowledge": "not stated",
        "capability": "changes training rows, their labels or both",
        "nist_ai_100_2_e2025": "not stated",
        "mitre_atlas": "AML.T0020 Training Data Poisoning",
    }

    def fit(self, X: Rows, y: ArrayLike) -> Self:
        """Run the attack on (X, y), set the attributes, and drop the poisoned data.

        Parameters
        ----------
        X : array-like of shape (n, d) or (n, c, h, w), or frame of n rows
            Clean training rows, as in `poison`.
        y : array-like of shape (n,)
            Their labels.

        Returns
        -------
        self : object
        """
        self.poison(X, y)
        return self

    @limit_threads
    def poison(self, X: Rows, y: ArrayLike) -> tuple[Rows, Rows]:
        """Run the attack on training data and return them poisoned.

        Parameters
        ----------
        X : array-like of shape (n, d) or (n, c, h, w), or frame of n rows
            Clean training rows. An attack that reads them takes numbers without missing ones, in an
            array or in a frame of any library (pandas, polars, pyarrow). An attack on labels hands
            X on unread, so it takes any container with any values: lists, texts, sparse rows,
            frames with missing cells, a dict of parts.
        y : array-like of shape (n,)
            Their labels, of any kind, none of them missing.

        Returns
        -------
        X_poisoned : array-like of the shape of X
            X itself, if the attack does not read it. Else a new frame of the same library for a
            frame, or a new array. Columns that did not change keep their dtype. Of those that did,
            floats keep it too, and all others become float64 in their own way (float64, Float64,
            double[pyarrow]). An array of integers counts as one column, and becomes float32 if its
            integers have up to 16 bits.
        y_poisoned : array-like of shape (n,)
            New labels in the container of y (array, list, Series of any library), with its dtype
            and its categories.

        Raises
        ------
        ValueError
            If a parameter is out of its range, or X or y cannot be used. If a column of a frame is
            the cause, the error names it.
        TypeError
            If a parameter is of a wrong type, or X is sparse and the attack reads it.
        """
        return self._check_and_poison(X, y)

    def _check_and_poison(self, X, y, **out):
        """Check the data, call `_poison` (perhaps with `out`), and record which rows changed."""
        with unchanged_by(BaseException, self):
            self._check_parameters()
            rows = self._rows_of(X)
            labels, classes = check_labels(y, count_rows(rows))
            labels = labels.view()
            labels.flags.writeable = False  # They may be the caller's.
            self._check_data(rows)
            self.classes_ = classes
            random_state = check_random_state(self.random_state)
            X_new, y_new = self._poison(rows, labels, random_state, **out)
            X_poisoned, moved = self._given_back(X_new, rows, None if out else X)
            self.poison_indices_ = np.flatnonzero(moved | (y_new != labels))
            return X_poisoned, labels_like(y_new, y, labels)

    def _rows_of(self, X):
        """Hook: learn the shape of rows, and return what `_poison` gets as X, read-only."""
        if is_sparse(X):
            raise TypeError(
                f"X must be dense for {type(self).__name__}, got a sparse {type(X).__name__}: use "
                "`X.toarray()`, or an attack on labels, which takes sparse rows as they are"
            )
        rows = check_rows(self, X, reset=True).view()
        rows.flags.writeable = False  # They may be the caller's.
        return rows

    def _given_back(self, X_new, rows, X):
        """Hook: return the new rows in the container of X, and which of them changed, (n,).

        If X is None, they stay in the array in which they are.
        """
        moved = rows_that_differ(X_new, rows)
        return like(X_new, X, rows, moved), moved

    def _check_parameters(self):
        """Hook: raise if a parameter is out of its range."""

    def _check_data(self, X):
        """Hook: raise if the rows cannot be attacked."""

    @abstractmethod
    def _poison(self, X, y, random_state):
        """Hook: return new arrays (X, y), the same rows in the same order. Inputs are read-only."""

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.target_tags.required = True
        return tags
