"""A table of results that grows by a row a finished cell, and loses nothing when a run is killed.

A cell is one fit: its key says which. A run appends each cell at once, and skips those that stand
in the table with the same settings; so a run goes on from the table alone, on any machine. What a
cell keeps besides its row (predictions, history) is a file of its own in the folder beside the
table.
"""

import csv
import fcntl
import io
import os
import re
from contextlib import contextmanager
from pathlib import Path

import numpy as np

# What names a cell.
KEY = {"protocol": str, "attack": str, "width": int, "split": int, "seed": int, "lr_rule": str}
# What a cell was computed with. Another value makes it another result.
SETTINGS = {
    "recipe": str,
    "n_train": int,
    "batch_size": int,
    "epochs": int,
    "patience": int,
    "lr": float,
    "budget": float,
    "attack_steps": int,
    "surrogate": str,
}
# What came out, and where.
# In their order: the rate of all layers but the last, and of the last; accuracy on clean test rows,
# on the rows held out and on the training rows; the share of the changed training rows that the net
# fits (NaN if none was changed); the mean training loss of the kept epoch; how far all parameters
# together went from their start, and their norm there (Euclidean).
RESULTS = {
    "lr_first": float,
    "lr_last": float,
    "score": float,
    "held_out_score": float,
    "train_score": float,
    "changed_fit": float,
    "train_loss": float,
    "distance": float,
    "norm_at_start": float,
    "best_epoch": int,
    "spent": float,
    "fit_time": float,
    "seconds": float,
    "device": str,
    "commit": str,
}
COLUMNS = KEY | SETTINGS | RESULTS
# The same for every row of a table; and for every row of it with the same rule of the rate.
ONE_A_TABLE = ("recipe", "n_train", "batch_size")
ONE_A_RULE = ("epochs", "patience")


class TableError(ValueError):
    """A table, or the folder that it is in, cannot be used; nothing was written."""


class CellTable:
    """The table ``FOLDER/STEM.csv`` and the folder ``FOLDER/STEM`` with a file for each cell.

    Parameters
    ----------
    folder : path-like
        Made if it is not there.
    stem : str
        Name of the table without ".csv".

    Raises
    ------
    TableError
        If the folder cannot be written, or the table cannot be read.
    """

    def __init__(self, folder, stem):
        self.folder = Path(folder)
        self.path = self.folder / f"{stem}.csv"
        self.extras = self.folder / stem
        with self._writing():
            probe = self.folder / f".{stem}.probe"
            self._replace(probe, b"")
            probe.unlink()
        self.rows()

    def rows(self):
        """The rows, dicts in the order in which they were appended."""
        return read_rows(self.path)

    def missing(self, cells):
        """Those of the wanted cells (key and settings) that the table lacks.

        Raises
        ------
        TableError
            If a row was made with other settings than the wanted cells.
        """
        rows = self.rows()
        for cell in cells:
            self._check_settings(rows, cell)
        done = {key_of(row) for row in rows}
        return [cell for cell in cells if key_of(cell) not in done]

    def find(self, cell):
        """The row of a cell, or None.

        Raises
        ------
        TableError
            As `missing` does.
        """
        rows = self.rows()
        self._check_settings(rows, cell)
        return next((row for row in rows if key_of(row) == key_of(cell)), None)

    def read_extras(self, row):
        """The arrays of a finished cell; none if another machine has its file."""
        path = self.extras_path(row)
        if not path.exists():
            return {}
        with np.load(path) as arrays:
            return dict(arrays)

    def append(self, row, **extras):
        """Add the row of a finished cell, its arrays first, unless another run has added it.

        Raises
        ------
        TableError
            If the folder cannot be written any more, or the table was changed to other settings.
        """
        with self._writing():
            rows = self.rows()
            self._check_settings(rows, row)
            if key_of(row) in map(key_of, rows):
                return
            self._write_extras(row, extras)
            self._replace(self.path, text_of([*rows, row]).encode())

    def take(self, folder):
        """Add the cells of the table of the same name in another folder that this one lacks.

        Returns how many were added. Raises TableError as `append` does.
        """
        other = Path(folder)
        theirs = read_rows(other / self.path.name)
        with self._writing():
            rows = self.rows()
            done = set(map(key_of, rows))
            new = [row for row in theirs if key_of(row) not in done]
            for row in new:
                self._check_settings(rows, row)
                extras = other / self.extras.name / self.extras_path(row).name
                if extras.exists():
                    self._replace(self.extras_path(row), extras.read_bytes())
            if new:
                self._replace(self.path, text_of([*rows, *new]).encode())
        return len(new)

    def extras_path(self, cell):
        """The file of a cell's arrays."""
        return self.extras / f"{name_of(cell)}.npz"

    def _check_settings(self, rows, cell):
        for number, row in enumerate(rows, start=2):
            names = ONE_A_TABLE
            if row["lr_rule"] == cell["lr_rule"]:
                names += ONE_A_RULE
            if key_of(row) == key_of(cell):
                names = tuple(SETTINGS)
            others = [name for name in names if row[name] != cell[name]]
            if others:
                had = ", ".join(f"`{name}` {row[name]!r}" for name in others)
                wanted = ", ".join(f"`{name}` {cell[name]!r}" for name in others)
                raise TableError(
                    f"{self.path}, line {number}, must have the settings of this run, {wanted}, "
                    f"got {had}. Name another folder with `--out`, or run with its settings."
                )

    def _write_extras(self, row, extras):
        buffer = io.BytesIO()
        np.savez_compressed(buffer, **extras)
        self._replace(self.extras_path(row), buffer.getvalue())

    @staticmethod
    def _replace(path, content):
        """Write a file whole or not at all. Called under the lock: the name is used by one."""
        temporary = path.with_name(f".{path.name}.tmp")
        with open(temporary, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)

    @contextmanager
    def _writing(self):
        """Keep other runs on the same folder waiting, and say which folder cannot be written.

        The system ends the lock with the process.
        """
        try:
            self.extras.mkdir(parents=True, exist_ok=True)
            folder = os.open(self.folder, os.O_RDONLY)
            try:
                fcntl.flock(folder, fcntl.LOCK_EX)
                yield
            finally:
                os.close(folder)
        except OSError as error:
            raise TableError(
                f"`--out` must be a folder that can be written, got {self.folder}: {error}"
            ) from None


