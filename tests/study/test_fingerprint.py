"""What counts in a fingerprint: all state and code that is reached, the same after pickling."""

import copy
import functools
import itertools
import pickle
import sys
import threading
import types
import warnings

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import scipy.sparse as sp
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.ensemble import (
    AdaBoostClassifier,
    GradientBoostingClassifier,
    HistGradientBoostingClassifier,
    RandomForestClassifier,
)
from sklearn.gaussian_process import GaussianProcessClassifier
from sklearn.linear_model import SGDClassifier
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.svm import SVC
from skorch import NeuralNetClassifier
from skorch.callbacks import EarlyStopping, LRScheduler

from skpoison import MLP, LabelFlip, NetClassifier
from skpoison.study.engine import Keys, Store, _origins, _values
from skpoison.study.engine._digest import NoFingerprint
from skpoison.study.engine._fingerprint import fingerprint

X = np.random.default_rng(0).uniform(size=(40, 2)).astype(np.float32)
Y = np.arange(40) % 2


class Net(torch.nn.Module):
    def __init__(self, scale=1.0):
        super().__init__()
        self.layer = torch.nn.Linear(2, 2)
        self.scale = scale

    def forward(self, X):
        return torch.softmax(self.layer(X) * self.scale, dim=1)


def copies(value):
    """The value as another process gets it, and as `clone` copies it."""
    return pickle.loads(pickle.dumps(value)), copy.deepcopy(value)


# Fitted estimators

FITTED = [
    KNeighborsClassifier(1),
    HistGradientBoostingClassifier(max_iter=3),
    GradientBoostingClassifier(n_estimators=2, random_state=0),
    RandomForestClassifier(n_estimators=2, random_state=0),
    AdaBoostClassifier(n_estimators=2, random_state=0),
    GaussianProcessClassifier(),
    MLPClassifier(4, max_iter=3, random_state=0),
    SGDClassifier(max_iter=3, random_state=0),
    GaussianNB(),
    SVC(),
    NetClassifier(MLP, max_epochs=2, early_stopping=True, random_state=0),
    NeuralNetClassifier(Net, max_epochs=2, verbose=0),
    NeuralNetClassifier(
        Net,
        max_epochs=2,
        verbose=0,
        train_split=None,
        callbacks=[LRScheduler("StepLR", step_size=1), EarlyStopping("train_loss")],
    ),
]


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("estimator", FITTED, ids=lambda estimator: type(estimator).__name__)
def test_all_that_a_fitted_estimator_is_counts(estimator):
    # Fails if names with an underscore do not count, or caches, padding and addresses do.
    prints = {fingerprint(estimator)}
    for y in (Y, np.roll(np.sort(Y), 7)):
        torch.manual_seed(0)
        fitted = copy.deepcopy(estimator).fit(X, y)
        found = {fingerprint(each) for each in (fitted, *copies(fitted))}
        assert len(found) == 1
        assert not found & prints
        prints |= found


def test_training_times_do_not_count():
    torch.manual_seed(0)
    net = NeuralNetClassifier(Net, max_epochs=2, verbose=0).fit(X, Y)
    before = fingerprint(net)
    rows = list(net.history)
    for row in rows:
        row["dur"] += 1
    assert fingerprint(net) == before
    dict(net.callbacks_)["epoch_timer"].epoch_start_time_ += 1
    assert fingerprint(net) == before
    rows[-1]["epoch"] += 1
    assert fingerprint(net) != before


# Values. In each row all differ.


def hooked(hook):
    net = Net()
    net.load_state_dict({name: torch.zeros_like(p) for name, p in net.state_dict().items()})
    # The number of a hook is another in each process.
    torch.nn.Linear(1, 1).register_forward_hook(print)
    net.register_forward_hook(hook)
    return net


def zeros(**attributes):
    net = Net()
    net.load_state_dict({name: torch.zeros_like(p) for name, p in net.state_dict().items()})
    for name, value in attributes.items():
        setattr(net, name, value)
    return net


