"""A partition and its member depend on the values of their own rows, and on nothing else."""

import datetime
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nosy import Nosy, told
from sklearn.linear_model import LogisticRegression

from skpoison import PartitionEnsemble
from skpoison.defences._content import contents_of_cells
from skpoison.defences._rows import rows_of

NAN = float("nan")
NAMES = [f"pixel{k}" for k in range(64)]
NOON = datetime.datetime(2026, 11, 28, 12)
HOUR = datetime.timedelta(hours=1)
EAST = datetime.timezone(HOUR)
# Cells of one value stand in one row.
VALUES = [
    [None, NAN, np.float32(NAN), pd.NA, pd.NaT, np.datetime64("NaT"), Decimal("NaN")],
    [0, 0.0, -0.0, False, np.False_, Decimal("-0"), Fraction(0)],
    [1, 1.0, True, np.int8(1), np.float32(1), Decimal("1.0"), Fraction(1)],
    [0.1, np.float64(0.1)],
    [np.inf, 10**400],
    ["1", np.str_("1")],
    ["1.0"],
    [""],
    ["\ud800"],
    ["nan"],
    [b"1"],
    [
        NOON,
        pd.Timestamp(NOON),
        np.datetime64(NOON),
        np.datetime64(NOON, "ns"),
        (NOON + HOUR).replace(tzinfo=EAST),
        pd.Timestamp(NOON, tz="UTC").tz_convert("Asia/Tokyo"),
    ],
    [NOON.date(), NOON.replace(hour=0), np.datetime64("2026-11-28")],
    [NOON + datetime.timedelta(microseconds=1)],
    [pd.Timestamp(NOON) + pd.Timedelta(1, "ns")],
    [datetime.datetime(1969, 12, 31, 23, 59, 59, 500000), pd.Timestamp(-500, unit="ms")],
    [HOUR, pd.Timedelta(HOUR), np.timedelta64(1, "h"), np.timedelta64(3600, "s")],
    [NOON.time()],
    [pd.Interval(0, 1), pd.Interval(0.0, 1.0)],
    [pd.Interval(0, 1, closed="left")],
    [pd.Period("2026-11", "M")],
    [pd.Period("2026-11-01", "D")],
]


def test_equal_cells_have_equal_content_and_others_another():
    # Fails if a hash sees a dtype, a code, a unit, a time zone or the sign of a zero.
    contents = [{contents_of_cells([cell], "a")[0] for cell in cells} for cells in VALUES]
    assert [len(found) for found in contents] == [1] * len(VALUES)
    assert len(set.union(*contents)) == len(VALUES)


def test_no_cell_changes_the_content_of_another():
    # Cells that Python calls equal share their content: fails if the first one decides it.
    cells = [cell for cells in VALUES for cell in cells]
    together = contents_of_cells(cells, "a")
    backward = contents_of_cells(cells[::-1], "a")[::-1]
    alone = [contents_of_cells([cell], "a")[0] for cell in cells]
    assert list(together) == list(backward) == alone


def contents_in(X):
    return rows_of(Nosy(), X, reset=True).contents()


