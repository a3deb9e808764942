"""
A toy in which the robustness curve is an inverted U
====================================================

Two Gaussians in the plane, at (-5, 0) and (5, 0) with unit covariance; every point is scaled to
norm 1. A two-layer ReLU net without biases learns them in one pass of SGD, one point at a time: its
top weights are random signs and stay fixed (Section 3 of the paper). Regime B moves each training
point by 0.975 along the first axis towards the other class. Regime C flips 40% of the labels. The
test points are clean.

The theory divides the net's output by the root of the width m, and bounds the rate of SGD. Here the
output is not divided. A step of SGD at a fixed rate then changes the outputs in proportion to m.
``--variants`` takes this cause away, one factor at a time:

===================  ===========================================================================
base                 outputs are not divided, rate 0.1, one pass
scaled               outputs are divided by sqrt(m), rate 1
scaled_rate_m        outputs are divided by sqrt(m), rate 0.1 m: the steps of "base" in function
                     space, from initial outputs of size 1
rate_1_over_m        outputs are not divided, rate 0.1 up to width 64, then 6.4 / m
ten_passes           as "base", ten passes over the points
cross_entropy        as "base", with the cross-entropy of the two outputs as the loss
===================  ===========================================================================

Each repeat draws its own points, weights, signs and flips, the same for all variants and widths as
far as it goes. Differences between widths are paired over repeats. The first half of the repeats
chooses the best width, and the second half compares both ends with it.
"""

import argparse
import json
import math
import sys
import time
from pathlib import Path

import matplotlib

matplotlib.use("agg")

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch
from _common import machine

from skpoison import LabelFlip, __version__, use_threads
from skpoison.attacks import BaseFeatureAttack
from skpoison.study import corrected_interval

N_TRAIN, N_TEST = 800, 200
WIDTHS = [4, 8, 16, 64, 256, 512, 1024, 2048, 4096, 16_384, 65_536]
ATTACKS = ("clean", "B", "C")
VARIANTS = ("base", "scaled", "scaled_rate_m", "rate_1_over_m", "ten_passes", "cross_entropy")
# Weights that are trained at a time: as many as stay in the processor's cache.
CACHED = 2**16


class Shift(BaseFeatureAttack):
    """Regime B: move each point along the first axis, towards the other class."""

    def _perturb(self, X, y, random_state):
        delta = np.zeros_like(X)
        delta[:, 0] = np.where(y == 0, self.budget, -self.budget)
        return delta


def draw_points(n, random_state):
    """Points (n, 2) of norm 1, and their labels, 0 around (-5, 0) and 1 around (5, 0)."""
    y = random_state.randint(2, size=n)
    X = random_state.normal(size=(n, 2))
    X[:, 0] += np.where(y == 0, -5, 5)
    return X / np.linalg.norm(X, axis=1, keepdims=True), y


def attack_of(name, seed):
    """The attack of a regime."""
    if name == "B":
        return Shift(norm="l2,inf", budget=0.975, clip=None)
    return LabelFlip(0.4, sampling="exact", random_state=seed)


def data_of(attack, seeds):
    """Points and labels for each repeat: training X (r, n, 2), y (r, n), and clean test data."""
    parts = []
    for seed in seeds:
        random_state = np.random.RandomState(seed)
        X, y = draw_points(N_TRAIN, random_state)
        test = draw_points(N_TEST, random_state)
        if attack != "clean":
            X, y = attack_of(attack, seed).poison(X, y)
        parts.append((X, y, *test))
    X, y, X_test, y_test = map(np.stack, zip(*parts, strict=True))
    as_float = [torch.tensor(part, dtype=torch.float32) for part in (X, X_test)]
    return as_float[0], torch.tensor(y), as_float[1], torch.tensor(y_test)


def draw_nets(width, seeds):
    """For each repeat, weights (r, 2, m), PyTorch's for two inputs, and signs (r, m, 2)."""
    weights, signs = [], []
    for seed in seeds:
        generator = torch.Generator().manual_seed(int(seed))
        bound = 1 / math.sqrt(2)
        weights.append(torch.empty(2, width).uniform_(-bound, bound, generator=generator))
        signs.append(torch.randint(2, (width, 2), generator=generator) * 2.0 - 1)
    return torch.stack(weights), torch.stack(signs)


def train(weights, signs, X, y, *, lr, scale=1.0, n_passes=1, loss="binary"):
    """Train a net on each repeat's points, in their order, and return the weights.

    The net of a repeat maps x to the two outputs f_k(x) = scale sum_s a_sk relu(<w_s, x>).

    Parameters
    ----------
    weights : Tensor of shape (n_repeats, 2, width)
        The w_s at the start.
    signs : Tensor of shape (n_repeats, width, 2)
        The a_sk.
    X : Tensor of shape (n_repeats, n, 2)
    y : Tensor of shape (n_repeats, n), integers
    lr, scale : float
    n_passes : int
    loss : {"binary", "cross_entropy"}
        "binary": the mean over k of the binary cross-entropy of f_k against [y = k].
        "cross_entropy": the cross-entropy of both outputs.

    Returns
    -------
    weights : Tensor of shape (n_repeats, 2, width)
    """
    weights = weights.clone()
    wanted = torch.nn.functional.one_hot(y, 2).to(X)
    for t in [*range(X.shape[1])] * n_passes:
        x = X[:, t, None]
        hidden = torch.bmm(x, weights).relu_()
        outputs = torch.bmm(hidden, signs) * scale
        if loss == "binary":
            slopes = (outputs.sigmoid() - wanted[:, t, None]) / 2
        else:
            slopes = outputs.softmax(dim=2) - wanted[:, t, None]
        # The slope in each hidden unit: 0 where it is off.
        pull = torch.bmm(slopes, signs.mT).mul_(hidden > 0)
        weights.baddbmm_(x.mT, pull, alpha=-lr * scale)
    return weights


