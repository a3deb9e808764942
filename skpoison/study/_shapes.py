"""The shape of a curve of scores, in numbers and in words."""

import math
from typing import NamedTuple

from .._intervals import Drop, rounded


class Peak(NamedTuple):
    """The best value of the parameter, and its mean score."""

    param: object
    score: float

    def __repr__(self) -> str:
        return f"best at {value_text(self.param)} ({rounded(self.score)})"


class UShape(NamedTuple):
    """The answer of `RobustnessCurve.u_shape`."""

    peak: Peak
    left: Drop
    right: Drop
    is_u: bool | None
    about: str

    def __repr__(self) -> str:
        return self.describe()

    def verdict(self) -> str:
        """Say whether the curve is a U, in a few words.

        Returns
        -------
        verdict : str
            "a U", "not a U" or "no verdict".
        """
        return {True: "a U", False: "not a U", None: "no verdict"}[self.is_u]

    def describe(
        self, param_name: str = "", first: object = "the first value", last: object = "the last"
    ) -> str:
        """Say the verdict, where the peak is, and how far each end lies under it.

        Parameters
        ----------
        param_name : str, default=""
            The parameter that varies; of a nested one, its last name is printed.
        first, last : object, default="the first value", "the last"
            The ends: the parameter's first and last value.

        Returns
        -------
        text : str
            One line.
        """
        name = f"{last_name(param_name)} " if param_name else ""
        peak = f"best at {name}{value_text(self.peak.param)} ({rounded(self.peak.score)})"
        if math.isnan(self.left.low) or math.isnan(self.right.low):
            return f"{self.verdict()}, no interval; {peak}"
        lies = []
        for end, drop, which in ((first, self.left, "first"), (last, self.right, "last")):
            if end is self.peak.param and not self.is_u:
                peak += f", the {which} value"
            else:
                lies.append(f"{value_text(end)} lies {drop} under it")
        text = f"{self.verdict()}: {peak}; {', '.join(lies)}"
        return f"{text} (about {self.about})" if self.is_u is None else text


def value_text(value):
    """A value of the parameter for people to read."""
    return f"{value:g}" if isinstance(value, float) else str(value)


def last_name(param_name):
    """The last part of a nested parameter's name: "width" of "module__width"."""
    return param_name.rpartition("__")[2]
