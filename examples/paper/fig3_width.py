"""
Figure 3: clean accuracy against width, clean and under the three attacks
=========================================================================

Protocol "paper": a surrogate is trained on clean data, all of the training set is poisoned once,
and of five stratified folds of it four train each net; the fifth, poisoned too, says which epoch is
kept, and ends the training. Scores are accuracies on the clean test set.

Protocol "honest": the attacker is given only the rows that train the net (the four folds), at equal
S/n, and a fifth of them chooses the epoch.

The authors published two recipes (shared/paper/recipes.md). ``--recipe first`` poisons MNIST with a
linear surrogate, C = 800 and B = 3; ``--recipe second`` with a convolutional one and C = 500. C is
that of a whole training set; for n rows it is C sqrt(n / N), so that the mean perturbation of a row
S/n stays the same. beta is 0.3.

The rate of SGD is 0.1 at all widths (CIFAR-10: 0.01). ``--lr-rules`` tries others, to tell what
width does from what an ever larger step in function space does:

==========  ======================================================================================
constant    one rate for all layers and widths
last/width  the last layer's rate falls as 1/width from 1,000 units on
all/width   the rates of all layers fall so, and training takes twice as many epochs
chosen      one rate for all layers, of four the best on the held-out fold. The fits with the
            other rates stand in a table of their own, ``fig3_rates_...``.
==========  ======================================================================================

Up to 1,000 units the first three are the same fit. A cell that has a twin in the table is copied.

A fit is a cell. Each finished cell is appended to the table
``OUT/fig3_width_DATASET_RECIPE_nN.csv`` at once, and a cell that stands there is skipped: a run
that was killed goes on, here or on another machine. A long fit also keeps a checkpoint after each
epoch. Cells come in an order in which every prefix is useful: all conditions at one width after the
other, the widths that show the shape first, then the next seed. Beside the table, each cell has a
file with its hits on the test rows and on the training rows (packed bits), its history, and how far
its parameters went. More tables are written from these: recall by class (``fig3_by_class_...``),
accuracy at equal training loss (``fig3_equal_loss_...``), how far each layer went and how much
accuracy swings (``fig3_motion_...``) and, with several rules, how far the widest net lies under
narrower ones (``fig3_falls_...``).
"""

import math
import os
import pickle
import subprocess
import time
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from _cell_table import CellTable, TableError, key_of
from _common import load, make_parser, memory_of, write_picture
from _fig3_report import at_equal_loss, damage_by_class, draw, draw_rules, falls, motion
from _rates import LR_RULES, MORE_EPOCHS, candidates_of, rates_of, with_rates
from _resumable_fit import CHECKPOINT_SECONDS, distance_from_start, fit, forget
from sklearn.exceptions import ConvergenceWarning
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import StratifiedKFold, StratifiedShuffleSplit
from skorch.callbacks import LRScheduler
from threadpoolctl import threadpool_limits

from skpoison import (
    AlexNet,
    CifarConvNet,
    CleanLabelPGA,
    LabelFlip,
    Linear,
    MnistConvNet,
    NetClassifier,
    use_threads,
)

N_FOLDS = 5
# Module, rate, and the names of the last layer's parameters.
VICTIMS = {
    "mnist": (MnistConvNet, 0.1, "layers.9.*"),
    "cifar10": (CifarConvNet, 0.01, "layers.11.*"),
}
# Rows of the whole training set: C is given for it.
N_ALL = {"mnist": 60_000, "cifar10": 50_000}

