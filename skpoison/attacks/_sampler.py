from numpy.typing import ArrayLike

from .._typing import Attack, Rows


class SamplerMixin:
    """What imbalanced-learn's Pipeline calls, for attacks that change labels."""

    def fit_resample(self: Attack, X: ArrayLike, y: ArrayLike) -> tuple[Rows, Rows]:
        """Run the attack: `poison` under the name that imbalanced-learn's Pipeline calls.

        Parameters
        ----------
        X : array-like of shape (n, d) or (n, c, h, w)
            Training rows.
        y : array-like of shape (n,)
            Clean labels.

        Returns
        -------
        X_poisoned, y_poisoned
            As `poison` returns them.
        """
        return self.poison(X, y)
