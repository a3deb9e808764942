"""The max-min problem of the margin, and the methods that close its gap."""

import numpy as np

from ._margin_newton import follow_central_path

# Up to this many rows, Newton's method follows the first-order one. A step takes n^2 M operations.
_NEWTON_ROWS = 500
# Directions in one matrix product. It bounds the memory to this many numbers for each row.
_CHUNK = 256


class MarginGame:
    """min over q in the simplex of f(q) = mean_s ||u_s(q)||, u_s(q) = sum_i q_i y_i x_i A_is.

    A_is = 1[z_s . x_i >= 0]. The slope of f in q_i is the margin of row i under the best answer
    v_s = u_s / ||u_s||. So each evaluation gives an upper bound, f(q), and a lower bound, the
    smallest slope. Where u_s is 0, any vector of norm <= 1 can be the best answer. To find it, the
    answer with `smoothing` mu > 0 is u_s / (mu + sqrt(mu^2 + ||u_s||^2)).
    """

    def __init__(self, X, signs, directions):
        self.X = X
        self.signs = signs
        self.n_directions = len(directions)
        self._active = [X @ z.T >= 0 for z in _chunks(directions.astype(X.dtype, copy=False))]

    @property
    def active(self):
        """A_is, of shape (n_rows, n_directions)."""
        return np.concatenate(self._active, axis=1)

    def evaluate(self, weights, smoothing=0.0):
        """f at `weights`, and each row's margin under the answer."""
        norms, sums, _ = self.moments(weights, smoothing)
        return norms.mean(), sums / self.n_directions

    def moments(self, weights, smoothing=0.0, *, squares=False):
        """||u_s|| for each s, and the sums over s of each row's margin and its square."""
        norms, sums = [], np.zeros(len(self.X))
        sums_of_squares = np.zeros(len(self.X))
        for v, length, active in self._answers(weights, smoothing):
            margins = self.X @ v.T
            margins *= active
            norms.append(length)
            sums += margins.sum(axis=1, dtype=np.float64)
            if squares:
                sums_of_squares += np.einsum("ij,ij->i", margins, margins, dtype=np.float64)
        return np.concatenate(norms), sums * self.signs, sums_of_squares

    def separator(self, weights, smoothing=0.0):
        """v_s for each s, shape (n_directions, d), each of norm <= 1."""
        return np.concatenate([v for v, _, _ in self._answers(weights, smoothing)])

    def _answers(self, weights, smoothing):
        signed = (weights * self.signs).astype(self.X.dtype)[:, np.newaxis]
        for active in self._active:
            u = (active * signed).T @ self.X
            norms = np.sqrt(np.einsum("ij,ij->i", u, u))
            # A direction in which no row is active has u = 0, and its answer is 0.
            lengths = smoothing + np.hypot(smoothing, norms) if smoothing else norms
            u /= np.where(lengths > 0, lengths, 1)[:, np.newaxis]
            yield u, norms, active


def solve(game, *, tol, max_iter):
    """Minimise f by accelerated entropic gradient steps (Tseng's first method, with restarts).

    Returns an object with `upper`, `lower`, the weights that gave each, the `smoothing` of the
    lower one, `converged` and `n_iter` (the number of evaluations). f is smooth where no u_s is 0.
    Therefore this is faster than multiplicative weights, whose gap falls as 1 / sqrt(evaluations).

    If the minimum lies where some u_s is 0, as it often does with few features, gradient steps
    stall. Then half of the evaluations go to Newton's method on a smoothed problem, unless there
    are too many rows for it.
    """
    newton = len(game.X) <= _NEWTON_ROWS
    state = _Best(game, tol, max_iter - max_iter // 2 if newton else max_iter)
    weights = np.full(len(game.X), 1 / len(game.X))
    value, _ = state.evaluate(weights)
    lipschitz = 1.0
    while not state.done:
        weights, value, lipschitz, moved = _accelerate(state, weights, value, lipschitz)
        if not moved:
            break
    state.max_iter = max_iter
    if newton and not state.done:
        follow_central_path(state)
    return state


class _Best:
    """Evaluates f, and keeps the best bounds and the weights that gave them."""

    def __init__(self, game, tol, max_iter):
        self.game, self.tol, self.max_iter = game, tol, max_iter
        self.upper, self.lower = np.inf, -np.inf
        self.smoothing = 0.0
        self.n_iter = 0

    def evaluate(self, weights, smoothing=0.0):
        value, slopes = self.game.evaluate(weights, smoothing)
        self.n_iter += 1
        if value < self.upper:
            self.upper, self.upper_weights = value, weights
        if slopes.min() > self.lower:
            self.lower, self.lower_weights = slopes.min(), weights
            self.smoothing = smoothing
        return value, slopes

    @property
    def converged(self):
        # The margin is never below 0: v = 0 reaches 0.
        return self.upper - max(self.lower, 0) <= self.tol * self.upper

    @property
    def done(self):
        return self.converged or self.n_iter >= self.max_iter


def _accelerate(state, weights, value, lipschitz):
    """Take accelerated steps until f rises or `state` is done.

    Returns the weights, f there, the Lipschitz constant, and whether any step lowered f.
    """
    theta, moved = 1.0, False
    rounding = np.finfo(state.game.X.dtype).eps
    centre, log_centre = weights, np.log(np.maximum(weights, 1e-300))
    while not state.done:
        point = (1 - theta) * weights + theta * centre
        f, slopes = state.evaluate(point)
        while not state.done:
            new_centre, new_log = _mirror_step(log_centre, slopes / (theta * lipschitz))
            new = (1 - theta) * weights + theta * new_centre
            new_value, _ = state.evaluate(new)
            divergence = new_centre @ (new_log - log_centre)
            model = f + slopes @ (new - point) + theta**2 * lipschitz * divergence
            if new_value <= model + rounding * value or lipschitz > 1e12:
                break
            lipschitz *= 2
        else:
            return weights, value, lipschitz, moved
        if new_value >= value:
            # The momentum overshot. In the first step: f cannot fall any further, up to rounding.
            return weights, value, lipschitz, moved
        weights, value, centre, log_centre, moved = new, new_value, new_centre, new_log, True
        theta = 2 / (1 + np.sqrt(1 + 4 / theta**2))
        lipschitz *= 0.9
    return weights, value, lipschitz, moved


def _mirror_step(log_weights, slopes):
    """Weights proportional to exp(log_weights - slopes), and their logarithms."""
    logs = log_weights - slopes
    logs -= logs.max()
    weights = np.exp(logs)
    total = weights.sum()
    return weights / total, np.maximum(logs - np.log(total), -690.0)


def _chunks(directions):
    return [directions[k : k + _CHUNK] for k in range(0, len(directions), _CHUNK)]
