"""Types that several public signatures share."""

import os
from typing import Any, Protocol

import joblib
import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[Any]
# An array, or a DataFrame or Series where the caller gave one.
Rows = Any
# scikit-learn and skorch have no types.
Classifier = Any
Seed = int | np.random.RandomState | None
AnySeed = int | np.random.Generator | np.random.RandomState | None
Memory = str | os.PathLike[str] | joblib.Memory | None


class Attack(Protocol):
    """All that `PoisonedClassifier` and `robustness_curve` ask of an attack."""

    def poison(self, X: ArrayLike, y: ArrayLike, /) -> tuple[Rows, Rows]: ...
