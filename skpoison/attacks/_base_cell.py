"""What attacks on features share: which cells may move, and the budget that they keep."""

from abc import abstractmethod

import numpy as np
from numpy.typing import ArrayLike
from sklearn import get_config
from sklearn.base import OneToOneFeatureMixin, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from .._frames import copy_of, is_frame, is_sparse, narrowing_of, rows_that_differ
from .._threads import limit_threads
from .._typing import Array, Clip, Columns, Rows, Seed
from .._validation import check_choice, check_real, check_rows, note_rows, rows_in_share
from .._warnings import warn_no_row
from ._base import BaseAttack
from ._cells import cells_of, check_clip, check_scale
from ._parts import parts_of
from ._projections import PROJECTIONS, row_norms
from ._rounding import moved_by, shrink_to_budget


class BaseCellAttack(OneToOneFeatureMixin, TransformerMixin, BaseAttack):
    """Base of attacks on features: the hook `_move` proposes, this class keeps the budget.

    Attacks of one's own are written as `BaseFeatureAttack`, which has a simpler hook.
    """

    max_fraction = 1.0
    columns: Columns = None
    scale: str | ArrayLike | None = None
    whole: Columns = None
    strength_name = "budget"
    tags = BaseAttack.tags | {
        "capability": "changes features of training rows within the budget; labels stay as they are"
    }

    def __init__(
        self,
        *,
        norm: str = "l2,1",
        budget: float = 300.0,
        clip: Clip = (0.0, 1.0),
        columns: Columns = None,
        scale: str | ArrayLike | None = None,
        whole: Columns = None,
        max_fraction: float = 1.0,
        random_state: Seed = None,
    ) -> None:
        self.norm = norm
        self.budget = budget
        self.clip = clip
        self.columns = columns
        self.scale = scale
        self.whole = whole
        self.max_fraction = max_fraction
        self.random_state = random_state

    @limit_threads
    def poison(self, X: Rows, y: ArrayLike, out: Array | None = None) -> tuple[Rows, Rows]:
        """Run the attack on training data and return them poisoned.

        Parameters
        ----------
        X : array-like of shape (n, d) or (n, c, h, w), or frame of n rows
            Clean training rows. An array holds numbers; a frame may be of any library (pandas,
            polars, pyarrow) and must hold numbers in the columns that may change. Missing cells
            stay missing.
        y : array-like of shape (n,)
            Their labels, of any kind, none of them missing.
        out : ndarray of the shape and dtype of X, default=None
            Where to write the poisoned rows, for instance a `numpy.memmap`. None makes a new array.
            With `out`, `CleanLabelPGA` needs memory only for a batch and a few numbers a row, and
            disk space for a second array like `out`: in the folder of `out` if that is a memmap,
            else in the folder for temporary files. If X has missing cells, or if `columns`,
            `scale` or `whole` are given, it works on a copy in memory.

        Returns
        -------
        X_poisoned : ndarray of the shape of X, or frame
            `out` if given; else a new array, or a new frame of the same library if X is one.
            Columns that did not change keep their dtype. Of those that did, floats keep it too, and
            all others become float64 in their own way (float64, Float64, double[pyarrow]). An array
            of integers counts as one column: if a row changed, its integers of up to 16 bits become
            float32, and others float64. Columns that may not change come back as they were.
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
        if is_frame(X):
            note_rows(self, X, reset=False)
            return copy_of(X)
        rows = check_rows(self, X, reset=False, allow_missing=self._takes_missing_cells())
        return copy_of(X if isinstance(X, np.ndarray) else rows)

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
    def _move(self, cells, y, random_state):
        """Hook: the wanted perturbation of the cells in units, shape of ``cells.rows``.

        `_poison` projects it onto the budget, leaves missing cells alone, clips and rounds.
        """

    def _takes_missing_cells(self):
        """Hook: whether X may be an array with NaN, which stays NaN."""
        return True

    def _damage(self, X, y, delta):
        """Hook: the damage of each row's perturbation, (n,); `max_fraction` keeps the largest.

        X and `delta` are as in `_move`: the columns that may change, in units of their scale.
        """
        return row_norms(delta)

    def _check_parameters(self):
        check_choice(self.norm, "norm", PROJECTIONS)
        check_real(self.budget, "budget", low=0)
        check_clip(self.clip)
        check_scale(self.scale)
        check_real(self.max_fraction, "max_fraction", low=0, high=1)

    def _rows_of(self, X):
        if is_sparse(X):
            return super()._rows_of(X)
        cells = cells_of(
            self, X, columns=self.columns, clip=self.clip, scale=self.scale, whole=self.whole
        )
        cells = cells.without_stuck(self._radius(len(cells)) if self.budget else np.inf)
        shape = cells.rows.shape[1:]
        self.columns_ = np.arange(cells.rows[0].size) if cells.places is None else cells.places
        self.scale_ = np.ones(shape).ravel() if cells.scale is None else cells.scale
        return cells

    def _check_data(self, cells):
        if self.max_fraction and self.budget and not self._n_changeable(len(cells)):
            warn_no_row(self, "max_fraction", self.max_fraction, len(cells))

    def _radius(self, n_rows):
        """The bound in absolute terms: C sqrt(n), or B."""
        return float(self.budget) * (np.sqrt(n_rows) if self.norm == "l2,1" else 1.0)

    def _n_changeable(self, n_rows):
        return rows_in_share(self.max_fraction, n_rows)

    def _poison(self, cells, y, random_state, out=None):
        given = self._check_out(out, cells)
        wanted = np.asarray(self._move(cells, y, random_state))
        # Half precision would round a small perturbation, and then its sum with X once more.
        wanted = wanted.astype(np.result_type(cells.rows.dtype, np.float32), copy=False)
        if cells.missing is not None:
            wanted = np.where(cells.missing, 0, wanted)
        delta = PROJECTIONS[self.norm](wanted, self._radius(len(cells)))
        changeable = self._n_changeable(len(cells))
        if changeable < np.count_nonzero(row_norms(delta)):
            # A stable sort, so that ties go to the first rows on every platform.
            order = np.argsort(-self._damage(cells.in_units(), y, delta), kind="stable")
            delta[order[changeable:]] = 0
        is_in_place = given is not None and cells.places is None
        rows = given if is_in_place else np.empty_like(cells.rows)
        cells.moved_by(delta, rows)
        self._finish(cells, rows)
        if given is not None and not is_in_place:
            given[...] = cells.X
            cells.put_into(rows, given)
        return rows, y.copy()

    def _given_back(self, rows, cells, X):
        if X is None:
            return None, rows_that_differ(rows, cells.rows)
        narrow = narrowing_of(X, rows.dtype, cells.all_places()) if is_frame(X) else None
        if narrow is not None:
            self._finish(cells, rows, narrow)
        return cells.given_back(cells.with_missing(rows), X)

    def _check_out(self, out, cells):
        """Return `out`, checked, or None."""
        if out is None:
            return None
        if is_frame(cells.X):
            raise ValueError("`out` must be None where X is a frame, got an array")
        X = cells.X
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

    def _finish(self, cells, rows, narrow=None):
        """Clip the new rows in place, pull them back if rounding left the budget, and measure.

        `narrow` rounds rows in place to the dtypes of a frame's columns.
        """
        settle, radius = cells.settling(narrow), self._radius(len(cells))
        cells.keep_in_box(rows)
        if settle is not None:
            for part in parts_of(len(rows)):
                settle(cells.rows[part], rows[part])
        norms = moved_by(cells.rows, rows, cells.scale)
        norms = shrink_to_budget(cells.rows, rows, norms, radius, self.norm, settle, cells.scale)
        self.budget_ = radius
        self.perturbation_norms_ = norms
        n_changeable = max(self._n_changeable(len(cells)), 1)
        self.budget_spent_ = float(norms.sum() / (1 if self.norm == "l2,1" else n_changeable))

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = self._takes_missing_cells()
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags
