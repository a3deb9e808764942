from typing import Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, ClassifierMixin, MetaEstimatorMixin, clone
from sklearn.dummy import DummyClassifier
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from .._seeding import seed_estimator
from .._threads import limit_threads, one_thread
from .._typing import Array, Classifier, Seed
from .._validation import (
    check_bool,
    check_choice,
    check_int,
    check_labels,
    unchanged_by,
    without_names,
)
from ..nets.stacks import fit_independent, is_independent_in_a_stack
from ._certificates import Reach, radius_of_majority, radius_of_run_off
from ._nets_labels import outputs_by_net
from ._partitions import members_by_piece, pieces_of, seed_of, split_by_content
from ._rows import rows_of
from ._tags import tags_of_wrapper
from ._votes import Ballots, index_type, majority, ranks_of, run_off, shares

MAX_ROWS = 1024
_VOTES = ("majority", "run-off")
_SCORES = ("decision_function", "predict_proba")


class PartitionEnsemble(ClassifierMixin, MetaEstimatorMixin, BaseEstimator):
    """Deep partition aggregation: a vote with a certificate against poisoning.

    A hash of its features puts each training row into one of `n_partitions` partitions. A clone of
    `estimator` (a member of the ensemble) is trained on each partition, and the members vote. If a
    row is inserted, removed or relabelled, only one partition changes, so at most one vote changes.
    A prediction that leads by many votes then stays [1]_: `certify` returns how many such changes
    it withstands. Two published improvements can be switched on, together or alone: `spread`, which
    is called finite aggregation [2]_, and a second round of the vote [3]_.

    Parameters
    ----------
    estimator : classifier
        The classifier of which a clone is trained on each partition. Every step that is fitted on
        data, such as a scaler, must be part of it (as a Pipeline): a scaler fitted beforehand on
        all rows would carry each row into every partition.
    n_partitions : int, default=50
        Number of partitions. With more of them a prediction can withstand more changed rows, but
        each clone is trained on fewer rows.
    spread : int, default=1
        Number of members that see each row. The hash then makes ``n_partitions * spread`` smaller
        pieces. There are as many members, and each of them is trained on `spread` pieces, about
        ``n / n_partitions`` rows as before. A changed row now reaches `spread` votes out of
        `spread` times as many, but not always votes for the winner, so that certificates grow.
        Training takes `spread` times as long.
    vote : {"majority", "run-off"}, default="majority"
        How the members elect a label. "majority": the label with the most votes wins. "run-off":
        the two labels with the most votes go into a second round, in which each member votes for
        the one to which it gives the higher score. `estimator` then needs ``decision_function`` or
        ``predict_proba``. The members are the same for both, so that a fitted ensemble may be
        switched over by `set_params`.
    fused : bool, default=True
        Whether to train clones of a `NetClassifier` together (as `skpoison.nets.fit_many` does),
        which is faster. This is done only on the CPU, for chains of linear layers and ReLUs. The
        rounding of other nets may depend on the nets beside them, so they are trained one by one.
        So are nets on a GPU: its library of matrix products may choose another algorithm for
        another number of nets.
    random_state : int, RandomState instance or None, default=None
        A number is drawn from it. This number and the content of a partition seed every
        `random_state` in the clone that is trained on the partition.

    Attributes
    ----------
    estimators_ : list of length ``n_partitions * spread``
        The members; None for one without rows.
    classes_ : ndarray of shape (n_classes,)
        The sorted labels.
    partition_sizes_ : ndarray of int of shape ``(n_partitions * spread,)``
        Training rows of each member.
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

    The certificate rests on one property: the predictions and scores of a member depend on the
    *set* of rows in its partition (with `spread`: in its pieces), and on nothing else of the
    training set. Therefore

    - the hash (BLAKE2b, not seeded) is of the features by value, without the label; equal rows
      share a partition. Which pieces a member sees depends on `n_partitions` and `spread` alone.
      A number is hashed as a float64 (1, 1.0 and True are one value), a text by its characters, a
      date by its instant, a category by its label, and a missing cell (None, NaN, NA, NaT) as NaN.
      A cell of another kind, such as a list, is refused;
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
    - in a run-off, a label that a member never saw has the score minus infinity. If both scores are
      equal, the member votes for the first label in sorted order;
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
    .. [2] Wang, Levine, Feizi, "Improved Certified Defenses against Data Poisoning with
       (Deterministic) Finite Aggregation", ICML 2022.
    .. [3] Rezaei, Banihashem, Chegini, Feizi, "Run-Off Election: Improved Provable Defense against
       Data Poisoning Attacks", ICML 2023.

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
    >>> more = ensemble.set_params(vote="run-off").certify(X[1000:] / 16)
    >>> bool(more.mean() > changes.mean())
    True
    """

    def __init__(
        self,
        estimator: Classifier,
        n_partitions: int = 50,
        *,
        spread: int = 1,
        vote: str = "majority",
        fused: bool = True,
        random_state: Seed = None,
    ) -> None:
        self.estimator = estimator
        self.n_partitions = n_partitions
        self.spread = spread
        self.vote = vote
        self.fused = fused
        self.random_state = random_state

    @limit_threads
    def fit(self, X: ArrayLike, y: ArrayLike) -> Self:
        """Train the members, each on its own partition or, with `spread`, on its own rows.

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
            If `estimator` is not a classifier, or has no scores for a run-off, or a cell of X has
            no value to hash.
        """
        n_partitions = check_int(self.n_partitions, "n_partitions", low=1)
        spread = check_int(self.spread, "spread", low=1)
        check_choice(self.vote, "vote", _VOTES)
        check_bool(self.fused, "fused")
        if isinstance(self.estimator, type) or not hasattr(self.estimator, "predict"):
            raise TypeError(f"`estimator` must be a classifier, got {self.estimator!r}")
        if self.vote == "run-off":
            _check_scores(self.estimator)
        with unchanged_by(BaseException, self):
            rows = rows_of(self, X, reset=True)
            labels, classes = check_labels(y, len(rows), min_classes=1)
            contents = rows.contents()
            parts = split_by_content(contents, labels, n_partitions, rows.spellings, spread)
            # The draw does not depend on the data, so every training set has the same base.
            base = int(check_random_state(self.random_state).randint(2**31 - 1))
            seeds = [seed_of([contents[i] for i in part], labels[part], base) for part in parts]
            n_pieces = n_partitions * spread
            has_rows = np.bincount(pieces_of(contents, n_pieces), minlength=n_pieces) > 0
            del contents
            self._categories = [rows.categories(part) for part in parts]
            self.estimators_ = self._fit_members(rows, labels, parts, seeds)
            self._members_by_piece = members_by_piece(n_pieces, spread)
            self._has_rows = has_rows
            self._as_array = rows.is_array
            # A NetClassifier may have a parameter `classes` with labels that no row has.
            found = [member.classes_ for member in self.estimators_ if member is not None]
            self.classes_ = np.unique(np.concatenate([classes, *found]))
            self.partition_sizes_ = np.array([len(part) for part in parts])
        return self

    def _fit_members(self, rows, labels, parts, seeds):
        """Fit a member on each part, from its rows alone; None where there are none."""
        members = [None] * len(parts)
        nets, data = [], []
        row_shape = rows.take(np.arange(1), {}).shape[1:]
        together = self.fused and is_independent_in_a_stack(self.estimator, row_shape)
        for k, part in enumerate(parts):
            if not len(part):
                continue
            X, y = rows.take(part, self._categories[k]), labels[part]
            if (y == y[0]).all():
                members[k] = DummyClassifier(strategy="most_frequent").fit(X, y)
                continue
            member = seed_estimator(clone(self.estimator), seeds[k], overwrite=True)
            members[k] = member
            if together:
                nets.append(member)
                data.append((X, y))
            else:
                member.fit(X, y)
                if not hasattr(member, "classes_"):
                    raise TypeError(f"`estimator` must be a classifier, got {self.estimator!r}")
        if nets:
            with one_thread():
                fit_independent(nets, data)
        return members

    @limit_threads
    def votes(self, X: ArrayLike) -> Array:
        """Count the votes for each class, those of the first round in a run-off.

        Parameters
        ----------
        X : array-like, sparse matrix or frame, with rows like those seen in `fit`
            Rows.

        Returns
        -------
        votes : ndarray of int of shape (n, n_classes)
            In the order of `classes_`. A member has a vote if it predicts a label of its own rows,
            so the votes of a row sum to at most the number of members that have rows.
        """
        return self._ask(X, "majority", lambda ballots: ballots.votes()[:, 1:])

    def _ask(self, X, vote, function):
        """Apply a function to the ballots of some rows at a time, and join what it returns."""
        check_is_fitted(self)
        X = rows_of(self, X, reset=False, as_array=self._as_array)
        # All members predict a few rows of an array at a time, so that these stay in the cache, as
        # do orders of preference. A table is cut less often, since that takes longer.
        step = MAX_ROWS if X.is_array or vote == "run-off" else 64 * MAX_ROWS
        found = []
        with without_names():  # `rows_of` has warned.
            for start in range(0, len(X), step):
                some = slice(start, min(start + step, len(X)))
                found.append(function(self._ballots(X, some, vote)))
        return np.concatenate(found)

    def _ballots(self, X, some, vote):
        n_members, n_rows = len(self.estimators_), some.stop - some.start
        n_classes, is_run_off = len(self.classes_), vote == "run-off"
        kind = index_type(n_classes)
        choices = np.zeros((n_members, n_rows), dtype=kind)
        ranks = np.zeros((n_members, n_rows, 1 + n_classes), dtype=kind) if is_run_off else None
        part = X.take(some, {})
        outputs = {}
        if X.is_array:
            outputs = outputs_by_net(self.estimators_, part, with_logits=is_run_off)
        for k, (member, categories) in enumerate(
            zip(self.estimators_, self._categories, strict=True)
        ):
            if member is None:
                continue
            if id(member) in outputs:
                labels, scores = outputs[id(member)]
            else:
                own_part = X.take(some, categories) if categories else part
                labels = np.asarray(member.predict(own_part))
                scores = _scores(member, own_part) if is_run_off else None
            # What counts must not depend on the labels of other partitions.
            own = np.isin(labels, member.classes_)
            choices[k, own] = 1 + np.searchsorted(self.classes_, labels[own])
            if is_run_off:
                places = np.searchsorted(self.classes_, member.classes_)
                ranks[k] = ranks_of(scores, places, n_classes)
        is_there = np.array([member is not None for member in self.estimators_])
        return Ballots(choices, ranks, is_there, n_classes)

    @limit_threads
    def predict(self, X: ArrayLike) -> Array:
        """Predict the label that wins; if numbers are equal, the first in sorted order.

        For a row without votes this is the first of all labels or, in a run-off, one of the first
        two.

        Parameters
        ----------
        X : array-like, sparse matrix or frame, with rows like those seen in `fit`
            Rows.

        Returns
        -------
        y : ndarray of shape (n,)
        """
        vote = check_choice(self.vote, "vote", _VOTES)
        winner = run_off if vote == "run-off" else majority
        winners = self._ask(X, vote, winner)
        return self.classes_[winners - 1]

    @limit_threads
    def predict_proba(self, X: ArrayLike) -> Array:
        """Return the share of votes for each class.

        Parameters
        ----------
        X : array-like, sparse matrix or frame, with rows like those seen in `fit`
            Rows.

        Returns
        -------
        proba : ndarray of shape (n, n_classes)
            In the order of `classes_`. In a run-off the votes of the second round: 0 for all but
            two classes. For a row without votes, all classes have the same share.
        """
        vote = check_choice(self.vote, "vote", _VOTES)
        return self._ask(X, vote, lambda ballots: shares(ballots, vote))

    @limit_threads
    def certify(
        self, X: ArrayLike, change: str = "any", *, return_predictions: bool = False
    ) -> Array | tuple[Array, Array]:
        """Return how many changes of the training set each prediction provably withstands.

        After up to so many changes an ensemble fitted with the same parameters and seed makes the
        same prediction.

        Parameters
        ----------
        X : array-like, sparse matrix or frame, with rows like those seen in `fit`
            Rows.
        change : {"any", "label"}, default="any"
            What counts as one change. "any": a row inserted, a row removed, or a label changed to
            any label, old or new. "label": a label changed, while the features of all rows stay.
        return_predictions : bool, default=False
            Whether to return the predictions too, so that the members predict once for both.

        Returns
        -------
        radius : ndarray of int of shape (n,)
            Number of changes.
        y : ndarray of shape (n,)
            What `predict` returns. Only if `return_predictions` is True.

        Raises
        ------
        ValueError
            If `change` or `vote` is not one of its words.

        Notes
        -----
        Papers count the symmetric difference of training sets: rows that are in one of the two and
        not in the other. A removal or an insertion counts one there too. A changed label counts two
        there, but one here: the hash leaves labels out, so that the row stays in its piece. A row
        whose features change counts as two in both: one row removed and one inserted.

        For the same reason the two radii are equal where all pieces have rows: a changed label may
        do to a piece all that an inserted row may do. Labels cannot change in a piece without rows.
        The radius against "label" is larger only where an attack would need such pieces.
        """
        vote = check_choice(self.vote, "vote", _VOTES)
        check_choice(change, "change", ("any", "label"))
        check_bool(return_predictions, "return_predictions")
        check_is_fitted(self)
        may_change = self._has_rows if change == "label" else np.ones_like(self._has_rows)
        reach = Reach(self._members_by_piece, may_change)

        def certified(ballots):
            if vote == "run-off":
                winner = run_off(ballots)
                return np.stack([radius_of_run_off(ballots, reach, winner), winner], axis=1)
            return np.stack([radius_of_majority(ballots, reach), majority(ballots)], axis=1)

        radius, winner = self._ask(X, vote, certified).T
        return (radius, self.classes_[winner - 1]) if return_predictions else radius

    def __sklearn_is_fitted__(self):
        return hasattr(self, "partition_sizes_")

    def __sklearn_tags__(self):
        return tags_of_wrapper(super().__sklearn_tags__(), self.estimator)


def _check_scores(estimator):
    if not any(hasattr(estimator, name) for name in _SCORES):
        raise TypeError(
            "`estimator` must have `decision_function` or `predict_proba` for `vote` 'run-off', "
            f"got {estimator!r}"
        )


def _scores(member, X):
    """The scores of the labels of a member, (n, n_labels): the larger is preferred."""
    _check_scores(member)
    if not hasattr(member, "decision_function"):
        return np.asarray(member.predict_proba(X))
    scores = np.asarray(member.decision_function(X))
    if scores.ndim == 1:
        scores = np.stack([np.zeros_like(scores), scores], axis=1)
    if scores.shape[1] != len(member.classes_):
        raise ValueError(
            "`estimator` must have one column of `decision_function` for each of its "
            f"{len(member.classes_)} labels, for `vote` 'run-off', got {scores.shape[1]}"
        )
    return scores
