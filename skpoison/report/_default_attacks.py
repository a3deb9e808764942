"""The attacks of a report unless the user names some: those that suit the data."""

from typing import NamedTuple

import numpy as np

from .._frames import shape_of
from ..attacks import BackdoorPatch, LabelFlip
from ._attack_facts import AttackFacts
from ._own_attacks import code_of
from ._strengths import RATES

FLIPS, FLIPS_BY_LOSS, PATCH = "flips at random", "flips by loss", "patch"
PATCH_RATES = (0.01, 0.02, 0.05, 0.1, 0.2)


class Chosen(NamedTuple):
    """An attack and the words for it."""

    attack: object
    facts: AttackFacts


def default_attacks(victims, X, classes):
    """The attacks that suit the data, by name, and the reasons for leaving others out, by name.

    `victims` is a dict of classifiers, and `classes` the sorted labels.
    """
    chosen, left_out = {FLIPS: _flips()}, {}
    for name, choose in {FLIPS_BY_LOSS: _flips_by_loss, PATCH: _patch}.items():
        found = choose(victims, X, classes)
        if isinstance(found, str):
            left_out[name] = found
        else:
            chosen[name] = found
    return chosen, left_out


def _chosen(attack, **facts):
    return Chosen(attack, AttackFacts(tags=dict(attack.tags), made_by=code_of(attack), **facts))


def _flips():
    return _chosen(
        LabelFlip(transition="uniform", sampling="exact"),
        phrase="{} of the labels flipped at random",
        axis="labels flipped at random",
        is_share=True,
        strengths=[0.0, *RATES],
    )


def _flips_by_loss(victims, X, classes):
    ranks = (name for name, victim in victims.items() if scores_classes(victim))
    first = next(ranks, None)
    if first is None:
        return "no victim scores the classes, so that none can rank the rows"
    note = f"The rows are ranked by a copy of {first!r} that was fitted on the clean training rows."
    if len(victims) > 1:
        note += " All victims are trained on the same flips."
    surrogate = victims[first]
    return _chosen(
        LabelFlip(transition="uniform", sampling="exact", selection="loss", surrogate=surrogate),
        phrase="{} of the labels flipped by loss",
        axis="labels flipped by loss",
        is_share=True,
        strengths=[0.0, *RATES],
        control=FLIPS,
        note=note,
    )


def scores_classes(victim):
    """Whether a classifier, unfitted, gives each class a score."""
    return any(hasattr(victim, name) for name in ("logits", "decision_function", "predict_proba"))


def _patch(victims, X, classes):
    shape = shape_of(X)
    if len(shape) != 4:
        return "it is for images, rows of shape (channels, height, width)"
    _, _, height, width = shape
    size = max(1, min(height, width) // 7)
    patch = np.full((height, width), np.nan)
    patch[-size:, -size:] = float(np.max(X))
    return _chosen(
        BackdoorPatch(patch, target=classes[0]),
        phrase="{} of the rows patched",
        axis="rows patched and relabelled",
        is_share=True,
        strengths=[0.0, *PATCH_RATES],
        note=f"The patch is {size} x {size} pixels in the lower right corner, and the label "
        f"{str(classes[0])!r}. Its control is clean training: strength 0.",
        has_success=True,
    )