# The widths that show the shape, in the order in which they are worth most, then those between.
WIDTHS = [100, 1000, 10_000, 10, 100_000, 30, 300, 3000, 30_000]
SIZES = {
    "smoke": {"n_train": 250, "batch_size": 16, "widths": [16, 64, 4], "honest_widths": [16]},
    "cpu": {"n_train": 10_000, "batch_size": 128, "widths": WIDTHS, "honest_widths": WIDTHS[:4]},
    "full": {"n_train": None, "batch_size": 128, "widths": WIDTHS, "honest_widths": WIDTHS[:4]},
}
# What the attack is made with, and how long the victims train, by recipe and scale.
RECIPES = {
    "first": {
        "corruption_rate": {"mnist": 800.0, "cifar10": 300.0},
        "smoke": {"epochs": 6, "patience": 6, "surrogate_epochs": 20, "attack_steps": 10},
        "cpu": {"epochs": 15, "patience": 15, "surrogate_epochs": 100, "attack_steps": 100},
        "full": {"epochs": 15, "patience": 15, "surrogate_epochs": 100, "attack_steps": 100},
    },
    "second": {
        "corruption_rate": {"mnist": 500.0, "cifar10": 500.0},
        "smoke": {"epochs": 6, "patience": 30, "surrogate_epochs": 2, "attack_steps": 10},
        "cpu": {"epochs": 15, "patience": 30, "surrogate_epochs": 20, "attack_steps": 30},
        "full": {"epochs": 200, "patience": 30, "surrogate_epochs": 100, "attack_steps": 100},
    },
}
# CIFAR-10 on a CPU, by either recipe. An epoch of AlexNet takes 47 to 76 s of a core, and a step
# of the attack 27 to 45 s. At the rate 0.01 a clean net of width 100 is best after some 165 epochs,
# and falls after 200 (docs/results/fig3_width/look_at_cifar10_300_epochs.csv). To score the test
# rows after each of so many epochs would take a quarter of the time.
CIFAR10_ON_CPU = {
    "epochs": 200,
    "patience": 200,
    "surrogate_epochs": 30,
    "attack_steps": 20,
    "test_every": 10,
}


def parse():
    """The arguments, with the budgets and the sizes that they stand for."""
    parser = make_parser(__doc__.strip().splitlines()[0])
    parser.add_argument("--recipe", choices=tuple(RECIPES), default="second")
    parser.add_argument(
        "--corruption-rates",
        type=float,
        nargs="*",
        metavar="C",
        help="for the rows of this scale (default: the recipe's, scaled to them)",
    )
    parser.add_argument("--row-budgets", type=float, nargs="*", default=[3.0], metavar="B")
    parser.add_argument("--flip-rates", type=float, nargs="*", default=[0.3], metavar="BETA")
    parser.add_argument("--widths", type=int, nargs="+", help="in the order of the cells")
    parser.add_argument("--folds", type=int, default=1, help=f"how many of {N_FOLDS}")
    parser.add_argument(
        "--protocols", choices=["paper", "honest"], nargs="+", default=["paper", "honest"]
    )
    parser.add_argument("--lr-rules", choices=LR_RULES, nargs="+", default=["constant"])
    parser.add_argument(
        "--attacks",
        choices=["clean", *"ABC"],
        nargs="+",
        default=["clean", *"ABC"],
        help="in the order of the cells",
    )
    parser.add_argument("--first-seed", type=int, default=0, help="leave out the seeds before it")
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda")
    parser.add_argument("--threads", type=int, default=1, help="of the processor, for each fit")
    parser.add_argument(
        "--max-seconds", type=float, default=math.inf, help="begin no cell after this time"
    )
    parser.add_argument(
        "--checkpoint-seconds",
        type=float,
        default=CHECKPOINT_SECONDS,
        help="least time between two checkpoints of a fit",
    )
    parser.add_argument(
        "--take", type=Path, metavar="FOLDER", help="first add the cells of the table there"
    )
    parser.add_argument(
        "--status", action="store_true", help="say what is done and what is left, and stop"
    )
    parser.add_argument("--commit", help="of the package (default: what git says)")
    args = parser.parse_args()
    args.size = SIZES[args.scale]
    args.training = RECIPES[args.recipe][args.scale]
    if args.dataset == "cifar10" and args.scale == "cpu":
        args.training = CIFAR10_ON_CPU
    args.n_train = args.size["n_train"] or N_ALL[args.dataset]
    if args.corruption_rates is None:
        rate = RECIPES[args.recipe]["corruption_rate"][args.dataset]
        args.corruption_rates = [rate * math.sqrt(args.n_train / N_ALL[args.dataset])]
    if args.device == "auto":
        args.device = "cuda" if torch.cuda.is_available() else "cpu"
    args.seeds = args.seeds or 1
    args.commit = args.commit or commit()
    return args


