"""The matrix of defences and attacks, with tiny settings."""

import importlib.util
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

SCRIPT = Path(__file__).parents[2] / "examples" / "plot_defence_matrix.py"
KEYS = ["defence", "attack", "metric"]


@pytest.fixture
def script():
    spec = importlib.util.spec_from_file_location(SCRIPT.stem, SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_table_and_picture(script, tmp_path, capsys):
    tiny = ["--rows", "120", "--epochs", "4", "--folds", "2", "--jobs", "1"]
    chosen = ["--attacks", "flips at random", "patch", "--defences", "NeighbourVote"]
    script.main([*tiny, *chosen, "--out", str(tmp_path)])
    table = pd.read_csv(tmp_path / "defence_matrix_digits.csv").set_index(KEYS).sort_index()
    assert table.index.is_unique
    assert set(table["n"]) == {2}
    metrics = {
        "none": {"accuracy", "cost"},
        "flips at random": {"accuracy", "gain"},
        "patch": {"accuracy", "gain", "success", "success_unpoisoned"},
    }
    found = table.reset_index().groupby("attack")["metric"].agg(set).to_dict()
    assert found == metrics
    # Fails if a cost or a gain has the wrong sign, or compares the wrong rows.
    mean = table["mean"]
    none, vote = (mean[name, :, "accuracy"] for name in ("none", "NeighbourVote"))
    assert none["none"] != none["flips at random"]
    assert mean["NeighbourVote", "none", "cost"] == pytest.approx(
        none["none"] - vote["none"], abs=2e-4
    )
    gain = mean["NeighbourVote", "flips at random", "gain"]
    assert gain == pytest.approx(vote["flips at random"] - none["flips at random"], abs=2e-4)
    picture = tmp_path / "defence_matrix_digits.png"
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert "NeighbourVote" in capsys.readouterr().out


def test_every_attack_has_a_strength_and_targets_are_fours(script):
    for setting in script.SETTINGS.values():
        _, _, X_more, y_more = script.load("digits", 100)
        attacks = script.make_attacks(setting, 1, X_more, y_more)
        assert list(attacks) == list(setting["strengths"])
    rows, wanted = attacks["matching"].target
    assert (len(rows), set(wanted)) == (script.TARGETS, {9})
    is_target = (X_more[:, None] == rows).all(axis=2).any(axis=1)
    assert set(y_more[is_target]) == {4}
    # No target is a row of the study.
    X, *_ = script.load("digits", 1700)
    assert not (X[:, None] == np.asarray(rows)).all(axis=2).any()
