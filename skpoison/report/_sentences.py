"""The answer of a report in sentences."""

import math

import numpy as np

from .._intervals import rounded
from ._scores import LABELS, ROWS, success_of


def answer(report):
    """The sentences of the short answer."""
    sentences = [clean_sentence(report)]
    sentences += [breaking_sentence(report, attack) for attack in report.attacks]
    sentences += weakest_sentences(report)
    for attack in report.attacks:
        sentences += control_sentence(report, attack)
        sentences += success_sentence(report, attack)
    return [*sentences, *difference_sentences(report), *certificate_sentences(report)]


def clean_sentence(report):
    """How good the victims are without poison."""
    means = report.means(next(iter(report.attacks)))
    first, *others = means
    text = f"{subject(report)} is right on {percent(means[first][0])} of clean rows it has not seen"
    for victim in others:
        text += f", {victim} on {percent(means[victim][0])}"
    share = max(report.classes.values()) / sum(report.classes.values())
    return f"{text}; the most frequent class has {percent(share)} of the rows."


def breaking_sentence(report, attack):
    """At which strength of an attack the victims have lost the stated accuracy."""
    facts, lost = report.attacks[attack], points_in_words(report.settings["drop"])
    first, *others = ((v, report.breaking_point(v, attack)) for v in report.victims)
    point = first[1]
    if math.isnan(point.budget):
        text = f"{subject(report)} has no scores under {attack}, because its fits failed"
    elif math.isfinite(point.budget):
        text = (
            f"{subject(report)} loses {lost} of accuracy at {facts.in_words(broken(point, facts))}"
        )
    else:
        largest = largest_scored(point)
        text = f"{subject(report)} loses less than {lost} of accuracy up to {facts.at(largest)}"
        text += f" ({points(point.drops[largest])} there"
        if point.low < largest:
            safe = f"only up to {facts.value(point.low)}" if point.low else "at no strength tried"
            text += f"; a loss of {lost} is ruled out {safe}"
        text += ")"
    for victim, point in others:
        word = "at " if math.isfinite(point.budget) else ""
        text += f"; {victim} {word}{broken(point, facts)}"
    return f"{text}."


def broken(point, facts):
    """A breaking point with its interval, in the units of its attack."""
    if math.isnan(point.budget):
        return "has no scores"
    if math.isinf(point.budget):
        return f"not up to {facts.value(largest_scored(point))}"
    return f"about {facts.value(point.budget)} {interval(point, facts)}"


def largest_scored(point):
    """The largest strength at which there are scores."""
    return max(strength for strength, fall in point.drops.items() if not math.isnan(fall.mean))


def interval(point, facts):
    """The interval of a breaking point, in the units of its attack."""
    if math.isnan(point.low):
        return "(no interval)"
    largest = facts.value(max(point.drops))
    high = f"over {largest}" if math.isinf(point.high) else facts.value(point.high)
    return f"[{facts.value(point.low)}, {high}]"


def weakest_sentences(report):
    """Which attack costs each victim most, if there are several attacks."""
    weakest = {}
    for victim in report.victims:
        falls = {attack: largest_fall(report, victim, attack) for attack in report.attacks}
        falls = {attack: fall for attack, fall in falls.items() if fall.mean > 0}
        if falls and len(report.attacks) > 1:
            worst = max(falls, key=lambda attack: falls[attack].mean)
            weakest.setdefault(worst, {})[victim] = falls[worst]
    sentences = []
    for attack, falls in weakest.items():
        facts = report.attacks[attack]
        costs = listed([points(fall) + of(report, victim) for victim, fall in falls.items()])
        sentences.append(
            f"{are(report, list(falls))} weakest against {attack}: at its largest strength, "
            f"{facts.value(max(facts.strengths))}, it costs {costs}, more than any other attack at "
            "its own largest. (Strengths of different attacks cannot be compared.)"
        )
    return sentences


