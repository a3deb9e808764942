"""``import skpoison`` against importing the libraries it is made of, each in a new process."""

from _harness import compare, in_new_process, parse, write

args = parse(__doc__)
scripts = {"ours": "import skpoison", "libraries": "import torch, skorch, sklearn"}
wall, cpu = in_new_process(scripts, args.rounds)
rows = []
compare(rows, "import", "ours", wall, goal=">= 0.83 (1.2x)")
compare(rows, "import, CPU seconds", "ours", cpu, goal=">= 0.83 (1.2x)")
write(args, "bench_import", rows)
