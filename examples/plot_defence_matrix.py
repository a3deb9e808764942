"""
Every defence against every attack
==================================

Which attack defeats which defence, and what does a defence cost if nobody attacks? This script
trains each defence on data poisoned by each attack, in one study for each attack. All defences of a
study see the same five folds, poisoned rows and seeds, so that their differences are paired. The
attacks know the net without a defence, and not the defence.

It writes ``defence_matrix_DATA.csv``, with one line for each defence, attack and metric:

- ``accuracy``: on clean rows; the attack "none" is training without an attack.
- ``cost``: accuracy without a defence less accuracy with it, both without an attack.
- ``gain``: accuracy with the defence less accuracy without it, both under the attack.
- ``success``: the share of the attack's wishes that come true, where it has any: rows with the
  patch that get its label, or targets that get the label that `GradientMatching` wants.
- ``success_unpoisoned``: the same share for training without the attack.

``low`` and ``high`` are the 95% interval of the mean over ``n`` folds, which is corrected for folds
that share training rows. Such an interval may go beyond 0 or 1. The picture,
``defence_matrix_DATA.png``, has a number for each cell, and half the width of its interval.
"""

import argparse
import tempfile
import time
from pathlib import Path

import matplotlib

matplotlib.use("agg")

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from sklearn.datasets import load_digits

from skpoison import (
    MLP,
    ActivationClustering,
    BackdoorPatch,
    CleanLabelPGA,
    DeepKNN,
    FilteredClassifier,
    GradientMatching,
    LabelFlip,
    LossTrimming,
    NeighbourVote,
    NetClassifier,
    PartitionEnsemble,
    RandomNoise,
    SmoothedLabelClassifier,
    SpectralSignatures,
    fetch_mnist,
    robustness_curve,
)
from skpoison.study import corrected_interval

# Budgets and sizes, fixed before the matrix. Surrogate, targets and learning rate were tried on one
# split before.
SETTINGS = {
    "digits": {
        "rows": 1700,
        "epochs": 30,
        "strengths": {
            "flips at random": 0.2,
            "flips by loss": 0.2,
            "PGA, l2,1": 30.0,
            "PGA, l2,inf": 1.0,
            "matching": 2.0,
            "patch": 0.011,  # A tenth of the target's class.
            "noise": 1.0,  # As many units as "PGA, l2,inf".
        },
        "corner": 2,
        "partitions": 20,
        "alpha": 10.0,
    },
    "mnist": {
        "rows": 10_000,
        "epochs": 10,
        "strengths": {
            "flips at random": 0.2,
            "flips by loss": 0.2,
            "PGA, l2,1": 400.0,
            "PGA, l2,inf": 3.0,
            "matching": 5.0,
            "patch": 0.011,
            "noise": 3.0,
        },
        "corner": 4,
        "partitions": 50,
        "alpha": 1000.0,
    },
}
TARGETS = 3  # Rows that `GradientMatching` wants to be called 9; they are fours.


def load(data, n_rows):
    """X and y to study, and more rows from which targets are taken; rows are flat."""
    if data == "digits":
        X, y = load_digits(return_X_y=True)
        order = np.random.default_rng(0).permutation(len(y))
        X, y = (X[order] / 16).astype(np.float32), y[order]
        return X[:n_rows], y[:n_rows], X[1700:], y[1700:]
    (X, y), (X_more, y_more) = fetch_mnist(), fetch_mnist(split="test")
    return X[:n_rows].reshape(n_rows, -1), y[:n_rows], X_more.reshape(len(X_more), -1), y_more


def make_net(epochs, width=64, **options):
    return NetClassifier(
        MLP, module__width=width, lr=0.2, batch_size=32, max_epochs=epochs, **options
    )


def make_defences(setting, epochs):
    """The victims, by name. "none" is the net without a defence."""
    net = make_net(epochs)
    filters = (SpectralSignatures(net, 0.1), ActivationClustering(net), DeepKNN(net))
    member = make_net(epochs).set_params(batch_size=16)
    return {
        "none": net,
        "LossTrimming": LossTrimming(net, fraction=0.2),
        "PartitionEnsemble": PartitionEnsemble(member, setting["partitions"]),
        "SmoothedLabelClassifier": SmoothedLabelClassifier(setting["alpha"]),
        **{type(one).__name__: FilteredClassifier(net, one) for one in filters},
        "NeighbourVote": FilteredClassifier(net, NeighbourVote()),
        "early stopping": make_net(epochs, early_stopping=True, n_iter_no_change=3),
        "a narrower net": make_net(epochs, width=8),
    }


def make_attacks(setting, epochs, X_more, y_more):
    """The attacks, by name; a study sets their strength."""
    net = make_net(epochs)
    side = round(X_more.shape[1] ** 0.5)
    patch = np.full((side, side), np.nan)
    patch[-setting["corner"] :, -setting["corner"] :] = 1.0
    fours = np.flatnonzero(y_more == 4)[:TARGETS]
    target = X_more[fours], np.full(len(fours), 9)
    return {
        "flips at random": LabelFlip(sampling="exact"),
        "flips by loss": LabelFlip(sampling="exact", selection="loss", surrogate=net),
        "PGA, l2,1": CleanLabelPGA(net, norm="l2,1", max_iter=50),
        "PGA, l2,inf": CleanLabelPGA(net, norm="l2,inf", max_iter=50),
        "matching": GradientMatching(net, target, max_fraction=0.1, max_iter=50),
        "patch": BackdoorPatch(patch.ravel(), target=0),
        "noise": RandomNoise(norm="l2,inf"),
    }


