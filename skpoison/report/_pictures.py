"""Pictures of a report as SVG for a page, with texts for those who do not see them."""

import io
import re

import numpy as np

from ._sentences import listed, percent

# Each stands out from white by 4.5 to 1, and from the others for most who do not see all colours.
COLORS = ("#0b5394", "#b45309", "#6a1b9a", "#1b5e20", "#b71c1c", "#37474f")
SETTINGS = {
    "font.size": 11,
    # Texts stay texts, which a browser draws sharp at any size.
    "svg.fonttype": "none",
    # The same picture has the same ids each time.
    "svg.hashsalt": "skpoison",
}


def picture_of(report, attack, prefix):
    """The SVG of accuracy against the strength of an attack.

    Its ids start with `prefix`, so that they differ from those of other pictures on the page.
    """
    import matplotlib.style
    from matplotlib import cycler
    from matplotlib.figure import Figure
    from matplotlib.ticker import PercentFormatter

    facts = report.attacks[attack]
    settings = {**SETTINGS, "axes.prop_cycle": cycler(color=COLORS)}
    with matplotlib.style.context(["default", settings]):
        figure = Figure(figsize=(6, 3.6), layout="constrained")
        ax = figure.add_subplot()
        display = report.plot(attack, ax=ax)
        ax.get_legend().remove()
        if len(report.victims) > 1:
            ax.legend(display.lines_, report.victims)
        ax.set_xlabel(f"Strength: {facts.axis}")
        ax.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
        if facts.is_share:
            ax.xaxis.set_major_formatter(PercentFormatter(1))
        ax.set_ylim(_lowest(report), 1.02)
        ax.grid(alpha=0.3)
        text = io.StringIO()
        figure.savefig(text, format="svg", metadata={"Date": None, "Creator": None})
    return _for_a_page(text.getvalue(), prefix)


def _lowest(report):
    """Where the axis of accuracy starts, so that all pictures of a report compare."""
    scores = np.concatenate(
        [
            curve.scores[attack].ravel()
            for attack in report.attacks
            for curve in report.curves(attack).values()
        ]
    )
    finite = scores[np.isfinite(scores)]
    return np.floor(20 * finite.min() - 0.5) / 20 if len(finite) else 0


def description_of(report, attack):
    """A picture in words."""
    facts = report.attacks[attack]
    lines = [
        f"{victim}: "
        + listed([f"{percent(mean)} at {facts.value(strength)}" for strength, mean in pairs])
        for victim, pairs in (
            (victim, list(zip(facts.strengths, means, strict=True)))
            for victim, means in report.means(attack).items()
        )
    ]
    return f"Accuracy on clean rows against the strength of the attack. {'; '.join(lines)}."


def _for_a_page(svg, prefix):
    """The element of an SVG file, as wide as the page lets it be."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.S)
    # The page gives the texts; inside it, the picture is one thing.
    svg = re.sub(r'<svg ([^>]*?)height="[^"]*" ', r"<svg \1", svg, count=1)
    svg = re.sub(r'<svg ([^>]*?)width="[^"]*" ', r"<svg \1", svg, count=1)
    svg = re.sub(r' id="', f' id="{prefix}-', svg)
    svg = re.sub(r'href="#', f'href="#{prefix}-', svg)
    svg = re.sub(r"url\(#", f"url(#{prefix}-", svg)
    return svg
