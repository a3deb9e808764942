"""Figure 3's script at the scale "smoke": what it writes, that a killed run goes on, bad tables."""

import json
import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone

from skpoison import NetClassifier

SCRIPT = Path(__file__).parents[2] / "examples" / "paper" / "fig3_width.py"
STEM = "fig3_width_mnist_first_smoke"
ATTACKS = ["clean", "A, C = 51.64", "B, B = 3", "C, beta = 0.3"]
# What differs between two runs that do the same.
TIMES = ["fit_time", "seconds", "commit"]

# Runs the script, with a line a finished epoch (or surrogate) in a log, and kills itself when the
# one after `limit` begins; a negative limit counts finished cells instead.
COUNTING = """
import os, runpy, signal, sys
from skpoison import NetClassifier

script, log, limit = sys.argv[1], sys.argv[2], int(sys.argv[3])
sys.argv[:] = sys.argv[:1] + sys.argv[4:]
sys.path.insert(0, os.path.dirname(script))
train, replace = NetClassifier._train, os.replace

def counted(self, *args):
    done = len(open(log).readlines()) if os.path.exists(log) else 0
    if done == limit:
        os.kill(os.getpid(), signal.SIGKILL)
    train(self, *args)
    with open(log, "a") as file:
        print(type(self).__name__, file=file)
    return self

def counted_replace(source, target):
    replace(source, target)
    if str(target).endswith(".csv"):
        if len(open(target).readlines()) - 1 == -limit:
            os.kill(os.getpid(), signal.SIGKILL)

NetClassifier._train, os.replace = counted, counted_replace
runpy.run_path(script, run_name="__main__")
"""
NEVER = 10**6


def run_script(*arguments, before=(SCRIPT,)):
    # Two threads for nets so small would be twice the work.
    return subprocess.run(
        [sys.executable, "-W", "error", *before, *arguments],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )


def read(folder, stem=STEM):
    """The table of a run, its other files checked."""
    frame = pd.read_csv(folder / f"{stem}.csv")
    report = json.loads((folder / f"{stem}.json").read_text())
    assert report["cells_left"] == 0
    assert set(report["shapes"]["paper, constant"]) == set(frame["attack"])
    assert {"versions", "machine", "wall_time_s", "cpu_time_s", "command"} <= report.keys()
    assert (folder / f"{stem}.png").read_bytes().startswith(b"\x89PNG")
    assert len(list((folder / stem).glob("*.npz"))) == len(frame)
    assert not list((folder / stem).glob("*.checkpoint"))
    return frame


