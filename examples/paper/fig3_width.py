"""
Figure 3: clean accuracy against width, clean and under the three attacks
=========================================================================

Protocol "paper": a surrogate is trained on clean data to near-zero training error, all of the
training set is poisoned once, and of five stratified folds of it four train each net and the fifth,
poisoned too, stops the training early. Scores are accuracies on the clean test set. The paper does
not print the budgets of this figure. Here C = 500 for a whole training set; at the smaller scales C
is that of the same mean perturbation of a row, S/n = C / sqrt(n). B and beta are 3 and 0.3, unless
told otherwise.

Protocol "honest": the attacker is given only the rows that train the net (the four folds), at equal
S/n, and the net holds out a fifth of them for early stopping.

Which classes lose most is written beside the curves, for the narrowest, a middle and the widest
net: the recall of each class on the clean test set.
"""

import math

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from _common import data_name, load, make_parser, write
from sklearn.model_selection import StratifiedKFold
from skorch.callbacks import LRScheduler

from skpoison import (
    AlexNet,
    CifarConvNet,
    CleanLabelPGA,
    LabelFlip,
    MnistConvNet,
    NetClassifier,
    RobustnessCurveDisplay,
    robustness_curve,
)

VICTIMS = {
    "mnist": {"module": MnistConvNet, "lr": 0.1},
    "cifar10": {"module": CifarConvNet, "lr": 0.01},
}
SURROGATES = {
    "mnist": {"module": MnistConvNet, "module__width": 100, "lr": 0.1},
    "cifar10": {"module": AlexNet, "lr": 0.1},
}
SCALES = {
    "smoke": {
        "n_train": 250,
        "corruption_rate": 32.0,  # 500 sqrt(250 / 60,000)
        "widths": [4, 16, 64],
        "honest_widths": [16],
        "n_splits": 1,
        "seeds": 1,
        "batch_size": 16,
        "max_epochs": 6,
        "surrogate_epochs": 2,
        "steps": 10,
    },
    "cpu": {
        "n_train": 10_000,
        "corruption_rate": 204.0,  # 500 sqrt(10,000 / 60,000)
        "widths": [10, 30, 100, 300, 1000, 3000, 10_000],
        "honest_widths": [10, 300, 10_000],
        "n_splits": 1,
        "seeds": 3,
        "batch_size": 128,
        "max_epochs": 15,
        "surrogate_epochs": 20,
        "steps": 30,
    },
    "full": {
        "n_train": None,
        "corruption_rate": 500.0,
        "widths": [
            10,
            20,
            30,
            60,
            100,
            300,
            600,
            1000,
            3000,
            6000,
            10_000,
            30_000,
            60_000,
            100_000,
        ],
        "honest_widths": [10, 100, 1000, 10_000, 100_000],
        "n_splits": 5,
        "seeds": 1,
        "batch_size": 128,
        "max_epochs": 200,
        "surrogate_epochs": 100,
        "steps": 100,
    },
}


def make_surrogate(dataset, scale):
    """A net that learns its data by heart: the rate falls to 0, so that it settles."""
    epochs = scale["surrogate_epochs"]
    return NetClassifier(
        **SURROGATES[dataset],
        max_epochs=epochs,
        batch_size=scale["batch_size"],
        callbacks=[("decay", LRScheduler(policy="CosineAnnealingLR", T_max=epochs))],
    )


def make_attacks(args, scale, share=1.0):
    """The conditions by name; C is that of all rows, the attacker is given a share of them.

    S = C sqrt(n), so that S/n stays the same if C shrinks like the root of the share.
    """
    surrogate = make_surrogate(args.dataset, scale)
    # Batches so small stay in a processor's cache.
    options = {"surrogate": surrogate, "max_iter": scale["steps"], "batch_size": 256}
    attacks = {"clean": None}
    for rate in args.corruption_rates:
        attacks[f"A, C = {rate:g}"] = CleanLabelPGA(
            norm="l2,1", budget=rate * math.sqrt(share), **options
        )
    for radius in args.row_budgets:
        attacks[f"B, B = {radius:g}"] = CleanLabelPGA(norm="l2,inf", budget=radius, **options)
    for rate in args.flip_rates:
        attacks[f"C, beta = {rate:g}"] = LabelFlip(rate)
    return attacks


def accuracy_by_class(net, X, y):
    """Accuracy, and the recall of each class, which has its index for a name."""
    hits = net.predict(X) == y
    return {"accuracy": hits.mean()} | {str(k): hits[y == k].mean() for k in np.unique(y)}


