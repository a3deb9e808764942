"""The answer of a report in sentences."""

import math

import numpy as np

from .._intervals import rounded
from ._scores import success_of


def answer(report):
    """The sentences of the short answer: about each victim, and then about several."""
    sentences = []
    for victim in report.victims:
        sentences.append(clean_sentence(report, victim))
        sentences += [breaking_sentence(report, victim, attack) for attack in report.attacks]
        sentences += weakest_sentence(report, victim)
        sentences += control_sentences(report, victim)
        sentences += success_sentences(report, victim)
    return [*sentences, *difference_sentences(report), *certificate_sentences(report)]


def clean_sentence(report, victim):
    """How good a victim is without poison."""
    mean = report.means(next(iter(report.attacks)))[victim][0]
    text = f"{subject(report, victim)} is right on {percent(mean)} of clean rows it has not seen"
    if victim != next(iter(report.victims)):
        return f"{text}."
    share = max(report.classes.values()) / sum(report.classes.values())
    return f"{text}; the most frequent class has {percent(share)} of the rows."


def breaking_sentence(report, victim, attack):
    """At which strength of an attack a victim has lost the stated accuracy."""
    point, facts = report.breaking_point(victim, attack), report.attacks[attack]
    who, lost = subject(report, victim), points_in_words(report.settings["drop"])
    if math.isnan(point.budget):
        return f"{who} has no scores under {attack}, because its fits failed."
    if math.isfinite(point.budget):
        return (
            f"{who} loses {lost} of accuracy at {facts.at(point.budget)} {interval(point, facts)}."
        )
    largest = max(strength for strength, fall in point.drops.items() if not math.isnan(fall.mean))
    text = f"{who} loses less than {lost} of accuracy up to {facts.at(largest)}"
    text += f": {points(point.drops[largest])} there."
    if point.low < largest:
        text += f" A loss of {lost} is ruled out up to {facts.value(point.low)} only."
    return text


def interval(point, facts):
    """The interval of a breaking point, in the units of its attack."""
    if math.isnan(point.low):
        return "(no interval)"
    largest = facts.value(max(point.drops))
    high = f"over {largest}" if math.isinf(point.high) else facts.value(point.high)
    return f"[{facts.value(point.low)}, {high}]"


def weakest_sentence(report, victim):
    """Which attack costs a victim most; none if there is only one attack."""
    falls = {attack: largest_fall(report, victim, attack) for attack in report.attacks}
    falls = {attack: fall for attack, fall in falls.items() if not math.isnan(fall.mean)}
    if len(falls) < 2:
        return []
    worst = max(falls, key=lambda attack: falls[attack].mean)
    if not falls[worst].mean > 0:
        return [f"No attack tried costs {subject(report, victim, inside=True)} any accuracy."]
    at = report.attacks[worst].at(max(report.attacks[worst].strengths))
    return [
        f"{subject(report, victim)} is weakest against {worst}, which cost most at the largest "
        f"strengths tried: {points(falls[worst])} at {at}."
    ]


def largest_fall(report, victim, attack):
    """How far the accuracy falls at the largest strength of an attack."""
    return report.breaking_point(victim, attack).drops[max(report.attacks[attack].strengths)]


def control_sentences(report, victim):
    """What each attack costs a victim beside its control."""
    sentences = []
    for attack, facts in report.attacks.items():
        strength, control = max(facts.strengths), report.attacks.get(facts.control)
        if control is not None and strength in control.strengths:
            own = report.breaking_point(victim, facts.control).drops[strength]
            sentences.append(
                f"At {facts.at(strength)}, {subject(report, victim, inside=True)} loses "
                f"{points(largest_fall(report, victim, attack))}; at {control.at(strength)}, the "
                f"control, it loses {points(own)}."
            )
    return sentences


def success_sentences(report, victim):
    """How often attacks with an aim reach it."""
    sentences = []
    for attack, facts in report.attacks.items():
        if facts.has_success:
            means = report.means(attack, success_of(attack))[victim]
            sentences.append(
                f"{subject(report, victim)} gives the answer that the {attack} wants for "
                f"{percent(means[-1])} of rows at {facts.at(facts.strengths[-1])}, and for "
                f"{percent(means[0])} without poison."
            )
    return sentences


def difference_sentences(report):
    """Whether each victim differs from the first by more than chance."""
    first, *others = report.victims
    return [
        difference_sentence(report, first, other, attack)
        for other in others
        for attack in report.attacks
    ]


def difference_sentence(report, first, other, attack):
    """Whether two victims differ under an attack, beyond chance."""
    facts = report.attacks[attack]
    found = report.difference(other, first, attack)
    real = {strength: lies for strength, lies in found.items() if is_real(lies)}
    if not real:
        return (
            f"Under {attack}, {other} and {first} differ by no more than chance at all strengths."
        )
    parts = []
    for word, sign in (("higher", 1), ("lower", -1)):
        own = {strength: lies for strength, lies in real.items() if sign * lies.mean > 0}
        if own:
            most = max(own, key=lambda strength: abs(own[strength].mean))
            where = listed([place(facts, strength) for strength in own])
            parts.append(
                f"{other} scores {word} than {first} at {where}, by up to {points(own[most], sign)}"
            )
    return f"Under {attack}, beyond chance, {', and '.join(parts)}."


def is_real(lies):
    """Whether a difference is beyond chance; None if there is nothing to judge by."""
    if math.isnan(lies.low) or lies.high - lies.low < 1e-9:
        return None
    return lies.low > 0 or lies.high < 0


def place(facts, strength):
    """A strength, or clean training."""
    return facts.value(strength) if strength else "0 (clean training)"


def certificate_sentences(report):
    """What certified predictions withstand."""
    sentences = []
    for name, one in report.certificates.items():
        n = 2 if 2 in one.accuracy else max(one.accuracy)
        start = f"{name} is right on {percent(one.mean(0))} of clean rows"
        if one.of is not None:
            start = f"Another model, {name}, is right on {percent(one.mean(0))} of clean rows"
        changes = f"whatever happens to {n} labels"
        if one.covers_rows:
            changes += f" or to the features of {n // 2} row"
        sentences.append(f"{start}, and stays right on {percent(one.mean(n))} {changes}.")
    return sentences


def subject(report, victim, inside=False):
    """A victim as the subject of a sentence, at its start or inside it."""
    if len(report.victims) > 1:
        return victim
    return "the model" if inside else "The model"


def points_in_words(drop):
    """A fall of accuracy: "5 points"."""
    number = f"{100 * drop:.3g}"
    return f"{number} point{'s' * (number != '1')}"


def points(fall, sign=1):
    """A fall with its interval, in points of accuracy."""
    values = np.array(fall) * 100 * sign
    mean, low, high = (rounded(value, 1) for value in (values if sign > 0 else values[[0, 2, 1]]))
    return (
        f"{mean} points (no interval)" if math.isnan(fall.low) else f"{mean} points [{low}, {high}]"
    )


def percent(share):
    """A share in per cent."""
    return "no" if math.isnan(share) else f"{100 * share:.1f}%"


def listed(words):
    """Words with commas and "and"."""
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
