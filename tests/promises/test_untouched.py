"""The caller's data, generators and threads are as they were, bit for bit, after every public call.

What comes back is new, but for the X of an attack on labels: this is the caller's object itself.

With ``random_state=None`` scikit-learn draws from numpy's global generator, by design: here
all have seeds.
"""

import copy

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from joblib import parallel_config
from matplotlib import pyplot as plt
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.utils.validation import check_is_fitted
from skorch.callbacks import Callback
from skorch.dataset import Dataset

from skpoison import (
    MLP,
    ActivationClustering,
    BackdoorPatch,
    BaseLabelAttack,
    ChainedAttack,
    CleanLabelPGA,
    DeepKNN,
    FilteredClassifier,
    GradientMatching,
    LabelFlip,
    LossTrimming,
    NeighbourVote,
    NetClassifier,
    PartitionEnsemble,
    PerturbationNormDisplay,
    PoisonedClassifier,
    PoisonedRowsDisplay,
    RandomNoise,
    RobustnessCurveDisplay,
    SpectralSignatures,
    changed_cells,
    fit_many,
    project_l2inf,
    project_l21,
    robustness_curve,
    theory,
)
from skpoison.study import validation_curve
from world import state_of_the_world, torch_threads

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
NOISE = RandomNoise(norm="l2,inf", budget=0.2, random_state=0)
FLIP = LabelFlip(0.3, random_state=0)
CHOSEN = LabelFlip(0.3, selection="loss", surrogate=LogisticRegression(), random_state=0)
BACKDOOR = BackdoorPatch([0.5], random_state=0)
PGA = CleanLabelPGA(LogisticRegression(), norm="l2,1", budget=2.0, max_iter=3, random_state=0)


class Writing(MLP):
    """A module that writes into its input."""

    def forward(self, X):
        return super().forward(X.mul_(0.5))


class Halving(MLP):
    """What `Writing` computes, without writing."""

    def forward(self, X):
        return super().forward(X * 0.5)


class Dropping(MLP):
    """A module that draws random numbers while it is trained."""

    def forward(self, X):
        return super().forward(torch.nn.functional.dropout(X, training=self.training))


def net(module=MLP, **kwargs):
    # A narrow one: it is trained more than a thousand times.
    kwargs = {"module__width": 4, "max_epochs": 1, "random_state": 0, **kwargs}
    return NetClassifier(module, **kwargs)


# The data, in every form in which a caller may have them.


def data(kind, folder):
    """X and y of a kind; arrays are writable, so that what writes is seen to write."""
    rng = np.random.default_rng(0)
    X, y = rng.random((60, 6)), np.arange(60) % 3
    index = rng.permutation(60)
    frame = pd.DataFrame(X, columns=list("abcdef"), index=index)
    if kind == "memmap":
        on_disk = np.memmap(folder / "X", dtype=np.float32, mode="w+", shape=X.shape)
        on_disk[:] = X
        return on_disk, y
    if kind == "read-only":
        X.flags.writeable = y.flags.writeable = False
        return X, y
    if kind == "mixed frame":
        frame = frame.assign(b=np.float32(0.5), c=frame.c > 0.5, d=1)
        return frame, pd.Series(y, index=index[::-1], name="label")
    if kind == "nullable frame":
        return frame.convert_dtypes(), pd.Series(pd.array(y, "Int64"), index=index)
    return {
        "float64": (X, y),
        "float32": (X.astype(np.float32), y.astype(np.float32)),
        "float16": (X.astype(np.float16), y.astype(np.uint8)),
        "fortran": (np.asfortranarray(X), np.where(y > 0, 1, -1)),
        "strided": (np.repeat(X, 2, axis=1)[:, ::2], np.repeat(y, 2)[::2]),
        "bool": (X > 0.5, y > 0),
        "uint8": ((X > 0.5).astype(np.uint8), y.astype("U")),
        "int64": ((X > 0.5).astype(np.int64), np.array(["a", "bb", "ccc"], object)[y]),
        "images": (X.reshape(60, 1, 2, 3).astype(np.float32), y),
        "fortran images": (np.asfortranarray(X.reshape(60, 1, 2, 3)), y),
        "channels moved": (np.moveaxis(X.reshape(60, 3, 1, 2), 1, -1), y),
        "list": (X.tolist(), y.tolist()),
        "tuples": (tuple(map(tuple, X.tolist())), tuple("abc"[k] for k in y)),
        "frame": (frame, pd.Series(y.astype(str), index=index)),
        "categories": (frame, pd.Series(y, index=index).astype("category")),
        "polars": (pl.DataFrame(X, schema=list("abcdef")), pl.Series("label", y)),
    }[kind]


