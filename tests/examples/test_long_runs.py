"""The runner of long runs: starts what is not complete, goes on, and says what is left."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd

ROOT = Path(__file__).parents[2]


def test_starts_goes_on_and_says_what_is_left(tmp_path, request):
    # Fails if the frozen copy, the commit or the committed table is not what is used, or if a
    # stopped run loses a finished cell.
    (tmp_path / "list").write_text(
        "# a comment\n"
        "examples/paper/fig3_width.py --recipe second --protocols paper --flip-rates 0.3 0.4 0.5 "
        "--corruption-rates --row-budgets --widths 4 16\n"
    )
    environment = {
        **os.environ,
        "LONG_RUNS_LIST": str(tmp_path / "list"),
        "LONG_RUNS_OUT": str(tmp_path / "out"),
        "LONG_RUNS_STATE": str(tmp_path / "state"),
        "LONG_RUNS_PYTHON": sys.executable,
    }
    table = tmp_path / "out" / "fig3_width_mnist_second_smoke.csv"
    log = tmp_path / "state" / "log"

    def run(*arguments):
        return subprocess.run(
            ["bash", ROOT / "tools" / "long_runs.sh", *arguments],
            capture_output=True,
            text=True,
            check=False,
            env=environment,
        )

    def wait_for(is_true):
        end = time.monotonic() + 120
        while not is_true():
            assert time.monotonic() < end, log.read_text() if log.exists() else "no log"
            time.sleep(0.05)

    request.addfinalizer(lambda: run("stop"))
    assert run("start", "zero").returncode == 2
    assert run("anything").returncode == 2
    assert "0 of 8 cells are done" in run("status").stdout
    assert run("start").returncode == 0
    wait_for(table.exists)
    again = run("start")
    assert again.returncode == 1
    assert "Already running" in again.stderr
    assert "Stopped" in run("stop").stdout
    done = table.read_text()
    assert run("start").returncode == 0
    wait_for(lambda: "All of the list was run." in log.read_text())
    assert table.read_text().startswith(done)
    assert "8 of 8 cells are done" in run("status").stdout
    commit = subprocess.run(
        ["git", "rev-parse", "--short=12", "HEAD"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    assert set(pd.read_csv(table, dtype=str)["commit"]) == {commit}
