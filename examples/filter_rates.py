"""
Which poisoned rows do filters find, and what do they flag on clean data?
=========================================================================

This script poisons a training set by four attacks, trains a net on it, and runs each filter with
this net. It writes ``filters_DATA.csv``: a row for each attack, seed and filter. The column
``strength`` is 0 where nothing is poisoned; what is flagged there is flagged wrongly.

With ``--memory`` it poisons nothing, and writes ``filters_memory.csv``: the CPU seconds of each
filter, and the megabytes that it needs at its peak beside what the process held before.
"""

import argparse
import time
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.datasets import load_digits
from sklearn.frozen import FrozenEstimator

from skpoison import (
    MLP,
    ActivationClustering,
    BackdoorPatch,
    CleanLabelPGA,
    DeepKNN,
    GradientMatching,
    LabelFlip,
    Linear,
    MnistConvNet,
    NeighbourVote,
    NetClassifier,
    SpectralSignatures,
    detection_rates,
    fetch_mnist,
)

parser = argparse.ArgumentParser()
parser.add_argument("--data", choices=["digits", "mnist"], default="digits")
parser.add_argument("--rows", type=int, default=10_000, help="training rows of MNIST")
parser.add_argument("--seeds", type=int, default=5)
parser.add_argument("--attacks", nargs="+", help="names, for a part of the table (default: all)")
parser.add_argument("--memory", action="store_true", help="only memory and time, on clean rows")
parser.add_argument("--out", type=Path, default=Path(), help="folder for the table")


def load(args):
    """X, y, X_test, y_test, with rows as images in [0, 1]."""
    if args.data == "digits":
        X, y = load_digits(return_X_y=True)
        order = np.random.default_rng(0).permutation(len(y))
        X, y = X[order].reshape(-1, 1, 8, 8).astype(np.float32) / 16, y[order]
        return X[:1400], y[:1400], X[1400:], y[1400:]
    X, y = (part[: args.rows] for part in fetch_mnist())
    return X, y, *fetch_mnist(split="test")


def make_net(data, seed):
    """The victim, whose activations the filters compare."""
    if data == "digits":
        return NetClassifier(
            MLP, module__width=100, lr=0.5, batch_size=32, max_epochs=20, random_state=seed
        )
    return NetClassifier(MnistConvNet, lr=0.2, batch_size=32, max_epochs=6, random_state=seed)


def make_attacks(X, y, X_test, y_test, seed):
    """The attacks, by name; None is no attack."""
    size, budget = (2, 2.0) if X.shape[-1] == 8 else (4, 5.0)
    patch = np.full(X.shape[1:], np.nan)
    patch[..., -size:, -size:] = 1.0
    own = np.mean(y == seed % 10)
    surrogates = {
        module: NetClassifier(module, lr=0.5, batch_size=32, max_epochs=20)
        for module in (Linear, MLP)
    }
    target = X_test[seed : seed + 1], (y_test[seed : seed + 1] + 1) % 10
    return {
        "none": None,
        # A tenth of the target's class is poisoned.
        "BackdoorPatch": BackdoorPatch(patch, seed % 10, 0.1 / 0.9 * own, random_state=seed),
        "LabelFlip": LabelFlip(0.1, random_state=seed),
        "CleanLabelPGA": CleanLabelPGA(
            surrogates[Linear],
            norm="l2,inf",
            budget=budget,
            max_fraction=0.5,
            random_state=seed,
        ),
        "GradientMatching": GradientMatching(
            surrogates[MLP],
            target,
            budget=budget,
            max_fraction=0.1,
            max_iter=50,
            random_state=seed,
        ),
    }


def make_filters(net, seed):
    """The filters, by name; their net is trained already."""
    frozen = FrozenEstimator(net)
    return {
        "SpectralSignatures": SpectralSignatures(frozen, 0.1, random_state=seed),
        "ActivationClustering": ActivationClustering(frozen, random_state=seed),
        "ActivationClustering (pca)": ActivationClustering(
            frozen, reduction="pca", random_state=seed
        ),
        "DeepKNN": DeepKNN(frozen, random_state=seed),
        "NeighbourVote": NeighbourVote(),
    }


def success_of(attack, net, X, y):
    """The attack's own success against a net; NaN if its aim is the accuracy."""
    if isinstance(attack, BackdoorPatch):
        return attack.success_rate(net, X, y)
    return attack.success_rate(net) if isinstance(attack, GradientMatching) else np.nan


def cells(args):
    """A dict for each attack, seed and filter."""
    X, y, X_test, y_test = load(args)
    for seed in range(args.seeds):
        for name, attack in make_attacks(X, y, X_test, y_test, seed).items():
            if args.attacks and name not in args.attacks:
                continue
            X_poisoned, y_poisoned = (X, y) if attack is None else attack.poison(X, y)
            poisoned = [] if attack is None else attack.poison_indices_
            start = time.process_time()
            net = make_net(args.data, seed).fit(X_poisoned, y_poisoned)
            facts = {
                "data": args.data,
                "rows": len(y),
                "attack": name,
                "seed": seed,
                "strength": len(poisoned) / len(y),
                "accuracy": net.score(X_test, y_test),
                "success": success_of(attack, net, X_test, y_test),
                "net_cpu_seconds": time.process_time() - start,
            }
            for filter_name, chooser in make_filters(net, seed).items():
                start = time.process_time()
                chooser.fit(X_poisoned, y_poisoned)
                row = {**facts, "filter": filter_name, "cpu_seconds": time.process_time() - start}
                row["flagged"] = chooser.flagged_.mean()
                for measured in (chooser.flagged_, chooser.scores_):
                    for rate_name, rate in detection_rates(poisoned, measured).items():
                        row |= {rate_name: rate.value}
                        row |= {f"{rate_name}_low": rate.low, f"{rate_name}_high": rate.high}
                if args.data == "digits":
                    kept = chooser.kept_indices_
                    again = make_net(args.data, seed).fit(X_poisoned[kept], y_poisoned[kept])
                    row["filtered_accuracy"] = again.score(X_test, y_test)
                    row["filtered_success"] = success_of(attack, again, X_test, y_test)
                yield row


def memory_cells(args):
    """A dict for each filter: seconds, and megabytes at the peak above those before it."""
    X, y, *_ = load(args)
    net = make_net("digits", 0).set_params(max_epochs=1).fit(X, y)  # A small one.
    for name, chooser in make_filters(net, 0).items():
        Path("/proc/self/clear_refs").write_text("5")  # The peak is forgotten.
        before = kilobytes("VmRSS")
        start = time.process_time()
        chooser.fit(X, y)
        yield {
            "data": args.data,
            "rows": len(y),
            "filter": name,
            "cpu_seconds": time.process_time() - start,
            "rows_megabytes": X.nbytes / 1e6,
            "peak_megabytes": (kilobytes("VmHWM") - before) / 1e3,
        }


def kilobytes(name):
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(name))


def main():
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    path = args.out / f"filters_{'memory' if args.memory else args.data}.csv"
    rows = []
    for row in memory_cells(args) if args.memory else cells(args):
        rows.append(row)
        # At once, so that a run that is stopped has written what it has done.
        pd.DataFrame(rows).to_csv(path, index=False, float_format="%.4f")
        print(*(row.get(key, "") for key in ("attack", "seed", "filter", "cpu_seconds")))


if __name__ == "__main__":
    main()
