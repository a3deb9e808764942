"""Attacks against their floors and a peer, and the projection against its unavoidable passes."""

import contextlib
import subprocess
import sys
import time
import warnings

import numpy as np
import torch
from _harness import compare, interleave, parse, write
from art.attacks.evasion import ProjectedGradientDescent
from art.estimators.classification import PyTorchClassifier
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from torch import nn
from torch.nn import functional as F

from skpoison import (
    MLP,
    CleanLabelPGA,
    GradientMatching,
    MnistConvNet,
    NetClassifier,
    fetch_mnist,
    project_l21,
)
from skpoison.attacks._losses import negated_loss

warnings.simplefilter("ignore")
# `steps` are those of the attacks on tables, `iterations` of the attack on images; `busy` other
# processes compute at the same time.
args = parse(__doc__, part="all", iterations=2, steps=100, busy=0)
rows = []
# The cores are part of a result: one for every contender.
torch.set_num_threads(1)


def measure(what, ours, contenders, goal):
    """A row for each contender in seconds of wall time, and one in seconds of the processor."""
    seconds = {name: [] for name in contenders}

    def timed(name):
        start = time.process_time()
        contenders[name]()
        seconds[name].append(time.process_time() - start)

    wall = interleave({name: lambda name=name: timed(name) for name in contenders}, args.rounds)
    busy = f", {args.busy} busy beside" if args.busy else ""
    compare(rows, what + busy, ours, wall, goal)
    # Without the warm-up.
    cpu = {name: values[1:] for name, values in seconds.items()}
    compare(rows, what + busy + ", CPU", ours, cpu, goal)


def images():
    X, y = fetch_mnist()
    net = NetClassifier(MnistConvNet, module__width=100, max_epochs=1, random_state=0)
    net.fit(X[:2000], y[:2000])
    codes = torch.tensor(y)

    def pga():
        CleanLabelPGA(
            FrozenEstimator(net), norm="l2,inf", budget=1.0, max_iter=args.iterations
        ).poison(X, y)

    def floor():
        """As many gradients as the attack takes, and its forward pass for the last loss."""
        data = torch.tensor(X)
        for step in range(args.iterations + 1):
            for k in range(0, len(X), 4096):
                rows_ = data[k : k + 4096].clone().requires_grad_(step < args.iterations)
                with torch.set_grad_enabled(step < args.iterations):
                    loss = negated_loss(net.logits(rows_), codes[k : k + 4096])
                if step < args.iterations:
                    torch.autograd.grad(loss.sum(), rows_)

    measure(
        f"{args.iterations} iterations, MNIST 60,000, conv",
        "CleanLabelPGA",
        {"CleanLabelPGA": pga, "forward + input gradient": floor},
        ">= 0.87",
    )


def projection():
    delta = np.random.default_rng(0).standard_normal((1_000_000, 16)).astype(np.float32)

    def passes():
        norms = np.linalg.norm(delta, axis=1)
        np.sort(norms)
        return delta * norms[:, np.newaxis]

    measure(
        "project_l21, 1,000,000 x 16",
        "project_l21",
        {"project_l21": lambda: project_l21(delta, 1e6), "norm + sort + scaling": passes},
        ">= 0.67",
    )


def table(n, d, dtype):
    """Rows, labels and standard deviations of 1: one class on each side of a plane, with noise."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((n, d))
    y = (X @ rng.standard_normal(d) + rng.standard_normal(n) > 0).astype(int)
    return X.astype(dtype), y


def peer(module, X, y, budget):
    """ART's attack with the norm, the budget and the steps of ours, which ends as far away."""
    classifier = PyTorchClassifier(
        module, nn.CrossEntropyLoss(), input_shape=X.shape[1:], nb_classes=2, device_type="cpu"
    )
    attack = ProjectedGradientDescent(
        classifier,
        norm=2,
        eps=budget,
        eps_step=4 * budget / args.steps,
        max_iter=args.steps,
        batch_size=4096,
        verbose=False,
    )
    return lambda: attack.generate(X.astype(np.float32), y)