def commit():
    """The commit of this script, with a mark if files were changed after it."""
    command = ["git", "describe", "--always", "--dirty=+", "--abbrev=12", "--exclude=*"]
    result = subprocess.run(
        command, cwd=Path(__file__).parent, capture_output=True, text=True, check=False
    )
    return result.stdout.strip() or "unknown"


def make_surrogate(args):
    """The net that the attacks look at, and what the table calls it."""
    epochs = args.training["surrogate_epochs"]
    kwargs = {"max_epochs": epochs, "device": args.device}
    if args.recipe == "first" and args.dataset == "mnist":
        surrogate = NetClassifier(Linear, lr=0.004, batch_size=128, **kwargs)
        return surrogate, f"Linear, lr 0.004, {epochs} epochs, batch 128"
    batch_size = args.size["batch_size"]
    if args.dataset == "cifar10":
        kwargs["module"], name = AlexNet, "AlexNet"
    else:
        kwargs |= {"module": MnistConvNet, "module__width": 100}
        name = "MnistConvNet(100)"
    if args.recipe == "first":
        decay, rule = LRScheduler(policy="StepLR", step_size=20, gamma=0.5), "halved every 20"
    else:
        # The rate falls to 0, so that the net settles on data that it has learned by heart.
        decay = LRScheduler(policy="CosineAnnealingLR", T_max=epochs)
        rule = "cosine to 0"
    surrogate = NetClassifier(lr=0.1, batch_size=batch_size, callbacks=[("decay", decay)], **kwargs)
    return surrogate, f"{name}, lr 0.1 {rule}, {epochs} epochs, batch {batch_size}"


def conditions(args):
    """Name, attack class and budget of each condition; C is that of all rows."""
    found = {
        "clean": [("clean", None, 0.0)],
        "A": [(f"A, C = {rate:.4g}", "l2,1", rate) for rate in args.corruption_rates],
        "B": [(f"B, B = {radius:.4g}", "l2,inf", radius) for radius in args.row_budgets],
        "C": [(f"C, beta = {rate:.4g}", "flips", rate) for rate in args.flip_rates],
    }
    return [condition for attack in args.attacks for condition in found[attack]]


def wanted_cells(args):
    """Key and settings of each cell, in the order in which they are computed."""
    _, surrogate_name = make_surrogate(args)
    widths = {"paper": args.widths or args.size["widths"], "honest": args.size["honest_widths"]}
    return [
        {
            "protocol": protocol,
            "attack": name,
            "width": width,
            "split": split,
            "seed": seed,
            "lr_rule": rule,
            "recipe": args.recipe,
            "n_train": args.n_train,
            "batch_size": args.size["batch_size"],
            "epochs": args.training["epochs"] * MORE_EPOCHS[rule],
            "patience": args.training["patience"] * MORE_EPOCHS[rule],
            "lr": VICTIMS[args.dataset][1],
            "budget": float(budget),
            "attack_steps": args.training["attack_steps"] if kind in ("l2,1", "l2,inf") else 0,
            "surrogate": surrogate_name if kind in ("l2,1", "l2,inf") else "none",
        }
        for seed in range(args.first_seed, args.seeds)
        for protocol in args.protocols
        for split in range(args.folds)
        for width in widths[protocol]
        for rule in args.lr_rules
        for name, kind, budget in conditions(args)
    ]


def fitted_surrogate(X, y, net, seed):
    """A surrogate that several attacks share, pickled, and its accuracy on its own rows.

    The bytes are the same wherever they are read; a fitted net has another hash in each process.
    """
    net = net.set_params(random_state=seed).fit(X, y)
    return pickle.dumps(net), float(net.score(X, y))


