"""
What the theory of two-layer nets promises, and what happens
============================================================

Theorems 3.1 to 3.3 bound the error of a two-layer ReLU net after one pass of SGD on poisoned data,
for widths between a lower and an upper end. On a pair of scikit-learn's digits they promise
nothing: the margin is about 0.1, so the width would have to be above a billion, and the bounds on
the error are above 1. This script trains the same net with the theorems' step sizes at widths from
16 to 4,096, on clean data and under the three attacks. The budgets are 1, 10 and 100 times the
scales that the theorems give.

At 1 time the scale the poison changes the mean error by less than 0.01 at any width, and at 10
times by less than 0.05: the nets are far more robust than the theorems say. At 100 times, A and C
raise the error of the last iterate from about 0.1 to over 0.3. B is then as large as the rows
themselves at width 16, and nets of up to 256 units are wrong on most rows.

The scales are: in regime A, S = `total_budget`; in B, B = `per_sample_budget` at the net's own
width, so that wider nets are attacked less. In C the rate beta is not defined for so few rows. Its
stand-in is the S of regime A divided by n, because the paper says that the two budgets are of
almost the same order. The bounds are for the error averaged over the iterates (solid lines). The
dashed lines are the error of the last iterate.
"""

import argparse
from pathlib import Path

import matplotlib

matplotlib.use("agg")

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch
from sklearn.datasets import load_digits
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import normalize
from skorch.callbacks import Callback

from skpoison import CleanLabelPGA, LabelFlip, NetClassifier
from skpoison.modules import TwoLayerReLU
from skpoison.theory import per_sample_budget, step_size, theory_report, total_budget

WIDTHS = [16, 64, 256, 1024, 4096]
MULTIPLES = [0, 1, 10, 100]


class IterateErrors(Callback):
    """Records the test error of the initial iterate and of every eighth after it."""

    def __init__(self, X, y):
        self.X, self.y = X, y

    def on_train_begin(self, net, **kwargs):
        self.errors_, self.step_ = [self.error(net)], 0

    def on_batch_end(self, net, training, **kwargs):
        self.step_ += training
        if training and self.step_ % 8 == 0:
            self.errors_.append(self.error(net))

    def error(self, net):
        with torch.no_grad():
            predicted = net.module_(self.X).argmax(dim=1)
        return float((predicted != self.y).double().mean())


def train(X, y, test, width, lr, seed):
    """Run one pass of SGD; return the mean error over the iterates, and the last error."""
    net = NetClassifier(
        TwoLayerReLU,
        module__width=width,
        lr=lr,
        batch_size=1,
        max_epochs=1,
        callbacks=[("errors", IterateErrors(*test))],
        random_state=seed,
    ).fit(X, y)
    errors = dict(net.callbacks_)["errors"].errors_
    return np.mean(errors), errors[-1]


def poison(regime, scale, surrogate, X, y, seed):
    """Return poisoned data, what the attack spent (S, B or beta), and the largest row norm."""
    if scale == 0:
        return X, y, 0.0, 0.0
    if regime == "C":
        attack = LabelFlip(min(scale, 0.5), sampling="exact", random_state=seed)
        X_new, y_new = attack.poison(X, y)
        return X_new, y_new, len(attack.poison_indices_) / len(y), 0.0
    norm = "l2,1" if regime == "A" else "l2,inf"
    budget = scale / len(y) ** 0.5 if regime == "A" else scale
    attack = CleanLabelPGA(surrogate, norm=norm, budget=budget, clip=None)
    X_new, y_new = attack.poison(X, y)
    norms = attack.perturbation_norms_
    return X_new, y_new, norms.sum() if regime == "A" else norms.max(), norms.max()


parser = argparse.ArgumentParser(description="The theorems on two-layer nets beside practice.")
parser.add_argument("--out", type=Path, default=Path(), help="folder for the csv and png")
parser.add_argument("--pair", type=int, nargs=2, default=(0, 1), help="the two digits")
parser.add_argument("--seeds", type=int, default=4)
args = parser.parse_args()

