"""What Figure 3's script says of its table: curves, pictures, and the tables made from it."""

import itertools
import math

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from _cell_table import KEY, key_of
from _common import data_name
from _rates import FROM_WIDTH, LR_RULES

from skpoison import RobustnessCurve, RobustnessCurveDisplay
from skpoison.study import corrected_interval

# Training losses at which nets are compared. Label noise of 30% keeps the loss over 0.61 unless a
# net learns the flips by heart.
LEVELS = (1.0, 0.9, 0.8, 0.7, 0.3, 0.1, 0.03)


def curve_of(frame, n_folds):
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
        "width", widths, *tables.values(), len(splits), len(seeds), 1 / (n_folds - 1)
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


def at_equal_loss(frame, table):
    """Accuracies where the training loss first falls under each of several levels.

    The training loss of an epoch is the mean over its batches, each before its step. ``score`` is
    the accuracy on clean test rows after that epoch, and ``kept_score`` after the one that the rows
    held out would keep of those so far. An epoch counts only if the test rows were scored after it,
    and a level that is not reached has no row.
    """
    rows = []
    for row in frame.to_dict("records"):
        arrays = table.read_extras(row)
        if not arrays:
            continue
        is_scored = np.isfinite(arrays["test_accuracy"])
        for level in LEVELS:
            under = np.flatnonzero((arrays["train_loss"] < level) & is_scored)
            if len(under) == 0:
                continue
            epoch = int(under[0])
            kept = int(np.argmax(arrays["held_out_accuracy"][: epoch + 1]))
            scores = arrays["test_accuracy"]
            rows.append(
                {name: row[name] for name in KEY}
                | {"level": level, "epoch": epoch, "train_loss": arrays["train_loss"][epoch]}
                | {"score": scores[epoch], "kept_score": scores[kept]}
            )
    return pd.DataFrame(rows)


def motion(frame, table):
    """How far the weights of each layer went, and how much accuracy swings from epoch to epoch.

    ``swing`` is the mean absolute difference of accuracy on clean test rows between successive
    epochs, from the sixth on (NaN if there are too few, or if not all of them were scored).
    """
    rows = []
    for row in frame.to_dict("records"):
        arrays = table.read_extras(row)
        if not arrays:
            continue
        late = arrays["test_accuracy"][5:]
        swing = np.abs(np.diff(late)).mean() if len(late) > 1 else math.nan
        went = zip(arrays["parameter"], arrays["distance"], strict=True)
        weights = {str(name): distance for name, distance in went if name.endswith("weight")}
        rows.append({name: row[name] for name in KEY} | {"swing": swing} | weights)
    return pd.DataFrame(rows)


def falls(frame):
    """How far the widest net lies under each narrower one, paired over folds and seeds.

    The intervals are Student's, about seeds on these splits.
    """
    rows = []
    for names, part in frame.groupby(["protocol", "lr_rule", "attack"], sort=False):
        scores = part.pivot(index=["split", "seed"], columns="width", values="score")
        widest = scores.columns.max()
        for width in sorted(scores.columns.drop(widest)):
            drops = (scores[width] - scores[widest]).dropna()
            if len(drops) == 0:
                continue
            mean, low, high = corrected_interval(drops, 0)
            rows.append(
                dict(zip(("protocol", "lr_rule", "attack"), names, strict=True))
                | {"width": width, "widest": widest, "n": len(drops)}
                | {"fall": mean, "low": low, "high": high}
            )
    return pd.DataFrame(rows)