def test_a_column_has_the_same_content_in_every_container():
    # Fails if pandas, polars and arrow, or dtypes with and without missing cells, part ways.
    numbers, texts = [1, None, 2, 0], ["b", None, "a", "1"]
    days = [datetime.datetime(2026, 1, day) if day else None for day in numbers]
    truths = [None if number is None else number > 0 for number in numbers]
    of_numbers = [
        pd.DataFrame({"a": numbers}),
        pd.DataFrame({"a": pd.array(numbers, "Int64")}),
        pd.DataFrame({"a": pd.array(numbers, "Float32")}),
        pd.DataFrame({"a": pd.array(numbers, "int8[pyarrow]")}),
        pd.DataFrame({"a": pd.Series(numbers, dtype=object)}),
        pd.DataFrame({"a": pd.Categorical(numbers)}),
        pl.DataFrame({"a": numbers}),
        pl.DataFrame({"a": pl.Series(numbers, dtype=pl.Decimal(10, 2))}),
        pa.table({"a": numbers}),
        np.array(numbers, dtype=float)[:, np.newaxis],
        np.array(numbers, dtype=object)[:, np.newaxis],
    ]
    of_truths = [
        pd.DataFrame({"a": truths}),
        pd.DataFrame({"a": pd.array(truths, "boolean")}),
        pl.DataFrame({"a": truths}),
        np.array([[1.0], [NAN], [1.0], [0.0]]),
    ]
    of_texts = [
        pd.DataFrame({"a": texts}),
        pd.DataFrame({"a": pd.Series(texts, dtype=object)}),
        pd.DataFrame({"a": pd.array(texts, "string[pyarrow]")}),
        pd.DataFrame({"a": pd.Categorical(texts)}),
        pd.DataFrame({"a": pd.Categorical(texts, ["z", "b", "a", "1"], ordered=True)}),
        pd.DataFrame({"a": pd.Series(texts, dtype=of_arrow(pa.string()))}),
        pl.DataFrame({"a": texts}),
        pl.DataFrame({"a": pl.Series(texts, dtype=pl.Categorical)}),
        pl.DataFrame({"a": pl.Series(texts, dtype=pl.Enum(["z", "b", "a", "1"]))}),
        pa.table({"a": pa.array(texts).dictionary_encode()}),
        np.array(texts, dtype=object)[:, np.newaxis],
    ]
    of_days = [
        pd.DataFrame({"a": pd.Series(days, dtype="datetime64[ns]")}),
        pd.DataFrame({"a": pd.Series(days, dtype="datetime64[s]").dt.tz_localize("UTC")}),
        pd.DataFrame({"a": pd.Series(days, dtype="timestamp[us][pyarrow]")}),
        pd.DataFrame({"a": pd.Series(days, dtype=object)}),
        pl.DataFrame({"a": days}),
        pl.DataFrame({"a": days}, schema={"a": pl.Date}),
        np.array(days, dtype="M8[D]")[:, np.newaxis],
    ]
    for same in (of_numbers, of_truths, of_texts, of_days):
        contents = [contents_in(X) for X in same]
        assert contents == [contents[0]] * len(contents)


def of_arrow(kind):
    return pd.ArrowDtype(pa.dictionary(pa.int32(), kind))


def test_nanoseconds_count():
    # Python's dates and times have none.
    times = pl.Series([5, 1005, 6], dtype=pl.Int64)
    for kind in (pl.Time, pl.Datetime("ns"), pl.Duration("ns")):
        X = pl.DataFrame({"a": times.cast(kind)})
        for frame in (X, X.to_arrow(), X.to_pandas(use_pyarrow_extension_array=True)):
            assert len(set(contents_in(frame))) == 3
    seconds = pa.table({"a": pa.array([1, 2, None], pa.time32("s"))})
    assert len(set(contents_in(seconds))) == 3


LETTERS = ["b", "c", "d", None]
MIXED = [1, True, 1.0, "1", None, NAN, -0.0, 0]


def a_row(rng, letters=LETTERS):
    numbers = [0.0, -0.0, 1.0, NAN]
    return (
        numbers[rng.integers(4)],
        letters[rng.integers(len(letters))],
        [1, 2, 3, None][rng.integers(4)],
        MIXED[rng.integers(len(MIXED))],
        [NOON, None][rng.integers(2)],
    )


def in_pandas(rows, rng, more=()):
    """The rows as a frame; `more` are categories that no row has, and their order is random."""
    number, letter, code, mixed, day = zip(*rows, strict=True)
    found = rng.permutation([*{c for c in letter if c is not None} | set(more)]).tolist()
    dictionary = pa.array(found, pa.string())
    places = [found.index(c) if c is not None else None for c in letter]
    arrow = pa.DictionaryArray.from_arrays(pa.array(places, pa.int32()), dictionary)
    codes = rng.permutation([*{c for c in code if c is not None}, *([2.5] if more else [])])
    X = pd.DataFrame(
        {
            "number": number,
            "other": np.arange(len(rows)) * 0.0,
            "letter": pd.Categorical(letter, found),
            "rank": pd.Categorical(letter, sorted(found, reverse=True), ordered=True),
            "arrow": pd.Series(pd.arrays.ArrowExtensionArray(arrow)),
            "code": pd.Categorical(code, codes),
            "mixed": pd.Series(mixed, dtype=object),
            "day": pd.Series(day, dtype="datetime64[us]"),
        }
    )
    # A layout of another history.
    X = X.copy() if rng.integers(2) else X[[*X.columns[4:], *X.columns[:4]]][X.columns]
    X.index = rng.integers(0, 9, len(rows))
    return X


