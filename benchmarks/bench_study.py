"""The main job against scikit-learn's validation_curve with a plain skorch classifier.

The peer is given the poisoned data of every fold for nothing: they are put under the clean rows,
and its folds are lists of indices. Two jobs for both.
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


def precompute(attack):
    """Clean rows with the poisoned folds below them, and folds as indices into both."""
    if attack is None:
        return X, y, cv
    parts_X, parts_y, folds, n = [X], [y], [], len(y)
    for train, test in cv:
        X_poisoned, y_poisoned = attack.poison(X[train], y[train])
        parts_X.append(X_poisoned)
        parts_y.append(y_poisoned)
        folds.append((np.arange(n, n + len(train)), test))
        n += len(train)
    return np.concatenate(parts_X), np.concatenate(parts_y), folds


precomputed = {name: precompute(attack) for name, attack in attacks.items()}
results = {}


def ours():
    results["ours"] = robustness_curve(
        net,
        X,
        y,
        attacks=attacks,
        param_name="module__width",
        param_range=WIDTHS,
        cv=cv,
        n_jobs=2,
        random_state=0,
    ).scores


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
