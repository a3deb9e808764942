"""Which lines of several curves are drawn in which axes, and in which style."""

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from .._results import RobustnessCurve

STYLES = ("-", "--", ":", "-.", (0, (1, 3)), (0, (6, 3)), (0, (4, 2, 1, 2, 1, 2)))


@dataclass
class Line:
    """The scores of one victim under one attack; a name is None if there is none to tell apart.

    `values` are the positions on the axis, and `table` the scores, a row for each. `is_u` says
    whether they are a U; None stands for no verdict. `has_peak` says whether the best value is
    marked.
    """

    victim: str | None
    attack: str | None
    values: list
    table: Any
    is_u: bool | None = None
    has_peak: bool = False

    @property
    def label(self):
        names = [name for name in (self.victim, self.attack) if name is not None]
        return f"{', '.join(names)}{' (a U)' if self.is_u else ''}"


@dataclass
class Panel:
    """What is drawn in one axes; `label` names the horizontal axis."""

    title: str
    label: str
    lines: list[Line]

    @property
    def values(self):
        """The values of the lines, in their order; of lines that differ, sorted and each once."""
        found = [list(line.values) for line in self.lines]
        if all(values == found[0] for values in found):
            return found[0] if found else []
        return sorted(set(itertools.chain(*found)))


def panels_of(curves):
    """The panels of a dict of victim to curve.

    Curves over strengths have a panel for each attack if the strengths differ. Other curves have a
    panel for each parameter. Curves with a single fit have the attacks on their axis.
    """
    over_strengths = {curve.strengths is not None for curve in curves.values()}
    if len(over_strengths) > 1:
        raise ValueError(
            "`curves` must all be over the strength of attacks, or all over parameters of victims, "
            f"got {[curve.param_name for curve in curves.values()]}"
        )
    return _of_strengths(curves) if over_strengths == {True} else _of_parameters(curves)


def _of_strengths(curves):
    attacked, clean = {}, []
    for victim, curve in curves.items():
        for name, word in curve.strength_names.items():
            line = Line(victim, name, list(curve.values_of(name)), curve.scores[name])
            if word is None:
                clean.append(line)
            else:
                attacked.setdefault(name, []).append((word, line))
    if not attacked:
        return [Panel("", "strength", clean)]
    found = [pair for pairs in attacked.values() for pair in pairs]
    first = found[0][1].values
    if all(line.values == first for _, line in found):
        words = {word for word, _ in found}
        label = words.pop() if len(words) == 1 else "strength of the attack"
        in_order = [
            line
            for victim, curve in curves.items()
            for name in curve.scores
            for line in [*(line for _, line in found), *clean]
            if (line.victim, line.attack) == (victim, name)
        ]
        return [Panel("", label, [_along(line, first) for line in in_order])]
    panels = []
    for name, pairs in attacked.items():
        lines = [line for _, line in pairs]
        flat = [_along(line, lines[0].values) for line in clean]
        panels.append(Panel(name, pairs[0][0], [*lines, *flat]))
    return panels


def _along(line, values):
    """A line at the given values. Clean training is the same at all strengths."""
    if line.values == values:
        return line
    table = np.repeat(line.table[:1], len(values), axis=0)
    return Line(line.victim, line.attack, values, table)


def _of_parameters(curves):
    panels = {}
    for victim, curve in curves.items():
        if not curve.param_name:
            names = list(curve.scores)
            table = np.concatenate([curve.scores[name] for name in names])
            lines = [Line(victim, None, names, table)]
            key = ("", tuple(names))
        else:
            lines = [_of_attack(victim, curve, name) for name in curve.scores]
            # Numbers share an axis; of other values, each axis has the same.
            is_number = all(is_numeric(value) for value in curve.param_range)
            key = (curve.param_name, None if is_number else tuple(map(str, curve.param_range)))
        panels.setdefault(key, []).extend(lines)
    single = len(panels) == 1
    return [
        Panel("" if single else _victims(lines), key[0] or "attack", lines)
        for key, lines in panels.items()
    ]


def _of_attack(victim, curve, name):
    best = best_row(curve.scores[name])
    is_u = None if best is None else curve.u_shape(name).is_u
    return Line(victim, name, list(curve.param_range), curve.scores[name], is_u, True)


def _victims(lines):
    return ", ".join(dict.fromkeys(line.victim for line in lines))


def best_row(table):
    """The row with the best mean, as `RobustnessCurve.peak` compares them; None without scores.

    Means are compared over the columns in which no fit failed. A row whose fits all failed does not
    count.
    """
    finite = np.isfinite(table)
    rows = np.flatnonzero(finite.any(axis=1))
    columns = finite[rows].all(axis=0)
    if not len(rows) or not columns.any():
        return None
    return rows[np.argmax(table[rows][:, columns].mean(axis=1))]


def is_numeric(value):
    """Whether a value stands on an axis of numbers."""
    return isinstance(value, (int, float, np.number)) and not isinstance(value, bool)


def styles_of(curves, colors):
    """The style of each name: colours by victim, and line styles by attack."""
    names = dict.fromkeys(
        name
        for curve in curves.values()
        if curve.param_name  # Without a parameter, the attacks are on the axis.
        for name in curve.scores
    )
    return (
        {name: colors[i % len(colors)] for i, name in enumerate(curves)},
        {name: STYLES[i % len(STYLES)] for i, name in enumerate(names)},
    )


def check_curves(curves):
    """Raise unless `curves` is a non-empty dict of names to RobustnessCurves."""
    if not isinstance(curves, Mapping) or not curves:
        raise TypeError(f"`curves` must be a non-empty dict of RobustnessCurves, got {curves!r}")
    for name, curve in curves.items():
        if not isinstance(curve, RobustnessCurve):
            raise TypeError(
                "`curves` must be a dict of RobustnessCurves (with several metrics, one value of "
                f"the dict), got an instance of {type(curve).__name__} for {name!r}"
            )
