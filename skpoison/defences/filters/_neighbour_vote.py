from typing import Any

import numpy as np
from scipy.sparse import issparse
from sklearn.base import clone
from sklearn.utils import check_array

from ..._seeding import seed_estimator
from ..._typing import Seed
from ..._validation import check_int, check_rows
from .._tags import with_input_of
from ._base import BaseFilter
from ._neighbours import lead_of_other_labels


class NeighbourVote(BaseFilter):
    """Drop a row if another label leads among its nearest neighbours; it needs no net.

    This is Wilson's edited nearest neighbours [1]_, which [2]_ uses against flipped labels. If a
    label is more frequent among the neighbours of a row than the row's own, the row is dropped. The
    score is the lead of the strongest other label over the row's own, as a share of the neighbours.
    It lies between -1 and 1; over 0 a row is suspicious.

    Parameters
    ----------
    n_neighbors : int, default=10
        Number of neighbours; all other rows, if there are fewer.
    transformer : transformer or None, default=None
        Makes of X the numbers by which rows are compared. A clone is fitted on X and y. For a
        table with texts and missing cells use a Pipeline or a ColumnTransformer; for columns of
        several units a StandardScaler. None: X holds numbers, and is compared as it is.
    random_state : int, RandomState instance or None, default=None
        Seeds every `random_state` in `transformer` that is None.

    Attributes
    ----------
    scores_, flagged_, kept_indices_, classes_, n_features_in_, input_shape_, feature_names_in_
        As in `BaseFilter`.
    transformer_ : transformer or None
        The clone that was fitted.

    Notes
    -----
    Distances are Euclidean, and are computed in parts.

    References
    ----------
    .. [1] Wilson, "Asymptotic Properties of Nearest Neighbor Rules Using Edited Data", IEEE
       Transactions on Systems, Man, and Cybernetics, 1972.
    .. [2] Paudice, Munoz-Gonzalez, Lupu, "Label Sanitization against Label Flipping Poisoning
       Attacks", ECML PKDD Workshops 2018.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.preprocessing import StandardScaler
    >>> from skpoison import LabelFlip, NeighbourVote
    >>> X, y = load_iris(return_X_y=True)
    >>> attack = LabelFlip(0.1, random_state=0)
    >>> X_poisoned, y_poisoned = attack.poison(X, y)
    >>> vote = NeighbourVote(transformer=StandardScaler())
    >>> flagged = vote.flag(X_poisoned, y_poisoned)
    >>> bool(flagged[attack.poison_indices_].mean() > 0.8)
    True
    """

    def __init__(
        self, n_neighbors: int = 10, *, transformer: Any = None, random_state: Seed = None
    ) -> None:
        self.n_neighbors = n_neighbors
        self.transformer = transformer
        self.random_state = random_state

    def _check_parameters(self):
        check_int(self.n_neighbors, "n_neighbors", low=1)
        is_class = isinstance(self.transformer, type)
        if self.transformer is not None and (
            is_class or not hasattr(self.transformer, "transform")
        ):
            raise TypeError(
                f"`transformer` must be a transformer or None, got {self.transformer!r}"
            )

    def _score(self, X, y, random_state):
        transformer = None
        if self.transformer is not None:
            transformer = seed_estimator(clone(self.transformer), random_state, overwrite=False)
            rows = check_array(
                transformer.fit_transform(X, y), accept_sparse="csr", input_name="X transformed"
            )
        elif issparse(X):
            rows = check_array(X, accept_sparse="csr")
        else:
            rows = check_rows(self, X, reset=False)
            rows = rows.reshape(len(rows), -1)
        self.transformer_ = transformer
        return lead_of_other_labels(rows, np.searchsorted(self.classes_, y), self.n_neighbors)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        if self.transformer is None:
            tags.input_tags.sparse = True
            return tags
        tags = with_input_of(tags, self.transformer)
        # A scaler takes missing cells, but leaves them missing.
        tags.input_tags.allow_nan = False
        return tags
