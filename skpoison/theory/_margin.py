import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import OptimizeResult
from sklearn.exceptions import ConvergenceWarning

from .._threads import limit_threads
from .._typing import AnySeed
from .._validation import check_bool, check_int, check_real
from .._warnings import warn_caller
from ._arguments import check_rows, check_two_classes, check_vectors, make_rng
from ._margin_solver import MarginGame, solve

# Fresh directions for each sampled one. They cost one evaluation; the solution takes hundreds.
_FRESH = 8


@limit_threads
def ntk_margin(
    X: ArrayLike,
    y: ArrayLike,
    *,
    n_directions: int = 1024,
    tol: float = 0.05,
    max_iter: int = 2000,
    normalize: bool = True,
    directions: ArrayLike | None = None,
    random_state: AnySeed = None,
) -> OptimizeResult:
    """The margin gamma of Assumption 1: how well an infinitely wide two-layer net separates rows.

    gamma is the largest margin min_i y_i E_z[<v(z), x_i> 1[z . x_i >= 0]] over maps v with
    ||v(z)|| <= 1, where z is standard normal [1]_. With M sampled directions z_s in place of the
    expectation this is a max-min problem between v and weights q of the rows. Its dual is

        min over q in the simplex of mean_s || sum_i q_i y_i x_i 1[z_s . x_i >= 0] ||.

    Parameters
    ----------
    X : array-like of shape (n, ...)
        Rows; trailing axes are flattened to d features. float32 rows are computed in float32, which
        is twice as fast, all others in float64.
    y : array-like of shape (n,)
        Labels of two classes.
    n_directions : int, default=1024
        M, the number of sampled directions; ignored if `directions` is given.
    tol : float, default=0.05
        Stop when upper - lower <= tol * upper.
    max_iter : int, default=2000
        Largest number of evaluations of the dual. A gradient step takes two. With up to 500 rows,
        Newton's method may follow; each of its steps counts as one.
    normalize : bool, default=True
        Whether to scale rows to norm 1, which the theory assumes. False: rows of another norm are
        an error.
    directions : array-like of shape (M, d), default=None
        The directions z_s, for instance the initial weights of a `TwoLayerReLU`; the result is then
        the margin of that net. None: drawn from the standard normal distribution.
    random_state : int, Generator, RandomState or None, default=None
        Seeds the directions, and the fresh directions of ``fresh_lower`` and ``fresh_upper``.

    Returns
    -------
    result : scipy.optimize.OptimizeResult
        ``lower``, ``upper``
            Bounds on the margin for these directions, up to rounding. `lower` is the margin of
            ``separator``, `upper` the dual value at ``weights``.
        ``fresh_lower``, ``fresh_upper``, ``fresh_lower_se``, ``fresh_upper_se``
            The two bounds evaluated on 8 M fresh directions, and their standard errors. The gamma
            of Assumption 1 is likely to lie between them. The dual value is unbiased, so up to its
            error `fresh_upper` is at least gamma. `fresh_lower` is the margin of the map v(z) that
            ``lower_weights`` and ``smoothing`` define for any z. It is at most gamma, and
            pessimistic: it is the
            smallest of n noisy means, for a map that was chosen on other directions. If it is <= 0,
            it shows nothing.
        ``weights``, ``lower_weights`` : ndarray of shape (n,)
            The q of the upper and of the lower bound. Weights are large for hard rows.
        ``smoothing`` : float
            mu >= 0. With u = sum_i q_i y_i x_i 1[z . x_i >= 0], where q is ``lower_weights``, the
            map is v(z) = u / (mu + sqrt(mu^2 + ||u||^2)): for mu = 0 the direction of u.
        ``separator`` : ndarray of shape (M, d)
            v_s, each of norm <= 1.
        ``directions`` : ndarray of shape (M, d)
            z_s.
        ``success``, ``nit``, ``message``
            Whether the gap was closed to `tol`, the number of evaluations, and both in words.

    Raises
    ------
    TypeError, ValueError
        If a parameter is out of its range, or X or y cannot be used. (A row of zeros cannot be
        scaled to norm 1.)

    Warns
    -----
    ConvergenceWarning
        If the gap is over `tol` after `max_iter` evaluations. If a row occurs in both classes,
        gamma is 0, and no gap is small relative to it.

    Notes
    -----
    The constants are the paper's: none is hidden. For rows of norm 1 gamma is at most 1/2, because
    half of the directions are active for each row. The expected margin of M directions is
    at most gamma; two draws of directions differ by more than a small `tol`.

    Accelerated gradient steps come first. They stall if some of the norms are 0 at the minimum of
    the dual, which is common with few features. With up to 500 rows, the second half of `max_iter`
    is therefore for Newton's method (an interior-point method), with n^2 M operations in a step.

    The memory is n M bytes and a few copies of X; n M d numbers are never held. (Newton's method
    holds a few tables of n M float64.) An evaluation takes two matrix products of 2 n M d
    operations each. Times were measured once, on MNIST's training
    data with n = 10,000, d = 784, M = 1,024, float32, one thread, on a shared machine of 2 cores
    (AMD EPYC). Digits 0 and 1 took 73 s (203 evaluations). Digits 4 and 9, whose margin is a
    quarter of that, took 325 s (982 evaluations). The peak was 104 MB besides X.

    References
    ----------
    .. [1] Wang, Mianjy, Arora, "Robust Learning for Data Poisoning Attacks", ICML 2021,
       Assumption 1.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from skpoison.theory import ntk_margin
    >>> X, y = load_digits(n_class=2, return_X_y=True)
    >>> result = ntk_margin(X, y, n_directions=256, random_state=0)
    >>> 0.1 < result.lower <= result.upper < 0.15
    True
    """
    n_directions = check_int(n_directions, "n_directions", low=1)
    tol = check_real(tol, "tol", low=0)
    max_iter = check_int(max_iter, "max_iter", low=1)
    rows = _unit_rows(check_rows(X), check_bool(normalize, "normalize"))
    signs, _ = check_two_classes(y, len(rows))
    rng = make_rng(random_state)
    z = _directions(directions, n_directions, rows.shape[1], rng)
    game = MarginGame(rows, signs.astype(rows.dtype), z)
    best = solve(game, tol=tol, max_iter=max_iter)
    separator = game.separator(best.lower_weights, best.smoothing)
    if best.lower <= 0:
        separator = np.zeros_like(separator)
    message = (
        f"lower {max(best.lower, 0):.6g} and upper {best.upper:.6g} after {best.n_iter} evaluations"
    )
    if not best.converged:
        warn_caller(
            f"ntk_margin did not close the gap to tol={tol:g}: {message}. Raise `max_iter` or "
            "`tol`; both are bounds all the same.",
            ConvergenceWarning,
        )
    return OptimizeResult(
        lower=float(max(0.0, best.lower)),
        upper=float(best.upper),
        **_on_fresh_directions(rows, signs, best, len(z), rng),
        weights=best.upper_weights,
        lower_weights=best.lower_weights,
        smoothing=float(best.smoothing),
        separator=separator,
        directions=z,
        success=bool(best.converged),
        nit=best.n_iter,
        message=message,
    )


