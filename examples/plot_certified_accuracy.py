"""
How many changed training rows does a partition ensemble withstand?
===================================================================

This script trains `PartitionEnsemble` with 50 and with 250 partitions on the first 10,000 rows of
MNIST (``SKPOISON_DATA`` names the folder). The certified accuracy at r is the share of test rows
that are predicted right and stay right under any r insertions, removals or label flips.

The script writes ``certified_accuracy.csv``, ``certified_accuracy.png`` and, with the numbers in
words, ``certified_accuracy.txt``.
"""

import argparse
import time
from pathlib import Path

import matplotlib

matplotlib.use("agg")

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from skpoison import MLP, NetClassifier, PartitionEnsemble, fetch_mnist

RADII = [0, 1, 2, 5, 10, 20, 24, 25, 50, 75, 100]

parser = argparse.ArgumentParser()
parser.add_argument("--rows", type=int, default=10_000, help="training rows")
parser.add_argument("--test-rows", type=int, default=10_000)
parser.add_argument("--epochs", type=int, default=50)
parser.add_argument("--seed", type=int, default=0)
parser.add_argument("--out", type=Path, default=Path(), help="folder for table, figure and numbers")
args = parser.parse_args()

X, y = (part[: args.rows] for part in fetch_mnist())
X_test, y_test = (part[: args.test_rows] for part in fetch_mnist(split="test"))
net = NetClassifier(MLP, module__width=64, lr=0.2, batch_size=16, max_epochs=args.epochs)

alone = net.set_params(random_state=args.seed).fit(X, y).score(X_test, y_test)
tables, lines = [], [f"one net on all rows: {alone:.3f}"]
fig, ax = plt.subplots(figsize=(6, 4), layout="constrained")
for n_partitions in (50, 250):
    start = time.process_time()
    ensemble = PartitionEnsemble(net, n_partitions, random_state=args.seed).fit(X, y)
    middle = time.process_time()
    votes, radius = ensemble.votes(X_test), ensemble.certify(X_test)
    end = time.process_time()
    right = ensemble.classes_[votes.argmax(axis=1)] == y_test
    own = votes[np.arange(len(y_test)), np.searchsorted(ensemble.classes_, y_test)]
    withstood = np.where(right, radius, -1)
    certified = [(withstood >= r).mean() for r in range(n_partitions // 2 + 1)]
    tables.append(
        pd.DataFrame({"partitions": n_partitions, "r": range(len(certified)), "share": certified})
    )
    ax.plot(certified, label=f"{n_partitions} partitions")
    sizes = ensemble.partition_sizes_
    lines += [
        f"{n_partitions} partitions of {sizes.min()} to {sizes.max()} rows",
        f"  a member alone: {own.sum() / votes.sum():.3f}; the vote: {right.mean():.3f}",
        f"  withstood by half of the test rows: {int(np.median(withstood))} changes",
        "  certified: "
        + ", ".join(f"{r}: {certified[r]:.3f}" for r in RADII if r < len(certified)),
        f"  CPU seconds: fit {middle - start:.1f}, votes twice {end - middle:.1f}",
    ]
ax.set(xlabel="Rows inserted, removed or relabelled", ylabel="Certified accuracy", ylim=(0, 1))
ax.legend()
fig.savefig(args.out / "certified_accuracy.png", dpi=120)
table = pd.concat(tables)
table.to_csv(args.out / "certified_accuracy.csv", index=False, float_format="%.4f")
(args.out / "certified_accuracy.txt").write_text("\n".join(lines) + "\n")
print("\n".join(lines))
