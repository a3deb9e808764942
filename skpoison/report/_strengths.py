"""The strengths at which attacks are tried."""

from collections.abc import Mapping

from .._validation import check_real

RATES = (0.05, 0.1, 0.2, 0.3, 0.4)
# Of the attack's own budget.
BUDGET_FACTORS = (0.25, 0.5, 1.0, 2.0, 4.0)
# In standard deviations of each column.
MOVES = (0.125, 0.25, 0.5, 1.0, 2.0)
PATCH_RATES = (0.01, 0.02, 0.05, 0.1, 0.2)


def distances(n_columns):
    """How far rows move that move by `MOVES` in each column, to two digits."""
    return [float(f"{move * n_columns**0.5:.2g}") for move in MOVES]


def check_strengths(strengths, attacks):
    """Return `strengths` as a dict of ascending lists that start at 0."""
    if strengths is None:
        return {}
    if not isinstance(strengths, Mapping):
        raise TypeError(f"`strengths` must be None or a dict by attack, got {strengths!r}")
    unknown = set(strengths) - set(attacks)
    if unknown:
        raise ValueError(
            f"`strengths` must have names of attacks ({list(attacks)}), got "
            f"{sorted(map(str, unknown))}"
        )
    return {name: check_list(values, name) for name, values in strengths.items()}


def check_list(values, name):
    """Return the strengths of an attack, ascending, from 0."""
    where = f"strengths[{name!r}]"
    if isinstance(values, (str, Mapping)) or not hasattr(values, "__iter__"):
        raise TypeError(f"`{where}` must be an array-like of numbers, got {values!r}")
    found = {check_real(value, where, low=0) for value in values}
    if not found - {0.0}:
        raise ValueError(f"`{where}` must have a strength > 0, got {sorted(found)}")
    return sorted(found | {0.0})