KINDS = [
    *("float64", "float32", "float16", "fortran", "strided", "bool", "uint8", "int64", "read-only"),
    *("memmap", "images", "fortran images", "channels moved", "list", "tuples"),
    *("frame", "mixed frame", "nullable frame", "categories"),
    "polars",
]


def bits(value):
    """All that a caller can see of a value: its bits, where they lie, and what they are called."""
    if isinstance(value, np.ndarray):
        whole = value if value.base is None or isinstance(value, np.memmap) else value.base
        values = whole.tolist() if value.dtype == object else np.array(whole).tobytes()
        return values, value.dtype, value.shape, value.strides, value.flags.writeable
    if isinstance(value, pd.DataFrame):
        return [bits(value[name]) for name in value], list(value.columns)
    if isinstance(value, pd.Series):
        return [bits(p) for p in parts(value)], value.dtype, value.index.tolist(), value.name
    if isinstance(value, (pl.DataFrame, pl.Series)):
        return value.rows() if isinstance(value, pl.DataFrame) else value.to_list()
    if isinstance(value, torch.Tensor):
        values = value.detach().cpu().numpy().tobytes(), value.device
        return values, value.shape, value.requires_grad, value.grad
    return copy.deepcopy(value)


def parts(value):
    """The arrays that a value is made of."""
    if isinstance(value, np.ndarray):
        return [value]
    if isinstance(value, pd.DataFrame):
        return [part for name in value for part in parts(value[name])]
    if isinstance(value, pd.Series):
        inner = [getattr(value.array, name, None) for name in ("_data", "_mask", "_codes")]
        return [np.asarray(part) for part in (inner if inner[0] is not None else [value.array])]
    # Columns of polars cannot be written to, and may share their memory.
    return []


def shares_memory(value, other):
    return any(np.shares_memory(a, b) for a in parts(value) for b in parts(other))


# Every public call on data: what it returns may not lie in the caller's memory.


def attack_call(attack, method):
    def call(X, y):
        fresh = clone(attack)
        if method == "transform":
            return fresh.fit(X, y), fresh.transform(X)
        result = getattr(fresh, method)(X, y)
        # And what the attack keeps may not either. (With pandas 2 scikit-learn's own
        # `feature_names_in_` is a view of the frame's columns, in all estimators.)
        kept = {name: value for name, value in vars(fresh).items() if name != "feature_names_in_"}
        return result, *kept.values()

    return call


def net_call(method, module=MLP, **kwargs):
    def call(X, y):
        fresh = net(module, **kwargs)
        if method in ("fit", "partial_fit"):
            getattr(fresh, method)(X, y)
            return ()
        fresh.fit(X, y)
        return getattr(fresh, method)(*((X, y) if method == "score" else (X,)))

    return call


def given_validation(X, y):
    for module in (MLP, Writing):
        net(module, early_stopping=True, max_epochs=2).fit(X, y, X_val=X, y_val=y)


def on_frozen_net(X, y):
    attack = CleanLabelPGA(FrozenEstimator(net().fit(X, y)), budget=0.2, max_iter=2)
    return attack.poison(X, y)


def with_surrogate_net(X, y):
    return CleanLabelPGA(net(), max_fraction=0.5, budget=0.2, random_state=0).poison(X, y)


def poison_into(attack):
    def call(X, y):
        plain = clone(attack).poison(X, y)[0]
        if not isinstance(plain, np.ndarray) or plain.dtype == np.float16:
            return plain
        out = np.empty_like(plain)
        result = clone(attack).poison(X, y, out=out)
        assert result[0] is out
        np.testing.assert_allclose(out, plain, rtol=0, atol=1e-6)
        return result

    return call


def poisoned(method, attack, victim=None):
    def call(X, y):
        fresh = PoisonedClassifier(net() if victim is None else victim, attack)
        fresh.fit(X, y)
        if method == "fit":
            return vars(fresh).values()
        return getattr(fresh, method)(*((X, y) if method == "score" else (X,)))

    return call


