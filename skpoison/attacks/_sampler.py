from numpy.typing import ArrayLike
from sklearn.base import OneToOneFeatureMixin

from .._typing import Attack, Rows


class SamplerMixin(OneToOneFeatureMixin):
    """What imbalanced-learn asks of a sampler, for attacks that change labels: `fit_resample`.

    imbalanced-learn's own samplers have `get_feature_names_out`, so these attacks have it too.
    """

    def fit_resample(self: Attack, X: Rows, y: ArrayLike) -> tuple[Rows, Rows]:
        """Run the attack, as `poison` does. imbalanced-learn's Pipeline calls this method.

        Parameters
        ----------
        X : array-like of shape (n, d) or (n, c, h, w), or frame of n rows
            Clean training rows, as in `poison`.
        y : array-like of shape (n,)
            Their labels.

        Returns
        -------
        X_poisoned, y_poisoned
            As `poison` returns them.
        """
        return self.poison(X, y)
