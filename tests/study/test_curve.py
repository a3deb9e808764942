import json
import math
import pickle
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.colors import to_rgba
from sklearn.dummy import DummyClassifier
from sklearn.linear_model import LogisticRegression

from skpoison import (
    LabelFlip,
    PerturbationNormDisplay,
    RandomNoise,
    RobustnessCurve,
    RobustnessCurveDisplay,
    robustness_curve,
)
from skpoison._intervals import Drop


def make_curve(table, n_splits=5, n_repeats=2, ratio=0.25, values=(2, 64, 4096), name="C"):
    table = {name: np.asarray(table, dtype=float)}
    return RobustnessCurve("width", list(values), table, table, table, n_splits, n_repeats, ratio)


def noisy(means, n=10, sigma=0.01, seed=0):
    rng = np.random.default_rng(seed)
    return np.array(means)[:, np.newaxis] + sigma * rng.standard_normal((len(means), n))


def test_frame_is_tidy():
    rng = np.random.default_rng(0)
    tables = [{name: rng.random((3, 10)) for name in "AB"} for _ in range(3)]
    curve = RobustnessCurve("width", [2, 64, 4096], *tables, 5, 2, 0.25)
    frame = curve.to_frame()
    assert frame.columns.tolist() == [
        "attack",
        "width",
        "split",
        "repeat",
        "score",
        "train_score",
        "fit_time",
    ]
    assert len(frame) == 2 * 3 * 10
    cell = frame[(frame.attack == "B") & (frame.width == 64) & (frame.split == 3)]
    cell = cell[cell.repeat == 1].iloc[0]
    # Fails if splits and repeats change places.
    assert cell.score == tables[0]["B"][1, 8]
    assert cell.train_score == tables[1]["B"][1, 8]
    assert cell.fit_time == tables[2]["B"][1, 8]


def test_peak_is_the_best_mean():
    curve = make_curve([[0.9, 0.1], [0.6, 0.6], [0.5, 0.5]], 2, 1)
    assert curve.peak("C") == (64, pytest.approx(0.6))
    # Fails if each value has a mean over columns of its own: the last has the easy fold only.
    lucky = make_curve([[0.5, 0.1], [0.6, 0.2], [0.55, np.nan]], 2, 1)
    assert lucky.peak("C") == (64, pytest.approx(0.6))
    # A value whose fits all failed does not count.
    assert make_curve([[np.nan, np.nan], [0.2, np.nan], [0.1, 0.1]], 2, 1).peak("C").param == 64
    none = make_curve([[0.5, np.nan], [np.nan, 0.2], [0.1, 0.1]], 2, 1)
    with pytest.raises(ValueError, match="'C': in each column of its scores a fit failed"):
        none.peak("C")
    assert str(none).endswith("C: no column of scores without a failed fit")
    assert "<td>no verdict</td>" in none._repr_html_()


def test_u_shape_by_hand():
    table = np.array([[0.5, 0.52, 0.48], [0.8, 0.83, 0.79], [0.7, 0.75, 0.71]])
    # A second repeat that moves nothing on average: two of a fold count as one.
    spread = np.array([0.01, -0.02, 0.005])
    twice = np.concatenate([table + spread, table - spread], axis=1)
    for curve in (make_curve(table, 3, 1, ratio=0.5), make_curve(twice, 3, 2, ratio=0.5)):
        shape = curve.u_shape("C")
        for drop, end in ((shape.left, 0), (shape.right, 2)):
            differences = table[1] - table[end]
            error = np.sqrt((1 / 3 + 0.5) * differences.var(ddof=1))
            half = 4.302652729911275 * error  # Student's t, 2 degrees of freedom, 97.5%
            assert drop.mean == pytest.approx(differences.mean())
            assert drop.low == pytest.approx(differences.mean() - half)
            assert drop.high == pytest.approx(differences.mean() + half)
        assert shape.peak.param == 64


@pytest.mark.parametrize(
    ("means", "is_u"),
    [((0.5, 0.8, 0.7), True), ((0.5, 0.7, 0.8), False), ((0.8, 0.7, 0.5), False)],
)
def test_u_shape_needs_both_ends_under_the_peak(means, is_u):
    assert make_curve(noisy(means)).u_shape("C").is_u is is_u


