"""Cells of a table before and after an attack, as a heat map of their moves."""

import numpy as np

from ._words import shortened

LONGEST_VALUE = 16
# The colour of a change that is no difference of numbers.
NO_NUMBER = "khaki"


def texts_of_cells(clean, poisoned, moves, values_format):
    """The text in each cell: the value, or the clean value above the poisoned one."""
    texts = np.empty(moves.shape, dtype=object)
    for place, move in np.ndenumerate(moves):
        before, after = (_words(cells[place], values_format) for cells in (clean, poisoned))
        texts[place] = before if move == 0 else f"{before}\n→ {after}"
    return texts


def size_of_map(texts):
    """The width and the height of a figure, in inches, that has place for these texts."""
    n_rows, n_columns = texts.shape
    return 4.4 + _width(texts) * max(2, n_columns), 2.2 + 0.42 * max(4, n_rows)


def _width(texts):
    """The width of a cell in inches."""
    longest = max((len(line) for text in texts.flat for line in text.split("\n")), default=0)
    return max(0.65, 0.07 * longest + 0.1)


def draw_map(ax, texts, moves, columns, lines, im_kw, text_kw):
    """Draw the map: a line for each row; returns the image and the texts.

    `columns` and `lines` are the labels of both axes.
    """
    finite = np.abs(moves[np.isfinite(moves)])
    most = float(finite.max(initial=0)) or 1.0
    kwargs = {"cmap": "RdBu_r", "vmin": -most, "vmax": most, "aspect": "auto", **(im_kw or {})}
    image = ax.imshow(moves, **kwargs)
    image.set_cmap(image.get_cmap().with_extremes(bad=NO_NUMBER))
    drawn = np.empty(moves.shape, dtype=object)
    for (i, j), move in np.ndenumerate(moves):
        is_dark = np.isfinite(move) and _is_dark(image.cmap(image.norm(move)))
        color = "white" if is_dark else "0.4" if move == 0 else "black"
        kwargs = {"ha": "center", "va": "center", "color": color, "fontsize": 8}
        drawn[i, j] = ax.text(j, i, texts[i, j], **{**kwargs, **(text_kw or {})})
    others = f"\n({NO_NUMBER}: not numeric)" if np.isnan(moves).any() else ""
    ax.figure.colorbar(image, ax=ax, label=f"Move (standard deviations){others}")
    ax.set_xticks(range(len(columns)), columns)
    longest = max(len(line) for column in columns for line in column.split("\n"))
    if 0.09 * longest > _width(texts):
        ax.tick_params("x", rotation=30)
        for tick in ax.get_xticklabels():
            tick.set(ha="right", rotation_mode="anchor")
    ax.set_yticks(range(len(lines)), lines)
    return image, drawn


def _words(value, values_format):
    if value is None or value != value:
        return "missing"
    if isinstance(value, (float, np.floating)):
        return format(value, values_format)
    return shortened(str(value).removesuffix(" 00:00:00"), LONGEST_VALUE)


def _is_dark(colour):
    """Whether white letters on a colour have more contrast than black ones, by WCAG's formula."""
    red, green, blue = (part**2.2 for part in colour[:3])
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue < 0.18