def accuracy(weights, signs, X, y):
    """The share of points whose larger output is the label's, for each repeat."""
    outputs = torch.bmm(torch.bmm(X, weights).relu_(), signs)
    return (outputs.argmax(dim=2) == y).double().mean(dim=1)


def settings_of(variant, width):
    """Rate, scale of the outputs and number of passes."""
    root = 1 / math.sqrt(width)
    return {
        "base": {"lr": 0.1},
        "scaled": {"lr": 1.0, "scale": root},
        "scaled_rate_m": {"lr": 0.1 * width, "scale": root},
        "rate_1_over_m": {"lr": 0.1 * min(1, 64 / width)},
        "ten_passes": {"lr": 0.1, "n_passes": 10},
        "cross_entropy": {"lr": 0.1, "loss": "cross_entropy"},
    }[variant]


def scores_of(variant, attack, width, n_repeats):
    """Clean test accuracy of each repeat at a width."""
    size = max(1, CACHED // (2 * width))
    scores = []
    for start in range(0, n_repeats, size):
        seeds = range(start, min(start + size, n_repeats))
        X, y, X_test, y_test = data_of(attack, seeds)
        weights, signs = draw_nets(width, seeds)
        weights = train(weights, signs, X, y, **settings_of(variant, width))
        scores.append(accuracy(weights, signs, X_test, y_test))
    return torch.cat(scores).numpy()


def compute(variant, widths, n_repeats):
    """A table with a row for each attack, width and repeat."""
    rows = []
    for attack in ATTACKS:
        for width in widths:
            start = time.perf_counter()
            scores = scores_of(variant, attack, width, n_repeats)
            seconds = time.perf_counter() - start
            print(f"{variant} {attack} {width} {scores.mean():.4f} {seconds:.1f} s", flush=True)
            rows += [
                {"variant": variant, "attack": attack, "width": width, "repeat": k, "score": score}
                for k, score in enumerate(scores)
            ]
    return pd.DataFrame(rows)


def verdicts(table):
    """Both ends against the best width: a row for each variant and attack.

    The first half of the repeats chooses the best width, the second half gives paired differences.
    """
    rows = []
    for (variant, attack), part in table.groupby(["variant", "attack"], sort=False):
        scores = part.pivot(index="repeat", columns="width", values="score")
        half = len(scores) // 2
        best = scores[:half].mean().idxmax()
        row = {"variant": variant, "attack": attack, "best_width": best}
        row["best_score"] = scores[best][half:].mean()
        for end, width in (("narrow", scores.columns.min()), ("wide", scores.columns.max())):
            drop = corrected_interval((scores[best] - scores[width])[half:], 0)
            row |= {f"{end}_drop": drop.mean, f"{end}_low": drop.low, f"{end}_high": drop.high}
        row["is_u"] = bool(row["narrow_low"] > 0 and row["wide_low"] > 0)
        rows.append(row)
    return pd.DataFrame(rows)


def draw(table):
    """Mean accuracy over width with 95% intervals, a panel for each variant."""
    variants = table["variant"].unique()
    figure, axes = plt.subplots(
        1, len(variants), figsize=(1 + 4 * len(variants), 3.6), sharey=True, squeeze=False
    )
    for ax, variant in zip(axes[0], variants, strict=True):
        for attack in ATTACKS:
            part = table[(table["variant"] == variant) & (table["attack"] == attack)]
            found = {
                width: corrected_interval(scores, 0)
                for width, scores in part.groupby("width")["score"]
            }
            means, lows, highs = np.array([*found.values()]).T
            line = ax.plot([*found], means, marker="o", markersize=4, label=attack)[0]
            ax.fill_between([*found], lows, highs, alpha=0.2, color=line.get_color())
        ax.set(xscale="log", xlabel="width m", title=variant if len(variants) > 1 else "")
    axes[0, 0].set_ylabel("accuracy on clean points")
    axes[0, -1].legend(title="trained on")
    figure.tight_layout()
    return figure


def main():
    parser = argparse.ArgumentParser(description=__doc__.strip().splitlines()[0])
    parser.add_argument("--variants", nargs="+", choices=VARIANTS, default=["base"])
    parser.add_argument("--widths", type=int, nargs="+", default=WIDTHS)
    parser.add_argument("--repeats", type=int, default=500)
    parser.add_argument("--out", type=Path, default=Path(), help="folder of the results")
    parser.add_argument("--stem", default="toy", help="how their names begin")
    args = parser.parse_args()
    start = time.perf_counter()
    with use_threads(1):
        table = pd.concat(compute(name, args.widths, args.repeats) for name in args.variants)
    found = verdicts(table)
    print(found.to_string(index=False, float_format="{:.4f}".format))
    args.out.mkdir(parents=True, exist_ok=True)
    means = table.groupby(["variant", "attack", "width"], sort=False)["score"]
    means.agg(["mean", "std", "count"]).reset_index().to_csv(
        args.out / f"{args.stem}.csv", index=False
    )
    found.to_csv(args.out / f"{args.stem}_verdicts.csv", index=False)
    draw(table).savefig(args.out / f"{args.stem}.png", dpi=150)
    facts = {
        "command": [Path(sys.argv[0]).name, *sys.argv[1:]],
        "versions": {"skpoison": __version__, "torch": torch.__version__, "numpy": np.__version__},
        "machine": machine(),
        "wall_time_s": round(time.perf_counter() - start, 1),
    }
    (args.out / f"{args.stem}.json").write_text(json.dumps(facts, indent=1) + "\n")


if __name__ == "__main__":
    main()
