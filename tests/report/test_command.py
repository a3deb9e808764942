"""``python -m skpoison report``: a page from a file, and one line for bad input."""

import errno
import os
import re
import runpy
import shlex
import shutil
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.ensemble import HistGradientBoostingClassifier

from skpoison import RobustnessReport
from skpoison._files import write_texts
from skpoison.report import _default_attacks, _strengths, _table, run_command
from skpoison.report._command import _command, _parser
from skpoison.study.engine import _worker

QUICK = """
from sklearn.compose import make_column_selector, make_column_transformer
from sklearn.dummy import DummyClassifier
from sklearn.tree import DecisionTreeClassifier
from sklearn.pipeline import make_pipeline

NUMBER = 3

def tree():
    numbers = make_column_transformer(
        ("passthrough", make_column_selector(dtype_include="number"))
    )
    return make_pipeline(numbers, DecisionTreeClassifier(max_depth=2))

def deep():
    return DecisionTreeClassifier()

def broken():
    raise ZeroDivisionError("it broke\\nin two lines")

several = {"tree": tree(), "constant": DummyClassifier()}
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A working folder with a table, quick estimators, and files that are bad input."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delitem(sys.modules, "quick", raising=False)
    monkeypatch.setattr(sys, "path", list(sys.path))
    # One strength for each attack shows the same for less.
    monkeypatch.setattr(_default_attacks, "RATES", (0.4,))
    monkeypatch.setattr(_strengths, "MOVES", (1.0,))
    (tmp_path / "quick.py").write_text(QUICK)
    rng = np.random.default_rng(0)
    n = 60
    frame = pd.DataFrame(
        {
            "length": rng.normal(size=n) + np.arange(n) % 2 * 3,
            "width": rng.normal(size=n),
            "island": rng.choice(["a", "b"], n),
            "species": np.where(np.arange(n) % 2, "cat", "dog"),
        }
    )
    frame.loc[::7, "length"] = np.nan
    frame.loc[::9, "island"] = None
    frame.to_csv("table.csv", index=False)
    return tmp_path


def run(*arguments):
    """The exit code of a command."""
    try:
        return run_command([str(argument) for argument in arguments])
    except SystemExit as error:
        return error.code


def report(*arguments, table="table.csv", target="species", out="out.html"):
    return run("report", table, "--target", target, "--out", out, "--jobs", 1, *arguments)


def files(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.*"))


def test_a_page_and_numbers_are_written(folder, capsys):
    code = report("--estimator", "quick:tree", "--folds", 2, "--json", "out.json")
    out, err = capsys.readouterr()
    assert code == 0, err
    assert "target: species, 2 classes: dog (30), cat (30)" in err
    assert "numbers: length, width" in err
    assert "text, taken for categories: island" in err
    found = RobustnessReport.load("out.json")
    assert repr(found) in out
    page = (folder / "out.html").read_text()
    assert page.startswith("<!DOCTYPE html>")
    assert "python -m skpoison report table.csv --target species --out out.html" in page
    assert found.settings["n_splits"] == 2
    assert found.data["missing cells"] == 9 + 7
    assert len(found.data["sha256"]) == 64


def test_boosting_takes_the_columns_of_parquet(folder, capsys, monkeypatch):
    # Text, categories, missing cells, numbers of pandas' own, dates: with few and small trees.
    monkeypatch.setattr(
        _table,
        "HistGradientBoostingClassifier",
        lambda **kw: HistGradientBoostingClassifier(max_iter=2, **kw),
    )
    frame = pd.read_csv("table.csv")
    frame["count"] = pd.array([1, None, 3] * 20, dtype="Int64")
    frame["flag"] = [True, False] * 30
    frame["kind"] = pd.Categorical(["x", "y", None] * 20)
    frame["day"] = pd.Timestamp("2026-11-28")
    frame["list"] = [[1, 2]] * 60
    frame.to_parquet("table.parquet")
    assert report("--folds", 2, table="table.parquet") == 0
    err = capsys.readouterr().err
    assert "numbers: length, width, count, flag" in err
    assert "\ncategories: kind" in err
    assert "dates, left out by the default estimator: day" in err
    assert "other values, left out: list" in err
    assert "histogram boosting" in (folder / "out.html").read_text()


def pages_without_times(folder):
    text = (folder / "out.html").read_text()
    found, n = re.subn(r'<dd class="made">.*?</dd>', "", text)
    assert n == 1
    return found


def test_stopped_and_started_again_it_writes_the_same_file(folder, capsys, monkeypatch):
    arguments = ("--estimator", "quick:several", "--folds", 2, "--memory", "mem")
    assert report(*arguments) == 0
    expected = pages_without_times(folder)
    (folder / "out.html").unlink()
    shutil.rmtree("mem")
    fit, n_fits = _worker.FitTask.fit, []

    def stop_at_the_tenth(self):
        n_fits.append(1)
        if len(n_fits) == 10:
            raise KeyboardInterrupt
        return fit(self)

    monkeypatch.setattr(_worker.FitTask, "fit", stop_at_the_tenth)
    assert report(*arguments) == 130
    assert not (folder / "out.html").exists()
    assert "with --memory, the same command goes on from here" in capsys.readouterr().err
    before = len(n_fits)
    assert report(*arguments) == 0
    assert pages_without_times(folder) == expected
    whole = 2 * 2 * 5 + 2  # Victims x folds x (clean + 4 attacks), and certificates.
    assert len(n_fits) - before == whole - 9  # Nine fits are not done again.


def test_a_sorted_table_is_shuffled(folder, capsys):
    # Without shuffling, each fold would be tried on lengths that it was not trained on.
    frame = pd.DataFrame({"length": np.arange(60), "species": ["dog", "cat"] * 30})
    frame["species"] = np.where(frame["length"] // 12 % 2, "dog", "cat")
    frame.to_csv("table.csv", index=False)
    assert report("--estimator", "quick:deep", "--json", "out.json") == 0
    accuracy = RobustnessReport.load("out.json").means("flips at random")["DecisionTreeClassifier"]
    assert accuracy[0] > 0.8


def frame_to(name, change):
    frame = pd.read_csv("table.csv")
    change(frame).to_csv(name, index=False)
    return {"table": name}


def whole(value):
    return lambda frame: frame.assign(species=value)


def many_values(frame):
    rows = pd.concat([frame] * 84, ignore_index=True).head(5000)
    return rows.assign(species=[f"v{i}" for i in range(5000)])


def text_file(name, text):
    with open(name, "wb") as file:
        file.write(text)
    return {"table": name}


def parquet_of_same_names():
    import pyarrow as pa
    import pyarrow.parquet as pq

    column = pa.array(["x", "y"] * 30)
    pq.write_table(pa.Table.from_arrays([column] * 3, names=["a", "a", "species"]), "t.parquet")
    return {"table": "t.parquet"}


def dates_only():
    days = pd.date_range("2026-01-01", periods=60)
    pd.DataFrame({"day": days, "species": ["cat", "dog"] * 30}).to_parquet("t.parquet")
    return {"table": "t.parquet"}


QUICKLY = ("--estimator", "quick:tree")


def test_the_command_in_the_report_is_the_one_that_was_called():
    # Fails if a name that starts with "-" is written as an option, or one with a space as two.
    given = ["--target=-my x", "--out=-o.html", "--json=j", "--drop=0.02", "--folds=3", "--seed=7"]
    options = _parser().parse_args(["report", *given, "--", "-t.csv"])
    again = _parser().parse_args(shlex.split(_command(options))[3:])
    assert vars(again) == {**vars(options), "table": Path("./-t.csv")}


# What to call the command with, made in the folder, and what the line must name.
BAD = {
    "no such file": (lambda: {"table": "none.csv"}, "none.csv"),
    "a folder as table": (lambda: {"table": "."}, "the folder ."),
    "another suffix": (lambda: text_file("t.xlsx", b"a"), r"must end in \.csv"),
    "empty file": (lambda: text_file("t.csv", b""), "t.csv cannot be read as a table"),
    "header only": (lambda: text_file("t.csv", b"a,species\n"), "t.csv must have rows, got none"),
    "ragged": (
        lambda: text_file("t.csv", b"a,species\n1,2\n1,2,3,4\n"),
        "cannot be read as a table",
    ),
    "binary": (lambda: text_file("t.csv", bytes(range(256))), "cannot be read as a table"),
    "no parquet": (lambda: text_file("t.parquet", b"PAR1"), "t.parquet cannot be read as a table"),
    "names twice": (parquet_of_same_names, "t.parquet"),
    "no such column": (
        lambda: {"target": "x"},
        r"--target must be a column of table.csv \(length,",
    ),
    "target only": (
        lambda: frame_to("t.csv", lambda f: f[["species"]]),
        "column besides the target",
    ),
    "one class": (lambda: frame_to("t.csv", whole("cat")), "at least 2 classes, but 'species'"),
    "no labels": (lambda: frame_to("t.csv", whole(None)), "'species' has missing cells only"),
    "a label missing": (
        lambda: frame_to("t.csv", lambda f: f.assign(species=[None, *f["species"][1:]])),
        "'species' has 1 missing cells",
    ),
    "all missing": (
        lambda: frame_to("t.csv", lambda f: f.assign(length=None, width=None, island=None)),
        "missing cells only",
    ),
    "5,000 labels": (
        lambda: frame_to("t.csv", many_values),
        "'species' has 5000 classes, and 1 of",
    ),
    "a number as target": (lambda: {"target": "width"}, "'width' has 60 classes, and 1 of"),
    "a rare class": (
        lambda: frame_to("t.csv", lambda f: f.assign(species=["owl"] * 2 + ["cat", "dog"] * 29)),
        "at least 5 rows of each class, .* and 2 of 'owl'",
    ),
    "infinity": (
        lambda: frame_to("t.csv", lambda f: f.assign(width=np.inf)),
        "'width' has infinity",
    ),
    "dates only": (dates_only, "must have a column of numbers or of text"),
    "output in no folder": (
        lambda: {"out": "none/out.html"},
        "--out must be in a folder that exis",
    ),
    "output is a folder": (lambda: {"out": "."}, "--out must be a file, got the folder"),
    "output is the table": (lambda: {"out": "table.csv"}, "must be different files"),
    "outputs are one": (lambda: ("--json", "out.html"), "must be different files"),
    "json in no folder": (lambda: ("--json", "none/out.json"), "--json must be in a folder"),
    "memory is a file": (lambda: ("--memory", "table.csv"), "--memory must be a folder"),
    "no colon": (lambda: ("--estimator", "quick"), "--estimator must be MODULE:NAME, got 'quick'"),
    "no module": (lambda: ("--estimator", "nomodule:x"), "ModuleNotFoundError"),
    "no name": (lambda: ("--estimator", "quick:nothing"), "AttributeError"),
    "estimator fails": (lambda: ("--estimator", "quick:broken"), "ZeroDivisionError: it broke$"),
    "no classifier": (lambda: ("--estimator", "quick:NUMBER"), "must give a classifier .* got 3"),
    "folds text": (lambda: ("--folds", "x"), "--folds: invalid integer value: 'x'"),
    "folds 1": (lambda: ("--folds", "1"), "--folds: must be >= 2, got 1"),
    "repeats 0": (lambda: ("--repeats", "0"), "--repeats: must be >= 1, got 0"),
    "jobs 0": (lambda: ("--jobs", "0"), "--jobs: must be -1 or >= 1, got 0"),
    "seed -1": (lambda: ("--seed", "-1"), "--seed: must lie between 0 and"),
    "seed text": (lambda: ("--seed", "1.5"), "--seed: invalid integer value: '1.5'"),
    "drop 2": (lambda: ("--drop", "2"), "--drop: must lie between 0 and 1, got 2"),
    "drop text": (lambda: ("--drop", "few"), "--drop: invalid number value: 'few'"),
    "unknown option": (lambda: ("--speed", "1"), "unrecognized arguments: --speed 1"),
}


@pytest.mark.parametrize(("make", "words"), BAD.values(), ids=BAD)
def test_bad_input_is_one_line_and_no_file(make, words, folder, capsys):
    given = make()
    arguments, named = ((), given) if isinstance(given, dict) else (given, {})
    before = files(folder)
    assert report(*arguments, **named) == 2
    out, err = capsys.readouterr()
    (line,) = err.strip().splitlines()
    assert line.startswith("skpoison: error: ")
    assert re.search(words, line)
    assert not out
    assert [name for name in files(folder) if "__pycache__" not in name] == before


def test_a_full_disk_is_one_line_and_no_file(folder, capsys, monkeypatch, request):
    # It is full when the study is done, which nobody can know before.
    done = request.getfixturevalue("report")
    monkeypatch.setattr("skpoison.report._command.robustness_report", lambda *args, **kw: done)
    write = Path.write_text

    def full(self, *args, **kwargs):
        write(self, "half")
        raise OSError(errno.ENOSPC, "No space left on device", str(self))

    monkeypatch.setattr(Path, "write_text", full)
    before = files(folder)
    assert report(*QUICKLY, "--folds", 2, "--json", "out.json") == 2
    line = capsys.readouterr().err.strip().splitlines()[-1]
    assert line.startswith("skpoison: error: ")
    assert "No space left on device" in line
    assert [name for name in files(folder) if "__pycache__" not in name] == before


def test_two_files_are_both_written_or_neither(tmp_path, monkeypatch):
    """Seen to fail where the first file stays new if the second cannot be put in its place."""
    (tmp_path / "old").write_text("before")
    replace = os.replace

    def fail_on_the_last(source, path):
        if path.name == "last":
            raise PermissionError(errno.EPERM, "Operation not permitted", str(path))
        replace(source, path)

    monkeypatch.setattr(os, "replace", fail_on_the_last)
    with pytest.raises(PermissionError):
        write_texts({tmp_path / name: "after" for name in ("old", "new", "last")})
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"old": "before"}


@pytest.mark.parametrize("argument", [[], ["table"], ["report"], ["report", "table.csv"]])
def test_missing_arguments_are_one_line(argument, capsys):
    assert run(*argument) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert line.startswith("skpoison: error: ")


def test_help_has_an_example(capsys):
    assert run("report", "--help") == 0
    assert "python -m skpoison report table.csv --target species" in capsys.readouterr().out


def test_the_module_runs(folder, capsys, monkeypatch):
    # As `python -m skpoison` does, without the seconds that another process needs for its imports.
    monkeypatch.setattr(sys, "argv", ["skpoison", "report", "n.csv", "--target", "a", "--out", "o"])
    with pytest.raises(SystemExit) as stopped:
        runpy.run_module("skpoison", run_name="__main__", alter_sys=False)
    assert stopped.value.code == 2
    line = "skpoison: error: the table must be a file that exists, got n.csv\n"
    assert capsys.readouterr().err == line
