"""The table of the cells that an attack has changed."""

import datetime
import tracemalloc

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from scipy import sparse

from skpoison import BackdoorPatch, LabelFlip, RandomNoise, changed_cells
from skpoison._frames import rows_that_differ
from tables import CONTAINERS, CONTENTS, table

NAN = float("nan")
CASES = [
    (container, content)
    for container in CONTAINERS
    for content in CONTENTS
    if table(container, content, 2) is not None
]


def grid(X):
    """The cells as lists of Python's values, None for a missing one: no tool of the package."""
    if isinstance(X, pa.Table):
        X = X.to_pandas()
    if sparse.issparse(X):
        X = X.toarray()
    if isinstance(X, pl.DataFrame):
        cells = X.rows()
    elif isinstance(X, pd.DataFrame):
        cells = list(zip(*(X.iloc[:, k].tolist() for k in range(X.shape[1])), strict=True))
    else:
        cells = np.asarray(X).reshape(len(X), -1).tolist()
    return [[None if is_missing(cell) else cell for cell in row] for row in cells]


def is_missing(cell):
    return cell is None or cell is pd.NA or bool(cell != cell)


def mixed(container, content, seed):
    """X, and rows of which some cells come from another table of the same columns."""
    X, other = (table(container, content, 30, seed + s)[0] for s in (0, 100))
    rng = np.random.default_rng(seed)
    if container in ("numpy", "sparse"):
        pick = rng.random(X.shape) < 0.3
        if container == "numpy":
            return X, np.where(pick, other, X)
        return X, sparse.csr_array(np.where(pick, other.toarray(), X.toarray()))
    X_poisoned = X.clone() if container == "polars" else X.copy()
    for name in X.columns:
        rows = np.flatnonzero(rng.random(len(X)) < 0.3)
        if container == "polars":
            column = X[name].scatter(rows, other[name][rows])
            X_poisoned = X_poisoned.with_columns(column)
        else:
            column = X[name].copy()
            column.iloc[rows] = other[name].iloc[rows].to_numpy()
            X_poisoned[name] = column
    return X, X_poisoned


def columns_of(X):
    return list(getattr(X, "columns", range(X.shape[1])))


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(("container", "content"), CASES)
def test_the_changes_turn_clean_rows_into_poisoned_ones(container, content, seed):
    # Fails if a change is left out, is listed twice or out of order, or stands in another place.
    X, X_poisoned = mixed(container, content, seed)
    cells = changed_cells(X, X_poisoned)
    assert list(cells) == ["row", "column", "clean", "poisoned"]
    assert len(cells)
    before, after, names = grid(X), grid(X_poisoned), columns_of(X)
    expected = [
        (i, names[k]) for i in range(30) for k in range(len(names)) if before[i][k] != after[i][k]
    ]
    assert list(zip(cells.row, cells.column, strict=True)) == expected
    for row, name, clean, poisoned in cells.itertuples(index=False):
        place = names.index(name)
        assert before[row][place] == (None if is_missing(clean) else clean)
        before[row][place] = None if is_missing(poisoned) else poisoned
    assert before == after
    np.testing.assert_array_equal(
        np.unique(cells.row), np.flatnonzero(rows_that_differ(X, X_poisoned))
    )


@pytest.mark.parametrize(("container", "content"), CASES)
def test_without_a_change_the_table_is_empty(container, content):
    # Fails if a missing cell differs from a missing cell.
    X, same = (table(container, content, 30)[0] for _ in range(2))
    for cells in (changed_cells(X, X), changed_cells(X, same)):
        assert list(cells) == ["row", "column", "clean", "poisoned"]
        assert cells.empty
        assert cells.row.dtype == np.intp


@pytest.mark.parametrize("order", ["C", "F", "moved"])
def test_images_have_positions_in_flat_rows(order):
    rng = np.random.default_rng(0)
    X = rng.random((40, 3, 4, 2)).astype(np.float32)
    X = {"C": X, "F": np.asfortranarray(X), "moved": np.moveaxis(X, 1, -1)}[order]
    X_poisoned = X + (rng.random(X.shape) < 0.1) * np.float32(0.5)
    cells = changed_cells(X, X_poisoned)
    index = np.unravel_index(cells.column, X.shape[1:])
    np.testing.assert_array_equal(X[(cells.row, *index)], cells.clean)
    again = X.reshape(len(X), -1).copy()
    again[cells.row, cells.column] = cells.poisoned
    np.testing.assert_array_equal(again.reshape(X.shape), X_poisoned)
    assert cells.clean.dtype == cells.poisoned.dtype == np.float32


