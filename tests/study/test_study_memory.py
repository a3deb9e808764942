"""Nothing is lost: studies and saves that are killed, shared, damaged or out of disk."""

import io
import json
import os
import resource
import subprocess
import sys
import textwrap
import warnings
from contextlib import contextmanager
from pathlib import Path

import joblib
import numpy as np
import pytest
import torch
from joblib._store_backends import CacheWarning
from sklearn.base import clone
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.tree import DecisionTreeClassifier
from skorch.callbacks import Callback, LRScheduler

from skpoison import (
    MLP,
    BaseLabelAttack,
    ChainedAttack,
    CleanLabelPGA,
    ExcessRiskDisplay,
    LabelFlip,
    NetClassifier,
    PoisonedClassifier,
    RandomNoise,
    RobustnessCurve,
    breaking_point,
    robustness_curve,
)
from skpoison.study.engine._memory import Store

NET = NetClassifier(MLP, lr=0.5, batch_size=32, max_epochs=2)
STUDY = {
    "attacks": {"clean": None, "flips": LabelFlip(0.3)},
    "param_name": "module__width",
    "param_range": [2, 4],
    "cv": 2,
    "random_state": 0,
}
pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


def assert_same_scores(a, b):
    assert a.scores.keys() == b.scores.keys()
    for name in a.scores:
        np.testing.assert_array_equal(a.scores[name], b.scores[name])
        np.testing.assert_array_equal(a.train_scores[name], b.train_scores[name])


@pytest.fixture(scope="module")
def curve(digits):
    return robustness_curve(NET, *digits, **STUDY)


# Processes: one script for all, which imports torch once and forks for each run.

SCRIPT = """
    import json, os, signal, sys, time
    import numpy as np
    import torch
    from sklearn.datasets import load_digits
    from skorch.callbacks import Callback
    from skpoison import MLP, LabelFlip, NetClassifier, RobustnessCurve, robustness_curve
    from skpoison.nets import fit_many

    torch.set_num_threads(1)
    folder = sys.argv[1]
    log = os.open(f"{folder}/log", os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    class Slow(Callback):
        def on_epoch_end(self, net, **kwargs):
            if len(net.history) == 1:
                os.write(log, b".")
            time.sleep(0.01)

    class Logged(LabelFlip):
        def _relabel(self, *args):
            os.write(log, b".")
            return super()._relabel(*args)

    X, y = load_digits(return_X_y=True)
    net = NetClassifier(MLP, lr=0.5, batch_size=32, max_epochs=5, callbacks=[Slow()])
    # What torch imports at the first fits and for its first optimiser, and each fork would import
    # again.
    fit_many([NetClassifier(MLP, max_epochs=1) for _ in range(3)], [(X, y)] * 3, fused=True)
    torch.optim.SGD([torch.ones(1, requires_grad=True)])

    def study(name, fused, memory):
        curve = robustness_curve(
            net, X[:100] / 16, y[:100], attacks={"clean": None, "flips": Logged(0.3)},
            param_name="module__width", param_range=[2, 3, 4, 5, 6, 7], cv=4, fused=fused,
            memory=memory and f"{folder}/{memory}", random_state=0,
        )
        curve.save(f"{folder}/{name}.json")

    def start(call, *args):
        pid = os.fork()
        if pid == 0:
            try:
                call(*args)
                os._exit(0)
            except BaseException as error:
                print(repr(error), file=sys.stderr, flush=True)
                os._exit(1)
        return pid

    def finish(pid):
        status = os.waitpid(pid, 0)[1]
        assert status == 0, status

    def kill(pid):
        os.kill(pid, signal.SIGKILL)
        status = os.waitpid(pid, 0)[1]
        assert status == signal.SIGKILL, f"ended before it was killed: {status}"

    def begun():
        return os.path.getsize(f"{folder}/log")

    def kept(memory):
        return sum("output.pkl" in files for _, _, files in os.walk(f"{folder}/{memory}"))

    def kill_and_resume(fused, most):
        memory = f"memory of {fused}"
        finish(start(study, f"whole {fused}", fused, None))
        rng = np.random.default_rng(0)
        runs = []
        for k in range(11):
            before = begun(), kept(memory)
            pid = start(study, f"resumed {fused}", fused, memory)
            if k == 10:
                finish(pid)
            else:
                # A moment is so many fits and up to 20 ms: the same on a slow machine.
                wait_for(before[0] + rng.integers(1, most, endpoint=True))
                time.sleep(rng.uniform(0, 0.02))
                kill(pid)
            runs.append([begun() - before[0], kept(memory) - before[1]])
        return runs

    def wait_for(fits):
        deadline = time.monotonic() + 60
        while begun() < fits and time.monotonic() < deadline:
            time.sleep(0.002)

    def share():
        pids = [start(study, name, False, "shared") for name in ("one", "two")]
        for pid in pids:
            finish(pid)

    def save_on():
        while True:
            for curve in curves:
                curve.save(f"{folder}/curve.json")

    def kill_saves():
        for moment in np.random.default_rng(0).uniform(0.05, 0.2, size=10):
            pid = start(save_on)
            time.sleep(moment)
            kill(pid)
            yield RobustnessCurve.load(f"{folder}/curve.json").scores["a"].sum()

    tables = [{"a": np.full((2, 10_000), value)} for value in (0.25, 0.75)]
    curves = [RobustnessCurve("width", [1, 2], t, t, t, 100, 100, 0.1) for t in tables]
    curves[0].save(f"{folder}/curve.json")
    found = {"stacked": kill_and_resume(True, 12), "one by one": kill_and_resume(False, 6)}
    share()
    print(json.dumps({**found, "sums": list(kill_saves())}))
"""


