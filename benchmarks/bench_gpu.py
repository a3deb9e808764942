"""On one CUDA device: stacks of the paper's net, and a step at width 100,000 against its floor.

Checks first that a net trained in a stack is the one trained alone. Each result is written as soon
as it is there. ``--scale smoke`` runs the same on small nets and digits, on a CPU too: it shows
that the script works, and its seconds say nothing about a GPU.
"""

import time

import numpy as np
import torch
from _harness import compare, interleave, parse, write
from sklearn.datasets import load_digits
from sklearn.model_selection import StratifiedKFold

from skpoison import MnistConvNet, NetClassifier, fetch_mnist, fit_many
from skpoison._switches import full_precision

SIZES = {
    "full": {"n_nets": 100, "wide": 100_000, "block": 2**28, "square": 8192, "repeats": 50},
    "smoke": {"n_nets": 5, "wide": 64, "block": 2**20, "square": 256, "repeats": 3},
}

args = parse(__doc__.splitlines()[0], epochs=2, scale="full", device="cuda")
if args.scale not in SIZES:
    raise SystemExit(f"bench_gpu.py: error: --scale must be full or smoke, got {args.scale}")
if args.device.startswith("cuda") and not torch.cuda.is_available():
    raise SystemExit("bench_gpu.py: error: --device must be cpu on a machine without CUDA")
size = SIZES[args.scale]
on_gpu = args.device.startswith("cuda")
gpu = torch.cuda.get_device_name() if on_gpu else None
if args.scale == "full":
    X, y = fetch_mnist()
else:
    images, y = load_digits(return_X_y=True)
    images = images.reshape(-1, 8, 8).astype(np.float32).repeat(3, 1).repeat(3, 2) / 16
    X, y = np.pad(images, [(0, 0), (2, 2), (2, 2)])[:500, np.newaxis], y[:500]
folds = list(StratifiedKFold(5, shuffle=True, random_state=0).split(X, y))
data = [(X[train], y[train]) for train, _ in folds] * 20


def synchronize():
    if on_gpu:
        torch.cuda.synchronize()


def nets(n):
    kwargs = {"module__width": 100, "lr": 0.1, "max_epochs": args.epochs, "device": args.device}
    return [NetClassifier(MnistConvNet, random_state=k, **kwargs) for k in range(n)]


def together(n=size["n_nets"]):
    fitted = fit_many(nets(n), data[:n], fused=True, verbose=1)
    synchronize()
    return fitted


def one_by_one(n=size["n_nets"]):
    fitted = [net.fit(*part) for net, part in zip(nets(n), data, strict=False)]
    synchronize()
    return fitted


def timed(function, n):
    """Seconds of one call."""
    for _ in range(5):
        function()
    synchronize()
    start = time.perf_counter()
    for _ in range(n):
        function()
    synchronize()
    return (time.perf_counter() - start) / n


def step_against_floor(width=size["wide"], batch_size=128, repeats=size["repeats"]):
    """A training step at this width, and the least time that its memory and arithmetic take."""
    net = NetClassifier(
        MnistConvNet, module__width=width, batch_size=batch_size, device=args.device
    )
    net.set_params(max_epochs=1, random_state=0)
    training = net.begin_training(X[:batch_size], y[:batch_size])
    step = net.training_step()
    batch = next(iter(net.get_iterator(training.X, training=True)))
    with full_precision(args.device):
        seconds = timed(lambda: step(batch), repeats)
    n_parameters = sum(parameter.numel() for parameter in net.module_.parameters())
    block = torch.empty(size["block"], device=args.device)
    bandwidth = 2 * 4 * block.numel() / timed(lambda: block.clone(), repeats)
    a = torch.randn(size["square"], size["square"], device=args.device)
    rate = 2 * len(a) ** 3 / timed(lambda: a @ a, min(repeats, 10))
    # Parameters are read for the forward and the backward pass, gradients are written and read,
    # and parameters are read and written by the update.
    traffic = 6 * 4 * n_parameters / bandwidth
    arithmetic = 6 * batch_size * n_parameters / rate
    return {
        "what": f"a step at width {width}, batch {batch_size}",
        "seconds": seconds,
        "floor_s": max(traffic, arithmetic),
        "ratio": seconds / max(traffic, arithmetic),
        "bandwidth_gb_s": bandwidth / 1e9,
        "fp32_tflop_s": rate / 1e12,
        "goal": "<= 2",
    }


for a, b in zip(together(5), one_by_one(5), strict=True):
    for p, q in zip(a.module_.parameters(), b.module_.parameters(), strict=True):
        difference = float((p - q).detach().norm() / q.detach().norm())
        if difference > 1e-2:
            raise SystemExit(f"a net in a stack differs from the same net alone by {difference}")
rows = [step_against_floor()]
print(rows[0], flush=True)
write(args, "bench_gpu", rows, gpu=gpu)
compare(
    rows,
    f"{size['n_nets']} x MnistConvNet(100), {'MNIST' if args.scale == 'full' else 'digits'}",
    "fit_many",
    interleave({"fit_many": together, "NetClassifier.fit": one_by_one}, args.rounds),
    ">= 20",
)
write(args, "bench_gpu", rows, gpu=gpu)
