from numpy.typing import ArrayLike

from .._typing import Attack, Rows


class SamplerMixin:
    """The method `fit_resample` of imbalanced-learn, for attacks that change labels."""

    def fit_resample(self: Attack, X: ArrayLike, y: ArrayLike) -> tuple[Rows, Rows]:
        """Run the attack, as `poison` does. imbalanced-learn's Pipeline calls this method.

        Parameters
        ----------
        X : array-like of shape (n, d) or (n, c, h, w)
            Clean training rows.
        y : array-like of shape (n,)
            Their labels.

        Returns
        -------
        X_poisoned, y_poisoned
            As `poison` returns them.
        """
        return self.poison(X, y)