@pytest.fixture(scope="module")
def killed(tmp_path_factory):
    """The folder in which processes were killed, and what the script counted."""
    folder = tmp_path_factory.mktemp("killed")
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(SCRIPT), folder], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return folder, json.loads(done.stdout)


def load(folder, name):
    return RobustnessCurve.load(folder / f"{name}.json")


@pytest.mark.parametrize(("route", "under_way"), [("stacked", 8), ("one by one", 1)])
def test_a_study_killed_ten_times_repeats_what_was_under_way(killed, route, under_way):
    # Fails if results are kept at the end of a wave and not of a fit (or, stacked, of a group of
    # 2 attacks x 4 folds), or if a temporary file is taken for an entry.
    folder, found = killed
    runs = found[route]
    assert len(runs) == 11
    for begun, kept in runs:
        assert 0 <= begun - kept <= under_way
    assert sum(begun > kept for begun, kept in runs) >= 5
    # 48 fits and 4 attacks; the last run had something left to do, and not all.
    assert sum(kept for _, kept in runs) == 52
    assert 0 < runs[-1][0] == runs[-1][1] < 48
    fused = route == "stacked"
    assert_same_scores(load(folder, f"resumed {fused}"), load(folder, f"whole {fused}"))


def test_two_processes_share_a_folder(killed):
    # Fails if entries are written in place: one process would read half of what the other writes.
    folder, _ = killed
    assert_same_scores(load(folder, "one"), load(folder, "whole False"))
    assert_same_scores(load(folder, "two"), load(folder, "whole False"))
    assert len(entries(folder / "shared")) == 52


def test_a_killed_save_leaves_a_whole_file(killed):
    # Fails if the file is written in place.
    _, found = killed
    assert len(found["sums"]) == 10
    assert set(found["sums"]) <= {5_000.0, 15_000.0}


# Damage


def entries(folder):
    return sorted(folder.rglob("output.pkl"))


