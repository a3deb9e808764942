"""Code that the scripts of this folder share: arguments, data, finished fits and output files.

Each script writes ``OUT/FIGURE_DATASET_SCALE`` as .csv (a row for each fit), .json (arguments,
versions, machine, times, seeds) and .png. With ``--memory`` a run that was killed continues where
it stopped when it is started again.
"""

import argparse
import json
import os
import platform
import resource
import sys
import time
from importlib.metadata import version
from pathlib import Path

import joblib
import matplotlib

matplotlib.use("agg")

import numpy as np
import pandas as pd
import torch
from joblib import Memory
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from threadpoolctl import threadpool_limits
from tqdm import tqdm

from skpoison import __version__, fetch_cifar10, fetch_mnist

SCALES = ("smoke", "cpu", "full")
STARTED = time.perf_counter()


def make_parser(description, datasets=("mnist", "cifar10")):
    """The arguments that every figure takes; a script adds its own."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--dataset", choices=datasets, default="mnist")
    parser.add_argument(
        "--scale",
        choices=SCALES,
        default="smoke",
        help="smoke: enlarged digits, under a minute; cpu: two cores; full: as the paper, on a GPU",
    )
    parser.add_argument("--seeds", type=int, help="number of seeds (default: the scale's)")
    parser.add_argument("--out", type=Path, default=Path(), help="folder for csv, json and png")
    parser.add_argument("--memory", help="folder of finished fits, which makes the run resumable")
    parser.add_argument(
        "--no-verify",
        action="store_true",
        help="take CIFAR-10 files that are not the published ones (JPEG copies)",
    )
    return parser


def load(args, n_train=None):
    """Training and test data, X (n, c, h, w) in [0, 1]; `n_train` stratified training rows or all.

    At the scale "smoke" the images are scikit-learn's digits, enlarged to the dataset's shape.
    """
    if args.scale == "smoke":
        X, y = load_digits(return_X_y=True)
        parts = train_test_split(enlarge(X / 16, args.dataset), y, stratify=y, random_state=0)
        X, X_test, y, y_test = parts
    elif args.dataset == "mnist":
        (X, y), (X_test, y_test) = fetch_mnist(), fetch_mnist(split="test")
    else:
        verify = not args.no_verify
        X, y = fetch_cifar10(verify=verify)
        X_test, y_test = fetch_cifar10(split="test", verify=verify)
    if n_train is not None and n_train < len(X):
        X, _, y, _ = train_test_split(X, y, train_size=n_train, stratify=y, random_state=0)
    return X, y, X_test, y_test


def enlarge(X, dataset):
    """8x8 digits as images of MNIST (28x28, with its empty border) or CIFAR-10 (3 x 32x32)."""
    factor, border, channels = {"mnist": (3, 2, 1), "cifar10": (4, 0, 3)}[dataset]
    X = X.reshape(-1, 1, 8, 8).astype(np.float32).repeat(factor, 2).repeat(factor, 3)
    return np.pad(X, [(0, 0), (0, 0), (border,) * 2, (border,) * 2]).repeat(channels, 1)


def memory_of(args):
    """The memory of finished fits; a new one if the script or the version of skpoison changed."""
    if args.memory is None:
        return Memory(None, verbose=0)
    sources = [Path(file).read_text() for file in (sys.modules["__main__"].__file__, __file__)]
    return Memory(Path(args.memory) / joblib.hash((__version__, *sources)), verbose=0)


def run_cells(function, cells, args):
    """Run `function` for each cell, and return a table with a row for each.

    A cell is a dict of arguments. These are plain numbers and strings, because ``--memory`` finds
    finished cells by them. `function` returns a dict of results.
    """
    cached = memory_of(args).cache(function)
    with threadpool_limits(1):
        return pd.DataFrame([{**cell, **cached(**cell)} for cell in tqdm(cells, unit="fit")])


def data_name(args):
    """The name of the data for a title."""
    if args.scale == "smoke":
        return f"digits, enlarged to the shape of {args.dataset}"
    return {"mnist": "MNIST", "cifar10": "CIFAR-10"}[args.dataset] + (
        " (JPEG copies)" if args.no_verify else ""
    )


def write(args, figure_name, frame, figure, **facts):
    """Write the table, the picture, and a JSON file (with `facts`) on how they were made."""
    args.out.mkdir(parents=True, exist_ok=True)
    stem = f"{figure_name}_{args.dataset}_{args.scale}"
    frame.to_csv(args.out / f"{stem}.csv", index=False)
    write_picture(args, stem, figure, **facts)


def write_picture(args, stem, figure, **facts):
    """Write the picture of a table that is written already, and the JSON file on both."""
    figure.savefig(args.out / f"{stem}.png", dpi=150, bbox_inches="tight")
    own, children = (
        resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    )
    report = {
        "command": [Path(sys.argv[0]).name, *sys.argv[1:]],
        "arguments": {key: str(value) for key, value in vars(args).items()},
        **facts,
        "versions": {
            "skpoison": __version__,
            "python": platform.python_version(),
            **{name: version(name) for name in ("torch", "scikit-learn", "skorch", "numpy")},
        },
        "machine": machine(),
        # Times of the run that finished. They leave out fits that an earlier run left in --memory.
        "wall_time_s": round(time.perf_counter() - STARTED, 1),
        "cpu_time_s": round(sum(u.ru_utime + u.ru_stime for u in (own, children)), 1),
        "finished": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }
    (args.out / f"{stem}.json").write_text(json.dumps(report, indent=1) + "\n")
    print(f"\nWritten: {args.out / stem}.csv, .json, .png")


def machine():
    """Processor, cores and accelerator."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    models = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    return {
        "processor": models[0] if models else platform.processor(),
        "architecture": platform.machine(),
        "cores": os.cpu_count(),
        "system": platform.system(),
        "accelerator": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
    }
