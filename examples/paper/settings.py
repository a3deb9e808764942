"""
What each open setting of Figure 3 does
=======================================

The paper prints few of the settings of its figures, and the two recipes that its authors published
differ. Here one setting is changed at a time, for the net of width 100 on n = 10,000 rows of MNIST.
The base is the first recipe as `fig3_width.py` runs it: a linear surrogate; C = 800 (of all rows),
B = 3 and beta = 0.3; 100 steps of `CleanLabelPGA`; 15 epochs at rate 0.1 without the last, smaller
batch; the first of the best epochs on the poisoned fold is kept. A seed seeds surrogate, flips and
net. Differences are paired over seeds.

The history of a fit tells what fewer epochs, another patience, another rule for ties, and no early
stopping would have given. ``--cells`` names the folder of Figure 3's tables: where the base fits
stand there, they are read and not done again.

The attack of the recipes is 500 rounds of ascent on the loss of a batch, with step 10. "averaged"
divides the loss by the rows of the batch, "summed" does not; "with gaps" draws the rows of a round
with replacement, so that some are not moved.

For each attack on features, the table also says how far it moved how many rows, and how many of the
rows that train the victim are still classified by their label: by a linear model and by a net of
width 100, both trained on clean rows with another seed.

Each finished fit is appended to ``OUT/settings_mnist_SCALE.csv``, and a run goes on from there.
"""

import math
import os
import time
import types
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch
from _cell_table import CellTable
from _common import data_name, load, make_parser, write_picture
from attack_strength import recipe
from fig3_width import N_ALL, N_FOLDS, RECIPES, commit, make_surrogate, poison
from sklearn.base import clone
from sklearn.model_selection import StratifiedKFold, StratifiedShuffleSplit
from threadpoolctl import threadpool_limits

from skpoison import Linear, MnistConvNet, NetClassifier, use_threads

KINDS = {"clean": None, "A": "l2,1", "B": "l2,inf", "C": "flips"}
BASE = {
    "recipe": "first",
    "budgets": {"clean": 0.0, "A": 800.0, "B": 3.0, "C": 0.3},
    "ascent": "CleanLabelPGA",
    "drop_last": True,
    "n_train": 10_000,
    "protocol": "paper",
    "longer": 1,
}
# What is changed, and under which attacks it matters.
CHANGES = {
    "base": ({}, "clean A B C"),
    "last batch kept": ({"drop_last": False}, "clean A B C"),
    "convolutional surrogate": ({"recipe": "second"}, "A B"),
    "500 rounds, loss averaged": ({"ascent": "mean"}, "A B"),
    "500 rounds, loss summed": ({"ascent": "sum"}, "A B"),
    "500 rounds, averaged, rows drawn with gaps": ({"ascent": "gaps"}, "A B"),
    "C = 500, B = 2, beta = 0.2": ({"budgets": {"A": 500.0, "B": 2.0, "C": 0.2}}, "A B C"),
    "C = 1000, B = 4, beta = 0.4": ({"budgets": {"A": 1000.0, "B": 4.0, "C": 0.4}}, "A B C"),
    "n = 3,000": ({"n_train": 3000}, "clean A B C"),
    "twice the epochs": ({"longer": 2}, "C clean A B"),
    'protocol "honest"': ({"protocol": "honest"}, "clean A B C"),
    "n = 30,000": ({"n_train": 30_000}, "clean A B C"),
}
ROUNDS, STEP = 500, 10.0
N_SEEDS = 3
SMOKE = {"n_train": {3000: 100, 10_000: 250, 30_000: 400}, "batch_size": 16, "rounds": 5}


def kept_epoch(held_out, epochs, patience=math.inf, tie="first"):
    """The epoch that early stopping keeps.

    Parameters
    ----------
    held_out : sequence of float
        Accuracy on the rows held out after each epoch.
    epochs : int
        How many of them count.
    patience : int or inf, default=inf
        Epochs without a new best that end the training.
    tie : {"first", "last"}, default="first"
        Which of equal epochs is the best. The last one also ends the waiting.
    """
    best = 0
    for epoch in range(epochs):
        is_tie = tie == "last" and held_out[epoch] == held_out[best]
        if held_out[epoch] > held_out[best] or is_tie:
            best = epoch
        elif epoch - best >= patience:
            break
    return best


