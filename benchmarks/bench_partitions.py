"""250 partitions trained together by `fit_many` against one by one, and what making a net costs.

CPU seconds of the process, one thread: what the machine does besides counts for less than in wall
time. Digits have about 7 rows a partition, one batch of 4; MNIST n = 10,000 has about 40, two
batches of 16. The fewer epochs, the more of the time is the making of nets and the hashing of rows,
which are the same both ways.

The last row is a fit of no epoch on 50 rows of MNIST, as each member begins. Its arithmetic is the
making of the module and the optimiser.
"""

import statistics
import time

import torch
from _harness import parse, write
from sklearn.base import clone
from sklearn.datasets import load_digits

from skpoison import MLP, NetClassifier, PartitionEnsemble, fetch_mnist

args = parse(__doc__, partitions=250)
torch.set_num_threads(1)
X, y = fetch_mnist()
digits = load_digits(return_X_y=True)
rows = []
for n, width, batch_size, epochs in [
    (1797, 16, 4, 30),
    (1797, 16, 4, 100),
    (1797, 64, 4, 30),
    (1797, 64, 4, 100),
    (10_000, 16, 16, 30),
    (10_000, 16, 16, 100),
    (10_000, 64, 16, 30),
    (60_000, 16, 16, 5),
    (60_000, 16, 16, 30),
]:
    is_digits = n == len(digits[1])
    data, labels = (digits[0] / 16, digits[1]) if is_digits else (X[:n], y[:n])
    net = NetClassifier(MLP, module__width=width, lr=0.1, batch_size=batch_size, max_epochs=epochs)
    seconds = {True: [], False: []}
    for _ in range(args.rounds):
        for fused in seconds:
            ensemble = PartitionEnsemble(net, args.partitions, fused=fused, random_state=0)
            start = time.process_time()
            ensemble.fit(data, labels)
            seconds[fused].append(time.process_time() - start)
    ratio = statistics.median(b / a for a, b in zip(*seconds.values(), strict=True))
    together, alone = map(statistics.median, seconds.values())
    name = "digits" if is_digits else f"MNIST {n}"
    what = f"{name}, width {width}, {epochs} epochs"
    print(f"{what}: together {together:.2f} s, one by one {alone:.2f} s, x {ratio:.2f}", flush=True)
    rows.append(
        {"what": what, "together_s": seconds[True], "alone_s": seconds[False], "ratio": ratio}
    )


def milliseconds(function, n_times=200):
    """CPU time of one call: the median of the rounds."""
    times = []
    for _ in range(args.rounds):
        start = time.process_time()
        for _ in range(n_times):
            function()
        times.append((time.process_time() - start) / n_times * 1e3)
    return statistics.median(times)


unfitted = NetClassifier(MLP, module__width=16, batch_size=16, max_epochs=0, random_state=0)
making = milliseconds(lambda: clone(unfitted).fit(X[:50], y[:50]))
arithmetic = milliseconds(lambda: torch.optim.SGD(MLP(784, 16, 10).parameters(), lr=0.1))
what = "making a net of width 16"
print(f"{what}: {making:.2f} ms, of which module and optimiser {arithmetic:.2f} ms", flush=True)
rows.append({"what": what, "making_ms": making, "arithmetic_ms": arithmetic})
write(args, "bench_partitions", rows)