def in_polars(rows, rng, more=()):
    number, letter, code, _, day = zip(*rows, strict=True)
    found = sorted({c for c in letter if c is not None} | set(more), reverse=True)
    return pl.DataFrame(
        {
            "number": number,
            "letter": pl.Series(letter, dtype=pl.Categorical),
            "rank": pl.Series(letter, dtype=pl.Enum(found)),
            "code": pl.Series(code, dtype=pl.Int32),
            "day": pl.Series(day, dtype=pl.Datetime("us")),
        }
    )


seeds = st.integers(0, 2**32 - 1)


@pytest.mark.parametrize("table", [in_pandas, in_polars])
@settings(deadline=None, max_examples=15)
@given(seeds, st.integers(2, 20), st.integers(1, 3))
def test_a_row_changes_one_partition(table, seed, n_rows, n_changes):
    # Fails if other partitions see a new category, the order of rows, an index or a layout, or if
    # rows of equal values (1 and True) stay in the order of X.
    rng = np.random.default_rng(seed)
    rows = [(a_row(rng), int(rng.integers(3))) for _ in range(n_rows)]
    changed = list(rows)
    for _ in range(n_changes):
        if rng.integers(2) and len(changed) > 1:
            del changed[rng.integers(len(changed))]
        else:
            changed.append((a_row(rng, ["a", "bb", "e"]), int(rng.integers(4))))
    changed = [changed[k] for k in rng.permutation(len(changed))]
    before, after = (
        PartitionEnsemble(Nosy(), 5, random_state=0).fit(
            table([x for x, _ in part], rng), [y for _, y in part]
        )
        for part in (rows, changed)
    )
    differ = [
        what_is_told(a) != what_is_told(b)
        for a, b in zip(before.estimators_, after.estimators_, strict=True)
    ]
    assert sum(differ) <= n_changes


def what_is_told(member):
    """What a member was told; a partition of one class asks for its labels only."""
    return member and repr(getattr(member, "told_", member.classes_.tolist()))


@pytest.mark.parametrize("table", [in_pandas, in_polars])
@settings(deadline=None, max_examples=10)
@given(seeds)
def test_neither_order_nor_categories_without_a_row_change_anything(table, seed):
    # Also of rows to predict: a batch may have categories that no other batch has.
    rng = np.random.default_rng(seed)
    rows, y = [a_row(rng) for _ in range(16)], rng.integers(0, 3, 16)
    order = rng.permutation(16)
    one = PartitionEnsemble(Nosy(), 3, random_state=0).fit(table(rows, rng), y)
    two = PartitionEnsemble(Nosy(), 3, random_state=0)
    two.fit(table([rows[k] for k in order], rng, more=["a", "z"]), y[order])
    assert list(map(what_is_told, one.estimators_)) == list(map(what_is_told, two.estimators_))
    new = [a_row(rng, ["b", "new", "a", None]) for _ in range(6)]
    votes = one.votes(table(new, rng))
    np.testing.assert_array_equal(two.votes(table(new, rng, more=["zz"])), votes)
    alone = [two.votes(table([row], rng)) for row in new]
    np.testing.assert_array_equal(np.concatenate(alone), votes)


def test_a_category_that_a_member_does_not_know_is_missing_to_it():
    X = pd.DataFrame({"a": pd.Categorical(["x", "y", "x", "y"])})
    ensemble = PartitionEnsemble(Nosy(), 1, random_state=0).fit(X, [0, 1, 2, 0])
    new, missing = (pd.DataFrame({"a": pd.Categorical([label])}) for label in ("new", None))
    np.testing.assert_array_equal(ensemble.votes(new), ensemble.votes(missing))


