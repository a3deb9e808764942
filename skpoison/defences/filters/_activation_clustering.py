import numpy as np
from sklearn.cluster import KMeans

from ..._typing import Classifier, Seed
from ..._validation import check_choice, check_int, check_real
from .._tags import with_input_of
from ._activations import Activations, check_layer, check_net
from ._base import BaseFilter
from ._principal import principal_projections


class ActivationClustering(BaseFilter):
    """Split the activations of each class into two clusters, and drop a cluster that is small.

    A net is trained on all rows. It learns rows that a backdoor has put into a class by another
    feature than the clean rows of the class, so that their activations form a cluster of their own
    [1]_. The score of a row is the share of its class that lies in the other cluster.

    Parameters
    ----------
    estimator : NetClassifier, or Pipeline that ends in one
        The net, of which a clone is trained. A FrozenEstimator is used as it is.
    size_threshold : float, default=0.35
        A cluster with less than this share of its class is dropped; >= 0 and <= 0.5. So at most
        this share of a class is dropped. 0 drops nothing.
    n_components : int, default=10
        Number of components to which activations are reduced.
    reduction : {"ica", "pca"}, default="ica"
        Independent components, as in [1]_, or principal components.
    layer : str or None, default=None
        The name of a module of the net (as in ``named_modules``), whose output is taken. None: the
        penultimate layer, which is the input of the last linear layer.
    random_state : int, RandomState instance or None, default=None
        Seeds every `random_state` in `estimator` that is None, and the clustering.

    Attributes
    ----------
    scores_, flagged_, kept_indices_, classes_, n_features_in_, input_shape_, feature_names_in_
        As in `BaseFilter`.
    estimator_ : NetClassifier or Pipeline
        The clone that was trained.

    Notes
    -----
    On clean data, too, 2-means splits each class, and one part is often small. So this filter may
    drop a third of a clean class.

    Independent components are principal components that were scaled to the same variance and
    rotated. 2-means does not depend on a rotation, so the rotation is left out: "ica" scales the
    components, and "pca" does not. Nothing is iterated that could fail to converge, and units that
    are constant (dead ReLUs) have no part in any component.

    The memory needed is that for the activations of one class, and for a square matrix of as many
    rows as a class has rows or the layer has units, whichever is smaller.

    References
    ----------
    .. [1] Chen et al., "Detecting Backdoor Attacks on Deep Neural Networks by Activation
       Clustering", arXiv:1811.03728, 2018.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.datasets import load_digits
    >>> from skpoison import MLP, ActivationClustering, BackdoorPatch, NetClassifier
    >>> X, y = load_digits(return_X_y=True)
    >>> patch = np.full((8, 8), np.nan)
    >>> patch[-2:, -2:] = 1.0  # a bright corner
    >>> attack = BackdoorPatch(patch.ravel(), target=0, rate=0.01, random_state=0)
    >>> X_poisoned, y_poisoned = attack.poison(X / 16, y)
    >>> net = NetClassifier(MLP, module__width=32, lr=0.5, batch_size=32, max_epochs=30)
    >>> clustering = ActivationClustering(net, reduction="pca", random_state=0)
    >>> flagged = clustering.flag(X_poisoned, y_poisoned)
    >>> bool(flagged[attack.poison_indices_].mean() > 0.9)
    True
    """

    def __init__(
        self,
        estimator: Classifier,
        size_threshold: float = 0.35,
        *,
        n_components: int = 10,
        reduction: str = "ica",
        layer: str | None = None,
        random_state: Seed = None,
    ) -> None:
        self.estimator = estimator
        self.size_threshold = size_threshold
        self.n_components = n_components
        self.reduction = reduction
        self.layer = layer
        self.random_state = random_state

    def _check_parameters(self):
        check_net(self.estimator)
        check_layer(self.layer)
        check_real(self.size_threshold, "size_threshold", low=0, high=0.5)
        check_int(self.n_components, "n_components", low=1)
        check_choice(self.reduction, "reduction", ("ica", "pca"))

    def _score(self, X, y, random_state):
        activations = Activations(self.estimator, self.layer, X, y, random_state)
        scores = np.zeros(len(y))
        for label in self.classes_:
            rows = np.flatnonzero(y == label)
            seed = random_state.randint(2**31 - 1)
            scores[rows] = self._shares_elsewhere(activations.of(rows), seed)
        self.estimator_ = activations.estimator
        return scores

    def _shares_elsewhere(self, activations, seed):
        """For each row of a class, the share of the class that lies in the other cluster."""
        reduced = principal_projections(activations, self.n_components)
        if not reduced.shape[1]:
            return np.zeros(len(reduced))  # All rows are alike.
        if self.reduction == "ica":
            reduced /= reduced.std(axis=0)
        clusters = KMeans(2, n_init=10, random_state=seed).fit_predict(reduced)
        sizes = np.bincount(clusters, minlength=2)
        return sizes[1 - clusters] / len(clusters)

    def _choose(self, scores, y):
        return scores > 1 - self.size_threshold

    def __sklearn_tags__(self):
        return with_input_of(super().__sklearn_tags__(), self.estimator)
