"""
The certificate of a partition ensemble beside its paper's own table
====================================================================

This script trains a `PartitionEnsemble` of small convolutional nets on all rows of MNIST or
CIFAR-10 (``SKPOISON_DATA`` names the folder), and certifies the 10,000 test rows in both kinds of
election. Levine and Feizi (ICLR 2021, Table 1) do so with 1,200 and 3,000 partitions of MNIST, and
with 50 of CIFAR-10.

A run on MNIST with 1,200 takes a quarter of an hour of one idle core. It adds its rows to
``certified_mnist.csv`` (one row for each ensemble, beside the paper's) and to
``certified_mnist_curves.csv`` (certified accuracy at each r), and draws ``certified_mnist.png``
from all curves that are there. ``--data cifar10`` writes ``certified_cifar10.csv`` and so on; it
checks no checksum, so that JPEG copies of the images will do.
"""

import argparse
import resource
import time
from functools import partial
from pathlib import Path

import matplotlib

matplotlib.use("agg")

import numpy as np
import pandas as pd
import torch
from torch import nn
from torch.nn import functional as F

from skpoison import (
    CertifiedAccuracyDisplay,
    NetClassifier,
    PartitionEnsemble,
    fetch_cifar10,
    fetch_mnist,
)

KEYS = ["partitions", "spread", "vote", "seed"]
COLUMNS = ["partitions", "spread", "vote", "member", "clean", "median_certified"]
PAPER = {
    "mnist": [
        (1200, 1, "majority", 0.7700, 0.9581, 448),
        (3000, 1, "majority", 0.4959, 0.9335, 509),
    ],
    "cifar10": [(50, 1, "majority", 0.5630, 0.7013, 9)],
}


class Jitter(nn.Module):
    """Turns, scales, slants and moves each image at random, in training only."""

    def forward(self, X):
        if not self.training:
            return X
        turn, slant, grow, right, down = torch.rand(5, len(X)) * 2 - 1
        turn, slant, grow = 0.3 * turn, 0.3 * slant, 1 + 0.15 * grow
        right, down = right / 7, down / 7  # 2 of the 14 pixels between centre and edge.
        first = torch.stack([grow * turn.cos(), slant - turn.sin(), right], dim=1)
        second = torch.stack([turn.sin(), grow * turn.cos(), down], dim=1)
        places = F.affine_grid(torch.stack([first, second], dim=1), X.shape, align_corners=False)
        return F.grid_sample(X, places, align_corners=False)


class Mirror(nn.Module):
    """Mirrors half of the images, and moves each by up to 4 pixels, in training only."""

    def forward(self, X):
        if not self.training:
            return X
        X = torch.where(torch.rand(len(X), 1, 1, 1) < 0.5, X.flip(3), X)
        down, right = torch.randint(9, (2, len(X)))
        rows, columns = torch.arange(32) + down[:, None], torch.arange(32) + right[:, None]
        images = torch.arange(len(X))[:, None, None]
        moved = F.pad(X, (4, 4, 4, 4)).permute(0, 2, 3, 1)
        return moved[images, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)


class SmallConvNet(nn.Sequential):
    """One convolution, 7 x 7 in steps of 2, 3 x 3 max-pooling and a linear layer."""

    input_shape = (1, 28, 28)

    def __init__(self, n_classes):
        super().__init__(
            Jitter(),
            nn.Conv2d(1, 16, 7, stride=2),
            nn.ReLU(),
            nn.MaxPool2d(3, ceil_mode=True),
            nn.Flatten(),
            nn.Linear(256, n_classes),
        )


class SmallColourNet(nn.Sequential):
    """Two convolutions, each with batch normalisation and max-pooling, and a linear layer."""

    input_shape = (3, 32, 32)

    def __init__(self, n_classes):
        super().__init__(
            Mirror(),
            nn.Conv2d(3, 32, 5, stride=2),
            nn.BatchNorm2d(32),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(32, 64, 3, padding=1),
            nn.BatchNorm2d(64),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Flatten(),
            nn.Linear(576, n_classes),
        )


FETCH = {"mnist": fetch_mnist, "cifar10": partial(fetch_cifar10, verify=False)}
MEMBERS = {"mnist": SmallConvNet, "cifar10": SmallColourNet}


