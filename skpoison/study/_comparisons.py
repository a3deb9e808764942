"""Differences between the scores of two values or attacks, with intervals that know the design."""

import math
from dataclasses import dataclass

import numpy as np

from .._intervals import Drop, corrected_factor, jackknife_factor, mean_interval


@dataclass(frozen=True)
class Design:
    """How the columns of a curve's tables hang together.

    Column r * n_splits + s is repeat r on split s. `sharing` has shape (n_splits, n_splits): which
    splits hold out rows in common. `n_test` is the number of rows of a fixed test set; None means
    that each split is scored on its held-out rows.
    """

    n_splits: int
    n_repeats: int
    test_train_ratio: float
    sharing: np.ndarray
    n_test: int | None

    @property
    def groups(self):
        """The group of each column: its split, or its repeat if there is a single split."""
        columns = np.arange(self.n_splits * self.n_repeats)
        return columns % self.n_splits if self.n_splits > 1 else columns

    def others(self, group):
        """Which columns share no held-out rows with a group: they may choose what it judges.

        If all splits share rows with it, these are all columns of other groups.
        """
        if self.n_splits == 1:
            return self.groups != group
        sharing = self.sharing[group]
        if self.n_test is not None or sharing.all():
            return self.groups != group
        return ~sharing[self.groups]

    def about(self, has_hits):
        """What an interval speaks about, in words; `has_hits` if test rows are known singly."""
        if self.n_splits == 1:
            return "seeds on one split"
        if self.n_test is None:
            return "splits and seeds"
        return "splits, seeds and test rows" if has_hits else "splits and seeds on these test rows"

    def can_judge(self, has_hits):
        """Whether an interval covers all that a verdict is about."""
        # Splits that all hold out rows in common may even be one split, given several times.
        if self.n_splits == 1 or self.sharing.all(axis=1).any():
            return False
        return has_hits or self.n_test is None

    def interval(self, differences, columns, confidence, row_differences=None, widening=1.0):
        """The interval of the mean of differences, which are those of some of the columns."""
        groups = self.groups[columns]
        values = np.array([differences[groups == own].mean() for own in np.unique(groups)])
        n = len(values)
        if n < 2:
            factor = math.nan
        elif self.n_splits == 1:
            factor = 1 / n
        elif self.n_test is None:
            factor = corrected_factor(n, self.test_train_ratio)
        else:
            factor = jackknife_factor(n, self.test_train_ratio)
        return mean_interval(
            values, factor, confidence, row_differences=row_differences, widening=widening
        )


def unpack_hits(packed, n_test):
    """Return the bits of shape (..., n_test), int8."""
    return np.unpackbits(packed, axis=-1, count=n_test).view(np.int8)


def drop_to_end(design, table, hits, end, confidence):
    """How far one end of a curve lies under the best of the other values.

    The best value is chosen on other columns than those that judge it. On a fixed test set it is
    chosen on one half of the test rows and judged on the other, and the other way round.

    Parameters
    ----------
    design : Design
    table : ndarray of shape (n_params, n_columns)
        Scores; columns with a NaN are left out.
    hits : ndarray of int8 of shape (n_params, n_columns, n_test) or None
        Which rows of a fixed test set each fit has right, 0 or 1.
    end : int
        Index of the end.
    confidence : float

    Returns
    -------
    drop : Drop
    """
    rivals = np.delete(np.arange(len(table)), end)
    if not len(rivals):
        return Drop(math.nan, math.nan, math.nan)
    columns = np.flatnonzero(np.isfinite(table).all(axis=0))
    groups = design.groups
    parts = [table]
    halves = [slice(None)]
    if hits is not None:
        halves = [slice(half, None, 2) for half in (0, 1)]
        # Scores on each half; the differences on both add up to those on all rows.
        parts = [hits[:, :, half].mean(axis=2) for half in halves]
    differences = np.zeros(table.shape[1])
    row_differences = None if hits is None else np.zeros(design.n_test)
    for own in np.unique(groups[columns]):
        judging = columns[groups[columns] == own]
        choosing = columns[design.others(own)[columns]]
        if not len(choosing):
            return Drop(math.nan, math.nan, math.nan)
        for half, part in enumerate(parts):
            means = parts[half - 1][:, choosing].mean(axis=1)
            best = rivals[np.argmax(means[rivals])]
            lies = part[best, judging] - part[end, judging]
            if hits is None:
                differences[judging] = lies
                continue
            rows = hits[best, judging, halves[half]] - hits[end, judging, halves[half]]
            differences[judging] += rows.sum(axis=1) / design.n_test
            row_differences[halves[half]] += rows.sum(axis=0) / len(columns)
    return design.interval(
        differences[columns], columns, confidence, row_differences, widening(len(rivals))
    )


def fall(design, tables, hits, confidence):
    """How far the second of two rows of scores lies under the first; a Drop.

    `tables` has two arrays of shape (n_columns,), and `hits` None or two arrays of packed bits.
    """
    first, second = tables
    columns = np.flatnonzero(np.isfinite(first) & np.isfinite(second))
    row_differences = None
    if hits is not None and len(columns):
        one, two = (unpack_hits(part[columns], design.n_test) for part in hits)
        row_differences = one.mean(axis=0) - two.mean(axis=0)
    return design.interval((first - second)[columns], columns, confidence, row_differences)


def widening(n_rivals):
    """How much wider an interval is if its best value was chosen among `n_rivals`.

    The folds that choose and those that judge have errors in common, because they share training
    rows: the choice favours a value that is lucky on both. Found by simulation
    (``tools/simulate_intervals.py``).
    """
    return 1 + 0.22 * max(0.0, math.log(n_rivals / 3))
