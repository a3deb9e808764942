import html
import json
import math
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np

from .._intervals import Drop, corrected_interval
from .._typing import Array
from .._validation import check_choice, check_real

_TABLES = ("scores", "train_scores", "fit_times")


class Peak(NamedTuple):
    """The best value of the parameter, and its mean score."""

    param: object
    score: float


class UShape(NamedTuple):
    """The answer of `RobustnessCurve.u_shape`."""

    peak: Peak
    left: Drop
    right: Drop
    is_u: bool


@dataclass
class RobustnessCurve:
    """Scores over a parameter under each attack: what `robustness_curve` returns.

    Parameters
    ----------
    param_name : str
        The parameter that varies.
    param_range : list of length n_params
        Its values.
    scores : dict of str to ndarray of shape (n_params, n_repeats * n_splits)
        Scores on clean data by attack. Column r * n_splits + s is repeat r on split s.
    train_scores : dict of str to ndarray of shape (n_params, n_repeats * n_splits)
        Scores on the data trained on, poison included.
    fit_times : dict of str to ndarray of shape (n_params, n_repeats * n_splits)
        Seconds that each fit took, attack and scoring not included.
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
    """

    param_name: str
    param_range: list[Any]
    scores: dict[str, Array]
    train_scores: dict[str, Array]
    fit_times: dict[str, Array]
    n_splits: int
    n_repeats: int
    test_train_ratio: float

    def to_frame(self) -> Any:
        """Return a tidy pandas DataFrame, a row a fit.

        Returns
        -------
        frame : pandas.DataFrame
            Columns ``attack``, the name of the parameter, ``split``, ``repeat``, ``score``,
            ``train_score`` and ``fit_time`` (in seconds).
        """
        import pandas as pd

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
            for i, value in enumerate(self.param_range)
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
            A named tuple (param, score). Of equal means the first; failed fits do not count.
        """
        means = _row_means(self._table(name))
        if np.isnan(means).all():
            raise ValueError(
                f"`name` must be of an attack with scores, got {name!r}: all fits failed"
            )
        best = int(np.nanargmax(means))
        return Peak(self.param_range[best], float(means[best]))

    def u_shape(self, name: str, confidence: float = 0.95) -> UShape:
        """Say how far both ends of the curve lie under its peak.

        The differences are paired: same fold, same seed. Three corrections keep the intervals
        honest. The peak is chosen for each fold from the other folds (for a single split, for each
        repeat from the other repeats), so that it is not the luck of the data that judge it. The
        repeats of a fold are averaged first: they share its rows, and count as one. And the
        variance is that of the corrected resampled t-test [1]_: training folds overlap, so 1/J
        becomes 1/J + n_test/n_train for J folds. What all folds share (a fixed test set, the one
        attack of ``poison="dataset"``) is in no interval.

        Parameters
        ----------
        name : str
            Name of an attack.
        confidence : float, default=0.95
            Coverage of each interval, between 0 and 1.

        Returns
        -------
        shape : UShape
            A named tuple: `peak`; `left` and `right`, the drops from the peak to the first and to
            the last value, each a tuple (mean, low, high); and `is_u`, whether both intervals lie
            above 0. With fewer than two folds (or, of a single split, repeats)
            the drops are NaN.

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
        table = self._table(name)
        left = self._drop(table, 0, confidence)
        right = self._drop(table, -1, confidence)
        return UShape(self.peak(name), left, right, bool(left.low > 0 and right.low > 0))

    def _drop(self, table, end, confidence):
        """Paired drop from the peak, chosen on other folds, to one end of the curve."""
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
        """Write the curve to a JSON file, whole or not at all.

        Parameters
        ----------
        path : str or path-like
            File to write; replaced if it exists.

        Raises
        ------
        TypeError
            If a value of the parameter has no form in JSON.
        """
        state = asdict(self)
        for table in _TABLES:
            state[table] = {name: values.tolist() for name, values in state[table].items()}
        text = json.dumps({"format": "skpoison.RobustnessCurve", "version": 1, **state}, indent=1)
        path = Path(path)
        temporary = path.with_name(f".{path.name}.{os.getpid()}")
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
            state = json.loads(Path(path).read_text(encoding="utf-8"))
            if state.pop("format") != "skpoison.RobustnessCurve" or state.pop("version") != 1:
                raise ValueError("another format")
            for table in _TABLES:
                state[table] = {name: _numbers(rows) for name, rows in state[table].items()}
            curve = cls(**state)
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
        for table in _TABLES:
            tables = getattr(self, table)
            if not tables or tables.keys() != self.scores.keys():
                raise ValueError(f"{table} must have an entry for each attack")
            if any(values.shape != shape for values in tables.values()):
                raise ValueError(f"{table} must have shape {shape}")

    def groups(self) -> Array:
        """Return which columns of the tables count as one: those of a fold.

        Returns
        -------
        groups : ndarray of int of shape (n_repeats * n_splits,)
            The fold of each column; of a single split, the repeat.
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
        caption = (
            f"Clean score over {html.escape(self.param_name)}: mean ± standard deviation over "
            f"{self.n_splits} splits x {self.n_repeats} repeats"
        )
        name = html.escape(self.param_name)
        return (
            f"<table><caption>{caption}</caption><thead><tr><th>{name}</th>{head}</tr></thead>"
            f"<tbody>{body}</tbody></table>"
        )


def check_curve(curve):
    """Raise unless `curve` is one: a study of several metrics gives a dict of them."""
    if not isinstance(curve, RobustnessCurve):
        raise TypeError(
            "`curve` must be a RobustnessCurve (of several metrics, one of the dict), got an "
            f"instance of {type(curve).__name__}"
        )


def _numbers(rows):
    """The array of a table in JSON; numpy would take the strings and nulls in it for numbers."""
    if any(type(value) not in (int, float) for row in rows for value in row):
        raise ValueError("a table must have numbers only")
    return np.array(rows, dtype=np.float64)


def _row_means(table):
    """Means of rows over the fits that did not fail; NaN where all did."""
    counts = np.isfinite(table).sum(axis=1)
    sums = np.where(np.isfinite(table), table, 0).sum(axis=1)
    return np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)