def key_of(row):
    """What names a cell, as a tuple."""
    return tuple(row[name] for name in KEY)


def name_of(cell):
    """A file name of a cell's own."""
    return "_".join(re.sub(r"[^\w.]+", "-", str(cell[name])) for name in KEY)


def read_rows(path):
    """The rows of a table; an empty list where there is no file.

    Raises
    ------
    TableError
        If the file is not such a table, naming the line.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
    except FileNotFoundError:
        return []
    except (OSError, UnicodeDecodeError) as error:
        raise TableError(f"{path} must be a table that can be read: {error}") from None
    lines = list(csv.reader(io.StringIO(text)))
    if not lines or lines[0] != list(COLUMNS):
        got = ", ".join(lines[0]) if lines else "an empty file"
        raise TableError(f"{path} must have the columns {', '.join(COLUMNS)}, got {got}")
    rows = [_parse(path, number, fields) for number, fields in enumerate(lines[1:], start=2)]
    if not text.endswith("\n"):
        raise TableError(f"{path}, line {len(lines)}, must end with a line break: it was cut off")
    keys = set()
    for number, row in enumerate(rows, start=2):
        if key_of(row) in keys:
            raise TableError(f"{path}, line {number}, must be of another cell than those above it")
        keys.add(key_of(row))
    return rows


def text_of(rows):
    """The file of a table."""
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, COLUMNS, lineterminator="\n")
    writer.writeheader()
    # repr gives the digits that read back as the same float.
    writer.writerows(
        {name: repr(row[name]) if kind is float else row[name] for name, kind in COLUMNS.items()}
        for row in rows
    )
    return buffer.getvalue()


def _parse(path, number, fields):
    if len(fields) != len(COLUMNS):
        raise TableError(
            f"{path}, line {number}, must have {len(COLUMNS)} fields, got {len(fields)}: it was "
            "cut off or edited. Remove the line, and its cell is computed again."
        )
    try:
        return {
            name: kind(text) for (name, kind), text in zip(COLUMNS.items(), fields, strict=True)
        }
    except ValueError as error:
        raise TableError(
            f"{path}, line {number}, must have numbers in its place: {error}"
        ) from None
