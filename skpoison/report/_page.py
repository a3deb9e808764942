"""A report as an HTML page."""

import math
from pathlib import Path

from ._pictures import description_of, picture_of
from ._scores import success_of
from ._sentences import (
    answer,
    broken,
    is_real,
    largest_fall,
    percent,
    place,
    points,
    points_in_words,
)

# A longer table would not be read: the file in JSON has the rest.
MOST_CLASSES, MOST_ROWS = 12, 10


def page(report):
    """The whole page."""
    return _render("page.html", report=report, attacks=_attacks(report), **_common(report))


def fragment(report):
    """The answer and the table of breaking points, for a notebook."""
    return _render("answer.html", report=report, **_common(report))


def _render(template, **values):
    # The environment escapes all values but pictures, in which matplotlib has escaped the texts.
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    return environment.get_template(template).render(**values)


def _common(report):
    settings = report.settings
    rows = [
        {
            "attack": attack,
            "victim": victim,
            "breaks": broken(report.breaking_point(victim, attack), facts),
            "tolerated": _tolerated(report, victim, attack),
            "costs": f"{points(largest_fall(report, victim, attack))} at "
            f"{facts.value(max(facts.strengths))}",
        }
        for attack, facts in report.attacks.items()
        for victim in report.victims
    ]
    return {
        "sentences": answer(report),
        "overview": rows,
        "lost": points_in_words(settings["drop"]),
        "comparisons": _comparisons(report),
    }


def _tolerated(report, victim, attack):
    point, facts = report.breaking_point(victim, attack), report.attacks[attack]
    if math.isnan(point.low):
        return "unknown"
    smallest = min((one for one in facts.strengths if one > 0), default=0)
    # 0 is clean training, which is no poison.
    return facts.value(point.low) if point.low else f"none (from {facts.value(smallest)})"


def _comparisons(report):
    """A table for each attack: how far other victims lie above the first, if there are others."""
    first, *others = report.victims
    if not others:
        return []
    found = {
        attack: [report.difference(other, first, attack) for other in others]
        for attack in report.attacks
    }
    return [
        {
            "attack": attack,
            "first": first,
            "others": others,
            "rows": [
                {
                    "strength": place(facts, strength),
                    "cells": [_verdict(lies[strength]) for lies in found[attack]],
                }
                for strength in facts.strengths
            ],
        }
        for attack, facts in report.attacks.items()
    ]


def _verdict(lies):
    """A difference in words, and whether it is beyond chance."""
    words = {True: "beyond chance", False: "", None: "no verdict"}
    return points(lies), words[is_real(lies)]


def _attacks(report):
    return [
        {
            "name": attack,
            "facts": facts,
            "id": f"attack-{i}",
            "picture": picture_of(report, attack, f"p{i}"),
            "description": description_of(report, attack),
            "rows": _rows(report, attack),
            "recalls": _recalls(report, attack),
            "poisoned": report.poisoned[attack],
            "moves_cells": any(report.poisoned[attack].cells),
            "poisoned_rows": _poisoned(report.poisoned[attack]),
        }
        for i, (attack, facts) in enumerate(report.attacks.items(), 1)
    ]


def _rows(report, attack):
    """For each strength: the rows that changed, and what each victim scores and loses."""
    facts, means = report.attacks[attack], report.means(attack)
    changed = next(iter(report.means(attack, "changed").values()))
    drops = {victim: report.breaking_point(victim, attack).drops for victim in report.victims}
    success = report.means(attack, success_of(attack)) if facts.has_success else {}
    return [
        {
            "strength": place(facts, strength),
            "changed": percent(changed[i]),
            "victims": [
                {
                    "accuracy": percent(means[victim][i]),
                    "fall": points(drops[victim][strength]) if strength else "",
                    "success": percent(success[victim][i]) if success else "",
                }
                for victim in report.victims
            ],
        }
        for i, strength in enumerate(facts.strengths)
    ]


def _recalls(report, attack):
    """The classes that lose most at the largest strength: recall without and with the attack."""
    recalls = report.recalls(attack)
    first = next(iter(report.victims))
    ordered = sorted(
        recalls,
        key=lambda label: _or_inf(recalls[label][first][-1] - recalls[label][first][0]),
    )
    return [
        {
            "label": label,
            "n": report.classes[label],
            "victims": [
                (percent(means[0]), percent(means[-1])) for means in recalls[label].values()
            ],
        }
        for label in ordered[:MOST_CLASSES]
    ]


def _or_inf(value):
    return math.inf if math.isnan(value) else value


def _poisoned(rows):
    """The first rows that an attack changed."""
    columns = (
        rows.row,
        rows.label,
        rows.new_label,
        rows.cells,
        rows.column,
        rows.before,
        rows.after,
    )
    return list(zip(*(column[:MOST_ROWS] for column in columns), strict=True))
