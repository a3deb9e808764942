"""Adversaries for a `PoisonedOracle`: each maps a query to a perturbation of its gradient."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from .._threads import limit_threads
from .._validation import check_real
from ._arguments import check_vectors


def constant_perturbation(direction: ArrayLike, norm: float) -> Callable[..., Any]:
    """The same perturbation in every query.

    Parameters
    ----------
    direction : array-like of shape (d,)
        Direction of the perturbation; not 0. SGD is pushed in the opposite direction.
    norm : float
        Its Euclidean norm, >= 0.

    Returns
    -------
    perturbation : callable
        For `PoisonedOracle`.

    Raises
    ------
    TypeError, ValueError
        If `direction` is 0 or not a vector, or `norm` is negative.

    Examples
    --------
    >>> import numpy as np
    >>> from skpoison.theory import constant_perturbation
    >>> constant_perturbation([3.0, 4.0], norm=1.0)(np.zeros(2), np.zeros(2), 0, None)
    array([0.6, 0.8])
    """
    zeta = _scaled(direction, norm)
    return lambda w, gradient, query, rng: np.broadcast_to(zeta, w.shape)


def sparse_perturbation(
    direction: ArrayLike, norm: float, queries: ArrayLike
) -> Callable[..., Any]:
    """The same perturbation at the given queries, and none at the others.

    Parameters
    ----------
    direction : array-like of shape (d,)
        Direction of the perturbations; not 0.
    norm : float
        Euclidean norm of each, >= 0.
    queries : array-like of int
        Numbers of the queries that are perturbed, from 0. The last queries of a run hurt its last
        iterate most.

    Returns
    -------
    perturbation : callable
        For `PoisonedOracle`.

    Raises
    ------
    TypeError, ValueError
        If `direction` is 0 or not a vector, `norm` is negative, or `queries` are not integers >= 0.

    Examples
    --------
    >>> import numpy as np
    >>> from skpoison.theory import sparse_perturbation
    >>> perturbation = sparse_perturbation([1.0], norm=5.0, queries=[7])
    >>> [float(perturbation(np.zeros(1), np.zeros(1), t, None)[0]) for t in (6, 7, 8)]
    [0.0, 5.0, 0.0]
    """
    zeta = _scaled(direction, norm)
    queries = np.asarray(queries)
    if queries.dtype.kind not in "iu" or (queries < 0).any():
        raise ValueError(f"`queries` must be integers >= 0, got {queries.tolist()}")
    chosen = frozenset(queries.ravel().tolist())
    return lambda w, gradient, query, rng: (
        np.broadcast_to(zeta, w.shape) if query in chosen else np.zeros(w.shape)
    )


def random_sign_perturbation(norm: float) -> Callable[..., Any]:
    """Noise without bias: each coordinate is norm / sqrt(d) or its negative, at random.

    Parameters
    ----------
    norm : float
        The Euclidean norm, >= 0.

    Returns
    -------
    perturbation : callable
        For `PoisonedOracle`.

    Raises
    ------
    TypeError, ValueError
        If `norm` is not a number, or negative.

    Examples
    --------
    >>> import numpy as np
    >>> from skpoison.theory import random_sign_perturbation
    >>> perturbation = random_sign_perturbation(norm=2.0)
    >>> np.abs(perturbation(np.zeros(4), np.zeros(4), 0, np.random.default_rng(0)))
    array([1., 1., 1., 1.])
    """
    norm = check_real(norm, "norm", low=0)

    def perturbation(w, gradient, query, rng):
        return (rng.integers(2, size=w.shape) * 2.0 - 1) * (norm / np.sqrt(w.shape[-1]))

    return perturbation


@limit_threads
def worst_vertex_perturbation(
    objective: Callable[[Any], Any], vertices: ArrayLike, norm: float
) -> Callable[..., Any]:
    """Pull SGD towards the vertex with the largest objective.

    On a polytope a convex function is largest at a vertex. Let v be this worst
    vertex. The perturbation at w is norm (w - v) / ||w - v||, and 0 at v: SGD steps against the
    gradient that it gets.

    Parameters
    ----------
    objective : callable
        ``objective(v)`` returns F(v), a number.
    vertices : array-like of shape (k, d)
        The candidates, for instance the corners of a polytope or points on a sphere.
    norm : float
        The Euclidean norm, >= 0.

    Returns
    -------
    perturbation : callable
        For `PoisonedOracle`.

    Raises
    ------
    TypeError, ValueError
        If `vertices` is not an array of vectors, or `norm` is negative.

    Examples
    --------
    >>> import numpy as np
    >>> from skpoison.theory import worst_vertex_perturbation
    >>> pull = worst_vertex_perturbation(lambda v: float(v.sum()), [[1.0, 1.0], [0.0, 0.0]], 0.5)
    >>> pull(np.array([1.0, 0.0]), np.zeros(2), 0, None)
    array([ 0. , -0.5])
    """
    norm = check_real(norm, "norm", low=0)
    corners = check_vectors(vertices, "vertices", ndim=2)
    worst = corners[int(np.argmax([float(objective(corner)) for corner in corners]))]

    def perturbation(w, gradient, query, rng):
        away = w - worst
        length = np.linalg.norm(away, axis=-1, keepdims=True)
        return away * (norm / np.where(length > 0, length, 1))

    return perturbation


def _scaled(direction, norm):
    """The vector along `direction` of the given norm."""
    norm = check_real(norm, "norm", low=0)
    direction = check_vectors(direction, "direction", ndim=1)
    length = np.linalg.norm(direction)
    if length == 0:
        raise ValueError(f"`direction` must not be 0, got {direction.tolist()}")
    return direction * (norm / length)
