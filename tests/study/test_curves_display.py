"""Curves of several victims in one plot."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.colors import to_rgba
from sklearn.naive_bayes import GaussianNB
from sklearn.tree import DecisionTreeClassifier

from skpoison import (
    LabelFlip,
    RandomNoise,
    RobustnessCurve,
    RobustnessCurveDisplay,
    RobustnessCurves,
)


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


def tables(names, n_values, seed=0):
    rng = np.random.default_rng(seed)
    return {name: rng.random((n_values, 4)) for name in names}


def over_strengths(strengths, names, seed=0, **kwargs):
    n = len(next(iter(strengths.values())))
    table = tables(strengths, n, seed)
    for name, word in names.items():
        if word is None:
            table[name][:] = table[name][0]  # Clean training is one fit.
    kwargs = {"strengths": strengths, "strength_names": names, **kwargs}
    return RobustnessCurve("strength", list(range(n)), table, table, table, 4, 1, 0.25, **kwargs)


def over_parameter(name, values, seed=0, attacks=("clean", "flips")):
    table = tables(attacks, len(values), seed)
    return RobustnessCurve(name, values, table, table, table, 4, 1, 0.25)


def entries(display):
    ax = np.ravel(display.ax_)[-1]
    return [text.get_text() for text in ax.get_legend().get_texts()]


def assert_drawn(line, positions, table):
    np.testing.assert_allclose(line.get_xdata(), positions)
    np.testing.assert_allclose(line.get_ydata(), table.mean(axis=1))


def test_colours_are_victims_and_line_styles_attacks():
    names = {"flips": "rate", "worst": "rate", "clean": None}
    strengths = {name: [0, 0.1, 0.3] for name in names}
    curves = RobustnessCurves(
        {
            v: over_strengths(strengths, names, seed, metric="accuracy")
            for seed, v in enumerate("ab")
        }
    )
    display = RobustnessCurveDisplay.from_curves(curves)
    drawn = {line.get_label(): line for line in display.lines_}
    assert list(drawn) == [f"{victim}, {attack}" for victim in "ab" for attack in names]
    for victim, curve in curves.items():
        for attack, table in curve.scores.items():
            assert_drawn(drawn[f"{victim}, {attack}"], [0, 0.1, 0.3], table)
    color = {label: line.get_color() for label, line in drawn.items()}
    style = {label: line.get_linestyle() for label, line in drawn.items()}
    for victim in "ab":
        assert len({color[f"{victim}, {attack}"] for attack in names}) == 1
        assert len({style[f"{victim}, {attack}"] for attack in names}) == 3
    assert color["a, flips"] != color["b, flips"]
    assert style["a, worst"] == style["b, worst"]
    # The legend says both, each once.
    assert entries(display) == ["a", "b", "flips", "worst", "clean"]
    handles = display.ax_.get_legend().get_lines()
    assert [to_rgba(h.get_color()) for h in handles[:2]] == [
        to_rgba(color["a, flips"]),
        to_rgba(color["b, flips"]),
    ]
    assert [h.get_linestyle() for h in handles[2:]] == [style[f"a, {name}"] for name in names]
    assert display.ax_.get_xlabel() == "rate"
    assert display.ax_.get_ylabel() == "accuracy on clean data"
    # Deviations of the same fits as everywhere; no ring, for a strength is not chosen.
    band = display.fill_between_[0].get_paths()[0].vertices[:, 1]
    table = curves["a"].scores["flips"]
    low = (table.mean(axis=1) - table.std(axis=1, ddof=1)).clip(0, 1)
    assert set(np.round(low, 9)) <= set(np.round(band, 9))
    assert display.peaks_ == []


def test_attacks_of_different_strengths_have_a_panel_each():
    names = {"clean": None, "flips": "rate", "noise": "budget"}
    strengths = {"clean": [0.0, 0.0], "flips": [0, 0.3], "noise": [0, 5.0]}
    curves = {v: over_strengths(strengths, names, seed) for seed, v in enumerate("ab")}
    display = RobustnessCurveDisplay.from_curves(curves)
    assert [ax.get_title() for ax in display.ax_] == ["flips", "noise"]
    assert [ax.get_xlabel() for ax in display.ax_] == ["rate", "budget"]
    assert [ax.get_ylabel() for ax in display.ax_] == ["Score on clean data", ""]
    for ax, attack in zip(display.ax_, ("flips", "noise"), strict=True):
        drawn = {line.get_label(): line for line in ax.get_lines()}
        assert sorted(drawn) == [f"{v}, {n}" for v in "ab" for n in sorted(["clean", attack])]
        for victim, curve in curves.items():
            for name in (attack, "clean"):
                table = curve.scores[name]
                assert_drawn(drawn[f"{victim}, {name}"], strengths[attack], table)
    assert entries(display) == ["a", "b", "clean", "flips", "noise"]
    # The curve of one victim has the same panels; its colours are the attacks.
    alone = RobustnessCurveDisplay.from_curve(curves["a"])
    assert [ax.get_xlabel() for ax in alone.ax_] == ["rate", "budget"]
    assert [line.get_label() for line in alone.lines_] == ["flips", "clean", "noise", "clean"]
    _, given = plt.subplots(1, 2)
    assert RobustnessCurveDisplay.from_curves(curves, ax=given).ax_[1] is given[1]
    with pytest.raises(ValueError, match="`ax` must have one axes for each of 2 panels, got 1"):
        RobustnessCurveDisplay.from_curves(curves, ax=given[0])


def test_strengths_of_one_range_share_a_panel():
    strengths = {"flips": [0, 0.3], "noise": [0, 0.3]}
    curve = over_strengths(strengths, {"flips": "rate", "noise": "budget"})
    display = RobustnessCurveDisplay.from_curves({"a": curve, "b": curve})
    assert display.ax_.get_xlabel() == "strength of the attack"
    # Axes that are given keep their title.
    _, ax = plt.subplots()
    ax.set_title("kept")
    assert RobustnessCurveDisplay.from_curve(curve, ax=ax).ax_.get_title() == "kept"
    clean = over_strengths({"clean": [0, 0.3]}, {"clean": None})
    display = RobustnessCurveDisplay.from_curve(clean)
    assert display.ax_.get_xlabel() == "strength"


def test_parameters_of_victims_have_a_panel_each():
    curves = {
        "a": over_parameter("max_depth", [1, 2, 4], 0),
        "b": over_parameter("max_depth", [8, 16], 1),
        "c": over_parameter("max_features", ["sqrt", None], 2),
        "d": over_parameter("", [None], 3),
    }
    display = RobustnessCurveDisplay.from_curves(curves)
    assert [ax.get_xlabel() for ax in display.ax_] == ["max_depth", "max_features", "attack"]
    assert [ax.get_title() for ax in display.ax_] == ["a, b", "c", "d"]
    assert entries(display) == ["a", "b", "c", "d", "clean", "flips"]
    drawn = {line.get_label(): line for line in display.lines_}
    assert_drawn(drawn["a, flips"], [1, 2, 4], curves["a"].scores["flips"])
    assert_drawn(drawn["b, clean"], [8, 16], curves["b"].scores["clean"])
    assert_drawn(drawn["c, clean"], [0, 1], curves["c"].scores["clean"])
    assert_drawn(drawn["d"], [0, 1], np.concatenate(list(curves["d"].scores.values())))
    assert [text.get_text() for text in display.ax_[2].get_xticklabels()] == ["clean", "flips"]
    assert drawn["d"].get_linestyle() == "None"
    # A ring for each of the lines over a parameter.
    assert len(display.peaks_) == 6
    for style in ("errorbar", None):
        RobustnessCurveDisplay.from_curves(curves, std_display_style=style)


def test_single_fits_of_one_victim_leave_nothing_to_name():
    display = RobustnessCurveDisplay.from_curve(over_parameter("", [None]))
    assert [text.get_text() for text in display.ax_.get_xticklabels()] == ["clean", "flips"]
    assert display.ax_.get_legend() is None


def test_a_u_is_in_the_legend():
    rng = np.random.default_rng(0)
    table = {"flips": np.array([[0.5], [0.8], [0.6]]) + 0.01 * rng.standard_normal((3, 4))}
    u = RobustnessCurve("width", [1, 2, 4], table, table, table, 4, 1, 0.25)
    display = RobustnessCurveDisplay.from_curves({"net": u})
    assert entries(display) == ["net", "flips", "a U: net, flips"]


def test_curves_over_different_things_are_refused():
    curves = {"a": over_parameter("C", [1, 2]), "b": over_strengths({"f": [0, 1]}, {"f": "rate"})}
    with pytest.raises(ValueError, match="`curves` must all be over the strength of attacks, or"):
        RobustnessCurveDisplay.from_curves(curves)


def test_a_study_of_victims_is_plotted_at_once(digits):
    victims = {"tree": DecisionTreeClassifier(), "bayes": GaussianNB()}
    display = RobustnessCurveDisplay.from_estimator(
        victims,
        *digits,
        attacks={"flips": LabelFlip(0.3), "noise": RandomNoise(norm="l2,inf", budget=1.0)},
        cv=2,
        random_state=0,
    )
    assert [line.get_label() for line in display.lines_] == ["tree", "bayes"]
    # Side by side at each attack.
    places = [line.get_xdata() for line in display.lines_]
    np.testing.assert_allclose(np.mean(places, axis=0), [0, 1])
    assert (places[0] < places[1]).all()
