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

A fit is a cell. Each finished cell is appended to the table
``OUT/fig3_width_DATASET_RECIPE_nN.csv`` at once, and a cell that stands there is skipped: a run
that was killed goes on, here or on another machine. A long fit also keeps a checkpoint after each
epoch. Cells come in an order in which every prefix is useful: all conditions at one width after the
other, the widths that show the shape first, then the next seed. Beside the table, each cell has a
file with its hits on the test rows and on the training rows (packed bits), its history, and how far
its parameters went.
"""

import math
import os
import subprocess
import time
import warnings
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch
from _cell_table import CellTable, TableError, key_of
from _common import data_name, load, make_parser, memory_of, write_picture
from _resumable_fit import CHECKPOINT_SECONDS, distance_from_start, fit, forget
from sklearn.exceptions import ConvergenceWarning
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
    RobustnessCurve,
    RobustnessCurveDisplay,
    use_threads,
)

N_FOLDS = 5
VICTIMS = {"mnist": (MnistConvNet, 0.1), "cifar10": (CifarConvNet, 0.01)}
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
    return [
        ("clean", None, 0.0),
        *((f"A, C = {rate:.4g}", "l2,1", rate) for rate in args.corruption_rates),
        *((f"B, B = {radius:.4g}", "l2,inf", radius) for radius in args.row_budgets),
        *((f"C, beta = {rate:.4g}", "flips", rate) for rate in args.flip_rates),
    ]


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
            "lr_rule": "constant",
            "recipe": args.recipe,
            "n_train": args.n_train,
            "batch_size": args.size["batch_size"],
            "epochs": args.training["epochs"],
            "patience": args.training["patience"],
            "lr": VICTIMS[args.dataset][1],
            "budget": float(budget),
            "attack_steps": args.training["attack_steps"] if kind in ("l2,1", "l2,inf") else 0,
            "surrogate": surrogate_name if kind in ("l2,1", "l2,inf") else "none",
        }
        for seed in range(args.seeds)
        for protocol in args.protocols
        for split in range(args.folds)
        for width in widths[protocol]
        for name, kind, budget in conditions(args)
    ]


def poison(X, y, kind, budget, seed, options):
    """Poisoned X and y, and how much of the budget was spent."""
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

    def __init__(self, args):
        self.args = args
        X, y, X_test, y_test = load(args, args.size["n_train"])
        self.X, self.y, self.test = X, y, (X_test, y_test)
        folds = StratifiedKFold(N_FOLDS, shuffle=True, random_state=0)
        self.folds = list(folds.split(X, y))
        self.kinds = {name: kind for name, kind, _ in conditions(args)}
        self.poisoned = {}
        self.poison = memory_of(args).cache(poison)

    def compute(self, cell, table):
        """Train a cell's net; returns its row and its arrays."""
        began = time.perf_counter()
        train, held_out, changed, spent = self._data(cell)
        net = self._net(cell)
        checkpoint = checkpoint_of(cell, table)
        progress = fit(
            net,
            train,
            held_out,
            self.test,
            epochs=cell["epochs"],
            patience=cell["patience"],
            checkpoint=checkpoint,
            settings=cell,
            every=self.args.checkpoint_seconds,
        )
        hits = progress.net.predict(self.test[0]) == self.test[1]
        train_hits = progress.net.predict(train[0]) == train[1]
        device = torch.cuda.get_device_name() if self.args.device.startswith("cuda") else "cpu"
        row = cell | {
            "score": float(hits.mean()),
            "train_score": float(train_hits.mean()),
            "train_loss": progress.train_loss[progress.best_epoch],
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
            **distance_from_start(self._net(cell), progress),
        }
        return row, extras

    def _net(self, cell):
        module, lr = VICTIMS[self.args.dataset]
        return NetClassifier(
            module,
            module__width=cell["width"],
            lr=lr,
            max_epochs=1,
            batch_size=cell["batch_size"],
            # Rows in a forward pass, of which a wide net needs a number for each unit.
            iterator_valid__batch_size=512,
            classes=list(range(10)),
            device=self.args.device,
            random_state=cell["seed"],
        )

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
        split = None if cell["protocol"] == "paper" else cell["split"]
        seed = cell["seed"]
        # Those of an earlier seed or protocol are not asked for again.
        place = (cell["protocol"], split, seed)
        self.poisoned = {key: data for key, data in self.poisoned.items() if key[0] == place}
        key = (place, cell["attack"])
        if key not in self.poisoned:
            kind, budget = self.kinds[cell["attack"]], cell["budget"]
            X, y = self.X[rows], self.y[rows]
            if kind == "l2,1":
                # S = C sqrt(n): S/n stays the same if C shrinks like the root of the share.
                budget *= math.sqrt(len(X) / len(self.X))
            options = {
                "surrogate": make_surrogate(self.args)[0],
                "max_iter": cell["attack_steps"],
            }
            self.poisoned[key] = self.poison(X, y, kind, budget, seed, options)
        return self.poisoned[key]


