"""The attacks of a report unless the user names some: those that suit the data."""

import warnings
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np
from sklearn.exceptions import ConvergenceWarning

from .._frames import is_frame, numeric_places, shape_of
from ..attacks import BackdoorPatch, CleanLabelPGA, LabelFlip, RandomNoise
from ._attack_facts import AttackFacts
from ._code import code_of
from ._strengths import PATCH_RATES, RATES, distances
from ._surrogates import surrogate_for

FLIPS, FLIPS_BY_LOSS, PATCH = "flips at random", "flips by loss", "patch"
NOISE, ASCENT = "noise", "gradient ascent"
# Each row may move so far, in standard deviations of the columns, and stays within their range.
UNITS = {"norm": "l2,inf", "scale": "std", "clip": "range"}


class Chosen(NamedTuple):
    """An attack and the words for it."""

    attack: object
    facts: AttackFacts


def default_attacks(victims, X, labels):
    """The attacks that suit the data, by name, and the reasons for leaving others out, by name.

    `victims` is a dict of classifiers, and `labels` an array.
    """
    chosen, left_out = {}, {}
    for name, choose in {
        FLIPS: _flips,
        FLIPS_BY_LOSS: _flips_by_loss,
        NOISE: _noise,
        ASCENT: _ascent,
        PATCH: _patch,
    }.items():
        found = choose(victims, X, labels)
        if isinstance(found, str):
            left_out[name] = found
        else:
            chosen[name] = found
    return chosen, left_out


@contextmanager
def quiet_defaults():
    """Leave out a warning that the words for the attack give: the range may stop a row's move."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "CleanLabelPGA spent", ConvergenceWarning)
        yield


def _chosen(attack, **facts):
    return Chosen(attack, AttackFacts(tags=dict(attack.tags), made_by=code_of(attack), **facts))


def _flips(victims, X, labels):
    return _chosen(
        LabelFlip(transition="uniform", sampling="exact"),
        phrase="{} of the labels flipped at random",
        axis="labels flipped at random",
        is_share=True,
        strengths=[0.0, *RATES],
    )


def _flips_by_loss(victims, X, labels):
    ranks = (name for name, victim in victims.items() if scores_classes(victim))
    first = next(ranks, None)
    if first is None:
        return "no victim scores the classes, so that none can rank the rows"
    note = (
        "The labels are flipped whose new label is the greatest surprise to a copy of "
        f"{first!r} that was fitted on the clean training rows."
    )
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


def _noise(victims, X, labels):
    n_columns = _count_numeric(X)
    if not n_columns:
        return NO_NUMBERS
    return _chosen(
        RandomNoise(**UNITS, budget=1.0),
        phrase="noise of {} standard deviations in each row",
        axis="noise in each row, in standard deviations",
        is_share=False,
        strengths=[0.0, *distances(n_columns)],
        note=_distance_in_words(n_columns),
    )


def _ascent(victims, X, labels):
    n_columns = _count_numeric(X)
    if not n_columns:
        return NO_NUMBERS
    surrogate, whose = surrogate_for(victims, X, labels, UNITS)
    note = f"The attack follows the gradients of a copy of {whose!r}."
    if len(victims) > 1:
        note += " An attack made for another model might do more harm to it."
    if whose is None:
        note = (
            "Transferred: no victim gives gradients, so that the attack follows those of a linear "
            "model, and an attacker who had gradients of the victim might do more harm."
        )
    return _chosen(
        CleanLabelPGA(surrogate, **UNITS, budget=1.0),
        phrase="gradient ascent by {} standard deviations in each row",
        axis="gradient ascent in each row, in standard deviations",
        is_share=False,
        strengths=[0.0, *distances(n_columns)],
        control=NOISE,
        note=f"{note} {_distance_in_words(n_columns)}",
    )


NO_NUMBERS = "there are no columns of numbers that it could move"


def _count_numeric(X):
    """The number of columns that an attack on features may move."""
    if is_frame(X):
        return len(numeric_places(X))
    is_numeric = isinstance(X, np.ndarray) and X.ndim > 1 and X.dtype.kind in "biuf"
    return int(np.prod(X.shape[1:])) if is_numeric else 0


def _distance_in_words(n_columns):
    return (
        "The distance is the Euclidean one in units of each column's standard deviation. A row "
        f"that moves by one standard deviation in each of {n_columns} columns moves by "
        f"{n_columns**0.5:.3g}. Each column stays in its range, so that a row may move less than "
        "the strength says. Missing cells stay missing."
    )


def _patch(victims, X, labels):
    shape = shape_of(X)
    if len(shape) != 4:
        return "it is for images, rows of shape (channels, height, width)"
    _, _, height, width = shape
    size = max(1, min(height, width) // 7)
    target = np.unique(labels)[0]
    patch = np.full((height, width), np.nan)
    patch[-size:, -size:] = float(np.max(X))
    return _chosen(
        BackdoorPatch(patch, target=target),
        phrase="{} of the rows patched",
        axis="rows patched and relabelled",
        is_share=True,
        strengths=[0.0, *PATCH_RATES],
        note=f"The patch is {size} x {size} pixels in the lower right corner, and the label "
        f"{str(target)!r}. Its control is clean training: strength 0.",
        has_success=True,
    )
