"""Base classes of attacks: they check the data and keep the budget; an attack adds one hook."""

from abc import ABCMeta, abstractmethod
from typing import Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn import get_config
from sklearn.base import BaseEstimator, OneToOneFeatureMixin, TransformerMixin
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from .._frames import (
    copy_of,
    count_rows,
    is_frame,
    is_sparse,
    labels_like,
    like,
    narrowing_of,
    rows_that_differ,
)
from .._threads import limit_threads
from .._typing import Array, Rows, Seed
from .._validation import (
    check_choice,
    check_inside,
    check_interval,
    check_labels,
    check_real,
    check_rows,
    rows_in_share,
    unchanged_by,
)
from .._warnings import warn_no_row
from ._parts import parts_of
from ._projections import PROJECTIONS, row_norms
from ._rounding import moved_by, shrink_to_budget


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


class BaseFeatureAttack(OneToOneFeatureMixin, TransformerMixin, BaseAttack):
    """Base of attacks on features: the hook `_perturb` proposes, this class keeps the budget.

    It is a transformer: ``fit_transform(X, y)`` returns the poisoned X, ``transform(X)`` returns X
    unchanged. So in a Pipeline the attack poisons the training data of the next step, and not the
    rows that are predicted.

    Parameters
    ----------
    norm : {"l2,1", "l2,inf"}, default="l2,1"
        Which norm of the perturbations delta is bounded: the sum of the row norms (regime A of
        [1]_) or each row norm (regime B).
    budget : float, default=300.0
        With "l2,1" the corruption rate C: sum_i ||delta_i||_2 <= C sqrt(n), where n is the number
        of rows given to `poison`. With "l2,inf" the radius B: ||delta_i||_2 <= B. It holds for the
        rows as returned, rounded to their dtype, to one part in a million.
    clip : tuple of (float, float) or None, default=(0.0, 1.0)
        The box in which X lies and must stay; None: no box.
    max_fraction : float, default=1.0
        Share of rows that may change. The most damaging perturbations are kept.
    random_state : int, RandomState instance or None, default=None
        Seeds the attack's random choices.

    Attributes
    ----------
    budget_ : float
        The bound in absolute terms: C sqrt(n), or B.
    budget_spent_ : float
        How much of it was used: with "l2,1" the sum of the row norms, with "l2,inf" their mean over
        the rows that may change.
    perturbation_norms_ : ndarray of shape (n,)
        Euclidean norm of each row's perturbation.
    classes_, poison_indices_, n_features_in_, input_shape_
        As in `BaseAttack`.

    Warns
    -----
    UserWarning
        If `max_fraction` is over 0 and allows no row to change.

    References
    ----------
    .. [1] Wang, Mianjy, Arora, "Robust Learning for Data Poisoning Attacks", ICML 2021.

    Examples
    --------
    An attack in three lines: pull every row towards the mean of all.

    >>> from sklearn.datasets import load_digits
    >>> from skpoison.attacks import BaseFeatureAttack
    >>> class Shrink(BaseFeatureAttack):
    ...     def _perturb(self, X, y, random_state):
    ...         return X.mean(axis=0) - X
    >>> X, y = load_digits(return_X_y=True)
    >>> attack = Shrink(norm="l2,inf", budget=0.5).fit(X / 16, y)
    >>> bool(attack.perturbation_norms_.max() <= 0.5 + 1e-9)
    True
    """

    max_fraction = 1.0
    strength_name = "budget"
    tags = BaseAttack.tags | {
        "capability": "changes features of training rows within the budget; labels stay as they are"
    }

    def __init__(
        self,
        *,
        norm: str = "l2,1",
        budget: float = 300.0,
        clip: tuple[float, float] | None = (0.0, 1.0),
        max_fraction: float = 1.0,
        random_state: Seed = None,
    ) -> None:
        self.norm = norm
        self.budget = budget
        self.clip = clip
        self.max_fraction = max_fraction
        self.random_state = random_state

    @limit_threads
    def poison(self, X: Rows, y: ArrayLike, out: Array | None = None) -> tuple[Rows, Rows]:
        """Run the attack on training data and return them poisoned.

        Parameters
        ----------
        X : array-like of shape (n, d) or (n, c, h, w), or frame of n rows
            Clean training rows: numbers, none of them missing. A frame may be of any library
            (pandas, polars, pyarrow).
        y : array-like of shape (n,)
            Their labels, of any kind, none of them missing.
        out : ndarray of the shape and dtype of X, default=None
            Where to write the poisoned rows, for instance a `numpy.memmap`. None makes a new array.
            With `out`, `CleanLabelPGA` needs memory only for a batch and a few numbers a row, and
            disk space for a second array like `out`: in the folder of `out` if that is a memmap,
            else in the folder for temporary files.

        Returns
        -------
        X_poisoned : ndarray of the shape of X, or frame
            `out` if given; else a new array, or a new frame of the same library if X is one.
            Columns that did not change keep their dtype. Of those that did, floats keep it too, and
            all others become float64 in their own way (float64, Float64, double[pyarrow]). An array
            of integers counts as one column: if a row changed, its integers of up to 16 bits become
            float32, and others float64.
        y_poisoned : array-like of shape (n,)
            A copy of y: features are attacked, labels are not.

        Raises
        ------
        ValueError
            If a parameter is out of its range, or X, y or `out` cannot be used. If a column of a
            frame is the cause, the error names it.
        TypeError
            If a parameter is of a wrong type, or X is sparse.
        """
        if out is None:
            return self._check_and_poison(X, y)
        _, y_poisoned = self._check_and_poison(X, y, out=out)
        return out, y_poisoned

    def fit_transform(self, X: Rows, y: ArrayLike) -> Rows:
        """Run the attack and return the poisoned X, on which the next step is trained.

        Parameters
        ----------
        X : array-like of shape (n, d) or (n, c, h, w), or frame of n rows
            Clean training rows, as in `poison`.
        y : array-like of shape (n,)
            Their labels.

        Returns
        -------
        X_poisoned : ndarray of the shape of X, or frame

        Raises
        ------
        ValueError
            As in `poison`; or if rows have more than one axis, and `set_output` asks for a frame.
        """
        self._check_output(X)
        return self.poison(X, y)[0]

    def transform(self, X: Rows) -> Rows:
        """Return X unchanged: rows that are predicted or scored are not attacked.

        Parameters
        ----------
        X : array-like of the shape of rows seen in `fit`, or frame
            Rows.

        Returns
        -------
        X : ndarray or frame
            A copy, with the dtypes of X.

        Raises
        ------
        ValueError
            If X has rows of another shape than in `fit`; or if rows have more than one axis, and
            `set_output` asks for a frame.
        """
        check_is_fitted(self)
        self._check_output(X)
        rows = check_rows(self, X, reset=False)
        return copy_of(X if is_frame(X) or isinstance(X, np.ndarray) else rows)

    def _check_output(self, X):
        """Raise if rows of X are no rows of a frame, and scikit-learn is told to return one."""
        asked = getattr(self, "_sklearn_output_config", {}).get("transform")
        asked = asked or get_config()["transform_output"]
        shape = np.shape(X)[1:]
        if len(shape) > 1 and asked != "default":
            raise ValueError(
                f"`transform` of `set_output` must be 'default' for rows of shape {shape}, which a "
                f"frame cannot hold, got {asked!r}"
            )

    @abstractmethod
    def _perturb(self, X, y, random_state):
        """Hook: return the wanted perturbation, shape of X; `_poison` projects and clips it."""

    def _damage(self, X, y, delta):
        """Hook: the damage of each row's perturbation, (n,); `max_fraction` keeps the largest."""
        return row_norms(delta)

    def _check_parameters(self):
        check_choice(self.norm, "norm", PROJECTIONS)
        check_real(self.budget, "budget", low=0)
        check_interval(self.clip, "clip")
        check_real(self.max_fraction, "max_fraction", low=0, high=1)

    def _check_data(self, X):
        check_inside(X, check_interval(self.clip, "clip"), "clip")
        if self.max_fraction and self.budget and not self._n_changeable(len(X)):
            warn_no_row(self, "max_fraction", self.max_fraction, len(X))

    def _box(self, X):
        """The box or None. It is widened to hold X, which may leave `clip` by a rounding error."""
        if self.clip is None:
            return None
        low, high = check_interval(self.clip, "clip")
        return min(low, float(X.min())), max(high, float(X.max()))

    def _radius(self, n_rows):
        """The bound in absolute terms: C sqrt(n), or B."""
        return float(self.budget) * (np.sqrt(n_rows) if self.norm == "l2,1" else 1.0)

    def _n_changeable(self, n_rows):
        return rows_in_share(self.max_fraction, n_rows)

    def _given_back(self, X_new, rows, X):
        narrow = narrowing_of(X, rows.dtype)
        if narrow is not None:
            self._finish(rows, X_new, narrow)
        return super()._given_back(X_new, rows, X)

    def _poison(self, X, y, random_state, out=None):
        out = self._check_out(out, X)
        wanted = np.asarray(self._perturb(X, y, random_state))
        if wanted.shape != X.shape or wanted.dtype.kind not in "biuf":
            raise ValueError(
                f"`_perturb` of {type(self).__name__} must return real numbers of shape {X.shape}, "
                f"got {wanted.dtype} of shape {wanted.shape}"
            )
        # Half precision would round a small perturbation, and then its sum with X once more.
        wanted = wanted.astype(np.result_type(X.dtype, np.float32), copy=False)
        delta = PROJECTIONS[self.norm](wanted, self._radius(len(X)))
        changeable = self._n_changeable(len(X))
        if changeable < np.count_nonzero(row_norms(delta)):
            # A stable sort, so that ties go to the first rows on every platform.
            order = np.argsort(-self._damage(X, y, delta), kind="stable")
            delta[order[changeable:]] = 0
        with np.errstate(over="ignore"):
            np.add(X, delta, out=out, casting="same_kind")
        self._finish(X, out)
        return out, y.copy()

    def _check_out(self, out, X):
        """Return `out`, or a new array like X if it is None."""
        if out is None:
            return np.empty_like(X)
        if not isinstance(out, np.ndarray) or (out.shape, out.dtype) != (X.shape, X.dtype):
            kind = getattr(out, "dtype", type(out).__name__)
            raise ValueError(
                f"`out` must be an array of shape {X.shape} and dtype {X.dtype}, "
                f"got shape {np.shape(out)} and {kind}"
            )
        if not out.flags.writeable or np.may_share_memory(out, X):
            got = "one that shares its memory" if out.flags.writeable else "a read-only array"
            raise ValueError(f"`out` must be writeable and apart from X, got {got}")
        return out

    def _finish(self, X, X_new, narrow=None):
        """Clip the new rows in place, pull them back if rounding left the budget, and measure.

        `narrow` rounds rows in place to the dtypes of a frame's columns.
        """
        limits = np.finfo(X.dtype)
        box = self._box(X) or (limits.min, limits.max)
        for part in parts_of(len(X)):
            np.clip(X_new[part], *np.asarray(box, dtype=X.dtype), out=X_new[part])
            if narrow is not None:
                narrow(X_new[part])
        norms = moved_by(X, X_new)
        norms = shrink_to_budget(X, X_new, norms, self._radius(len(X)), self.norm, narrow)
        self.budget_ = self._radius(len(X))
        self.perturbation_norms_ = norms
        n_changeable = max(self._n_changeable(len(X)), 1)
        self.budget_spent_ = float(norms.sum() / (1 if self.norm == "l2,1" else n_changeable))

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags
