import inspect
import os
import re
import subprocess
import sys
import textwrap
import warnings

import numpy as np
import pandas as pd
import pytest
import torch
from joblib import parallel_config
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import KFold, StratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler
from sklearn.tree import DecisionTreeClassifier

from skpoison import (
    MLP,
    BaseLabelAttack,
    ChainedAttack,
    CleanLabelPGA,
    LabelFlip,
    NetClassifier,
    PoisonedClassifier,
    RandomNoise,
    robustness_curve,
)
from skpoison._seeding import seed_estimator
from skpoison._threads import one_thread
from skpoison.study.engine import _runner
from skpoison.study.engine._fingerprint import fingerprint

NET = NetClassifier(MLP, lr=0.5, batch_size=32, max_epochs=2)
PGA = CleanLabelPGA(NET, norm="l2,inf", budget=0.5, max_iter=3)
ATTACKS = {"clean": None, "pga": PGA, "flips": LabelFlip(0.3)}
STUDY = {
    "attacks": ATTACKS,
    "param_name": "module__width",
    "param_range": [2, 16],
    "cv": 3,
    "random_state": 0,
}
pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


def assert_same_scores(a, b):
    assert a.param_range == b.param_range
    assert a.scores.keys() == b.scores.keys()
    for name in a.scores:
        np.testing.assert_array_equal(a.scores[name], b.scores[name])
        np.testing.assert_array_equal(a.train_scores[name], b.train_scores[name])


@pytest.fixture(scope="module")
def curve(digits):
    return robustness_curve(NET, *digits, n_repeats=2, **STUDY)


def test_study_is_its_fits_one_by_one(digits, curve):
    # Fails if an attack sees held-out rows, if scores are of poisoned rows, or seeds are mixed up.
    X, y = digits
    folds = list(StratifiedKFold(3).split(X, y))
    seeds = np.random.RandomState(0).randint(2**31 - 1, size=(2, 3))
    for name, attack in ATTACKS.items():
        for repeat in range(2):
            for split, (train, test) in enumerate(folds):
                seed = seeds[repeat, split]
                X_train, y_train = X[train], y[train]
                with one_thread():
                    if attack is not None:
                        own = np.random.RandomState([1, seed])
                        attack = seed_estimator(clone(attack), own, overwrite=True)
                        X_train, y_train = attack.poison(X_train, y_train)
                    for i, width in enumerate([2, 16]):
                        net = clone(NET).set_params(module__width=width)
                        seed_estimator(net, seed, overwrite=True).fit(X_train, y_train)
                        column = repeat * 3 + split
                        assert curve.scores[name][i, column] == net.score(X[test], y[test])
                        expected = net.score(X_train, y_train)
                        assert curve.train_scores[name][i, column] == expected


@pytest.mark.parametrize("backend", ["loky", "threading", "multiprocessing"])
def test_result_does_not_depend_on_n_jobs_or_backend(digits, curve, backend):
    # Fails if the number of torch threads is left to the backend.
    if backend == "multiprocessing" and torch.cuda.is_available():
        pytest.skip("CUDA cannot be used in a forked process")
    threads = torch.get_num_threads()
    with parallel_config(backend=backend):
        other = robustness_curve(NET, *digits, n_repeats=2, n_jobs=2, **STUDY)
    assert_same_scores(curve, other)
    assert torch.get_num_threads() == threads


class ThreadCounting(DecisionTreeClassifier):
    threads = []

    def fit(self, X, y, check_input=True):
        # OpenMP has a number for each thread, MKL one for the process.
        info = torch.__config__.parallel_info()
        self.threads.append(re.findall(r"(?:get_num|get_max)_threads\(\) : (\d+)", info))
        return super().fit(X, y)


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_every_fit_runs_on_one_thread(digits, n_jobs):
    # Fails if the number is left alone: small nets give the same bits by luck, wide ones do not.
    before = torch.get_num_threads()
    ThreadCounting.threads.clear()
    torch.set_num_threads(2)
    try:
        with parallel_config(backend="threading"):
            robustness_curve(
                ThreadCounting(),
                *digits,
                attacks={"clean": None},
                param_name="max_depth",
                param_range=[1, 2],
                n_jobs=n_jobs,
            )
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
    assert len(ThreadCounting.threads) == 10
    assert {number for numbers in ThreadCounting.threads for number in numbers} == {"1"}


