"""
Do flips along influence functions beat flips by loss?
======================================================

`LabelFlip(selection="loss")` asks its surrogate once. The attacker of this script asks again and
again. It flips a tenth of its budget and trains a logistic regression on the result. Next it flips
the rows whose flip raises the loss of all clean rows most, to first order. The variants are:

- "gradient" uses the gradient alone to estimate how far a flip moves the parameters;
- "influence" uses the inverse Hessian too, as the influence function of Koh and Liang (2017);
- "influence, 1 step" spends the whole budget at once.

All variants flip the same number of labels, to the next class. The victims are an `MLP` of width
100 and a logistic regression. The results are in docs/results/all_attacks. No variant is better
than "loss" on both digits and breast cancer, and so the package has no `InfluenceFlip`.
"""

import argparse
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.special import softmax
from sklearn.datasets import load_breast_cancer, load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import MinMaxScaler
from threadpoolctl import threadpool_limits

from skpoison import MLP, LabelFlip, NetClassifier
from skpoison.study import corrected_interval

LOADERS = {"digits": load_digits, "breast cancer": load_breast_cancer}
RATES = (0.1, 0.2)
METHODS = {
    "influence, 1 step": {"n_steps": 1, "hessian": True},
    "influence": {"n_steps": 10, "hessian": True},
    "gradient": {"n_steps": 10, "hessian": False},
}
C = 1.0
TEST_SIZE = 0.3


def flip(X, y, rate, *, n_steps, hessian):
    """Return the labels after round(rate n) flips to the next class."""
    n, n_classes = len(X), int(y.max()) + 1
    rows, index, wanted = np.c_[X, np.ones(n)], np.arange(n), (y + 1) % n_classes
    flipped = np.zeros(n, dtype=bool)
    for step in range(1, n_steps + 1):
        weights = fit(X, np.where(flipped, wanted, y), n_classes)
        proba = softmax(rows @ weights, axis=1)
        error = proba.copy()
        error[index, y] -= 1
        slope = rows.T @ error / n  # of the mean loss of the clean rows
        if hessian:
            slope = solve(rows, proba, slope)
        # A flip adds x (e_old - e_new) to a row's gradient, and training goes against it.
        moved = rows @ slope
        gain = np.where(flipped, np.inf, moved[index, wanted] - moved[index, y])
        flipped[np.argsort(-gain, kind="stable")[: round(rate * n * step / n_steps)]] = True
    return np.where(flipped, wanted, y)


def fit(X, y, n_classes):
    """Return weights (d + 1, n_classes); a class without rows gets a score that never wins."""
    model = LogisticRegression(C=C, max_iter=300).fit(X, y)
    weights = np.zeros((X.shape[1] + 1, n_classes))
    weights[-1] = -20
    known = model.classes_ if len(model.classes_) > 2 else model.classes_[1:]
    weights[:, model.classes_] = 0
    weights[:-1, known], weights[-1, known] = model.coef_.T, model.intercept_
    return weights


def solve(rows, proba, slope):
    """Return the inverse Hessian of the training loss times `slope`, in the shape of `slope`."""
    (n, d), n_classes = rows.shape, proba.shape[1]
    hessian = np.eye(d * n_classes) / (C * n)
    for a in range(n_classes):
        for b in range(n_classes):
            weight = proba[:, a] * ((a == b) - proba[:, b])
            block = (rows * weight[:, np.newaxis]).T @ rows / n
            hessian[a * d : (a + 1) * d, b * d : (b + 1) * d] += block
    return np.linalg.solve(hessian, slope.T.ravel()).reshape(n_classes, d).T


def run(dataset, rate, seed):
    """Return one row for each method and victim."""
    X, y = LOADERS[dataset](return_X_y=True)
    X = MinMaxScaler().fit_transform(X)
    X, X_test, y, y_test = train_test_split(
        X, y, test_size=TEST_SIZE, stratify=y, random_state=seed
    )
    net = {"lr": 0.5, "batch_size": 32, "max_epochs": 20, "module__width": 100}
    linear = LogisticRegression(C=C, max_iter=300)
    labels = {"clean": y}
    for selection in ("random", "loss"):
        attack = LabelFlip(
            rate, sampling="exact", selection=selection, surrogate=linear, random_state=seed
        )
        labels[selection] = attack.poison(X, y)[1]
    labels |= {name: flip(X, y, rate, **options) for name, options in METHODS.items()}
    victims = {"MLP": NetClassifier(MLP, random_state=seed, **net), "logistic": linear}
    return [
        {
            "data": dataset,
            "rate": rate,
            "seed": seed,
            "victim": name,
            "flips": method,
            "accuracy": victim.fit(X, poisoned).score(X_test, y_test),
        }
        for method, poisoned in labels.items()
        for name, victim in victims.items()
    ]


parser = argparse.ArgumentParser(description="Flips along influence functions, and by loss.")
parser.add_argument("--seeds", type=int, default=5)
parser.add_argument("--out", type=Path, default=Path())
args = parser.parse_args()

warnings.simplefilter("ignore", ConvergenceWarning)
with threadpool_limits(1):
    frame = pd.DataFrame(
        row
        for dataset in LOADERS
        for rate in RATES
        for seed in range(args.seeds)
        for row in run(dataset, rate, seed)
    )
args.out.mkdir(parents=True, exist_ok=True)
frame.to_csv(args.out / "influence_flips.csv", index=False)
wide = frame.pivot(index=["data", "rate", "victim", "seed"], columns="flips", values="accuracy")
order = ["clean", "random", "loss", *METHODS]
print("Clean test accuracy, mean over seeds\n")
print(wide.groupby(["data", "rate", "victim"], sort=False).mean()[order].round(3).to_string())
print("\nloss - method, mean and 95% interval (positive: the method hurts more)\n")
for (dataset, rate, victim), group in wide.groupby(["data", "rate", "victim"], sort=False):
    for method in METHODS:
        ahead = group["loss"] - group[method]
        mean, low, high = corrected_interval(ahead, TEST_SIZE / (1 - TEST_SIZE))
        print(f"{dataset}, {rate}, {victim}: {method} {mean:+.3f} [{low:+.3f}, {high:+.3f}]")
