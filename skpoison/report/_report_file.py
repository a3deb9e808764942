"""The JSON text of a report."""

import json
import math
from dataclasses import asdict

from .._validation import check_real
from ..study import RobustnessCurves
from ._attack_facts import AttackFacts
from ._certificates import Certificate
from ._poisoned_rows import COLUMNS, PoisonedRows
from ._scores import LABELS, ROWS

FORMAT = "skpoison.RobustnessReport"
VERSION = 1
# The fields that JSON holds as they are, and what they must be.
PLAIN = {
    "victims": str,
    "classes": int,
    "data": (str, int, float),
    "settings": (str, int, float, type(None)),
    "left_out": str,
    "versions": str,
    "made": (str, int, float),
}
SETTINGS = {"drop", "cv", "n_splits", "n_repeats", "random_state"}
MADE = {"date", "seconds"}


def to_text(report):
    """The JSON text of a report."""
    state = {
        "format": FORMAT,
        "version": VERSION,
        "answer": report.answer(),
        "breaking_points": [
            {"victim": victim, "attack": attack, "strength": facts_name(report, attack)}
            | _point(report.breaking_point(victim, attack))
            for attack in report.attacks
            for victim in report.victims
        ],
        **{name: getattr(report, name) for name in PLAIN},
        "call": report.call,
        "attacks": {name: asdict(facts) for name, facts in report.attacks.items()},
        "certificates": {name: asdict(one) for name, one in report.certificates.items()},
        "poisoned": {name: asdict(rows) for name, rows in report.poisoned.items()},
        "studies": [
            {metric: json.loads(curves.to_text()) for metric, curves in study.items()}
            for study in report.studies
        ],
    }
    return json.dumps(_strict(state), allow_nan=False)


def _strict(value):
    """The same with None for infinity and NaN, which JSON does not have."""
    if isinstance(value, dict):
        return {name: _strict(entry) for name, entry in value.items()}
    if isinstance(value, list):
        return [_strict(entry) for entry in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def facts_name(report, attack):
    """What the strength of an attack is."""
    return report.attacks[attack].axis


def _point(point):
    return {name: getattr(point, name) for name in ("budget", "low", "high", "about")}


def fields_of(text):
    """The fields of a report in JSON; for other text an error of one of many classes."""
    state = json.loads(text)
    if state["format"] != FORMAT or state["version"] != VERSION:
        raise ValueError("another format")
    fields = {name: _dict_of(state[name], kinds, name) for name, kinds in PLAIN.items()}
    _require(SETTINGS <= fields["settings"].keys(), "settings", fields["settings"])
    _require(MADE <= fields["made"].keys(), "made", fields["made"])
    _require(check_real(fields["settings"]["drop"], "drop") > 0, "settings", fields["settings"])
    counts = fields["classes"].values()
    _require(min(counts, default=0) >= 0 and sum(counts) > 0, "classes", fields["classes"])
    _require(isinstance(state["call"], str), "call", state["call"])
    studies = [
        {metric: RobustnessCurves.of_text(json.dumps(curves)) for metric, curves in study.items()}
        for study in state["studies"]
    ]
    fields |= {
        "call": state["call"],
        "studies": studies,
        "attacks": {name: _facts(one) for name, one in state["attacks"].items()},
        "certificates": {name: _certificate(one) for name, one in state["certificates"].items()},
        "poisoned": {name: _rows(one) for name, one in state["poisoned"].items()},
    }
    _check_names(fields)
    return fields


def _with_nan(row):
    return [math.nan if value is None else value for value in row]


def _check_names(fields):
    """Raise unless the parts of a report speak about the same attacks, victims and classes."""
    attacks, victims = list(fields["attacks"]), set(fields["victims"])
    found = []
    for study in fields["studies"]:
        shapes = {metric: curves.keys() for metric, curves in study.items()}
        if any(names != victims for names in shapes.values()):
            raise ValueError(f"studies must have the victims {sorted(victims)}")
        recalls = {f"recall {i}" for i in range(len(fields["classes"]))}
        if not recalls | {"accuracy", "changed"} <= shapes.keys():
            raise ValueError(
                "studies must have accuracy, changed rows and the recall of each class"
            )
        own = [list(curve.scores) for curves in study.values() for curve in curves.values()]
        if any(names != own[0] for names in own):
            raise ValueError("studies must have the same attacks in all curves")
        found += own[0]
        for curve in (curve for curves in study.values() for curve in curves.values()):
            for name in own[0]:
                strengths = curve.values_of(name)
                if curve.strengths is None or strengths != fields["attacks"][name].strengths:
                    raise ValueError(f"studies must be over the strengths of {name!r}")
    if sorted(found) != sorted(attacks) or set(fields["poisoned"]) != set(attacks) or not attacks:
        raise ValueError(f"studies and poisoned rows must be those of the attacks {attacks}")
    for name, facts in fields["attacks"].items():
        if facts.has_success and not all(
            f"success {name}" in study for study in fields["studies"] if _has(study, name)
        ):
            raise ValueError(f"studies must have the success of {name!r}")


def _has(study, attack):
    return any(attack in curve.scores for curve in study["accuracy"].values())


def _dict_of(value, kinds, name):
    _require(isinstance(value, dict), name, value)
    for entry in value.values():
        _require(isinstance(entry, kinds) and not isinstance(entry, bool), name, entry)
    return value


def _facts(state):
    facts = AttackFacts(**state)
    for name in ("phrase", "axis", "made_by", "note"):
        _require(isinstance(getattr(facts, name), str), name, getattr(facts, name))
    _require(isinstance(facts.control, str | None), "control", facts.control)
    for name in ("is_share", "has_success"):
        _require(isinstance(getattr(facts, name), bool), name, getattr(facts, name))
    _list_of(facts.strengths, (int, float), "strengths")
    is_rising = facts.strengths == sorted({0, *facts.strengths}) and len(facts.strengths) > 1
    _require(is_rising, "strengths", facts.strengths)
    _dict_of(facts.tags, str, "tags")
    return facts


def _certificate(state):
    accuracy = {
        kind: {int(n): _list_of(_with_nan(row), float, "accuracy") for n, row in by_number.items()}
        for kind, by_number in state["accuracy"].items()
    }
    is_whole = all(0 in own and 2 in own and all(own.values()) for own in accuracy.values())
    _require(LABELS in accuracy and accuracy.keys() <= {LABELS, ROWS}, "accuracy", list(accuracy))
    _require(is_whole, "accuracy", state["accuracy"])
    _require(isinstance(state["of"], str | None), "of", state["of"])
    _require(isinstance(state["model"], str), "model", state["model"])
    return Certificate(state["model"], state["of"], accuracy)


def _rows(state):
    rows = PoisonedRows(**state)
    _require(isinstance(rows.strength, (int, float)), "strength", rows.strength)
    _require(isinstance(rows.n_rows, int), "n_rows", rows.n_rows)
    for name in COLUMNS:
        kind = int if name in ("row", "cells") else str
        _list_of(getattr(rows, name), kind, name)
        _require(len(getattr(rows, name)) == len(rows.row), name, "another length")
    return rows


def _list_of(value, kinds, name):
    _require(isinstance(value, list), name, value)
    for entry in value:
        _require(isinstance(entry, kinds) and not isinstance(entry, bool), name, entry)
    return value


def _require(is_good, name, value):
    if not is_good:
        raise ValueError(f"{name} has a wrong entry: {value!r}")
