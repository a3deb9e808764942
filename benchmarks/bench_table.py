"""Memory of flips on a frame of 1,000,000 rows and 50 columns, which they do not read.

What counts is the highest resident memory of the call (VmHWM of Linux) beyond that before it.
"""

import time
from pathlib import Path

import numpy as np
import pandas as pd
from _harness import parse, write

from skpoison import LabelFlip

args = parse(__doc__.splitlines()[0], n=1_000_000, columns=50)


def resident(name):
    """A line of the process's status, in MiB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(name)) / 2**10


X = pd.DataFrame(np.random.default_rng(0).random((args.n, args.columns)))
y = np.arange(args.n) % 2
attack = LabelFlip(0.3, random_state=0)
attack.poison(X[:100], y[:100])
Path("/proc/self/clear_refs").write_text("5")  # The highest mark starts anew.
before, start = resident("VmRSS"), time.perf_counter()
X_poisoned, y_poisoned = attack.poison(X, y)
row = {
    "what": f"LabelFlip on a frame of {args.n} x {args.columns}",
    "seconds": time.perf_counter() - start,
    "peak_mib": resident("VmHWM") - before,
    "X_mib": X.memory_usage(index=False).sum() / 2**20,
    "y_mib": y.nbytes / 2**20,
    "X_is_the_same_object": X_poisoned is X,
}
print(row)
write(args, "bench_table", [row])
