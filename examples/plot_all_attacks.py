"""
All attacks against one victim, each beside its control
=======================================================

A good attack does more than a control of the same size. The victim is an `MLP`, in three widths.
The surrogate is an `MLP` of width 100 with a seed of its own. It is trained on the clean rows once
for each seed, and all attacks share it. The controls are:

- for attacks on features, noise that moves each row as far (`RandomNoise`);
- for flips that a surrogate chooses, random flips at the same rate;
- for random flips, clean rows;
- for the backdoor, its labels without its patch.

The score is the accuracy on clean test data. For `GradientMatching` and `BackdoorPatch` it is the
share of answers that the attacker wanted. A seed changes the hold-out, surrogate, victims and
targets.

``--dataset mnist`` needs the files of `fetch_mnist`. With ``--memory`` a run that was killed
continues.
"""

import argparse
import json
import os
import platform
import sys
import time
from importlib.metadata import version
from pathlib import Path

import matplotlib

matplotlib.use("agg")

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from joblib import Memory
from sklearn.datasets import load_digits
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import train_test_split
from threadpoolctl import threadpool_limits
from tqdm import tqdm

from skpoison import (
    MLP,
    BackdoorPatch,
    CleanLabelPGA,
    GradientMatching,
    LabelFlip,
    NetClassifier,
    RandomNoise,
    __version__,
    fetch_mnist,
    fit_many,
)
from skpoison.study import corrected_interval

# plot_attack_vs_noise.py has the same budgets A and B. All were fixed before this was run.
SETTINGS = {
    "digits": {
        "A": 30.0,
        "B": 1.0,
        "matching": 1.5,
        "corner": 2,
        "epochs": 30,
        "widths": [16, 128, 1024],
    },
    "mnist": {
        "A": 200.0,
        "B": 2.0,
        "matching": 3.0,
        "corner": 4,
        "epochs": 10,
        "widths": [16, 64, 256],
    },
}
TRAINING = {"digits": {"lr": 0.5, "batch_size": 32}, "mnist": {"lr": 0.1, "batch_size": 32}}
FLIPS, FRACTION, BACKDOOR = 0.2, 0.1, 0.05
# For each attack: its control, and the score that counts.
CONTROLS = {
    "PGA, A": ("noise, A", "accuracy"),
    "PGA, B": ("noise, B", "accuracy"),
    "flips, random": ("clean", "accuracy"),
    "flips, margin": ("flips, random", "accuracy"),
    "flips, loss": ("flips, random", "accuracy"),
    "matching": ("noise, matching", "success"),
    "backdoor": ("flips, backdoor", "success"),
}


def load(dataset, n, seed):
    """Return X_train, y_train, X_test and y_test, with flat rows."""
    if dataset == "digits":
        X, y = load_digits(return_X_y=True)
        X, X_test, y, y_test = train_test_split(
            X / 16, y, test_size=0.25, stratify=y, random_state=seed
        )
        return X, y, X_test, y_test
    (X, y), (X_test, y_test) = fetch_mnist(), fetch_mnist(split="test")
    X, _, y, _ = train_test_split(X, y, train_size=n, stratify=y, random_state=seed)
    return X.reshape(n, -1), y, X_test.reshape(len(X_test), -1), y_test


def poisons(dataset, data, n_targets, seed):
    """Yield name, training data, and the attack whose `success_rate` counts (or None)."""
    X, y, X_test, y_test = data
    setting, rng = SETTINGS[dataset], np.random.default_rng(seed)
    net = NetClassifier(
        MLP,
        module__width=100,
        random_state=seed,
        max_epochs=setting["epochs"],
        **TRAINING[dataset],
    )
    surrogate = FrozenEstimator(net.fit(X, y))

    def noise(attack):
        bound = {"norm": attack.norm, "budget": attack.budget}
        control = RandomNoise(**bound, norms=attack.perturbation_norms_, random_state=seed)
        return control.poison(X, y)

    yield "clean", (X, y), None
    for regime, norm in (("A", "l2,1"), ("B", "l2,inf")):
        attack = CleanLabelPGA(
            surrogate, norm=norm, budget=setting[regime], max_iter=50, random_state=seed
        )
        yield f"PGA, {regime}", attack.poison(X, y), None
        yield f"noise, {regime}", noise(attack), None
    for selection in ("random", "margin", "loss"):
        attack = LabelFlip(
            FLIPS, sampling="exact", selection=selection, surrogate=surrogate, random_state=seed
        )
        yield f"flips, {selection}", attack.poison(X, y), None
    for row in rng.choice(len(X_test), size=n_targets, replace=False):
        wanted = rng.choice(np.setdiff1d(np.unique(y), y_test[row]))
        attack = GradientMatching(
            surrogate,
            (X_test[[row]], [wanted]),
            budget=setting["matching"],
            max_fraction=FRACTION,
            random_state=seed,
        )
        yield "matching", attack.poison(X, y), attack
        yield "noise, matching", noise(attack), attack
    side = int(np.sqrt(X.shape[1]))
    patch = np.full((side, side), np.nan)
    patch[-setting["corner"] :, -setting["corner"] :] = 1.0
    attack = BackdoorPatch(patch.ravel(), target=0, rate=BACKDOOR, random_state=seed)
    X_stamped, y_stamped = attack.poison(X, y)
    yield "backdoor", (X_stamped, y_stamped), attack
    yield "flips, backdoor", (X, y_stamped), attack


