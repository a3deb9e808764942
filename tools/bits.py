"""Hashes of what the package computes, for a change that must not change results.

    python tools/bits.py bits.json           # before the change: writes the hashes
    python tools/bits.py bits.json           # after it: compares them, and says which differ

One machine and one set of versions only: other processors round otherwise.
"""

import hashlib
import json
import sys
import tempfile
import warnings
from pathlib import Path

import numpy as np
import torch
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeClassifier
from skorch.callbacks import LRScheduler
from torch import nn

from skpoison import (
    MLP,
    BackdoorPatch,
    ChainedAttack,
    CleanLabelPGA,
    GradientMatching,
    LabelFlip,
    Linear,
    LossTrimming,
    MnistConvNet,
    NetClassifier,
    PartitionEnsemble,
    PoisonedClassifier,
    RandomNoise,
    breaking_point,
    fit_many,
    robustness_curve,
)
from skpoison.study import validation_curve

torch.set_num_threads(1)
X, y = load_digits(return_X_y=True)
X, y = X[:400] / 16, y[:400]
X_test, y_test = load_digits(return_X_y=True)
X_test, y_test = X_test[400:700] / 16, y_test[400:700]
IMAGES = np.pad(
    X[:150].reshape(-1, 1, 8, 8).repeat(3, 2).repeat(3, 3), [(0, 0), (0, 0), (2, 2), (2, 2)]
)


class Dropout(nn.Module):
    """A module that draws at each step, and is no chain of linear layers."""

    def __init__(self, n_features, n_classes, width=16):
        super().__init__()
        self.first, self.last = nn.Linear(n_features, width), nn.Linear(width, n_classes)

    def forward(self, X):
        return self.last(nn.functional.dropout(self.first(X).relu(), 0.3, self.training))


def digest(*values):
    """A hash of arrays, nested in lists and dicts."""
    found = hashlib.sha256()

    def add(value):
        if isinstance(value, dict):
            for key in value:
                found.update(str(key).encode())
                add(value[key])
        elif isinstance(value, (list, tuple)):
            for part in value:
                add(part)
        elif isinstance(value, nn.Module):
            add({name: p.detach().numpy() for name, p in value.state_dict().items()})
        else:
            array = np.ascontiguousarray(value)
            found.update(repr((array.dtype.str, array.shape)).encode())
            found.update(array.tobytes())

    add(values)
    return found.hexdigest()[:16]


def net(module=MLP, **kwargs):
    kwargs = {"lr": 0.3, "max_epochs": 4, "batch_size": 32, "random_state": 3, **kwargs}
    return NetClassifier(module, **kwargs)


def of_net(fitted):
    history = [fitted.history_[:, "train_loss"]]
    return digest(fitted.module_, history, fitted.predict_proba(X_test))


def decay():
    return [("decay", LRScheduler(policy="CosineAnnealingLR", T_max=4))]


def attacks():
    surrogate = net(module__width=20)
    options = {"surrogate": surrogate, "max_iter": 12, "random_state": 1}
    return {
        "A": CleanLabelPGA(budget=20.0, **options),
        "B": CleanLabelPGA(norm="l2,inf", budget=0.7, **options),
        "A cross-entropy, few rows": CleanLabelPGA(
            budget=20.0, loss="cross_entropy", max_fraction=0.2, **options
        ),
        "B linear": CleanLabelPGA(
            LogisticRegression(max_iter=50), norm="l2,inf", budget=0.7, max_iter=12, random_state=1
        ),
        "noise": RandomNoise(norm="l2,1", budget=20.0, random_state=1),
        "C": LabelFlip(0.3, random_state=1),
        "C exact, uniform": LabelFlip(0.3, transition="uniform", sampling="exact", random_state=1),
        "C by loss": LabelFlip(0.3, selection="loss", surrogate=surrogate, random_state=1),
        "backdoor": BackdoorPatch(
            np.where(np.arange(64) < 4, 1.0, np.nan), target=3, rate=0.2, random_state=1
        ),
        "matching": GradientMatching(
            surrogate,
            (X_test[:1], [1]),
            norm="l2,inf",
            budget=1.0,
            max_fraction=0.1,
            max_iter=5,
            random_state=1,
        ),
        "A then C": ChainedAttack(
            [
                CleanLabelPGA(budget=20.0, surrogate=surrogate, max_iter=6, random_state=1),
                LabelFlip(0.2, random_state=2),
            ]
        ),
    }


def nets():
    return {
        "MLP": net(),
        "Linear": net(Linear),
        "Dropout": net(Dropout),
        "early stopping": net(early_stopping=True, n_iter_no_change=2, max_epochs=8),
        "momentum": net(optimizer__momentum=0.9, lr=0.05),
        "schedule": net(callbacks=decay()),
        "all rows, last batch kept": net(batch_size=-1, drop_last=False),
    }


