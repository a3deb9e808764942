from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, ClassifierMixin, MetaEstimatorMixin, clone
from sklearn.utils import check_random_state
from sklearn.utils.metaestimators import available_if

from ..._seeding import seed_estimator
from ..._threads import limit_threads
from ..._typing import Array, Classifier, Seed
from ..._validation import check_labels, note_rows, takes, unchanged_by
from .._rows import ask, count_some_rows, single_column, take_rows
from .._tags import tags_of_wrapper


def _estimator_has(name):
    def check(self):
        # Raises the estimator's own AttributeError where it lacks the method.
        getattr(getattr(self, "estimator_", self.estimator), name)
        return True

    return check


class FilteredClassifier(ClassifierMixin, MetaEstimatorMixin, BaseEstimator):
    """A classifier that is trained on the rows that a filter leaves.

    `fit` runs a clone of the filter on the training set, and trains a clone of the classifier on
    the rows that are not flagged. Rows to predict are not filtered.

    Parameters
    ----------
    estimator : classifier
        The classifier to train.
    filter : filter
        An estimator with ``flag(X, y)``, such as those derived from `BaseFilter`.
    random_state : int, RandomState instance or None, default=None
        Seeds every nested `random_state` that is None.

    Attributes
    ----------
    estimator_ : classifier
        The classifier that was trained.
    filter_ : filter
        The filter that was run.
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

    Notes
    -----
    If no row is flagged, `estimator` is trained on X and y as they were given. It then scores
    exactly as alone, if its own `random_state` is set, or if both are trained in a study with the
    same seed.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn.linear_model import LogisticRegression
    >>> from skpoison import FilteredClassifier, LabelFlip, NeighbourVote, PoisonedClassifier
    >>> X, y = load_digits(return_X_y=True)
    >>> X_train, y_train, X_test, y_test = X[:1000] / 16, y[:1000], X[1000:] / 16, y[1000:]
    >>> flips, victim = LabelFlip(0.3, random_state=0), LogisticRegression(C=0.1)
    >>> alone = PoisonedClassifier(victim, flips).fit(X_train, y_train)
    >>> filtered = FilteredClassifier(victim, NeighbourVote())
    >>> filtered = PoisonedClassifier(filtered, flips).fit(X_train, y_train)
    >>> filtered.score(X_test, y_test) > alone.score(X_test, y_test)
    True
    """

    def __init__(self, estimator: Classifier, filter: Any, *, random_state: Seed = None) -> None:
        self.estimator = estimator
        self.filter = filter
        self.random_state = random_state

    @limit_threads
    def fit(self, X: ArrayLike, y: ArrayLike) -> Self:
        """Run the filter, and train the classifier on the rows that are not flagged.

        Parameters
        ----------
        X : array-like, sparse matrix or frame, of shape (n, d) or (n, c, h, w)
            Training rows, which go to `filter` and to `estimator` as they are.
        y : array-like of shape (n,)
            Their labels.

        Returns
        -------
        self : FilteredClassifier

        Raises
        ------
        ValueError
            If X or y cannot be used; or if `flag` of `filter` returns no mask, or flags all rows.
        TypeError
            If `estimator` is not a classifier, or `filter` has no method `flag`.
        """
        if isinstance(self.estimator, type) or not hasattr(self.estimator, "predict"):
            raise TypeError(f"`estimator` must be a classifier, got {self.estimator!r}")
        if isinstance(self.filter, type) or not hasattr(self.filter, "flag"):
            raise TypeError(f"`filter` must have a method `flag`, got {self.filter!r}")
        with unchanged_by(BaseException, self):
            n_rows = count_some_rows(X)
            note_rows(self, X, reset=True)
            check_labels(y, n_rows)
            y = single_column(y)  # `check_labels` has warned.
            random_state = check_random_state(self.random_state)
            # First the classifier, so that it gets the seed that it would get alone.
            model = seed_estimator(clone(self.estimator), random_state, overwrite=False)
            chooser = seed_estimator(clone(self.filter), random_state, overwrite=False)
            kept = np.flatnonzero(~_checked(chooser.flag(X, y), n_rows))
            if len(kept) == n_rows:
                model.fit(X, y)
            else:
                model.fit(take_rows(X, kept), take_rows(y, kept))
            if not hasattr(model, "classes_"):
                raise TypeError(f"`estimator` must be a classifier, got {self.estimator!r}")
            self.estimator_, self.filter_, self.kept_indices_ = model, chooser, kept
            # The estimator may have a parameter `classes`, in an order of its own.
            self.classes_ = np.asarray(model.classes_)
        return self

    @limit_threads
    def predict(self, X: ArrayLike) -> Array:
        """Predict labels with the classifier.

        Parameters
        ----------
        X : array-like, sparse matrix or frame, with rows like those seen in `fit`
            Rows.

        Returns
        -------
        y : ndarray of shape (n,)
        """
        return ask(self, "predict", X)

    @available_if(_estimator_has("predict_proba"))
    @limit_threads
    def predict_proba(self, X: ArrayLike) -> Array:
        """Predict probabilities with the classifier.

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

    @available_if(_estimator_has("decision_function"))
    @limit_threads
    def decision_function(self, X: ArrayLike) -> Array:
        """Score the classes with the classifier.

        Parameters
        ----------
        X : array-like, sparse matrix or frame, with rows like those seen in `fit`
            Rows.

        Returns
        -------
        scores : ndarray of shape (n,) or (n, n_classes)
        """
        return ask(self, "decision_function", X)

    def __sklearn_is_fitted__(self):
        return hasattr(self, "kept_indices_")

    def __sklearn_tags__(self):
        tags = tags_of_wrapper(super().__sklearn_tags__(), self.estimator)
        # The filter reads the rows, too.
        for kind in ("sparse", "allow_nan", "string", "categorical"):
            is_taken = getattr(tags.input_tags, kind) and takes(self.filter, kind)
            setattr(tags.input_tags, kind, is_taken)
        return tags


def _checked(flagged, n_rows):
    """What `flag` of the filter returned, or raise unless it is a mask that keeps a row."""
    flagged = np.asarray(flagged)
    if flagged.dtype != bool or flagged.shape != (n_rows,):
        raise ValueError(
            f"`filter` must return booleans of shape ({n_rows},) from `flag`, got "
            f"{flagged.dtype} of shape {flagged.shape}"
        )
    if flagged.all():
        raise ValueError(f"`filter` must keep a row, but it flagged all {n_rows}")
    return flagged
