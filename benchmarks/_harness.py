"""What the benchmarks share: interleaved timing, a table, JSON with machine and versions."""

import argparse
import importlib.metadata
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path

import skpoison

PACKAGES = ("torch", "scikit-learn", "skorch", "numpy", "joblib")


def parse(description, **defaults):
    """Arguments that all benchmarks take, and integers of their own by name."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument(
        "--rounds", type=int, default=5, help="interleaved rounds; the median counts"
    )
    parser.add_argument("--out", type=Path, default=Path(), help="folder for the JSON")
    for name, value in defaults.items():
        parser.add_argument(f"--{name}", type=type(value), default=value)
    return parser.parse_args()


def interleave(contenders, rounds):
    """Time functions in turn, A B A B ..., after one warm-up each; returns seconds by name."""
    for function in contenders.values():
        function()
    seconds = {name: [] for name in contenders}
    for _ in range(rounds):
        for name, function in contenders.items():
            start = time.perf_counter()
            function()
            seconds[name].append(time.perf_counter() - start)
    return seconds


def in_new_process(scripts, rounds):
    """Run scripts in turn, each in a new process; returns wall and CPU seconds, both by name."""
    wall, cpu = ({name: [] for name in scripts} for _ in range(2))
    for k in range(rounds + 1):
        for name, script in scripts.items():
            start, before = time.perf_counter(), cpu_seconds()
            subprocess.run([sys.executable, "-c", script], check=True)
            if k:  # The first round brings files into memory.
                wall[name].append(time.perf_counter() - start)
                cpu[name].append(cpu_seconds() - before)
    return wall, cpu


def cpu_seconds():
    """CPU seconds of this process, and of its children that have ended."""
    used = map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(part.ru_utime + part.ru_stime for part in used)


def compare(rows, what, ours, seconds, goal=""):
    """Add to `rows` the times of one comparison, and print them; ratios are peer over ours."""
    medians = {name: statistics.median(times) for name, times in seconds.items()}
    for name, times in seconds.items():
        ratio = statistics.median(
            peer / own for peer, own in zip(times, seconds[ours], strict=True)
        )
        row = {
            "what": what,
            "contender": name,
            "median_s": medians[name],
            "min_s": min(times),
            "max_s": max(times),
            "ratio_to_ours": ratio,
            "goal": goal if name != ours else "",
            "seconds": times,
        }
        rows.append(row)
        print(
            f"{what:44s} {name:22s} {medians[name]:9.3f} s "
            f"[{min(times):.3f}, {max(times):.3f}]  x {ratio:6.2f}  {row['goal']}",
            flush=True,
        )
    return medians


def write(args, name, rows, **more):
    """Write rows with all that is needed to judge them."""
    # Not from its metadata: the package need not be installed.
    versions = {"skpoison": skpoison.__version__}
    versions |= {package: importlib.metadata.version(package) for package in PACKAGES}
    machine = {
        "platform": platform.platform(),
        "processor": next(
            (
                line.split(":")[1].strip()
                for line in Path("/proc/cpuinfo").read_text().splitlines()
                if line.startswith("model name")
            ),
            platform.processor(),
        )
        if Path("/proc/cpuinfo").exists()
        else platform.processor(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "load_at_end": os.getloadavg(),
    }
    arguments = {key: str(value) for key, value in vars(args).items()}
    args.out.mkdir(parents=True, exist_ok=True)
    text = json.dumps(
        {"arguments": arguments, "machine": machine, "versions": versions, "rows": rows, **more},
        indent=1,
    )
    (args.out / f"{name}.json").write_text(text)
