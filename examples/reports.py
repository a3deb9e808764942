"""The example reports of docs/results/reports: a table, images, and a pipeline with two defences.

python examples/reports.py --out docs/results/reports
"""

import argparse
import csv
import gzip
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import sklearn
from sklearn.datasets import load_breast_cancer, load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skpoison import MLP, LossTrimming, NetClassifier, PartitionEnsemble, robustness_report
from skpoison.report import run_command

# The passengers of the Titanic, as OpenML has them; scikit-learn brings the file for its tests.
TITANIC = "datasets/tests/data/openml/id_40945/data-v1-dl-16826755.arff.gz"
# Those that are known before the ship sinks, and are neither names nor numbers of tickets.
COLUMNS = ["pclass", "sex", "age", "sibsp", "parch", "fare", "cabin", "embarked"]


def titanic():
    """The table: 1,309 rows with missing cells and columns of text."""
    text = gzip.open(Path(sklearn.__file__).parent / TITANIC, "rt", encoding="utf-8").read()
    head, body = text.split("@DATA" if "@DATA" in text else "@data")
    names = [
        line.split()[1].strip("'\"")
        for line in head.splitlines()
        if line.lower().startswith("@attribute")
    ]
    rows = [[cell.strip("'") for cell in row] for row in csv.reader(body.strip().splitlines())]
    frame = pd.DataFrame(rows, columns=names).replace("?", np.nan)
    return frame[[*COLUMNS, "survived"]].replace({"survived": {"0": "no", "1": "yes"}})


def table(out, memory):
    titanic().to_csv(out / "titanic.csv", index=False)
    command = ["report", str(out / "titanic.csv"), "--target", "survived"]
    command += ["--memory", str(memory)] if memory else []
    return run_command([*command, "--out", str(out / "titanic.html")])


def images(out, memory):
    X, y = load_digits(return_X_y=True)
    X = (X / 16).reshape(-1, 1, 8, 8).astype(np.float32)
    net = NetClassifier(MLP, module__width=64, lr=0.5, batch_size=32, max_epochs=20)
    report = robustness_report(
        {"net": net}, X, y, n_jobs=-1, memory=memory, random_state=0, progress=True
    )
    report.to_html(out / "digits.html")


def defences(out, memory):
    X, y = load_breast_cancer(return_X_y=True, as_frame=True)
    y = y.map({0: "malignant", 1: "benign"})
    linear = make_pipeline(StandardScaler(), LogisticRegression())
    victims = {
        "linear": linear,
        "trimmed": LossTrimming(linear, fraction=0.2),
        "votes": PartitionEnsemble(linear, n_partitions=15),
    }
    report = robustness_report(
        victims, X, y, n_jobs=-1, memory=memory, random_state=0, progress=True
    )
    report.to_html(out / "defences.html")


MAKERS = {"titanic": table, "digits": images, "defences": defences}

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("."))
    parser.add_argument("--memory", type=Path, help="where to keep finished fits")
    parser.add_argument("--only", choices=MAKERS, action="append")
    options = parser.parse_args()
    sys.exit(max(MAKERS[name](options.out, options.memory) or 0 for name in options.only or MAKERS))
