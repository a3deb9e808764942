"""Figure 3's script at the scale "smoke": what it writes, and that a killed run goes on."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pandas as pd

SCRIPT = Path(__file__).parent.parent / "examples" / "paper" / "fig3_width.py"

# Runs the script, with a line a finished fit in a log, and kills itself when another begins.
COUNTING = """
import os, runpy, signal, sys
from skpoison import NetClassifier

script, log, limit = sys.argv[1], sys.argv[2], int(sys.argv[3])
sys.argv[:] = sys.argv[:1] + sys.argv[4:]
sys.path.insert(0, os.path.dirname(script))
train = NetClassifier._train

def counted(self, *args):
    done = len(open(log).readlines()) if os.path.exists(log) else 0
    if done == limit:
        os.kill(os.getpid(), signal.SIGKILL)
    train(self, *args)
    with open(log, "a") as file:
        print(type(self).__name__, file=file)
    return self

NetClassifier._train = counted
runpy.run_path(script, run_name="__main__")
"""


def run_script(*arguments, before=(SCRIPT,)):
    # Two threads for nets so small would be twice the work.
    return subprocess.run(
        [sys.executable, "-W", "error", *before, *arguments],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )


def check_files(folder, dataset, attacks):
    """Check the four files of a run at the scale "smoke"; returns the table of fits."""
    frame = pd.read_csv(folder / f"fig3_width_{dataset}_smoke.csv")
    assert not frame.duplicated(["protocol", "attack", "width"]).any()
    assert sorted(frame["attack"].unique()) == attacks
    n_fits = frame["protocol"].value_counts()
    assert n_fits["paper"] == len(attacks) * 3
    assert n_fits.get("honest", len(attacks)) == len(attacks) * 1
    assert frame["score"].between(0, 1).all()
    report = json.loads((folder / f"fig3_width_{dataset}_smoke.json").read_text())
    assert report["arguments"]["dataset"] == dataset
    assert set(report["shapes (paper)"]) == set(frame["attack"])
    assert {"versions", "machine", "wall_time_s", "cpu_time_s", "settings"} <= report.keys()
    picture = (folder / f"fig3_width_{dataset}_smoke.png").read_bytes()
    assert picture.startswith(b"\x89PNG")
    classes = pd.read_csv(folder / f"fig3_by_class_{dataset}_smoke.csv")
    assert len(classes) == len(frame) * 10
    assert (classes.loc[classes["attack"] == "clean", "lost"] == 0).all()
    return frame, classes


def test_a_killed_run_goes_on(tmp_path):
    # Fails if a finished fit or attack is repeated, or comes back as another number.
    def counted(name, limit):
        files = ("--out", tmp_path / name, "--memory", tmp_path / f"memory of {name}")
        arguments = ("-c", COUNTING, SCRIPT, tmp_path / f"{name}.log", str(limit), *files)
        return run_script(*arguments, before=())

    def n_fits(name):
        return len((tmp_path / f"{name}.log").read_text().splitlines())

    whole = counted("whole", -1)
    assert whole.returncode == 0, whole.stderr
    attacks = ["A, C = 32", "B, B = 3", "C, beta = 0.3", "clean"]
    frame, classes = check_files(tmp_path / "whole", "mnist", attacks)
    # Surrogates of A and B under either protocol, nets at 3 widths and at 1, the one looked at.
    assert n_fits("whole") == 2 * 2 + 4 * (3 + 1) + 1
    assert frame.loc[(frame["attack"] == "clean") & (frame["width"] == 64), "score"].item() > 0.3

    killed = counted("killed", 7)
    assert killed.returncode == -signal.SIGKILL
    assert n_fits("killed") == 7
    assert not (tmp_path / "killed").exists()
    again = counted("killed", -1)
    assert again.returncode == 0, again.stderr
    assert n_fits("killed") == n_fits("whole")
    frame_again, classes_again = check_files(tmp_path / "killed", "mnist", attacks)
    pd.testing.assert_frame_equal(
        frame_again.drop(columns="fit_time"), frame.drop(columns="fit_time"), check_exact=True
    )
    pd.testing.assert_frame_equal(classes_again, classes, check_exact=True)


def test_cifar10_and_other_budgets(tmp_path):
    result = run_script(
        *("--dataset", "cifar10", "--protocols", "paper", "--out", tmp_path, "--seeds", "1"),
        *("--corruption-rates", "16", "--row-budgets", "--flip-rates", "0.3", "0.5"),
    )
    assert result.returncode == 0, result.stderr
    check_files(tmp_path, "cifar10", ["A, C = 16", "C, beta = 0.3", "C, beta = 0.5", "clean"])