def checkpoint_of(cell, table):
    """Where a cell's training is kept between epochs."""
    return table.extras_path(cell).with_suffix(".checkpoint")


def estimate(cell, rows):
    """Seconds that a cell may take, from those of the table; None if there is none."""
    times = {}
    for row in rows:
        times.setdefault(row["width"], []).append(row["seconds"])
    if not times:
        return None
    nearest = min(times, key=lambda width: abs(math.log(width / cell["width"])))
    # Below some hundred units the convolutions take the time, whatever the width.
    growth = max(cell["width"], 500) / max(nearest, 500)
    return float(np.median(times[nearest])) * growth


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


def curve_of(frame):
    """The table of a protocol and rule of the rate as a curve; a cell not there is NaN.

    Columns are the pairs of a fold and a seed, in the order that `RobustnessCurve` has.
    """
    widths = sorted(map(int, frame["width"].unique()))
    splits, seeds = sorted(frame["split"].unique()), sorted(frame["seed"].unique())
    columns = pd.MultiIndex.from_product([seeds, splits])
    tables = {
        value: {
            name: part.pivot(index="width", columns=["seed", "split"], values=value)
            .reindex(index=widths, columns=columns)
            .to_numpy(dtype=float)
            for name, part in frame.groupby("attack", sort=False)
        }
        for value in ("score", "train_score", "fit_time")
    }
    return RobustnessCurve(
        "width", widths, *tables.values(), len(splits), len(seeds), 1 / (N_FOLDS - 1)
    )


def describe(curve):
    """For each condition the peak, and how far both ends lie under it, with 95% intervals."""
    shapes = {}
    for name in curve.scores:
        shape = curve.u_shape(name)
        shapes[name] = {
            "peak": shape.peak._asdict(),
            "narrowest": shape.left._asdict(),
            "widest": shape.right._asdict(),
            "is_u": shape.is_u,
            "about": shape.about,
        }
        words = "one fold and seed cannot say how far the ends lie under it"
        if not math.isnan(shape.left.low):
            ends = zip(("narrowest", "widest"), (shape.left, shape.right), strict=True)
            words = ", ".join(
                f"the {end} net lies {drop.mean:.3f} [{drop.low:.3f}, {drop.high:.3f}] under the "
                "best of the others"
                for end, drop in ends
            )
        verdict = shape.verdict()
        if shape.is_u is None:
            verdict += f" (about {shape.about})"
        print(f"{name}: {verdict}: best at width {shape.peak.param}; {words}")
    return shapes


def damage_by_class(frame, table, y_test):
    """Recall of each class at each width, and what it lost against clean training.

    Cells whose file is not here, because another machine has it, are left out.
    """
    recalls = {}
    for row in frame.to_dict("records"):
        path = table.extras_path(row)
        if path.exists():
            with np.load(path) as arrays:
                hits = np.unpackbits(arrays["test_hits"], count=int(arrays["n_test"]))
            recalls[key_of(row)] = [hits[y_test == k].mean() for k in np.unique(y_test)]
    rows = []
    for (protocol, attack, width, split, seed, rule), recall in recalls.items():
        clean = recalls.get((protocol, "clean", width, split, seed, rule))
        if clean is None:
            continue
        rows += [
            {
                "protocol": protocol,
                "attack": attack,
                "width": width,
                "split": split,
                "seed": seed,
                "lr_rule": rule,
                "class": k,
                "recall": recall[k],
                "lost": clean[k] - recall[k],
            }
            for k in range(len(recall))
        ]
    return pd.DataFrame(rows)


