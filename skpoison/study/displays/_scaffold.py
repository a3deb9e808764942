"""What the displays share: axes to draw in, and lines of means with bands of deviation."""

import numpy as np
from sklearn.utils._optional_dependencies import check_matplotlib_support


def axes_of(display, ax):
    """The axes that a display draws in: the given ones, or the axes of a new figure."""
    check_matplotlib_support(f"{type(display).__name__}.plot")
    import matplotlib.pyplot as plt

    if ax is None:
        _, ax = plt.subplots()
    return ax


def panel_axes(display, ax, n_panels, *, legend_outside=False):
    """A list of axes to draw panels in: the given ones, or the axes of a new figure."""
    if ax is None:
        check_matplotlib_support(f"{type(display).__name__}.plot")
        import matplotlib.pyplot as plt

        if n_panels == 1 and not legend_outside:
            return [axes_of(display, None)]
        size = (4.2 * n_panels + 2.2, 4.8)
        _, axes = plt.subplots(
            1, n_panels, sharey=True, squeeze=False, figsize=size, layout="constrained"
        )
        return list(axes[0])
    axes = list(np.ravel(np.asarray(ax, dtype=object)))
    if len(axes) != n_panels:
        raise ValueError(f"`ax` must have one axes for each of {n_panels} panels, got {len(axes)}")
    return axes


def cycle_colors():
    """The colours of matplotlib's cycle."""
    import matplotlib

    return matplotlib.rcParams["axes.prop_cycle"].by_key().get("color", ["black"])


def draw_legend(ax, panels, styles, *, outside):
    """Draw a legend of the colours of victims and the line styles of attacks."""
    from matplotlib.lines import Line2D

    colors, linestyles = styles
    handles = [
        Line2D([], [], color=color, label=name, marker="" if linestyles else ".")
        for name, color in colors.items()
    ]
    handles += [
        Line2D([], [], color="black", linestyle=style, label=name)
        for name, style in linestyles.items()
    ]
    handles += [
        Line2D([], [], linestyle="none", label=f"a U: {line.victim}, {line.attack}")
        for panel in panels
        for line in panel.lines
        if line.is_u
    ]
    where = {"loc": "upper left", "bbox_to_anchor": (1.02, 1)} if outside else {}
    ax.legend(handles=handles, **where)


def draw_line(ax, positions, means, label, line_kw):
    """Draw a line of means; returns it."""
    (line,) = ax.plot(positions, means, **{"label": label, "marker": ".", **(line_kw or {})})
    return line


def draw_band(ax, positions, low, high, line, band_kw):
    """Draw a band in the colour of its line; returns it."""
    kwargs = {"alpha": 0.2, "color": line.get_color(), **(band_kw or {})}
    return ax.fill_between(positions, low, high, **kwargs)


def draw_bars(ax, positions, low, high, line, bar_kw):
    """Draw vertical bars in the colour of their line; returns them."""
    return ax.vlines(positions, low, high, **{"color": line.get_color(), **(bar_kw or {})})
