"""
Figure 1: the negated loss against cross-entropy
=================================================

Regime A, over the corruption rate C. `CleanLabelPGA` poisons the training data, with the paper's
negated loss or with cross-entropy. A model is trained on them, and scored on clean test data. The
lower panel shows the norms of the rows' perturbations. Surrogate and victim have the same
architecture and different first weights. Each seed draws its own training rows, unless all are
used.

Models: ``--model linear`` (MNIST), ``alexnet`` or ``resnet18`` (both with ``--dataset cifar10``).
"""

import argparse
import functools
import warnings

import matplotlib.pyplot as plt
import numpy as np
from _common import data_name, load, make_parser, memory_of, run_cells, write
from sklearn.exceptions import ConvergenceWarning
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import train_test_split
from threadpoolctl import threadpool_limits

from skpoison import (
    AlexNet,
    CleanLabelPGA,
    Linear,
    NetClassifier,
    PerturbationNormDisplay,
    ResNet18,
    RobustnessCurveDisplay,
)
from skpoison.study import corrected_interval

LOSSES = ["negated", "cross_entropy"]
MODELS = {"linear": Linear, "alexnet": AlexNet, "resnet18": ResNet18}
RATES = [50, 100, 150, 200, 300, 400, 500]
# By scale and model: training rows and test rows (None: all), values of C, steps of the attack,
# epochs and rate of the training, number of seeds. One core takes two hours for the cpu point of
# AlexNet and 42 minutes for that of ResNet18. Their S/n is that of C = 300 with all of CIFAR-10.
SIZES = {
    ("smoke", "linear"): (1000, None, [30, 60, 120], 10, 20, 0.1, 2),
    ("smoke", "alexnet"): (128, 64, [20], 2, 2, 0.01, 1),
    ("smoke", "resnet18"): (64, 64, [20], 2, 2, 0.01, 1),
    ("cpu", "linear"): (10_000, None, RATES, 30, 20, 0.1, 5),
    ("cpu", "alexnet"): (10_000, None, [134], 20, 30, 0.1, 1),
    ("cpu", "resnet18"): (1000, 2000, [42], 10, 10, 0.1, 1),
    ("full", "linear"): (None, None, RATES, 100, 20, 0.1, 5),
    ("full", "alexnet"): (None, None, RATES, 100, 100, 0.01, 5),
    ("full", "resnet18"): (None, None, RATES, 30, 30, 0.01, 3),
}


@functools.cache
def whole(scale, dataset, no_verify):
    """All training and test data."""
    return load(argparse.Namespace(scale=scale, dataset=dataset, no_verify=no_verify))


def data(scale, model, dataset, no_verify, seed):
    """Training rows of a seed, and test data."""
    n_train, n_test = SIZES[scale, model][:2]
    X, y, X_test, y_test = whole(scale, dataset, no_verify)
    if n_train is not None:
        X, _, y, _ = train_test_split(X, y, train_size=n_train, stratify=y, random_state=seed)
    return X, y, X_test[:n_test], y_test[:n_test]


def train(model, X, y, n_epochs, lr, seed):
    """Train the model by plain SGD."""
    net = NetClassifier(
        MODELS[model], lr=lr, batch_size=128, max_epochs=n_epochs, random_state=seed
    )
    return net.fit(X, y)


def train_clean(scale, model, dataset, no_verify, n_epochs, lr, seed):
    """Train the surrogate, on clean data."""
    X, y, _, _ = data(scale, model, dataset, no_verify, seed)
    return train(model, X, y, n_epochs, lr, seed)


# The surrogate of each seed. `main` fills this, so that the arguments of a cell are plain numbers
# and strings, which --memory can compare.
SURROGATES = {}


def fit_poisoned(scale, model, dataset, no_verify, loss, rate, max_iter, n_epochs, lr, seed):
    """Accuracy on clean test data of a model trained on poisoned data, and the norms of its rows.

    With the loss "none" the model is trained on clean data.
    """
    X, y, X_test, y_test = data(scale, model, dataset, no_verify, seed)
    norms, spent = np.zeros(len(X)), 0.0
    if loss != "none":
        attack = CleanLabelPGA(
            FrozenEstimator(SURROGATES[seed]),
            budget=rate,
            loss=loss,
            max_iter=max_iter,
            batch_size=256,
            random_state=seed,
        )
        X, _ = attack.poison(X, y)
        norms, spent = attack.perturbation_norms_, attack.budget_spent_ / attack.budget_
    accuracy = train(model, X, y, n_epochs, lr, 1000 + seed).score(X_test, y_test)
    moved = np.median(norms[norms > 0]) if (norms > 0).any() else 0.0
    return {
        "accuracy": accuracy,
        "spent": spent,
        "untouched": float((norms < 0.01 * moved).mean()) if moved else 1.0,
        "median_norm_of_moved": moved,
        "largest_norm": norms.max(),
        "n_rows": len(X),
        "norms": norms.astype(np.float32),
    }


