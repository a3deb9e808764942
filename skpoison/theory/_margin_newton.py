"""Newton's method for the max-min problem of the margin: an interior-point method."""

import numpy as np
from scipy.linalg import LinAlgError, cho_factor, cho_solve

# How much the barrier shrinks between two problems.
_SHRINK = 0.3


def follow_central_path(state):
    """Solve the dual with ever smaller barriers, until `state` is done or rounding ends it.

    The dual is a second-order cone problem. With a barrier mu its objective is mean_s phi(u_s(q)) -
    mu mean_i ln q_i, where phi(u) = min over t of t - mu ln(t^2 - ||u||^2) is smooth: t = mu +
    sqrt(mu^2 + ||u||^2), and the slope of phi is u / t. At its minimum the gap is at most 2 mu.

    Parameters
    ----------
    state : object
        Has `game`, `tol`, `done` and `upper`. Its `evaluate(weights, smoothing)` keeps the bounds.
    """
    problem = _Barrier(state.game)
    n = len(state.game.X)
    q, mu = np.full(n, 1 / n), state.upper
    while not state.done:
        try:
            step, decrement = problem.newton_step(q, mu)
        except LinAlgError:
            return
        # A barrier that is small enough stays, and its problem is solved to the end.
        if decrement < 0.1 * mu / n and 4 * mu > state.tol * state.upper:
            if mu < 1e-12:
                return
            mu *= _SHRINK
            continue
        q = problem.search(q, step, decrement, mu)
        if q is None:
            return
        state.evaluate(q, mu)


class _Barrier:
    """The dual with a barrier, in float64. Directions with the same active rows are one pattern."""

    def __init__(self, game):
        patterns, counts = np.unique(game.active.T, axis=0, return_counts=True)
        self.X = game.X.astype(np.float64)
        self.signed = patterns.T * np.asarray(game.signs, np.float64)[:, np.newaxis]
        self.shares = counts / counts.sum()
        self.gram = self.X @ self.X.T

    def value(self, q, mu):
        _, _, t = self._sums(q, mu)
        return self.shares @ (t - mu * np.log(2 * mu * t)) - mu * np.log(q).mean()

    def newton_step(self, q, mu):
        """The step, relative to q, and the squared Newton decrement."""
        n = len(q)
        u, root, t = self._sums(q, mu)
        products = self.signed * (self.X @ u.T)
        slopes = products @ (self.shares / t)
        hessian = self.gram * ((self.signed * (self.shares / t)) @ self.signed.T)
        hessian -= (products * (self.shares / (t**2 * root))) @ products.T
        # In units of q, in which the barrier's part is the identity.
        hessian *= q[:, np.newaxis] * q
        hessian[np.diag_indices(n)] += mu / n
        factor = cho_factor(hessian)
        gradient = q * slopes - mu / n
        newton, normal = (cho_solve(factor, -gradient), cho_solve(factor, q))
        # The weights keep their sum.
        step = newton - normal * ((q @ newton) / (q @ normal))
        return step, -gradient @ step

    def search(self, q, step, decrement, mu):
        """The weights after a step that is short enough to lower the value; None if none is."""
        length = min(1.0, 0.95 / max(1e-300, -step.min()))
        before = self.value(q, mu)
        for _ in range(40):
            new = q * (1 + length * step)
            if self.value(new, mu) <= before - 0.1 * length * decrement:
                return new / new.sum()
            length /= 2
        return None

    def _sums(self, q, mu):
        u = (self.signed * q[:, np.newaxis]).T @ self.X
        root = np.sqrt(mu**2 + np.einsum("ij,ij->i", u, u))
        return u, root, mu + root
