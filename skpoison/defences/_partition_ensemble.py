from typing import Self

import numpy as np
import torch
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, ClassifierMixin, MetaEstimatorMixin, clone
from sklearn.dummy import DummyClassifier
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from .._seeding import seed_estimator
from .._threads import limit_threads, one_thread
from .._typing import Array, Classifier, Seed
from .._validation import check_bool, check_int, check_labels, unchanged_by, without_names
from ..nets import NetClassifier
from ..nets.stacks import fit_independent, is_independent_in_a_stack
from ._partitions import seed_of, split_by_content
from ._rows import rows_of
from ._tags import tags_of_wrapper
from ._votes import certified_radius

MAX_ROWS = 1024


class PartitionEnsemble(ClassifierMixin, MetaEstimatorMixin, BaseEstimator):
    """Deep partition aggregation: a majority vote with a certificate against poisoning.

    A hash of its features puts each training row into one of `n_partitions` partitions. A clone of
    `estimator` (a member of the ensemble) is trained on each partition, and the members vote. If a
    row is inserted, removed or relabelled, only one partition changes, so at most one vote changes.
    A prediction that leads by many votes then stays [1]_: `certify` returns how many such changes
    it withstands.

    Parameters
    ----------
    estimator : classifier
        The classifier of which a clone is trained on each partition. Every step that is fitted on
        data, such as a scaler, must be part of it (as a Pipeline): a scaler fitted beforehand on
        all rows would carry each row into every partition.
    n_partitions : int, default=50
        Number of partitions. With more of them a prediction can withstand more changed rows, but
        each clone is trained on fewer rows.
    fused : bool, default=True
        Whether to train clones of a `NetClassifier` together (as `skpoison.nets.fit_many` does),
        which is faster. This is done only on the CPU, for chains of linear layers and ReLUs. The
        rounding of other nets may depend on the nets beside them, so they are trained one by one.
    random_state : int, RandomState instance or None, default=None
        A number is drawn from it. This number and the content of a partition seed every
        `random_state` in the clone that is trained on the partition.

    Attributes
    ----------
    estimators_ : list of length n_partitions
        The classifiers; None for an empty partition.
    classes_ : ndarray of shape (n_classes,)
        The sorted labels.
    partition_sizes_ : ndarray of int of shape (n_partitions,)
        Training rows in each partition.
    n_features_in_ : int
        Features in a row: the product of the trailing axes of X.
    input_shape_ : tuple of int
        The trailing axes of X.
    feature_names_in_ : ndarray of shape (n_features,)
        Names of the columns, if X had any.

    Notes
    -----
    X may be an array, a sparse matrix, a frame of pandas, polars or pyarrow, or a list of texts.
    Members get the same container and columns, with texts, dates and missing cells as they are. A
    list becomes an array, an array of numbers holds floats, and a sparse matrix is CSR.

    The certificate rests on one property: the predictions of a member depend on the *set* of rows
    in its partition, and on nothing else of the training set. Therefore

    - the hash (BLAKE2b, not seeded) is of the features by value, without the label; equal rows
      share a partition. A number is hashed as a float64 (1, 1.0 and True are one value), a text by
      its characters, a date by its instant, a category by its label, and a missing cell (None, NaN,
      NA, NaT) as NaN. A cell of another kind, such as a list, is refused;
    - a column of categories has only those of the member's own rows, sorted, or in their order if
      they have one. In rows to predict, another category is a missing cell to this member;
    - a frame of pandas comes without its index, which may tell where a row stood in X;
    - rows are sorted by their content, so that their order in X does not matter;
    - seeds come from the content of the partition;
    - a member knows only the classes in its own partition, because a list of all classes would
      depend on other partitions. It votes for a label, not for an index. A prediction outside these
      classes, such as the `outlier_label` of a `RadiusNeighborsClassifier`, is no vote;
    - an empty partition does not vote, and one with rows of a single class votes for it;
    - if numbers of votes are equal, the first label in sorted order wins;
    - nets are trained together, on one thread, only if this is known not to change their bits.

    The certificate compares training sets of the same columns and dtypes, categories aside. It does
    not cover a row that changes the dtype of a column, say from integers to floats. It needs an
    `estimator` whose fit is a function of rows, labels and seed. A row of polars has the label of a
    category, but not its physical code, which depends on what else the process has read. The
    certificate is about training that succeeds: an inserted row that makes a fit fail (because it
    is too large for a float32, say) raises an error, and does not count as another prediction.

    References
    ----------
    .. [1] Levine, Feizi, "Deep Partition Aggregation: Provable Defenses against General Poisoning
       Attacks", ICLR 2021.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn.linear_model import LogisticRegression
    >>> from skpoison import PartitionEnsemble
    >>> X, y = load_digits(return_X_y=True)
    >>> ensemble = PartitionEnsemble(LogisticRegression(C=0.1), n_partitions=20, random_state=0)
    >>> ensemble = ensemble.fit(X[:1000] / 16, y[:1000])
    >>> ensemble.score(X[1000:] / 16, y[1000:]) > 0.8
    True
    >>> changes = ensemble.certify(X[1000:] / 16)  # that each prediction withstands
    >>> bool((changes >= 3).mean() > 0.5)
    True
    """

    def __init__(
        self,
        estimator: Classifier,
        n_partitions: int = 50,
        *,
        fused: bool = True,
        random_state: Seed = None,
    ) -> None:
        self.estimator = estimator
        self.n_partitions = n_partitions
        self.fused = fused
        self.random_state = random_state

    @limit_threads
    def fit(self, X: ArrayLike, y: ArrayLike) -> Self:
        """Train a clone of the estimator on each partition.

        Parameters
        ----------
        X : array-like, sparse matrix or frame, of shape (n, d) or (n, c, h, w)
            Training rows, of any content that `estimator` takes.
        y : array-like of shape (n,)
            Their labels.

        Returns
        -------
        self : PartitionEnsemble

        Raises
        ------
        ValueError
            If a parameter is out of its range, or X or y cannot be used.
        TypeError
            If `estimator` is not a classifier, or a cell of X has no value to hash.
        """
        n_partitions = check_int(self.n_partitions, "n_partitions", low=1)
        check_bool(self.fused, "fused")
        if isinstance(self.estimator, type) or not hasattr(self.estimator, "predict"):
            raise TypeError(f"`estimator` must be a classifier, got {self.estimator!r}")
        with unchanged_by(BaseException, self):
            rows = rows_of(self, X, reset=True)
            labels, classes = check_labels(y, len(rows), min_classes=1)
            contents = rows.contents()
            parts = split_by_content(contents, labels, n_partitions, rows.spellings)
            # The draw does not depend on the data, so every training set has the same base.
            base = int(check_random_state(self.random_state).randint(2**31 - 1))
            seeds = [seed_of([contents[i] for i in part], labels[part], base) for part in parts]
            self._categories = [rows.categories(part) for part in parts]
            data = [
                (rows.take(part, categories), labels[part])
                for part, categories in zip(parts, self._categories, strict=True)
            ]
            self.estimators_ = self._fit_members(data, seeds)
            self._as_array = rows.is_array
            # A NetClassifier may have a parameter `classes` with labels that no row has.
            found = [member.classes_ for member in self.estimators_ if member is not None]
            self.classes_ = np.unique(np.concatenate([classes, *found]))
            self.partition_sizes_ = np.array([len(part) for part in parts])
        return self

    def _fit_members(self, data, seeds):
        """Fit a member for each (X, y), from this data alone; None for an empty partition."""
        members = [None] * len(data)
        nets, places = [], []
        together = self.fused and is_independent_in_a_stack(self.estimator, data[0][0].shape[1:])
        for k, (X, y) in enumerate(data):
            if not len(y):
                continue
            if (y == y[0]).all():
                members[k] = DummyClassifier(strategy="most_frequent").fit(X, y)
                continue
            member = seed_estimator(clone(self.estimator), seeds[k], overwrite=True)
            members[k] = member
            if together:
                nets.append(member)
                places.append(k)
            else:
                member.fit(X, y)
                if not hasattr(member, "classes_"):
                    raise TypeError(f"`estimator` must be a classifier, got {self.estimator!r}")
        if nets:
            with one_thread():
                fit_independent(nets, [data[k] for k in places])
        return members

    @limit_threads
    def votes(self, X: ArrayLike) -> Array:
        """Count the votes for each class.

        Parameters
        ----------
        X : array-like, sparse matrix or frame, with rows like those seen in `fit`
            Rows.

        Returns
        -------
        votes : ndarray of int of shape (n, n_classes)
            In the order of `classes_`. A member has a vote if it predicts a label of its own
            partition, so the votes of a row sum to at most the number of partitions that are not
            empty.
        """
        check_is_fitted(self)
        rows = rows_of(self, X, reset=False, as_array=self._as_array)
        with without_names():  # `rows_of` has warned.
            return self._count(rows)

    def _count(self, X):
        votes = np.zeros((len(X), len(self.classes_)), dtype=np.int64)
        # All members predict a few rows of an array at a time, so that these stay in the cache.
        step = MAX_ROWS if X.is_array else len(X)
        for start in range(0, len(X), step):
            some = slice(start, min(start + step, len(X)))
            part = X.take(some, {})
            tensor = torch.tensor(part) if X.is_array else None
            rows = np.arange(some.start, some.stop)
            for member, categories in zip(self.estimators_, self._categories, strict=True):
                if member is not None:
                    own_part = X.take(some, categories) if categories else part
                    labels = np.asarray(_predict(member, own_part, tensor))
                    # What counts must not depend on the labels of other partitions.
                    own = np.isin(labels, member.classes_)
                    votes[rows[own], np.searchsorted(self.classes_, labels[own])] += 1
        return votes

    def predict(self, X: ArrayLike) -> Array:
        """Predict the label with the most votes; if numbers are equal, the first in sorted order.

        For a row without votes this is the first of all labels.

        Parameters
        ----------
        X : array-like, sparse matrix or frame, with rows like those seen in `fit`
            Rows.

        Returns
        -------
        y : ndarray of shape (n,)
        """
        votes = self.votes(X)
        return self.classes_[votes.argmax(axis=1)]

    def predict_proba(self, X: ArrayLike) -> Array:
        """Return the share of votes for each class.

        Parameters
        ----------
        X : array-like, sparse matrix or frame, with rows like those seen in `fit`
            Rows.

        Returns
        -------
        proba : ndarray of shape (n, n_classes)
            In the order of `classes_`. For a row without votes, all classes have the same share.
        """
        votes = self.votes(X)
        total = votes.sum(axis=1, keepdims=True)
        return np.where(total > 0, votes / np.maximum(total, 1), 1 / len(self.classes_))

    def certify(self, X: ArrayLike) -> Array:
        """Return how many changes of the training set each prediction provably withstands.

        Parameters
        ----------
        X : array-like, sparse matrix or frame, with rows like those seen in `fit`
            Rows.

        Returns
        -------
        radius : ndarray of int of shape (n,)
            A change is a row inserted, a row removed, or a label changed to any label, old or new.
            After up to `radius` changes an ensemble fitted with the same parameters and seed makes
            the same prediction. A row whose features change counts as two changes: one row removed
            and one inserted.
        """
        return certified_radius(self.votes(X))

    def __sklearn_is_fitted__(self):
        return hasattr(self, "partition_sizes_")

    def __sklearn_tags__(self):
        return tags_of_wrapper(super().__sklearn_tags__(), self.estimator)


def _predict(member, X, tensor):
    """Predict the labels of rows. A plain net takes them at once, not in its small batches.

    `tensor` has the rows of X, or is None if they are no array of numbers.
    """
    is_plain = type(member) is NetClassifier and tensor is not None
    # A net refuses what is not finite.
    if not is_plain or not np.abs(X).max() <= np.finfo(np.float32).max:
        return member.predict(X)
    with torch.no_grad():
        return member.classes_[member.logits(tensor).argmax(dim=1).cpu().numpy()]