def tied(is_tied):
    layers = torch.nn.Linear(2, 2), torch.nn.Linear(2, 2)
    for layer in layers:
        torch.nn.init.zeros_(layer.weight)
        torch.nn.init.zeros_(layer.bias)
    if is_tied:
        layers[1].weight = layers[0].weight
    return torch.nn.Sequential(*layers)


def first_hook(module, args, output):
    return output


def second_hook(module, args, output):
    return output * 2


def with_padding(value):
    dtype = np.dtype([("a", "i1"), ("b", "f8")], align=True)
    array = np.full(3 * dtype.itemsize, value, np.uint8).view(dtype)
    array["a"], array["b"] = 1, 2.0
    return array


class Slots:
    __slots__ = ("value",)

    def __init__(self, value):
        self.value = value


class Halved:
    """Leaves out of its pickle what matters."""

    def __init__(self, value):
        self.value = value

    def __getstate__(self):
        return {}


class Words(list):
    pass


def words(values, **attributes):
    found = Words(values)
    vars(found).update(attributes)
    return found


def with_an_empty_cell(number):
    def call():
        return later + number

    if number < 0:
        later = 0
    return call


def noted(note):
    def function():
        pass

    function.note = note
    return function


def made_by_torch(note):
    """A class that says it stands in torch, as those that its functions make."""
    return type("Linear", (torch.nn.Linear,), {"__module__": "torch.nn.modules", "note": note})


def drawn(generator, times):
    for _ in range(times):
        generator.random()
    return generator


def used(index):
    """A sparse matrix whose caches are filled."""
    index.has_sorted_indices, index.has_canonical_format
    return index


