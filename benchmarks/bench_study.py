"""The main job against scikit-learn's validation_curve with a plain skorch classifier.

The peer is given the poisoned data of every fold for nothing: they are put under the clean rows,
and its folds are lists of indices. They are the very rows that our study makes and trains on, taken
down in a run of it before. Two jobs for both.
"""

import numpy as np
import torch
from _harness import compare, interleave, parse, write
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.model_selection import StratifiedKFold, validation_curve
from skorch import NeuralNetClassifier
from skorch.callbacks import LRScheduler

from skpoison import MLP, CleanLabelPGA, LabelFlip, NetClassifier, robustness_curve

WIDTHS = [2, 4, 16, 64, 256, 1024, 4096]

args = parse(__doc__)
X, y = load_digits(return_X_y=True)
X = (X / 16).astype(np.float32)
cv = list(StratifiedKFold(5, shuffle=True, random_state=0).split(X, y))
decay = [("decay", LRScheduler(policy="CosineAnnealingLR", T_max=30))]
net = NetClassifier(MLP, lr=0.5, batch_size=32, max_epochs=30, callbacks=decay)
surrogate = clone(net).set_params(module__width=100)
attacks = {
    "clean": None,
    "A": CleanLabelPGA(surrogate, norm="l2,1", budget=30.0, random_state=0),
    "B": CleanLabelPGA(surrogate, norm="l2,inf", budget=1.0, random_state=0),
    "C": LabelFlip(0.3, random_state=0),
}
plain = NeuralNetClassifier(
    MLP,
    module__n_features=64,
    module__n_classes=10,
    criterion=torch.nn.CrossEntropyLoss,
    optimizer=torch.optim.SGD,
    lr=0.5,
    batch_size=32,
    max_epochs=30,
    iterator_train__shuffle=True,
    iterator_train__drop_last=True,
    train_split=None,
    callbacks=decay,
    verbose=0,
)


class Recorded:
    """An attack of the study that takes down what it returns; n_jobs=1 only."""

    def poison(self, X, y):
        poisoned = super().poison(X, y)
        record.setdefault(type(self), []).append((np.array(X), *poisoned))
        return poisoned


record = {}


def study(attacks, **kwargs):
    return robustness_curve(
        net, X, y, attacks=attacks, param_name="module__width", cv=cv, random_state=0, **kwargs
    )


def precompute(name):
    """Clean rows with the poisoned folds below them, and folds as indices into both."""
    attack = attacks[name]
    if attack is None:
        return X, y, cv
    recorded = type(name, (Recorded, type(attack)), {})(**attack.get_params(deep=False))
    study({name: recorded}, param_range=WIDTHS[:1], n_jobs=1)
    parts_X, parts_y, folds, n = [X], [y], [], len(y)
    for train, test in cv:
        found = [part for part in record[type(recorded)] if np.array_equal(part[0], X[train])]
        ((_, X_poisoned, y_poisoned),) = found
        parts_X.append(X_poisoned)
        parts_y.append(y_poisoned)
        folds.append((np.arange(n, n + len(train)), test))
        n += len(train)
    return np.concatenate(parts_X), np.concatenate(parts_y), folds


precomputed = {name: precompute(name) for name in attacks}
results = {}


def ours():
    results["ours"] = study(attacks, param_range=WIDTHS, n_jobs=2).scores


def peer():
    results["peer"] = {
        name: validation_curve(
            plain, X_, y_, param_name="module__width", param_range=WIDTHS, cv=folds, n_jobs=2
        )[1]
        for name, (X_, y_, folds) in precomputed.items()
    }


rows = []
compare(
    rows,
    "main job: 7 widths x 5 folds x 4 conditions",
    "robustness_curve",
    interleave({"robustness_curve": ours, "validation_curve+skorch": peer}, args.rounds),
    ">= 5, and ours <= 60 s",
)
scores = {
    name: [
        {"width": width, "ours": float(a.mean()), "peer": float(b.mean())}
        for width, a, b in zip(WIDTHS, results["ours"][name], results["peer"][name], strict=True)
    ]
    for name in attacks
}
for name, table in scores.items():
    print(name, " ".join(f"{r['width']}: {r['ours']:.3f}/{r['peer']:.3f}" for r in table))
write(args, "bench_study", rows, scores=scores)
