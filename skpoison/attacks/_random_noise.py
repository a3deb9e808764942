import numpy as np
from numpy.typing import ArrayLike

from .._typing import Clip, Columns, Seed
from ._base_cell import BaseCellAttack

# So many times its target may a row be away from a side of the box that is used.
_FAR = 1e6


class RandomNoise(BaseCellAttack):
    """The control for attacks on features: the same budget, spent in random directions.

    Each row moves in a direction drawn uniformly from the sphere, so far that its perturbation has
    the wanted norm after clipping. An attack is worth its name only if it hurts more than this.

    Parameters
    ----------
    norm : {"l2,1", "l2,inf"}, default="l2,1"
        Which norm is bounded, as in `CleanLabelPGA`. With "l2,1" all rows get an equal share.
    budget : float, default=300.0
        The corruption rate C ("l2,1") or the radius B ("l2,inf"), as in `CleanLabelPGA`.
    clip : tuple of (low, high), "range" or None, default=(0.0, 1.0)
        The box in which X lies and must stay, in raw units: numbers, or arrays with a value for
        each column that may change. "range": each column's own minimum and maximum. None: no box.
    columns : names, positions, mask, callable or None, default=None
        The columns that may change; the others, and missing cells, stay as they are. None: the
        numeric columns of a frame, all columns of an array. See `BaseFeatureAttack`.
    scale : {"std", "iqr"}, array-like of shape (k,) or None, default=None
        The unit of each column that may change, in which norms and budgets are measured: its
        standard deviation or the distance between its quartiles in X, or a given number. A column
        whose scale is 0 stays as it is. None: the raw unit.
    whole : as `columns`, default=None
        Which of these columns stay at whole numbers, and at 0 and 1 if they hold no others.
    norms : array-like of shape (n,), default=None
        The norm of each row's perturbation after clipping, for instance the `perturbation_norms_`
        of an attack. They must keep to `budget`. None: every row gets the same norm.
    random_state : int, RandomState instance or None, default=None
        Seeds the directions.

    Attributes
    ----------
    budget_, budget_spent_ : float
        The bound in absolute terms, and how much of it was used.
    perturbation_norms_ : ndarray of shape (n,)
        Euclidean norm of each row's perturbation, in units of `scale`.
    columns_ : ndarray of int of shape (k,)
        Positions of the columns that could change.
    scale_ : ndarray of shape (k,)
        The unit of each of them.
    classes_ : ndarray of shape (n_classes,)
        The sorted labels.
    poison_indices_ : ndarray of shape (n_poisoned,)
        The rows that changed, in ascending order.
    n_features_in_ : int
        Features in a row: the product of the trailing axes of X.
    input_shape_ : tuple of int
        The trailing axes of X.

    Notes
    -----
    A row may be too close to the sides of the box to reach its norm in the drawn direction. Then
    each feature moves towards the farther side of the box, by the drawn amounts. In this way any
    norm that some perturbation reaches inside the box can be reached.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.datasets import load_digits
    >>> from skpoison import RandomNoise
    >>> X, y = load_digits(return_X_y=True)
    >>> noise = RandomNoise(norm="l2,inf", budget=1.0, random_state=0).fit(X / 16, y)
    >>> bool(np.allclose(noise.perturbation_norms_, 1.0, atol=1e-3))
    True
    """

    tags = BaseCellAttack.tags | {
        "goal": "none: this is a control, which shows what chance does",
        "knowledge": "features; no models",
        "nist_ai_100_2_e2025": "availability poisoning",
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
        norms: ArrayLike | None = None,
        random_state: Seed = None,
    ) -> None:
        self.norm = norm
        self.budget = budget
        self.clip = clip
        self.columns = columns
        self.scale = scale
        self.whole = whole
        self.norms = norms
        self.random_state = random_state

    def _check_data(self, cells):
        super()._check_data(cells)
        try:
            norms = self._target_norms(len(cells))
        except (TypeError, ValueError) as error:
            raise ValueError(f"`norms` must be None or numbers: {error}") from None
        if norms.shape != (len(cells),):
            raise ValueError(
                f"`norms` must have one value for each of the {len(cells)} rows of X, "
                f"got shape {norms.shape}"
            )
        bad = ~np.isfinite(norms) | (norms < 0)
        if bad.any():
            raise ValueError(f"`norms` must be finite and >= 0, got {norms[bad][0]}")
        used = norms.sum() if self.norm == "l2,1" else norms.max()
        # The norms of an attack may exceed its budget by float rounding.
        if used > self._radius(len(cells)) * (1 + 1e-5):
            raise ValueError(
                f"`norms` must keep to `budget` = {self.budget} ({self._radius(len(cells))} in "
                f"{self.norm!r}), got {used}"
            )

    def _target_norms(self, n_rows):
        if self.norms is not None:
            return np.asarray(self.norms, dtype=np.float64)
        share = n_rows if self.norm == "l2,1" else 1
        return np.full(n_rows, self._radius(n_rows) / share)

    def _move(self, cells, y, random_state):
        flat = cells.in_units().reshape(len(cells), -1).astype(np.float64)
        direction = random_state.standard_normal(flat.shape)
        if cells.missing is not None:
            direction[cells.missing] = 0
        lengths = np.linalg.norm(direction, axis=1, keepdims=True)
        direction /= np.where(lengths > 0, lengths, 1)
        target = self._target_norms(len(cells))
        box = cells.box_in_units()
        if box is None:
            delta = direction * target[:, np.newaxis]
        else:
            delta = _move_in_box(flat, direction, target, [np.ravel(side) for side in box])
        delta[target == 0] = 0  # Exactly 0, so that the row does not count as poisoned.
        return delta.reshape(cells.rows.shape)


def _move_in_box(X, direction, target, box):
    """Move each row along its direction until it has its target norm after clipping."""
    low, high = box
    # No cell moves farther than its row, and from a side far away the bisection would not end.
    farther, limit = 2 * target[:, np.newaxis], _FAR * target[:, np.newaxis]
    with np.errstate(over="ignore"):
        is_far = X - low > limit, high - X > limit
    low = np.where(is_far[0], X - farther, low) if is_far[0].any() else low
    high = np.where(is_far[1], X + farther, high) if is_far[1].any() else high
    reach = np.linalg.norm(np.where(direction > 0, high - X, X - low), axis=1)
    stuck = reach < target
    far = np.where(high - X > X - low, 1.0, -1.0)
    direction[stuck] = np.abs(direction[stuck]) * far[stuck]
    # The clipped norm grows with the distance: bisect it, for all rows at once.
    nearest = np.zeros(len(X))
    farthest = np.where(direction == 0, 0, (high - low) / np.abs(direction).clip(1e-12)).max(axis=1)
    for _ in range(60):
        middle = (nearest + farthest) / 2
        moved = np.clip(X + direction * middle[:, np.newaxis], low, high) - X
        short = np.linalg.norm(moved, axis=1) < target
        nearest = np.where(short, middle, nearest)
        farthest = np.where(short, farthest, middle)
    return np.clip(X + direction * farthest[:, np.newaxis], low, high) - X
