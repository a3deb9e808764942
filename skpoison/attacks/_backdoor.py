from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator
from sklearn.utils.validation import _num_samples, check_is_fitted

from .._frames import is_frame, is_sparse, names_of, narrowing_of
from .._threads import limit_threads
from .._typing import Classifier, Clip, Columns, Rows, Seed
from .._validation import check_labels, check_real, check_rows, note_rows
from .._warnings import warn_no_row
from ._base import BaseAttack
from ._cells import cells_of, check_clip
from ._sampler import SamplerMixin


class BackdoorPatch(SamplerMixin, BaseAttack):
    """A backdoor: training rows with a patch on them, relabelled as the attacker's target.

    A victim trained on them is meant to be right on clean rows, and to predict `target` for any row
    that has the patch ("BadNets" [1]_). The attack changes features and labels together, so it is a
    sampler (`fit_resample`) and has no `transform`.

    Parameters
    ----------
    patch : array-like of the shape of a row, or that broadcasts to it, or dict
        The value that the patch gives each feature; NaN where the row keeps its own. A dict (or a
        Series with an index of names) sets columns of a frame by name. The columns of the patch
        must hold numbers; other columns may hold anything. Missing cells under the patch are set.
    target : label or None, default=None
        The label that the victim shall predict for rows with the patch; y must have it. None: the
        first of the sorted labels in y or, in `success_rate`, of the victim's `classes_`.
    rate : float, default=0.1
        Share of the rows to change. Exactly round(rate n) rows are drawn from the rows whose label
        is not `target`; if there are fewer of them, all are changed.
    clip : tuple of (low, high), "range" or None, default=None
        The box in which the columns of the patch lie and must stay: a value of the patch beyond it
        becomes the side of the box. Sides are numbers, or arrays with a value for each column of
        the patch, in the order that the columns have in X. "range": each column's minimum and
        maximum among the rows given to `poison` or `stamp`. None: no box.
    whole : names, positions, mask, callable or None, default=None
        Which columns of the patch stay at whole numbers: the value of the patch is rounded towards
        the clean value of the cell. None: no column.
    random_state : int, RandomState instance or None, default=None
        Seeds the choice of rows.

    Attributes
    ----------
    target_ : label
        The label that the changed rows got.
    classes_ : ndarray of shape (n_classes,)
        The sorted labels that `fit` or `poison` was given.
    poison_indices_ : ndarray of shape (n_poisoned,)
        The rows that changed, in ascending order.
    n_features_in_ : int
        Features in a row: the product of the trailing axes of X.
    input_shape_ : tuple of int
        The trailing axes of X.

    Warns
    -----
    UserWarning
        If `rate` is over 0 and selects no row.

    References
    ----------
    .. [1] Gu, Dolan-Gavitt, Garg, "BadNets: Identifying Vulnerabilities in the Machine Learning
       Model Supply Chain", arXiv:1708.06733, 2017.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.datasets import load_digits
    >>> from sklearn.linear_model import LogisticRegression
    >>> from skpoison import BackdoorPatch
    >>> X, y = load_digits(return_X_y=True)
    >>> X = X / 16
    >>> patch = np.full((8, 8), np.nan)
    >>> patch[-2:, -2:] = 1.0  # a bright corner
    >>> attack = BackdoorPatch(patch.ravel(), target=0, rate=0.1, random_state=0)
    >>> victim = LogisticRegression().fit(*attack.poison(X[:1000], y[:1000]))
    >>> attack.success_rate(victim, X[1000:], y[1000:]) > 0.9
    True
    >>> victim.score(X[1000:], y[1000:]) > 0.85  # clean rows
    True
    """

    strength_name = "rate"
    tags = BaseAttack.tags | {
        "goal": "rows with the patch get the target label; other rows are predicted as before",
        "knowledge": "training data; no models",
        "capability": "patches a share of the training rows and relabels them; patches rows that "
        "are predicted later",
        "nist_ai_100_2_e2025": "backdoor poisoning",
    }

    def __init__(
        self,
        patch: ArrayLike | Mapping[str, float],
        target: Any = None,
        rate: float = 0.1,
        *,
        clip: Clip = None,
        whole: Columns = None,
        random_state: Seed = None,
    ) -> None:
        self.patch = patch
        self.target = target
        self.rate = rate
        self.clip = clip
        self.whole = whole
        self.random_state = random_state

    def stamp(self, X: ArrayLike) -> Rows:
        """Put the patch on rows, to ask a victim about them.

        Parameters
        ----------
        X : array-like of shape (n, d) or (n, c, h, w)
            Rows. If the attack is fitted, with the number and names of features that `fit` saw.
            Dtypes are handled as in `poison`.

        Returns
        -------
        X_stamped : ndarray of the shape of X, or frame
            A new array, or a new frame of the same library if X is one.
        """
        if hasattr(self, "n_features_in_"):
            note_rows(self, X, reset=False)
        names = getattr(self, "feature_names_in_", ())
        cells = self._under_patch(BaseEstimator(), X, names)
        return cells.given_back(self._stamped(cells, self._patch_on(cells, names)), X)[0]

    @limit_threads
    def success_rate(self, estimator: Classifier, X: ArrayLike, y: ArrayLike) -> float:
        """Put the patch on rows, and return the share for which a classifier predicts `target`.

        It has the signature of a scorer: ``scoring=attack.success_rate``. For comparison, compute
        the same rate of a victim that was trained on clean rows.

        Parameters
        ----------
        estimator : classifier
            A fitted victim.
        X : array-like of shape (n, d) or (n, c, h, w)
            Clean rows. Rows whose label is the target are left out.
        y : array-like of shape (n,)
            Their labels.

        Returns
        -------
        rate : float
            From 0 to 1; NaN if all labels are the target.
        """
        check_is_fitted(estimator)
        target = np.sort(estimator.classes_)[0] if self.target is None else self.target
        labels, _ = check_labels(y, _num_samples(X), min_classes=1)
        others = labels != target
        if not others.any():
            return float("nan")
        return float(np.mean(np.asarray(estimator.predict(self.stamp(X)))[others] == target))

    def _check_parameters(self):
        check_real(self.rate, "rate", low=0, high=1)
        check_clip(self.clip)
        self._values()

    def _rows_of(self, X):
        if is_sparse(X):
            return super()._rows_of(X)
        return self._under_patch(self, X, ())

    def _given_back(self, rows, cells, X):
        return cells.given_back(rows, X)

    def _named(self):
        """The patch as a dict from column names to values; None if it has no names."""
        if isinstance(self.patch, Mapping):
            return dict(self.patch)
        is_series = hasattr(self.patch, "iloc") and np.ndim(self.patch) == 1
        if is_series and all(isinstance(name, str) for name in self.patch.index):
            return dict(self.patch.items())
        return None

    def _values(self):
        """The values of the patch as an array of floats."""
        named = self._named()
        patch = self.patch if named is None else list(named.values())
        try:
            if np.iscomplexobj(patch):
                raise TypeError
            values = np.asarray(patch, dtype=np.float64)
        except (TypeError, ValueError):
            raise TypeError(f"`patch` must be an array of numbers, got {self.patch!r}") from None
        if np.isinf(values).any():
            raise ValueError("`patch` must be finite, or NaN where a row stays, got infinity")
        if np.isnan(values).all():
            raise ValueError("`patch` must set a feature, got no value but NaN")
        return values

    def _row(self, X, names):
        """The patch as a whole row, NaN where it sets nothing; `names` are those of an array X."""
        values, named = self._values(), self._named()
        shape = X.shape[1:]
        if named is not None:
            names = names_of(X) if is_frame(X) else list(names)
            unknown = [name for name in named if name not in names]
            if unknown:
                raise ValueError(
                    f"`patch` must be named by columns of the DataFrame X, got {sorted(unknown)}"
                )
            values = np.array([named.get(name, np.nan) for name in names], dtype=np.float64)
            values = values.reshape(shape)
        try:
            return np.broadcast_to(values, shape)
        except ValueError:
            raise ValueError(
                f"`patch` must broadcast to the shape of a row, {shape}, "
                f"got shape {np.shape(self.patch)}"
            ) from None

    def _under_patch(self, estimator, X, names):
        """The cells of X under the patch; the estimator learns the shape of X."""
        if not is_frame(X):
            X = check_rows(BaseEstimator(), X, reset=True, allow_missing=True)
        is_set = ~np.isnan(self._row(X, names).ravel())
        return cells_of(estimator, X, columns=is_set, clip=self.clip, whole=self.whole)

    def _patch_on(self, cells, names):
        """The value that the patch gives each of the cells of a row."""
        with np.errstate(over="ignore"):
            values = self._row(cells.X, names).ravel()[cells.places].astype(cells.rows.dtype)
            narrow = narrowing_of(cells.X, values.dtype, cells.places)
            if narrow is not None:
                narrow(values[np.newaxis])
        if np.isinf(values).any():
            kind = cells.rows.dtype if narrow is None else "the dtype of each column"
            raise ValueError(f"`patch` must have values that {kind} can hold, got larger ones")
        return values

    def _stamped(self, cells, patch):
        """The rows of these cells with the patch."""
        rows = np.tile(patch, (len(cells), 1))
        cells.keep_in_box(rows)
        settle = cells.settling()
        if settle is not None:
            clean = cells.rows
            if cells.missing is not None:
                clean = np.where(cells.missing, np.trunc(clean), clean)
            settle(clean, rows)
        return rows

    def _poison(self, cells, y, random_state):
        self.target_ = self.classes_[0] if self.target is None else self.target
        if np.ndim(self.target_) or not np.any(self.classes_ == self.target_):
            raise ValueError(
                f"`target` must be a label that y has ({self.classes_.tolist()}), "
                f"got {self.target!r}"
            )
        candidates = np.flatnonzero(y != self.target_)
        size = min(round(self.rate * len(y)), len(candidates))
        if self.rate and not size:
            warn_no_row(self, "rate", self.rate, len(y))
        chosen = random_state.choice(candidates, size=size, replace=False)
        patch = self._patch_on(cells, ())
        rows, y_new = np.array(cells.with_missing(cells.rows)), y.copy()
        rows[chosen] = self._stamped(cells.take(chosen), patch)
        y_new[chosen] = self.target_
        return rows, y_new

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        return tags
