"""250 partitions trained together by `fit_many` against one by one.

CPU seconds of the process, one thread: what the machine does besides counts for less than in wall
time. MNIST n = 10,000 has about 40 rows a partition, which is two batches of 16.
"""

import statistics
import time

import torch
from _harness import parse, write

from skpoison import MLP, NetClassifier, PartitionEnsemble, fetch_mnist

args = parse(__doc__, partitions=250)
torch.set_num_threads(1)
X, y = fetch_mnist()
rows = []
for n, width, epochs in [(10_000, 16, 30), (10_000, 64, 30), (60_000, 16, 5)]:
    net = NetClassifier(MLP, module__width=width, lr=0.2, batch_size=16, max_epochs=epochs)
    seconds = {True: [], False: []}
    for _ in range(args.rounds):
        for fused in seconds:
            ensemble = PartitionEnsemble(net, args.partitions, fused=fused, random_state=0)
            start = time.process_time()
            ensemble.fit(X[:n], y[:n])
            seconds[fused].append(time.process_time() - start)
    ratio = statistics.median(b / a for a, b in zip(*seconds.values(), strict=True))
    together, alone = map(statistics.median, seconds.values())
    what = f"MNIST {n}, width {width}, {epochs} epochs"
    print(f"{what}: together {together:.2f} s, one by one {alone:.2f} s, x {ratio:.2f}", flush=True)
    rows.append(
        {"what": what, "together_s": seconds[True], "alone_s": seconds[False], "ratio": ratio}
    )
write(args, "bench_partitions", rows)