FRAME = pd.DataFrame({"a": [1, None], "b": ["x", "y"], "c": pd.Categorical(["u", "v"])})
POLARS = pl.DataFrame({"a": [1, None], "b": ["x", "y"], "c": ["u", "v"]})
POLARS = POLARS.with_columns(pl.col("c").cast(pl.Enum(["u", "v"])))
ARROW = pa.table({"a": [1, None], "b": ["x", "y"]})
ROWS = {
    "arrays": [
        np.arange(4.0),
        np.arange(4.0).reshape(2, 2),
        np.arange(4.0, dtype=np.float32),
        np.arange(4.0).astype(object),
        np.array(["0", "1"]),
        np.array(["0", "1"], dtype=np.dtypes.StringDType()),
        np.ma.array(np.arange(4.0), mask=[0, 0, 0, 1]),
        np.arange(4.0).view(np.recarray),
        np.arange(4).astype("M8[D]"),
        np.longdouble([0, 1, 2, 3]),
        with_padding(0),
    ],
    "numbers": [1, 1.0, True, "1", b"1", 1 + 0j, np.float64(1), np.float32(1), None, [1], (1,)],
    "generators": [
        np.random.default_rng(0),
        drawn(np.random.default_rng(0), 1),
        np.random.default_rng(1),
        np.random.RandomState(0),
        drawn(np.random.RandomState(0), 1),
        torch.Generator().manual_seed(0),
        torch.Generator().manual_seed(1),
    ],
    "modules": [
        zeros(),
        zeros(scale=2.0),
        zeros(extra=[1]),
        zeros(extra=[2]),
        zeros().eval(),
        zeros().requires_grad_(False),
        zeros().double(),
        hooked(first_hook),
        hooked(second_hook),
    ],
    "tied": [tied(True), tied(False)],
    "tensors": [
        torch.zeros(2),
        torch.zeros(2, requires_grad=True),
        torch.nn.Parameter(torch.zeros(2)),
        torch.zeros(2).to_sparse(),
        torch.zeros(2, dtype=torch.bfloat16),
        torch.zeros(1, 2),
        torch.float32,
        torch.float64,
    ],
    "frames": [
        FRAME,
        FRAME.assign(a=[1.0, 2.0]),
        FRAME.astype({"a": "Int64"}),
        FRAME.set_index("b"),
        FRAME.rename(columns={"a": "A"}),
        FRAME.assign(c=pd.Categorical(["u", "v"], categories=["v", "u"])),
        FRAME["b"],
        FRAME["b"].rename("B"),
        FRAME["b"].astype("category"),
        FRAME.assign(d=pd.to_datetime(["2020-01-01", None]).tz_localize("UTC")),
    ],
    "frames of polars": [
        POLARS,
        POLARS.with_columns(a=pl.Series([1, 2])),
        POLARS.with_columns(pl.col("a").cast(pl.Int32)),
        POLARS.rename({"a": "A"}),
        POLARS.select("b", "a", "c"),
        POLARS.with_columns(c=pl.Series(["u", "v"], dtype=pl.Enum(["v", "u"]))),
        POLARS["b"],
        POLARS["b"].alias("B"),
        POLARS["b"].cast(pl.Categorical),
    ],
    "tables of pyarrow": [
        ARROW,
        ARROW.rename_columns(["A", "b"]),
        ARROW.set_column(0, "a", [[1, 2]]),
        ARROW.replace_schema_metadata({"note": "1"}),
        ARROW["a"],
        ARROW["b"],
        ARROW["b"].combine_chunks(),
        ARROW.to_pandas(types_mapper=pd.ArrowDtype),
        ARROW.to_pandas(types_mapper=pd.ArrowDtype).convert_dtypes(),
        FRAME.convert_dtypes(),
    ],
    "sparse": [
        sp.csr_matrix(np.eye(2)),
        sp.csr_array(np.eye(2)),
        sp.csc_array(np.eye(2)),
        sp.coo_array(np.eye(2)),
        sp.lil_array(np.eye(2)),
        sp.csr_array(np.eye(2)[::-1]),
    ],
    "objects": [
        Slots(1),
        Slots(2),
        words([1]),
        words([2]),
        words([1], note=1),
        words([1], note=2),
    ],
    "functions": [
        functools.partial(first_hook, 1),
        functools.partial(first_hook, 2),
        functools.lru_cache(first_hook),
        functools.lru_cache(second_hook),
        torch.no_grad()(lambda x: x),
        torch.no_grad()(lambda x: x + 1),
        lambda: 1,
        lambda: 1.0,
        lambda: (1, True),
        noted(1),
        noted(2),
        Slots(1).__init__,
        Slots(2).__init__,
        with_an_empty_cell(1),
        with_an_empty_cell(2),
        np.add,
        np.multiply,
        np.mean,
        len,
        [1].append,
        [2].append,
        torch.nn.functional.gelu,
        torch.relu,
    ],
    "nets": [
        NeuralNetClassifier(Net),
        NeuralNetClassifier(Net, lr=0.1),
        NeuralNetClassifier(torch.nn.Linear),
        NeuralNetClassifier(Net, callbacks=[EarlyStopping()]),
        NeuralNetClassifier(Net, callbacks=[EarlyStopping(patience=2)]),
    ],
    "dicts": [{"a": 1, "b": 2}, {"b": 2, "a": 1}, {"a": 1, "b": 3}, {1: 2}, {"1": 2}],
    "names": [
        made_by_torch(1),
        made_by_torch(2),
        itertools,
        functools,
        type,
        object,
        types.FunctionType,
        np.float64,
        print,
    ],
}


@pytest.mark.parametrize("row", ROWS)
def test_what_differs_has_another_fingerprint(row):
    prints = [fingerprint(value) for value in ROWS[row]]
    assert len(set(prints)) == len(prints)
    if row not in ("functions", "names"):
        for value, found in zip(ROWS[row], prints, strict=True):
            assert {fingerprint(each) for each in copies(value)} == {found}, value


def test_caches_padding_and_the_order_of_bytes_do_not_count():
    assert fingerprint(hooked(first_hook)) == fingerprint(hooked(first_hook))
    assert fingerprint(with_padding(0)) == fingerprint(with_padding(7))
    matrix = sp.csr_array(np.eye(2))
    assert fingerprint(matrix) == fingerprint(used(matrix.copy()))
    array = np.arange(4.0).reshape(2, 2)
    assert fingerprint(array) == fingerprint(np.asfortranarray(array))
    assert fingerprint(array) == fingerprint(array.astype(">f8"))