def test_missing_cells_are_equal_of_every_kind():
    cells = [[None, NAN, 1.0, "a"], [NAN, pd.NA, NAN, "b"], ["x", np.datetime64("NaT"), 3, None]]
    X = np.array(cells, dtype=object)
    X_poisoned = np.array(
        [[NAN, None, pd.NA, "a"], [None, pd.NaT, None, "c"], ["x", None, 3, pd.NA]], dtype=object
    )
    found = changed_cells(X, X_poisoned)
    assert found[["row", "column"]].to_numpy().tolist() == [[0, 2], [1, 3]]
    assert found.clean.tolist() == [1.0, "b"]
    assert found.poisoned.isna().tolist() == [True, False]
    # Lists of numbers and text stay so.
    listed = changed_cells([["a", 1.0], ["b", 2.0]], [["a", 1.0], ["b", 2.5]])
    assert listed.to_numpy().tolist() == [[1, 1, 2.0, 2.5]]
    # A NaN of polars and a null are both missing.
    X, X_poisoned = (pl.DataFrame({"a": [1.0, value]}) for value in (None, NAN))
    assert changed_cells(X, X_poisoned).empty
    assert not rows_that_differ(X, X_poisoned).any()


LARGE = 2**53 + 1


@pytest.mark.parametrize(
    "frame",
    [
        lambda cells: pd.DataFrame({"a": cells}, dtype="Int64"),
        lambda cells: pd.DataFrame({"a": cells}, dtype="int64[pyarrow]"),
        lambda cells: pl.DataFrame({"a": cells}),
        lambda cells: pa.table({"a": cells}),
    ],
    ids=["nullable", "pyarrow", "polars", "arrow table"],
)
def test_large_integers_beside_missing_cells(frame):
    # Fails where a missing cell makes floats of a column: then 2**53 + 1 equals 2**53.
    X, X_poisoned = frame([LARGE, None, 1, 2]), frame([LARGE - 1, None, None, 2])
    assert rows_that_differ(X, X_poisoned).tolist() == [True, False, True, False]
    cells = changed_cells(X, X_poisoned)
    assert cells.clean.tolist() == [LARGE, 1]
    assert cells.poisoned.iloc[0] == LARGE - 1
    assert is_missing(cells.poisoned.iloc[1])


def test_columns_without_values():
    empty = {"a": [None, None], "b": [1, 2]}
    full = {"a": [None, 0.5], "b": [None, 2]}
    for library in (pd.DataFrame, pl.DataFrame, pa.table):
        cells = changed_cells(library(empty), library(full))
        assert cells[["row", "column"]].to_numpy().tolist() == [[0, "b"], [1, "a"]]
        assert cells.clean.iloc[0] == 1
        assert cells.poisoned.iloc[1] == 0.5
        # No rows at all.
        assert changed_cells(library({"a": [], "b": []}), library({"a": [], "b": []})).empty
    assert changed_cells(np.zeros((0, 2)), np.zeros((0, 2))).empty
    assert changed_cells(np.zeros((2, 0)), np.zeros((2, 0))).empty
    assert changed_cells(sparse.csr_array((2, 0)), sparse.csr_array((2, 0))).empty


def test_values_keep_their_kind():
    X = pd.DataFrame({"n": [LARGE, 2], "x": [0.5, 1.5], "on": [True, False]})
    # Numbers of several types are numbers, if no value is lost.
    cells = changed_cells(X, X.assign(n=[LARGE, 3], x=[0.5, 2.5]))
    assert cells.clean.dtype == float
    assert cells.clean.tolist() == [2, 1.5]
    cells = changed_cells(X, X.assign(n=[1, 2], x=[0.25, 1.5]))
    assert cells.clean.tolist() == [LARGE, 0.5]
    cells = changed_cells(X, X.assign(on=[False, False], x=[0.25, 1.5]))
    assert cells.clean.tolist()[1] is True
    # An integer column that was attacked has become one of floats.
    cells = changed_cells(X, X.assign(n=X.n.astype(float).add([0, 0.5])))
    assert cells.clean.dtype == np.int64
    assert cells.poisoned.tolist() == [2.5]


def test_categories_and_text_are_compared_by_label():
    words = ["b", "a", None, "b"]
    frames = [
        pd.DataFrame({"w": words}),
        pd.DataFrame({"w": pd.Categorical(words)}),
        pd.DataFrame({"w": pd.Categorical(words, categories=["c", "b", "a"])}),
        pl.DataFrame({"w": words}, schema={"w": pl.Categorical}),
        pl.DataFrame({"w": words}, schema={"w": pl.Enum(["a", "b"])}),
        pa.table({"w": pa.array(words).dictionary_encode()}),
    ]
    other = pd.DataFrame({"w": pd.Categorical(["b", "b", "a", "b"])})
    for X in frames:
        for same in frames:
            assert changed_cells(X, same).empty
        cells = changed_cells(X, other)
        assert cells.row.tolist() == [1, 2]
        assert cells.poisoned.tolist() == ["b", "a"]
        assert cells.clean.iloc[0] == "a"
        assert is_missing(cells.clean.iloc[1])