def test_flat_curves_are_seldom_called_u():
    # Fails if the peak is chosen on the folds that judge it: of nine equal widths the best looks
    # better than both ends by luck in most tables.
    values = list(range(1, 10))
    verdicts, naive = [], []
    for seed in range(200):
        table = noisy([0.8] * 9, n=10, sigma=0.02, seed=seed)
        curve = make_curve(table, 5, 2, values=values)
        shape = curve.u_shape("C")
        verdicts.append(shape.left.low > 0 or shape.right.low > 0)
        best = np.argmax(table.mean(axis=1))
        naive.append((table[best] - table[0]).mean())
    assert np.mean(verdicts) <= 0.05
    assert np.mean(naive) > 0.005  # the bias that there is to correct


def test_drop_is_unbiased_where_the_peak_is_luck():
    drops = [
        make_curve(noisy([0.8] * 9, sigma=0.02, seed=seed), values=list(range(9))).u_shape("C").left
        for seed in range(300)
    ]
    means = np.array([drop.mean for drop in drops])
    assert abs(means.mean()) < 3 * means.std(ddof=1) / np.sqrt(len(means)) + 5e-4


@pytest.mark.parametrize("seed_share", [0.0, 0.3, 0.7])
def test_interval_covers_the_drop(seed_share):
    # The luck of a fold, of which a fifth is common to all, for they overlap, and that of a seed.
    # Fails if repeats count as folds, or overlapping folds as apart: the interval is too short.
    rng = np.random.default_rng(0)
    covered, plain = [], []
    for _ in range(300):
        fold = np.sqrt(0.2) * rng.standard_normal((3, 1, 1))
        fold = fold + np.sqrt(0.8) * rng.standard_normal((3, 1, 5))
        luck = np.sqrt(1 - seed_share) * fold
        luck = luck + np.sqrt(seed_share) * rng.standard_normal((3, 10, 5))
        means = np.array([0.5, 0.8, 0.7])[:, np.newaxis]
        curve = make_curve(means + 0.02 * luck.reshape(3, 50), 5, 10)
        drop = curve.u_shape("C").right
        covered.append(drop.low <= 0.1 <= drop.high)
        curve.test_train_ratio = 0.0
        drop = curve.u_shape("C").right
        plain.append(drop.low <= 0.1 <= drop.high)
    assert np.mean(covered) >= 0.92
    assert np.mean(plain) < 0.92


def test_u_shape_without_enough_fits():
    shape = make_curve([[0.5], [0.8], [0.7]], 1, 1).u_shape("C")
    assert np.isnan(shape.left.low)
    assert shape.is_u is None
    # One split, several repeats: the peak is chosen on the other repeats, and the interval speaks
    # about seeds only. Fails if a U is called that another split may not have.
    seeds = make_curve(noisy([0.5, 0.8, 0.7], n=5), 1, 5).u_shape("C")
    assert seeds.left.low > 0.2
    assert seeds.right.low > 0.05
    assert seeds.is_u is None
    assert seeds.about == "seeds on one split"
    # The same drop in all folds leaves nothing to judge by, and a drop of a rounding error is none.
    for drop in (0.1, 5.6e-17):
        same = make_curve(np.repeat([[0.5 - drop], [0.5], [0.5 - drop]], 5, axis=1), 5, 1)
        assert same.u_shape("C").is_u is None
    # A single value has no other to lie under.
    single = make_curve(noisy([0.5]), values=[2]).u_shape("C")
    assert single.is_u is None
    assert np.isnan(single.left.mean)
    # A failed fit takes its column out.
    table = noisy([0.5, 0.8, 0.7])
    table[0, 3] = np.nan
    assert make_curve(table).u_shape("C").is_u


@pytest.mark.parametrize("lost", range(4))
def test_u_shape_leaves_out_a_value_whose_fits_all_failed(lost):
    # Fails if one value without scores takes all columns out, and with them the verdict.
    table = noisy([0.5, 0.7, 0.8, 0.6])
    table[lost] = np.nan
    curve = RobustnessCurve("width", [1, 2, 4, 8], *[{"C": table}] * 3, 5, 2, 0.25)
    others = [k for k in range(4) if k != lost]
    tables = [{"C": table[others]}] * 3
    expected = RobustnessCurve("width", [2**k for k in others], *tables, 5, 2, 0.25)
    assert curve.u_shape("C") == expected.u_shape("C")
    assert str(curve).splitlines()[1] == str(expected).splitlines()[1]