def draw(frame, args, n_folds):
    """A panel for each protocol, at the constant rate where that was run; figure and shapes."""
    shapes, panels = {}, []
    # Clean first: a table may begin with cells of an attack.
    frame = frame.sort_values("attack", key=lambda names: names != "clean", kind="stable")
    for (protocol, rule), part in frame.groupby(["protocol", "lr_rule"], sort=False):
        scores = part.groupby(["width", "attack"], sort=False)["score"]
        table = scores.agg(lambda s: f"{s.mean():.3f} ({len(s)})").unstack(sort=False).sort_index()
        print(
            f"\n{protocol}, rate {rule}: accuracy on clean test rows (fits)\n{table.to_string()}\n"
        )
        curve, rest = whole_curve(part, n_folds)
        shapes[f"{protocol}, {rule}"] = describe(curve)
        if rule == "constant" or "constant" not in set(frame["lr_rule"]):
            panels.append((f'Protocol "{protocol}", rate {rule}', curve, rest))
    figure, axes = plt.subplots(
        1,
        len(panels),
        figsize=(max(5.5 * len(panels), 7), 4.6),
        sharex=True,
        sharey=True,
        squeeze=False,
        layout="constrained",
    )
    figure.suptitle(f'{data_name(args)}, n = {args.n_train:,}, recipe "{args.recipe}"')
    for ax, (title, curve, rest) in zip(axes[0], panels, strict=True):
        draw_panel(ax, curve, rest)
        n_seeds = curve.n_repeats
        words = "one seed" if n_seeds == 1 else f"{n_seeds} seeds: mean ± standard deviation"
        ax.set(xscale="log", xlabel="Width", title=f"{title}\n{words}")
        ax.xaxis.set_minor_formatter("")
        ax.label_outer()
        ax.legend(loc="best")
    return figure, shapes


def whole_curve(part, n_folds):
    """The curve of the seeds that have all widths, and the rows of the others.

    A mean over one seed here and two there would bend where a seed begins.
    """
    counts = part.groupby("seed").size()
    is_whole = part["seed"].isin(counts.index[counts == counts.max()])
    return curve_of(part[is_whole], n_folds), part[~is_whole]


def draw_panel(ax, curve, rest):
    """Curves of the seeds that have all widths; a square for each fit of another seed."""
    display = RobustnessCurveDisplay.from_curve(
        curve, ax=ax, score_name="Accuracy on clean test data"
    )
    style = {"marker": "s", "markersize": 4, "fillstyle": "none", "linestyle": "none"}
    for line, name in zip(display.lines_, curve.scores, strict=True):
        own = rest[rest["attack"] == name]
        ax.plot(own["width"], own["score"], color=line.get_color(), **style)
    if len(rest):
        # A line without points: its mark stands for those of all colours.
        ax.plot([], [], color="0.4", label="other seeds, not complete", **style)


def draw_rules(frame, args):
    """A panel for each attack and rule of the rate: accuracy over width, a line for each seed."""
    frame = frame[(frame["protocol"] == "paper") & (frame["width"] >= FROM_WIDTH)]
    others = frame[frame["lr_rule"] != "constant"]
    attacks, seeds = others["attack"].unique(), sorted(others["seed"].unique())
    rules = [rule for rule in LR_RULES if rule in set(frame["lr_rule"])]
    figure, axes = plt.subplots(
        len(attacks),
        len(rules),
        figsize=(2 + 2.8 * len(rules), 1 + 2.4 * len(attacks)),
        sharex=True,
        sharey="row",
        squeeze=False,
        layout="constrained",
    )
    figure.suptitle(f'{data_name(args)}, n = {args.n_train:,}, recipe "{args.recipe}"')
    for (i, attack), (j, rule) in itertools.product(enumerate(attacks), enumerate(rules)):
        ax = axes[i, j]
        for k, seed in enumerate(seeds):
            is_own = (frame["attack"] == attack) & (frame["seed"] == seed)
            part = frame[is_own & (frame["lr_rule"] == rule)].sort_values("width")
            ax.plot(part["width"], part["score"], "o-", color=f"C{k}", label=seed, alpha=0.8)
        ax.set(xscale="log", title=f"{attack}, {rule}")
        ax.label_outer()
    figure.supxlabel("Width")
    figure.supylabel("Accuracy on clean test data")
    figure.legend(*axes[0, 0].get_legend_handles_labels(), title="seed", loc="outside right center")
    return figure
