"""The command ``python -m skpoison report``."""

import argparse
import importlib
import os
import shlex
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

from sklearn.base import is_classifier
from sklearn.model_selection import StratifiedKFold

from .._files import write_texts
from ._page import page
from ._report_file import to_text
from ._robustness_report import robustness_report
from ._table import boosting_for, first_line, read_table, taken_for

EXAMPLE = """example:
  python -m skpoison report table.csv --target species --out report.html

With a classifier of your own, which a function make_estimator of my/models.py returns:
  python -m skpoison report table.csv --target species --out report.html \\
      --estimator my.models:make_estimator
"""


class _Parser(argparse.ArgumentParser):
    """A parser that says what is wrong in one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"skpoison: error: {message}\n")


def run_command(arguments: Sequence[str] | None = None) -> int:
    """Run the command ``python -m skpoison``.

    Parameters
    ----------
    arguments : list of str, default=None
        The arguments; None: those of the process.

    Returns
    -------
    code : int
        0, or 2 for bad input: then a line on the standard error names it, and no file is written.

    Raises
    ------
    SystemExit
        With the same codes, if the arguments cannot be parsed or ask for help.
    """
    options = _parser().parse_args(arguments)
    try:
        _report(options)
    except KeyboardInterrupt:
        _say("skpoison: stopped; with --memory, the same command goes on from here")
        return 130
    except (ValueError, TypeError, OSError, ImportError, RuntimeError, MemoryError) as error:
        _say(f"skpoison: error: {_one_line(error)}")
        return 2
    return 0


def _parser():
    parser = _Parser(prog="python -m skpoison", description="Training-data poisoning.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    report = commands.add_parser(
        "report",
        help="how much poison a classifier of a table takes",
        description="Measure how much poison in the training data a classifier of a table takes, "
        "and write the answer as a page.",
        epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = report.add_argument
    add("table", type=Path, help="a CSV or Parquet file with a row for each example")
    add("--target", required=True, metavar="NAME", help="the column of the labels")
    add("--out", type=Path, required=True, metavar="FILE", help="the page to write, .html")
    add("--json", type=Path, metavar="FILE", help="write all numbers as JSON too")
    add(
        "--estimator",
        metavar="MODULE:NAME",
        help="a classifier, a dict of classifiers by name, or a function that returns one of them; "
        "default: histogram boosting",
    )
    add("--drop", type=_share, default=0.05, help="the loss of accuracy to find (default: 0.05)")
    add("--folds", type=_at_least(2), default=5, help="folds, at least 2 (default: 5)")
    add("--repeats", type=_at_least(1), default=1, help="repeats with new seeds (default: 1)")
    add("--jobs", type=_jobs, default=-1, help="processes (default: -1, one for each core)")
    add("--seed", type=_seed, default=0, help="seed of all that is drawn (default: 0)")
    add("--memory", type=Path, metavar="DIR", help="keep results here, to go on if stopped")
    return parser


def _at_least(low):
    def integer(text):
        number = int(text)
        if number < low:
            raise argparse.ArgumentTypeError(f"must be >= {low}, got {number}")
        return number

    integer.__name__ = "integer"
    return integer


def _seed(text):
    number = int(text)
    if not 0 <= number < 2**32:
        raise argparse.ArgumentTypeError(f"must lie between 0 and 2**32 - 1, got {number}")
    return number


def _jobs(text):
    number = int(text)
    if number == 0 or number < -1:
        raise argparse.ArgumentTypeError(f"must be -1 or >= 1, got {number}")
    return number


def _share(text):
    number = float(text)
    if not 0 < number < 1:
        raise argparse.ArgumentTypeError(f"must lie between 0 and 1, got {text}")
    return number


# argparse names the type in the error for a text that is none.
_seed.__name__ = _jobs.__name__ = "integer"
_share.__name__ = "number"


def _report(options):
    # What is quick to check comes first: a study may take hours.
    _check_outputs(options)
    estimator = None if options.estimator is None else _estimator(options.estimator)
    table = read_table(options.table, options.target, options.folds)
    if estimator is None:
        estimator = {"histogram boosting": boosting_for(table)}
    for line in taken_for(table):
        _say(line)
    report = robustness_report(
        estimator,
        table.X,
        table.y,
        drop=options.drop,
        cv=StratifiedKFold(options.folds, shuffle=True, random_state=options.seed),
        n_repeats=options.repeats,
        n_jobs=options.jobs,
        memory=options.memory,
        random_state=options.seed,
        progress=True,
    )
    report = replace(report, data={**table.facts, **report.data}, call=_command(options))
    texts = {options.out: page(report)}
    if options.json is not None:
        texts[options.json] = to_text(report)
    write_texts(texts)
    sys.stdout.write(f"{report!r}\n")
    _say(f"written: {', '.join(map(str, texts))}")


def _check_outputs(options):
    """Raise unless the files can be written, as far as this can be known before."""
    outputs = {"--out": options.out, "--json": options.json}
    outputs = {name: path for name, path in outputs.items() if path is not None}
    if len({path.resolve() for path in (options.table, *outputs.values())}) < 1 + len(outputs):
        raise ValueError(
            f"the table and the outputs must be different files, got "
            f"{', '.join(map(str, (options.table, *outputs.values())))}"
        )
    for name, path in outputs.items():
        if path.is_dir():
            raise ValueError(f"{name} must be a file, got the folder {path}")
        if not path.parent.is_dir():
            raise ValueError(f"{name} must be in a folder that exists, got {path}")
        try:
            with tempfile.TemporaryFile(dir=path.parent) as file:
                file.write(b" " * 4096)
        except OSError as error:
            raise ValueError(f"{name} cannot be written: {error.strerror}: {path}") from None
    if options.memory is not None and options.memory.exists() and not options.memory.is_dir():
        raise ValueError(f"--memory must be a folder, got the file {options.memory}")


def _estimator(text) -> Any:
    """What ``module:name`` stands for: a classifier, or a dict of them."""
    module, colon, name = text.partition(":")
    if not (module and colon and name):
        raise ValueError(f"--estimator must be MODULE:NAME, got {text!r}")
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    try:
        found = getattr(importlib.import_module(module), name)
        if callable(found) and not hasattr(found, "fit"):
            found = found()
    except Exception as error:
        raise ValueError(
            f"--estimator {text} fails: {type(error).__name__}: {first_line(error)}"
        ) from error
    several = found.values() if isinstance(found, Mapping) else [found]
    if not several or not all(map(_is_classifier, several)):
        raise ValueError(
            f"--estimator {text} must give a classifier or a dict of them, got {found!r}"
        )
    return found


def _is_classifier(thing):
    return hasattr(thing, "fit") and not isinstance(thing, type) and is_classifier(thing)


def _command(options):
    """The command that makes the same report; the number of processes does not matter."""
    words = ["python", "-m", "skpoison", "report"]
    for name in ("target", "out", "json", "estimator", "drop", "folds", "repeats", "seed"):
        value = getattr(options, name)
        if value is not None:
            # A word that starts with "-" would be taken for an option.
            is_plain = not str(value).startswith("-")
            words += [f"--{name}", str(value)] if is_plain else [f"--{name}={value}"]
    table = str(options.table)
    words.insert(4, f"./{table}" if table.startswith("-") else table)
    return shlex.join(words)


def _one_line(error):
    """An error in one line; the last line of a longer one has the cause."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    if not lines:
        return type(error).__name__
    return lines[0] if len(lines) == 1 else f"{lines[0]} {lines[-1]}"


def _say(line):
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()
