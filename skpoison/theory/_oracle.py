"""The poisoned stochastic first-order oracle of Section 2."""

from collections.abc import Callable
from typing import Any, Self

import numpy as np

from ._arguments import unwrap


class PoisonedOracle:
    """A poisoned stochastic first-order oracle, the (G, B)-PSFO of Section 2 of [1]_.

    A call with a point w returns g + zeta. Here g is a stochastic gradient, with E g in the
    subdifferential of F at w, and zeta is a perturbation that an adversary chose.

    Parameters
    ----------
    gradient : callable
        ``gradient(w, rng)`` returns g, of the shape of w. `rng` is a numpy Generator.
    perturbation : callable or None, default=None
        ``perturbation(w, gradient, query, rng)`` returns zeta, of the shape of w. `gradient` is g,
        `query` the number of the query, from 0. None: zeta is 0.

    Attributes
    ----------
    n_queries : int
        T, the number of calls so far.
    total_perturbation : float or ndarray of shape w.shape[:-1]
        sum_t ||zeta_t|| so far.
    max_perturbation : float or ndarray of shape w.shape[:-1]
        max_t ||zeta_t|| so far: the smallest B for which this was a (G, B)-PSFO.
    mean_squared_gradient : float or ndarray of shape w.shape[:-1]
        Mean of ||g_t||^2 so far: an estimate of G^2; NaN before the first query.

    Raises
    ------
    TypeError
        If `gradient` cannot be called, or `perturbation` is neither None nor callable.
    ValueError
        In a query, if g or zeta has another shape than w, or if w has another shape than in the
        first query.

    Notes
    -----
    The last axis of w holds the point. Leading axes are independent runs, which `projected_sgd`
    computes at once if `gradient` and `perturbation` can. The norms are measured, not bounded:
    compare `max_perturbation` with the B of a theorem.

    References
    ----------
    .. [1] Wang, Mianjy, Arora, "Robust Learning for Data Poisoning Attacks", ICML 2021,
       Section 2.

    Examples
    --------
    The gradient of ||w||^2 / 2 with noise, and an adversary that pushes along the first axis:

    >>> import numpy as np
    >>> from skpoison.theory import PoisonedOracle, constant_perturbation
    >>> oracle = PoisonedOracle(
    ...     lambda w, rng: w + rng.normal(size=w.shape), constant_perturbation([1.0, 0.0], norm=0.1)
    ... )
    >>> rng = np.random.default_rng(0)
    >>> for _ in range(30):
    ...     g = oracle(np.zeros(2), rng)
    >>> oracle.n_queries, round(oracle.total_perturbation, 6)
    (30, 3.0)
    """

    def __init__(
        self, gradient: Callable[..., Any], perturbation: Callable[..., Any] | None = None
    ) -> None:
        if not callable(gradient):
            raise TypeError(f"`gradient` must be callable, got {gradient!r}")
        if perturbation is not None and not callable(perturbation):
            raise TypeError(f"`perturbation` must be callable or None, got {perturbation!r}")
        self.gradient = gradient
        self.perturbation = perturbation
        self.reset()

    def reset(self) -> Self:
        """Set all counts and sums back to 0.

        Returns
        -------
        self : PoisonedOracle
        """
        self.n_queries = 0
        self._total = self._max = self._squares = np.zeros(())
        self._shape = None
        return self

    @property
    def total_perturbation(self) -> Any:
        return unwrap(self._total)

    @property
    def max_perturbation(self) -> Any:
        return unwrap(self._max)

    @property
    def mean_squared_gradient(self) -> Any:
        return unwrap(self._squares / self.n_queries) if self.n_queries else float("nan")

    def __call__(self, w, rng):
        """The poisoned gradient g + zeta at w, a new array of the shape of w."""
        w = np.asarray(w, dtype=np.float64)
        if self._shape is None:
            self._shape = w.shape
        _check_shape(w, self._shape, "w")
        gradient, zeta = self._draw(w, rng)
        self.n_queries += 1
        # Not added in place: an array that a caller has read must not change later.
        self._squares = self._squares + squared_norms(gradient)
        if zeta is None:
            return gradient.copy()
        norms = np.sqrt(squared_norms(zeta))
        self._total = self._total + norms
        self._max = np.maximum(self._max, norms)
        return gradient + zeta

    def _draw(self, w, rng):
        """Hook: (g, zeta) of one query; zeta may be None."""
        gradient = np.asarray(self.gradient(w, rng), dtype=np.float64)
        _check_shape(gradient, w.shape, "`gradient`(w, rng)")
        if self.perturbation is None:
            return gradient, None
        zeta = self.perturbation(w, gradient, self.n_queries, rng)
        zeta = np.asarray(zeta, dtype=np.float64)
        _check_shape(zeta, w.shape, "`perturbation`(w, gradient, query, rng)")
        return gradient, zeta


def squared_norms(vectors):
    """Squared Euclidean norms over the last axis."""
    return np.einsum("...i,...i->...", vectors, vectors)


def _check_shape(array, shape, name):
    if array.shape != shape:
        raise ValueError(f"{name} must have shape {shape}, got {array.shape}")
