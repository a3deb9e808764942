"""Training: stacks of nets against one by one, and one net against its peers and the floor."""

import warnings

import numpy as np
import torch
from _harness import compare, interleave, parse, write
from art.estimators.classification import PyTorchClassifier
from joblib import Parallel, delayed
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.neural_network import MLPClassifier
from skorch import NeuralNetClassifier
from torch import nn

from skpoison import MLP, Linear, MnistConvNet, NetClassifier, fetch_mnist, fit_many

warnings.simplefilter("ignore")
args = parse(__doc__, part="all", device="auto")
rows = []
X_digits, y_digits = load_digits(return_X_y=True)
digits = ((X_digits / 16).astype(np.float32)[:1437], y_digits[:1437])


def nets(n, module, epochs, **kwargs):
    return [
        NetClassifier(module, max_epochs=epochs, random_state=k, device=args.device, **kwargs)
        for k in range(n)
    ]


def one_by_one(n, module, data, epochs, **kwargs):
    for net in nets(n, module, epochs, **kwargs):
        net.fit(*data)


def stacks():
    kwargs = {"module__width": 64, "lr": 0.5, "batch_size": 32}

    def mlp_classifiers():
        Parallel(n_jobs=2)(
            delayed(
                MLPClassifier(
                    (64,),
                    solver="sgd",
                    momentum=0,
                    alpha=0,
                    learning_rate_init=0.5,
                    batch_size=32,
                    max_iter=30,
                    n_iter_no_change=1000,
                    random_state=k,
                ).fit
            )(*digits)
            for k in range(60)
        )

    seconds = interleave(
        {
            "fit_many": lambda: fit_many(nets(60, MLP, 30, **kwargs), [digits] * 60),
            "NetClassifier.fit": lambda: one_by_one(60, MLP, digits, 30, **kwargs),
            "MLPClassifier n_jobs=2": mlp_classifiers,
        },
        args.rounds,
    )
    compare(rows, "60 nets, MLP(64), digits", "fit_many", seconds, ">= 10 (fit), >= 5 (MLPC)")


def grid():
    X, y = fetch_mnist()
    images = (X[:5000], y[:5000])
    cells = [
        (n, MLP, width, digits, 3, 0.5, 32) for n in (1, 5, 20, 60) for width in (4, 64, 1024, 4096)
    ]
    cells += [
        (n, MnistConvNet, width, images, 1, 0.1, 128)
        for n in (1, 5, 20)  # 60 would take an hour; the rule does not look at their number.
        for width in (4, 64, 1024, 4096)
    ]
    for n, module, width, data, epochs, lr, batch_size in cells:
        kwargs = {"module__width": width, "lr": lr, "batch_size": batch_size}
        arguments = n, module, data, epochs
        seconds = interleave(
            {
                "fit_many": lambda a=arguments, k=kwargs: fit_many(
                    nets(a[0], a[1], a[3], **k), [a[2]] * a[0]
                ),
                "NetClassifier.fit": lambda a=arguments, k=kwargs: one_by_one(*a, **k),
            },
            args.rounds,
        )
        compare(rows, f"{n} x {module.__name__}({width})", "fit_many", seconds, ">= 0.95")


def hand_written(module, X, y, epochs, lr, batch_size):
    """The floor: a bare loop over slices of tensors, with the same work a step."""
    optimizer = torch.optim.SGD(module.parameters(), lr=lr)
    criterion = nn.CrossEntropyLoss()
    X, y = torch.tensor(X), torch.tensor(y)
    for _ in range(epochs):
        order = torch.randperm(len(X))
        for k in range(len(X) // batch_size):
            batch = order[k * batch_size : (k + 1) * batch_size]
            optimizer.zero_grad()
            criterion(module(X[batch]), y[batch]).backward()
            optimizer.step()


def single(module, make, n_rows, epochs, peers, goal):
    X, y = fetch_mnist()
    X, y = X[:n_rows], y[:n_rows]

    def plain_skorch():
        NeuralNetClassifier(
            make,
            criterion=nn.CrossEntropyLoss,
            optimizer=torch.optim.SGD,
            lr=0.1,
            batch_size=128,
            max_epochs=epochs,
            iterator_train__shuffle=True,
            iterator_train__drop_last=True,
            train_split=None,
            verbose=0,
        ).fit(X, y)

    def art():
        net = make()
        PyTorchClassifier(
            model=net,
            loss=nn.CrossEntropyLoss(),
            optimizer=torch.optim.SGD(net.parameters(), lr=0.1),
            input_shape=(1, 28, 28),
            nb_classes=10,
            device_type="cpu",
        ).fit(X, y, batch_size=128, nb_epochs=epochs)

    kwargs = {} if module is Linear else {"module__width": 100}
    contenders = {
        "NetClassifier.fit": lambda: one_by_one(1, module, (X, y), epochs, lr=0.1, **kwargs),
        "hand-written loop": lambda: hand_written(make(), X, y, epochs, 0.1, 128),
        "plain skorch": plain_skorch,
        "ART": art,
    }
    seconds = interleave({name: contenders[name] for name in peers}, args.rounds)
    compare(rows, f"{module.__name__}, MNIST {n_rows}", "NetClassifier.fit", seconds, goal)


def cost():
    """How the time of `fit_many` grows: slopes of log seconds, over the range and at its end."""
    X, y = fetch_mnist()
    rng = np.random.default_rng(0)

    def seconds(n=2000, width=64, n_nets=5, n_classes=10):
        labels = y[:n] if n_classes == 10 else rng.permutation(np.arange(n) % n_classes)
        group = nets(n_nets, MLP, 2, module__width=width, batch_size=32, lr=0.01)
        times = interleave(
            {
                "fit_many": lambda: fit_many(
                    [clone(net) for net in group], [(X[:n], labels)] * n_nets
                )
            },
            args.rounds,
        )
        return float(np.median(times["fit_many"]))

    ranges = {
        "n": [1000, 2000, 4000, 8000, 16000],
        "width": [4, 16, 64, 256, 1024, 4096],
        "n_nets": [3, 6, 12, 24, 48],
        "n_classes": [2, 8, 32, 128, 512],
    }
    for name, values in ranges.items():
        times = [seconds(**{name: value}) for value in values]
        slope = float(np.polyfit(np.log(values), np.log(times), 1)[0])
        last = float(np.diff(np.log(times))[-1] / np.diff(np.log(values))[-1])
        rows.append(
            {"what": f"cost over {name}", "values": values, "seconds": times}
            | {"exponent": slope, "exponent_at_the_end": last}
        )
        print(f"{name}: exponent {slope:.2f}, at the end {last:.2f}; {values} {times}", flush=True)


PARTS = {
    "stacks": stacks,
    "linear": lambda: single(
        Linear,
        lambda: Linear(784, 10),
        10_000,
        5,
        ["NetClassifier.fit", "hand-written loop", "plain skorch", "ART"],
        ">= 0.87 (loop), >= 2.5 (skorch), >= 3 (ART)",
    ),
    "conv": lambda: single(
        MnistConvNet,
        lambda: MnistConvNet(100),
        5000,
        1,
        ["NetClassifier.fit", "hand-written loop"],
        ">= 0.95",
    ),
    "grid": grid,
    "cost": cost,
}
for name, part in PARTS.items():
    if args.part in ("all", name):
        part()
write(args, f"bench_fit_{args.part}", rows)
