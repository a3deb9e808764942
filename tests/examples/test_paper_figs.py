"""The scripts of Figures 1 and 2 and of the attack's strength, at the scale "smoke"."""

import json
import signal
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from test_paper_fig3 import COUNTING, run_script

from skpoison import Linear, NetClassifier, project_l2inf, project_l21

FOLDER = Path(__file__).parents[2] / "examples" / "paper"


def read(folder, stem):
    """The table that a script wrote, its other files checked."""
    report = json.loads((folder / f"{stem}.json").read_text())
    assert {"command", "arguments", "versions", "machine", "wall_time_s"} <= report.keys()
    assert (folder / f"{stem}.png").read_bytes().startswith(b"\x89PNG")
    return pd.read_csv(folder / f"{stem}.csv")


def kill_and_go_on(tmp_path, name, stem, n_fits, limit):
    """Run a script whole, and killed before its fit `limit` and again; returns the table."""

    def counted(run, limit):
        files = ("--out", tmp_path / run, "--memory", tmp_path / f"memory of {run}")
        script = FOLDER / f"{name}.py"
        arguments = ("-c", COUNTING, script, tmp_path / f"{run}.log", str(limit), *files)
        return run_script(*arguments, before=())

    def fits(run):
        return len((tmp_path / f"{run}.log").read_text().splitlines())

    whole = counted("whole", -1)
    assert whole.returncode == 0, whole.stderr
    assert fits("whole") == n_fits
    assert counted("killed", limit).returncode == -signal.SIGKILL
    assert fits("killed") == limit
    assert not (tmp_path / "killed").exists()
    again = counted("killed", -1)
    assert again.returncode == 0, again.stderr
    # Fails if a finished fit is repeated: the surrogates' or a victim's.
    assert fits("killed") == n_fits
    frame = read(tmp_path / "whole", stem)
    pd.testing.assert_frame_equal(read(tmp_path / "killed", stem), frame, check_exact=True)
    return frame


def test_fig1_goes_on_and_says_what_it_saw(tmp_path):
    stem = "fig1_linear_mnist_smoke"
    # Two seeds: a surrogate, the clean victim, and three C under two losses.
    frame = kill_and_go_on(tmp_path, "fig1_negated_loss", stem, 2 * (1 + 1 + 3 * 2), 5)
    assert not frame.duplicated(["loss", "rate", "seed"]).any()
    assert len(frame) == 2 * (1 + 3 * 2)
    means = frame.groupby(["loss", "rate"])[["accuracy", "untouched", "spent"]].mean()
    assert means["accuracy"]["none", 0] > 0.9
    # Where the losses put the budget: the paper's claim, and the attack's loss at work.
    assert (means["untouched"]["cross_entropy"] > 0.3).all()
    assert (means["untouched"]["negated"] < 0.05).all()
    assert (means.loc[["negated", "cross_entropy"], "spent"] > 0.99).all()
    assert means["accuracy"]["negated", 120] < means["accuracy"]["cross_entropy", 120]


def test_fig2_goes_on_and_keeps_the_promises(tmp_path):
    stem = "fig2_mnist_smoke"
    frame = kill_and_go_on(tmp_path, "fig2_convex", stem, 1 + 3 * 7, 9)
    assert not frame.duplicated(["n", "rate", "seed"]).any()
    poisoned = frame[frame["rate"] > 0]
    # Proposition 2.1 and Theorem 2.2, with the constants of the script.
    assert poisoned["largest_share_of_promise"].between(0.001, 1).all()
    assert (poisoned["perturbation_measured"] <= poisoned["perturbation_promised"]).all()
    assert (poisoned["excess_loss"] < poisoned["bound"]).all()
    assert (frame["spent"] <= frame["rate"] * (1 + 1e-4)).all()
    loss = frame.groupby(["rate", "n"])["excess_loss"].mean()
    assert loss[50].is_monotonic_decreasing
    assert (loss[0] < loss[50]).all()


def test_fig2_gradient_changes_by_autograd(load_script, digits):
    script = load_script("fig2_convex")
    X, y = digits[0][:20], digits[1][:20]
    net = NetClassifier(Linear, max_epochs=2, random_state=0).fit(*digits)
    moved = np.clip(X + np.random.default_rng(0).normal(scale=0.3, size=X.shape), 0, 1)

    def gradient(row, label):
        net.module_.zero_grad()
        logits = net.logits(torch.tensor(row[np.newaxis]))
        code = torch.tensor([label], device=logits.device)
        torch.nn.functional.cross_entropy(logits, code).backward()
        gradients = torch.cat([p.grad.flatten() for p in net.module_.parameters()])
        return gradients.double().cpu().numpy()

    expected = [
        np.linalg.norm(gradient(row, label) - gradient(new, label))
        for row, new, label in zip(X, moved, y, strict=True)
    ]
    np.testing.assert_allclose(script.gradient_changes(net, X, moved, y), expected, rtol=1e-4)


