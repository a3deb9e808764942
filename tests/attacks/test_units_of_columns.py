"""Budgets in a table's own units: which columns move, how far, and to which values."""

import warnings

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_array
from sklearn.compose import make_column_selector
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import RobustScaler, StandardScaler

from skpoison import (
    BackdoorPatch,
    BaseFeatureAttack,
    CleanLabelPGA,
    GradientMatching,
    RandomNoise,
)
from tables import CONTAINERS, table

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
RNG = np.random.default_rng(0)
UNITS = np.array([1e-3, 1.0, 1e4])
X = RNG.standard_normal((60, 3)) * UNITS + np.array([5.0, -2.0, 3e4])
SUMS = X @ [1e3, 0.0, 1e-4] + RNG.standard_normal(60)
Y = (np.median(SUMS) < SUMS).astype(int)


class Shrink(BaseFeatureAttack):
    """An attack of one's own, in three lines."""

    def _perturb(self, X, y, random_state):
        return X.mean(axis=0) - X


def own(surrogate, **kwargs):
    return Shrink(**kwargs)


def noise(surrogate, **kwargs):
    return RandomNoise(random_state=0, **kwargs)


def pga(surrogate, **kwargs):
    return CleanLabelPGA(surrogate, max_iter=8, **kwargs)


def matching(surrogate, target=None, **kwargs):
    target = (X[:1], [1]) if target is None else target
    return GradientMatching(surrogate, target, max_iter=4, random_state=0, **kwargs)


MAKERS = {"own": own, "noise": noise, "pga": pga, "matching": matching}


