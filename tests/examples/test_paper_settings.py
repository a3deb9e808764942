"""The page of open settings: what early stopping would have kept, and that a run goes on."""

import json
import sys

import numpy as np
import pandas as pd
import pytest

from skpoison import NetClassifier


@pytest.mark.parametrize(
    ("options", "epoch"),
    [
        ({}, 6),
        ({"epochs": 6}, 1),
        ({"epochs": 6, "tie": "last"}, 3),
        ({"patience": 2}, 1),
        # The tie at epoch 3 begins the waiting anew.
        ({"patience": 2, "tie": "last"}, 3),
        ({"patience": 3, "tie": "last"}, 6),
    ],
    ids=str,
)
def test_the_epoch_that_is_kept(load_script, options, epoch):
    held_out = [0.1, 0.5, 0.4, 0.5, 0.3, 0.4, 0.6]
    assert load_script("settings").kept_epoch(held_out, **{"epochs": 7, **options}) == epoch


def test_settings(load_script, monkeypatch, tmp_path):
    # Fails if a setting is not changed, if an ending is another than its name says, or if a
    # finished fit is repeated.
    script = load_script("settings")
    names = ["base", "last batch kept", "500 rounds, averaged, rows drawn with gaps"]
    names.append("twice the epochs")

    def run():
        options = ["--attacks", "A", "--seeds", "1", "--out", str(tmp_path), "--settings", *names]
        monkeypatch.setattr(sys, "argv", ["settings.py", *options])
        script.main()
        return pd.read_csv(tmp_path / "settings_mnist_smoke.csv").set_index("setting")

    frame = run()
    assert len(frame) == 5 + 2 + 2
    assert set(frame["of"]) == set(names)
    assert frame.loc["no early stopping, 6 epochs", "epoch"] == 5
    assert frame.loc["no early stopping, 12 epochs", "epoch"] == 11
    assert frame.loc["2 epochs", "epoch"] < 2
    base, gaps = frame.loc["base"], frame.loc[names[2]]
    assert base["train_loss"] != frame.loc["last batch kept", "train_loss"]
    assert base["moved"] > 0.9
    assert gaps["mean_norm"] != base["mean_norm"]
    # Clean nets know the poisoned rows less well than their labels were learned.
    assert frame["linear"].between(0, 1).all()
    assert frame["conv"].between(0, 1).all()
    report = json.loads((tmp_path / "settings_mnist_smoke.json").read_text())
    assert report["settings"] == list(frame.index)

    monkeypatch.setattr(NetClassifier, "partial_fit", None)
    pd.testing.assert_frame_equal(run(), frame)


def test_differences_are_paired(load_script):
    scores = {("base", 0): 0.9, ("base", 1): 0.7, ("n", 1): 0.8, ("n", 0): 0.8}
    rows = [
        {"setting": setting, "attack": "B", "seed": seed, "score": score}
        for (setting, seed), score in scores.items()
    ]
    table = load_script("settings").summary(pd.DataFrame(rows)).set_index("setting")
    assert table.loc["base", "B"] == pytest.approx(80)
    assert table.loc["n", "B"] == pytest.approx(0)
    assert table.loc["n", "B std"] == pytest.approx(np.std([-10, 10], ddof=1))


def test_harm_of_two_surrogates(load_script, monkeypatch, tmp_path):
    # Fails if seeds are not paired, or a harm is taken against another net than the clean one.
    script = load_script("surrogate_harm")
    for seeds, file, harm in (("seed", "linear", 0.1), ("repeat", "conv", 0.3)):
        rows = [
            {"protocol": "paper", "attack": attack, "width": 10, seeds: seed, "score": score}
            for seed in (0, 1, 2)
            for attack, score in (("clean", 0.9 + seed / 100), ("A, C = 1", 0.8), ("B, B = 3", 0))
        ]
        frame = pd.DataFrame(rows)
        frame.loc[frame["attack"] == "B, B = 3", "score"] = (
            frame.loc[frame["attack"] == "clean", "score"].to_numpy() - harm
        )
        frame.to_csv(tmp_path / script.TABLES[file], index=False)
    found = [
        {"setting": setting, "attack": attack, "seed": 0, **dict.fromkeys(script.ABOUT, value)}
        for setting, value in (("base", 0.5), ("convolutional surrogate", 0.7))
        for attack in "AB"
    ]
    pd.DataFrame(found).to_csv(tmp_path / "settings_mnist_cpu.csv", index=False)
    folders = [f"--{name}={tmp_path}" for name in ("cells", "settings", "out")]
    monkeypatch.setattr(sys, "argv", ["surrogate_harm.py", *folders])
    script.main()
    harm = pd.read_csv(tmp_path / "surrogate_harm_mnist.csv").set_index("attack")
    row = harm.loc["B"]
    assert row[["linear", "conv", "conv - linear"]].tolist() == pytest.approx([10, 30, 20])
    assert row["conv - linear low"] == pytest.approx(20)
    # Three seeds lose 10, 11 and 12 points to A.
    assert harm.loc["A", "linear"] == pytest.approx(11)
    assert harm.loc["A", "linear low"] < 10
    poison = pd.read_csv(tmp_path / "surrogate_poison_mnist.csv")
    assert poison["surrogate"].tolist() == ["linear", "conv"] * 2
    assert poison["moved"].tolist() == [0.5, 0.7] * 2
