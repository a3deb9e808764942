"""Two attacks as a user writes them: shown in the documentation, tested as they are."""

import numpy as np

from skpoison import BaseFeatureAttack, BaseLabelAttack


class TowardsNextClass(BaseFeatureAttack):
    """Move every row towards the mean of the class after its own."""

    def _perturb(self, X, y, random_state):
        classes, codes = np.unique(y, return_inverse=True)
        means = np.stack([X[codes == k].mean(axis=0) for k in range(len(classes))])
        return means[(codes + 1) % len(classes)] - X


class BorderFlip(BaseLabelAttack):
    """Give the rows nearest to another class its label."""

    def __init__(self, rate=0.1, *, random_state=None):
        self.rate = rate
        self.random_state = random_state

    def _relabel(self, X, codes, n_classes, random_state):
        rows, own = np.asarray(X, dtype=float).reshape(len(X), -1), np.arange(len(X))
        means = np.stack([rows[codes == k].mean(axis=0) for k in range(n_classes)])
        distances = np.linalg.norm(rows[:, np.newaxis] - means, axis=2)
        to_own = distances[own, codes]
        distances[own, codes] = np.inf
        nearest = np.argsort(distances.min(axis=1) - to_own)[: round(self.rate * len(X))]
        new = codes.copy()
        new[nearest] = distances[nearest].argmin(axis=1)
        return new
