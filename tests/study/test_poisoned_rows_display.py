"""The picture of rows before and after an attack."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import polars as pl
import pytest
from scipy import sparse
from sklearn.base import clone
from sklearn.preprocessing import StandardScaler

from skpoison import LabelFlip, PoisonedRowsDisplay, RandomNoise
from tables import CONTAINERS, CONTENTS, table

show = PoisonedRowsDisplay.from_rows


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


def moved(n_rows=30, n_columns=5, seed=0):
    """Columns of very different units, and rows of which two thirds moved."""
    rng = np.random.default_rng(seed)
    units = 10.0 ** np.arange(-2, n_columns - 2)
    X = rng.standard_normal((n_rows, n_columns)) * units + units
    moves = rng.standard_normal(X.shape) * units * (np.arange(n_rows) % 3 > 0)[:, None]
    return X, X + moves * (rng.random(X.shape) < 0.7)


def texts(display):
    return [[text.get_text() for text in row] for row in display.text_]


def words(axis):
    return [text.get_text() for text in axis.get_ticklabels()]


# Tables.


@pytest.mark.parametrize("seed", range(3))
def test_moves_are_in_standard_deviations(seed):
    # Fails if the unit of a column decides what is shown.
    X, X_poisoned = moved(seed=seed)
    X[:, 3] = 0.1  # As in the scaler, whose unit for a constant column is 1.
    X_poisoned[:, 3] = 0.1 + 0.1 * (np.arange(30) == 1)
    scaler = StandardScaler().fit(X)
    moves = scaler.transform(X_poisoned) - scaler.transform(X)
    display = show(X, X_poisoned, n_rows=4, n_columns=3)
    rows = np.argsort(-np.linalg.norm(moves, axis=1))[:4]
    places = np.argsort(-np.linalg.norm(moves, axis=0))[:3]
    np.testing.assert_array_equal(display.rows, rows)
    assert display.columns == [f"column {place}" for place in places]
    np.testing.assert_allclose(display.moves, moves[np.ix_(rows, places)], atol=1e-12)
    np.testing.assert_allclose(display.norms, np.linalg.norm(moves[rows], axis=1))
    rms = np.sqrt((moves[:, places] ** 2).mean(axis=0))
    np.testing.assert_allclose(display.column_norms, rms)
    np.testing.assert_allclose(display.im_.get_array(), display.moves)
    assert display.ax_.get_title() == (
        f"The 4 farthest of {(X != X_poisoned).any(axis=1).sum()} changed rows,\n"
        "the 3 farthest of 5 changed columns"
    )


@pytest.mark.parametrize("content", CONTENTS)
def test_every_container_has_the_same_picture(content):
    found = {}
    for container in CONTAINERS:
        tables = [table(container, content, 20, seed) for seed in (0, 1)]
        # The categories of polars are text, and those of pandas may be numbers.
        if None not in tables and (container, content) != ("polars", "codes"):
            found[container] = show(tables[0][0], tables[1][0], n_rows=3, n_columns=3)
    expected = found.pop("pandas")
    assert len(found) >= 2
    for container, display in found.items():
        np.testing.assert_array_equal(display.rows, expected.rows)
        np.testing.assert_allclose(display.norms, expected.norms)
        np.testing.assert_allclose(display.moves, expected.moves)
        if container not in ("numpy", "sparse"):  # They have no names, and all cells are floats.
            assert texts(display) == texts(expected)
            assert display.columns == expected.columns


def test_what_is_no_number_counts_as_one_deviation():
    X = pd.DataFrame({"n": [1.0, 3.0, np.nan, 3.0], "w": list("abca"), "b": [True, False] * 2})
    X_poisoned = X.assign(n=[1.0, np.nan, np.nan, 5.0], w=list("abaa"), b=[True] * 4)
    display = show(X, X_poisoned, ["a", "b", "c", "d"], ["a", "b", "c", "e"])
    deviation = np.std([1, 3, 3])
    norms = {3: np.hypot(2 / deviation, 2), 1: 5**0.5, 2: 1}  # A bool is 0 or 1, +-0.5 of which.
    assert display.rows.tolist() == list(norms)
    np.testing.assert_allclose(display.norms, list(norms.values()))
    assert display.columns == ["b", "n", "w"]
    assert texts(display) == [
        ["False\n→ True", "3\n→ 5", "a"],
        ["False\n→ True", "3\n→ missing", "b"],
        ["True", "missing", "c\n→ a"],
    ]
    expected = [[2, 2 / deviation, 0], [2, np.nan, 0], [0, 0, np.nan]]
    np.testing.assert_allclose(display.moves, expected)
    assert words(display.ax_.yaxis)[0] == f"row 3, label d → e, norm {norms[3]:.3g}"
    assert words(display.ax_.xaxis)[2] == "w\n(0.5)"
    # The changes without a number have a colour of their own, which the legend explains.
    bar = display.figure_.axes[-1]
    assert bar.get_ylabel() == "Move (standard deviations)\n(khaki: not numeric)"
    assert show(X[["b"]], X_poisoned[["b"]]).figure_.axes[-1].get_ylabel() == (
        "Move (standard deviations)"
    )


def test_letters_are_dark_on_light_colours_and_light_on_dark_ones():
    X = np.array([[-1.0], [0.0], [1.0]])
    X_poisoned = np.array([[2.0], [0.1], [1.0]])
    display = show(X, X_poisoned, rows=[0, 1, 2], values_format=".2f")
    assert [text.get_color() for text in display.text_[:, 0]] == ["white", "black", "0.4"]
    assert texts(display)[0] == ["-1.00\n→ 2.00"]


def test_long_words_are_shortened():
    X = pd.DataFrame({"a name that is far too long\nfor a picture": ["a text that is as long"] * 3})
    display = show(X, X.map(str.upper), ["one label that is as long as all others"] * 3)
    assert words(display.ax_.xaxis) == ["a name that is far too …\n(1)"]
    assert texts(display)[0] == ["a text that is …\n→ A TEXT THAT IS …"]
    assert max(map(len, words(display.ax_.yaxis))) < 60
    assert display.columns == list(X)


# Images.


@pytest.fixture(scope="module")
def images():
    rng = np.random.default_rng(0)
    X = rng.random((12, 3, 5, 4))
    return X, (X + 0.3 * rng.standard_normal(X.shape) * (np.arange(12) % 2)[:, None, None, None])


def assert_shows(display, clean, poisoned):
    np.testing.assert_allclose(display.clean, clean)
    np.testing.assert_allclose(display.poisoned, poisoned)
    np.testing.assert_allclose(display.moves, poisoned - clean)
    assert display.im_.shape == (3, len(clean))


def test_grey_images(images):
    X, X_poisoned = (part[:, 0] for part in images)
    y = np.arange(12)
    display = show(X, X_poisoned, y, np.where(y > 8, 0, y), n_rows=3)
    norms = np.linalg.norm((X_poisoned - X).reshape(12, -1), axis=1)
    rows = np.argsort(-norms)[:3]
    np.testing.assert_array_equal(display.rows, rows)
    np.testing.assert_allclose(display.norms, norms[rows])
    assert_shows(display, X[rows], X_poisoned[rows])
    for line, expected in zip(display.im_, (X, X_poisoned, X_poisoned - X), strict=True):
        # One scale for all, so that pictures can be compared.
        assert len({image.get_clim() for image in line}) == 1
        for image, picture in zip(line, expected[rows], strict=True):
            np.testing.assert_allclose(image.get_array(), picture)
    assert display.im_[0, 0].get_clim() == display.im_[1, 0].get_clim()
    low, high = display.im_[2, 0].get_clim()
    assert low == -high  # White stands for no difference.
    changed = {9: " → 0", 10: " → 0", 11: " → 0"}
    assert [text.get_text() for text in display.text_] == [
        f"row {row}\nlabel {row}{changed.get(row, '')}\nnorm {norms[row]:.3g}" for row in rows
    ]
    assert words(display.ax_.yaxis) == ["clean", "poisoned", "difference"]
    # Rows of which only the label changed count, too.
    assert display.ax_.get_title() == "The 3 farthest of 7 changed rows"


@pytest.mark.parametrize("kind", ["flat", "list", "frame", "polars", "sparse", "last", "uint8"])
def test_images_in_every_container(images, kind):
    X, X_poisoned = (np.round(255 * part.clip(0, 1)) for part in images)
    flat = [part.reshape(12, -1) for part in (X, X_poisoned)]
    shape = (3, 5, 4)
    if kind == "last":
        flat, shape = [np.moveaxis(part, 1, -1) for part in (X, X_poisoned)], None
    make = {
        "list": np.ndarray.tolist,
        "frame": pd.DataFrame,
        "polars": pl.DataFrame,
        "sparse": sparse.csr_array,
        "uint8": lambda part: part.astype(np.uint8),
    }.get(kind, np.asarray)
    display = show(*map(make, flat), n_rows=2, image_shape=shape)
    rows = np.argsort(-np.linalg.norm((X_poisoned - X).reshape(12, -1), axis=1))[:2]
    np.testing.assert_array_equal(display.rows, rows)
    assert_shows(display, *(np.moveaxis(part[rows], 1, -1) for part in (X, X_poisoned)))


def test_colours(images):
    X, X_poisoned = images
    X_poisoned = X_poisoned.clip(0, 1)
    display = show(X, X_poisoned, n_rows=1)
    (row,) = display.rows
    # Colours in [0, 1] are shown as they are; grey stands for no difference.
    for line, expected in zip(display.im_, (X, X_poisoned), strict=False):
        np.testing.assert_allclose(line[0].get_array(), np.moveaxis(expected[row], 0, -1))
    moves = np.moveaxis(X_poisoned[row] - X[row], 0, -1)
    most = np.abs(moves).max()
    np.testing.assert_allclose(display.im_[2, 0].get_array(), 0.5 + moves / (2 * most))
    assert words(display.ax_.yaxis)[2] == f"difference\n(grey: none,\nmost: ±{most:.2g})"
    # Others are stretched, both pictures in the same way.
    other = show(100 * X - 50, 100 * X_poisoned - 50, n_rows=1)
    both = np.stack([X[row], X_poisoned[row]])
    low, high = both.min(), both.max()
    expected = (np.moveaxis(both, 1, -1) - low) / (high - low)
    for k in (0, 1):
        np.testing.assert_allclose(other.im_[k, 0].get_array(), expected[k], atol=1e-9)
    # One channel is grey.
    assert show(X[:, :1], X_poisoned[:, :1]).clean.shape == (6, 5, 4)


@pytest.mark.parametrize(
    ("n_rows", "shape", "size"), [(9, (8, 8), None), (2, (32, 2), None), (8, (8, 8), (6, 3))]
)
def test_nothing_overlaps(n_rows, shape, size):
    # Fails if headings have one size of letters, whatever the place for them.
    rng = np.random.default_rng(0)
    X = rng.random((20, 64))
    labels = np.array(["setosa", "a label that is far too long"])
    y = rng.integers(0, 2, 20)
    ax = None if size is None else plt.subplots(figsize=size, layout="constrained")[1]
    display = show(
        X, X + rng.random(X.shape), labels[y], labels[1 - y],
        image_shape=shape, n_rows=n_rows, ax=ax,
    )  # fmt: skip
    display.figure_.draw_without_rendering()
    boxes = [text.get_window_extent() for text in display.text_]
    boxes += [image.get_window_extent() for image in display.im_.ravel()]
    boxes.append(display.ax_.title.get_window_extent())
    for i, one in enumerate(boxes):
        for other in boxes[:i]:
            width = min(one.x1, other.x1) - max(one.x0, other.x0)
            height = min(one.y1, other.y1) - max(one.y0, other.y0)
            assert min(width, height) < 1
    whole = display.figure_.bbox
    for box in [*boxes, *(label.get_window_extent() for label in display.ax_.get_yticklabels())]:
        assert whole.x0 <= box.x0
        assert box.x1 <= whole.x1
        assert whole.y0 <= box.y0
        assert box.y1 <= whole.y1


# Both.


def test_rows_that_did_not_move(digits):
    X, y = digits
    y_flipped = LabelFlip(0.1, sampling="exact", random_state=0).poison(X, y)[1]
    display = show(X, X, y, y_flipped, image_shape=(8, 8))
    np.testing.assert_array_equal(display.rows, np.flatnonzero(y != y_flipped)[:8])
    assert display.ax_.get_title() == "8 of 30 changed rows"
    # An attack of strength 0: the first rows.
    display = show(X, X.copy(), y)
    assert display.rows.tolist() == list(range(8))
    assert display.columns == [f"column {k}" for k in range(8)]
    assert display.ax_.get_title() == "No changed rows"
    assert not display.moves.any()
    # Fewer changed rows than places for them: only these.
    changed = X.copy()
    changed[5, 3] += 1
    display = show(X, changed, image_shape=(8, 8))
    assert display.rows.tolist() == [5]
    assert display.ax_.get_title() == "The only changed row"
    changed[[9, 2], 3] += 1
    display = show(X, changed)
    assert display.rows.tolist() == [2, 5, 9]  # Of equals the first is first.
    assert display.ax_.get_title() == "All 3 changed rows,\nthe only changed column"
    display = show(X, changed, rows=np.array([9, 0]), image_shape=(8, 8))
    assert display.rows.tolist() == [9, 0]
    assert display.ax_.get_title() == "1 of 3 changed rows"


def test_values_that_are_not_finite_are_drawn():
    X = np.array([[0.0, 1.0, 2.0, np.inf], [1.0, 1.0, np.nan, 0.0]])
    X_poisoned = np.array([[np.inf, 1.0, np.nan, 0.0], [1.0, 2.0, np.nan, np.nan]])
    for shape in (None, (2, 2)):
        display = show(X, X_poisoned, image_shape=shape)
        display.figure_.draw_without_rendering()
        assert display.rows.tolist() == [0, 1]
        assert display.norms[0] == np.inf


def test_plot_again_on_given_axes(images):
    X, X_poisoned = moved()
    display = show(X, X_poisoned)
    _, ax = plt.subplots(figsize=(3, 3))
    kwargs = {"im_kw": {"cmap": "viridis"}, "text_kw": {"fontsize": 3}}
    assert display.plot(ax=ax, **kwargs) is display
    assert display.ax_ is ax
    assert display.figure_ is ax.figure
    assert tuple(ax.figure.get_size_inches()) == (3, 3)
    assert display.im_.get_cmap().name == "viridis"
    assert display.text_[0, 0].get_fontsize() == 3
    _, ax = plt.subplots()
    display = show(images[0][:, 0], images[1][:, 0], ax=ax, **kwargs)
    assert display.ax_ is ax
    assert display.im_[0, 0].get_cmap().name == "viridis"
    assert display.text_[0].get_fontsize() == 3
    # Without labels, norms of columns or a title.
    plain = PoisonedRowsDisplay(
        rows=[4], clean=np.array([[1, "a"]], object), poisoned=np.array([[1, "b"]], object),
        moves=np.array([[0, np.nan]]), norms=[1.0], columns=["n", "w"],
    ).plot()  # fmt: skip
    assert words(plain.ax_.yaxis) == ["row 4, norm 1"]
    assert words(plain.ax_.xaxis) == ["n", "w"]
    assert plain.ax_.get_title() == plain.ax_.get_xlabel() == ""


def test_from_estimator_runs_the_attack(digits):
    X, y = (part[:40] for part in digits)
    noise = RandomNoise(norm="l2,inf", budget=0.5, random_state=0)
    display = PoisonedRowsDisplay.from_estimator(noise, X, y, n_rows=2, image_shape=(8, 8))
    rows = np.argsort(-clone(noise).fit(X, y).perturbation_norms_, kind="stable")[:2]
    np.testing.assert_array_equal(display.rows, rows)
    X_poisoned, _ = clone(noise).poison(X, y)
    np.testing.assert_array_equal(display.poisoned.reshape(2, -1), X_poisoned[rows])
    assert display.labels == [str(label) for label in y[rows]]
    assert not hasattr(noise, "perturbation_norms_")
    flips = LabelFlip(0.5, random_state=0)
    display = PoisonedRowsDisplay.from_estimator(flips, X, y, rows=range(9), n_columns=1)
    y_flipped = clone(flips).poison(X, y)[1]
    assert ["→" in label for label in display.labels] == (y_flipped != y)[:9].tolist()


X = np.eye(3)


@pytest.mark.parametrize(
    ("changes", "error", "match"),
    [
        ({"X_poisoned": X[:2]}, ValueError, r"the shape of X, \(3, 3\), got \(2, 3\)"),
        ({"X": X[:0], "X_poisoned": X[:0]}, ValueError, r"X must have rows and .* \(0, 3\)"),
        ({"y": [1, 2]}, ValueError, "y must have a label for each of the 3 rows of X, got 2"),
        ({"y": [1, 2, 3], "y_poisoned": [1]}, ValueError, "y_poisoned must have a label .* got 1"),
        ({"y_poisoned": [1, 2, 3]}, ValueError, "`y_poisoned` must be None where y is None"),
        ({"rows": [3]}, ValueError, "`rows` must be <= 2, got 3"),
        ({"rows": [-1]}, ValueError, "`rows` must be >= 0, got -1"),
        ({"rows": []}, TypeError, r"`rows` must be None or positions of rows, .* got \[\]"),
        ({"rows": 1}, TypeError, "`rows` must be None or positions of rows, .* got 1"),
        ({"rows": [0.5]}, TypeError, r"`rows` must be None or positions .* got \[0.5\]"),
        ({"n_rows": 0}, ValueError, "`n_rows` must be >= 1, got 0"),
        ({"n_columns": 1.5}, TypeError, "`n_columns` must be an integer, got 1.5"),
        ({"image_shape": (2, 2)}, ValueError, r"`image_shape` must have the 3 values .*\(2, 2\)"),
        ({"image_shape": 3}, TypeError, "`image_shape` must be None or a tuple of integers, got 3"),
        ({"image_shape": (0, 3)}, ValueError, "`image_shape` must be >= 1, got 0"),
        ({"image_shape": (3,)}, ValueError, r"`image_shape` must be \(h, w\), .* got \(3,\)"),
        (
            {"X": np.zeros((2, 4, 5, 5)), "X_poisoned": np.ones((2, 4, 5, 5))},
            ValueError,
            r"`image_shape` must be \(h, w\), or have one more axis.* channels, got \(4, 5, 5\)",
        ),
        (
            {"X": [["a", 1]], "X_poisoned": [["b", 1]], "image_shape": (1, 2)},
            ValueError,
            "X must hold numbers to be shown as images, but column 0 does not",
        ),
    ],
)
def test_bad_arguments(changes, error, match):
    arguments = {"X": X, "X_poisoned": X, **changes}
    before = plt.get_fignums()
    with pytest.raises(error, match=match):
        show(**arguments)
    assert plt.get_fignums() == before