def run_seed(dataset, n, n_targets, seed):
    """Return one row for each victim."""
    data = load(dataset, n, seed)
    X_test, y_test = data[2:]
    names, sets, attacks = zip(*poisons(dataset, data, n_targets, seed), strict=True)
    rows = []
    for width in SETTINGS[dataset]["widths"]:
        victim = {"module__width": width, "max_epochs": SETTINGS[dataset]["epochs"]}
        nets = [
            NetClassifier(MLP, random_state=1000 + seed, **victim, **TRAINING[dataset])
            for _ in names
        ]
        for name, net, attack in zip(names, fit_many(nets, sets), attacks, strict=True):
            row = {"seed": seed, "width": width, "attack": name}
            row["accuracy"] = net.score(X_test, y_test)
            row["success"] = attack.success_rate(net, X_test, y_test) if attack else np.nan
            rows.append(row)
    return rows


def summary(frame, ratio):
    """Compare attacks with controls: means over seeds, and the lead with its 95% interval.

    `ratio` is that of test rows to training rows, for `corrected_interval`.
    """
    # The targets of a seed share its hold-out and victims, so their mean counts once.
    means = frame.groupby(["width", "attack", "seed"])[["accuracy", "success"]].mean()
    lines = []
    for width in frame["width"].unique():
        for name, (control, what) in CONTROLS.items():
            ours, theirs = (means.loc[width, key][what] for key in (name, control))
            ahead = ours - theirs if what == "success" else theirs - ours
            drop = corrected_interval(ahead, ratio)
            lines.append(
                {
                    "width": width,
                    "attack": name,
                    "control": control,
                    "counts": what,
                    "of attack": ours.mean(),
                    "of control": theirs.mean(),
                    "ahead by": drop.mean,
                    "low": drop.low,
                    "high": drop.high,
                    "accuracy": means.loc[width, name]["accuracy"].mean(),
                    "beats": "yes" if drop.low > 0 else "no",
                }
            )
    return pd.DataFrame(lines)


def draw(table, title):
    """Draw how far each attack lies ahead of its control, a panel for each width."""
    widths = table["width"].unique()
    fig, axes = plt.subplots(1, len(widths), figsize=(10, 3.2), sharey=True, layout="constrained")
    for ax, width in zip(axes, widths, strict=True):
        part = table[table["width"] == width][::-1]
        error = [part["ahead by"] - part["low"], part["high"] - part["ahead by"]]
        ax.errorbar(part["ahead by"], part["attack"], xerr=error, fmt="o", capsize=3)
        ax.axvline(0, color="gray", linewidth=1)
        ax.set(title=f"width {width}", xlabel="Ahead of its control by")
    fig.suptitle(title)
    return fig


parser = argparse.ArgumentParser(description="All attacks, each beside its control.")
parser.add_argument("--dataset", choices=sorted(SETTINGS), default="digits")
parser.add_argument("--n", type=int, default=10_000, help="training rows of MNIST")
parser.add_argument("--seeds", type=int, default=5)
parser.add_argument("--targets", type=int, default=4, help="random targets for each seed")
parser.add_argument("--memory", help="folder of finished seeds")
parser.add_argument("--out", type=Path, default=Path())
args = parser.parse_args()

start = time.process_time()
run = Memory(args.memory, verbose=0).cache(run_seed)
with threadpool_limits(1):
    rows = [
        row
        for seed in tqdm(range(args.seeds))
        for row in run(args.dataset, args.n, args.targets, seed)
    ]
frame = pd.DataFrame(rows)
# Hold-outs of digits overlap. Samples of MNIST hardly do, and share the test set: their intervals
# speak about samples and seeds, on these test rows.
table = summary(frame, 1 / 3 if args.dataset == "digits" else 0.0)
print(table.round(3).to_string(index=False))

args.out.mkdir(parents=True, exist_ok=True)
stem = args.out / f"all_attacks_{args.dataset}"
frame.to_csv(f"{stem}.csv", index=False)
table.round(4).to_csv(f"{stem}_table.csv", index=False)
title = f"{args.dataset}: mean and 95% interval over {args.seeds} seeds"
draw(table, title).savefig(f"{stem}.png", dpi=150)
packages = ("torch", "scikit-learn", "skorch", "numpy")
report = {
    "command": [Path(sys.argv[0]).name, *sys.argv[1:]],
    "settings": {**SETTINGS[args.dataset], **TRAINING[args.dataset]},
    "versions": {"skpoison": __version__, "python": platform.python_version()}
    | {name: version(name) for name in packages},
    "machine": {"cores": os.cpu_count(), "architecture": platform.machine()},
    # Seeds that an earlier run left in --memory are not in this time.
    "cpu_time_s": round(time.process_time() - start, 1),
}
Path(f"{stem}.json").write_text(json.dumps(report, indent=1) + "\n")