def draw(frame, args):
    """A panel for each protocol and rule of the rate; returns the figure and the shapes."""
    parts = list(frame.groupby(["protocol", "lr_rule"], sort=False))
    figure, axes = plt.subplots(
        1,
        len(parts),
        figsize=(max(5.5 * len(parts), 7), 4.4),
        sharex=True,
        sharey=True,
        squeeze=False,
        layout="constrained",
    )
    figure.suptitle(f'{data_name(args)}, n = {args.n_train:,}, recipe "{args.recipe}"')
    shapes = {}
    for ax, ((protocol, rule), part) in zip(axes[0], parts, strict=True):
        scores = part.groupby(["width", "attack"], sort=False)["score"]
        table = scores.agg(lambda s: f"{s.mean():.3f} ({len(s)})").unstack(sort=False).sort_index()
        print(
            f"\n{protocol}, rate {rule}: accuracy on clean test rows (fits)\n{table.to_string()}\n"
        )
        curve, n_seeds = draw_panel(ax, part)
        shapes[f"{protocol}, {rule}"] = describe(curve)
        words = "one seed" if n_seeds == 1 else f"{n_seeds} seeds: mean ± standard deviation"
        ax.set(xscale="log", xlabel="Width", title=f'Protocol "{protocol}", rate {rule}, {words}')
        ax.xaxis.set_minor_formatter("")
        ax.label_outer()
        ax.legend(loc="best")
    return figure, shapes


def draw_panel(ax, part):
    """Curves of the seeds that have all widths; a ring for each fit of another seed.

    A mean over one seed here and two there would bend where a seed begins. Returns the curve, and
    how many seeds are in it.
    """
    counts = part.groupby("seed").size()
    whole = counts.index[counts == counts.max()]
    curve = curve_of(part[part["seed"].isin(whole)])
    display = RobustnessCurveDisplay.from_curve(
        curve, ax=ax, score_name="Accuracy on clean test data"
    )
    rest = part[~part["seed"].isin(whole)]
    for line, name in zip(display.lines_, curve.scores, strict=True):
        own = rest[rest["attack"] == name]
        label = "other seeds, not complete" if name == "clean" and len(rest) else None
        style = {"marker": "s", "markersize": 4, "fillstyle": "none", "linestyle": "none"}
        ax.plot(own["width"], own["score"], color=line.get_color(), label=label, **style)
    return curve, len(whole)


def main():
    args = parse()
    began = time.perf_counter()
    size = "smoke" if args.scale == "smoke" else f"n{args.n_train}"
    stem = f"fig3_width_{args.dataset}_{args.recipe}_{size}"
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
        with threadpool_limits(args.threads), use_threads(args.threads):
            torch.set_num_threads(args.threads)
            study = Study(args)
            for cell in missing:
                if time.perf_counter() - began > args.max_seconds:
                    print("Stopped between cells: --max-seconds is over.")
                    break
                row, extras = study.compute(cell, table)
                table.append(row, **extras)
                forget(checkpoint_of(cell, table))
                print(*key_of(row), f"{row['score']:.4f} after {row['seconds']:.1f} s", flush=True)
        frame = pd.DataFrame(table.rows())
    except TableError as error:
        raise SystemExit(f"{Path(__file__).name}: error: {error}") from None
    if frame.empty:
        print("No cell is done: there is nothing to draw.")
        return None
    figure, shapes = draw(frame, args)
    write_picture(args, stem, figure, shapes=shapes, cells_left=len(table.missing(cells)))
    damage_by_class(frame, table, study.test[1]).to_csv(
        args.out / f"{stem.replace('width', 'by_class')}.csv", index=False
    )
    return None


if __name__ == "__main__":
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    main()