def test_stacked_and_single_nets_score_alike(digits, curve, tmp_path):
    # Small nets: the scores of the study are those of stacks, unless told otherwise.
    single = robustness_curve(NET, *digits, n_repeats=2, fused=False, **STUDY)
    forced = robustness_curve(NET, *digits, n_repeats=2, fused=True, memory=tmp_path, **STUDY)
    assert_same_scores(curve, forced)
    for name in ATTACKS:
        np.testing.assert_allclose(single.scores[name], curve.scores[name], atol=0.015)
        # The members of a stack share its time.
        assert len(np.unique(curve.fit_times[name])) < 6 < len(np.unique(single.fit_times[name]))
    # A group is kept as its members: the study finds them again however it is computed.
    again = robustness_curve(NET, *digits, n_repeats=2, fused=False, memory=tmp_path, **STUDY)
    np.testing.assert_array_equal(again.fit_times["clean"], forced.fit_times["clean"])


def test_values_that_are_estimators_are_cloned(digits):
    # Fails if the caller's own is given seeds, or one object is fitted for all folds.
    forest = DecisionTreeClassifier(max_depth=3, max_features=4)
    pipeline = make_pipeline(MinMaxScaler(), LogisticRegression())
    result = robustness_curve(
        pipeline,
        *digits,
        attacks={"clean": None},
        param_name="logisticregression",
        param_range=[forest],
        cv=2,
        n_repeats=3,
        random_state=0,
    )
    assert forest.random_state is None
    assert not hasattr(forest, "tree_")
    assert len(np.unique(result.scores["clean"])) > 3


def test_a_damaged_cache_entry_is_computed_again(digits, tmp_path):
    CountingNet.fits = 0
    net = CountingNet(MLP, lr=0.5, batch_size=32, max_epochs=2)
    study = {**STUDY, "attacks": {"clean": None}}
    first = robustness_curve(net, *digits, memory=tmp_path, **study)
    entries = sorted(tmp_path.rglob("output.pkl"))
    assert len(entries) == CountingNet.fits == 6
    entries[0].write_bytes(b"junk")
    for fits in (7, 7):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            again = robustness_curve(net, *digits, memory=tmp_path, **study)
        assert CountingNet.fits == fits
        assert_same_scores(first, again)


def test_waves_change_nothing(digits, curve, monkeypatch):
    monkeypatch.setattr("skpoison.study.engine._plan.MAX_BYTES", 1)
    assert_same_scores(robustness_curve(NET, *digits, n_repeats=2, **STUDY), curve)


def test_more_repeats_keep_the_first(digits, curve):
    once = robustness_curve(NET, *digits, n_repeats=1, **STUDY)
    for name in ATTACKS:
        np.testing.assert_array_equal(once.scores[name], curve.scores[name][:, :3])
        assert not np.array_equal(curve.scores[name][:, :3], curve.scores[name][:, 3:])


def test_attacks_and_values_do_not_disturb_each_other(digits, curve):
    alone = robustness_curve(
        NET,
        *digits,
        n_repeats=2,
        **{**STUDY, "attacks": {"flips": LabelFlip(0.3)}, "param_range": [16]},
    )
    np.testing.assert_array_equal(alone.scores["flips"][0], curve.scores["flips"][1])


class CountingFlip(LabelFlip):
    sizes = []

    def _relabel(self, X, *args):
        self.sizes.append(len(X))
        return super()._relabel(X, *args)


@pytest.mark.parametrize(("poison", "sizes"), [("fold", [200] * 6), ("dataset", [300] * 2)])
def test_each_attack_runs_once_a_fold(digits, poison, sizes):
    CountingFlip.sizes.clear()
    study = {**STUDY, "attacks": {"flips": CountingFlip(0.3)}}
    robustness_curve(NET, *digits, poison=poison, n_repeats=2, **study)
    assert CountingFlip.sizes == sizes


def test_dataset_protocol_attacks_before_it_splits(digits):
    # Fails if the held-out rows that are scored are the poisoned ones.
    X, y = digits
    study = {**STUDY, "attacks": {"all": LabelFlip(1.0)}, "param_range": [16]}
    result = robustness_curve(clone(NET).set_params(max_epochs=20), X, y, poison="dataset", **study)
    assert (result.scores["all"] < 0.1).all()
    assert (result.train_scores["all"] > 0.9).all()


class Recorder(DecisionTreeClassifier):
    """Keeps what it is fitted on; with a validation set, as NetClassifier takes it."""

    calls = []

    def fit(self, X, y, X_val=None, y_val=None, check_input=True):
        self.calls.append((X, y, X_val, y_val))
        return super().fit(X, y)