def study(**kwargs):
    def call(X, y):
        estimator = net(early_stopping=kwargs.get("early_stop_on") == "held-out")
        attacks = {"clean": None, "noise": NOISE, "flips": FLIP}
        arguments = {"param_name": "module__width", "param_range": [2, 4], "cv": 2} | kwargs
        if arguments.pop("with_test", "early_stop_on" in kwargs):
            arguments["test"] = X, y
        found = robustness_curve(estimator, X, y, attacks=attacks, random_state=0, **arguments)
        assert all(np.isfinite(table).all() for table in found.scores.values())
        with pytest.raises(Exception, match="fitted"):
            check_is_fitted(estimator)

    return call


def curve_of_values(X, y):
    validation_curve(net(), X, y, param_name="module__width", param_range=[2, 4], cv=2)


def plotted(display):
    plt.close(display.figure_)


def norms_plotted(X, y):
    plotted(PerturbationNormDisplay.from_estimator(NOISE, X, y))


def rows_plotted(X, y):
    display = PoisonedRowsDisplay.from_estimator(NOISE, X, y, n_rows=2, n_columns=2)
    plotted(display)
    return display.clean, display.poisoned


def cells_listed(X, y):
    changed_cells(X, NOISE.poison(X, y)[0])


def study_plotted(X, y):
    kwargs = {"attacks": {"flips": FLIP}, "param_name": "lr", "param_range": [0.1], "cv": 2}
    plotted(RobustnessCurveDisplay.from_estimator(net(), X, y, random_state=0, **kwargs))


def defended(defence, method):
    def call(X, y):
        model = clone(defence).fit(X, y)
        return getattr(model, method)(X) if method != "fit" else None

    return call


def matched(X, y):
    # The targets are the caller's, too.
    attack = GradientMatching(
        LogisticRegression(), (X[:2], y[1:3]), clip=None, max_iter=2, random_state=0
    )
    result = attack.poison(X, y)
    attack.success_rate(net().fit(X, y))
    return result


def triggered(X, y):
    BACKDOOR.success_rate(net().fit(X, y), X, y)
    return (BACKDOOR.stamp(X),)


def together(X, y):
    fit_many([net(Writing, random_state=seed) for seed in range(3)], [(X, y)] * 3, fused=True)
    fit_many([net(early_stopping=True) for _ in range(3)], [(X, y, X, y)] * 3)


CALLS = {
    **{
        f"{type(attack).__name__}.{method}": attack_call(attack, method)
        for attack in (PGA, NOISE, FLIP, BACKDOOR, ChainedAttack([NOISE, FLIP]))
        for method in ("fit", "poison", "fit_transform", "transform", "fit_resample")
        if hasattr(attack, method)
    },
    "LabelFlip by loss": attack_call(CHOSEN, "poison"),
    "GradientMatching": matched,
    "BackdoorPatch on what is predicted": triggered,
    "CleanLabelPGA on a frozen net": on_frozen_net,
    "CleanLabelPGA with a net": with_surrogate_net,
    "CleanLabelPGA.poison(out)": poison_into(PGA),
    "RandomNoise.poison(out)": poison_into(NOISE),
    "no budget": attack_call(clone(NOISE).set_params(budget=0.0), "poison"),
    "no rate": attack_call(LabelFlip(0.0, random_state=0), "poison"),
    **{
        f"NetClassifier.{method} of {module.__name__}": net_call(method, module)
        for module in (MLP, Writing, Dropping)
        for method in ("fit", "partial_fit", "predict", "predict_proba", "score")
    },
    "NetClassifier with early stopping": net_call("fit", Writing, early_stopping=True),
    "NetClassifier of all rows at once": net_call("fit", Writing, batch_size=-1),
    "NetClassifier with X_val": given_validation,
    **{
        f"PoisonedClassifier.{method} by {type(attack).__name__}": poisoned(method, attack)
        for attack in (None, PGA, FLIP)
        for method in ("fit", "predict", "predict_proba", "score")
    },
    **{
        f"{type(defence).__name__}.{method}": defended(defence, method)
        for defence in (
            PartitionEnsemble(net(Writing), 2, random_state=0),
            LossTrimming(net(Writing), 0.1, 1, random_state=0),
        )
        for method in ("predict", "predict_proba")
    },
    **{
        f"{type(chooser).__name__}.fit_resample": attack_call(chooser, "fit_resample")
        for chooser in (
            SpectralSignatures(net(Writing), random_state=0),
            ActivationClustering(net(Writing), random_state=0),
            DeepKNN(net(Writing), random_state=0),
            NeighbourVote(),
        )
    },
    "FilteredClassifier": defended(
        FilteredClassifier(net(Writing), NeighbourVote(), random_state=0), "predict_proba"
    ),
    "study of folds": study(),
    "study of the data set": study(poison="dataset"),
    "study with a test set": study(with_test=True),
    "study, held-out": study(early_stop_on="held-out"),
    "study of a data set, held-out": study(early_stop_on="held-out", poison="dataset"),
    "study, stacked": study(fused=True, n_repeats=2),
    "study, one by one": study(fused=False),
    "validation_curve": curve_of_values,
    "PerturbationNormDisplay": norms_plotted,
    "PoisonedRowsDisplay": rows_plotted,
    "RobustnessCurveDisplay": study_plotted,
    "changed_cells": cells_listed,
    "fit_many": together,
}


