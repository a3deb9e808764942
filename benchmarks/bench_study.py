"""The main job against scikit-learn's validation_curve with a plain skorch classifier.

The peer is given the poisoned data of every fold for nothing: they are put under the clean rows,
and its folds are lists of indices. They are the very rows that our study makes and trains on, taken
down in a run of it before. Two jobs for both, whose workers start anew in each round: every worker
imports torch and more, which is part of the time.

The floor is what the job cannot do without, on the same cores: the matrix products of all training
steps and predictions, and one pass forward and back for each step of an attack. Its workers are
warm, and share the work evenly. `--rounds 3` takes a quarter of an hour on two free cores.
"""

import time

import numpy as np
import torch
from _harness import compare, cpu_seconds, parse, write
from joblib import Parallel, delayed
from joblib.externals.loky import get_reusable_executor
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


def floor_of_half(n_rows):
    """Half of the arithmetic of the job; returns its wall and CPU seconds."""
    torch.set_num_threads(1)
    start, before = time.perf_counter(), time.process_time()
    n_folds, n_conditions, n_epochs, n_iterations, size = 5, len(attacks), 30, 100, 32
    n_train = n_rows * (n_folds - 1) // n_folds
    n_steps = n_epochs * (n_train // size)
    n_nets = n_folds * n_conditions // 2
    for width in WIDTHS:
        # Nets of 4,096 units are trained one by one, all others together.
        together = 1 if width == 4096 else n_nets
        for _ in range(n_nets // together):
            products(width, together, size, n_steps)
            predictions(width, together, size, n_rows)
    # A and B have equal surrogates: one fit a fold would do for both.
    products(100, 1, size, n_steps * n_folds // 2)
    module = MLP(64, 10, width=100)
    rows, codes = torch.rand(n_train, 64), torch.zeros(n_train, dtype=torch.int64)
    for _ in range(2 * n_folds * n_iterations // 2):
        rows.requires_grad_()
        loss = torch.nn.functional.cross_entropy(module(rows), codes, reduction="sum")
        (gradient,) = torch.autograd.grad(loss, rows)
        rows = rows.detach().add(gradient, alpha=1e-6)
    return time.perf_counter() - start, time.process_time() - before


def products(width, n_nets, size, n_steps):
    """The matrix products of training steps: there are two layers, and no more than this."""
    first, second = torch.rand(n_nets, width, 64), torch.rand(n_nets, 10, width)
    X, units = torch.rand(n_nets, size, 64), torch.rand(n_nets, width, size)
    slope, below = torch.zeros(n_nets, 10, size), torch.zeros(n_nets, width, size)
    for _ in range(n_steps):
        torch.bmm(first, X.mT)
        torch.bmm(second, units)
        torch.bmm(second.mT, slope)
        second.baddbmm_(slope, units.mT)
        first.baddbmm_(below, X)


def predictions(width, n_nets, size, n_rows):
    """The products that score training and test rows, in the batches of the nets."""
    first, second = torch.rand(width, 64), torch.rand(10, width)
    X, units = torch.rand(size, 64), torch.rand(size, width)
    for _ in range(n_nets * (n_rows // size)):
        X @ first.T
        units @ second.T


def measure(function):
    """Wall and CPU seconds of a call whose workers start anew."""
    get_reusable_executor().shutdown(wait=True)
    start, before = time.perf_counter(), cpu_seconds()
    function()
    wall = time.perf_counter() - start
    get_reusable_executor().shutdown(wait=True)  # Only what has ended is counted.
    return wall, cpu_seconds() - before


def measure_floor():
    """Wall seconds of the slower half, and CPU seconds of both."""
    with Parallel(n_jobs=2) as parallel:
        parallel(delayed(floor_of_half)(64) for _ in range(2))
        halves = parallel(delayed(floor_of_half)(len(y)) for _ in range(2))
    wall, cpu = zip(*halves, strict=True)
    return max(wall), sum(cpu)


contenders = {
    "robustness_curve": lambda: measure(ours),
    "validation_curve+skorch": lambda: measure(peer),
    "floor": measure_floor,
}
wall, cpu = ({name: [] for name in contenders} for _ in range(2))
for _ in range(args.rounds):
    for name, measured in contenders.items():
        seconds = measured()
        wall[name].append(seconds[0])
        cpu[name].append(seconds[1])
rows = []
goal = ">= 5 (the floor: >= 0.87), and ours <= 60 s"
what = "main job: 7 widths x 5 folds x 4 conditions"
compare(rows, what, "robustness_curve", wall, goal)
compare(rows, "the same, CPU seconds", "robustness_curve", cpu)
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
