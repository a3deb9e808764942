"""Mutation testing with mutmut: a sample drawn with a seed, its score and its survivors.

    pip install mutmut                              # 3.8; its settings are in pyproject.toml
    python tools/mutants.py --sample 150            # in a copy of the repository: it makes mutants/

Writes docs/guarantees/mutants.csv, every mutant of the sample with its result, and prints the
survivors. Results are kept in mutants/: a run that was interrupted goes on.
"""

import argparse
import csv
import os
import random
import subprocess
import sys
import tomllib
from collections import Counter
from pathlib import Path

MUTMUT = [sys.executable, "-m", "mutmut"]
OUT = Path(__file__).resolve().parents[1] / "docs" / "guarantees"


def mutmut(*args):
    done = subprocess.run([*MUTMUT, *args], capture_output=True, text=True)
    if done.returncode != 0:
        print(done.stdout[-2000:], done.stderr[-2000:], file=sys.stderr)
    return done.stdout


def verify(name):
    """Run the files of tests one by one, for a mutant of which mutmut says that it timed out.

    That is what it says of every pytest that ends with a usage error.
    """
    settings = tomllib.loads(Path("pyproject.toml").read_text())["tool"]["mutmut"]
    selection = settings["pytest_add_cli_args_test_selection"]
    options = [*settings["pytest_add_cli_args"], *[a for a in selection if a.startswith("--")]]
    for file in [a for a in selection if not a.startswith("--")]:
        command = [sys.executable, "-m", "pytest", "-q", "-x", *options, file]
        environment = {**os.environ, "MUTANT_UNDER_TEST": name}
        done = subprocess.run(command, cwd="mutants", env=environment, capture_output=True)
        if done.returncode != 0:
            return {1: "killed", 2: "killed at import"}[done.returncode]
    return "survived"


def results():
    """The result of every mutant by its name."""
    lines = [line.strip() for line in mutmut("results", "--all", "true").splitlines()]
    return dict(line.rsplit(": ", 1) for line in lines if ": " in line)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sample", type=int, default=150)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    if not results():
        # One mutant, so that all are made and the tests of each are known.
        mutmut("run", "--max-children", "1", "skpoison.attacks._losses.x_negated_loss__mutmut_1")
    names = sorted(results())
    sample = sorted(random.Random(arguments.seed).sample(names, arguments.sample))
    found = results()
    todo = [name for name in sample if found[name] == "not checked"]
    for start in range(0, len(todo), 50):
        mutmut("run", "--max-children", "1", *todo[start : start + 50])
    found = results()
    for name in sample:
        if found[name] == "timeout":
            found[name] = verify(name)
    OUT.mkdir(parents=True, exist_ok=True)
    with open(OUT / "mutants.csv", "w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["mutant", "result"])
        writer.writerows((name, found[name]) for name in sample)
    survivors = [name for name in sample if found[name] in ("survived", "no tests")]
    killed = [name for name in sample if found[name].startswith("killed")]
    if len(survivors) + len(killed) < len(sample):
        raise SystemExit(f"not all were run: {Counter(found[name] for name in sample)}")
    for name in survivors:
        print(name, mutmut("show", name))
    print(
        f"{len(killed)} of {len(sample)} mutants killed, {len(killed) / len(sample):.1%}; seed "
        f"{arguments.seed}, of {len(names)} in all"
    )


if __name__ == "__main__":
    main()
