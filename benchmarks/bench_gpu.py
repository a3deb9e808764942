"""On one CUDA device: stacks of the paper's net, and a step at width 100,000 against its floor.

Checks first that a net trained in a stack is the one trained alone.
"""

import time

import torch
from _harness import compare, interleave, parse, write
from sklearn.model_selection import StratifiedKFold

from skpoison import MnistConvNet, NetClassifier, fetch_mnist, fit_many

args = parse(__doc__, epochs=2)
if not torch.cuda.is_available():
    raise SystemExit("bench_gpu.py needs a CUDA device")
X, y = fetch_mnist()
folds = list(StratifiedKFold(5, shuffle=True, random_state=0).split(X, y))
data = [(X[train], y[train]) for train, _ in folds] * 20


def nets(n):
    kwargs = {"module__width": 100, "lr": 0.1, "max_epochs": args.epochs, "device": "cuda"}
    return [NetClassifier(MnistConvNet, random_state=k, **kwargs) for k in range(n)]


def together(n=100):
    fitted = fit_many(nets(n), data[:n], fused=True, verbose=1)
    torch.cuda.synchronize()
    return fitted


def one_by_one(n=100):
    fitted = [net.fit(*part) for net, part in zip(nets(n), data, strict=False)]
    torch.cuda.synchronize()
    return fitted


def timed(function, n=50):
    """Seconds of one call."""
    for _ in range(5):
        function()
    torch.cuda.synchronize()
    start = time.perf_counter()
    for _ in range(n):
        function()
    torch.cuda.synchronize()
    return (time.perf_counter() - start) / n


def step_against_floor(width=100_000, batch_size=128):
    """A training step at this width, and the least time that its memory and arithmetic take."""
    net = NetClassifier(MnistConvNet, module__width=width, batch_size=batch_size, device="cuda")
    net.set_params(max_epochs=1, random_state=0).fit(X[:batch_size], y[:batch_size])
    step = net._plain_step()
    batch = next(iter(net.get_iterator(net.get_dataset(net._make_dataset(X[:128], y[:128])))))
    seconds = timed(lambda: step(batch))
    n_parameters = sum(parameter.numel() for parameter in net.module_.parameters())
    block = torch.empty(2**28, device="cuda")
    bandwidth = 2 * 4 * block.numel() / timed(lambda: block.clone())
    a = torch.randn(8192, 8192, device="cuda")
    rate = 2 * 8192**3 / timed(lambda: a @ a, 10)
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
        difference = float((p - q).norm() / q.norm())
        if difference > 1e-2:
            raise SystemExit(f"a net in a stack differs from the same net alone by {difference}")
rows = [step_against_floor()]
print(rows[0])
compare(
    rows,
    "100 x MnistConvNet(100), MNIST, on a GPU",
    "fit_many",
    interleave({"fit_many": together, "NetClassifier.fit": one_by_one}, args.rounds),
    ">= 20",
)
write(args, "bench_gpu", rows, gpu=torch.cuda.get_device_name())