def poison(X, y, kind, budget, seed, options):
    """Poisoned X and y, and how much of the budget was spent."""
    if isinstance(options.get("surrogate"), bytes):
        options = options | {"surrogate": FrozenEstimator(pickle.loads(options["surrogate"]))}
    if kind is None:
        return X, y, 0.0
    if kind == "flips":
        attack = LabelFlip(budget, random_state=seed)
        X_new, y_new = attack.poison(X, y)
        return X_new, y_new, float((y_new != y).mean())
    # Batches so small stay in a processor's cache.
    attack = CleanLabelPGA(norm=kind, budget=budget, random_state=seed, batch_size=256, **options)
    with warnings.catch_warnings():
        # How much was spent stands in the table.
        warnings.simplefilter("ignore", ConvergenceWarning)
        X_new, y_new = attack.poison(X, y)
    return X_new, y_new, attack.budget_spent_ / attack.budget_


class Study:
    """Computes cells; poisoned data are kept as long as the cells that follow need them."""

    def __init__(self, args, table, others):
        self.args = args
        self.table, self.others = table, others
        X, y, X_test, y_test = load(args, args.size["n_train"])
        self.X, self.y, self.test = X, y, (X_test, y_test)
        folds = StratifiedKFold(N_FOLDS, shuffle=True, random_state=0)
        self.folds = list(folds.split(X, y))
        self.kinds = {name: kind for name, kind, _ in conditions(args)}
        self.poisoned = {}
        self.poison = memory_of(args).cache(poison)
        self.fit_surrogate = memory_of(args).cache(fitted_surrogate)
        self.surrogates = {}  # By protocol, fold and seed: pickled, and the score on its own rows.

    def compute(self, cell):
        """Append a cell to the table: train its net, or copy its twin. Returns its row."""
        if cell["lr_rule"] == "chosen":
            return self._choose(cell)
        rates = rates_of(cell["lr_rule"], cell["lr"], cell["width"])
        return self._copy_twin(cell, rates) or self._train(cell, rates, self.table)

    def _choose(self, cell):
        """The best fit of several rates on the rows held out."""
        fits, seconds = [], 0.0
        for rate in candidates_of(cell["lr"]):
            # The usual rate has its fit in the table itself.
            usual = rate == cell["lr"]
            table = self.table if usual else self.others
            one = cell | {"lr": rate, "lr_rule": "constant" if usual else f"{rate:g}"}
            row = table.find(one)
            if row is not None:
                # The run may have been killed after it had added the row.
                forget(checkpoint_of(one, table))
            else:
                row = self._train(one, (rate, rate), table)
                seconds += row["seconds"]
            fits.append((row, table))
        best, table = max(fits, key=lambda fit: fit[0]["held_out_score"])
        row = best | cell | {"seconds": seconds}
        self.table.append(row, **table.read_extras(best))
        return row

    def _copy_twin(self, cell, rates):
        """Copy the fit of the constant rate, if this one would be the same bits."""
        rule, usual = cell["lr_rule"], "constant"
        same = rates == (cell["lr"], cell["lr"]) and MORE_EPOCHS[rule] == MORE_EPOCHS[usual]
        twin = self.table.find(cell | {"lr_rule": usual}) if same and rule != usual else None
        if twin is None:
            return None
        extras = self.table.read_extras(twin)
        if not extras:
            return None
        row = twin | cell | {"seconds": 0.0}
        self.table.append(row, **extras)
        return row

    def _train(self, cell, rates, table):
        began = time.perf_counter()
        train, held_out, changed, spent = self._data(cell)
        checkpoint = checkpoint_of(cell, table)
        progress = fit(
            self._net(cell, rates),
            train,
            held_out,
            self.test,
            epochs=cell["epochs"],
            patience=cell["patience"],
            test_every=self.args.training.get("test_every", 1),
            checkpoint=checkpoint,
            settings=cell,
            every=self.args.checkpoint_seconds,
        )
        hits = progress.net.predict(self.test[0]) == self.test[1]
        train_hits = progress.net.predict(train[0]) == train[1]
        went = distance_from_start(self._net(cell, rates), progress)
        device = torch.cuda.get_device_name() if self.args.device.startswith("cuda") else "cpu"
        row = cell | {
            "lr_first": rates[0],
            "lr_last": rates[1],
            "score": float(hits.mean()),
            "held_out_score": progress.held_out_accuracy[progress.best_epoch],
            "train_score": float(train_hits.mean()),
            "changed_fit": float(train_hits[changed].mean()) if changed.any() else math.nan,
            "train_loss": progress.train_loss[progress.best_epoch],
            "distance": float(np.linalg.norm(went["distance"])),
            "norm_at_start": float(np.linalg.norm(went["norm_at_start"])),
            "best_epoch": progress.best_epoch,
            "spent": float(spent),
            "fit_time": round(progress.fit_time, 3),
            "seconds": round(time.perf_counter() - began, 3),
            "device": device,
            "commit": self.args.commit,
        }
        extras = {
            "test_hits": np.packbits(hits),
            "train_hits": np.packbits(train_hits),
            "train_changed": np.packbits(changed),
            "n_test": np.array(len(hits)),
            "n_fitted": np.array(len(train_hits)),
            "train_loss": np.array(progress.train_loss),
            "held_out_accuracy": np.array(progress.held_out_accuracy),
            "test_accuracy": np.array(progress.test_accuracy),
            **went,
        }
        if cell["surrogate"] != "none" and place_of(cell) in self.surrogates:
            extras["surrogate_train_score"] = np.array(self.surrogates[place_of(cell)][1])
        table.append(row, **extras)
        forget(checkpoint)
        return row

    def _net(self, cell, rates):
        module, _, last_layer = VICTIMS[self.args.dataset]
        net = NetClassifier(
            module,
            module__width=cell["width"],
            max_epochs=1,
            batch_size=cell["batch_size"],
            # Rows in a forward pass, of which a wide net needs a number for each unit.
            iterator_valid__batch_size=512,
            classes=list(range(10)),
            device=self.args.device,
            random_state=cell["seed"],
        )
        return with_rates(net, *rates, last_layer)

    def _data(self, cell):
        """Rows to train on and rows held out, which of the first were changed, budget spent."""
        rows, held_out = self.folds[cell["split"]]
        if cell["protocol"] == "paper":
            X, y, spent = self._poisoned(cell, slice(None))
            clean_X, clean_y = self.X[rows], self.y[rows]
            train, held_out = (X[rows], y[rows]), (X[held_out], y[held_out])
        else:
            X, y, spent = self._poisoned(cell, rows)
            clean_X, clean_y = self.X[rows], self.y[rows]
            splitter = StratifiedShuffleSplit(
                n_splits=1, test_size=1 / N_FOLDS, random_state=cell["seed"]
            )
            part, rest = next(splitter.split(X, y))
            train, held_out = (X[part], y[part]), (X[rest], y[rest])
            clean_X, clean_y = clean_X[part], clean_y[part]
        moved = (train[0] != clean_X).reshape(len(clean_X), -1).any(axis=1)
        return train, held_out, moved | (train[1] != clean_y), spent

    def _poisoned(self, cell, rows):
        """The attacked rows: of all cells of a condition, protocol, fold and seed the same."""
        seed = cell["seed"]
        # Those of an earlier seed or protocol are not asked for again.
        place = place_of(cell)
        self.poisoned = {key: data for key, data in self.poisoned.items() if key[0] == place}
        key = (place, cell["attack"])
        if key not in self.poisoned:
            kind, budget = self.kinds[cell["attack"]], cell["budget"]
            X, y = self.X[rows], self.y[rows]
            if kind == "l2,1":
                # S = C sqrt(n): S/n stays the same if C shrinks like the root of the share.
                budget *= math.sqrt(len(X) / len(self.X))
            options = {"max_iter": cell["attack_steps"]}
            if kind in ("l2,1", "l2,inf"):
                options["surrogate"] = make_surrogate(self.args)[0]
                if self.args.dataset == "cifar10":
                    # AlexNet is dear.
                    if place not in self.surrogates:
                        fitted = self.fit_surrogate(X, y, options["surrogate"], seed)
                        self.surrogates = {place: fitted}
                    options["surrogate"], _ = self.surrogates[place]
            self.poisoned[key] = self.poison(X, y, kind, budget, seed, options)
        return self.poisoned[key]


