"""The base class of one's own attacks on features."""

from abc import abstractmethod

import numpy as np

from ._base_cell import BaseCellAttack


class BaseFeatureAttack(BaseCellAttack):
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
        of rows given to `poison`. With "l2,inf" the radius B: ||delta_i||_2 <= B. Norms are in
        units of `scale`. The budget holds for the rows as returned, rounded to their dtype, to one
        part in a million.
    clip : tuple of (low, high), "range" or None, default=(0.0, 1.0)
        The box in which X lies and must stay, in the raw units of X. Sides are numbers, or arrays
        with a value for each column that may change (infinite where there is no limit). "range":
        each column stays between its own minimum and maximum in X. None: no box.
    columns : names, positions, mask, callable or None, default=None
        The columns that may change. None: the numeric columns of a frame (booleans do not count),
        all columns of an array. A callable gets X, as `sklearn.compose.make_column_selector` does.
        For rows of several axes: positions in the flattened row, or a mask of the shape of a row.
        All other columns, and missing cells, stay as they are.
    scale : {"std", "iqr"}, array-like of shape (k,) or None, default=None
        The unit of each column that may change, in which norms and budgets are measured. "std" is
        its standard deviation in X, as in `sklearn.preprocessing.StandardScaler`; "iqr" is the
        distance between its quartiles. Missing cells are left out. A column whose scale is 0 stays
        as it is. None: the raw unit.
    whole : as `columns`, default=None
        Which of these columns stay at whole numbers: a cell moves to the next whole number towards
        its clean value. A column that holds only 0 and 1 stays at 0 and 1. None: no column.
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
        Euclidean norm of each row's perturbation, in units of `scale`.
    columns_ : ndarray of int of shape (k,)
        Positions of the columns that could change.
    scale_ : ndarray of shape (k,)
        The unit of each of them.
    classes_, poison_indices_, n_features_in_, input_shape_
        As in `BaseAttack`.

    Warns
    -----
    UserWarning
        If `max_fraction` is over 0 and allows no row to change, or if the scale of a column is 0
        though it is not constant.

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

    On a table, in standard deviations; the column of names stays as it is:

    >>> import pandas as pd
    >>> table = pd.DataFrame({"name": ["a", "b", "c"], "kg": [900.0, 1100.0, 1300.0]})
    >>> attack = Shrink(norm="l2,inf", budget=0.5, clip="range", scale="std")
    >>> attack.poison(table, [0, 0, 1])[0].round(1)
      name      kg
    0    a   981.6
    1    b  1100.0
    2    c  1218.4
    """

    @abstractmethod
    def _perturb(self, X, y, random_state):
        """Hook: return the wanted perturbation, of the shape of X.

        X holds the columns that may change, in units of their `scale`; a missing cell has the mean
        of its column. It has the shape of the data if neither `columns` nor `scale` nor `whole` is
        set and no cell is missing, else it is (n, k). The perturbation of missing cells is dropped,
        and the rest is projected onto the budget and clipped.
        """

    def _move(self, cells, y, random_state):
        # Some columns of an array may lie in memory column by column.
        X = np.ascontiguousarray(cells.in_units()).view()
        X.flags.writeable = False
        wanted = np.asarray(self._perturb(X, y, random_state))
        if wanted.shape != X.shape or wanted.dtype.kind not in "biuf":
            raise ValueError(
                f"`_perturb` of {type(self).__name__} must return real numbers of shape {X.shape}, "
                f"got {wanted.dtype} of shape {wanted.shape}"
            )
        is_finite = np.isfinite(wanted)
        if cells.missing is not None:
            is_finite |= cells.missing
        if not is_finite.all():
            raise ValueError(
                f"`_perturb` of {type(self).__name__} must return finite numbers, got "
                f"{wanted[~is_finite][0]}"
            )
        return wanted