DAMAGES = {
    "empty": lambda content: b"",
    "half": lambda content: content[: len(content) // 2],
    "last byte": lambda content: content[:-1],
    "junk": lambda content: b"junk",
    # A pickle of another number, which loads: the eight bytes of the first float.
    "one bit": lambda content: content.replace(b"G?", b"G>", 1),
    "another entry": None,
    "another pickle": lambda content: joblib_bytes({"score": 1.0}),
}


def joblib_bytes(value):
    buffer = io.BytesIO()
    joblib.dump(value, buffer)
    return buffer.getvalue()


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_entry_is_computed_again_with_a_warning(digits, curve, tmp_path, damage):
    # "one bit" and "another entry" fail if an entry that loads is taken for what was kept.
    study = {**STUDY, "memory": tmp_path, "attacks": {"clean": None}}
    robustness_curve(NET, *digits, **study)
    victim, other = entries(tmp_path)[:2]
    good = victim.read_bytes()
    bad = other.read_bytes() if damage == "another entry" else DAMAGES[damage](good)
    assert bad != good
    victim.write_bytes(bad)
    with pytest.warns(UserWarning, match="an entry of `memory` is damaged, and computed again"):
        again = robustness_curve(NET, *digits, **study)
    np.testing.assert_array_equal(again.scores["clean"], curve.scores["clean"])
    # The new one stands in its place.
    robustness_curve(NET, *digits, **study)


def test_a_damaged_attack_is_run_again(digits, curve, tmp_path):
    attacked = {**STUDY, "memory": tmp_path, "attacks": {"flips": LabelFlip(0.3)}}
    robustness_curve(NET, *digits, **attacked)
    sizes = {path: path.stat().st_size for path in entries(tmp_path)}
    assert len(sizes) == 4 + 2
    for path in sorted(sizes, key=sizes.get)[-2:]:
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 1  # a pixel
        path.write_bytes(content)
    with pytest.warns(UserWarning, match="damaged"):
        again = robustness_curve(NET, *digits, **{**attacked, "param_range": [2, 4, 8]})
    np.testing.assert_array_equal(again.scores["flips"][:2], curve.scores["flips"])
    victim = PoisonedClassifier(NET, LabelFlip(0.3, random_state=0), memory=tmp_path / "other")
    victim.fit(*digits)
    (path,) = entries(tmp_path / "other")
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.warns(UserWarning, match="damaged"):
        victim.fit(*digits)


def test_an_entry_that_goes_away_is_no_damage(tmp_path, monkeypatch):
    # Another process may clear the folder between the look and the reading.
    store = Store(tmp_path)
    store.keep("a" * 40, {"score": 0.5})
    assert store.find("a" * 40) == {"score": 0.5}
    for path in entries(tmp_path):
        path.unlink()
    monkeypatch.setattr(type(store._backend), "contains_item", lambda *args: True)
    assert store.find("a" * 40) is None


# Disks


@contextmanager
def full_disk():
    """Writing more than 16 bytes to a file is an OSError, as on a full disk."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (16, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def test_a_full_disk_costs_the_memory_and_not_the_study(digits, curve, tmp_path):
    # Fails if an OSError of a write comes out; or if half an entry is taken for one afterwards.
    study = {**STUDY, "memory": tmp_path}
    with full_disk(), warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        full = robustness_curve(NET, *digits, **study)
    unkept = [w for w in caught if issubclass(w.category, CacheWarning)]
    assert len(unkept) == 8 + 2  # fits and attacks
    assert all("File too large" in str(warning.message) for warning in unkept)
    assert_same_scores(full, curve)
    assert entries(tmp_path) == []
    assert_same_scores(robustness_curve(NET, *digits, **study), curve)
    assert len(entries(tmp_path)) == 10


@pytest.mark.parametrize("kind", ["a file in the way", "a folder of the system"])
def test_an_unwritable_memory_is_a_warning(digits, curve, tmp_path, kind):
    # Root may write where permissions forbid it: these two are refused to everyone.
    (tmp_path / "file").write_text("in the way")
    memory = tmp_path / "file" / "memory" if kind == "a file in the way" else "/proc/memory"
    with pytest.warns(UserWarning, match="`memory` cannot be written, and the study goes on"):
        result = robustness_curve(NET, *digits, memory=memory, **STUDY)
    assert_same_scores(result, curve)
    with pytest.warns(UserWarning, match="`memory` cannot be written"):
        PoisonedClassifier(NET, LabelFlip(0.3), memory=memory).fit(*digits)


def test_a_save_that_fails_leaves_the_old_file(curve, tmp_path):
    # Fails if the file is written in place, or what was written by then is left behind.
    path = tmp_path / "curve.json"
    curve.save(path)
    before = path.read_bytes()
    with full_disk(), pytest.raises(OSError, match="File too large"):
        curve.save(path)
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["curve.json"]


def test_a_saved_curve_is_json_and_no_pickle(curve, tmp_path):
    curve.save(tmp_path / "curve.json")
    assert json.loads(Path(tmp_path / "curve.json").read_text())["n_splits"] == 2
    (tmp_path / "pickle").write_bytes(joblib_bytes(curve))
    with pytest.raises(ValueError, match="must hold a RobustnessCurve in JSON"):
        RobustnessCurve.load(tmp_path / "pickle")


# Ctrl-C


class Interrupting(Callback):
    """Ctrl-C in the second epoch of one fit."""

    left = 0

    def on_epoch_end(self, net, **kwargs):
        if len(net.history) == 2:
            type(self).left -= 1
            if self.left == 0:
                raise KeyboardInterrupt


@pytest.mark.parametrize("fused", [True, False])
def test_ctrl_c_in_a_training_leaves_a_resumable_state(digits, tmp_path, fused):
    # Fails if skorch takes the interrupt for an early end of this one training, and a net that is
    # trained by half is scored and kept.
    net = NetClassifier(MLP, lr=0.5, batch_size=32, max_epochs=3, callbacks=[Interrupting()])
    study = {**STUDY, "fused": fused, "memory": tmp_path}
    Interrupting.left = 7
    with pytest.raises(KeyboardInterrupt):
        robustness_curve(net, *digits, **study)
    # Stacked: the group of the wider nets; one by one: six fits; and in both two attacks.
    assert len(entries(tmp_path)) == (4 if fused else 6) + 2
    resumed = robustness_curve(net, *digits, **study)
    assert Interrupting.left == (0 - 4 if fused else 0 - 2)
    assert_same_scores(resumed, robustness_curve(net, *digits, **{**study, "memory": None}))


class KeepsTree(BaseLabelAttack):
    """Its fitted tree has another fingerprint after it was pickled."""

    runs = 0

    def _relabel(self, X, codes, n_classes, random_state):
        KeepsTree.runs += 1
        self.tree_ = DecisionTreeClassifier(random_state=0).fit(X, codes)
        return (codes + 1) % n_classes


def test_fitted_attacks_of_any_kind_are_kept(digits, tmp_path):
    # Fails if what is kept is compared as an object: some are not what they were, some cannot be.
    for _ in range(2):
        attack = KeepsTree(random_state=0)
        PoisonedClassifier(LogisticRegression(), attack, memory=tmp_path).fit(*digits)
    assert KeepsTree.runs == 1
    rate = [("rate", LRScheduler("StepLR", step_size=1))]
    surrogate = NetClassifier(MLP, max_epochs=2, random_state=0, callbacks=rate)
    attack = CleanLabelPGA(surrogate, norm="l2,inf", budget=0.5, max_iter=2, random_state=0)
    first, second = (
        PoisonedClassifier(LogisticRegression(), attack, memory=tmp_path).fit(*digits)
        for _ in range(2)
    )
    np.testing.assert_array_equal(first.predict(digits[0]), second.predict(digits[0]))


# What another result depends on


@pytest.mark.parametrize("surrogate", [KNeighborsClassifier(1), HistGradientBoostingClassifier()])
def test_a_fitted_surrogate_is_not_taken_for_another(digits, tmp_path, surrogate):
    # Fails if what a fitted estimator keeps under a name with an underscore does not count.
    X, y = digits[0][:80], digits[1][:80] % 2
    for labels in (y, np.roll(np.sort(y), 20)):
        frozen = FrozenEstimator(clone(surrogate).fit(X, labels))
        flip = LabelFlip(0.3, selection="loss", surrogate=frozen, random_state=0)
        victim = PoisonedClassifier(GaussianNB(), flip, memory=tmp_path).fit(X, y)
        expected = clone(flip).fit(X, y).poison_indices_
        np.testing.assert_array_equal(victim.attack_.poison_indices_, expected)
    assert len(entries(tmp_path)) == 2


def test_an_attack_that_does_not_pickle_costs_its_entry_only(digits, tmp_path):
    surrogate = NetClassifier(lambda n_features: torch.nn.Linear(n_features, 10), max_epochs=1)
    attack = CleanLabelPGA(surrogate, norm="l2,inf", budget=0.5, max_iter=2, random_state=0)
    victim = PoisonedClassifier(LogisticRegression(tol=0.1), attack, memory=tmp_path)
    with pytest.warns(UserWarning, match="does not pickle, so that `memory` does not keep it"):
        victim.fit(*digits)
    assert entries(tmp_path) == []
    expected = LogisticRegression(tol=0.1).fit(*clone(attack).poison(*digits))
    np.testing.assert_array_equal(victim.estimator_.coef_, expected.coef_)


class Logging(LabelFlip):
    """Has an open file, which a clone opens again."""

    def __init__(self, rate, random_state=None):
        super().__init__(rate, random_state=random_state)
        self.log = sys.__stdout__


NAIVE = {"param_name": "var_smoothing", "param_range": [1e-9], "cv": 2, "random_state": 0}


def test_what_cannot_be_fingerprinted_costs_its_own_entries_only(digits, tmp_path):
    # Fails if the study ends, or if all of it is computed without the memory.
    bad = Logging(0.3)
    for _ in range(2):
        with pytest.warns(UserWarning, match=r"computed anew each time: `Logging\.log`") as caught:
            curve = robustness_curve(
                GaussianNB(),
                *digits,
                memory=tmp_path,
                **{**NAIVE, "attacks": {"clean": None, "flips": LabelFlip(0.3), "bad": bad}},
            )
        assert len(caught) == 1
        assert len(entries(tmp_path)) == 2 + 2 + 2
    assert np.isfinite(curve.scores["bad"]).all()


UNSEEDED = {
    "a study": ("random_state", {"random_state": None}),
    "the global generator": ("random_state", {"random_state": np.random}),
    "folds": ("cv.random_state", {"cv": StratifiedKFold(2, shuffle=True)}),
}


@pytest.mark.parametrize("case", UNSEEDED)
def test_an_unseeded_study_keeps_nothing_and_says_so(digits, tmp_path, case):
    name, arguments = UNSEEDED[case]
    study = {**NAIVE, "attacks": {"clean": None}, **arguments}
    with pytest.warns(UserWarning, match=rf"`memory` keeps nothing while `{name}` is None"):
        robustness_curve(GaussianNB(), *digits, memory=tmp_path, **study)
    assert entries(tmp_path) == []
    robustness_curve(GaussianNB(), *digits, memory=None, **study)  # No warning.


def a_breaking_point(X, y, memory):
    budget = {"budget_name": "rate", "max_budget": 0.9, "n_steps": 1, "cv": 2}
    breaking_point(GaussianNB(), X, y, attack=LabelFlip(), memory=memory, **budget)


def excess_risks(X, y, memory):
    sizes = {"attacks": {"clean": None}, "train_sizes": [100], "test": (X, y)}
    ExcessRiskDisplay.from_estimator(GaussianNB(), X, y, memory=memory, **sizes)


@pytest.mark.parametrize("study", [a_breaking_point, excess_risks])
def test_other_unseeded_studies_say_so_too(digits, tmp_path, study):
    # `breaking_point` draws a seed for the studies that it consists of.
    match = r"`memory` keeps nothing while `random_state` is None"
    with pytest.warns(UserWarning, match=match) as caught:
        study(*digits, tmp_path)
    assert len(caught) == 1
    assert entries(tmp_path) == []


CHAIN = ChainedAttack([LabelFlip(0.1, random_state=0), RandomNoise(budget=0.1)])
NESTED = CleanLabelPGA(LogisticRegression(), norm="l2,inf", budget=0.5, max_iter=1)
DRAWS = {
    "an attack": (LabelFlip(0.3), "attack__random_state"),
    "a part of a chain": (CHAIN, "attack__randomnoise__random_state"),
    "a surrogate": (NESTED, "attack__random_state"),
}


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("case", DRAWS)
def test_an_unseeded_attack_is_not_kept(digits, tmp_path, case):
    # Its first draw would pass for all later ones.
    attack, name = DRAWS[case]
    victim = PoisonedClassifier(GaussianNB(), attack, memory=tmp_path)
    with pytest.warns(UserWarning, match=rf"keeps nothing while `{name}` is None"):
        victim.fit(*digits)
    assert entries(tmp_path) == []
    # A seed of an attack seeds its surrogate.
    victim.set_params(**{name: 0}).fit(*digits)
    assert len(entries(tmp_path)) == 1