def place_of(cell):
    """What the rows that an attack is given depend on: the protocol, the fold and the seed."""
    return cell["protocol"], None if cell["protocol"] == "paper" else cell["split"], cell["seed"]


def checkpoint_of(cell, table):
    """Where a cell's training is kept between epochs."""
    return table.extras_path(cell).with_suffix(".checkpoint")


def estimate(cell, rows):
    """Seconds that a cell may take, from those of the table; None if there is none."""
    times = {}
    for row in rows:
        if row["lr_rule"] != "chosen":
            times.setdefault(row["width"], []).append(row["seconds"] / row["epochs"])
    if not times:
        return None
    nearest = min(times, key=lambda width: abs(math.log(width / cell["width"])))
    # Below some hundred units the convolutions take the time, whatever the width.
    growth = max(cell["width"], 500) / max(nearest, 500)
    # The fit with the usual rate stands in the table.
    n_fits = len(candidates_of(cell["lr"])) - 1 if cell["lr_rule"] == "chosen" else 1
    return float(np.median(times[nearest])) * growth * cell["epochs"] * n_fits


def status(cells, table):
    """Say what is done and what is left, in words."""
    left, rows = table.missing(cells), table.rows()
    print(f"{table.path}: {len(cells) - len(left)} of {len(cells)} cells are done.")
    if not left:
        return
    seconds = [estimate(cell, rows) for cell in left]
    if None not in seconds:
        print(f"Left: {len(left)} cells, about {sum(seconds) / 3600:.1f} hours at their pace.")
    print("Next: " + ", ".join(str(value) for value in key_of(left[0])))