def test_dates_and_odd_names():
    day = datetime.datetime(2026, 11, 1)
    X = pd.DataFrame([[day, 1, 2]], columns=[("a", 1), ("a", 2), ("b", 1)])
    X.columns = pd.MultiIndex.from_tuples(X.columns)
    X_poisoned = X.copy()
    X_poisoned.iloc[0, 0], X_poisoned.iloc[0, 2] = day + datetime.timedelta(1), 3
    cells = changed_cells(X, X_poisoned)
    assert cells.column.tolist() == [("a", 1), ("b", 1)]
    assert cells.clean.tolist() == [day, 2]
    # Names that occur twice, and an index that is not 0, 1, ...
    X = pd.DataFrame(np.eye(2), columns=["a", "a"], index=[7, 7])
    cells = changed_cells(X, X + np.array([[0, 0], [0.5, 0]]))
    assert cells.to_numpy().tolist() == [[1, "a", 0.0, 0.5]]


@pytest.mark.parametrize("kind", ["csr", "csc", "coo", "lil", "dok"])
@pytest.mark.parametrize("make", [sparse.csr_array, sparse.csr_matrix])
def test_sparse_rows(kind, make):
    # Stored zeros, cells in two pieces, and NaN.
    rows = make(([1.0, 2.0, 3.0, 0.0, NAN], ([0, 0, 1, 1, 2], [0, 0, 1, 0, 1])), shape=(4, 3))
    other = make(np.array([[3.0, 0, 0], [0, 0, 0], [0, NAN, 4.0], [0, 0, 0]]))
    one, two = rows.asformat(kind), other.asformat(kind)
    before = one.toarray()
    cells = changed_cells(one, two)
    assert cells.to_numpy().tolist() == [[1, 1, 3.0, 0.0], [2, 2, 0.0, 4.0]]
    np.testing.assert_array_equal(one.toarray(), before)
    assert changed_cells(one, one).empty


def test_the_changes_of_attacks(digits):
    X, y = digits
    X, y = X[:60], y[:60]
    norms = np.where(np.arange(60) % 10, 0, 0.5)
    noise = RandomNoise(norm="l2,inf", norms=norms, random_state=0)
    X_poisoned, _ = noise.poison(X, y)
    cells = changed_cells(X, X_poisoned)
    np.testing.assert_array_equal(cells.row.unique(), noise.poison_indices_)
    moves = ((cells.poisoned - cells.clean) ** 2).groupby(cells.row).sum() ** 0.5
    np.testing.assert_allclose(moves, noise.perturbation_norms_[noise.poison_indices_])
    frame = pd.DataFrame(X).rename(columns="pixel {}".format)
    patched, _ = BackdoorPatch({"pixel 63": 1.0}, rate=0.2, random_state=0).poison(frame, y)
    assert set(changed_cells(frame, patched).column) == {"pixel 63"}
    flipped, _ = LabelFlip(0.5, random_state=0).poison(frame, y)
    assert changed_cells(frame, flipped).empty


def test_memory_goes_with_the_changes():
    # X takes 16 MB: fails if the comparison makes an array of this size.
    X = np.zeros((20_000, 100))
    frame = pd.DataFrame(X)
    for rows in (X, frame):
        X_poisoned = rows.copy()
        cell = X_poisoned if rows is X else X_poisoned.iloc
        cell[15_003, 4] = 1.0
        tracemalloc.start()
        cells = changed_cells(rows, X_poisoned)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert cells.to_numpy().tolist() == [[15_003, 4, 0.0, 1.0]]
        assert peak < 3e6


FRAME = pd.DataFrame(np.eye(3), columns=list("abc"))


@pytest.mark.parametrize(
    ("X", "X_poisoned", "error", "words"),
    [
        (FRAME, FRAME[:2], ValueError, r"the shape of X, \(3, 3\), got \(2, 3\)"),
        (FRAME, FRAME[["a", "b"]], ValueError, r"the shape of X, \(3, 3\), got \(3, 2\)"),
        (FRAME, FRAME[["a", "c", "b"]], ValueError, "order: column 1 must be 'b', got 'c'"),
        (FRAME, np.eye(3), TypeError, "X_poisoned must be a frame, as X is, got .* of ndarray"),
        (np.eye(3), FRAME, TypeError, "X_poisoned must be an array, as X is, got .* of DataFrame"),
        (sparse.eye_array(3), np.eye(3), TypeError, "X_poisoned must be sparse, as X is, got"),
        (np.eye(3), np.zeros((3, 3, 1)), ValueError, r"shape of X, \(3, 3\), got \(3, 3, 1\)"),
        (np.zeros(3), np.zeros(3), ValueError, r"X must have two axes or more, got shape \(3,\)"),
        (FRAME, FRAME["a"], ValueError, r"X_poisoned must have two axes or more, .* \(3,\)"),
        (None, FRAME, ValueError, r"X must have two axes or more, got shape \(\)"),
        ({"a": [1]}, FRAME, ValueError, r"X must have two axes or more, got shape \(\)"),
        ([[1, 2], [3]], [[1, 2], [3]], ValueError, "X must have rows of one length: .*inhomoge"),
    ],
)
def test_what_has_not_the_same_cells(X, X_poisoned, error, words):
    with pytest.raises(error, match=words):
        changed_cells(X, X_poisoned)