scalars = st.one_of(st.integers(-5, 5000), st.floats(-1, 1), st.text(), st.none(), st.booleans())
param_values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(scalars, inner, max_size=3)
    ),
    max_leaves=6,
)


@settings(deadline=None, max_examples=60)
@given(
    st.lists(param_values, min_size=1, max_size=5),
    st.integers(1, 3),
    st.integers(1, 3),
    st.integers(0, 10**6),
)
def test_save_and_load(tmp_path_factory, values, n_splits, n_repeats, seed):
    rng = np.random.default_rng(seed)
    shape = (len(values), n_splits * n_repeats)
    tables = [{name: rng.random(shape) for name in ("clean", "a/b")} for _ in range(3)]
    tables[0]["clean"][0, 0] = np.nan
    curve = RobustnessCurve("width", values, *tables, n_splits, n_repeats, 0.25)
    path = tmp_path_factory.mktemp("curve") / "curve.json"
    curve.save(path)
    curve.save(path)
    loaded = RobustnessCurve.load(str(path))
    # Tuples come back as tuples, True as True and 1 as 1.
    assert repr(loaded.param_range) == repr(values)
    assert (loaded.n_splits, loaded.n_repeats) == (n_splits, n_repeats)
    for name in ("scores", "train_scores", "fit_times"):
        for attack, table in getattr(curve, name).items():
            np.testing.assert_array_equal(getattr(loaded, name)[attack], table)


def test_a_value_that_json_cannot_hold_is_saved_as_its_text(tmp_path):
    curve = make_curve(noisy([0.5, 0.8, 0.7]))
    curve.param_range = [LogisticRegression(C=2.0), {3: (1, 2)}, [LogisticRegression(), None]]
    curve.save(tmp_path / "curve.json")
    loaded = RobustnessCurve.load(tmp_path / "curve.json")
    values = ["LogisticRegression(C=2.0)", {3: (1, 2)}, ["LogisticRegression()", None]]
    assert loaded.param_range == values
    assert "best at width {3: (1, 2)}" in str(loaded)
    # A curve that was loaded and is saved again is the same.
    loaded.save(tmp_path / "again.json")
    assert RobustnessCurve.load(tmp_path / "again.json").param_range == values


def test_files_of_version_1_load(tmp_path):
    path = tmp_path / "curve.json"
    curve = make_curve(noisy([0.5, 0.8, 0.7]))
    curve.save(path)
    state = json.loads(path.read_text())
    values = [{"tuple": [1]}, [2, None], 3.5]
    path.write_text(json.dumps({**state, "version": 1, "param_range": values}))
    loaded = RobustnessCurve.load(path)
    assert loaded.param_range == values
    np.testing.assert_array_equal(loaded.scores["C"], curve.scores["C"])
    # It does not say whether its scores are of a fixed test set.
    assert curve.u_shape("C").is_u
    assert loaded.u_shape("C").is_u is None


def test_files_of_version_2_load(tmp_path):
    # They say nothing of strengths and of the metric.
    path = tmp_path / "curve.json"
    curve = make_curve(noisy([0.5, 0.8, 0.7]), values=[(1,), None, 3])
    curve.save(path)
    state = json.loads(path.read_text())
    for name in ("strengths", "strength_names", "metric"):
        assert state.pop(name) is None
    path.write_text(json.dumps({**state, "version": 2}))
    np.testing.assert_equal(asdict(RobustnessCurve.load(path)), asdict(curve))


def test_files_of_version_3_load(tmp_path):
    # They hold NaN as Python writes it.
    path = tmp_path / "curve.json"
    curve = make_curve(noisy([0.5, 0.8, 0.7]), values=[math.nan, 1, 2])
    curve.scores["C"][0, 0] = math.nan
    state = {**asdict(curve), "hits": None}
    for table in ("scores", "train_scores", "fit_times"):
        state[table] = {name: values.tolist() for name, values in state[table].items()}
    path.write_text(json.dumps({"format": "skpoison.RobustnessCurve", "version": 3, **state}))
    np.testing.assert_equal(asdict(RobustnessCurve.load(path)), asdict(curve))