@pytest.mark.parametrize("poison", ["fold", "dataset"])
def test_early_stopping_on_the_held_out_fold(digits, poison):
    # Fails if the validation data are clean under "dataset", or poisoned under "fold".
    X, y = digits
    Recorder.calls.clear()
    robustness_curve(
        Recorder(),
        X,
        y,
        attacks={"all": LabelFlip(1.0)},
        param_name="max_depth",
        param_range=[2],
        cv=KFold(3),
        poison=poison,
        early_stop_on="held-out",
        test=(X, y),
        random_state=0,
    )
    for (X_train, y_train, X_val, y_val), (train, held_out) in zip(
        Recorder.calls, KFold(3).split(X), strict=True
    ):
        np.testing.assert_array_equal(X_train, X[train])
        np.testing.assert_array_equal(y_train, (y[train] + 1) % 10)
        np.testing.assert_array_equal(X_val, X[held_out])
        shift = 1 if poison == "dataset" else 0
        np.testing.assert_array_equal(y_val, (y[held_out] + shift) % 10)


def test_early_stopping_nets_stop_on_it(digits):
    net = clone(NET).set_params(early_stopping=True, n_iter_no_change=1, max_epochs=50)
    X, y = digits
    test = X[200:], y[200:]
    study = {**STUDY, "test": test}
    result = robustness_curve(net, X[:200], y[:200], early_stop_on="held-out", **study)
    fraction = robustness_curve(net, X[:200], y[:200], **study)
    assert not np.array_equal(result.scores["clean"], fraction.scores["clean"])


def test_rows_that_choose_the_epoch_do_not_score():
    # Fails if the fold that chose the epoch judges it: coin flips then get 0.57 and more.
    rng = np.random.default_rng(0)
    X, y = rng.random((200, 20)), rng.integers(2, size=200)
    net = NetClassifier(MLP, lr=0.5, batch_size=16, max_epochs=30, early_stopping=True)
    study = {"attacks": {"clean": None}, "param_name": "module__width", "param_range": [32]}
    study |= {"early_stop_on": "held-out", "cv": 4, "random_state": 0}
    with pytest.raises(ValueError, match="`test` must be given with early_stop_on='held-out'"):
        robustness_curve(net, X, y, **study)
    test = rng.random((1000, 20)), rng.integers(2, size=1000)
    curve = robustness_curve(net, X, y, test=test, **study)
    assert abs(curve.scores["clean"].mean() - 0.5) < 0.03


def test_fixed_test_set(split_digits):
    X, y, X_test, y_test = split_digits
    result = robustness_curve(
        DecisionTreeClassifier(),
        X[:300],
        y[:300],
        attacks={"clean": None, "all": LabelFlip(1.0)},
        param_name="max_depth",
        param_range=[3, None],
        cv=3,
        test=(X_test, y_test),
        random_state=0,
    )
    seeds = np.random.RandomState(0).randint(2**31 - 1, size=(1, 3))
    train = next(iter(StratifiedKFold(3).split(X[:300], y[:300])))[0]
    tree = seed_estimator(DecisionTreeClassifier(), seeds[0, 0], overwrite=True)
    expected = tree.fit(X[train], y[train]).score(X_test, y_test)
    assert result.scores["clean"][1, 0] == expected
    assert (result.scores["all"] < 0.2).all()
    assert result.param_range == [3, None]


@pytest.mark.parametrize(
    ("estimator", "param_name", "param_range"),
    [
        (make_pipeline(MinMaxScaler(clip=True), NET), "netclassifier__module__width", [2, 8]),
        (PoisonedClassifier(NET, LabelFlip(0.2)), "estimator__module__width", [2, 8]),
        (LogisticRegression(tol=0.1), "C", np.array([0.1, 1.0])),
        (PoisonedClassifier(LogisticRegression(tol=0.1), LabelFlip()), "attack__rate", (0.0, 0.4)),
    ],
    ids=["pipeline", "poisoned", "linear", "rate"],
)
def test_any_classifier_and_parameter(digits, estimator, param_name, param_range):
    attacks = {"clean": None, "both": ChainedAttack([RandomNoise(budget=0.5), LabelFlip(0.2)])}
    kwargs = {"attacks": attacks, "param_name": param_name, "param_range": param_range, "cv": 2}
    first, again = (
        robustness_curve(estimator, *digits, random_state=3, **kwargs) for _ in range(2)
    )
    assert_same_scores(first, again)
    assert first.param_name == param_name


def test_frames_and_strings(digits):
    X = pd.DataFrame(digits[0], columns=[f"pixel{i}" for i in range(64)])
    y = pd.Series(digits[1]).map("digit {}".format)
    frames = robustness_curve(NET, X, y, **STUDY)
    arrays = robustness_curve(NET, X.to_numpy(), y.to_numpy(), **STUDY)
    assert_same_scores(frames, arrays)


