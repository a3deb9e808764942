"""The result of a study: tables of scores, their shapes, and their file."""

import html
import math
import os
import uuid
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Self

import numpy as np

from .._intervals import rounded
from .._typing import Array
from .._validation import check_choice, check_confidence, check_real
from ._comparisons import Design, drop_to_end, unpack_hits
from ._curve_file import TABLES, from_text, to_text
from ._shapes import Peak, UShape, last_name, value_text
from ._spread import mean_and_deviation


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
    n_test : int, default=None
        Rows of the fixed test set that all fits are scored on; None: each split is scored on the
        rows that it holds out.
    hits : dict of str to ndarray of uint8 of shape (n_params, n_repeats * n_splits, n_bytes), \
            default=None
        With a fixed test set, which of its rows each fit predicts right, packed by
        `numpy.packbits`. None if a score is not the share of these rows.
    sharing : list of lists of bool of shape (n_splits, n_splits), default=None
        Which splits hold out rows in common, as those of `RepeatedKFold` do; None: none do.

    Examples
    --------
    >>> import numpy as np
    >>> from skpoison import RobustnessCurve
    >>> table = {"flips": np.array([[0.5, 0.52, 0.48], [0.8, 0.83, 0.79], [0.7, 0.75, 0.71]])}
    >>> curve = RobustnessCurve("module__width", [2, 64, 4096], table, table, table, 3, 1, 0.5)
    >>> curve.peak("flips").param
    64
    >>> curve
    RobustnessCurve over module__width (3 values), 3 folds x 1 repeat
    flips: a U: best at width 64 (0.81); 2 lies 0.31 [0.28, 0.33] under it, 4096 lies 0.09 ...
    """

    param_name: str
    param_range: list[Any]
    scores: dict[str, Array]
    train_scores: dict[str, Array]
    fit_times: dict[str, Array]
    n_splits: int
    n_repeats: int
    test_train_ratio: float
    n_test: int | None = None
    hits: dict[str, Array] | None = None
    sharing: list[list[bool]] | None = None

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
            return "no scores: all fits or their scores failed"
        if not self._whole_columns(name).any():
            return "no column of scores without a failed fit"
        if len(values) == 1:
            score = rounded(self.peak(name).score)
            name = last_name(self.param_name)
            return f"{score} at {name} {value_text(values[0])}, the only value"
        return self.u_shape(name).describe(self.param_name, values[0], values[-1])

    def _short_verdict(self, name):
        fitted = self._fitted(name)
        if len(fitted) < 2:
            return "only one value" if len(fitted) else "no scores"
        if not self._whole_columns(name).any():
            return "no verdict"
        return self.u_shape(name).verdict()

    def _fitted(self, name):
        """The indices of the values that have a score."""
        return np.flatnonzero(np.isfinite(self._table(name)).any(axis=1))

    def _whole_columns(self, name):
        """Which columns have a score of every value that has any."""
        return np.isfinite(self._table(name)[self._fitted(name)]).all(axis=0)

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

        The means are over the columns in which no fit failed, so that all values are compared on
        the same splits and seeds. A value whose fits all failed does not count.

        Parameters
        ----------
        name : str
            Name of an attack.

        Returns
        -------
        peak : Peak
            A named tuple (param, score). If several values share the best mean, it is the first of
            them.

        Raises
        ------
        ValueError
            If there is no attack of this name, or no column in which all fits have a score.
        """
        fitted = self._fitted(name)
        whole = self._whole_columns(name)
        if not len(fitted) or not whole.any():
            raise ValueError(
                f"`name` must be an attack with scores, got {name!r}: in each column of its scores "
                "a fit failed"
            )
        means = self._table(name)[fitted][:, whole].mean(axis=1)
        best = int(np.argmax(means))
        return Peak(self.param_range[fitted[best]], float(means[best]))

    def u_shape(self, name: str, confidence: float = 0.95) -> UShape:
        """Say how far each end of the curve lies under the best of the other values.

        Each difference compares scores of the same fold and seed. The intervals are kept honest:

        - The best value is chosen on other folds than those that judge it, so that a lucky score is
          no peak. Folds that hold out rows in common, as those of `RepeatedKFold` do, do not choose
          for each other. (With a single split, repeats take the place of folds.)
        - The repeats of a fold are averaged and count as one, because they share its rows.
        - Training folds overlap. Where each fold is scored on its held-out rows, the variance is
          that of the corrected resampled t-test [1]_: 1/J becomes 1/J + n_test/n_train for J folds.
          On a fixed test set it is that of the delete-d jackknife [2]_.
        - All fits of a fixed test set share its rows. Their variance is added, and the best value
          is chosen on one half of the rows and judged on the other. This needs a score that is the
          share of rows predicted right, such as accuracy.
        - Among more than four values the intervals are wider, because choosing folds and judging
          folds have errors in common, up to a correlation of n_test/n. The factor,
          1 + 0.22 log((n_params - 1) / 3), was found by simulation.

        The intervals do not cover what all folds share: the one attack of ``poison="dataset"``.

        Parameters
        ----------
        name : str
            Name of an attack.
        confidence : float, default=0.95
            Coverage of each interval, between 0 and 1.

        Returns
        -------
        shape : UShape
            A named tuple. `peak` is the best value and its mean score. `left` and `right` are how
            far the first and the last value lie under the best of the other values, each a tuple
            (mean, low, high); an end that is itself the best lies above them, so that its mean is
            negative. Drops are NaN with fewer than two folds, or, with a single split, fewer than
            two repeats. `about` says what the intervals speak about, such as "splits and seeds".
            `is_u` says whether both intervals lie above 0. It is None, no verdict, if the intervals
            speak about less than a verdict needs (seeds on one split, or splits and seeds on these
            test rows); if all splits hold out rows in common; or if the drop is the same in all
            folds, which leaves nothing to judge by. A value whose fits all failed does not count,
            so that an end is the first or last value with a score. Printed, it is a sentence.

        Raises
        ------
        ValueError
            If there is no attack of this name, all its fits failed, or `confidence` is out of
            range.

        References
        ----------
        .. [1] Nadeau, Bengio, "Inference for the Generalization Error", Machine Learning 52, 2003.
        .. [2] Shao, Wu, "A General Theory for Jackknife Variance Estimation", Annals of Statistics
           17, 1989.

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
        confidence = check_confidence(confidence)
        fitted = self._fitted(name)
        peak = self.peak(name)
        table = self._table(name)[fitted]
        hits = None
        if self.judging_hits is not None:
            hits = unpack_hits(self.judging_hits[name][fitted], self.n_test)
        design = self.design
        left, right = (drop_to_end(design, table, hits, end, confidence) for end in (0, -1))
        is_u = None
        if design.can_judge(hits is not None) and all(
            drop.high - drop.low > 1e-9 for drop in (left, right)
        ):
            is_u = left.low > 1e-9 and right.low > 1e-9
        return UShape(peak, left, right, is_u, design.about(hits is not None))

    @property
    def judging_hits(self) -> dict[str, Array] | None:
        """The hits, or None for a single split, whose intervals speak about seeds only."""
        return self.hits if self.n_splits > 1 else None

    @property
    def design(self) -> Design:
        """How the columns of the tables hang together."""
        sharing = np.eye(self.n_splits) if self.sharing is None else self.sharing
        return Design(
            self.n_splits,
            self.n_repeats,
            self.test_train_ratio,
            np.array(sharing, dtype=bool),
            self.n_test,
        )

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

        A file of version 1 does not say whether scores are of a fixed test set. Its curve has
        intervals as if they were of held-out folds, and no verdict.

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
        self._check_design(shape)

    def _check_design(self, shape):
        if self.n_test is not None and (type(self.n_test) is not int or self.n_test < 1):
            raise ValueError(f"n_test must be None or an integer >= 1, got {self.n_test}")
        if self.hits is not None:
            if self.n_test is None or self.hits.keys() != self.scores.keys():
                raise ValueError("hits must have an entry for each attack, and n_test a number")
            shape = (*shape, -(-self.n_test // 8))
            if any(bits.shape != shape for bits in self.hits.values()):
                raise ValueError(f"hits must have shape {shape}")
        if self.sharing is not None:
            rows = [self.sharing, *self.sharing]
            if any(type(row) is not list or len(row) != self.n_splits for row in rows) or any(
                type(value) is not bool for row in self.sharing for value in row
            ):
                raise ValueError(f"sharing must have {self.n_splits} rows of as many booleans")

    def _table(self, name):
        return self.scores[check_choice(name, "name", tuple(self.scores))]

    def _repr_html_(self):
        head = "".join(f"<th>{html.escape(name)}</th>" for name in self.scores)
        body = ""
        for i, value in enumerate(self.param_range):
            cells = "".join(
                f"<td>{mean_and_deviation(table[i])}</td>"
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