def test_any_number_is_saved_as_strict_json(tmp_path):
    # Fails where a score that failed is written as NaN, which other readers of JSON refuse.
    def refuse(word):
        raise AssertionError(word)

    path = tmp_path / "curve.json"
    curve = make_curve(noisy([0.5, 0.8, 0.7]), values=[math.nan, math.inf, (-math.inf, 1.0)])
    curve.scores["C"][0, :3] = math.nan, math.inf, -math.inf
    curve.save(path)
    json.loads(path.read_text(), parse_constant=refuse)
    np.testing.assert_equal(asdict(RobustnessCurve.load(path)), asdict(curve))


def test_saves_from_two_threads_to_one_file(tmp_path):
    # Fails if both write to one temporary file: it is torn, or gone when the other moves it.
    path = tmp_path / "curve.json"
    curves = [make_curve(noisy([0.5, 0.8, 0.7], n=n), n, 1) for n in (10, 400)]

    def save(k):
        for _ in range(20):
            curves[k % 2].save(path)
            RobustnessCurve.load(path)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(save, range(4)))
    assert [file.name for file in tmp_path.iterdir()] == ["curve.json"]


class Unprintable:
    def __str__(self):
        raise RuntimeError("no words")


def test_a_failed_save_leaves_the_old_file(tmp_path):
    path = tmp_path / "curve.json"
    curve = make_curve(noisy([0.5, 0.8, 0.7]))
    curve.save(path)
    before = path.read_bytes()
    curve.param_range = [Unprintable(), 1, 2]
    with pytest.raises(RuntimeError, match="no words"):
        curve.save(path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_a_save_that_cannot_begin_says_why(tmp_path, monkeypatch):
    # Fails if cleaning up after a file that was never there hides the reason.
    def fail(*args, **kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", fail)
    with pytest.raises(OSError, match="No space left"):
        make_curve(noisy([0.5, 0.8, 0.7])).save(tmp_path / "curve.json")
    assert not any(tmp_path.iterdir())


def test_load_takes_only_curves(tmp_path):
    path = tmp_path / "curve.json"
    with pytest.raises(OSError, match=r"curve\.json"):
        RobustnessCurve.load(path)
    make_curve(noisy([0.5, 0.8, 0.7])).save(path)
    good = json.loads(path.read_text())
    bad = [
        "",
        "[]",
        "null",
        "[" * 100_000,
        "\x00",
        json.dumps({**good, "n_splits": 3}),
        json.dumps({**good, "version": 5}),
        json.dumps({**good, "version": True}),
        json.dumps({**good, "param_range": [1, 2, {"tuple": 3}]}),
        json.dumps({**good, "param_range": [1, 2, {"set": [3]}]}),
        json.dumps({**good, "param_range": [1, 2, {"dict": [[[3], 4]]}]}),
        json.dumps({**good, "extra": 1}),
        json.dumps({**good, "scores": {"C": [[1]]}}),
        json.dumps({**good, "param_range": 3}),
        json.dumps({**good, "scores": {"C": [["x"]]}}),
        json.dumps({**good, "scores": {"C": [["nan"]]}}),
        json.dumps({**good, "param_range": [1, 2, {"float": "1.5"}]}),
        json.dumps({**good, "n_repeats": True}),
        json.dumps({**good, "test_train_ratio": -1}),
        json.dumps({**good, "train_scores": {}}),
    ]
    for text in bad:
        path.write_text(text)
        with pytest.raises(ValueError, match="must hold a RobustnessCurve"):
            RobustnessCurve.load(path)


# Any file at all: a curve that is what the file says, ValueError or OSError.

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=8,
)
odd_values = json_values | st.sampled_from([10**400, 1e308, -0.0, "1.5", [[1, 2]], [[[1]]], 2**31])
table_names = st.sampled_from(["scores", "train_scores", "fit_times"])


@st.composite
def files(draw):
    """The file of a curve with a value replaced, removed or added, or bytes of it damaged."""
    tables = [{"a": noisy([0.5, 0.8], n=2), "b": noisy([0.5, 0.8], n=2)} for _ in range(3)]
    own = {"strengths": {"a": [0, 0.5], "b": [1, 2]}, "strength_names": {"a": "rate", "b": None}}
    kwargs = draw(st.sampled_from([{}, {**own, "metric": "accuracy"}]))
    curve = RobustnessCurve("width", [1, 2], *tables, 2, 1, 0.5, **kwargs)
    version = draw(st.integers(1, 4))
    state = {"format": "skpoison.RobustnessCurve", "version": version, **asdict(curve)}
    for table in ("scores", "train_scores", "fit_times"):
        state[table] = {name: values.tolist() for name, values in state[table].items()}
    how = draw(st.sampled_from(["field", "less", "more", "entry", "row", "bytes", "anything"]))
    if how == "field":
        state[draw(st.sampled_from(sorted(state)))] = draw(odd_values)
    elif how == "less":
        del state[draw(st.sampled_from(sorted(state)))]
    elif how == "more":
        state[draw(st.text(max_size=8))] = draw(odd_values)
    elif how == "entry":
        state[draw(table_names)]["a"][draw(st.integers(0, 1))][0] = draw(odd_values)
    elif how == "row":
        state[draw(table_names)][draw(st.sampled_from("abc"))] = draw(odd_values)
    content = json.dumps(state).encode()
    if how == "bytes":
        content = bytearray(content)
        for _ in range(draw(st.integers(1, 4))):
            start = draw(st.integers(0, len(content)))
            content[start : start + draw(st.integers(0, 3))] = draw(st.binary(max_size=3))
    return draw(st.binary(max_size=50) | json_values.map(dumps)) if how == "anything" else content


def dumps(value):
    return json.dumps(value).encode()


def check_load(content):
    """Fails if other strings than "inf" become numbers, or any other error comes out."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "curve.json")
        path.write_bytes(content)
        try:
            curve = RobustnessCurve.load(path)
        except ValueError as exc:
            assert "must hold a RobustnessCurve in JSON" in str(exc)  # noqa: PT017
            return
        state = json.loads(content)
        for table in ("scores", "train_scores", "fit_times"):
            for name, values in getattr(curve, table).items():
                assert values.dtype == np.float64
                assert values.shape == (len(curve.param_range), curve.n_splits * curve.n_repeats)
                for row, found in zip(state[table][name], values.tolist(), strict=True):
                    words = {None: np.nan, "inf": np.inf, "-inf": -np.inf}
                    meant = [
                        words[entry] if entry is None or isinstance(entry, str) else entry
                        for entry in row
                    ]
                    assert all(type(entry) in (int, float) for entry in meant)
                    np.testing.assert_array_equal(found, np.array(meant, dtype=float))
        curve.to_frame()
        assert len(str(curve).split("\n", 1)) == 2
        curve.save(path)
        again = RobustnessCurve.load(path)
        np.testing.assert_equal(asdict(again), asdict(curve))


@pytest.mark.parametrize("n", [300, pytest.param(6000, marks=pytest.mark.slow)])
@pytest.mark.timeout(900)
def test_fuzz_load(n):
    settings(max_examples=n, deadline=None)(given(files())(check_load))()


# What is printed

U = np.array([[0.30, 0.26, 0.34], [0.86, 0.87, 0.85], [0.81, 0.813, 0.807]])


def test_a_curve_prints_a_verdict_for_each_attack():
    tables = {"C": U, "B": U[[0, 2, 1]], "failed": np.full((3, 3), np.nan)}
    curve = RobustnessCurve("module__width", [2, 64, 4096], tables, tables, tables, 3, 1, 0.5)
    assert str(curve) == repr(curve)
    # By hand, for the left end of C: differences 0.56, 0.61, 0.51, half an interval 0.20.
    assert str(curve).splitlines() == [
        "RobustnessCurve over module__width (3 values), 3 folds x 1 repeat",
        "C: a U: best at width 64 (0.86); 2 lies 0.56 [0.36, 0.76] under it, "
        "4096 lies 0.05 [0.02, 0.08] under it",
        "B: not a U: best at width 4096 (0.86), the last value; 2 lies 0.56 [0.36, 0.76] under it",
        "failed: no scores: all fits or their scores failed",
    ]


def test_a_curve_without_intervals_says_so():
    lines = str(make_curve(U[:, :1], 1, 1, values=[0.1, 0.1 + 0.2, None])).splitlines()
    assert lines == [
        "RobustnessCurve over width (3 values), 1 fold x 1 repeat",
        "C: no verdict, no interval; best at width 0.3 (0.86)",
    ]
    lines = str(make_curve([[0.5, 0.7]], 1, 2, values=["gini"])).splitlines()
    assert lines == [
        "RobustnessCurve over width (1 value), 1 fold x 2 repeats",
        "C: 0.60 at width gini, the only value",
    ]


def test_parts_of_a_verdict_print_and_stay_tuples():
    shape = make_curve(U, 3, 1, ratio=0.5).u_shape("C")
    assert repr(shape) == (
        "a U: best at 64 (0.86); the first value lies 0.56 [0.36, 0.76] under it, "
        "the last lies 0.05 [0.02, 0.08] under it"
    )
    assert repr(shape._replace(is_u=None, about="seeds on one split")) == (
        "no verdict: best at 64 (0.86); the first value lies 0.56 [0.36, 0.76] under it, "
        "the last lies 0.05 [0.02, 0.08] under it (about seeds on one split)"
    )
    assert repr(shape.peak) == "best at 64 (0.86)"
    assert repr(shape.left) == "0.56 [0.36, 0.76]"
    peak, left, right, is_u, about = shape
    assert shape == (peak, left, right, is_u, about) == tuple(shape)
    assert peak == (64, pytest.approx(0.86))
    mean, low, high = left
    assert left == (mean, low, high)
    assert pickle.loads(pickle.dumps(shape)) == shape


@pytest.mark.parametrize(
    ("drop", "text"),
    [
        ((0.05, 0.03, 0.07), "0.05 [0.03, 0.07]"),
        # Fails if an interval that excludes 0 looks as if it touched it, or the other way round.
        ((0.04, 0.0004, 0.0796), "0.0400 [0.0004, 0.0796]"),
        ((0.04, -0.003, 0.083), "0.040 [-0.003, 0.083]"),
        ((0.8, 0.8, 0.8), "0.80 [0.80, 0.80]"),
        ((-1e-17, -1e-17, -1e-17), "0.00 [0.00, 0.00]"),
        ((0.3, np.nan, np.nan), "0.30 (no interval)"),
        ((np.nan, np.nan, np.nan), "nan (no interval)"),
    ],
)
def test_intervals_are_rounded_and_keep_their_sides(drop, text):
    assert repr(Drop(*drop)) == text


def test_frame_keeps_every_value_in_groups():
    rows = noisy([0.5, 0.8, 0.7])
    frame = make_curve(rows, values=[2, 4, None]).to_frame()
    # Fails if None stays None: groupby drops it.
    assert frame.groupby("width").size().to_dict() == {"2": 10, "4": 10, "None": 10}
    assert make_curve(rows, values=[0.5, np.nan, 1]).to_frame().groupby("width").ngroups == 3
    numbers = make_curve(rows, values=[2, 0.5, 10**400]).to_frame()
    assert set(numbers["width"]) == {2, 0.5, 10**400}
    assert make_curve(rows).to_frame()["width"].dtype.kind == "i"


def test_html_escapes_names():
    text = make_curve(noisy([0.5, 0.8, 0.7]), name="<b>&")._repr_html_()
    assert "&lt;b&gt;&amp;" in text
    assert "<b>" not in text
    assert text.count("<tr>") == 5


def test_html_is_a_table_of_means_and_spreads():
    # Letter for letter: a table that is broken is no table. The deviation is the one of a sample,
    # as in the displays; a single score has none.
    table = {"clean": np.array([[0.5, 0.7], [np.nan, 0.25], [np.nan, np.nan]])}
    table["C"] = np.array([[0.1, 0.1], [1.0, 0.0], [0.5, 0.5]])
    curve = RobustnessCurve("width", [2, 64, None], table, table, table, 2, 1, 1.0)
    assert curve._repr_html_() == (
        "<table><caption>Clean score over width: mean ± standard deviation over "
        "2 splits x 1 repeats</caption>"
        "<thead><tr><th>width</th><th>clean</th><th>C</th></tr></thead><tbody>"
        "<tr><th>2</th><td>0.600 ± 0.141</td><td>0.100 ± 0.000</td></tr>"
        "<tr><th>64</th><td>0.250</td><td>0.500 ± 0.707</td></tr>"
        "<tr><th>None</th><td>failed</td><td>0.500 ± 0.000</td></tr></tbody>"
        "<tfoot><tr><th>verdict</th><td>no verdict</td><td>not a U</td></tr>"
        "</tfoot></table>"
    )
    table = {"failed": np.full((2, 2), np.nan), "C": np.array([[0.5, 0.6], [0.8, 0.95]])}
    curve = RobustnessCurve("width", [2, 64], table, table, table, 2, 1, 1.0)
    assert "<th>verdict</th><td>no scores</td><td>not a U</td>" in curve._repr_html_()
    html = make_curve(noisy([0.5, 0.8, 0.7]))._repr_html_()
    assert "<th>verdict</th><td>a U</td>" in html
    assert "<td>only one value</td>" in make_curve(noisy([0.5]), values=[2])._repr_html_()


def test_display_draws_means_and_spread():
    table = noisy([0.5, 0.8, 0.7])
    curve = make_curve(table)
    display = RobustnessCurveDisplay.from_curve(curve)
    (line,) = display.lines_
    np.testing.assert_allclose(line.get_ydata(), table.mean(axis=1))
    np.testing.assert_allclose(line.get_xdata(), [2, 64, 4096])
    assert line.get_label() == "C (a U)"
    assert display.ax_.get_xscale() == "log"
    assert display.ax_.get_xlabel() == "width"
    band = display.fill_between_[0].get_paths()[0].vertices
    assert band[:, 1].max() == pytest.approx((table.mean(axis=1) + table.std(axis=1, ddof=1)).max())
    _, ax = plt.subplots()
    again = display.plot(ax=ax, std_display_style="errorbar", errorbar_kw={"label": "other"})
    assert again is display
    assert display.ax_ is ax
    assert display.figure_ is ax.figure
    assert display.lines_ is None
    assert len(display.errorbar_) == 1
    assert display.plot(std_display_style=None, line_kw={"marker": "x"}).fill_between_ is None
    with pytest.raises(ValueError, match="`std_display_style` must be one of"):
        display.plot(std_display_style="bars")
    plt.close("all")


def test_display_marks_the_peak_and_names_the_us():
    table = {
        "C": noisy([0.5, 0.8, 0.7]),
        "B": noisy([0.5, 0.7, 0.8]),
        "failed": np.full((3, 10), np.nan),
    }
    curve = RobustnessCurve("width", [2, 64, 4096], table, table, table, 5, 2, 0.25)
    for style in ("fill_between", "errorbar", None):
        display = RobustnessCurveDisplay.from_curve(curve, std_display_style=style)
        labels = [text.get_text() for text in display.ax_.get_legend().get_texts()]
        assert labels == ["C (a U)", "B", "failed"]
        points = [(ring.get_xdata()[0], ring.get_ydata()[0]) for ring in display.peaks_]
        assert points == [(64, table["C"][1].mean()), (4096, table["B"][2].mean())]
        if style != "errorbar":
            colors = [line.get_color() for line in display.lines_]
            assert [ring.get_color() for ring in display.peaks_] == colors[:2]
    # Of plain scores there is no verdict.
    display = RobustnessCurveDisplay(param_name="width", param_range=[2, 64, 4096], scores=table)
    legend = display.plot().ax_.get_legend()
    assert [text.get_text() for text in legend.get_texts()] == ["C", "B", "failed"]
    assert len(display.peaks_) == 2
    plt.close("all")


def test_display_marks_the_peak_of_the_curve_where_fits_failed():
    # Fails if each value is compared by a mean over columns of its own: 4096 has the easy fold
    # only. The second curve has no peak.
    table = {
        "C": np.array([[0.5, 0.1], [0.6, 0.2], [0.55, np.nan]]),
        "none": np.array([[0.5, np.nan], [np.nan, 0.2], [0.1, 0.1]]),
    }
    curve = RobustnessCurve("width", [2, 64, 4096], table, table, table, 2, 1, 1.0)
    (ring,) = RobustnessCurveDisplay.from_curve(curve).peaks_
    assert ring.get_xdata()[0] == curve.peak("C").param == 64
    assert ring.get_ydata()[0] == pytest.approx(0.4)
    plt.close("all")


@pytest.mark.parametrize("style", ["fill_between", "errorbar", None])
def test_a_single_score_has_no_deviation(style):
    # Fails if a band of no width says that there is no noise.
    curve = make_curve([[0.5], [0.8], [0.7]], 1, 1)
    display = RobustnessCurveDisplay.from_curve(curve, std_display_style=style)
    if style == "fill_between":
        assert not display.fill_between_[0].get_paths()
    elif style == "errorbar":
        bars = display.errorbar_[0].lines[2][0].get_segments()
        assert not any(np.isfinite(bar).any() for bar in bars)
    assert display.peaks_[0].get_xdata()[0] == 64
    display.figure_.canvas.draw()
    plt.close("all")


@pytest.mark.parametrize("style", ["fill_between", "errorbar"])
@pytest.mark.parametrize("shift", [0, 0.5])
def test_bands_of_accuracies_end_at_0_and_1(style, shift):
    # Means 0.075 and 0.925, deviations 0.15. With the shift they are no accuracies.
    table = np.array([[0.0, 0.0, 0.0, 0.3], [1.0, 1.0, 1.0, 0.7]])
    table[1] += shift
    display = RobustnessCurveDisplay.from_curve(
        make_curve(table, 4, 1, values=[2, 64]), std_display_style=style
    )
    if style == "fill_between":
        heights = display.fill_between_[0].get_paths()[0].vertices[:, 1]
    else:
        bars = display.errorbar_[0].lines[2][0].get_segments()
        heights = np.concatenate(bars)[:, 1]
    mean, deviation = table.mean(axis=1), table.std(axis=1, ddof=1)
    low = mean[0] - deviation[0] if shift else 0
    high = mean[1] + deviation[1] if shift else 1
    assert (heights.min(), heights.max()) == (pytest.approx(low), pytest.approx(high))
    plt.close("all")


def test_error_bars_without_a_line_or_scores():
    curve = make_curve(np.ones((2, 3)), 3, 1, values=[2, 64])
    for kwargs in ({}, {"fmt": "none"}, {"color": "red"}):
        display = RobustnessCurveDisplay.from_curve(
            curve, std_display_style="errorbar", errorbar_kw=kwargs
        )
        assert len(display.peaks_) == 1
    assert to_rgba(display.peaks_[0].get_color()) == to_rgba("red")
    empty = RobustnessCurveDisplay(param_name="width", param_range=[1], scores={})
    with pytest.warns(UserWarning, match="No artists with labels"):
        assert empty.plot().peaks_ == []
    plt.close("all")


@pytest.mark.parametrize(
    ("values", "scale"),
    [
        ([4, 8, 16], "log"),
        ([1, 2, 3, 4], "linear"),
        ([0, 10, 100], "linear"),
        ([0.1, 0.2, 0.3], "linear"),
        ([10, 30, 100, 300], "log"),
        ([64, 2, 4096], "log"),
        (["a", "b", "c"], "category"),
        ([None, 3, 4], "category"),
    ],
)
def test_scale_of_the_axis(values, scale):
    # scikit-learn's guess takes [4, 8, 16] for linear.
    display = RobustnessCurveDisplay.from_curve(
        make_curve(noisy([0.5] * len(values)), values=values)
    )
    if scale == "category":
        labels = [label.get_text() for label in display.ax_.get_xticklabels()]
        assert labels == [str(value) for value in values]
    else:
        assert display.ax_.get_xscale() == scale
    plt.close("all")


def test_display_from_estimator(digits):
    kwargs = {
        "attacks": {"clean": None, "flips": LabelFlip(0.3)},
        "param_name": "strategy",
        "param_range": ["most_frequent", "uniform"],
        "cv": 2,
        "random_state": 0,
    }
    display = RobustnessCurveDisplay.from_estimator(DummyClassifier(), *digits, **kwargs)
    curve = robustness_curve(DummyClassifier(), *digits, **kwargs)
    np.testing.assert_array_equal(display.scores["flips"], curve.scores["flips"])
    assert len(display.lines_) == 2
    plt.close("all")


def test_norm_display(digits):
    X, y = digits
    noise = RandomNoise(norm="l2,inf", budget=0.5, random_state=0)
    display = PerturbationNormDisplay.from_estimator(noise, X, y, name="noise", bins=10)
    heights = [bar.get_height() for bar in display.bars_[0]]
    assert sum(heights) == len(y)
    assert not hasattr(noise, "perturbation_norms_")
    for same in (0.0, 0.5):
        PerturbationNormDisplay.from_norms({"all alike": np.full(50, same)})
    _, ax = plt.subplots()
    display = PerturbationNormDisplay.from_norms({"a": [0, 1, 1], "b": np.ones(4)}, ax=ax, bins=4)
    assert display.ax_ is ax
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["a", "b"]
    assert [sum(bar.get_height() for bar in bars) for bars in display.bars_] == [3, 4]
    plt.close("all")