def test_scoring(digits):
    losses = robustness_curve(NET, *digits, scoring="neg_log_loss", **STUDY)
    assert all((table < 0).all() for table in losses.scores.values())


def recalls(net, X, y):
    """Recall of each class, and accuracy."""
    hits = net.predict(X) == y
    return {"accuracy": hits.mean(), **{str(k): hits[y == k].mean() for k in range(10)}}


def test_scoring_of_several_metrics(digits, tmp_path):
    # Fails if a curve takes another metric's numbers, or memory keeps only one of them.
    one = robustness_curve(NET, *digits, scoring="recall_macro", **STUDY)
    two = robustness_curve(NET, *digits, scoring=["accuracy", "recall_macro"], **STUDY)
    assert list(two) == ["accuracy", "recall_macro"]
    assert_same_scores(two["recall_macro"], one)
    plain = robustness_curve(NET, *digits, **STUDY)
    assert_same_scores(two["accuracy"], plain)
    for _ in range(2):
        by_class = robustness_curve(NET, *digits, scoring=recalls, memory=tmp_path, **STUDY)
        assert_same_scores(by_class["accuracy"], plain)
        for name, scores in one.scores.items():
            mean = np.mean([by_class[str(k)].scores[name] for k in range(10)], axis=0)
            np.testing.assert_allclose(mean, scores)


class CountingNet(NetClassifier):
    fits = 0

    def fit(self, *args, **kwargs):
        type(self).fits += 1
        return super().fit(*args, **kwargs)


def test_memory_repeats_no_fit(digits, tmp_path, curve):
    net = CountingNet(MLP, lr=0.5, batch_size=32, max_epochs=2)
    CountingNet.fits = 0
    first = robustness_curve(net, *digits, memory=tmp_path, **STUDY)
    assert CountingNet.fits == 18
    again = robustness_curve(net, *digits, memory=str(tmp_path), **STUDY)
    assert CountingNet.fits == 18
    assert_same_scores(first, again)
    np.testing.assert_array_equal(first.fit_times["clean"], again.fit_times["clean"])
    # A wider study computes what is new; other data, seeds or options compute all.
    robustness_curve(
        net, *digits, memory=tmp_path, n_repeats=2, **{**STUDY, "param_range": [2, 8, 16]}
    )
    assert CountingNet.fits == 18 + 36
    CountingNet.fits = 0
    robustness_curve(net, *digits, memory=tmp_path, **{**STUDY, "random_state": 1})
    robustness_curve(net, *digits, memory=tmp_path, poison="dataset", **STUDY)
    robustness_curve(net.set_params(lr=0.1), *digits, memory=tmp_path, **STUDY)
    assert CountingNet.fits == 54


class InterruptedNet(NetClassifier):
    fits = 0
    stop_at = 7

    def fit(self, *args, **kwargs):
        cls = type(self)
        if cls.fits == cls.stop_at:
            cls.stop_at = None
            raise KeyboardInterrupt
        cls.fits += 1
        return super().fit(*args, **kwargs)


def test_interrupted_study_goes_on(digits, tmp_path):
    # Fails if results are kept when a study ends and not when a fit does.
    InterruptedNet.fits, InterruptedNet.stop_at = 0, 7
    net = InterruptedNet(MLP, lr=0.5, batch_size=32, max_epochs=2)
    with pytest.raises(KeyboardInterrupt):
        robustness_curve(net, *digits, memory=tmp_path, **STUDY)
    assert InterruptedNet.fits == 7
    resumed = robustness_curve(net, *digits, memory=tmp_path, **STUDY)
    assert InterruptedNet.fits == 18
    assert_same_scores(robustness_curve(NET, *digits, **STUDY), resumed)


def test_progress_bar_counts_attacks_and_fits(digits, tmp_path, monkeypatch, capsys):
    shown = []
    monkeypatch.setattr(_runner.tqdm, "update", lambda bar, n=1: shown.append(n))
    robustness_curve(NET, *digits, progress=True, memory=tmp_path, **STUDY)
    # The bar moves after each of the 6 attacks, before the first fit ends.
    assert shown.count(1) == 6 + 18
    monkeypatch.undo()
    capsys.readouterr()
    robustness_curve(NET, *digits, progress=True, memory=tmp_path, **STUDY)
    assert "24/24" in capsys.readouterr().err
    # Attacks from memory count too.
    robustness_curve(NET, *digits, progress=True, memory=tmp_path, **{**STUDY, "param_range": [4]})
    assert "15/15" in capsys.readouterr().err
    robustness_curve(NET, *digits, **STUDY)
    assert capsys.readouterr().err == ""


