"""The result of a study: tables of scores, their shapes, and their file."""

import html
import math
import os
import uuid
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Self

import numpy as np

from .._intervals import Drop, corrected_interval, rounded
from .._typing import Array
from .._validation import check_choice, check_real
from ._curve_file import TABLES, from_text, to_text
from ._shapes import Peak, UShape, last_name, value_text


@dataclass(repr=False)
class RobustnessCurve:
    """Scores over a parameter, under each of several attacks: the result of `robustness_curve`.

    Parameters
    ----------
    param_name : str
        The parameter that varies.
    param_range : list of length n_params
        Its values.
    scores : dict of str to ndarray of shape (n_params, n_repeats * n_splits)
        Scores on clean data by attack. Column r * n_splits + s is repeat r on split s.
    train_scores : dict of str to ndarray of shape (n_params, n_repeats * n_splits)
        Scores on the rows trained on, the poisoned ones included.
    fit_times : dict of str to ndarray of shape (n_params, n_repeats * n_splits)
        Seconds that each fit took, without the attack and the scoring.
    n_splits, n_repeats : int
        Number of folds, and of repeats on the same folds.
    test_train_ratio : float
        Rows held out over rows trained on, for the correction of intervals.

    Examples
    --------
    >>> import numpy as np
    >>> from skpoison import RobustnessCurve
    >>> table = {"flips": np.array([[0.5, 0.6], [0.8, 0.9], [0.7, 0.7]])}
    >>> curve = RobustnessCurve("module__width", [2, 64, 4096], table, table, table, 2, 1, 1.0)
    >>> curve.peak("flips").param
    64
    >>> curve
    RobustnessCurve over module__width (3 values), 2 folds x 1 repeat
    flips: not a U: best at width 64 (0.85); 2 lies 0.30 [0.30, 0.30] under it, 4096 lies ...
    """

    param_name: str
    param_range: list[Any]
    scores: dict[str, Array]
    train_scores: dict[str, Array]
    fit_times: dict[str, Array]
    n_splits: int
    n_repeats: int
    test_train_ratio: float

    def __repr__(self) -> str:
        # Printing must not fail, whatever the scores are.
        with np.errstate(over="ignore", invalid="ignore"):
            lines = [f"{name}: {self._verdict(name)}" for name in self.scores]
        return "\n".join([self._title(), *lines])

    def _title(self):
        sizes = (
            (len(self.param_range), "value"),
            (self.n_splits, "fold"),
            (self.n_repeats, "repeat"),
        )
        values, folds, repeats = (f"{n} {word}{'s' * (n != 1)}" for n, word in sizes)
        return f"RobustnessCurve over {self.param_name} ({values}), {folds} x {repeats}"

    def _verdict(self, name):
        """One line on the shape of a curve."""
        values = [self.param_range[i] for i in self._fitted(name)]
        if not values:
            return "all fits failed"
        if len(values) == 1:
            score = rounded(self.peak(name).score)
            name = last_name(self.param_name)
            return f"{score} at {name} {value_text(values[0])}, the only value"
        return self.u_shape(name).describe(self.param_name, values[0], values[-1])

    def _short_verdict(self, name):
        n_fitted = len(self._fitted(name))
        if n_fitted < 2:
            return "only one value" if n_fitted else "all fits failed"
        return self.u_shape(name).verdict()

    def _fitted(self, name):
        """The indices of the values that have a score."""
        return np.flatnonzero(np.isfinite(self._table(name)).any(axis=1))

    def to_frame(self) -> Any:
        """Return a tidy pandas DataFrame with one row for each fit.

        Returns
        -------
        frame : pandas.DataFrame
            Columns ``attack``, the name of the parameter, ``split``, ``repeat``, ``score``,
            ``train_score`` and ``fit_time`` (in seconds). The parameter's column has its values if
            all are numbers, else their strings, such as "None": `DataFrame.groupby` drops None.
        """
        import pandas as pd

        values = self.param_range
        if not all(_is_number(value) for value in values):
            values = [str(value) for value in values]
        rows = [
            {
                "attack": name,
                self.param_name: value,
                "split": column % self.n_splits,
                "repeat": column // self.n_splits,
                "score": self.scores[name][i, column],
                "train_score": self.train_scores[name][i, column],
                "fit_time": self.fit_times[name][i, column],
            }
            for name in self.scores
            for i, value in enumerate(values)
            for column in range(self.n_splits * self.n_repeats)
        ]
        return pd.DataFrame(rows)

    def peak(self, name: str) -> Peak:
        """Return the parameter value with the best mean score, and that score.

        Parameters
        ----------
        name : str
            Name of an attack.

        Returns
        -------
        peak : Peak
            A named tuple (param, score). If several values share the best mean, it is the first of
            them. Failed fits do not count.

        Raises
        ------
        ValueError
            If there is no attack of this name, or all its fits failed.
        """
        means = _row_means(self._table(name))
        if np.isnan(means).all():
            raise ValueError(
                f"`name` must be an attack with scores, got {name!r}, whose fits all failed"
            )
        best = int(np.nanargmax(means))
        return Peak(self.param_range[best], float(means[best]))

    def u_shape(self, name: str, confidence: float = 0.95) -> UShape:
        """Say how far both ends of the curve lie under its peak.

        Each difference compares scores of the same fold and seed. Three corrections keep the
        intervals honest. First, for each fold the best parameter value is chosen on the other
        folds, and the drop is measured on that fold, so that a lucky score is no peak. (With a
        single split, repeats take the place of folds.) Second,
        the repeats of a fold are averaged and count as one, because they share its rows. Third, the
        variance is taken from the corrected resampled t-test [1]_: training folds overlap, so that
        1/J becomes 1/J + n_test/n_train for J folds. The intervals do not cover what all folds
        share: a fixed test set, or the one attack of ``poison="dataset"``.

        Parameters
        ----------
        name : str
            Name of an attack.
        confidence : float, default=0.95
            Coverage of each interval, between 0 and 1.

        Returns
        -------
        shape : UShape
            A named tuple. `peak` is the best value and its mean score. `left` and `right` are the
            drops from the peak to the first and to the last value, each a tuple (mean, low, high).
            `is_u` says whether both intervals lie above 0. A value whose fits all failed does not
            count, so that an end is the first or last value with a score. Drops are NaN with fewer
            than two folds, or, with a single split, fewer than two repeats. Printed, it is a
            sentence.

        Raises
        ------
        ValueError
            If there is no attack of this name, all its fits failed, or `confidence` is out of
            range.

        References
        ----------
        .. [1] Nadeau, Bengio, "Inference for the Generalization Error", Machine Learning 52, 2003.

        Examples
        --------
        >>> import numpy as np
        >>> from skpoison import RobustnessCurve
        >>> noise = 0.01 * np.random.default_rng(0).standard_normal((3, 10))
        >>> table = {"flips": np.array([[0.5], [0.8], [0.7]]) + noise}
        >>> curve = RobustnessCurve("module__width", [2, 64, 4096], table, table, table, 5, 2, 0.25)
        >>> curve.u_shape("flips").is_u
        True
        """
        confidence = check_real(confidence, "confidence")
        if not 0 < confidence < 1:
            raise ValueError(f"`confidence` must lie between 0 and 1, got {confidence}")
        table = self._table(name)[self._fitted(name)]
        peak = self.peak(name)
        left = self._drop(table, 0, confidence)
        right = self._drop(table, -1, confidence)
        return UShape(peak, left, right, bool(left.low > 0 and right.low > 0))

    def _drop(self, table, end, confidence):
        """The drop from the peak to one end of the curve, with the peak chosen on other folds."""
        group = self.groups()
        whole = np.isfinite(table).all(axis=0)
        table, group = table[:, whole], group[whole]
        if len(np.unique(group)) < 2:
            return Drop(math.nan, math.nan, math.nan)
        differences = np.empty(len(group))
        for own in np.unique(group):
            best = np.argmax(table[:, group != own].mean(axis=1))
            differences[group == own] = (table[best] - table[end])[group == own]
        return corrected_interval(differences, group, self.test_train_ratio, confidence)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the curve to a JSON file.

        An error while writing leaves a file that was there before as it was. Values of the
        parameter that JSON cannot hold, such as estimators, are written as their text,
        ``str(value)``, and `load` gives this text.

        Parameters
        ----------
        path : str or path-like
            File to write; replaced if it exists.

        Raises
        ------
        OSError
            If the file cannot be written.
        """
        text = to_text({field.name: getattr(self, field.name) for field in fields(self)})
        path = Path(path)
        temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
        try:
            temporary.write_text(text, encoding="utf-8")
            os.replace(temporary, path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """Read a curve that `save` wrote.

        Parameters
        ----------
        path : str or path-like
            File to read.

        Returns
        -------
        curve : RobustnessCurve

        Raises
        ------
        OSError
            If the file cannot be read.
        ValueError
            If it does not hold a curve.
        """
        try:
            curve = cls(**from_text(Path(path).read_text(encoding="utf-8")))
            curve._check()
        except OSError:
            raise
        except (
            ValueError,
            TypeError,
            LookupError,
            AttributeError,
            RecursionError,
            OverflowError,
        ) as error:
            raise ValueError(f"{path} must hold a RobustnessCurve in JSON: {error}") from error
        return curve

    def _check(self):
        sizes = (self.n_splits, self.n_repeats)
        if not all(type(size) is int and size > 0 for size in sizes):
            raise ValueError(f"n_splits and n_repeats must be integers >= 1, got {sizes}")
        if not isinstance(self.param_name, str) or not isinstance(self.param_range, list):
            raise ValueError("param_name must be a string and param_range a list")
        check_real(self.test_train_ratio, "test_train_ratio", low=0)
        shape = (len(self.param_range), self.n_splits * self.n_repeats)
        for table in TABLES:
            tables = getattr(self, table)
            if not tables or tables.keys() != self.scores.keys():
                raise ValueError(f"{table} must have an entry for each attack")
            if any(values.shape != shape for values in tables.values()):
                raise ValueError(f"{table} must have shape {shape}")

    def groups(self) -> Array:
        """Return the group of each column of the tables; columns of one group count as one.

        Returns
        -------
        groups : ndarray of int of shape (n_repeats * n_splits,)
            The fold of each column, or its repeat if there is a single split.
        """
        columns = np.arange(self.n_splits * self.n_repeats)
        return columns % self.n_splits if self.n_splits > 1 else columns

    def _table(self, name):
        return self.scores[check_choice(name, "name", tuple(self.scores))]

    def _repr_html_(self):
        head = "".join(f"<th>{html.escape(name)}</th>" for name in self.scores)
        body = ""
        for i, value in enumerate(self.param_range):
            cells = "".join(
                f"<td>{np.nanmean(table[i]):.3f} ± {np.nanstd(table[i]):.3f}</td>"
                if np.isfinite(table[i]).any()
                else "<td>failed</td>"
                for table in self.scores.values()
            )
            body += f"<tr><th>{html.escape(str(value))}</th>{cells}</tr>"
        foot = "".join(f"<td>{self._short_verdict(name)}</td>" for name in self.scores)
        caption = (
            f"Clean score over {html.escape(self.param_name)}: mean ± standard deviation over "
            f"{self.n_splits} splits x {self.n_repeats} repeats"
        )
        name = html.escape(self.param_name)
        return (
            f"<table><caption>{caption}</caption><thead><tr><th>{name}</th>{head}</tr></thead>"
            f"<tbody>{body}</tbody><tfoot><tr><th>verdict</th>{foot}</tr></tfoot></table>"
        )


def check_curve(curve):
    """Raise unless `curve` is a RobustnessCurve; with several metrics, a study gives a dict."""
    if not isinstance(curve, RobustnessCurve):
        raise TypeError(
            "`curve` must be a RobustnessCurve (with several metrics, one value of the dict), got "
            f"an instance of {type(curve).__name__}"
        )


def _is_number(value):
    is_nan = isinstance(value, (float, np.floating)) and math.isnan(value)
    return isinstance(value, (int, float, np.number)) and not is_nan


def _row_means(table):
    """The mean of each row over the fits that did not fail; NaN where all fits failed."""
    counts = np.isfinite(table).sum(axis=1)
    sums = np.where(np.isfinite(table), table, 0).sum(axis=1)
    return np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)