def endings(held_out, test, epochs):
    """What a history tells of several ends of the training: score and epoch, by setting.

    A history of twice `epochs` tells of the longer training only: the first half is the base's.
    """
    n = len(held_out)
    kept = {f"{n} epochs": kept_epoch(held_out, n), f"no early stopping, {n} epochs": n - 1}
    if n == epochs:
        kept = {
            "base": kept.pop(f"{n} epochs"),
            "of equal epochs the last": kept_epoch(held_out, n, tie="last"),
            "patience 3": kept_epoch(held_out, n, patience=3),
            f"{n // 3} epochs": kept_epoch(held_out, n // 3),
            **kept,
        }
    return {name: (test[epoch], epoch) for name, epoch in kept.items()}


class Study:
    """Fits of one scale; data and reference nets are kept from cell to cell."""

    def __init__(self, args):
        self.args = args
        self.batch_size = SMOKE["batch_size"] if args.scale == "smoke" else 128
        self.epochs = RECIPES["first"][args.scale]["epochs"]
        self.data, self.references, self.poisoned = {}, {}, {}

    def compute(self, setting, change, attack, seed):
        """The rows of a cell, by setting: one, or several if its history tells of more."""
        began = time.perf_counter()
        options = BASE | change
        train, held_out, clean_X, spent = self._split(options, attack, seed)
        tells_more = setting == "base" or options["longer"] > 1
        history = self._stored_history(attack, seed) if setting == "base" else None
        if history is None:
            history = self._train(options, train, held_out, seed, all_scores=tells_more)
        if tells_more:
            found = endings(history["held_out"], history["test"], self.epochs)
        else:
            epoch = kept_epoch(history["held_out"], self.epochs)
            found = {setting: (history["test"][epoch], epoch)}
        about = self._about_poison(train[0], train[1], clean_X, attack, seed)
        common = {"spent": float(spent), **about, "commit": self.args.commit}
        return {
            name: {"score": score, "epoch": epoch, "train_loss": history["loss"][epoch], **common}
            | {"seconds": round(time.perf_counter() - began, 1)}
            for name, (score, epoch) in found.items()
        }

    def _stored_history(self, attack, seed):
        """The history of a base fit in Figure 3's table, or None."""
        if self.args.cells is None:
            return None
        table = CellTable(self.args.cells, f"fig3_width_mnist_first_n{BASE['n_train']}")
        for row in table.rows():
            key = (row["protocol"], row["attack"].split(",")[0], row["width"], row["split"])
            wanted = (BASE["protocol"], attack, 100, 0)
            if key == wanted and (row["seed"], row["lr_rule"]) == (seed, "constant"):
                arrays = table.read_extras(row)
                names = {"loss": "train_loss", "held_out": "held_out_accuracy"}
                names["test"] = "test_accuracy"
                return {name: arrays[column].tolist() for name, column in names.items()}
        return None

    def _train(self, options, train, held_out, seed, all_scores):
        net = self._net(seed).set_params(drop_last=options["drop_last"])
        history = {"loss": [], "held_out": [], "test": []}
        test = self._rows(options["n_train"])[2:]
        for epoch in range(self.epochs * options["longer"]):
            net.partial_fit(*train, classes=net.classes)
            history["loss"].append(float(net.history[-1, "train_loss"]))
            history["held_out"].append(net.score(*held_out))
            # An epoch that is not the best so far will not be kept.
            wanted = all_scores or kept_epoch(history["held_out"], epoch + 1) == epoch
            history["test"].append(net.score(*test) if wanted else math.nan)
        return history

    def _rows(self, n_train):
        if self.args.scale == "smoke":
            n_train = SMOKE["n_train"][n_train]
        if n_train not in self.data:
            self.data = {n_train: load(self.args, n_train)}
        return self.data[n_train]

    def _split(self, options, attack, seed):
        """Rows to train on, rows held out, the former before the attack, and the budget spent."""
        X, y, _, _ = self._rows(options["n_train"])
        folds = StratifiedKFold(N_FOLDS, shuffle=True, random_state=0)
        rows, rest = next(iter(folds.split(X, y)))
        if options["protocol"] == "honest":
            X, y = X[rows], y[rows]
            splitter = StratifiedShuffleSplit(n_splits=1, test_size=1 / N_FOLDS, random_state=seed)
            rows, rest = next(splitter.split(X, y))
        X_new, y_new, spent = self._poison(X, y, options, attack, seed)
        return (X_new[rows], y_new[rows]), (X_new[rest], y_new[rest]), X[rows], spent

    def _poison(self, X, y, options, attack, seed):
        kind, budget = KINDS[attack], options["budgets"][attack]
        if kind == "l2,1":
            # The mean perturbation of a row is that of all of MNIST.
            budget *= math.sqrt(len(X) / N_ALL["mnist"])
        training = RECIPES[options["recipe"]][self.args.scale]
        names = types.SimpleNamespace(
            dataset="mnist",
            recipe=options["recipe"],
            training=training,
            device="cpu",
            size={"batch_size": self.batch_size},
        )
        surrogate = make_surrogate(names)[0]
        if options["ascent"] == "CleanLabelPGA" or kind in (None, "flips"):
            steps = {"surrogate": surrogate, "max_iter": training["attack_steps"]}
            return poison(X, y, kind, budget, seed, steps)
        surrogate = surrogate.set_params(random_state=seed).fit(X, y)
        delta = recipe(
            surrogate,
            X,
            y,
            norm=kind,
            budget=budget,
            reading="sum" if options["ascent"] == "sum" else "mean",
            n_epochs=SMOKE["rounds"] if self.args.scale == "smoke" else ROUNDS,
            generator=torch.Generator().manual_seed(seed),
            step=STEP,
            with_gaps=options["ascent"] == "gaps",
        )
        norms = np.linalg.norm(delta.reshape(len(X), -1).astype(float), axis=1)
        bound = budget * math.sqrt(len(X)) if kind == "l2,1" else budget * len(X)
        return X + delta, y, norms.sum() / bound

    def _about_poison(self, X, y, clean_X, attack, seed):
        names = ("moved", "mean_norm", "median_norm", "max_norm", "linear", "conv")
        if KINDS[attack] in (None, "flips"):
            return dict.fromkeys(names, math.nan)
        delta = (X - clean_X).reshape(len(X), -1).astype(float)
        norms = np.linalg.norm(delta, axis=1)
        found = [(norms > 1e-3).mean(), norms.mean(), np.median(norms), norms.max()]
        found += [net.score(X, y) for net in self._clean_nets(seed)]
        return dict(zip(names, map(float, found), strict=True))

    def _clean_nets(self, seed):
        if seed not in self.references:
            X, y, _, _ = self._rows(BASE["n_train"])
            linear = NetClassifier(Linear, lr=0.004, max_epochs=100)
            nets = linear, self._net(0).set_params(max_epochs=self.epochs)
            self.references[seed] = [
                clone(net).set_params(random_state=1000 + seed).fit(X, y) for net in nets
            ]
        return self.references[seed]

    def _net(self, seed):
        return NetClassifier(
            MnistConvNet,
            module__width=100,
            max_epochs=1,
            batch_size=self.batch_size,
            iterator_valid__batch_size=512,
            classes=list(range(10)),
            device="cpu",
            random_state=seed,
        )


def summary(frame):
    """Points of accuracy against the base: a row a setting, mean and deviation over seeds."""
    scores = frame.pivot(index=["attack", "seed"], columns="setting", values="score") * 100
    rows = []
    for setting in frame["setting"].unique():
        row = {"setting": setting}
        for attack in KINDS:
            if attack not in scores.index.get_level_values("attack"):
                continue
            part = scores.loc[attack]
            values = part[setting] if setting == "base" else part[setting] - part["base"]
            values = values.dropna()
            if len(values):
                row |= {attack: values.mean(), f"{attack} std": values.std(), "n": len(values)}
        rows.append(row)
    return pd.DataFrame(rows)


def draw(table, args):
    """A line for each setting and a panel for each attack: mean and deviation of the difference."""
    table = table[table["setting"] != "base"]
    attacks = [attack for attack in KINDS if attack in table]
    figure, axes = plt.subplots(
        1,
        len(attacks),
        figsize=(3 + 2.6 * len(attacks), 1.2 + 0.3 * len(table)),
        sharey=True,
        squeeze=False,
        layout="constrained",
    )
    figure.suptitle(f"{data_name(args)}, width 100: points of accuracy against the base")
    for ax, attack in zip(axes[0], attacks, strict=True):
        ax.axvline(0, color="grey", linewidth=0.8)
        ax.errorbar(table[attack], range(len(table)), xerr=table[f"{attack} std"], fmt="o")
        ax.set(title=attack, xlabel="mean ± std over seeds")
    axes[0, 0].set_yticks(range(len(table)), table["setting"])
    axes[0, 0].invert_yaxis()
    return figure


def main():
    parser = make_parser(__doc__.strip().splitlines()[0], datasets=("mnist",))
    parser.add_argument("--settings", choices=list(CHANGES), nargs="+", default=list(CHANGES))
    parser.add_argument("--attacks", choices=list(KINDS), nargs="+", default=list(KINDS))
    parser.add_argument("--cells", type=Path, help="folder of Figure 3's tables")
    parser.add_argument("--commit", help="of the package (default: what git says)")
    args = parser.parse_args()
    args.seeds, args.commit = args.seeds or N_SEEDS, args.commit or commit()
    args.out.mkdir(parents=True, exist_ok=True)
    path = args.out / f"settings_mnist_{args.scale}.csv"
    rows = pd.read_csv(path).to_dict("records") if path.exists() else []
    done = {(row["of"], row["attack"], row["seed"]) for row in rows}
    with threadpool_limits(1), use_threads(1):
        torch.set_num_threads(1)
        study = Study(args)
        for setting in args.settings:
            change, attacks = CHANGES[setting]
            for seed in range(args.seeds):
                for attack in attacks.split():
                    if attack not in args.attacks or (setting, attack, seed) in done:
                        continue
                    for name, found in study.compute(setting, change, attack, seed).items():
                        key = {"setting": name, "attack": attack, "seed": seed, "of": setting}
                        rows.append(key | found)
                    temporary = path.with_suffix(".tmp")
                    pd.DataFrame(rows).to_csv(temporary, index=False)
                    os.replace(temporary, path)
                    print(setting, attack, seed, rows[-1]["seconds"], "s", flush=True)
    table = summary(pd.DataFrame(rows))
    print(table.to_string(index=False, float_format="{:.1f}".format))
    write_picture(args, path.stem, draw(table, args), settings=list(table["setting"]))


if __name__ == "__main__":
    main()