torch.set_num_threads(1)  # One row at a time is too little work for more.
X, y = load_digits(return_X_y=True)
keep = np.isin(y, args.pair)
X, y = normalize(X[keep]).astype(np.float32), (y[keep] == args.pair[1]).astype(np.int64)
splits = [
    train_test_split(X, y, test_size=0.25, stratify=y, random_state=seed)
    for seed in range(args.seeds)
]
report = theory_report(splits[0][0], splits[0][2], width=max(WIDTHS), random_state=0)
print(report)

rows = []
for seed, (X_train, X_test, y_train, y_test) in enumerate(splits):
    n, d = X_train.shape
    problem = {"n": n, "margin": report.gamma}
    test = torch.tensor(X_test), torch.tensor(y_test)
    surrogate = NetClassifier(
        TwoLayerReLU, module__width=100, lr=1.0, batch_size=1, max_epochs=5, random_state=100 + seed
    )
    surrogate = FrozenEstimator(surrogate.fit(X_train, y_train))
    for regime in "ABC":
        for multiple in MULTIPLES:
            for width in WIDTHS:
                if regime == "B":
                    scale = per_sample_budget(**problem, width=width, n_features=d)
                else:
                    scale = total_budget(**problem) / (1 if regime == "A" else n)
                if regime == "B" or width == WIDTHS[0]:
                    poisoned = poison(regime, multiple * scale, surrogate, X_train, y_train, seed)
                X_new, y_new, spent, largest = poisoned
                lr = step_size(regime, n=n, perturbation_bound=float(largest))
                mean, final = train(X_new, y_new, test, width, lr, seed)
                promise = report.regimes[regime]
                rows.append(
                    {
                        "regime": regime,
                        "multiple": multiple,
                        "width": width,
                        "seed": seed,
                        "budget": multiple * scale,
                        "spent": spent,
                        "largest_row": largest,
                        "step_size": lr,
                        "mean_error": mean,
                        "last_error": final,
                        "promised_error": promise.error_bound,
                        "promised_min_width": promise.min_width,
                    }
                )
frame = pd.DataFrame(rows)
table = frame.groupby(["regime", "multiple", "width"])[["spent", "mean_error", "last_error"]].mean()
print(table.unstack("width").round(3).to_string())

args.out.mkdir(parents=True, exist_ok=True)
frame.to_csv(args.out / "two_layer.csv", index=False)
titles = {
    "A": "A: total perturbation",
    "B": "B: perturbation of each row",
    "C": "C: flipped labels",
}
figure, axes = plt.subplots(1, 3, figsize=(12, 4.6), sharey=True)
for ax, (regime, title) in zip(axes, titles.items(), strict=True):
    promise = report.regimes[regime]
    for k, multiple in enumerate(MULTIPLES):
        part = frame[(frame["regime"] == regime) & (frame["multiple"] == multiple)]
        groups = part.groupby("width")[["mean_error", "last_error"]]
        means, stds = groups.mean(), groups.std()
        label = f"{multiple} times the scale" if multiple else "clean"
        ax.errorbar(
            means.index,
            means["mean_error"],
            stds["mean_error"],
            fmt="o-",
            markersize=4,
            capsize=2,
            color=f"C{k}",
            label=label,
        )
        ax.plot(means["last_error"], ".--", color=f"C{k}", linewidth=1)
    ax.set(xscale="log", xlabel="Width", title=title, ylim=(-0.03, 1.23))
    ax.text(
        0.03,
        0.97,
        f"promised: error < {promise.error_bound:.3g}\nfor widths over {promise.min_width:.1g}",
        transform=ax.transAxes,
        verticalalignment="top",
    )
axes[0].set_ylabel("Error on clean test rows\n(solid: mean of iterates ± sd, dashed: last)")
figure.legend(*axes[0].get_legend_handles_labels(), loc="lower center", ncols=4)
figure.tight_layout(rect=(0, 0.08, 1, 1))
figure.savefig(args.out / "two_layer.png", dpi=150)
