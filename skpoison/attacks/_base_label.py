from abc import abstractmethod

import numpy as np

from .._typing import Seed
from ._base import BaseAttack
from ._rows_as_given import RowsAsGiven
from ._sampler import SamplerMixin


class BaseLabelAttack(SamplerMixin, RowsAsGiven, BaseAttack):
    """Base of attacks on labels: the hook `_relabel` gives new labels.

    It is a sampler: it has `fit_resample` and no `transform`, because a scikit-learn transformer
    cannot change y. Use it in imbalanced-learn's Pipeline or inside `PoisonedClassifier`.

    X may be anything with n rows: an array, a list of texts, sparse rows, a frame with missing
    cells, a dict of parts. It is neither read nor copied, and comes back as the same object.

    Parameters
    ----------
    random_state : int, RandomState instance or None, default=None
        Seeds the attack's random choices.

    Examples
    --------
    An attack in two lines: all labels become the first class.

    >>> import numpy as np
    >>> from skpoison.attacks import BaseLabelAttack
    >>> class AllFirst(BaseLabelAttack):
    ...     def _relabel(self, X, codes, n_classes, random_state):
    ...         return np.zeros_like(codes)
    >>> X_poisoned, y_poisoned = AllFirst().poison([[0.0], [1.0], [2.0]], ["b", "a", "b"])
    >>> y_poisoned
    ['a', 'a', 'a']
    """

    tags = BaseAttack.tags | {
        "capability": "changes labels of training rows; features stay as they are"
    }

    def __init__(self, *, random_state: Seed = None) -> None:
        self.random_state = random_state

    @abstractmethod
    def _relabel(self, X, codes, n_classes, random_state):
        """Hook: return new codes (n,), indices into `classes_`.

        X is what the caller gave, in any container: `numpy.asarray(X)` if rows of numbers are
        needed. Do not write to X or `codes`.
        """

    def _poison(self, X, y, random_state):
        codes = np.searchsorted(self.classes_, y)
        n_classes = len(self.classes_)
        new = np.asarray(self._relabel(X, codes, n_classes, random_state))
        is_code = new.dtype.kind in "iu" and new.shape == codes.shape
        if not is_code or ((new < 0) | (new >= n_classes)).any():
            raise ValueError(
                f"`_relabel` of {type(self).__name__} must return integers from 0 to "
                f"{n_classes - 1} of shape {codes.shape}, got {new.dtype} of shape {new.shape}"
            )
        return X, self.classes_[new]

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = tags.input_tags.allow_nan = True
        return tags