@pytest.mark.parametrize("name", MAKERS)
@pytest.mark.parametrize(("norm", "budget"), [("l2,inf", 0.5), ("l2,1", 1.0)])
@pytest.mark.parametrize("scale", ["std", "iqr"])
@pytest.mark.parametrize("clip", [None, "range"])
def test_a_scale_is_the_attack_on_rows_scaled_beforehand(name, norm, budget, scale, clip):
    # Fails if a gradient, a norm, a side of the box or a step is left in raw units.
    scaler = (StandardScaler() if scale == "std" else RobustScaler()).fit(X)
    Z, model = scaler.transform(X), LogisticRegression()
    kwargs = {"norm": norm, "budget": budget, "clip": clip}
    target = {"target": (Z[:1], [1])} if name == "matching" else {}
    beforehand = MAKERS[name](model, **kwargs, **target)
    expected = scaler.inverse_transform(beforehand.poison(Z, Y)[0])
    attack = MAKERS[name](make_pipeline(scaler, model), scale=scale, **kwargs)
    X_poisoned, _ = attack.poison(X, Y)
    assert len(attack.poison_indices_)
    np.testing.assert_allclose(X_poisoned / UNITS, expected / UNITS, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(
        attack.perturbation_norms_, beforehand.perturbation_norms_, atol=1e-6
    )
    np.testing.assert_allclose(attack.scale_, scaler.scale_)


def numbers(X):
    """The columns "length", "width" and "count" as floats, NaN where a cell is missing."""
    if isinstance(X, np.ndarray):
        return X.astype(float)
    X = X.to_pandas() if isinstance(X, pa.Table) or not hasattr(X, "iloc") else X
    columns = [pd.to_numeric(X[name]) for name in ("length", "width", "count")]
    return np.stack([c.to_numpy(dtype=float, na_value=np.nan) for c in columns], axis=1)


def name_of(X, i):
    return i if isinstance(X, np.ndarray) else ("length", "width", "count")[i]


@pytest.mark.parametrize("container", [name for name in CONTAINERS if name != "sparse"])
@pytest.mark.parametrize("content", ["numbers", "mixed", "text"])
def test_only_chosen_cells_move_and_the_budget_holds_in_units(container, content):
    # Fails if a missing cell is filled, a column that was not chosen moves, or a norm is raw.
    data = table(container, content)
    if data is None:
        return
    X, y = data
    before = numbers(X)
    scale = np.nanstd(before, axis=0)
    for columns in (None, [1, 0], [2]):
        names = None if columns is None else [name_of(X, i) for i in columns]
        for norm, budget in (("l2,inf", 0.7), ("l2,1", 2.0)):
            attack = RandomNoise(
                norm=norm, budget=budget, clip=None, scale="std", columns=names, random_state=0
            )
            X_poisoned, _ = attack.poison(X, y)
            moved = numbers(X_poisoned) - before
            np.testing.assert_array_equal(np.isnan(numbers(X_poisoned)), np.isnan(before))
            held = np.setdiff1d(range(3), range(3) if columns is None else columns)
            np.testing.assert_array_equal(np.nan_to_num(moved[:, held]), 0)
            norms = np.linalg.norm(np.nan_to_num(moved) / scale, axis=1)
            np.testing.assert_allclose(norms, attack.perturbation_norms_, atol=1e-6)
            spent = norms.max() if norm == "l2,inf" else norms.sum() / np.sqrt(len(norms))
            assert spent == pytest.approx(budget, rel=0.01 if norm == "l2,inf" else 0.2)
            assert spent <= budget * (1 + 1e-6)
            if hasattr(X, "columns"):
                kept = [n for n in X.columns if n not in ("length", "width", "count")]
                assert X_poisoned[kept].equals(X[kept])


@settings(max_examples=25, deadline=None)
@given(st.data())
def test_whole_numbers_stay_whole_and_never_leave_the_budget(data):
    # Fails if a cell is rounded away from its clean value, or a flag becomes another number.
    seed = data.draw(st.integers(0, 10**6))
    rng = np.random.default_rng(seed)
    n = data.draw(st.integers(2, 30))
    parts = rng.integers(0, 2, n), rng.integers(-50, 50, n), rng.standard_normal(n)
    rows = np.stack(parts, axis=1).astype(data.draw(st.sampled_from([float, np.float32])))
    kwargs = {
        "norm": data.draw(st.sampled_from(["l2,1", "l2,inf"])),
        "budget": data.draw(st.sampled_from([0.0, 0.4, 3.0, 40.0])),
        "clip": data.draw(st.sampled_from([None, "range"])),
        "scale": data.draw(st.sampled_from([None, [0.5, 7.0, 1.0]])),
    }
    attack = RandomNoise(whole=[0, 1], random_state=seed, **kwargs)
    new, _ = attack.poison(rows, np.arange(n) % 2)
    assert set(np.unique(new[:, 0])) <= {0, 1}
    np.testing.assert_array_equal(new[:, 1], np.trunc(new[:, 1]))
    moved = (new.astype(float) - rows) / ([0.5, 7.0, 1.0] if kwargs["scale"] else 1)
    norms = np.linalg.norm(moved, axis=1)
    limit = kwargs["budget"] * (np.sqrt(n) if kwargs["norm"] == "l2,1" else 1)
    assert (norms.sum() if kwargs["norm"] == "l2,1" else norms.max()) <= limit * (1 + 1e-6)
    if kwargs["clip"]:
        assert (new >= rows.min(axis=0) - 1e-6).all()
        assert (new <= rows.max(axis=0) + 1e-6).all()


def test_a_whole_column_moves_towards_the_clean_value():
    # Fails if whole numbers are rounded to the nearest, which may be farther than the budget.
    frame = pd.DataFrame({"n": [1, 5, 9], "x": [0.0, 1.0, 2.0]})

    class Push(BaseFeatureAttack):
        def _perturb(self, X, y, random_state):
            return np.array([[1.9, 0.0], [-2.7, 0.0], [0.6, 0.0]])

    attack = Push(norm="l2,inf", budget=5.0, clip=None, whole="n")
    new, _ = attack.poison(frame, [0, 1, 1])
    assert new["n"].tolist() == [2, 3, 9]
    assert new["n"].dtype == np.float64
    assert attack.poison_indices_.tolist() == [0, 1]


@pytest.mark.parametrize(
    ("clip", "low", "high"),
    [
        ("range", X.min(axis=0), X.max(axis=0)),
        ((X.min(axis=0) - UNITS, X.max(axis=0)), X.min(axis=0) - UNITS, X.max(axis=0)),
        (([-np.inf, -9.0, -np.inf], np.inf), [-np.inf, -9.0, -np.inf], np.inf),
        ((-1e6, 1e6), -1e6, 1e6),
    ],
)
@pytest.mark.parametrize("name", ["own", "noise", "pga"])
def test_each_column_stays_in_its_own_box(name, clip, low, high):
    # Fails if a side is read in units of the scale, or all columns share one side.
    model = make_pipeline(StandardScaler(), LogisticRegression())
    attack = MAKERS[name](model, norm="l2,inf", budget=9.0, scale="std", clip=clip)
    new, _ = attack.poison(X, Y)
    assert (new >= low).all()
    assert (new <= high).all()
    assert len(attack.poison_indices_) > 50


@pytest.mark.parametrize("power", [-990, 990])
@pytest.mark.parametrize("scale", ["std", "iqr"])
@pytest.mark.parametrize("clip", [None, "range"])
def test_a_budget_holds_in_tiny_and_huge_units(power, scale, clip):
    # Fails if a square underflows to 0 or overflows: the scale would be 0.
    attack = noise(None, norm="l2,inf", budget=0.5, scale=scale, clip=clip)
    rows = X / UNITS
    expected, _ = attack.poison(rows, Y)
    new, _ = attack.poison(np.ldexp(rows, power), Y)
    np.testing.assert_array_equal(new, np.ldexp(expected, power))
    assert attack.perturbation_norms_.max() <= 0.5 * (1 + 1e-6)


def test_a_perturbation_that_is_not_finite_is_a_fault_of_its_hook():
    attack = own(None, clip=None)
    attack._perturb = lambda X, y, random_state: np.full(X.shape, np.inf)
    with pytest.raises(ValueError, match="`_perturb` of Shrink must return finite numbers, got in"):
        attack.poison(X, Y)


def test_a_column_without_a_value_widens_no_box():
    # Fails if the 0 that stands for its cells counts as a value of X.
    rows = np.stack([np.linspace(5.0, 10.0, 20), np.full(20, np.nan)], axis=1)
    new, _ = noise(None, norm="l2,inf", budget=9.0, clip=(5, 10)).poison(rows, [0, 1] * 10)
    assert np.nanmin(new) == 5
    assert np.nanmax(new) == 10
    outside = np.where(np.isnan(rows), rows, rows - 1)
    with pytest.raises(ValueError, match="got values from 4 to 9; scale X"):
        noise(None, clip=(5, 10)).poison(outside, [0, 1] * 10)


@pytest.mark.parametrize("side", [1e12, 1e100, 1e308])
def test_noise_has_the_wanted_norms_far_from_the_sides_of_the_box(side):
    # Fails if the bisection starts at the side: 60 halvings do not come near enough.
    norms = np.linspace(0, 1e-3, len(X))
    attack = noise(None, norm="l2,inf", budget=1.0, norms=norms, clip=(-side, side), scale=UNITS)
    np.testing.assert_allclose(attack.fit(X, Y).perturbation_norms_, norms, rtol=1e-6)


@pytest.mark.parametrize(
    "columns",
    [
        ["b", "d"],
        [1, 3],
        [-3, -1],
        [False, True, False, True],
        make_column_selector(dtype_include=float),
        lambda frame: [name for name in frame.columns if name in "bd"],
    ],
)
def test_columns_are_named_in_each_of_scikit_learns_ways(columns):
    frame = pd.DataFrame({"a": ["x", "y"] * 3, "b": 0.0, "c": [1, 2, 3] * 2, "d": 1.5})
    attack = RandomNoise(norm="l2,inf", budget=1.0, clip=None, columns=columns, random_state=0)
    new, _ = attack.poison(frame, [0, 1] * 3)
    assert attack.columns_.tolist() == [1, 3]
    assert new[["a", "c"]].equals(frame[["a", "c"]])
    assert (new[["b", "d"]] != frame[["b", "d"]]).all(axis=None)
    assert RandomNoise(columns="b", clip=None).fit(frame, [0, 1] * 3).columns_.tolist() == [1]


def test_the_numeric_columns_are_attacked_by_default_and_booleans_are_none():
    frame = pd.DataFrame({"a": [True, False] * 3, "b": range(6), "c": pd.Categorical([1, 2] * 3)})
    attack = RandomNoise(norm="l2,inf", budget=1.0, clip=None, random_state=0)
    new, _ = attack.poison(frame, [0, 1] * 3)
    assert attack.columns_.tolist() == [1]
    assert new[["a", "c"]].equals(frame[["a", "c"]])
    assert new["b"].dtype == np.float64


def test_pixels_are_chosen_by_a_mask_or_by_position():
    images = np.random.default_rng(0).random((6, 1, 2, 3))
    mask = np.zeros((1, 2, 3), dtype=bool)
    mask[0, 1, :2] = True
    for columns in (mask, [3, 4]):
        attack = RandomNoise(norm="l2,inf", budget=0.1, columns=columns, random_state=0)
        new, _ = attack.poison(images, [0, 1] * 3)
        assert ((new != images) == mask).all()
    scaled = RandomNoise(norm="l2,inf", budget=0.1, scale="std", clip=None, random_state=0)
    moved = scaled.poison(images, [0, 1] * 3)[0] - images
    norms = np.linalg.norm((moved / images.std(axis=0)).reshape(6, -1), axis=1)
    np.testing.assert_allclose(norms, 0.1)


def test_chosen_columns_reach_the_hook_in_c_order():
    seen = []

    class Look(BaseFeatureAttack):
        def _perturb(self, X, y, random_state):
            seen.append(X)
            return np.zeros(X.shape)

    Look(columns=[0, 2], clip=None).poison(X, SUMS > np.median(SUMS))
    assert seen[0].flags.c_contiguous
    assert not seen[0].flags.writeable


def test_a_column_without_scale_stays_and_is_named_unless_it_is_constant():
    rare = np.zeros(40)
    rare[:3] = 1
    frame = pd.DataFrame({"rare": rare, "same": 0.1, "x": np.arange(40.0)})
    y = [0, 1] * 20
    with pytest.warns(UserWarning, match="`scale` = 'iqr' is 0 in a column .* it is: 'rare'$"):
        attack = RandomNoise(budget=1.0, clip=None, scale="iqr", random_state=0).fit(frame, y)
    assert attack.columns_.tolist() == [2]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        attack = RandomNoise(budget=1.0, clip=None, scale="std", random_state=0).fit(frame, y)
        assert attack.columns_.tolist() == [0, 2]
        attack = RandomNoise(budget=1.0, clip=None, scale=[0, 0, 2.0]).fit(frame, y)
    assert attack.columns_.tolist() == [2]
    assert attack.scale_.tolist() == [2.0]


def test_missing_cells_of_arrays_stay_missing_and_infinite_ones_are_refused():
    rows = X.copy()
    rows[::4, 1] = np.nan
    for attack in (noise(None, budget=1.0, clip="range"), own(None, budget=1.0, clip="range")):
        new, _ = attack.poison(rows, Y)
        np.testing.assert_array_equal(np.isnan(new), np.isnan(rows))
        assert len(attack.poison_indices_)
        np.testing.assert_array_equal(attack.transform(rows), rows)
    rows[0, 0] = np.inf
    with pytest.raises(ValueError, match="infinity"):
        noise(None, budget=1.0).poison(rows, Y)
    with pytest.raises(ValueError, match="NaN"):
        pga(LogisticRegression(), clip=None).poison(np.where(np.isinf(rows), 0, rows), Y)


def test_rows_are_written_to_out_whatever_moves(tmp_path):
    rows = X.copy()
    rows[0, 1] = np.nan
    for name, kwargs in (
        ("noise", {"columns": [0, 2]}),
        ("pga", {"scale": "std"}),
        ("own", {"whole": []}),
    ):
        clean = rows if name != "pga" else X
        attack = MAKERS[name](
            make_pipeline(StandardScaler(), LogisticRegression()), clip=None, **kwargs
        )
        expected, _ = attack.poison(clean, Y)
        out = np.memmap(tmp_path / name, dtype=float, mode="w+", shape=X.shape)
        assert attack.poison(clean, Y, out=out)[0] is out
        np.testing.assert_array_equal(out, expected)


def test_a_patch_reads_only_the_columns_that_it_sets():
    # Fails if text beside the patch is refused, or a value leaves the range or becomes a fraction.
    for container in ("pandas", "nullable", "pyarrow", "polars"):
        X, y = table(container, "text")
        patch = {"length": 7.0, "count": 0.5}
        attack = BackdoorPatch(patch, "yes", 0.5, clip="range", whole="count", random_state=0)
        X_poisoned, _ = attack.poison(X, y)
        before, after = numbers(X), numbers(X_poisoned)
        own = attack.poison_indices_
        np.testing.assert_allclose(after[own, 0], np.nanmax(before[:, 0]))
        assert set(after[own, 2]) == {0.0, 1.0}
        np.testing.assert_array_equal(after[own, 2], before[own, 2])
        others = np.setdiff1d(np.arange(len(before)), own)
        np.testing.assert_array_equal(after[others], before[others])
        stamped = attack.stamp(X)
        assert (numbers(stamped)[:, 0] == np.nanmax(before[:, 0])).all()
        for name in ("width", "place", "day", "is_old"):
            assert (stamped[name] == X[name]).all()


def test_a_patch_too_large_for_a_column_is_refused():
    # Fails if a column of float32 beside one of float64 becomes infinite.
    frame = pd.DataFrame({"kg": np.float32([1, 2]), "m": [1.0, 2.0]})
    with pytest.raises(ValueError, match="`patch` must have values that the dtype of each column"):
        BackdoorPatch({"kg": 1e300, "m": 1.0}, rate=1.0).poison(frame, [0, 1])


def test_the_sides_of_a_patch_are_in_the_order_of_x():
    frame = pd.DataFrame({"kg": [1.0, 2.0], "m": [100.0, 200.0]})
    attack = BackdoorPatch({"m": 999.0, "kg": 999.0}, clip=([0.0, 50.0], [9.0, 300.0]))
    assert attack.stamp(frame).to_numpy().tolist() == [[9.0, 300.0]] * 2
    # `columns` is no parameter of a patch.
    with pytest.raises(
        ValueError, match="`whole` must select columns that may change, got also 'm'"
    ):
        BackdoorPatch({"kg": 1.0}, whole=["m"]).stamp(frame)


FRAME = pd.DataFrame({"kg": [1.5, 2.5, 3.5], "n": [1, 2, 3], "who": ["a", "b", "c"]})


@pytest.mark.parametrize(
    ("kwargs", "error", "words"),
    [
        (
            {"columns": ["kg", "age"]},
            ValueError,
            r"`columns` must name columns of X, got \['age'\]",
        ),
        ({"columns": [3]}, ValueError, r"`columns` must be positions from -3 to 2, got \[3\]"),
        ({"columns": [True]}, ValueError, "an entry for each of the 3 columns .* mask, got 1"),
        ({"columns": [0, "kg"]}, ValueError, r"`columns` must name columns of X, got \['0'\]"),
        ({"columns": [1.5]}, TypeError, "`columns` must be None, names, positions, a mask"),
        ({"columns": [[0], [1, 2]]}, TypeError, "`columns` must be None, names, positions, a mask"),
        ({"columns": [0, 0]}, ValueError, r"`columns` must name each column once, got \[0, 0\]"),
        ({"columns": []}, ValueError, "`columns` must select a numeric column of X, got none"),
        ({"columns": "who"}, ValueError, "column 'who' holds text"),
        ({"scale": "mad"}, ValueError, "`scale` must be None, 'std', 'iqr' or an array, got 'mad'"),
        ({"scale": [1.0]}, ValueError, "`scale` must have a value for each of the 2 columns"),
        ({"scale": [1.0, -1.0]}, ValueError, "`scale` must be finite and >= 0, got -1.0"),
        ({"scale": [0.0, 0.0]}, ValueError, "`scale` must be over 0 in a column"),
        ({"scale": {"kg": 1}}, TypeError, "`scale` must be an array of numbers, got {'kg': 1}"),
        ({"clip": "std"}, ValueError, "`clip` must be None, 'range' or a pair .*, got 'std'"),
        ({"clip": {0.0, 9.0}}, ValueError, "`clip` must be None, 'range' or a pair"),
        ({"clip": {"kg": 0, "n": 9}}, ValueError, "`clip` must be None, 'range' or a pair"),
        ({"clip": ([0.0], [9.0])}, ValueError, "`clip` must have a value for each of the 2"),
        ({"clip": ([0, 0], [9, 2])}, ValueError, r"`clip` = \(0.0, 2.0\), but column 'n' has"),
        ({"clip": ([0, 9], [9, 2])}, ValueError, "`clip` must have low <= high in each column"),
        (
            {"clip": (0.0, 2.0)},
            ValueError,
            r"clip` = \(0.0, 2.0\), got values from 1 to 3.5; scale X",
        ),
        ({"whole": "kg"}, ValueError, "`whole` must select columns of whole .* 'kg' has 1.5"),
        ({"whole": "who"}, ValueError, "`whole` must select columns that may change, got also"),
    ],
)
def test_refusals_name_the_parameter_and_the_column(kwargs, error, words):
    attack = RandomNoise(**{"clip": None, **kwargs})
    with pytest.raises(error, match=words):
        attack.poison(FRAME, [0, 1, 1])
    assert not hasattr(attack, "columns_")


def test_sparse_rows_are_refused_with_advice():
    with pytest.raises(TypeError, match=r"`X.toarray\(\)`, or an attack on labels"):
        RandomNoise(columns=[0]).poison(csr_array(X), Y)
