"""What the displays share: axes to draw in, and lines of means with bands of deviation."""

from sklearn.utils._optional_dependencies import check_matplotlib_support


def axes_of(display, ax):
    """The axes that a display draws in: the given ones, or the axes of a new figure."""
    check_matplotlib_support(f"{type(display).__name__}.plot")
    import matplotlib.pyplot as plt

    if ax is None:
        _, ax = plt.subplots()
    return ax


def draw_line(ax, positions, means, label, line_kw):
    """Draw a line of means; returns it."""
    (line,) = ax.plot(positions, means, **{"label": label, "marker": ".", **(line_kw or {})})
    return line


def draw_band(ax, positions, low, high, line, band_kw):
    """Draw a band in the colour of its line; returns it."""
    kwargs = {"alpha": 0.2, "color": line.get_color(), **(band_kw or {})}
    return ax.fill_between(positions, low, high, **kwargs)