def test_categories_are_sorted_or_keep_their_order():
    letters, order = ["lo", "hi", "mid", "lo"], ["lo", "never", "mid", "hi", "max"]
    of_pandas = {
        "sorted": pd.Categorical(letters, order),
        "kept": pd.Categorical(letters, order, ordered=True),
        "mixed": pd.Categorical([2, "a", 1.5, "b"], [2, "a", 1.5, "b"]),
        "dates": pd.Categorical(pd.to_datetime(["2026", "2025", "2027", "2026"])),
    }
    # Three rows only, without the last.
    seen = as_seen(pd.DataFrame(of_pandas), [1, 0, 2])
    assert seen["sorted"].cat.categories.tolist() == ["hi", "lo", "mid"]
    assert seen["kept"].cat.categories.tolist() == ["lo", "mid", "hi"]
    assert seen["kept"].cat.ordered
    assert set(seen["mixed"].cat.categories) == {2, "a", 1.5}
    assert seen["dates"].cat.categories.is_monotonic_increasing
    for ordered, expected in ((True, ["lo", "mid", "hi"]), (False, ["hi", "lo", "mid"])):
        places = pa.array([order.index(letter) for letter in letters], pa.int8())
        column = pa.DictionaryArray.from_arrays(places, pa.array(order), ordered=ordered)
        (chunk,) = as_seen(pa.table({"a": column}), [1, 0, 2])["a"].chunks
        assert (chunk.dictionary.to_pylist(), chunk.type) == (expected, column.type)
        frame = pd.DataFrame({"a": pd.Series(pd.arrays.ArrowExtensionArray(column))})
        seen = as_seen(frame, [1, 0, 2])
        assert seen.dtypes.equals(frame.dtypes)
        (chunk,) = seen["a"].array.__arrow_array__().chunks
        assert chunk.dictionary.to_pylist() == expected
    seen = as_seen(pl.DataFrame({"a": pl.Series(letters, dtype=pl.Enum(order))}), [1, 0, 2])
    assert seen.schema["a"].categories.to_list() == ["lo", "mid", "hi"]
    column = pl.Series(letters, dtype=pl.Categorical)
    seen = as_seen(pl.DataFrame({"a": column}), [1, 0, 2])
    assert seen.schema["a"] == pl.Categorical
    assert seen["a"].to_list() == ["hi", "lo", "mid"]


def as_seen(X, places):
    rows = rows_of(Nosy(), X, reset=True)
    return rows.take(places, rows.categories(places))


def test_rounding_does_not_depend_on_how_a_frame_lies_in_memory(digits):
    # Fails if members get columns as they lie: sums are rounded in another order.
    X, y = digits
    frames = [
        pd.DataFrame(X, copy=False),
        pd.DataFrame(np.asfortranarray(X), copy=False),
        pd.concat([pd.DataFrame(X[:100]), pd.DataFrame(X[100:])]),
        pd.DataFrame({k: X[:, k] for k in range(X.shape[1])}),
    ]
    coefs = [
        [
            member.coef_.tobytes()
            for member in PartitionEnsemble(LogisticRegression(), 3, random_state=0)
            .fit(frame, y)
            .estimators_
        ]
        for frame in frames
    ]
    assert coefs == [coefs[0]] * len(frames)
    for more in ({}, {"text": "a"}):
        tables = [frame.set_axis(NAMES, axis=1).assign(**more) for frame in frames]
        tables = [rows_of(Nosy(), table, reset=True) for table in tables]
        layouts = [told(rows.take([0, 3, 2], {})) for rows in tables]
        assert layouts == [layouts[0]] * len(frames)


def test_a_frame_of_numbers_is_parted_like_its_array(digits):
    X, y = digits
    a, b, c = (
        PartitionEnsemble(LogisticRegression(), 7, random_state=0).fit(rows, y)
        for rows in (X, pd.DataFrame(X), pl.DataFrame(X))
    )
    assert a.partition_sizes_.tolist() == b.partition_sizes_.tolist()
    np.testing.assert_array_equal(a.votes(X), b.votes(pd.DataFrame(X)))
    np.testing.assert_array_equal(a.votes(X), c.votes(pl.DataFrame(X)))


def test_the_ensemble_warns_once_of_rows_without_names(digits):
    X, y = digits
    frame = pd.DataFrame(X).add_prefix("pixel")
    ensemble = PartitionEnsemble(LogisticRegression(), 7, random_state=0).fit(frame, y)
    with pytest.warns(UserWarning, match="X does not have valid feature names") as warned:
        ensemble.predict(X)
    assert len(warned) == 1
    with pytest.raises(ValueError, match="The feature names should match"):
        ensemble.predict(frame.add_prefix("a"))
    # An ensemble of arrays makes an array of a frame.
    ensemble = PartitionEnsemble(LogisticRegression(), 7, random_state=0).fit(X, y)
    votes = ensemble.votes(X)
    with pytest.warns(UserWarning, match="fitted without feature names"):
        np.testing.assert_array_equal(ensemble.votes(pl.DataFrame(X)), votes)
