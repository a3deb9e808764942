"""The check of numbers of units and layers."""

from numbers import Integral
from typing import Any


def check_size(value: Any, name: str) -> None:
    """Raise a ValueError unless `value` is an integer >= 1."""
    if not isinstance(value, Integral) or value < 1:
        raise ValueError(f"`{name}` must be an integer >= 1, got {value!r}")