def run(args, scale):
    """The study under each protocol: dicts of curves by metric."""
    X, y, *test = load(args, scale["n_train"])
    folds = StratifiedKFold(5, shuffle=True, random_state=0)
    cv = list(folds.split(X, y))[: scale["n_splits"]]
    net = NetClassifier(
        **VICTIMS[args.dataset],
        max_epochs=scale["max_epochs"],
        batch_size=scale["batch_size"],
        early_stopping=True,
        n_iter_no_change=30,
    )
    options = {
        "paper": {
            "attacks": make_attacks(args, scale),
            "param_range": scale["widths"],
            "poison": "dataset",
            "early_stop_on": "held-out",
        },
        "honest": {
            "attacks": make_attacks(args, scale, len(cv[0][0]) / len(X)),
            "param_range": scale["honest_widths"],
            "poison": "fold",
        },
    }
    return {
        protocol: robustness_curve(
            net,
            X,
            y,
            param_name="module__width",
            cv=cv,
            test=tuple(test),
            n_repeats=args.seeds or scale["seeds"],
            scoring=accuracy_by_class,
            n_jobs=args.jobs,
            memory=args.memory,
            # One by one: a run that is killed loses one fit at most, and not a stack of them.
            fused=False,
            random_state=0,
            progress=True,
            **options[protocol],
        )
        for protocol in args.protocols
    }


def surrogate_errors(args, scale):
    """Training and test error of a surrogate like those of the attacks, which are not kept."""
    X, y, X_test, y_test = load(args, scale["n_train"])
    surrogate = make_surrogate(args.dataset, scale).set_params(random_state=0).fit(X, y)
    return {"train": 1 - surrogate.score(X, y), "test": 1 - surrogate.score(X_test, y_test)}


def damage_by_class(curves):
    """Recall of each class at three widths, and what it lost against clean training."""
    accuracy = curves["accuracy"]
    rows = []
    n_widths = len(accuracy.param_range)
    for i in sorted({0, n_widths // 2, n_widths - 1}):
        for name in accuracy.scores:
            for metric, curve in curves.items():
                if metric == "accuracy":
                    continue
                lost = curve.scores["clean"][i] - curve.scores[name][i]
                rows.append(
                    {
                        "attack": name,
                        "width": accuracy.param_range[i],
                        "class": int(metric),
                        "recall": curve.scores[name][i].mean(),
                        "lost": lost.mean(),
                        "lost_std": lost.std(ddof=1) if len(lost) > 1 else np.nan,
                    }
                )
    return pd.DataFrame(rows)


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
        }
        print(
            f"{name}: best width {shape.peak.param}; narrowest {shape.left.mean:+.3f} "
            f"[{shape.left.low:+.3f}, {shape.left.high:+.3f}] and widest {shape.right.mean:+.3f} "
            f"[{shape.right.low:+.3f}, {shape.right.high:+.3f}] under it: "
            f"{'a U' if shape.is_u else 'no U'}"
        )
    return shapes


parser = make_parser(__doc__.strip().splitlines()[0])
parser.add_argument("--corruption-rates", type=float, nargs="*", metavar="C")
parser.add_argument("--row-budgets", type=float, nargs="*", default=[3.0], metavar="B")
parser.add_argument("--flip-rates", type=float, nargs="*", default=[0.3], metavar="BETA")
parser.add_argument(
    "--protocols", choices=["paper", "honest"], nargs="+", default=["paper", "honest"]
)
parser.add_argument("--jobs", type=int, default=1)
args = parser.parse_args()
scale = SCALES[args.scale]
if args.corruption_rates is None:
    args.corruption_rates = [scale["corruption_rate"]]

curves = run(args, scale)
frame = pd.concat(
    [part["accuracy"].to_frame().assign(protocol=protocol) for protocol, part in curves.items()]
).rename(columns={"module__width": "width"})

facts = {"settings": scale, "surrogate_errors": surrogate_errors(args, scale)}
print(f"\nErrors of a surrogate: {facts['surrogate_errors']}")
figure, axes = plt.subplots(
    1,
    len(curves),
    figsize=(5.5 * len(curves), 4.2),
    sharex=True,
    sharey=True,
    squeeze=False,
    layout="constrained",
)
figure.suptitle(f"{data_name(args)}, scale {args.scale}: mean ± standard deviation")
for ax, (protocol, part) in zip(axes[0], curves.items(), strict=True):
    curve = part["accuracy"]
    scores = frame[frame["protocol"] == protocol].groupby(["width", "attack"], sort=False)["score"]
    table = scores.agg(lambda s: f"{s.mean():.3f} ± {s.std():.3f}").unstack(sort=False)
    print(f"\n{protocol}: clean test accuracy (mean ± standard deviation)\n\n{table.to_string()}\n")
    facts[f"shapes ({protocol})"] = describe(curve)
    RobustnessCurveDisplay.from_curve(curve, ax=ax, score_name="Accuracy on clean test data")
    ax.set(xscale="log", xlabel="Width", title=f'Protocol "{protocol}"')
    ax.xaxis.set_minor_formatter("")
    ax.label_outer()
    ax.get_legend().remove()
figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=6)

classes = pd.concat(
    [damage_by_class(part).assign(protocol=protocol) for protocol, part in curves.items()]
)
lost = classes.pivot(index=["protocol", "width", "attack"], columns="class", values="lost")
print(f"\nRecall lost against clean training, by class\n\n{lost.round(3).to_string()}")

write(args, "fig3_width", frame, figure, **facts)
classes.to_csv(args.out / f"fig3_by_class_{args.dataset}_{args.scale}.csv", index=False)