def test_chunks_do_not_count():
    # Fails if the bytes of a library are taken, which depend on how a column was put together.
    in_two = pl.concat([POLARS[:1], POLARS[1:]], rechunk=False)
    assert in_two.n_chunks() == 2
    assert fingerprint(in_two) == fingerprint(POLARS)
    in_two = pa.concat_tables([ARROW.slice(0, 1), ARROW.slice(1)])
    assert fingerprint(in_two) == fingerprint(ARROW)
    frame = ARROW.to_pandas(types_mapper=pd.ArrowDtype)
    assert fingerprint(pd.concat([frame[:1], frame[1:]])) == fingerprint(frame)


def test_cycles_and_depth_have_an_end(monkeypatch):
    monkeypatch.setattr(_values, "_MOST_REPEATS", 1_000)
    ring = [[] for _ in range(12)]
    for first, second in itertools.permutations(ring, 2):
        first.append(second)
    nodes = [types.SimpleNamespace(number=i) for i in range(50)]
    for first, second in itertools.pairwise(nodes):
        first.next = second
    assert fingerprint(nodes) == fingerprint(copy.deepcopy(nodes))
    with pytest.raises(NoFingerprint, match="too many circles"):
        fingerprint(ring)
    deep = []
    for _ in range(10_000):
        deep = [deep]
    with pytest.raises(NoFingerprint, match="nested too deeply"):
        fingerprint(deep)


# What has none


class Raises:
    def __reduce__(self):
        raise RuntimeError("not today")


def opened():
    return LOG


LOG = sys.__stdout__
NOTHING = {
    "a file": lambda: sys.__stdout__,
    "a lock": threading.Lock,
    "a generator": lambda: (i for i in range(3)),
    "numbers from nowhere": lambda: np.frompyfunc(lambda x: x, 1, 1),
    "a state that raises": Raises,
    "no numbers": lambda: torch.zeros(2, device="meta"),
    "a file behind a function": lambda: opened,
    "a nameless object": lambda: [object()],
}


@pytest.mark.parametrize("case", NOTHING)
def test_what_cannot_be_fingerprinted_is_never_guessed(case, tmp_path):
    flip = LabelFlip()
    flip.extra = NOTHING[case]()
    with pytest.raises(NoFingerprint):
        fingerprint(flip)
    keys = Keys()
    with pytest.warns(UserWarning, match=r"computed anew each time: .*"):
        assert keys.of(flip) is None
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert keys.of(flip) is None  # The second warning would be the same.
        assert keys.of(1) is not None


def test_a_study_on_what_has_none_says_so_once():
    keys = Keys(sys.__stdout__)
    with pytest.warns(UserWarning, match="computed anew each time") as caught:
        assert keys.of(1) is keys.of(2) is None
    assert len(caught) == 1


def test_the_warning_says_where_it_stands():
    flip = LabelFlip()
    flip.extra = {"log": sys.__stdout__}
    with pytest.raises(NoFingerprint, match=r"`LabelFlip\.extra\.log`: .*TextIOWrapper"):
        fingerprint(flip)


def test_what_a_pickle_leaves_out_counts():
    assert fingerprint(Halved(1)) != fingerprint(Halved(2))
    # Unless it has no fingerprint.
    assert fingerprint(Halved(sys.__stdout__)) == fingerprint(Halved(sys.__stderr__))


# Code that changes itself


class Counts:
    runs = 0
    kinds = ["a"]

    def run(self):
        type(self).runs += 1


def test_what_code_counts_up_while_it_runs_is_no_edit():
    Counts.runs, Counts.kinds = 0, ["a"]
    with Keys() as keys:
        first = keys.of(Counts())
        Counts().run()
        assert keys.of(Counts()) == first
    assert Keys().of(Counts()) == first
    Counts.kinds.append("b")
    second = Keys().of(Counts())
    assert second != first
    Counts.kinds.pop()
    assert Keys().of(Counts()) == first
    Counts.runs = 9
    assert Keys().of(Counts()) not in (first, second)