def linear_table():
    X, y = table(200_000, 50, np.float64)
    surrogate = LogisticRegression().fit(X[:20_000], y[:20_000])
    coef, bias = surrogate.coef_[0], surrogate.intercept_[0]
    low, high = float(X.min()), float(X.max())
    sides = 1 - 2 * y

    def ours(norm, budget, clip):
        def attack():
            CleanLabelPGA(
                FrozenEstimator(surrogate),
                norm=norm,
                budget=budget,
                loss="cross_entropy",
                clip=clip,
                max_iter=args.steps,
            ).poison(X, y)

        return attack

    def bare(norm, budget, clip):
        """The same steps as one would write them down, on all rows at once."""

        def attack():
            delta = np.zeros_like(X)
            for step in range(args.steps):
                position = X + delta
                margins = sides * (position @ coef + bias)
                np.logaddexp(0, margins).mean()
                gradient = (sides / (1 + np.exp(-margins)))[:, np.newaxis] * coef
                if clip is not None:
                    gradient[(position <= low) & (gradient < 0)] = 0
                    gradient[(position >= high) & (gradient > 0)] = 0
                slopes = np.linalg.norm(gradient, axis=1)
                length = 8 * budget / args.steps * (1 - step / args.steps)
                if norm == "l2,1":
                    length = length * np.sqrt(len(X)) * slopes / slopes.sum()
                delta += (length / slopes)[:, np.newaxis] * gradient
                if norm == "l2,1":
                    delta = project_l21(delta, budget * np.sqrt(len(X)))
                else:
                    norms = np.linalg.norm(delta, axis=1)
                    delta *= np.minimum(1, budget / norms)[:, np.newaxis]
                if clip is not None:
                    delta = np.clip(X + delta, low, high) - X

        return attack

    module = nn.Linear(X.shape[1], 2)
    with torch.no_grad():
        module.weight.copy_(torch.tensor(np.stack([np.zeros_like(coef), coef])))
        module.bias.copy_(torch.tensor([0.0, bias]))
    what = f"{args.steps} steps, table 200,000 x 50, linear"
    for norm, budget, clip in [
        ("l2,inf", 0.5, None),
        ("l2,inf", 0.5, (low, high)),
        ("l2,1", 300.0, None),
        ("l2,1", 300.0, (low, high)),
    ]:
        contenders = {
            "CleanLabelPGA": ours(norm, budget, clip),
            "bare NumPy loop": bare(norm, budget, clip),
        }
        if norm == "l2,inf" and clip is None:
            contenders["ART"] = peer(module, X, y, budget)
        box = "" if clip is None else ", box"
        measure(f"{what}, {norm}{box}", "CleanLabelPGA", contenders, "ours <= 8 s of CPU")


def net_table():
    X, y = table(20_000, 20, np.float32)
    net = NetClassifier(MLP, module__width=64, lr=0.1, max_epochs=3, random_state=0).fit(X, y)

    def ours():
        CleanLabelPGA(
            FrozenEstimator(net),
            norm="l2,inf",
            budget=0.5,
            loss="cross_entropy",
            clip=None,
            max_iter=args.steps,
        ).poison(X, y)

    measure(
        f"{args.steps} steps, table 20,000 x 20, MLP(64)",
        "CleanLabelPGA",
        {"CleanLabelPGA": ours, "ART": peer(net.module_, X, y, 0.5)},
        "",
    )


def matching():
    X, y = table(20_000, 20, np.float32)
    net = NetClassifier(MLP, module__width=64, lr=0.1, max_epochs=3, random_state=0).fit(X, y)
    target = X[:1], 1 - y[:1]

    def ours():
        GradientMatching(
            FrozenEstimator(net), target, budget=0.5, clip=None, max_iter=args.steps, random_state=0
        ).poison(X, y)

    def floor():
        """As many gradients of the gradient as the attack takes, for as many rows."""
        own = np.flatnonzero(y == target[1])[: len(X) // 10]
        data, codes = torch.tensor(X[own]), torch.tensor(y[own])
        parameters = list(net.module_.parameters())
        for _ in range(args.steps):
            rows_ = data.clone().requires_grad_()
            loss = F.cross_entropy(net.logits(rows_), codes, reduction="sum")
            slopes = torch.autograd.grad(loss, parameters, create_graph=True)
            total = torch.cat([slope.reshape(-1) for slope in slopes])
            torch.autograd.grad(total @ total.detach(), rows_)

    measure(
        f"{args.steps} steps of matching, 2,000 of 20,000 x 20, MLP(64)",
        "GradientMatching",
        {"GradientMatching": ours, "double gradient": floor},
        "",
    )


@contextlib.contextmanager
def busy():
    """Other processes that multiply matrices as long as the block runs."""
    code = "import numpy as np\na = np.ones((1000, 1000))\nwhile True:\n    a @ a"
    others = [subprocess.Popen([sys.executable, "-c", code]) for _ in range(args.busy)]
    try:
        yield
    finally:
        for other in others:
            other.terminate()
            other.wait()


PARTS = {
    "images": images,
    "projection": projection,
    "linear": linear_table,
    "net": net_table,
    "matching": matching,
}
with busy():
    for part in PARTS if args.part == "all" else args.part.split(","):
        PARTS[part]()
name = "bench_attack" if args.part == "all" else f"bench_attack_{args.part.replace(',', '_')}"
write(args, name + ("_busy" if args.busy else ""), rows)