def of_curve(curve):
    return digest(curve.scores, curve.train_scores)


def studies():
    few = {k: v for k, v in attacks().items() if k in ("A", "C", "A then C")}
    common = {"attacks": {"clean": None, **few}, "cv": 3, "random_state": 0}
    width = {"param_name": "module__width", "param_range": [4, 32]}
    test = {"test": (X_test, y_test)}
    victim = net(max_epochs=3)
    yield "fold", robustness_curve(victim, X, y, **common, **width, n_repeats=2)
    yield "fold, one by one", robustness_curve(victim, X, y, **common, **width, fused=False)
    yield "two jobs", robustness_curve(victim, X, y, **common, **width, n_jobs=2)
    yield "dataset", robustness_curve(victim, X, y, **common, **width, **test, poison="dataset")
    yield (
        "held out",
        robustness_curve(
            clone(victim).set_params(early_stopping=True),
            X,
            y,
            **common,
            **width,
            poison="dataset",
            early_stop_on="held-out",
            **test,
        ),
    )
    tree = {"param_name": "max_depth", "param_range": [2, None]}
    labels = {**common, "attacks": {"clean": None, "C": attacks()["C"]}}
    yield "tree", robustness_curve(DecisionTreeClassifier(), X, y, **labels, **tree)
    several = robustness_curve(
        make_pipeline(StandardScaler(), DecisionTreeClassifier()),
        X,
        y,
        **labels,
        param_name="decisiontreeclassifier__max_depth",
        param_range=[2, 5],
        scoring=["accuracy", "f1_macro"],
    )
    yield from ((f"tree, {metric}", curve) for metric, curve in several.items())
    with tempfile.TemporaryDirectory() as folder:
        for start in ("first", "again"):
            yield (
                f"memory, {start}",
                robustness_curve(victim, X, y, **common, **width, memory=folder),
            )


def hashes():
    found = {}
    for name, attack in attacks().items():
        X_new, y_new = attack.poison(X, y)
        found[f"attack {name}"] = digest(X_new, y_new, attack.poison_indices_)
    for name, estimator in nets().items():
        found[f"net {name}"] = of_net(estimator.fit(X, y))
    found["net partial_fit"] = of_net(net().partial_fit(X, y).partial_fit(X[:200], y[:200]))
    found["net warm_start"] = of_net(net(warm_start=True).fit(X, y).fit(X, y))
    conv = net(MnistConvNet, module__width=12, max_epochs=2).fit(IMAGES, y[:150])
    found["net MnistConvNet"] = digest(conv.module_, conv.predict_proba(IMAGES))
    for name, estimator in nets().items():
        members = [clone(estimator).set_params(random_state=k) for k in range(4)]
        data = [(X[k : k + 300], y[k : k + 300]) for k in range(4)]
        fitted = fit_many(members, data, fused=True)
        found[f"stack {name}"] = "".join(of_net(member)[:4] for member in fitted)
    for name, curve in studies():
        found[f"study {name}"] = of_curve(curve)
    train_scores, scores = validation_curve(
        net(max_epochs=3), X, y, param_name="module__width", param_range=[4, 32], cv=3
    )
    found["validation_curve"] = digest(train_scores, scores)
    point = breaking_point(
        net(max_epochs=3),
        X,
        y,
        attack=LabelFlip(),
        budget_name="rate",
        max_budget=0.9,
        drop=0.1,
        cv=3,
        random_state=0,
    )
    drops = [tuple(drop) for drop in point.drops.values()]
    found["breaking_point"] = digest([point.budget, point.low, point.high], drops)
    for name, defence in {
        "PartitionEnsemble": PartitionEnsemble(net(), 6, random_state=2),
        "PartitionEnsemble of trees": PartitionEnsemble(
            DecisionTreeClassifier(), 6, random_state=2
        ),
        "LossTrimming": LossTrimming(net(), 0.2, random_state=2),
        "PoisonedClassifier": PoisonedClassifier(net(), attacks()["A then C"]),
    }.items():
        found[f"defence {name}"] = digest(defence.fit(X, y).predict_proba(X_test))
    return found


def main():
    path = Path(sys.argv[1])
    warnings.simplefilter("ignore")
    found = hashes()
    if not path.exists():
        path.write_text(json.dumps(found, indent=1) + "\n")
        print(f"Written: {len(found)} hashes to {path}")
        return
    before = json.loads(path.read_text())
    differ = [name for name in before | found if before.get(name) != found.get(name)]
    for name in differ:
        print(f"{name}: was {before.get(name)}, is {found.get(name)}")
    print(f"{len(before)} hashes: {len(differ)} differ")
    sys.exit(bool(differ))


if __name__ == "__main__":
    main()