# Versions


def test_skpoison_counts_with_its_files(tmp_path):
    (tmp_path / "part").mkdir()
    prints = []
    for text in ("a = 1", "a = 2", "a = 1"):
        (tmp_path / "part" / "code.py").write_text(text)
        prints.append(_origins.hash_package(tmp_path))
    assert prints[0] == prints[2] != prints[1]


@pytest.mark.parametrize("package", ["numpy", "scipy", "sklearn", "skorch", "torch"])
def test_another_version_is_another_result(monkeypatch, package):
    before = fingerprint(1)
    monkeypatch.setattr(sys.modules[package], "__version__", "99.0")
    assert fingerprint(1) != before


def test_the_default_type_of_torch_counts():
    before = fingerprint(1)
    torch.set_default_dtype(torch.float64)
    try:
        assert fingerprint(1) != before
    finally:
        torch.set_default_dtype(torch.float32)


# Sequences of edits against a memory

CODE = """
CONSTANT = {constant}

def helper(x):
    return x {sign} CONSTANT

class Base:
    def kept(self, x, {default}=1):
        return helper(x)

class Attack(Base):
    values = {values}

    def __init__(self, rate, options):
        self.rate = rate
        self.options = options

    def poison(self, X, y):
        import installed_here
        return X, [self.kept(value) for value in y]
"""
CHOICES = {
    "constant": ["1", "2", "1.0"],
    "sign": ["+", "-"],
    "default": ["x1", "x2"],
    "values": ["[1]", "[1, 2]", "(1,)"],
    "rate": [0.1, 0.2, np.float64(0.1)],
    "options": [{"a": [1]}, {"a": [2]}, {"a": (1,)}],
    "X": [X, X[:-1], X.astype(np.float64), np.where(np.eye(40, 2) > 0, X, 0).astype(np.float32)],
    "y": [Y, 1 - Y, list(Y), pd.Series(Y)],
    "version": ["1.0", "1.1"],
    "sklearn": ["1.9", "1.10"],
}
START = st.tuples(*(st.integers(0, len(values) - 1) for values in CHOICES.values()))
STEPS = st.lists(
    st.one_of(
        *(
            st.tuples(st.just(name), st.integers(0, len(values) - 1))
            for name, values in CHOICES.items()
        )
    ),
    max_size=4,
)


@pytest.fixture
def world(tmp_path, monkeypatch):
    """A module of own code, an installed package, and a store."""
    own = types.ModuleType("own_code_of_a_test")
    installed = types.ModuleType("installed_here")
    folder = tmp_path / "site"
    info = folder / "installed_here-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: installed-here\nVersion: 1.0\n")
    (info / "RECORD").write_text("installed_here.py,,\n")
    installed.__file__ = str(folder / "installed_here.py")
    monkeypatch.setitem(sys.modules, own.__name__, own)
    monkeypatch.setitem(sys.modules, installed.__name__, installed)
    version = sys.modules["sklearn"].__version__
    yield own, installed, Store(tmp_path / "memory")
    sys.modules["sklearn"].__version__ = version


def test_a_memory_hits_only_what_is_equal_in_everything(world):
    # Fails if anything of parameters, data, code and versions is left out, or counts by address.
    own, installed, store = world
    seen = set()

    @settings(max_examples=500, deadline=None, database=None)
    @given(START, STEPS)
    def check(start, steps):
        state = dict(zip(CHOICES, start, strict=True))
        for name, index in [("X", state["X"]), *steps]:
            state[name] = index
            at = {name: CHOICES[name][index] for name, index in state.items()}
            exec(CODE.format(**at), vars(own))
            installed.__version__ = at["version"]
            sys.modules["sklearn"].__version__ = at["sklearn"]
            attack = own.Attack(at["rate"], at["options"])
            key = Keys("attack").of(attack, at["X"], at["y"])
            found = store.find(key)
            whole = tuple(state.values())
            assert found == (whole if whole in seen else None)
            if found is None:
                store.keep(key, whole)
                seen.add(whole)

    check()
    assert len(seen) > 400
