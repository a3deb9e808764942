"""Types that several public signatures share."""

import os
from collections.abc import Callable
from typing import Any, Protocol

import joblib
import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[Any]
# Rows or labels in any container; what is returned is in the container that the caller gave.
Rows = Any
# scikit-learn and skorch have no types.
Classifier = Any
Seed = int | np.random.RandomState | None
AnySeed = int | np.random.Generator | np.random.RandomState | None
# Names, positions, a mask or a function of X that returns one of these; one name or position.
Columns = ArrayLike | Callable[[Any], Any] | None
# Numbers, arrays with a value for each column, or "range".
Clip = tuple[float, float] | tuple[ArrayLike, ArrayLike] | str | None
Memory = str | os.PathLike[str] | joblib.Memory | None


class Attack(Protocol):
    """What `PoisonedClassifier` and `robustness_curve` need of an attack."""

    def poison(self, X: ArrayLike, y: ArrayLike, /) -> tuple[Rows, Rows]: ...