def arrays_of(folder):
    """The arrays of all cells, by file and name."""
    found = {}
    for path in sorted((folder / STEM).glob("*.npz")):
        with np.load(path) as arrays:
            found |= {(path.name, name): arrays[name] for name in arrays}
    return found


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A run from start to end: its folder, and how often a net was trained."""
    folder = tmp_path_factory.mktemp("whole")
    log = folder / "log"
    arguments = ("-c", COUNTING, SCRIPT, log, str(NEVER), "--recipe", "first", "--out", folder)
    result = run_script(*arguments, before=())
    assert result.returncode == 0, result.stderr
    assert "one fold and seed cannot say how far" in result.stdout
    return folder, len(log.read_text().splitlines())


def test_what_a_run_writes(whole):
    folder, n_trained = whole
    frame = read(folder)
    assert not frame.duplicated(["protocol", "attack", "width"]).any()
    # The order that makes a prefix useful: all conditions at a width, one width after the other.
    expected = [(w, a) for w in (16, 64, 4, 16) for a in ATTACKS]
    assert list(zip(frame["width"], frame["attack"], strict=True)) == expected
    assert list(frame["protocol"]) == ["paper"] * 12 + ["honest"] * 4
    # Six epochs a cell; surrogates of A and B under either protocol, not once a width.
    assert n_trained == 16 * 6 + 2 * 2
    assert frame["score"].between(0, 1).all()
    assert frame.query("attack == 'clean' and width == 64")["score"].item() > 0.6
    assert (frame.query("attack == 'clean'")["spent"] == 0).all()
    assert (frame[frame["attack"].str[0].isin(["A", "B"])]["spent"] > 0.9).all()
    assert set(frame["device"]) == {"cpu"}
    assert set(frame["recipe"]) == {"first"}
    # The mean perturbation of a row that C = 800 is at n = 60,000.
    budget = frame.loc[frame["attack"].str[0] == "A", "budget"].iloc[0]
    assert budget / np.sqrt(250) == pytest.approx(800 / np.sqrt(60_000))


def test_what_a_cell_keeps(whole):
    # Fails if hits are not those of the epoch that is kept, or of other rows.
    folder, _ = whole
    frame = read(folder)
    for row in frame.to_dict("records"):
        (path,) = (folder / STEM).glob(
            f"{row['protocol']}_{row['attack'].split(',')[0]}*_{row['width']}_0_0_constant.npz"
        )
        with np.load(path) as arrays:
            hits = np.unpackbits(arrays["test_hits"], count=int(arrays["n_test"]))
            n_fitted = int(arrays["n_fitted"])
            fitted = np.unpackbits(arrays["train_hits"], count=n_fitted)
            changed = np.unpackbits(arrays["train_changed"], count=n_fitted)
            history = arrays["held_out_accuracy"]
            assert hits.mean() == pytest.approx(row["score"], abs=1e-12)
            assert arrays["test_accuracy"][row["best_epoch"]] == hits.mean()
            assert fitted.mean() == pytest.approx(row["train_score"], abs=1e-12)
            assert int(np.argmax(history)) == row["best_epoch"]
            assert len(history) == 6
            loss = arrays["train_loss"][row["best_epoch"]]
            assert loss == pytest.approx(row["train_loss"], rel=1e-12)
            assert len(arrays["parameter"]) == len(arrays["distance"]) == 8
            assert (arrays["distance"] > 0).all()
        assert n_fitted == (200 if row["protocol"] == "paper" else 160)
        share = {"c": 0, "A": None, "B": 1, "C": 0.3}[row["attack"][0]]
        if share is not None:
            assert changed.mean() == pytest.approx(share, abs=0.12 if share == 0.3 else 0.01)
    classes = pd.read_csv(folder / f"{STEM.replace('width', 'by_class')}.csv")
    assert len(classes) == len(frame) * 10
    assert (classes.query("attack == 'clean'")["lost"] == 0).all()


def test_a_killed_run_goes_on(whole, tmp_path):
    # Fails if a finished cell or epoch is repeated, or comes back as another number.
    folder, n_trained = whole
    log = tmp_path / "log"

    def counted(limit):
        options = ("--recipe", "first", "--checkpoint-seconds", "0", "--out", tmp_path)
        return run_script("-c", COUNTING, SCRIPT, log, str(limit), *options, before=())

    seed = random.randrange(10**6)
    draw = random.Random(seed)
    # In a cell (an epoch that is not its first), then between two cells further on. The surrogates
    # of A and B are among the first 16 trainings, those of the honest protocol come after 74.
    in_a_cell = next(k for k in iter(lambda: draw.randrange(20, 74), None) if (k - 2) % 6)
    between = draw.randrange((in_a_cell - 2) // 6 + 1, 16)
    place = f"seed {seed}: killed in training {in_a_cell} and after cell {between}"
    assert counted(in_a_cell).returncode == -signal.SIGKILL, place
    assert len(pd.read_csv(tmp_path / f"{STEM}.csv")) == (in_a_cell - 2) // 6
    assert len(list((tmp_path / STEM).glob("*.checkpoint"))) == 1, place
    assert counted(-between).returncode == -signal.SIGKILL, place
    assert len(pd.read_csv(tmp_path / f"{STEM}.csv")) == between
    assert counted(NEVER).returncode == 0, place
    frame, again = read(folder), read(tmp_path)
    pd.testing.assert_frame_equal(
        again.drop(columns=TIMES), frame.drop(columns=TIMES), check_exact=True
    )
    arrays, arrays_again = arrays_of(folder), arrays_of(tmp_path)
    assert arrays.keys() == arrays_again.keys()
    for name, values in arrays.items():
        np.testing.assert_array_equal(arrays_again[name], values, err_msg=str(name))
    # Only surrogates were trained again: at most two at each new start.
    assert 0 <= len(log.read_text().splitlines()) - n_trained <= 4


def test_a_table_goes_on_elsewhere(whole, tmp_path):
    # Fails if the table alone is not enough, or if finished cells cost a training.
    folder, _ = whole
    lines = (folder / f"{STEM}.csv").read_text().splitlines(keepends=True)
    there = tmp_path / "there"
    there.mkdir()
    (there / f"{STEM}.csv").write_text("".join(lines[:9]))
    options = ("--recipe", "first", "--out", tmp_path / "here", "--take", there)
    status = run_script(*options, "--status")
    assert status.returncode == 0, status.stderr
    assert "8 of 16 cells are done" in status.stdout
    assert "Left: 8 cells, about 0.0 hours" in status.stdout
    result = run_script(*options, "--max-seconds", "0")
    assert result.returncode == 0, result.stderr
    assert "Stopped between cells" in result.stdout
    assert (tmp_path / "here" / f"{STEM}.csv").read_text() == "".join(lines[:9])
    assert (tmp_path / "here" / f"{STEM}.png").exists()


def damaged(lines, damage):
    """A table with something wrong, and what the error must say."""
    fields = lines[3].split(",")
    if damage == "other epochs":
        return [line.replace(",6,6,", ",7,6,") for line in lines], ["line 2", "`epochs`", "6", "7"]
    if damage == "other budget":
        line = lines[2].replace(",51.6397", ",61.6397")
        return [*lines[:2], line, *lines[3:]], ["line 3", "`budget`", "61.6", "51.6"]
    if damage == "other recipe":
        return [line.replace(",first,", ",second,") for line in lines], ["`recipe`", "'second'"]
    if damage == "truncated row":
        return [*lines[:3], ",".join(fields[:6])], ["line 4", "cut off", "got 5"]
    if damage == "truncated last field":
        return [*lines[:3], lines[3][:-5]], ["line 4", "cut off"]
    if damage == "a word for a number":
        return [*lines[:3], lines[3].replace(",16,0,0,", ",wide,0,0,")], ["line 4", "'wide'"]
    if damage == "a cell twice":
        return [*lines, lines[3]], ["line 18", "another cell"]
    if damage == "other columns":
        return ["attack,width\n", "clean,4\n"], ["columns", "protocol", "attack, width"]
    if damage == "empty":
        return [], ["columns", "an empty file"]
    raise AssertionError(damage)


@pytest.mark.parametrize(
    "damage",
    [
        "other epochs",
        "other budget",
        "other recipe",
        "truncated row",
        "truncated last field",
        "a word for a number",
        "a cell twice",
        "other columns",
        "empty",
    ],
)
def test_a_bad_table_is_refused_and_left(whole, cells, tmp_path, damage):
    # Fails if a cell of other settings is taken for ours, or if the refusal costs a row.
    module, wanted = cells
    folder, _ = whole
    lines = (folder / f"{STEM}.csv").read_text().splitlines(keepends=True)
    bad, words = damaged(lines, damage)
    text = "".join(bad)
    (tmp_path / f"{STEM}.csv").write_text(text)
    with pytest.raises(module.TableError) as error:
        module.CellTable(tmp_path, STEM).missing(wanted)
    for word in (*words, str(tmp_path)):
        assert word in str(error.value)
    assert (tmp_path / f"{STEM}.csv").read_text() == text
    if damage == "other epochs":
        result = run_script("--recipe", "first", "--out", tmp_path)
        assert result.returncode == 1
        assert "fig3_width.py: error: " in result.stderr
        assert "`epochs`" in result.stderr
        assert "Traceback" not in result.stderr
        assert (tmp_path / f"{STEM}.csv").read_text() == text


@pytest.fixture
def cells(whole, monkeypatch):
    """The module of the table, and the cells of the whole run as they were wanted."""
    monkeypatch.syspath_prepend(SCRIPT.parent)
    import _cell_table

    folder, _ = whole
    names = _cell_table.KEY | _cell_table.SETTINGS
    rows = _cell_table.read_rows(folder / f"{STEM}.csv")
    yield _cell_table, [{name: row[name] for name in names} for row in rows]
    sys.modules.pop("_cell_table")


def test_settings_may_differ_where_the_rate_does(whole, cells, tmp_path):
    module, wanted = cells
    table = module.CellTable(tmp_path, STEM)
    table.take(whole[0])
    assert table.missing(wanted) == []
    others = [{**cell, "lr_rule": "last/width", "epochs": 60} for cell in wanted]
    assert table.missing(others) == others
    # What is no setting does not count.
    rows = [{**row, "commit": "other", "device": "a GPU", "seconds": 1.0} for row in table.rows()]
    table.path.write_text(module.text_of(rows))
    assert table.missing(wanted) == []
    # A second run that finished the same cell adds nothing.
    before = table.path.read_text()
    table.append(rows[0], test_hits=np.zeros(1))
    assert table.path.read_text() == before


def test_a_folder_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("mine")
    result = run_script("--recipe", "first", "--out", tmp_path / "file")
    assert result.returncode == 1
    assert "`--out` must be a folder that can be written" in result.stderr
    assert "Traceback" not in result.stderr
    assert (tmp_path / "file").read_text() == "mine"


def test_a_disk_that_fills_up_costs_no_row(whole, cells, tmp_path, monkeypatch):
    # Fails if a table is written in place, or if the error does not name the folder.
    module, wanted = cells
    table = module.CellTable(tmp_path, STEM)
    table.take(whole[0])
    rows, text = table.rows(), table.path.read_text()

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(module.TableError, match="`--out` must be a folder") as error:
        table.append({**rows[0], "seed": 7}, test_hits=np.zeros(1))
    assert "No space left" in str(error.value)
    assert table.path.read_text() == text
    assert table.missing(wanted) == []


def test_a_checkpoint_of_other_settings_or_bytes_is_not_used(monkeypatch, tmp_path):
    # Fails if a fit goes on from another fit's checkpoint, or breaks at a damaged one.
    monkeypatch.syspath_prepend(SCRIPT.parent)
    import _resumable_fit

    from skpoison import MLP, NetClassifier

    rng = np.random.default_rng(0)
    X = rng.normal(size=(60, 4)).astype(np.float32)
    y = (X[:, 0] > 0).astype(int)
    path = tmp_path / "a.checkpoint"

    def fitted(epochs, settings):
        net = NetClassifier(MLP, max_epochs=1, batch_size=16, random_state=0, classes=[0, 1])
        data = [(X, y)] * 3
        options = {"patience": 9, "test_every": 1, "settings": settings, "every": 0}
        options["checkpoint"] = path
        return _resumable_fit.fit(net, *data, epochs=epochs, **options)

    expected = fitted(3, "a").train_loss
    path.unlink()
    fitted(2, "b")
    assert fitted(3, "a").train_loss == expected
    path.write_bytes(path.read_bytes()[:100])
    with pytest.warns(RuntimeWarning, match="cannot be read"):
        assert fitted(3, "a").train_loss == expected
    path.unlink()
    monkeypatch.setattr(os, "fsync", lambda descriptor: os.write(-1, b""))
    with pytest.warns(RuntimeWarning, match="cannot be written, the fit goes on"):
        assert fitted(3, "a").train_loss == expected
    assert list(tmp_path.iterdir()) == []
    sys.modules.pop("_resumable_fit")


def test_test_rows_scored_now_and_then_change_no_fit(load_script, digits, tmp_path):
    # Fails if the best epoch has no score, or a score moves the training.
    fit = load_script("_resumable_fit").fit
    from skpoison import MLP, NetClassifier

    X, y = digits
    net = NetClassifier(MLP, max_epochs=1, lr=1.0, random_state=0, classes=list(range(10)))
    options = {"epochs": 8, "patience": 8, "checkpoint": tmp_path / "a", "settings": {}, "every": 9}
    data = (X[:200], y[:200]), (X[200:], y[200:]), (X[:99], y[:99])
    always = fit(clone(net), *data, test_every=1, **options)
    seldom = fit(clone(net), *data, test_every=4, **options)
    assert seldom.train_loss == always.train_loss
    assert seldom.held_out_accuracy == always.held_out_accuracy
    is_scored = np.isfinite(seldom.test_accuracy)
    scores = np.array(always.held_out_accuracy)
    earlier = np.maximum.accumulate(np.append(-1.0, scores[:-1]))
    expected = (scores > earlier) | (np.arange(1, 9) % 4 == 0)
    assert is_scored.tolist() == expected.tolist()
    assert 2 < is_scored.sum() < 8
    assert np.array(seldom.test_accuracy)[is_scored].tolist() == [
        always.test_accuracy[epoch] for epoch in np.flatnonzero(is_scored)
    ]


def test_distance_is_from_the_nets_own_start(monkeypatch, tmp_path):
    # Fails if the distance is to the start of another seed: at rate 0 a net stays where it began.
    monkeypatch.syspath_prepend(SCRIPT.parent)
    import _resumable_fit

    from skpoison import MnistConvNet, NetClassifier

    X, y = np.random.default_rng(0).random((20, 1, 28, 28), np.float32), np.arange(20) % 10
    net = NetClassifier(MnistConvNet, module__width=5, lr=0.0, max_epochs=1, classes=range(10))
    net.set_params(random_state=4)
    options = {"epochs": 2, "patience": 2, "test_every": 1, "settings": {}, "every": 9}
    options["checkpoint"] = tmp_path / "a"
    progress = _resumable_fit.fit(clone(net), *[(X, y)] * 3, **options)
    assert _resumable_fit.distance_from_start(clone(net), progress)["distance"].max() == 0
    other = clone(net).set_params(random_state=5)
    assert _resumable_fit.distance_from_start(other, progress)["distance"].min() > 0
    sys.modules.pop("_resumable_fit")


def test_cifar10_and_other_budgets(tmp_path):
    result = run_script(
        *("--dataset", "cifar10", "--protocols", "paper", "--out", tmp_path, "--widths", "4"),
        # Attacks on features would train an AlexNet, as Figure 1's test does.
        *("--corruption-rates", "--row-budgets", "--flip-rates", "0.3", "0.5"),
    )
    assert result.returncode == 0, result.stderr
    frame = read(tmp_path, "fig3_width_cifar10_second_smoke")
    assert list(frame["attack"]) == ["clean", "C, beta = 0.3", "C, beta = 0.5"]


def test_seeds_come_one_after_the_other(tmp_path):
    # Fails if a prefix holds half of two seeds, or if seeds share flips and nets.
    result = run_script(
        *("--recipe", "second", "--protocols", "paper", "--out", tmp_path, "--seeds", "2"),
        *("--corruption-rates", "--row-budgets", "--widths", "64", "16"),
    )
    assert result.returncode == 0, result.stderr
    frame = read(tmp_path, "fig3_width_mnist_second_smoke")
    assert list(frame["seed"]) == [0] * 4 + [1] * 4
    assert list(frame["width"]) == [64, 64, 16, 16] * 2
    assert frame.groupby(["attack", "width"])["train_loss"].nunique().min() == 2


@pytest.fixture
def run_here(load_script, monkeypatch, tmp_path):
    """Runs the script in this process, where torch is there already; returns its table."""
    script = load_script("fig3_width")

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", [str(SCRIPT), *arguments, "--out", str(tmp_path)])
        script.main()
        return pd.read_csv(tmp_path / "fig3_width_mnist_second_smoke.csv")

    return run


def test_rules_of_the_rate(run_here, tmp_path, monkeypatch):
    # Fails if a rule scales another layer or width, if "chosen" is not the best on the rows held
    # out, or if a fit that stands in a table is done again.
    arguments = ("--recipe", "second", "--protocols", "paper", "--attacks", "C")
    rules = ["constant", "last/width", "all/width", "chosen"]
    frame = run_here(*arguments, "--widths", "1250", "16", "--lr-rules", *rules)
    assert list(frame["width"]) == [1250] * 4 + [16] * 4
    assert list(frame["lr_rule"]) == rules * 2
    wide, narrow = (frame[frame["width"] == w].set_index("lr_rule") for w in (1250, 16))
    assert wide["lr_first"][:3].tolist() == pytest.approx([0.1, 0.1, 0.08])
    assert wide["lr_last"][:3].tolist() == pytest.approx([0.1, 0.08, 0.08])
    assert (narrow[["lr_first", "lr_last"]][:3] == 0.1).all(axis=None)
    assert frame["epochs"].tolist() == [6, 6, 12, 6] * 2
    # The last layer goes less far at a smaller rate; at 16 units nothing differs.
    went = {}
    for rule in rules[:3]:
        name = f"paper_C-beta-0.3_1250_0_0_{rule.replace('/', '-')}.npz"
        with np.load(tmp_path / "fig3_width_mnist_second_smoke" / name) as arrays:
            went[rule] = dict(zip(arrays["parameter"], arrays["distance"], strict=True))
    assert went["last/width"]["layers.9.weight"] < went["constant"]["layers.9.weight"]
    fits = ["score", "train_loss", "distance", "best_epoch", "changed_fit", "fit_time"]
    assert (narrow.loc["last/width", fits] == narrow.loc["constant", fits]).all()
    assert (wide.loc["last/width", fits] != wide.loc["constant", fits]).any()
    others = pd.read_csv(tmp_path / "fig3_rates_mnist_second_smoke.csv")
    assert others["lr"].tolist() == [0.03, 0.3, 0.01] * 2
    for part in (wide, narrow):
        chosen = part.loc["chosen"]
        own = others[others["width"] == part["width"].iloc[0]].set_index("lr_rule")
        tried = pd.concat([part[:1], own])
        best = tried.loc[tried["held_out_score"].idxmax()]
        assert chosen["lr_first"] == chosen["lr_last"] == best["lr"]
        assert (chosen[fits] == best[fits]).all()
    drops = pd.read_csv(tmp_path / "fig3_falls_mnist_second_smoke.csv")
    assert drops["lr_rule"].tolist() == rules
    assert (tmp_path / "fig3_rules_mnist_second_smoke.png").exists()

    monkeypatch.setattr(NetClassifier, "partial_fit", None)
    is_twin = (frame["lr_rule"] == "last/width") & (frame["width"] == 16)
    again = frame[~is_twin & (frame["lr_rule"] != "chosen")]
    again.to_csv(tmp_path / "fig3_width_mnist_second_smoke.csv", index=False)
    found = run_here(*arguments, "--widths", "1250", "16", "--lr-rules", *rules)
    keys = ["width", "lr_rule"]
    pd.testing.assert_frame_equal(
        found.set_index(keys).sort_index().drop(columns="seconds"),
        frame.set_index(keys).sort_index().drop(columns="seconds"),
    )
    assert found["seconds"].min() == 0


def test_equal_loss_and_falls(load_script):
    # Fails if the epoch is another than the first under the level, or if seeds are not paired.
    report = load_script("_fig3_report")

    arrays = {
        "train_loss": np.array([2.0, 0.95, 0.4, 0.8, 0.05, 0.05, 0.05, 0.05]),
        "test_accuracy": np.array([0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.8, 0.7]),
        "held_out_accuracy": np.array([0.1, 0.3, 0.2, 0.4, 0.5, 0.5, 0.5, 0.5]),
        "parameter": np.array(["0.weight", "0.bias", "9.weight"]),
        "distance": np.array([1.0, 9.0, 2.0]),
    }

    class Table:
        def read_extras(self, row):
            return arrays

    cells = [
        {"protocol": "paper", "attack": "B", "width": w, "split": 0, "seed": s, "lr_rule": "chosen"}
        | {"score": score}
        for w, s, score in [(10, 0, 0.9), (10, 1, 0.8), (20, 0, 0.5), (20, 1, 0.6), (10, 2, 0.1)]
    ]
    frame = report.at_equal_loss(pd.DataFrame(cells[:1]), Table())
    assert frame["level"].tolist() == [1.0, 0.9, 0.8, 0.7, 0.3, 0.1]
    assert frame["epoch"].tolist() == [1, 2, 2, 2, 4, 4]
    assert frame["score"].tolist() == [0.1, 0.2, 0.2, 0.2, 0.4, 0.4]
    assert frame["kept_score"].tolist() == [0.1, 0.1, 0.1, 0.1, 0.4, 0.4]
    arrays["test_accuracy"][4] = np.nan
    frame = report.at_equal_loss(pd.DataFrame(cells[:1]), Table())
    assert frame["epoch"].tolist() == [1, 2, 2, 2, 5, 5]
    arrays["test_accuracy"][4] = 0.4
    moved = report.motion(pd.DataFrame(cells[:1]), Table()).iloc[0]
    assert moved["swing"] == pytest.approx((0.3 + 0.1) / 2)
    assert moved[["0.weight", "9.weight"]].tolist() == [1.0, 2.0]
    found = report.falls(pd.DataFrame(cells)).iloc[0]
    assert (found["width"], found["widest"], found["n"]) == (10, 20, 2)
    assert found["fall"] == pytest.approx(0.3)
    assert found["low"] < 0 < found["high"]
