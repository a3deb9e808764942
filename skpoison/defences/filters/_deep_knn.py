import numpy as np

from ..._typing import Classifier, Seed
from ..._validation import check_int
from .._tags import with_input_of
from ._activations import Activations, check_layer, check_net
from ._base import BaseFilter
from ._neighbours import lead_of_other_labels


class DeepKNN(BaseFilter):
    """Drop a row if another label leads among its nearest neighbours by a net's activations.

    A net is trained on all rows. The neighbours of a row are the other rows whose activations are
    nearest to its own. If a label is more frequent among them than the row's own, the row is
    dropped [1]_. The score is the lead of the strongest other label over the row's own, as a share
    of the neighbours. It lies between -1 and 1; over 0 a row is suspicious.

    Parameters
    ----------
    estimator : NetClassifier, or Pipeline that ends in one
        The net, of which a clone is trained. A FrozenEstimator is used as it is.
    n_neighbors : int, default=50
        Number of neighbours; all other rows, if there are fewer. The more rows are poisoned, the
        more neighbours are needed, so that poisoned rows are a minority among them.
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

    Notes
    -----
    The memory needed is that for the activations of all rows. Distances are computed in parts.

    References
    ----------
    .. [1] Peri et al., "Deep k-NN Defense against Clean-label Data Poisoning Attacks", ECCV
       Workshops 2020.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from skpoison import MLP, DeepKNN, LabelFlip, NetClassifier
    >>> X, y = load_digits(return_X_y=True)
    >>> attack = LabelFlip(0.1, random_state=0)
    >>> X_poisoned, y_poisoned = attack.poison(X / 16, y)
    >>> net = NetClassifier(MLP, lr=0.5, batch_size=32)
    >>> flagged = DeepKNN(net, random_state=0).flag(X_poisoned, y_poisoned)
    >>> bool(flagged[attack.poison_indices_].mean() > 0.9)
    True
    """

    def __init__(
        self,
        estimator: Classifier,
        n_neighbors: int = 50,
        *,
        layer: str | None = None,
        random_state: Seed = None,
    ) -> None:
        self.estimator = estimator
        self.n_neighbors = n_neighbors
        self.layer = layer
        self.random_state = random_state

    def _check_parameters(self):
        check_net(self.estimator)
        check_layer(self.layer)
        check_int(self.n_neighbors, "n_neighbors", low=1)

    def _score(self, X, y, random_state):
        activations = Activations(self.estimator, self.layer, X, y, random_state)
        rows = activations.of(np.arange(len(y)))
        self.estimator_ = activations.estimator
        return lead_of_other_labels(rows, np.searchsorted(self.classes_, y), self.n_neighbors)

    def __sklearn_tags__(self):
        return with_input_of(super().__sklearn_tags__(), self.estimator)