def main():
    """Run, print the table, write the files."""
    parser = make_parser(__doc__.split("\n")[1])
    parser.add_argument("--model", choices=MODELS, default="linear")
    args = parser.parse_args()
    if args.model != "linear" and args.dataset != "cifar10":
        parser.error(f"--model {args.model} must have --dataset cifar10, got {args.dataset}")
    _, _, rates, max_iter, n_epochs, lr, n_seeds = SIZES[args.scale, args.model]
    common = {
        "scale": args.scale,
        "model": args.model,
        "dataset": args.dataset,
        "no_verify": args.no_verify,
        "n_epochs": n_epochs,
        "lr": lr,
    }
    seeds = range(args.seeds or n_seeds)
    # Some budgets cannot be spent. The table says how much was.
    warnings.filterwarnings("ignore", category=ConvergenceWarning)
    recall = memory_of(args).cache(train_clean)
    with threadpool_limits(1):
        SURROGATES.update({seed: recall(**common, seed=seed) for seed in seeds})
    attacks = [("none", 0), *((loss, rate) for rate in rates for loss in LOSSES)]
    cells = [
        {**common, "loss": loss, "rate": rate, "max_iter": max_iter, "seed": seed}
        for seed in seeds
        for loss, rate in attacks
    ]
    frame = run_cells(fit_poisoned, cells, args)
    norms = frame.pop("norms")
    report(frame, rates)
    figure = draw(frame, norms, rates, args)
    write(args, f"fig1_{args.model}", frame, figure, rates=rates, attack_steps=max_iter)


def report(frame, rates):
    """Print the table of the results page."""
    table = frame.set_index(["loss", "rate", "seed"]).sort_index()
    clean = table.loc["none", 0]["accuracy"]
    print(f"\nClean accuracy {clean.mean():.3f} ± {clean.std():.3f}\n")
    for rate in rates:
        negated, crossed = (table.loc[loss, rate] for loss in LOSSES)
        cells = [f"{rate}"]
        for part in (negated, crossed):
            cells.append(f"{part['accuracy'].mean():.3f} ± {part['accuracy'].std():.3f}")
        # All seeds share one split: the interval is about seeds.
        difference = corrected_interval(negated["accuracy"] - crossed["accuracy"], 0.0)
        cells.append("{:+.3f} [{:+.3f}, {:+.3f}]".format(*difference))
        for column in ("untouched", "largest_norm", "spent"):
            cells += [f"{part[column].mean():.3f}" for part in (negated, crossed)]
        print(f"| {' | '.join(cells)} |")


def draw(frame, norms, rates, args):
    """Accuracy over C; below, histograms of the row norms at a middle C, of the first seed."""
    figure, axes = plt.subplots(2, 1, figsize=(6, 8), layout="constrained")
    clean = frame[frame["loss"] == "none"]["accuracy"].to_numpy()
    tables = {
        loss: frame[frame["loss"] == loss].pivot(index="rate", columns="seed", values="accuracy")
        for loss in LOSSES
    }
    # Both curves start at C = 0, from the same clean models.
    scores = {
        loss: np.concatenate([clean[np.newaxis], table.to_numpy()])
        for loss, table in tables.items()
    }
    display = RobustnessCurveDisplay(
        param_name="Corruption rate C",
        param_range=[0, *rates],
        scores=scores,
        score_name="Accuracy on clean test data",
    )
    display.plot(ax=axes[0])
    axes[0].set_title(f"{args.model} on {data_name(args)}")
    rate = rates[len(rates) // 2]
    shown = (frame["rate"] == rate) & (frame["seed"] == 0)
    PerturbationNormDisplay.from_norms(
        {loss: norms[shown & (frame["loss"] == loss)].iloc[0] for loss in LOSSES}, ax=axes[1]
    )
    axes[1].set_yscale("log")
    axes[1].set_title(f"C = {rate}")
    return figure


if __name__ == "__main__":
    main()
