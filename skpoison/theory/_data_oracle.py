"""Poisoned data as an oracle: what an attack on data does to gradients."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import expit

from .._threads import limit_threads
from .._validation import check_choice, encode_labels
from ._arguments import check_rows, check_two_classes
from ._oracle import PoisonedOracle

# The loss and its derivative as functions of the margin z = y <w, x>. (At the hinge's kink the
# derivative is a subgradient.)
_LOSSES = {
    "logistic": (lambda z: np.logaddexp(0, -z), lambda z: -expit(-z)),
    "hinge": (lambda z: np.maximum(1 - z, 0), lambda z: -(z < 1).astype(np.float64)),
}


class DataOracle(PoisonedOracle):
    """Poisoned data as a poisoned oracle for a linear model.

    F(w) = mean_i loss(y_i <w, x_i>) over the clean rows. A query draws a row i. Then g is the
    gradient of the loss on the clean row, and g + zeta is the gradient on the poisoned row. This is
    the unified model of Section 2 of [1]_, for perturbed features, flipped labels, or both.

    Parameters
    ----------
    X : array-like of shape (n, ...)
        Clean rows; trailing axes are flattened to d features.
    y : array-like of shape (n,)
        Clean labels of two classes: -1 for the first in sorted order, +1 for the second.
    X_poisoned : array-like of shape (n, ...), default=None
        Poisoned rows; None: the clean ones.
    y_poisoned : array-like of shape (n,), default=None
        Poisoned labels, of the same two classes; None: the clean ones.
    loss : {"logistic", "hinge"}, default="logistic"
        log(1 + exp(-z)) or max(0, 1 - z). Both are 1-Lipschitz.

    Attributes
    ----------
    classes : ndarray of shape (2,)
        The two classes; the first has the label -1.
    gradient_bound : float
        G: the largest norm of a clean row.
    n_queries, total_perturbation, max_perturbation, mean_squared_gradient
        As in `PoisonedOracle`.

    Raises
    ------
    TypeError, ValueError
        If rows and labels do not match, or `loss` is unknown.

    References
    ----------
    .. [1] Wang, Mianjy, Arora, "Robust Learning for Data Poisoning Attacks", ICML 2021,
       Section 2.

    Examples
    --------
    >>> import numpy as np
    >>> from skpoison.theory import DataOracle, projected_sgd, sgd_step_size
    >>> X, y = np.array([[1.0, 0.0], [-1.0, 0.5]]), np.array([1, 0])
    >>> oracle = DataOracle(X, y, y_poisoned=[0, 0])
    >>> result = projected_sgd(
    ...     oracle, np.zeros(2), n_steps=100, radius=1.0, step_size=0.1, random_state=0
    ... )
    >>> oracle.objective(result.x) < oracle.objective(np.zeros(2))
    True
    """

    def __init__(
        self,
        X: ArrayLike,
        y: ArrayLike,
        X_poisoned: ArrayLike | None = None,
        y_poisoned: ArrayLike | None = None,
        *,
        loss: str = "logistic",
    ) -> None:
        check_choice(loss, "loss", _LOSSES)
        rows = check_rows(X).astype(np.float64)
        signs, self.classes = check_two_classes(y, len(rows))
        new_rows = rows if X_poisoned is None else check_rows(X_poisoned, "X_poisoned")
        if new_rows.shape != rows.shape:
            raise ValueError(f"X_poisoned must have shape {rows.shape}, as X, got {new_rows.shape}")
        self.loss = loss
        self._rows = rows
        # The loss of a linear model depends on a row and its label by their product alone.
        self._clean = rows * signs[:, None]
        self._poisoned = new_rows * self._poisoned_signs(y_poisoned, signs)[:, None]
        self.gradient_bound = float(np.sqrt((rows**2).sum(axis=1).max()))
        self._is_poisoned = not np.array_equal(self._clean, self._poisoned)
        super().__init__(self._clean_gradient)

    @limit_threads
    def objective(self, w: ArrayLike) -> Any:
        """Compute the clean F.

        Parameters
        ----------
        w : array-like of shape (..., d)
            Points.

        Returns
        -------
        value : float or ndarray of shape (...)
        """
        loss, _ = _LOSSES[self.loss]
        values = loss(np.asarray(w, dtype=np.float64) @ self._clean.T).mean(axis=-1)
        return values if np.ndim(values) else float(values)

    def _poisoned_signs(self, y_poisoned, signs):
        if y_poisoned is None:
            return signs
        y_poisoned = np.asarray(y_poisoned)
        if y_poisoned.shape != signs.shape:
            raise ValueError(
                f"y_poisoned must have shape {signs.shape}, as y, got {y_poisoned.shape}"
            )
        return 2.0 * encode_labels(y_poisoned, self.classes, "y") - 1

    def _clean_gradient(self, w, rng):
        return self._gradient_at(self._clean, rng.integers(len(self._clean), size=w.shape[:-1]), w)

    def _draw(self, w, rng):
        # The clean and the poisoned gradient are of the same row: zeta is their difference.
        drawn = rng.integers(len(self._clean), size=w.shape[:-1])
        clean = self._gradient_at(self._clean, drawn, w)
        if not self._is_poisoned:
            return clean, None
        return clean, self._gradient_at(self._poisoned, drawn, w) - clean

    def _gradient_at(self, signed_rows, drawn, w):
        signed = signed_rows[drawn]
        _, slope = _LOSSES[self.loss]
        margins = np.einsum("...i,...i->...", signed, w)
        return slope(margins)[..., None] * signed