def are(report, victims):
    """Victims as a subject, with "is" or "are"."""
    if len(report.victims) == 1:
        return "The model is"
    return f"{listed(victims)} {'is' if len(victims) == 1 else 'are'}"


def of(report, victim):
    """The victim of a number, where there are several."""
    return f" ({victim})" if len(report.victims) > 1 else ""


def control_sentence(report, attack):
    """What an attack costs beside its control."""
    facts = report.attacks[attack]
    strength, control = max(facts.strengths), report.attacks.get(facts.control)
    if control is None or strength not in control.strengths:
        return []
    first, *others = (
        (victim, *(fall_at(report, victim, name, strength) for name in (attack, facts.control)))
        for victim in report.victims
    )
    text = (
        f"At {facts.at(strength)}, {subject(report, inside=True)} loses {points(first[1])}; at "
        f"{control.at(strength)}, the control, {points(first[2])}"
    )
    for victim, *falls in others:
        own, of_control = (rounded(100 * fall.mean, 1) for fall in falls)
        text += f"; {victim} loses {own} and {of_control}"
    return [f"{text}."]


def success_sentence(report, attack):
    """How often an attack with an aim reaches it."""
    facts = report.attacks[attack]
    if not facts.has_success:
        return []
    shares = [
        f"{percent(means[-1])} of the rows it aims at{of(report, victim)}, {percent(means[0])} "
        "without poison"
        for victim, means in report.means(attack, success_of(attack)).items()
    ]
    at = facts.at(facts.strengths[-1])
    return [
        f"At {at}, the answer that the attack wants is given for {'; '.join(shares)}. Its aim is "
        "this answer, and not a lower accuracy."
    ]


def largest_fall(report, victim, attack):
    """How far the accuracy falls at the largest strength of an attack."""
    return fall_at(report, victim, attack, max(report.attacks[attack].strengths))


def fall_at(report, victim, attack, strength):
    """How far the accuracy falls at a strength of an attack."""
    return report.breaking_point(victim, attack).drops[strength]


def difference_sentences(report):
    """Whether each victim differs from the first by more than chance."""
    first, *others = report.victims
    sentences = []
    for other in others:
        found = {
            attack: difference_in_words(report, first, other, attack) for attack in report.attacks
        }
        equal = [attack for attack, words in found.items() if not words]
        if equal:
            sentences.append(
                f"Under {listed(equal)}, no difference between {other} and {first} can be shown at "
                "any strength tried."
            )
        sentences += [
            f"Under {name}, beyond chance, {text}." for name, text in found.items() if text
        ]
    return sentences


def difference_in_words(report, first, other, attack):
    """Where two victims differ under an attack, beyond chance; "" if they do not."""
    facts = report.attacks[attack]
    found = report.difference(other, first, attack)
    real = {strength: lies for strength, lies in found.items() if is_real(lies)}
    parts = []
    for word, sign in (("higher", 1), ("lower", -1)):
        own = {strength: lies for strength, lies in real.items() if sign * lies.mean > 0}
        if own:
            most = max(own, key=lambda strength: abs(own[strength].mean))
            where = listed([place(facts, strength) for strength in own])
            up_to = "up to " if len(own) > 1 else ""
            size = points(own[most], sign)
            parts.append(f"{other} scores {word} than {first} at {where}, by {up_to}{size}")
    return ", and ".join(parts)


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
        start = name if one.of is None else f"Another model, {name},"
        text = f"{start} is right on {percent(one.mean(LABELS, 0))} of clean rows, and stays right "
        text += f"on {percent(one.mean(LABELS, 2))} whatever happens to 2 labels"
        if ROWS in one.accuracy:
            text += (
                f" and on {percent(one.mean(ROWS, 2))} whatever happens to the features of 1 row"
            )
        text += "." if one.of is None else f". This says nothing of {one.of}."
        sentences.append(text)
    return sentences


def subject(report, inside=False):
    """The first victim as the subject of a sentence, at its start or inside it."""
    if len(report.victims) > 1:
        return next(iter(report.victims))
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