def with_rows(path, rows):
    """The table at `path` with these rows, which replace those of the same keys."""
    if path.exists():
        old = pd.read_csv(path)
        is_new = old.set_index(KEYS).index.isin(rows.set_index(KEYS).index)
        rows = pd.concat([old[~is_new], rows])
    return rows.sort_values(KEYS, kind="stable")


def curves_of(args, rows):
    """Train and certify; returns the certified accuracies, and appends a row for each vote."""
    fetch = FETCH[args.data]
    X, y = (part[: args.rows] for part in fetch())
    X_test, y_test = (part[: args.test_rows] for part in fetch(split="test"))
    net = NetClassifier(
        MEMBERS[args.data],
        lr=args.lr,
        optimizer__momentum=0.9,
        batch_size=args.batch_size,
        max_epochs=args.epochs,
    )
    ensemble = PartitionEnsemble(net, args.partitions, spread=args.spread, random_state=args.seed)
    start = time.process_time()
    ensemble.fit(X, y)
    fit_s = time.process_time() - start
    # 100 members at most, spread evenly.
    some = ensemble.estimators_[:: -(-len(ensemble.estimators_) // 100)]
    member = np.mean([one.score(X_test, y_test) for one in some if one is not None])

    curves = []
    for vote in args.votes:
        ensemble.set_params(vote=vote)
        start = time.process_time()
        radius, predicted = ensemble.certify(X_test, return_predictions=True)
        certify_s = time.process_time() - start
        withstood = np.where(predicted == y_test, radius, -1)
        certified = [(withstood >= r).mean() for r in range(withstood.max() + 2)]
        key = dict(zip(KEYS, (args.partitions, args.spread, vote, args.seed), strict=True))
        curves.append(pd.DataFrame({**key, "r": range(len(certified)), "share": certified}))
        numbers = {
            "member": member,
            "clean": certified[0],
            "median_certified": int(np.median(withstood)),
            "fewest_rows": ensemble.partition_sizes_.min(),
            "most_rows": ensemble.partition_sizes_.max(),
            "fit_cpu_s": round(fit_s),
            "certify_cpu_s": round(certify_s),
            "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
            "source": "skpoison",
        }
        rows.append(key | numbers)
        print(rows[-1], flush=True)
    return pd.concat(curves)


parser = argparse.ArgumentParser()
parser.add_argument("--data", choices=list(FETCH), default="mnist")
parser.add_argument("--partitions", type=int, default=1200)
parser.add_argument("--spread", type=int, default=1)
parser.add_argument("--votes", nargs="+", default=["majority", "run-off"])
parser.add_argument("--batch-size", type=int, default=16)
parser.add_argument("--epochs", type=int, default=60)
parser.add_argument("--lr", type=float, default=0.05, help="learning rate of a member")
parser.add_argument("--rows", type=int, help="training rows (default: all)")
parser.add_argument("--test-rows", type=int, default=10_000)
parser.add_argument("--seed", type=int, default=0)
parser.add_argument("--draw", action="store_true", help="only draw the tables that are there")
parser.add_argument("--out", type=Path, default=Path(), help="folder for tables and figure")
args = parser.parse_args()

stem = f"certified_{args.data}"
curves_at = args.out / f"{stem}_curves.csv"
if not args.draw:
    rows = []
    curves = with_rows(curves_at, curves_of(args, rows))
    curves.to_csv(curves_at, index=False, float_format="%.4f")
    table_at = args.out / f"{stem}.csv"
    paper = pd.DataFrame(PAPER[args.data], columns=COLUMNS)
    paper = paper.assign(source="Levine and Feizi 2021, Table 1", seed=np.nan)
    table = with_rows(table_at, pd.concat([pd.DataFrame(rows), paper]))
    table.to_csv(table_at, index=False, float_format="%.4g")

names = {
    f"{partitions:,} partitions, spread {spread}, {vote}": group["share"].to_numpy()
    for (partitions, spread, vote, _), group in pd.read_csv(curves_at).groupby(KEYS)
}
display = CertifiedAccuracyDisplay(certified=names).plot()
display.ax_.legend(loc="lower left", fontsize="small")  # Where no curve is.
display.figure_.savefig(args.out / f"{stem}.png", dpi=120)