# Studies take time: they see fewer kinds of data.
MAIN_KINDS = ("float64", "float32", "images", "uint8", "strided", "frame", "nullable frame", "list")
PAIRS = [
    (name, kind)
    for name in CALLS
    for kind in (MAIN_KINDS if "study" in name or "Display" in name else KINDS)
]


@pytest.mark.parametrize(("name", "kind"), PAIRS)
def test_nothing_of_the_callers_changes(name, kind, tmp_path):
    # Fails if a tensor shares the caller's memory and a module writes, or a generator is global.
    X, y = data(kind, tmp_path)
    before = bits(X), bits(y)
    # Two threads are slow where other work has the cores.
    with torch_threads(2 if kind == "float64" else 1):
        world = state_of_the_world()
        result = CALLS[name](X, y)
        assert state_of_the_world() == world
    assert (bits(X), bits(y)) == before
    for value in flat(result, besides=X):
        assert not shares_memory(value, X)
        assert not shares_memory(value, y)
        if isinstance(value, np.ndarray) and value.flags.writeable:
            value[...] = value[::-1].copy() if value.ndim else value
    assert (bits(X), bits(y)) == before


def flat(value, besides):
    """All parts of a result, without the object `besides`."""
    if value is besides:
        return []
    if isinstance(value, (tuple, list)) or type(value).__name__ == "dict_values":
        return [part for item in value for part in flat(item, besides)]
    return [value]


# Functions of arrays and tensors.


@pytest.mark.parametrize("project", [project_l21, project_l2inf])
@pytest.mark.parametrize("radius", [0.0, 0.5, 1e9])
@pytest.mark.parametrize(
    "kind", ["float64", "float32", "fortran", "strided", "images", "read-only"]
)
def test_projections_return_what_is_fresh(project, radius, kind, tmp_path):
    delta, _ = data(kind, tmp_path)
    tensor = torch.tensor(delta)
    before, world = (bits(delta), bits(tensor)), state_of_the_world()
    projected, of_tensor = project(delta, radius), project(tensor, radius)
    assert not np.shares_memory(projected, delta)
    assert not np.shares_memory(of_tensor.numpy(), tensor.numpy())
    projected[...], of_tensor[...] = -1, -1
    assert (bits(delta), bits(tensor)) == before
    assert state_of_the_world() == world


@pytest.mark.parametrize("kind", ["float64", "fortran", "strided", "read-only"])
def test_theory_leaves_its_data(kind, tmp_path):
    X, y = data(kind, tmp_path)
    y = y == y[0]
    before, world = (bits(X), bits(y)), state_of_the_world()
    theory.ntk_margin(X, y, n_directions=16, tol=0.5, random_state=0)
    theory.theory_report(X, y, random_state=0)
    assert (bits(X), bits(y)) == before
    assert state_of_the_world() == world


# Parameters: what is given to a constructor stays as it was given.


