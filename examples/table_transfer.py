"""
What does an attack on a surrogate do to trees, forests and neighbours?
========================================================================

`CleanLabelPGA` needs gradients. A victim without gradients is attacked through a surrogate that has
them, and some of the harm is lost on the way. This script measures how much, on three tables of
scikit-learn. Each row moves by at most B standard deviations of the columns, where B is a share of
sqrt(k) and k is the number of columns: at a share of 1 a row may move by one standard deviation in
every column. The surrogates are a logistic regression and a net, each behind a scaler. The control
is noise of the same norm. All victims see the same poisoned folds.

``python examples/table_transfer.py --out docs/results/table_transfer`` writes the table that it
prints, with intervals.
"""

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.datasets import load_breast_cancer, load_diabetes, load_wine
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeClassifier

from skpoison import (
    MLP,
    CleanLabelPGA,
    NetClassifier,
    RandomNoise,
    robustness_curve,
)
from skpoison.study import corrected_interval

SHARES = (0.25, 0.5, 1.0)


def progression():
    """The diabetes table; the label says whether the disease progressed more than the median."""
    X, y = load_diabetes(return_X_y=True)
    return X, (y > np.median(y)).astype(int)


TABLES = {
    "breast cancer": lambda: load_breast_cancer(return_X_y=True),
    "wine": lambda: load_wine(return_X_y=True),
    "diabetes": progression,
}
LINEAR = make_pipeline(StandardScaler(), LogisticRegression())
NET = make_pipeline(
    StandardScaler(), NetClassifier(MLP, module__width=64, lr=0.1, batch_size=32, max_epochs=30)
)
VICTIMS = {
    "boosting": HistGradientBoostingClassifier(max_iter=30),
    "forest": RandomForestClassifier(50),
    "tree": DecisionTreeClassifier(),
    "neighbours": make_pipeline(StandardScaler(), KNeighborsClassifier()),
    "linear": LINEAR,
    "net": NET,
}


def study(X, y, jobs):
    """Curves of accuracy against the budget, for every victim."""
    kwargs = {"norm": "l2,inf", "scale": "std", "clip": "range"}
    attacks = {
        "noise": RandomNoise(**kwargs),
        "linear surrogate": CleanLabelPGA(LINEAR, max_iter=50, **kwargs),
        "net surrogate": CleanLabelPGA(NET, max_iter=50, **kwargs),
    }
    return robustness_curve(
        VICTIMS,
        X,
        y,
        attacks=attacks,
        param_name="strength",
        param_range=[0.0, *(share * np.sqrt(X.shape[1]) for share in SHARES)],
        scoring="accuracy",
        cv=5,
        random_state=0,
        n_jobs=jobs,
    )


def lines_of(name, curves):
    """One line for each victim and share: clean accuracy, and what each attack takes from it."""
    for victim, curve in curves.items():
        scores = {attack: np.asarray(own) for attack, own in curve.scores.items()}
        clean = scores["noise"][0]
        for i, share in enumerate(SHARES, start=1):
            line = {"table": name, "victim": victim, "share": share, "clean": clean.mean()}
            for attack, own in scores.items():
                line[attack] = corrected_interval(clean - own[i], 0.25)
            for attack in ("linear surrogate", "net surrogate"):
                difference = scores["noise"][i] - scores[attack][i]
                line[f"{attack} beyond noise"] = corrected_interval(difference, 0.25)
            yield line


def main():
    parser = argparse.ArgumentParser(description="Attacks through surrogates, on three tables.")
    parser.add_argument("--tables", nargs="+", choices=sorted(TABLES), default=sorted(TABLES))
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--out", type=Path, default=Path())
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    lines = []
    for name, load in TABLES.items():
        if name in args.tables:
            lines += lines_of(name, study(*load(), args.jobs))
    flat = []
    for line in lines:
        row = {}
        for key, value in line.items():
            if hasattr(value, "mean") and hasattr(value, "low"):
                row |= {key: value.mean, f"{key}, low": value.low, f"{key}, high": value.high}
            else:
                row[key] = value
        flat.append(row)
    frame = pd.DataFrame(flat)
    frame.round(4).to_csv(args.out / "table_transfer.csv", index=False)
    print("Loss of accuracy by each attack\n")
    columns = ["clean", "noise", "linear surrogate", "net surrogate"]
    print(frame.set_index(["table", "victim", "share"])[columns].round(3).to_string())


if __name__ == "__main__":
    main()
