"""
Figure 2: a linear model on poisoned samples of growing size
=============================================================

A linear model w* is trained on all clean data. An attack that knows w* poisons n rows under regime
A with the corruption rate C (S = C sqrt(n)), and a linear model w*_n is trained on them. Training
is SGD with batches of 128, with the same number of steps for every n.

The first two panels show the excess loss F(w*_n) - F(w*) on the clean test set, with Theorem 2.2's
bound (dashed), and the excess error, both over n. The third panel shows how much the poison adds to
the excess loss, over C / sqrt(n), the norm by which an average row can be moved.

The theorem's constants are for the softmax cross-entropy, for which Proposition 2.1 holds with
smoothness 1/2 and Lipschitz constant sqrt(2). D is the norm of w*, R the largest norm of a row.
"""

import argparse
import functools
import warnings

import matplotlib.pyplot as plt
import numpy as np
import torch
from _common import data_name, load, make_parser, memory_of, run_cells, write
from sklearn.exceptions import ConvergenceWarning
from sklearn.frozen import FrozenEstimator
from threadpoolctl import threadpool_limits

from skpoison import CleanLabelPGA, ExcessRiskDisplay, Linear, NetClassifier
from skpoison.theory import gradient_perturbation_bound, sgd_excess_risk_bound

RATES = [0, 50, 100, 200, 300, 400, 500]
BATCH = 128
# By scale: sample sizes, steps of SGD, steps of the attack, number of seeds.
SIZES = {
    "smoke": ([100, 300, 1000], 100, 10, 1),
    "cpu": ([500, 1000, 2000, 5000, 10_000, 20_000, 60_000], 4680, 30, 3),
    "full": ([500, 1000, 2000, 5000, 10_000, 20_000, 40_000, 60_000], 9360, 100, 10),
}


@functools.cache
def data(scale, dataset):
    """Training and test data."""
    return load(argparse.Namespace(scale=scale, dataset=dataset, no_verify=False))


