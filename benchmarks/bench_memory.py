"""Memory of an attack on a memory map: 1,000,000 x 784 float32 (3.1 GB), linear surrogate.

Needs 10 GB of disk in --folder. What counts is anonymous resident memory (RssAnon of Linux) beyond
what the process has with torch and the surrogate loaded: pages of the map are the system's.
"""

import tempfile
import threading
import time
import warnings
from pathlib import Path

import numpy as np
from _harness import parse, write
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import RidgeClassifier

from skpoison import CleanLabelPGA

args = parse(__doc__, folder="", n=1_000_000, iterations=2)
warnings.simplefilter("ignore")


def anonymous():
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("RssAnon")) / 2**20


class Watch(threading.Thread):
    """The largest RssAnon while it runs, in GiB."""

    def __init__(self):
        super().__init__(daemon=True)
        self.peak, self.done = 0.0, False

    def run(self):
        while not self.done:
            self.peak = max(self.peak, anonymous())
            time.sleep(0.005)


with tempfile.TemporaryDirectory(dir=args.folder or None) as folder:
    X = np.memmap(Path(folder) / "X", np.float32, "w+", shape=(args.n, 784))
    rng = np.random.default_rng(0)
    for k in range(0, args.n, 10_000):
        X[k : k + 10_000] = rng.random((min(10_000, args.n - k), 784), dtype=np.float32)
    y = np.arange(args.n) % 2
    surrogate = FrozenEstimator(RidgeClassifier().fit(X[:2000], y[:2000]))
    attack = CleanLabelPGA(surrogate, norm="l2,1", budget=300.0, max_iter=args.iterations)
    attack.poison(X[:5000], y[:5000])
    before, watch, start = anonymous(), Watch(), time.perf_counter()
    watch.start()
    out = np.memmap(Path(folder) / "out", np.float32, "w+", shape=X.shape)
    attack.poison(X, y, out=out)
    watch.done = True
    watch.join()
    row = {
        "what": f"PGA on a memmap of {args.n} x 784, {args.iterations} iterations",
        "peak_gib": watch.peak - before,
        "before_gib": before,
        "seconds": time.perf_counter() - start,
        "goal": "<= 1 GB",
    }
print(row)
write(args, "bench_memory", [row])