def run_study(defences, X, y, attack, strength, **options):
    """Scores by metric, defence and strength (0, and that of the attack), of shape (folds,)."""
    scoring = {"accuracy": "accuracy"}
    if hasattr(attack, "success_rate"):
        scoring["success"] = attack.success_rate
    curves = robustness_curve(
        defences,
        X,
        y,
        attacks={"attack": attack},
        param_name="strength",
        param_range=[0, strength],
        scoring=scoring,
        error_score="raise",
        random_state=0,
        **options,
    )
    return {
        metric: {name: curve.scores["attack"] for name, curve in of_metric.items()}
        for metric, of_metric in curves.items()
    }


def lines_of(scores, attack, strength, ratio):
    """Dicts of the lines of the table: those of one attack and of training without one."""

    def line(defence, attack, strength, metric, values):
        mean, low, high = corrected_interval(values, ratio)
        head = {"defence": defence, "attack": attack, "strength": strength, "metric": metric}
        return head | {"mean": mean, "low": low, "high": high, "n": len(values)}

    accuracy = scores["accuracy"]
    for defence, (clean, attacked) in accuracy.items():
        yield line(defence, "none", 0.0, "accuracy", clean)
        yield line(defence, attack, strength, "accuracy", attacked)
        if defence != "none":
            yield line(defence, "none", 0.0, "cost", accuracy["none"][0] - clean)
            yield line(defence, attack, strength, "gain", attacked - accuracy["none"][1])
    for defence, (clean, attacked) in scores.get("success", {}).items():
        yield line(defence, attack, 0.0, "success_unpoisoned", clean)
        yield line(defence, attack, strength, "success", attacked)


def draw(table, path):
    """A heat map for each of cost, accuracy and success, with the numbers in the cells."""
    panels = {
        "cost": ("Cost", "Reds", (0, 0.2)),
        "accuracy": ("Accuracy on clean rows under the attack", "viridis", (0.4, 1)),
        "success": ("Success of the attack", "Reds", (0, 1)),
    }
    parts = {metric: table[table["metric"] == metric] for metric in panels}
    parts = {metric: part for metric, part in parts.items() if len(part)}
    defences = table["defence"].unique()
    sizes = [part["attack"].nunique() for part in parts.values()]
    _, axes = plt.subplots(
        1,
        len(parts),
        figsize=(3 + 0.95 * sum(sizes), 0.6 * len(defences) + 1.5),
        width_ratios=sizes,
        sharey=True,
        squeeze=False,
        layout="constrained",
    )
    for ax, (metric, part) in zip(axes[0], parts.items(), strict=True):
        title, colours, (low, high) = panels[metric]
        attacks = part["attack"].unique()
        part = part.set_index(["defence", "attack"])
        grid = part["mean"].unstack().reindex(index=defences, columns=attacks)
        ax.imshow(grid, cmap=colours, vmin=low, vmax=high, aspect="auto")
        for i, j in np.argwhere(grid.notna().to_numpy()):
            cell = part.loc[(defences[i], attacks[j])]
            shade = np.clip((cell["mean"] - low) / (high - low), 0, 1)
            is_dark = shade < 0.5 if colours == "viridis" else shade > 0.6
            text = f"{cell['mean']:.2f}\n±{(cell['high'] - cell['low']) / 2:.2f}"
            ax.text(
                j, i, text, ha="center", va="center", size=8, color="white" if is_dark else "black"
            )
        ax.set_xticks(range(len(attacks)), attacks, rotation=40, ha="right")
        ax.set_yticks(range(len(defences)), defences)
        ax.set_title(title, size=10)
    plt.savefig(path, dpi=130)
    plt.close()


def main(arguments=None):
    parser = argparse.ArgumentParser(description="Accuracy of each defence under each attack.")
    parser.add_argument("--data", choices=list(SETTINGS), default="digits")
    parser.add_argument("--rows", type=int, help="rows to study (default: 1,700 or 10,000)")
    parser.add_argument("--epochs", type=int, help="of each net (default: 30 or 10)")
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--defences", nargs="+", help="names beside 'none' (default: all)")
    parser.add_argument("--attacks", nargs="+", help="names (default: all)")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--out", type=Path, default=Path(), help="folder for table and picture")
    args = parser.parse_args(arguments)
    setting = SETTINGS[args.data]
    epochs = args.epochs or setting["epochs"]
    X, y, X_more, y_more = load(args.data, args.rows or setting["rows"])
    defences = make_defences(setting, epochs)
    chosen = ["none", *(args.defences or defences)]
    defences = {name: defences[name] for name in dict.fromkeys(chosen)}
    attacks = make_attacks(setting, epochs, X_more, y_more)
    args.out.mkdir(parents=True, exist_ok=True)
    stem = args.out / f"defence_matrix_{args.data}"

    lines = []
    # Studies with the same scorers share their fits on clean rows.
    with tempfile.TemporaryDirectory() as memory:
        for name in args.attacks or attacks:
            start, strength = time.monotonic(), setting["strengths"][name]
            options = {"cv": args.folds, "n_jobs": args.jobs, "memory": memory}
            scores = run_study(defences, X, y, attacks[name], strength, **options)
            lines += lines_of(scores, name, strength, ratio=1 / (args.folds - 1))
            # At once, so that a run that is stopped has written what it has done. Training
            # without an attack is the same in all studies, and stands in the table once.
            table = pd.DataFrame(lines).drop_duplicates(["defence", "attack", "strength", "metric"])
            table.to_csv(stem.with_suffix(".csv"), index=False, float_format="%.4f")
            print(f"{name}: {time.monotonic() - start:.0f} s", flush=True)
    draw(table, stem.with_suffix(".png"))
    of_accuracy = table[table["metric"] == "accuracy"]
    means = of_accuracy.pivot(index="defence", columns="attack", values="mean")
    print(means.loc[list(defences)].round(3).to_string())


if __name__ == "__main__":
    main()
