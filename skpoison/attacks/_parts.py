"""Rows in parts, so that a computation needs memory for one part only."""


def parts_of(n_rows, size=4096):
    """Slices that cut n rows into parts."""
    return [slice(start, start + size) for start in range(0, n_rows, size)]
