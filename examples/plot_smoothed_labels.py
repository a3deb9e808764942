"""
How many flipped labels does smoothed least squares withstand?
===============================================================

This script fits `SmoothedLabelClassifier` on all ones and sevens of MNIST (13,007 training rows,
2,163 test rows; ``SKPOISON_DATA`` names the folder), for several penalties and noises. The
certified accuracy at r is the share of test rows that are predicted right and stay right after any
r flips of training labels. Nothing is drawn, so there is no seed.

The script writes ``smoothed_mnist17.csv``, ``smoothed_mnist17.png`` and, with the numbers in words,
``smoothed_mnist17.txt``.
"""

import argparse
import platform
import resource
import time
from pathlib import Path

import matplotlib

matplotlib.use("agg")

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import scipy
import sklearn

from skpoison import SmoothedLabelClassifier, __version__, fetch_mnist

RADII = [0, 1, 10, 50, 100, 200, 500, 1000, 1500, 2000]

parser = argparse.ArgumentParser()
parser.add_argument("--digits", type=int, nargs="+", default=[1, 7])
parser.add_argument("--rows", type=int, default=60_000, help="rows of MNIST to take digits from")
parser.add_argument("--test-rows", type=int, default=10_000)
parser.add_argument("--alphas", type=float, nargs="+", default=[1, 1e3, 1e4, 1e5, 1e6])
parser.add_argument("--noises", type=float, nargs="+", default=[0.01, 0.1, 0.3])
parser.add_argument(
    "--centred",
    action="store_true",
    help="subtract the mean of the training rows and fit no intercept",
)
parser.add_argument("--name", default="smoothed_mnist17", help="of the files to write")
parser.add_argument("--out", type=Path, default=Path(), help="folder for table, figure and numbers")
args = parser.parse_args()


def digits(split, n_rows):
    X, y = (part[:n_rows] for part in fetch_mnist(split=split))
    rows = np.isin(y, args.digits)
    return X[rows], y[rows]


X, y = digits("train", args.rows)
X_test, y_test = digits("test", args.test_rows)
if args.centred:
    mean = X.mean(axis=0)  # It reads no label, so the certificates hold with it.
    X, X_test = X - mean, X_test - mean
records = []
for alpha in args.alphas:
    for noise in args.noises:
        model = SmoothedLabelClassifier(alpha, noise, fit_intercept=not args.centred)
        start = time.process_time()
        model.fit(X, y)
        fitted = time.process_time()
        right = model.predict(X_test) == y_test
        known = model.log_error_bound(X_test) < np.log(0.5)
        # "exact" does not depend on the noise.
        bounds = ["closed_form", "tight"] + ["exact"] * (noise == args.noises[0])
        for bound in bounds:
            middle = time.process_time()
            withstood = np.where(right, model.certify(X_test, bound=bound), -1)
            records.append(
                {
                    "alpha": alpha,
                    "noise": np.nan if bound == "exact" else noise,
                    "bound": bound,
                    "clean_accuracy": right.mean(),
                    "vote_known": np.nan if bound == "exact" else (right & known).mean(),
                    "median_flips": max(int(np.median(withstood)), 0),
                    **{f"r={r}": (withstood >= r).mean() for r in RADII},
                    "fit_seconds": fitted - start,
                    "certify_seconds": time.process_time() - middle,
                }
            )
            print(records[-1], flush=True)
table = pd.DataFrame(records)
table.to_csv(args.out / f"{args.name}.csv", index=False, float_format="%.4f")

fig, axes = plt.subplots(1, 3, figsize=(11, 3.6), sharey=True, layout="constrained")
columns = [f"r={r}" for r in RADII[1:]]
for ax, bound in zip(axes, ["closed_form", "tight", "exact"], strict=True):
    own = table[table["bound"] == bound].drop_duplicates("alpha")
    for _, row in own.iterrows():
        ax.plot(RADII[1:], row[columns].astype(float), marker=".", label=f"{row['alpha']:g}")
    noise = "" if bound == "exact" else f", noise {args.noises[0]:g}"
    ax.set(title=f"{bound}{noise}", xlabel="Flipped training labels", xscale="log", ylim=(0, 1))
axes[0].set_ylabel("Certified accuracy")
axes[-1].legend(title="alpha")
fig.savefig(args.out / f"{args.name}.png", dpi=120)

peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
lines = [
    f"digits {args.digits}: {len(X)} training rows, {len(X_test)} test rows"
    f"{', centred, no intercept' if args.centred else ''}",
    f"peak memory of the process: {peak:.0f} MB",
    f"{platform.processor() or platform.machine()}, Python {platform.python_version()}, "
    f"numpy {np.__version__}, scipy {scipy.__version__}, scikit-learn {sklearn.__version__}, "
    f"skpoison {__version__}",
    table.to_string(index=False, float_format=lambda value: f"{value:.4g}"),
]
(args.out / f"{args.name}.txt").write_text("\n".join(lines) + "\n")
print("\n".join(lines))
