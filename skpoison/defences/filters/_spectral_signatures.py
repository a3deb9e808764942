import numpy as np

from ..._typing import Classifier, Seed
from ..._validation import check_real, rows_in_share
from ..._warnings import warn_no_row
from .._tags import with_input_of
from ._activations import Activations, check_layer, check_net
from ._base import BaseFilter
from ._principal import principal_projections

# The paper drops 1.5 times the bound on the poisoned rows.
_MARGIN = 1.5


class SpectralSignatures(BaseFilter):
    """Drop the rows of each class that stand out along the main direction of its activations.

    A net is trained on all rows. If a backdoor has put some rows into a class, their activations
    differ from the others' by about the same vector, and the activations of the class vary most in
    its direction. The score of a row is its squared projection on the direction in which the
    activations of its class vary most [1]_.

    Parameters
    ----------
    estimator : NetClassifier, or Pipeline that ends in one
        The net, of which a clone is trained. A FrozenEstimator is used as it is.
    fraction : float, default=0.1
        A bound on the poisoned share of each class, >= 0 and < 2/3. Of each class 1.5 times this
        share is dropped, rounded down, poisoned or not. 0 drops nothing.
    layer : str or None, default=None
        The name of a module of the net (as in ``named_modules``), whose output is taken. None: the
        penultimate layer, which is the input of the last linear layer.
    random_state : int, RandomState instance or None, default=None
        Seeds every `random_state` in `estimator` that is None.

    Attributes
    ----------
    scores_, flagged_, kept_indices_, classes_, n_features_in_, input_shape_, feature_names_in_
        As in `BaseFilter`.
    estimator_ : NetClassifier or Pipeline
        The clone that was trained.

    Warns
    -----
    UserWarning
        If `fraction` is over 0 and drops no row.

    Notes
    -----
    Scores are computed in double precision. The memory needed is that for the activations of one
    class, and for a square matrix of as many rows as a class has rows or the layer has units,
    whichever is smaller.

    References
    ----------
    .. [1] Tran, Li, Madry, "Spectral Signatures in Backdoor Attacks", NeurIPS 2018, Algorithm 1.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.datasets import load_digits
    >>> from skpoison import MLP, BackdoorPatch, NetClassifier, SpectralSignatures
    >>> X, y = load_digits(return_X_y=True)
    >>> patch = np.full((8, 8), np.nan)
    >>> patch[-2:, -2:] = 1.0  # a bright corner
    >>> attack = BackdoorPatch(patch.ravel(), target=0, rate=0.01, random_state=0)
    >>> X_poisoned, y_poisoned = attack.poison(X / 16, y)
    >>> net = NetClassifier(MLP, module__width=32, lr=0.5, batch_size=32, max_epochs=30)
    >>> flagged = SpectralSignatures(net, random_state=0).flag(X_poisoned, y_poisoned)
    >>> bool(flagged[attack.poison_indices_].mean() > 0.8)
    True
    """

    def __init__(
        self,
        estimator: Classifier,
        fraction: float = 0.1,
        *,
        layer: str | None = None,
        random_state: Seed = None,
    ) -> None:
        self.estimator = estimator
        self.fraction = fraction
        self.layer = layer
        self.random_state = random_state

    def _check_parameters(self):
        check_net(self.estimator)
        check_layer(self.layer)
        fraction = check_real(self.fraction, "fraction", low=0)
        if not _MARGIN * fraction < 1:
            raise ValueError(
                f"`fraction` must be < 2/3, because 1.5 times it is dropped, got {fraction}"
            )

    def _score(self, X, y, random_state):
        activations = Activations(self.estimator, self.layer, X, y, random_state)
        scores = np.zeros(len(y))
        for label in self.classes_:
            rows = np.flatnonzero(y == label)
            projections = principal_projections(activations.of(rows), 1)
            scores[rows] = np.square(projections).sum(axis=1)
        self.estimator_ = activations.estimator
        return scores

    def _choose(self, scores, y):
        flagged = np.zeros(len(y), dtype=bool)
        for label in self.classes_:
            rows = np.flatnonzero(y == label)
            n_dropped = rows_in_share(_MARGIN * self.fraction, len(rows))
            # A stable sort, so that ties go to the first rows on every platform.
            order = np.argsort(-scores[rows], kind="stable")
            flagged[rows[order[:n_dropped]]] = True
        if self.fraction and not flagged.any():
            warn_no_row(self, "fraction", self.fraction, len(y))
        return flagged

    def __sklearn_tags__(self):
        return with_input_of(super().__sklearn_tags__(), self.estimator)