def test_fig1_of_a_deep_net(tmp_path):
    arguments = ("--model", "alexnet", "--dataset", "cifar10", "--out", tmp_path)
    script = FOLDER / "fig1_negated_loss.py"
    result = run_script(*arguments, "--seeds", "1", before=(script,))
    assert result.returncode == 0, result.stderr
    frame = read(tmp_path, "fig1_alexnet_cifar10_smoke")
    assert len(frame) == 1 + 2
    result = run_script(*arguments, "--dataset", "mnist", before=(script,))
    assert result.returncode == 2
    assert "error: --model alexnet must have --dataset cifar10, got mnist" in result.stderr


@pytest.mark.parametrize("reading", ["mean", "sum", "unit"])
def test_recipe_is_the_papers_batch_after_batch(load_script, digits, reading):
    script = load_script("attack_strength")
    X, y = digits[0].astype(np.float32), digits[1]
    net = script.CountingNet(Linear, max_epochs=5, random_state=0).fit(X, y)
    norm, budget = ("l2,inf", 0.2) if reading == "unit" else ("l2,1", 0.05)
    delta = script.recipe(
        net,
        X,
        y,
        norm=norm,
        budget=budget,
        reading=reading,
        n_epochs=4,
        generator=torch.Generator().manual_seed(3),
    )
    assert net.rows == 4 * len(X)

    # To the letter: 300 rows are batches of 128, 128 and 44.
    generator = torch.Generator().manual_seed(3)
    rows, codes = (torch.tensor(values, device=net.device_) for values in (X, y))
    expected = torch.zeros_like(rows)
    for _ in range(4):
        for batch in torch.randperm(300, generator=generator).split(128):
            moved = (rows[batch] + expected[batch]).requires_grad_()
            loss = script.negated_loss(net, moved, codes[batch])
            loss = loss.mean() if reading == "mean" else loss.sum()
            (gradient,) = torch.autograd.grad(loss, moved)
            if reading == "unit":
                gradient = gradient / gradient.norm(dim=1, keepdim=True)
            expected[batch] = (moved.detach() + 0.1 * gradient).clamp(0, 1) - rows[batch]
        if norm == "l2,1":
            expected = project_l21(expected, budget * np.sqrt(300))
        else:
            expected = project_l2inf(expected, budget)
    np.testing.assert_allclose(delta, expected.cpu().numpy(), atol=1e-6)
    assert np.abs(delta).max() > 1e-4


def test_a_recipe_with_gaps_leaves_rows_out(load_script, digits):
    # Fails if gaps are drawn without replacement (none), once for all rounds, or if `step` is not
    # the step.
    script = load_script("attack_strength")
    X, y = digits[0].astype(np.float32), digits[1]
    net = script.CountingNet(Linear, max_epochs=5, random_state=0).fit(X, y)

    def moved(n_epochs, step=0.1):
        generator = torch.Generator().manual_seed(0)
        options = {"norm": "l2,inf", "budget": 9.0, "reading": "sum", "generator": generator}
        delta = script.recipe(net, X, y, n_epochs=n_epochs, with_gaps=True, step=step, **options)
        return np.abs(delta).reshape(len(X), -1).max(axis=1)

    assert 0.55 < (moved(1) > 0).mean() < 0.71  # 1 - 1/e
    assert (moved(4) > 0).mean() > 0.95
    assert moved(1).mean() < moved(1, step=0.2).mean()


def test_attack_strength(tmp_path):
    script = FOLDER / "attack_strength.py"
    result = run_script("--seeds", "1", "--out", tmp_path, before=(script,))
    assert result.returncode == 0, result.stderr
    frame = read(tmp_path, "attack_strength_linear_mnist_smoke")
    assert len(frame) == 6
    assert (frame["gradients_recipe"] == 50).all()
    assert (frame["gradients_ours"] <= 10).all()
    # Equal spent budget, and with a fifth of the gradients no less loss than a hair.
    np.testing.assert_allclose(frame["spent_ours"], frame["spent"], rtol=0.01)
    risen = frame[["loss_recipe", "loss_ours"]].sub(frame["loss_clean"], axis=0)
    assert (risen["loss_ours"] > 0.99 * risen["loss_recipe"]).all()
