"""The attack against its floor, and the projection against the passes it cannot do without."""

import warnings

import numpy as np
import torch
from _harness import compare, interleave, parse, write
from sklearn.frozen import FrozenEstimator

from skpoison import CleanLabelPGA, MnistConvNet, NetClassifier, fetch_mnist, project_l21
from skpoison.attacks._losses import negated_loss

warnings.simplefilter("ignore")
args = parse(__doc__, iterations=2)
rows = []
X, y = fetch_mnist()
net = NetClassifier(MnistConvNet, module__width=100, max_epochs=1, random_state=0)
net.fit(X[:2000], y[:2000])
codes = torch.tensor(y)


def pga():
    CleanLabelPGA(FrozenEstimator(net), norm="l2,inf", budget=1.0, max_iter=args.iterations).poison(
        X, y
    )


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


seconds = interleave({"CleanLabelPGA": pga, "forward + input gradient": floor}, args.rounds)
compare(
    rows, f"{args.iterations} iterations, MNIST 60,000, conv", "CleanLabelPGA", seconds, ">= 0.87"
)

delta = np.random.default_rng(0).standard_normal((1_000_000, 16)).astype(np.float32)


def passes():
    norms = np.linalg.norm(delta, axis=1)
    np.sort(norms)
    return delta * norms[:, np.newaxis]


seconds = interleave(
    {"project_l21": lambda: project_l21(delta, 1e6), "norm + sort + scaling": passes}, args.rounds
)
compare(rows, "project_l21, 1,000,000 x 16", "project_l21", seconds, ">= 0.67")
write(args, "bench_attack", rows)