def test_parameters_that_are_arrays_stay_as_they_are(tmp_path):
    X, y = data("float64", tmp_path)
    given = {
        "norms": np.full(60, 0.1),
        "clip": np.array([0.0, 1.0]),
        "transition": np.eye(3)[[1, 2, 0]],
        "classes": np.array([2, 0, 1]),
        "param_range": np.array([2, 4]),
        "fold": np.arange(60)[::-1].copy(),
    }
    before = {name: bits(value) for name, value in given.items()}
    noise = clone(NOISE).set_params(norms=given["norms"], clip=given["clip"])
    flip = LabelFlip(transition=given["transition"], random_state=0)
    estimator = net(classes=given["classes"])
    cv = [(given["fold"][:40], given["fold"][40:])]
    results = [
        *noise.poison(X, y),
        *flip.poison(X, y),
        estimator.fit(X, y).predict(X),
        noise.perturbation_norms_,
        flip.poison_indices_,
        flip.classes_,
    ]
    found = robustness_curve(
        estimator,
        X,
        y,
        attacks={"noise": noise.set_params(norms=None), "flips": flip},
        param_name="module__width",
        param_range=given["param_range"],
        cv=cv,
        random_state=0,
    )
    plotted(RobustnessCurveDisplay.from_curve(found))
    for result in (*results, *found.scores.values()):
        assert not any(np.shares_memory(result, value) for value in given.values())
    assert {name: bits(value) for name, value in given.items()} == before


@pytest.mark.parametrize("poison", ["fold", "dataset"])
def test_estimators_and_attacks_stay_unfitted_and_unseeded(poison, tmp_path):
    X, y = data("float64", tmp_path)
    surrogate, victim = net(random_state=None), net(random_state=None)
    parts = [RandomNoise(norm="l2,inf", budget=0.1), LabelFlip(0.2)]
    attacks = {
        "clean": None,
        "pga": CleanLabelPGA(surrogate, norm="l2,inf", budget=0.1, max_iter=2),
        "chain": ChainedAttack(parts),
    }
    arguments = {"param_name": "module__width", "param_range": [2], "cv": 2, "random_state": 0}
    robustness_curve(victim, X, y, attacks=attacks, poison=poison, **arguments)
    PoisonedClassifier(victim, attacks["chain"]).fit(X, y)
    attacks["chain"].poison(X, y)
    assert list(attacks) == ["clean", "pga", "chain"]
    for estimator in (surrogate, victim, *parts, attacks["pga"]):
        assert estimator.random_state is None
        assert estimator.get_params().keys() == clone(estimator).get_params().keys()
        with pytest.raises(Exception, match=r"not fitted|not init"):
            check_is_fitted(estimator)
    assert surrogate.get_params()["module__width"] == victim.get_params()["module__width"] == 4
    # The list that was given holds the objects that were given.
    assert attacks["chain"].attacks is parts
    assert isinstance(parts[0], RandomNoise)


@pytest.mark.parametrize("module", [MLP, Dropping])
def test_a_frozen_surrogate_is_only_read(module, tmp_path):
    X, y = data("float32", tmp_path)
    fitted = net(module, max_epochs=2).fit(X, y)
    before = {name: bits(value) for name, value in fitted.module_.named_parameters()}
    history, proba = copy.deepcopy(fitted.history), fitted.predict_proba(X)
    attack = CleanLabelPGA(FrozenEstimator(fitted), norm="l2,inf", budget=0.2, max_iter=3)
    attack.poison(X, y)
    PoisonedClassifier(net(), attack).fit(X, y)
    arguments = {"param_name": "lr", "param_range": [0.1], "cv": 2, "random_state": 0}
    robustness_curve(net(), X, y, attacks={"pga": attack}, **arguments)
    assert {name: bits(value) for name, value in fitted.module_.named_parameters()} == before
    assert fitted.history == history
    np.testing.assert_array_equal(fitted.predict_proba(X), proba)


# Modules that write into their input.


def test_a_module_that_writes_computes_what_one_does_that_does_not(tmp_path):
    X, y = data("float32", tmp_path)
    for kwargs in ({}, {"batch_size": -1}, {"batch_size": 7, "drop_last": False}):
        writing = net(Writing, max_epochs=3, lr=0.5, **kwargs).fit(X, y)
        plain = net(Halving, max_epochs=3, lr=0.5, **kwargs).fit(X, y)
        for _ in range(2):
            np.testing.assert_allclose(writing.predict_proba(X), plain.predict_proba(X), rtol=1e-5)
        writing.partial_fit(X, y), plain.partial_fit(X, y)
        np.testing.assert_allclose(writing.predict_proba(X), plain.predict_proba(X), rtol=1e-5)
        losses = (fitted.history[:, "train_loss"] for fitted in (writing, plain))
        np.testing.assert_allclose(*losses, rtol=1e-5)


