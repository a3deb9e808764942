"""The bounds of Section 2, for convex problems."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ._arguments import check_values, unwrap


def gradient_perturbation_bound(
    perturbation_norm: ArrayLike,
    *,
    smoothness: ArrayLike,
    lipschitz: ArrayLike,
    weight_radius: ArrayLike,
    feature_radius: ArrayLike,
) -> Any:
    """Proposition 2.1: how far a perturbation of a row moves the gradient of a linear model.

    Let f(x; w) = <w, x> with ||w|| <= D and ||x|| <= R, let y be -1 or 1, and let the loss be
    L-Lipschitz and alpha-smooth as a function of the margin. Then the gradients in w of
    loss(y f(x + delta; w)) and loss(y f(x; w)) differ by at most (alpha D R + L) ||delta|| [1]_.
    All arguments may be arrays, and broadcast.

    Parameters
    ----------
    perturbation_norm : float or array-like
        ||delta||, >= 0, in the units of the features.
    smoothness : float or array-like
        alpha >= 0: 1/4 for the logistic loss. (The hinge loss is not smooth.)
    lipschitz : float or array-like
        L >= 0: 1 for the logistic and the hinge loss.
    weight_radius : float or array-like
        D >= 0, the largest norm of the weights.
    feature_radius : float or array-like
        R >= 0, the largest norm of a clean row.

    Returns
    -------
    bound : float or ndarray

    Raises
    ------
    TypeError, ValueError
        If an argument is not a number, negative or not finite.

    Notes
    -----
    No constant is hidden. The bound is nearly reached if x is orthogonal to w, delta is parallel to
    w, and D R is large: then the two parts of the gradient's change are orthogonal.

    References
    ----------
    .. [1] Wang, Mianjy, Arora, "Robust Learning for Data Poisoning Attacks", ICML 2021,
       Proposition 2.1.

    Examples
    --------
    >>> from skpoison.theory import gradient_perturbation_bound
    >>> gradient_perturbation_bound(
    ...     [0.0, 0.1], smoothness=0.25, lipschitz=1.0, weight_radius=4.0, feature_radius=2.0
    ... )
    array([0. , 0.3])
    """
    norm = check_values(perturbation_norm, "perturbation_norm", low=0)
    alpha = check_values(smoothness, "smoothness", low=0)
    lipschitz = check_values(lipschitz, "lipschitz", low=0)
    weight_radius = check_values(weight_radius, "weight_radius", low=0)
    feature_radius = check_values(feature_radius, "feature_radius", low=0)
    return unwrap((alpha * weight_radius * feature_radius + lipschitz) * norm)


def sgd_step_size(
    n_steps: ArrayLike,
    *,
    radius: ArrayLike,
    gradient_bound: ArrayLike,
    perturbation_bound: ArrayLike,
) -> Any:
    """The step size of Theorem 2.2: D / (sqrt(T) (G + B')).

    Parameters
    ----------
    n_steps : int or array-like
        T >= 1, the number of oracle calls.
    radius : float or array-like
        D > 0: all of the domain has norm <= D.
    gradient_bound : float or array-like
        G > 0: E ||g||^2 <= G^2 for the clean stochastic gradient g.
    perturbation_bound : float or array-like
        B' >= 0: ||zeta|| <= B' for each perturbation.

    Returns
    -------
    step_size : float or ndarray

    Raises
    ------
    TypeError, ValueError
        If an argument is not a number, or out of its range.

    References
    ----------
    .. [1] Wang, Mianjy, Arora, "Robust Learning for Data Poisoning Attacks", ICML 2021,
       Theorem 2.2.

    Examples
    --------
    >>> from skpoison.theory import sgd_step_size
    >>> sgd_step_size(100, radius=2.0, gradient_bound=1.0, perturbation_bound=1.0)
    0.1
    """
    n_steps, radius, slope = _check_sgd(n_steps, radius, gradient_bound, perturbation_bound)
    return unwrap(radius / (np.sqrt(n_steps) * slope))


def sgd_excess_risk_bound(
    n_steps: ArrayLike,
    *,
    radius: ArrayLike,
    gradient_bound: ArrayLike,
    perturbation_bound: ArrayLike,
    total_perturbation: ArrayLike,
) -> Any:
    """Theorem 2.2: E F(w_avg) - F(w*) <= 5 D (G + B') / (2 sqrt(T)) + 2 D sum_t ||zeta_t|| / T.

    F is convex on a domain of norm <= D. w_avg is the average of the T points that `projected_sgd`
    queries with the step `sgd_step_size`. The perturbations zeta may be any, adaptive ones too
    [1]_.

    Parameters
    ----------
    n_steps : int or array-like
        T >= 1, the number of oracle calls.
    radius : float or array-like
        D > 0: all of the domain has norm <= D.
    gradient_bound : float or array-like
        G > 0: E ||g||^2 <= G^2 for the clean stochastic gradient g.
    perturbation_bound : float or array-like
        B' >= 0: ||zeta|| <= B' for each perturbation.
    total_perturbation : float or array-like
        sum_t ||zeta_t|| >= 0; if it is random, its expectation.

    Returns
    -------
    bound : float or ndarray

    Raises
    ------
    TypeError, ValueError
        If an argument is not a number, or out of its range.

    Notes
    -----
    No constant is hidden. In the extracted text the formula is spread over several lines; we read
    the second term as (2 D sum_t ||zeta_t||) / T. The usual proof gives both terms: the domain has
    diameter 2 D, so the regret is at most (2 D)^2 / (2 eta T) + eta (G + B')^2 / 2 plus 2 D times
    the mean perturbation.

    References
    ----------
    .. [1] Wang, Mianjy, Arora, "Robust Learning for Data Poisoning Attacks", ICML 2021,
       Theorem 2.2.

    Examples
    --------
    >>> from skpoison.theory import sgd_excess_risk_bound
    >>> sgd_excess_risk_bound(
    ...     [100, 10_000],
    ...     radius=1.0,
    ...     gradient_bound=1.0,
    ...     perturbation_bound=1.0,
    ...     total_perturbation=[10.0, 100.0],
    ... )
    array([0.7 , 0.07])
    """
    steps, half, slope = _check_sgd(n_steps, radius, gradient_bound, perturbation_bound)
    total = check_values(total_perturbation, "total_perturbation", low=0)
    return unwrap(2.5 * half * slope / np.sqrt(steps) + 2 * half * total / steps)


def _check_sgd(n_steps, radius, gradient_bound, perturbation_bound):
    n_steps = check_values(n_steps, "n_steps", low=1)
    radius = check_values(radius, "radius", above=0)
    gradient_bound = check_values(gradient_bound, "gradient_bound", above=0)
    return (
        n_steps,
        radius,
        gradient_bound + check_values(perturbation_bound, "perturbation_bound", low=0),
    )
