"""The examples and the README do what they say."""

import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import matplotlib.pyplot as plt
import pandas as pd
import pytest

ROOT = Path(__file__).parents[2]
README_BLOCKS = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.S)


def run_example(name, *arguments):
    return subprocess.run(
        [sys.executable, "-W", "error", ROOT / "examples" / name, *arguments],
        capture_output=True,
        text=True,
        check=False,
    )


def test_main_job(tmp_path):
    # The job of the README, with one repeat for its two: about a minute on 2 cores.
    result = run_example("plot_width_curve.py", "--repeats", "1", "--out", tmp_path)
    assert result.returncode == 0, result.stderr
    assert "310/310" in result.stderr
    frame = pd.read_csv(tmp_path / "width_curve.csv")
    assert frame.columns.tolist() == [
        "attack",
        "module__width",
        "split",
        "repeat",
        "score",
        "train_score",
        "fit_time",
    ]
    assert sorted(frame["attack"].unique()) == ["A", "B", "C", "clean"]
    assert sorted(frame["module__width"].unique()) == [2, 4, 16, 64, 256, 1024, 4096]
    assert len(frame) == 4 * 7 * 10
    assert not frame.duplicated(["attack", "module__width", "split", "repeat"]).any()
    means = frame.groupby(["attack", "module__width"])["score"].mean()
    assert means["clean", 4096] > 0.95
    assert means["C", 64] > means["C", 4096]
    assert f"{means['C', 64]:.3f}" in result.stdout
    assert re.search(r"^clean: not a U: best at width 4096, the widest;", result.stdout, re.M)
    drop = r"worse by 0\.\d+ \[0\.\d+, 0\.\d+\]"
    line = rf"^C: a U: best at width (64|256); width 2 is {drop}; width 4096 is {drop}$"
    assert re.search(line, result.stdout, re.M)
    assert (tmp_path / "width_curve.png").read_bytes().startswith(b"\x89PNG")


def test_attack_vs_noise(tmp_path):
    result = run_example("plot_attack_vs_noise.py", "--seeds", "2", "--out", tmp_path)
    assert result.returncode == 0, result.stderr
    frame = pd.read_csv(tmp_path / "attack_vs_noise_digits.csv")
    large = frame[frame["budget"].isin([1.0, 30.0])]
    assert (large["negated"] < large["noise (negated)"]).all()


@pytest.mark.parametrize(
    ("name", "options"), [("oracle_bound", ()), ("two_layer", ("--seeds", "2"))]
)
def test_theory_examples(tmp_path, name, options):
    result = run_example(f"plot_{name}.py", "--out", tmp_path, *options)
    assert result.returncode == 0, result.stderr
    assert len(pd.read_csv(tmp_path / f"{name}.csv")) > 50
    assert (tmp_path / f"{name}.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("block", README_BLOCKS, ids=range(1, 1 + len(README_BLOCKS)))
def test_readme_block_runs_by_itself(block, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    # A module, as a script is one: pickle looks an own attack's class up in it.
    script = ModuleType("readme_script")
    monkeypatch.setitem(sys.modules, script.__name__, script)
    exec(block, vars(script))
    plt.close("all")
    assert capsys.readouterr().out.strip()
    drawn = set(re.findall(r'savefig\("(.*?)"\)', block))
    assert {path.name for path in tmp_path.iterdir()} == drawn


def test_readme_has_one_X():
    assert len(README_BLOCKS) == 6
    for block in README_BLOCKS:
        assert re.search(r"^X, y = load_digits\(.*\nX = X / 16\b", block, re.M)


def test_readme_and_ci_share_the_test_command():
    command = re.findall(r"```sh\n(.*)\n```", (ROOT / "README.md").read_text())
    assert len(command) == 2
    assert all(line.startswith("python3 -m venv") for line in command)
    end = "-m pytest -n 2 --dist worksteal"
    assert command[1].endswith(end)
    assert f"grep -m1 -- '{end}$' README.md" in (ROOT / ".ci" / "run").read_text()