def _unit_rows(rows, normalize):
    norms = np.sqrt(np.einsum("ij,ij->i", rows, rows))[:, np.newaxis]
    if (norms == 0).any():
        raise ValueError(f"X must have no rows of norm 0, got row {int(norms.argmin())}")
    if normalize:
        return rows / norms
    if np.abs(norms - 1).max() > 1e-5:
        worst = float(norms[np.abs(norms - 1).argmax(), 0])
        raise ValueError(f"X must have rows of norm 1 if `normalize` is False, got norm {worst}")
    return rows


def _directions(directions, n_directions, n_features, rng):
    if directions is None:
        return rng.standard_normal((n_directions, n_features))
    directions = check_vectors(directions, "directions", ndim=2)
    if directions.shape[1] != n_features:
        raise ValueError(
            f"`directions` must have {n_features} features, as X, got {directions.shape[1]}"
        )
    return directions


def _on_fresh_directions(rows, signs, best, n_directions, rng):
    """Both bounds and their standard errors on directions that were not used to find them."""
    norms, sums, squares = [], 0.0, 0.0
    n_fresh = _FRESH * n_directions
    for _ in range(_FRESH):
        z = rng.standard_normal((n_directions, rows.shape[1]))
        game = MarginGame(rows, signs.astype(rows.dtype), z)
        norms.append(game.moments(best.upper_weights)[0])
        _, new_sums, new_squares = game.moments(best.lower_weights, best.smoothing, squares=True)
        sums, squares = sums + new_sums, squares + new_squares
    norms = np.concatenate(norms)
    worst = int(np.argmin(sums))
    mean = sums[worst] / n_fresh
    return {
        "fresh_lower": float(mean),
        "fresh_upper": float(norms.mean()),
        "fresh_lower_se": float(np.sqrt(max(squares[worst] / n_fresh - mean**2, 0) / n_fresh)),
        "fresh_upper_se": float(norms.std() / np.sqrt(n_fresh)),
    }
