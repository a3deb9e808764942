from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import ndtr

from .._typing import AnySeed
from .._validation import check_int, check_real
from ._adversaries import constant_perturbation
from ._arguments import make_rng
from ._oracle import PoisonedOracle

# Any noise in (0, 1) proves the theorem with some constant. With this one the bound is above
# 0.2 (1/sqrt(T) + S/T) for every T >= 1 and S in [0, T].
_NOISE = 0.7
_LARGEST_DRIFT = np.sqrt(1 - _NOISE**2)


@dataclass(frozen=True)
class LowerBoundInstance:
    """A linear function on [-1, 1] and its poisoned oracle; made by `lower_bound_instance`.

    Attributes
    ----------
    n_steps : int
        T, the number of queries for which the bound holds.
    sign : int
        s, 1 or -1: F(w) = s drift w.
    drift : float
        mu, the absolute slope of F.
    visible_drift : float
        r <= mu, the part of the drift that the perturbation leaves: the oracle's answers have mean
        s r.
    noise : float
        Standard deviation of the answers.
    total_perturbation : float
        sum_t ||zeta_t|| over the T queries: T (mu - r).
    excess_bound : float
        Averaged over both signs, no algorithm has a smaller excess error.
    oracle : PoisonedOracle
        The (1, 1)-PSFO (see `PoisonedOracle`), for w of shape (..., 1).

    Examples
    --------
    >>> import numpy as np
    >>> from skpoison.theory import lower_bound_instance
    >>> instance = lower_bound_instance(100, total_perturbation=10.0, sign=1)
    >>> bool(instance.objective(np.array([1.0])) == instance.drift)
    True
    """

    n_steps: int
    sign: int
    drift: float
    visible_drift: float
    noise: float
    total_perturbation: float
    excess_bound: float
    oracle: PoisonedOracle = field(repr=False)

    def objective(self, w: ArrayLike) -> Any:
        """F(w) = s mu w.

        Parameters
        ----------
        w : array-like of shape (..., 1)
            Points of [-1, 1].

        Returns
        -------
        value : float or ndarray of shape (...)
        """
        values = self.sign * self.drift * np.asarray(w, dtype=np.float64)[..., 0]
        return values if np.ndim(values) else float(values)

    def excess(self, w: ArrayLike) -> Any:
        """F(w) - min F = mu (1 + s w); the minimum is -mu, at w = -s.

        Parameters
        ----------
        w : array-like of shape (..., 1)
            Points of [-1, 1].

        Returns
        -------
        excess : float or ndarray of shape (...)
        """
        return self.objective(w) + self.drift


def lower_bound_instance(
    n_steps: int,
    *,
    total_perturbation: float,
    sign: int | None = None,
    random_state: AnySeed = None,
) -> LowerBoundInstance:
    """Theorem 2.3: a problem on which no algorithm beats a constant times 1/sqrt(T) + S/T.

    Parameters
    ----------
    n_steps : int
        T >= 1, the number of oracle calls that an algorithm makes.
    total_perturbation : float
        S in [0, T], the largest sum of the perturbations' norms.
    sign : {1, -1} or None, default=None
        s, the sign of F's slope. None: drawn at random.
    random_state : int, Generator, RandomState or None, default=None
        Seeds the draw of the sign. (The noise comes from the rng with which the oracle is called.)

    Returns
    -------
    instance : LowerBoundInstance
        With ``objective``, ``excess``, ``oracle`` and ``excess_bound``.

    Raises
    ------
    TypeError, ValueError
        If a parameter is out of its range.

    Notes
    -----
    The paper proves the theorem in an appendix that was not at hand, so the instance is our own.
    F(w) = s mu w on [-1, 1]. The oracle's clean gradient is s mu + 0.7 N(0, 1). Each perturbation
    is zeta = -s (mu - r), which hides the drift mu except for r. With::

        r = 0.7 / (2 sqrt(T)),    mu = min(r + S/T, sqrt(1 - 0.7^2)),

    E g^2 = mu^2 + 0.7^2 <= 1, ||zeta|| <= 1 and sum_t ||zeta_t|| <= S, so this is a (1, 1)-PSFO.
    For any queries the T answers are independent draws of N(s r, 0.7^2), so all that they tell
    about s is in their mean. The answers for the two signs are at total variation distance
    TV = 2 Phi(r sqrt(T) / 0.7) - 1 = 2 Phi(1/2) - 1. For an output w in [-1, 1]::

        (excess_+ + excess_-) / 2 = mu (1 + (E_+ w - E_- w) / 2) >= mu (1 - TV)
                                  = 2 Phi(-1/2) mu = 0.617 mu,

    which is `excess_bound`. It is at least 0.2 (1/sqrt(T) + S/T): if the minimum in mu is its first
    term, because 0.617 * 0.35 > 0.2; else because 0.617 * 0.714 > 0.4. The noise must hide a shift,
    as Gaussian noise does: with noise of two values, c and -c, one answer would reveal s. The
    average over both signs is needed: an algorithm that always answers -1 has no excess at s = 1.

    References
    ----------
    .. [1] Wang, Mianjy, Arora, "Robust Learning for Data Poisoning Attacks", ICML 2021,
       Theorem 2.3.

    Examples
    --------
    >>> from skpoison.theory import lower_bound_instance
    >>> instance = lower_bound_instance(10_000, total_perturbation=1000.0, sign=1)
    >>> round(instance.drift, 4), round(instance.visible_drift, 4)
    (0.1035, 0.0035)
    >>> round(instance.excess_bound, 4)
    0.0639
    """
    n_steps = check_int(n_steps, "n_steps", low=1)
    total = check_real(total_perturbation, "total_perturbation", low=0, high=n_steps)
    if sign is None:
        sign = make_rng(random_state).choice([-1, 1])
    sign = check_int(sign, "sign")
    if sign not in (-1, 1):
        raise ValueError(f"`sign` must be 1, -1 or None, got {sign}")
    visible = _NOISE / (2 * np.sqrt(n_steps))
    hidden = min(total / n_steps, _LARGEST_DRIFT - visible)
    drift = visible + hidden

    def gradient(w, rng):
        return sign * drift + _NOISE * rng.standard_normal(w.shape)

    return LowerBoundInstance(
        n_steps=n_steps,
        sign=sign,
        drift=float(drift),
        visible_drift=float(visible),
        noise=_NOISE,
        total_perturbation=float(n_steps * hidden),
        excess_bound=float(2 * ndtr(-0.5) * drift),
        oracle=PoisonedOracle(gradient, constant_perturbation([-sign], norm=hidden)),
    )