def test_fingerprint_is_the_same_in_every_process(digits):
    # Fails with joblib.hash: fitted nets and tensors pickle differently in each process.
    code = """
        import numpy as np, torch
        from sklearn.frozen import FrozenEstimator
        from skpoison import MLP, NetClassifier, CleanLabelPGA, LabelFlip
        from skpoison.study.engine._fingerprint import fingerprint
        torch.set_num_threads(1)
        X, y = np.arange(40.0).reshape(20, 2) / 40, np.arange(20) % 2
        net = NetClassifier(MLP, module__width=4, random_state=0).fit(X, y)
        attack = CleanLabelPGA(FrozenEstimator(net), budget=1.0)
        print(fingerprint([attack, net, LabelFlip(0.1), {"a": 1, "b": {3, "x"}}, X, "s", 1.5]))
    """
    prints = set()
    for hash_seed in ("0", "1"):
        output = subprocess.run(
            [sys.executable, "-c", textwrap.dedent(code)],
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
            capture_output=True,
            text=True,
            check=True,
        )
        prints.add(output.stdout.strip())
    assert len(prints) == 1


def test_fingerprint_tells_things_apart(digits):
    X, y = digits
    net = clone(NET).set_params(module__width=4, random_state=0)
    other_weights = FrozenEstimator(clone(net).set_params(max_epochs=3).fit(X, y))
    other_weights.estimator.max_epochs = 2

    class First(BaseLabelAttack):
        def _relabel(self, X, codes, n_classes, random_state):
            return codes * 0

    first = First

    # As after an edit: the same name, other source.
    class First(BaseLabelAttack):
        def _relabel(self, X, codes, n_classes, random_state):
            return codes * 0 + 1

    def closing_over(depth):
        return lambda n_features, n_classes: MLP(n_features, n_classes, depth=depth)

    class Sloped(MLP):
        slope = 0.1

    sloped = Sloped

    class Sloped(MLP):
        slope = 0.2

    things = [
        closing_over(1),
        closing_over(4),
        lambda X, width=2: X,
        lambda X, width=3: X,
        sloped,
        Sloped,
        net.get_params,
        clone(net).set_params(lr=0.2).get_params,
        torch.nn.LeakyReLU(0.1),
        torch.nn.LeakyReLU(0.9),
        torch.zeros(2, dtype=torch.bfloat16),
        torch.ones(2, dtype=torch.bfloat16),
        np.array(["2026-11-24"], dtype="M8[D]"),
        np.array(["2026-11-25"], dtype="M8[D]"),
        pd.DataFrame({"a": [1, 2]}),
        pd.DataFrame({"a": [1.0, 2.0]}),
        None,
        0,
        0.0,
        False,
        "0",
        b"0",
        [0],
        (0,),
        [[0], 0],
        [0, [0]],
        {"a": 0},
        {"a": 1},
        {0},
        X,
        X.astype(np.float32),
        X.T,
        X[:, ::-1],
        X.reshape(-1, 8, 8),
        torch.tensor(X),
        pd.DataFrame(X),
        pd.Series(y),
        y.astype(object),
        y.astype(str),
        LabelFlip(0.1),
        LabelFlip(0.2),
        LabelFlip(0.1, random_state=0),
        RandomNoise(),
        net,
        clone(net).set_params(lr=0.1),
        FrozenEstimator(clone(net).fit(X, y)),
        other_weights,
        LogisticRegression(),
        FrozenEstimator(LogisticRegression(C=0.1).fit(X, y)),
        np.random.RandomState(0),
        np.random.RandomState(1),
        MLP,
        len,
        inspect.getsource,
        first(),
        First(),
        MLP(4, 2),
    ]
    cycle = [1]
    cycle.append(cycle)
    things.append(cycle)
    prints = [fingerprint(thing) for thing in things]
    assert len(set(prints)) == len(things)
    assert prints == [fingerprint(thing) for thing in things]


class ReturnsTheCallersRows:
    """An attack on labels that hands back X itself."""

    def get_params(self, deep=True):
        return {}

    def set_params(self, **params):
        return self

    def poison(self, X, y):
        return X, (y + 1) % 10


def test_attacks_that_share_rows_do_not_share_labels(digits):
    # Fails if nets are given the same data because their rows are the same.
    attacks = {"clean": None, "flip": ReturnsTheCallersRows()}
    study = {**STUDY, "attacks": attacks, "poison": "dataset"}
    scores = robustness_curve(NET, *digits, fused=True, **study).scores
    assert scores["flip"].max() < 0.2 < scores["clean"].max()
