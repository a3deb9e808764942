"""``import skpoison`` against importing the libraries it is made of, each in a new process."""

import subprocess
import sys

from _harness import compare, interleave, parse, write

args = parse(__doc__)


def importing(names):
    return lambda: subprocess.run([sys.executable, "-c", f"import {names}"], check=True)


seconds = interleave(
    {"ours": importing("skpoison"), "libraries": importing("torch, skorch, sklearn")}, args.rounds
)
rows = []
compare(rows, "import", "ours", seconds, goal=">= 0.83 (1.2x)")
write(args, "bench_import", rows)
