"""
Does SGD keep the promise of Theorem 2.2 against every adversary?
=================================================================

Projected SGD with poisoned gradients loses at most 5 D (G + B') / (2 sqrt(T)) + 2 D S / T. Here S
is the sum of the norms of the perturbations. So SGD still learns if S grows like sqrt(T), but need
not learn if S grows like T. In this script S is 10 at T = 100, and then grows like T^0, T^0.5 and
T^1. There are six adversaries: four change gradients, two change data (features or labels) and so
change gradients too.

The bound holds for all of them. At T = 10,000 it is too high by a factor of 5 or more. The largest
excess error there is 0.05 when S grows like T^0 or T^0.5, and still 0.22 when S grows like T: the
constant push, and the pull to the worst corner, then keep SGD from learning.

The adversaries differ in B'. The plot has the lowest of their six bounds, the table has each. The
problem is logistic regression in the ball of radius D = 5, on two overlapping clouds of norm <= 1.
"""

import argparse
from pathlib import Path

import matplotlib

matplotlib.use("agg")

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from scipy.optimize import minimize

from skpoison.theory import (
    DataOracle,
    PoisonedOracle,
    constant_perturbation,
    projected_sgd,
    random_sign_perturbation,
    sgd_excess_risk_bound,
    sgd_step_size,
    sparse_perturbation,
    worst_vertex_perturbation,
)

RADIUS = 5.0
N_ROWS, N_FEATURES = 4000, 5
GROWTHS = [0.0, 0.5, 1.0]
ADVERSARIES = ["constant", "worst vertex", "random sign", "sparse", "features", "labels"]


def make_data(rng):
    """Two clouds, their labels, and the direction between them."""
    y = np.arange(N_ROWS) % 2 * 2 - 1
    direction = np.eye(N_FEATURES)[0]
    X = y[:, None] * direction + 0.5 * rng.normal(size=(N_ROWS, N_FEATURES))
    return X / np.linalg.norm(X, axis=1).max(), y, direction


def poisoned(name, total, n_steps, X, y, clean, direction, rng):
    """The oracle of an adversary whose perturbations sum to about `total`, and its B'."""
    norm, G = total / n_steps, clean.gradient_bound
    if name == "features":
        # B' is the bound of Proposition 2.1 on what a move by `norm` does to a gradient.
        moved = X - norm * y[:, None] * direction
        return DataOracle(X, y, moved), (0.25 * RADIUS * G + 1) * norm
    if name == "labels":
        # A flip changes a row's gradient by ||x||: the two slopes of the logistic loss sum to -1.
        flipped = rng.permutation(N_ROWS) < norm / np.linalg.norm(X, axis=1).mean() * N_ROWS
        return DataOracle(X, y, y_poisoned=np.where(flipped, -y, y)), G
    if name == "sparse":
        queries = np.arange(n_steps - round(total / (3 * G)), n_steps)
        return PoisonedOracle(clean, sparse_perturbation(direction, 3 * G, queries)), 3 * G
    vertices = RADIUS * np.concatenate([np.eye(N_FEATURES), -np.eye(N_FEATURES)])
    perturbation = {
        "constant": constant_perturbation(direction, norm),
        "worst vertex": worst_vertex_perturbation(clean.objective, vertices, norm),
        "random sign": random_sign_perturbation(norm),
    }[name]
    return PoisonedOracle(clean, perturbation), norm


parser = argparse.ArgumentParser(
    description="Measured excess error of SGD and Theorem 2.2's bound."
)
parser.add_argument("--out", type=Path, default=Path(), help="folder for the csv and png")
parser.add_argument("--runs", type=int, default=32, help="independent runs of each SGD")
parser.add_argument("--seed", type=int, default=0)
args = parser.parse_args()

X, y, direction = make_data(np.random.default_rng(args.seed))
clean = DataOracle(X, y)
minimum = minimize(
    clean.objective,
    np.zeros(N_FEATURES),
    method="SLSQP",
    constraints={"type": "ineq", "fun": lambda w: RADIUS**2 - w @ w},
    options={"ftol": 1e-12},
).fun

rows = []
for growth in GROWTHS:
    for n_steps in np.geomspace(100, 10_000, 5).astype(int).tolist():
        for name in ADVERSARIES:
            oracle, bound = poisoned(
                name,
                10 * (n_steps / 100) ** growth,
                n_steps,
                X,
                y,
                clean,
                direction,
                np.random.default_rng(args.seed),
            )
            constants = {
                "radius": RADIUS,
                "gradient_bound": clean.gradient_bound,
                "perturbation_bound": bound,
            }
            result = projected_sgd(
                oracle,
                np.zeros((args.runs, N_FEATURES)),
                n_steps=n_steps,
                radius=RADIUS,
                step_size=sgd_step_size(n_steps, **constants),
                random_state=args.seed,
            )
            excess = clean.objective(result.x) - minimum
            total = float(np.mean(oracle.total_perturbation))
            rows.append(
                {
                    "growth": growth,
                    "n_steps": n_steps,
                    "adversary": name,
                    "total_perturbation": total,
                    "largest": float(np.max(oracle.max_perturbation)),
                    "perturbation_bound": bound,
                    "excess": excess.mean(),
                    "standard_error": excess.std(ddof=1) / args.runs**0.5,
                    "bound": sgd_excess_risk_bound(n_steps, **constants, total_perturbation=total),
                }
            )
frame = pd.DataFrame(rows)
frame["holds"] = frame["excess"] + 3 * frame["standard_error"] <= frame["bound"]
frame["ratio"] = frame["excess"] / frame["bound"]

print("Excess error over the bound, T = 10,000 (rows: adversary; columns: growth of S)\n")
last = frame[frame["n_steps"] == 10_000]
print(last.pivot(index="adversary", columns="growth", values="ratio").round(4).to_string())
within = frame["largest"] <= frame["perturbation_bound"] + 1e-9
print(
    f"\nThe bound holds in {frame['holds'].sum()} of {len(frame)} cells; the largest "
    f"perturbation is within B' in {within.sum()}."
)

args.out.mkdir(parents=True, exist_ok=True)
frame.to_csv(args.out / "oracle_bound.csv", index=False)
figure, axes = plt.subplots(1, 3, figsize=(12, 4.4), sharey=True)
for ax, growth in zip(axes, GROWTHS, strict=True):
    part = frame[frame["growth"] == growth]
    for marker, name in zip("osv^Dx", ADVERSARIES, strict=True):
        line = part[part["adversary"] == name]
        ax.errorbar(
            line["n_steps"],
            line["excess"],
            3 * line["standard_error"],
            marker=marker,
            # Two adversaries do the same here, so one marker is drawn around the other.
            markersize=9 if name == "constant" else 4,
            fillstyle="none" if name == "constant" else "full",
            linewidth=1,
            label=name,
        )
    ax.plot(part.groupby("n_steps")["bound"].min(), "k--", label="bound (lowest)")
    ax.set(xscale="log", yscale="log", xlabel="Queries T", title=f"S grows like T^{growth:g}")
axes[0].set_ylabel("Excess error, mean ± 3 standard errors")
figure.legend(*axes[0].get_legend_handles_labels(), loc="lower center", ncols=7, fontsize="small")
figure.tight_layout(rect=(0, 0.07, 1, 1))
figure.savefig(args.out / "oracle_bound.png", dpi=150)