def test_tensors_and_datasets_of_the_caller(tmp_path):
    X, y = data("float32", tmp_path)
    rows, labels = torch.tensor(X), torch.tensor(y, dtype=torch.int64)
    rows.requires_grad_()
    dataset = Dataset(rows.detach().clone(), labels)
    before = bits(rows), bits(dataset.X), bits(dataset.y)
    world = state_of_the_world()
    fitted = net(module__n_features=6, module__n_classes=3).fit(dataset)
    fitted.predict_proba(dataset)
    fitted = net().fit(rows.detach(), labels)
    fitted.predict(rows.detach())
    fitted.logits(rows)[:, 0].sum().backward()
    assert rows.grad.abs().sum() > 0
    rows.grad = None
    assert (bits(rows), bits(dataset.X), bits(dataset.y)) == before
    assert state_of_the_world() == world


# Calls that do not come to their end.


def breaking(method, error):
    """A callback that fails in one of skorch's calls, where there are epochs in the second."""

    def fail(self, net, **kwargs):
        if len(net.history) != 1:
            raise error("enough")

    return type("Breaking", (Callback,), {method: fail})()


class BreakingAttack(BaseLabelAttack):
    def _relabel(self, X, codes, n_classes, random_state):
        random_state.random_sample(1000)
        raise KeyboardInterrupt("enough")


METHODS = (
    *("on_train_begin", "on_epoch_begin", "on_batch_begin", "on_grad_computed", "on_batch_end"),
    *("on_epoch_end", "on_train_end"),
)


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
@pytest.mark.parametrize("method", METHODS)
def test_an_interrupted_fit_leaves_the_world(method, error, tmp_path):
    X, y = data("float64", tmp_path)
    before, world = (bits(X), bits(y)), state_of_the_world()

    def victim():
        return net(callbacks=[breaking(method, error)], max_epochs=3)

    calls = [
        lambda: victim().fit(X, y),
        lambda: victim().partial_fit(X, y),
        lambda: PoisonedClassifier(victim(), FLIP).fit(X, y),
        lambda: CleanLabelPGA(victim(), random_state=0).poison(X, y),
        lambda: fit_many([victim() for _ in range(3)], [(X, y)] * 3, fused=True),
    ]
    for call in calls:
        with pytest.raises(error, match="enough"):
            call()
        assert state_of_the_world() == world
        assert (bits(X), bits(y)) == before


@pytest.mark.parametrize("backend", ["loky", "threading"])
def test_an_interrupted_study_leaves_the_world(backend, tmp_path):
    X, y = data("float64", tmp_path)
    interrupted = net(callbacks=[breaking("on_batch_end", KeyboardInterrupt)], max_epochs=3)
    kwargs = {"param_name": "module__width", "param_range": [2, 4], "cv": 2, "random_state": 0}
    with torch_threads(2), parallel_config(backend):
        before, world = (bits(X), bits(y)), state_of_the_world()
        for estimator, attack in [(interrupted, None), (net(), BreakingAttack())]:
            with pytest.raises(KeyboardInterrupt):
                robustness_curve(estimator, X, y, attacks={"a": attack}, **kwargs)
            assert state_of_the_world() == world
        assert (bits(X), bits(y)) == before


# Threads.


def test_studies_in_threads_leave_the_world_and_agree(tmp_path):
    # Fails if a fit in one thread draws from the generator of a fit in another.
    X, y = data("float64", tmp_path)
    kwargs = {
        "attacks": {"clean": None, "pga": clone(PGA).set_params(surrogate=net()), "flips": FLIP},
        "param_name": "module__width",
        "param_range": [2, 8],
        "cv": 3,
        "random_state": 0,
    }
    victim = net(Dropping, max_epochs=3, lr=0.5, batch_size=8)
    with torch_threads(2):
        before, world = (bits(X), bits(y)), state_of_the_world()
        serial = robustness_curve(victim, X, y, **kwargs)
        assert state_of_the_world() == world
        with parallel_config("threading"):
            threaded = robustness_curve(victim, X, y, n_jobs=2, **kwargs)
        assert state_of_the_world() == world
        assert (bits(X), bits(y)) == before
    for name, table in serial.scores.items():
        np.testing.assert_array_equal(table, threaded.scores[name])
        np.testing.assert_array_equal(serial.train_scores[name], threaded.train_scores[name])
