"""The rows that an attack changes in the whole data: which, what, and by how much."""

from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from sklearn.base import clone

from .._frames import plain_labels
from ..study import changed_cells


@dataclass(frozen=True)
class PoisonedRows:
    """Rows that changed, as columns of equal length.

    Parameters
    ----------
    strength : float
        The strength of the attack.
    n_rows : int
        Rows of the data.
    row : list of int
        Positions of the rows that changed, ascending.
    label, new_label : list of str
        Their labels before and after.
    cells : list of int
        How many cells of each row changed.
    column : list of str
        The cell that changed most; "" if none did.
    before, after : list of str
        What it held.
    """

    strength: float
    n_rows: int
    row: list[int]
    label: list[str]
    new_label: list[str]
    cells: list[int]
    column: list[str]
    before: list[str]
    after: list[str]

    def to_frame(self) -> Any:
        """The columns as a pandas DataFrame."""
        import pandas as pd

        return pd.DataFrame({name: getattr(self, name) for name in COLUMNS})


COLUMNS = [one.name for one in fields(PoisonedRows) if one.name not in ("strength", "n_rows")]


def poisoned_rows(attack, strength_name, strength, X, y, random_state):
    """Run an attack on all rows, and list those that changed."""
    attack = clone(attack).set_params(**{strength_name: strength})
    if "random_state" in attack.get_params():
        attack.set_params(random_state=random_state)
    X_new, y_new = attack.poison(X, y)
    labels, new_labels = (np.ravel(plain_labels(part)) for part in (y, y_new))
    moved = cell_changes(X, X_new)
    rows = sorted({*np.flatnonzero(labels != new_labels).tolist(), *moved})
    cells = [moved.get(row, (0, "", "", "")) for row in rows]
    return PoisonedRows(
        strength=float(strength),
        n_rows=len(labels),
        row=rows,
        label=[str(labels[row]) for row in rows],
        new_label=[str(new_labels[row]) for row in rows],
        cells=[cell[0] for cell in cells],
        column=[cell[1] for cell in cells],
        before=[cell[2] for cell in cells],
        after=[cell[3] for cell in cells],
    )


def cell_changes(X, X_new):
    """By row that changed: how many cells did, and which one most, from what to what.

    Numbers are compared in units of the standard deviation of what the column held before.
    """
    if X_new is X:
        return {}
    cells = changed_cells(X, X_new)
    sizes = np.zeros(len(cells))
    for places in cells.groupby("column", sort=False).indices.values():
        clean, poisoned = (cells[name].to_numpy()[places] for name in ("clean", "poisoned"))
        try:
            clean, poisoned = clean.astype(float), poisoned.astype(float)
        except (TypeError, ValueError):
            continue  # No numbers, and so no distance.
        sizes[places] = np.abs(poisoned - clean) / (clean.std() or 1.0)
    found = {}
    for row, places in cells.groupby("row").indices.items():
        most = cells.iloc[places[np.argmax(sizes[places])]]
        found[int(row)] = (
            len(places),
            str(most["column"]),
            value_text(most["clean"]),
            value_text(most["poisoned"]),
        )
    return found


def value_text(value):
    """A cell as text; a number with six digits."""
    return f"{value:.6g}" if isinstance(value, (float, np.floating)) else str(value)