def train(X, y, n_steps, seed):
    """A linear model after about `n_steps` steps of SGD."""
    epochs = max(1, round(n_steps / max(len(X) // BATCH, 1)))
    net = NetClassifier(Linear, lr=0.1, batch_size=BATCH, max_epochs=epochs, random_state=seed)
    return net.fit(X, y)


def train_clean(scale, dataset, n_steps, seed):
    """Train w*, the linear model of all clean data."""
    return train(*data(scale, dataset)[:2], n_steps, seed)


# The w* of each seed. `main` fills this, so that the arguments of a cell are plain numbers and
# strings, which --memory can compare.
CLEAN = {}


def risks(net, X, y):
    """Cross-entropy and error on rows, from the logits, because float32 probabilities underflow."""
    with torch.no_grad():
        logits = net.logits(torch.tensor(X)).double().cpu()
    y = torch.tensor(np.searchsorted(net.classes_, y))
    return {
        "loss": float(torch.nn.functional.cross_entropy(logits, y)),
        "error": float((logits.argmax(dim=1) != y).double().mean()),
    }


def parameters(net):
    """Weights and biases, one row for each class: the bias is the weight of a last feature of 1."""
    with torch.no_grad():
        weight, bias = (p.double().cpu().numpy() for p in net.module_.parameters())
    return np.column_stack([weight, bias])


def gradient_changes(net, X, X_new, y):
    """How far the perturbation of each row moves the row's gradient in w at w*."""
    codes = np.searchsorted(net.classes_, y)
    parts = []
    for rows in (X, X_new):
        rows = np.column_stack([rows.reshape(len(rows), -1), np.ones(len(rows))]).astype(float)
        logits = rows @ parameters(net).T
        slopes = np.exp(logits - logits.max(axis=1, keepdims=True))
        slopes /= slopes.sum(axis=1, keepdims=True)
        slopes[np.arange(len(codes)), codes] -= 1
        parts.append((slopes, rows))
    (a, x), (b, z) = parts
    # The squared norms of the matrices a x^T - b z^T, without computing the matrices.
    squares = (a * a).sum(1) * (x * x).sum(1) + (b * b).sum(1) * (z * z).sum(1)
    return np.sqrt(np.maximum(squares - 2 * (a * b).sum(1) * (x * z).sum(1), 0))


def fit_poisoned(scale, dataset, n, rate, n_steps, max_iter, seed):
    """The excess risk of w*_n, and the bounds of Proposition 2.1 and Theorem 2.2."""
    X, y, X_test, y_test = data(scale, dataset)
    clean = CLEAN[seed]
    sample = np.random.default_rng(seed).permutation(len(X))[:n]
    X, y = X[sample], y[sample]
    attack = CleanLabelPGA(
        FrozenEstimator(clean), budget=rate, max_iter=max_iter, batch_size=256, random_state=seed
    )
    X_new, _ = attack.poison(X, y)
    norms = attack.perturbation_norms_
    measured = risks(train(X_new, y, n_steps, 1000 + seed), X_test, y_test)
    best = risks(clean, X_test, y_test)

    radius = np.linalg.norm(parameters(clean))
    # The bias is a feature of 1. A gradient has at most sqrt(2) times the norm of its row.
    row_norm = np.sqrt(1 + (X.reshape(len(X), -1) ** 2).sum(axis=1).max())
    constants = {
        "smoothness": 0.5,
        "lipschitz": np.sqrt(2),
        "weight_radius": radius,
        "feature_radius": row_norm,
    }
    promised = gradient_perturbation_bound(norms, **constants)
    bound = sgd_excess_risk_bound(
        n,
        radius=radius,
        gradient_bound=np.sqrt(2) * row_norm,
        perturbation_bound=promised.max(),
        total_perturbation=promised.sum(),
    )
    changes = gradient_changes(clean, X, X_new, y)
    return {
        "excess_loss": measured["loss"] - best["loss"],
        "excess_error": measured["error"] - best["error"],
        "clean_loss": best["loss"],
        "clean_error": best["error"],
        "spent": norms.sum() / np.sqrt(n),
        "bound": float(bound),
        "perturbation_promised": promised.sum(),
        "perturbation_measured": changes.sum(),
        "largest_share_of_promise": (changes / np.where(norms > 0, promised, np.inf)).max(),
    }


def main():
    """Run, print the tables, write the files."""
    parser = make_parser(__doc__.split("\n")[1], datasets=("mnist",))
    args = parser.parse_args()
    sizes, n_steps, max_iter, n_seeds = SIZES[args.scale]
    common = {"scale": args.scale, "dataset": args.dataset, "n_steps": n_steps}
    seeds = range(args.seeds or n_seeds)
    # On few rows C = 500 cannot be spent inside the box. The table says how much was.
    warnings.filterwarnings("ignore", category=ConvergenceWarning)
    recall = memory_of(args).cache(train_clean)
    with threadpool_limits(1):
        CLEAN.update({seed: recall(**common, seed=seed) for seed in seeds})
    cells = [
        {**common, "n": n, "rate": rate, "max_iter": max_iter, "seed": seed}
        for seed in seeds
        for n in sizes
        for rate in RATES
    ]
    frame = run_cells(fit_poisoned, cells, args)
    for column in ("excess_loss", "excess_error", "bound", "spent"):
        table = frame.groupby(["n", "rate"])[column]
        shown = table.agg(lambda s: f"{s.mean():.3f} ± {s.std():.3f}").unstack()
        print(f"\n{column} by n and C (mean ± standard deviation over seeds)\n")
        print(shown.to_string())
    print(f"\n{frame['largest_share_of_promise'].max():.3f} of Proposition 2.1's bound at most")
    write(args, "fig2", frame, draw(frame, args), batch_size=BATCH, training_steps=n_steps)


def draw(frame, args):
    """Excess loss with the bounds, excess error, and excess loss over C / sqrt(n)."""
    figure, axes = plt.subplots(1, 3, figsize=(15, 4.5), layout="constrained")
    sizes = sorted(frame["n"].unique())

    def table(column, rate):
        return frame[frame["rate"] == rate].pivot(index="n", columns="seed", values=column)

    names = {rate: f"C = {rate}" if rate else "clean" for rate in RATES}
    bounds = {names[rate]: table("bound", rate).mean(axis=1) for rate in RATES if rate}
    colors = plt.get_cmap("viridis")(np.linspace(0, 0.95, len(RATES)))
    for ax in axes[:2]:
        ax.set_prop_cycle(color=colors)
    loss = {names[rate]: table("excess_loss", rate) for rate in RATES}
    ExcessRiskDisplay.from_excess(
        sizes, loss, bounds=bounds, risk_name="Excess loss F(w*$_n$) - F(w*)", ax=axes[0]
    )
    # With all rows the clean excess is 0 up to differences between seeds, and may be negative.
    axes[0].set_yscale("symlog", linthresh=1e-3)
    axes[0].set_ylim(-2e-3, 2 * frame["bound"].max())
    axes[0].set_title("dashed: Theorem 2.2's bound")
    error = {names[rate]: table("excess_error", rate) for rate in RATES}
    ExcessRiskDisplay.from_excess(sizes, error, risk_name="Excess error", ax=axes[1])
    figure.legend(*axes[1].get_legend_handles_labels(), loc="outside right center")
    for ax in axes[:2]:
        ax.get_legend().remove()
    axes[1].set_title(data_name(args))
    for rate, color in zip(RATES[1:], colors[1:], strict=True):
        # Subtract the excess loss of a clean sample of the same size.
        mean = (table("excess_loss", rate) - table("excess_loss", 0)).mean(axis=1)
        axes[2].loglog(rate / np.sqrt(mean.index), mean, ".-", color=color, label=names[rate])
    axes[2].axvline(1, color="gray", linestyle=":")
    axes[2].set_xlabel("C / $\\sqrt{n}$")
    axes[2].set_ylabel("Excess loss, less that of the clean sample")
    axes[2].set_title("dotted: C = $\\sqrt{n}$")
    return figure


if __name__ == "__main__":
    main()
