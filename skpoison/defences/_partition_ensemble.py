from typing import Self

import numpy as np
import torch
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, ClassifierMixin, MetaEstimatorMixin, clone
from sklearn.dummy import DummyClassifier
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from .._seeding import seed_estimator
from .._threads import one_thread
from .._typing import Array, Classifier, Seed
from .._validation import check_bool, check_int, check_labels, check_rows, unchanged_by
from ..nets import NetClassifier
from ..nets.stacks import fit_independent, is_independent_in_a_stack
from ._partitions import seed_of, split_by_content, without_signed_zeros
from ._votes import certified_radius

MAX_ROWS = 1024


class PartitionEnsemble(ClassifierMixin, MetaEstimatorMixin, BaseEstimator):
    """Deep partition aggregation: a majority vote with a certificate against poisoning.

    A hash of its features puts each training row into one of `n_partitions` partitions, and a clone
    of `estimator` is trained on each. As a row that is inserted, removed or given another label
    changes one partition, it changes one vote at most, and a prediction that leads by many votes
    cannot change [1]_: `certify` says by how many rows.

    Parameters
    ----------
    estimator : classifier
        What is trained on each partition, cloned. All that is fitted on data, a scaler say, belongs
        into it (as a Pipeline): fitted before, on all rows, it would carry a row into every
        partition.
    n_partitions : int, default=50
        Number of partitions. More of them are harder to outvote, and each sees fewer rows.
    fused : bool, default=True
        Whether to train the nets of a `NetClassifier` together (`skpoison.nets.fit_many`), which is
        faster. Done on the CPU, for chains of linear layers and ReLUs: for others the rounding of a
        net may depend on the nets beside it, and they are trained one by one.
    random_state : int, RandomState instance or None, default=None
        One draw of it, together with a partition's content, seeds every `random_state` nested in
        the clone that is trained on it.

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
    The certificate rests on this: what a member predicts depends on the *set* of rows in its
    partition, and on nothing else of the training set. Therefore

    - the hash is of the features as numbers (BLAKE2b, without the label, not seeded); equal rows
      share a partition;
    - rows are sorted by their content, so that their order in X does not matter;
    - seeds come from the content of the partition;
    - a member knows the labels of its own partition only: those of the whole training set would
      tell it of the others. It votes for labels, not for positions;
    - an empty partition does not vote, and one with rows of a single class votes for it;
    - of equal numbers of votes the first label in sorted order wins;
    - nets are trained together only where their bits are known not to depend on it, on one thread.

    It holds for training sets of the same number of features and dtype, for an `estimator` whose
    fit is a function of rows, labels and seed, and for training that succeeds: an inserted row that
    makes a fit fail (too large for a float32, say) is an error, not another prediction.

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

    def fit(self, X: ArrayLike, y: ArrayLike) -> Self:
        """Train a clone of the estimator on each partition.

        Parameters
        ----------
        X : array-like of shape (n, d) or (n, c, h, w)
            Training rows.
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
            If `estimator` is no classifier.
        """
        n_partitions = check_int(self.n_partitions, "n_partitions", low=1)
        check_bool(self.fused, "fused")
        if isinstance(self.estimator, type) or not hasattr(self.estimator, "predict"):
            raise TypeError(f"`estimator` must be a classifier, got {self.estimator!r}")
        with unchanged_by(BaseException, self):
            rows = without_signed_zeros(check_rows(self, X, reset=True))
            labels, classes = check_labels(y, len(rows), min_classes=1)
            parts = split_by_content(rows, labels, n_partitions)
            # The same base for every training set: the draw does not look at the data.
            base = int(check_random_state(self.random_state).randint(2**31 - 1))
            self.estimators_ = self._fit_members(
                [(rows[part], labels[part]) for part in parts], base
            )
            # A NetClassifier may have been given classes that no row has.
            found = [member.classes_ for member in self.estimators_ if member is not None]
            self.classes_ = np.unique(np.concatenate([classes, *found]))
            self.partition_sizes_ = np.array([len(part) for part in parts])
        return self

    def _fit_members(self, data, base):
        """A fitted member for each (X, y), each from its own data alone."""
        members = [None] * len(data)
        nets, places = [], []
        together = self.fused and is_independent_in_a_stack(self.estimator, data[0][0].shape[1:])
        for k, (X, y) in enumerate(data):
            if not len(y):
                continue
            if (y == y[0]).all():
                members[k] = DummyClassifier(strategy="most_frequent").fit(X, y)
                continue
            member = seed_estimator(clone(self.estimator), seed_of(X, y, base), overwrite=True)
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

    def votes(self, X: ArrayLike) -> Array:
        """Count the votes for each class.

        Parameters
        ----------
        X : array-like of the shape of rows seen in `fit`
            Rows.

        Returns
        -------
        votes : ndarray of int of shape (n, n_classes)
            In the order of `classes_`. Rows sum to the number of partitions that are not empty.
        """
        check_is_fitted(self)
        return self._count(check_rows(self, X, reset=False))

    def _count(self, X):
        votes = np.zeros((len(X), len(self.classes_)), dtype=np.int64)
        # A few rows at a time for all members: they stay in the cache.
        for start in range(0, len(X), MAX_ROWS):
            part = X[start : start + MAX_ROWS]
            tensor = torch.tensor(part)
            rows = np.arange(start, start + len(part))
            for member in self.estimators_:
                if member is not None:
                    labels = _predict(member, part, tensor)
                    votes[rows, np.searchsorted(self.classes_, labels)] += 1
        return votes

    def predict(self, X: ArrayLike) -> Array:
        """Predict the label with most votes; of equal numbers, the first in sorted order.

        Parameters
        ----------
        X : array-like of the shape of rows seen in `fit`
            Rows.

        Returns
        -------
        y : ndarray of shape (n,)
        """
        votes = self.votes(X)
        return self.classes_[votes.argmax(axis=1)]

    def predict_proba(self, X: ArrayLike) -> Array:
        """Return the share of the votes that each class has.

        Parameters
        ----------
        X : array-like of the shape of rows seen in `fit`
            Rows.

        Returns
        -------
        proba : ndarray of shape (n, n_classes)
            In the order of `classes_`.
        """
        votes = self.votes(X)
        return votes / votes.sum(axis=1, keepdims=True)

    def certify(self, X: ArrayLike) -> Array:
        """Return how many changes of the training set provably leave each prediction as it is.

        Parameters
        ----------
        X : array-like of the shape of rows seen in `fit`
            Rows.

        Returns
        -------
        radius : ndarray of int of shape (n,)
            After any `radius` changes, each a row inserted, a row removed or a label changed (to
            any label, a new one included), the ensemble fitted with the same parameters and seed
            predicts the same for this X. A row whose features change counts as two: one removed,
            one inserted.
        """
        return certified_radius(self.votes(X))

    def __sklearn_is_fitted__(self):
        return hasattr(self, "partition_sizes_")


def _predict(member, X, tensor):
    """The labels of rows; of a plain net without its batches, which may be of a few rows."""
    if type(member) is not NetClassifier or np.abs(X).max() > np.finfo(np.float32).max:
        return member.predict(X)
    with torch.no_grad():
        return member.classes_[member.logits(tensor).argmax(dim=1).cpu().numpy()]
