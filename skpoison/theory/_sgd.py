from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import OptimizeResult

from .._typing import AnySeed
from .._validation import check_int, check_real
from ._arguments import check_vectors, make_rng
from ._oracle import squared_norms


def projected_sgd(
    oracle: Callable[..., Any],
    w0: ArrayLike,
    *,
    n_steps: int,
    radius: float,
    step_size: float,
    random_state: AnySeed = None,
) -> OptimizeResult:
    """Run projected SGD on a ball, and return the average of the points that it queried.

    This is the algorithm of Theorem 2.2 of [1]_ on the domain of norm <= radius: w_{t+1} is the
    projection of w_t - step_size g_t, where g_t is the oracle's answer at w_t.

    Parameters
    ----------
    oracle : callable
        ``oracle(w, rng)`` returns a (poisoned) stochastic gradient of the shape of w, for instance
        a `PoisonedOracle`.
    w0 : array-like of shape (..., d)
        The first query, of norm <= radius. Leading axes are independent runs, computed at once.
    n_steps : int
        T >= 1, the number of queries.
    radius : float
        D > 0, the radius of the ball around 0.
    step_size : float
        The constant step size, > 0. `sgd_step_size` computes the one of the theorem.
    random_state : int, Generator, RandomState or None, default=None
        Seeds the rng with which the oracle is called.

    Returns
    -------
    result : scipy.optimize.OptimizeResult
        ``x``, the average of the T queried points, shape (..., d); ``x_last``, the point after the
        last step; ``nit`` and ``nfev``, both T; ``success`` and ``message``.

    Raises
    ------
    TypeError, ValueError
        If a parameter is out of its range, or `w0` is outside the ball.

    References
    ----------
    .. [1] Wang, Mianjy, Arora, "Robust Learning for Data Poisoning Attacks", ICML 2021,
       Theorem 2.2.

    Examples
    --------
    >>> import numpy as np
    >>> from skpoison.theory import PoisonedOracle, projected_sgd, sgd_step_size
    >>> oracle = PoisonedOracle(lambda w, rng: np.sign(w - 0.5) + rng.normal(size=w.shape))
    >>> step = sgd_step_size(4000, radius=1.0, gradient_bound=2**0.5, perturbation_bound=0.0)
    >>> result = projected_sgd(
    ...     oracle, [0.0], n_steps=4000, radius=1.0, step_size=step, random_state=0
    ... )
    >>> bool(abs(result.x[0] - 0.5) < 0.1)
    True
    """
    if not callable(oracle):
        raise TypeError(f"`oracle` must be callable, got {oracle!r}")
    n_steps = check_int(n_steps, "n_steps", low=1)
    radius = _check_positive(radius, "radius")
    step_size = _check_positive(step_size, "step_size")
    w = check_vectors(w0, "w0")
    largest = float(np.sqrt(squared_norms(w).max()))
    if largest > radius * (1 + 1e-12):
        raise ValueError(f"`w0` must have norm <= `radius` = {radius}, got norm {largest}")
    rng = make_rng(random_state)
    total = np.zeros_like(w)
    for _ in range(n_steps):
        total += w
        w = _project(w - step_size * oracle(w, rng), radius)
    return OptimizeResult(
        x=total / n_steps,
        x_last=w,
        nit=n_steps,
        nfev=n_steps,
        success=True,
        message=f"All {n_steps} steps were taken.",
    )


def _project(w, radius):
    norms = np.sqrt(squared_norms(w))
    return w * (radius / np.maximum(norms, radius))[..., None]


def _check_positive(value, name):
    value = check_real(value, name)
    if value <= 0:
        raise ValueError(f"`{name}` must be > 0, got {value}")
    return value
