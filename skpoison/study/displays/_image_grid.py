"""Images before and after an attack, and their difference, as a grid in one axes."""

import numpy as np

from ._words import shortened

LINES = ("clean", "poisoned", "difference")
PER_LINE = 8
# In widths of a place for an image: the space between two places, the height of a heading, and the
# scales of colours on the right.
GAP, HEADING, SCALES = 0.08, 0.75, 0.7
# Letters in a line of a heading.
LONGEST = 14


def pictures_of(rows, shape):
    """Rows of numbers as pictures (n, h, w) or, in colour, (n, h, w, 3), for rows of `shape`."""
    pictures = rows.reshape(len(rows), *shape)
    if len(shape) == 2:
        return pictures
    if len(shape) == 3 and shape[0] in (1, 3):
        pictures = np.moveaxis(pictures, 1, -1)
    if pictures.ndim != 4 or pictures.shape[-1] not in (1, 3):
        raise ValueError(
            "`image_shape` must be (h, w), or have one more axis, first or last, of 1 or 3 "
            f"channels, got {tuple(shape)}"
        )
    return pictures[..., 0] if pictures.shape[-1] == 1 else pictures


def size_of_grid(pictures):
    """The width and the height of a figure, in inches, that shows these pictures."""
    n_blocks, per_block = _blocks(len(pictures))
    width, height = _place(pictures)
    high = n_blocks * (HEADING + len(LINES) * (height / width + GAP))
    return max(3.5, per_block * (1 + GAP) + SCALES + 1.2), high + 0.5


def draw_grid(ax, clean, poisoned, moves, headings, im_kw, text_kw):
    """Draw the grid; returns the images (3, n_pictures) and the headings (n_pictures,)."""
    n_pictures, n_lines, n_pixels = clean.shape[:3]
    n_blocks, per_block = _blocks(n_pictures)
    width, height = _place(clean)
    gap, above = GAP * width, HEADING * width
    step = above + len(LINES) * (height + gap)
    is_colour = clean.ndim == 4
    last = per_block * (width + gap)
    right, bottom = last + (0 if is_colour else SCALES * width), n_blocks * step
    size = _font_size(ax, right + gap, bottom, width, headings)
    kinds = _colours(clean, poisoned, moves) if is_colour else _greys(clean, poisoned, moves)
    images = np.empty((len(LINES), n_pictures), dtype=object)
    texts = np.empty(n_pictures, dtype=object)
    ticks = {}
    for i, heading in enumerate(headings):
        block, place = divmod(i, per_block)
        left, top = place * (width + gap), block * step + above
        kwargs = {"ha": "center", "va": "bottom", "fontsize": size, **(text_kw or {})}
        texts[i] = ax.text(left + width / 2, top - gap, heading, **kwargs)
        for k, (line, (pictures, kwargs)) in enumerate(kinds.items()):
            middle = left + width / 2, top + k * (height + gap) + height / 2
            sides = middle[0] - n_pixels / 2, middle[0] + n_pixels / 2
            ends = middle[1] + n_lines / 2, middle[1] - n_lines / 2
            kwargs = {**kwargs, **(im_kw or {}), "extent": (*sides, *ends)}
            images[k, i] = ax.imshow(pictures[i], **kwargs)
            # A light picture on a white page has no edge of its own.
            corners = np.array(sides)[[0, 1, 1, 0, 0]], np.array(ends)[[0, 0, 1, 1, 0]]
            ax.plot(*corners, color="0.6", linewidth=0.5)
            ticks[middle[1]] = line
    ax.set_xlim(-gap, right)
    ax.set_ylim(bottom, 0)
    ax.set_xticks([])
    ax.set_yticks(list(ticks), list(ticks.values()))
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    if not is_colour:
        for k, n_kinds in ((0, 2), (2, 1)):
            # A little shorter than the pictures, so that the numbers at their ends do not meet.
            low = above + (k + n_kinds) * (height + gap) - 2 * gap
            share = n_kinds * (height + gap) - 3 * gap
            place = [(last + gap) / (right + gap), 1 - low / bottom, 0.1 * width / (right + gap)]
            bar = ax.inset_axes([*place, share / bottom])
            ax.figure.colorbar(images[k, 0], cax=bar)
            bar.tick_params(labelsize=size)
    return images, texts


def heading_of(parts):
    """The lines of a heading, of which long ones are broken before an arrow and shortened."""
    lines = []
    for part in parts:
        if len(part) > LONGEST:
            before, arrow, after = part.removeprefix("label ").partition(" → ")
            lines += [before, f"→ {after}"] if arrow else [before]
        else:
            lines.append(part)
    return "\n".join(shortened(line, LONGEST) for line in lines)


def _place(pictures):
    """The width and the height of the place for each picture, in pixels; no narrow strip."""
    height, width = pictures.shape[1:3]
    return max(width, height / 2), max(height, width / 2)


def _blocks(n_pictures):
    """The number of blocks, one above the other, and of pictures in each."""
    n_blocks = -(-n_pictures // PER_LINE)
    return n_blocks, -(-n_pictures // n_blocks)


def _font_size(ax, width, height, of_place, headings):
    """A size in points at which each heading is as wide and as high as its place, 9 at most."""
    box = ax.get_window_extent()
    # A layout that comes later may still take some of the axes.
    point = 0.85 * min(box.width / width, box.height / height) * 72 / ax.figure.dpi
    lines = [heading.split("\n") for heading in headings]
    # A letter is about 0.6 of the size wide, and a line is 1.3 of it high.
    wide = of_place * point / (0.6 * max(len(line) for heading in lines for line in heading))
    high = HEADING * of_place * point / (1.3 * max(map(len, lines)))
    return max(3.0, min(9.0, wide, high))


def _greys(clean, poisoned, moves):
    low, high = _limits(clean, poisoned)
    most = _most(moves)
    of_values = {"cmap": "gray", "vmin": low, "vmax": high}
    return {
        LINES[0]: (clean, of_values),
        LINES[1]: (poisoned, of_values),
        LINES[2]: (moves, {"cmap": "RdBu_r", "vmin": -most, "vmax": most}),
    }


def _colours(clean, poisoned, moves):
    low, high = _limits(clean, poisoned)
    if low >= 0 and high <= 1:
        low, high = 0.0, 1.0
    most = _most(moves)
    return {
        LINES[0]: (_shares((clean - low) / (high - low)), {}),
        LINES[1]: (_shares((poisoned - low) / (high - low)), {}),
        f"{LINES[2]}\n(grey: none,\nmost: ±{most:.2g})": (_shares(0.5 + moves / (2 * most)), {}),
    }


def _shares(pictures):
    return np.nan_to_num(pictures).clip(0, 1)


def _limits(clean, poisoned):
    """The least and the greatest finite value, which are made to differ."""
    values = np.concatenate([clean.ravel(), poisoned.ravel()])
    values = values[np.isfinite(values)]
    low, high = (values.min(), values.max()) if len(values) else (0.0, 1.0)
    return low, high if high > low else low + 1.0


def _most(moves):
    """The greatest finite size of a move; 1 if nothing moved."""
    sizes = np.abs(moves[np.isfinite(moves)])
    return float(sizes.max(initial=0)) or 1.0