def main():
    args = parse()
    began = time.perf_counter()
    size = "smoke" if args.scale == "smoke" else f"n{args.n_train}"
    data = f"{args.dataset}_{args.recipe}_{size}"
    stem = f"fig3_width_{data}"
    cells = wanted_cells(args)
    try:
        table = CellTable(args.out, stem)
        if args.take:
            print(f"Taken from {args.take}: {table.take(args.take)} cells")
        missing = table.missing(cells)
        for cell in cells:
            if cell not in missing:
                # The run may have been killed after it had added the row.
                forget(checkpoint_of(cell, table))
        if args.status:
            return status(cells, table)
        others = CellTable(args.out, f"fig3_rates_{data}") if "chosen" in args.lr_rules else None
        with threadpool_limits(args.threads), use_threads(args.threads):
            torch.set_num_threads(args.threads)
            study = Study(args, table, others)
            for cell in missing:
                if time.perf_counter() - began > args.max_seconds:
                    print("Stopped between cells: --max-seconds is over.")
                    break
                row = study.compute(cell)
                print(*key_of(row), f"{row['score']:.4f} after {row['seconds']:.1f} s", flush=True)
        frame = pd.DataFrame(table.rows())
    except TableError as error:
        raise SystemExit(f"{Path(__file__).name}: error: {error}") from None
    if frame.empty:
        print("No cell is done: there is nothing to draw.")
        return None
    figure, shapes = draw(frame, args, N_FOLDS)
    write_picture(args, stem, figure, shapes=shapes, cells_left=len(table.missing(cells)))
    tables = {
        "by_class": damage_by_class(frame, table, study.test[1]),
        "equal_loss": at_equal_loss(frame, table),
        "motion": motion(frame, table),
    }
    if frame["lr_rule"].nunique() > 1:
        tables["falls"] = falls(frame)
        draw_rules(frame, args).savefig(args.out / f"fig3_rules_{data}.png", dpi=150)
    for name, part in tables.items():
        # Damage needs a clean fit beside it, and equal loss the files of the cells.
        if len(part):
            part.to_csv(args.out / f"fig3_{name}_{data}.csv", index=False)
    return None


if __name__ == "__main__":
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    main()
