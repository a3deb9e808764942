"""The result of a study: tables of scores, their shapes, and their file."""

import html
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Self

import numpy as np

from .._files import decoded, read, write_text
from .._intervals import rounded
from .._typing import Array
from .._validation import check_choice, check_confidence, check_real
from ._comparisons import Design, drop_to_end, fall, unpack_hits
from ._curve_file import TABLES, from_text, many_from_text, many_to_text, to_text
from ._shapes import Peak, UShape, last_name, value_text
from ._spread import mean_and_deviation


@dataclass(repr=False)
class RobustnessCurve:
    """Scores over a parameter, under each of several attacks: the result of `robustness_curve`.

    Parameters
    ----------
    param_name : str
        The parameter that varies; "strength" if the strength of the attacks does, and "" if none
        does.
    param_range : list of length n_params
        Its values; ``[None]`` if none varies.
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
    strengths : dict of str to list of float of length n_params, default=None
        If the strength of the attacks varies (``param_name="strength"``), its values for each
        attack. `param_range` has the same values if all attacks share them, else the positions 0,
        1, .... None: a parameter of the victim varies.
    strength_names : dict of str to str or None, default=None
        The parameter of each attack that is its strength, such as ``"rate"``; None for clean
        training. None if `strengths` is None.
    metric : str, default=None
        The name of the score, such as ``"accuracy"``; None if it has none.

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
    strengths: dict[str, list[Any]] | None = None
    strength_names: dict[str, str | None] | None = None
    metric: str | None = None

    def __repr__(self) -> str:
        title = f"RobustnessCurve{self._over()}, {self._size()}"
        lines = [f"{name}: {text}" for name, text in self._verdicts().items()]
        return "\n".join([title, *lines])

    def _verdicts(self):
        """How the scores go, in words, by attack."""
        # Printing must not fail, whatever the scores are.
        with np.errstate(over="ignore", invalid="ignore"):
            return {name: self._verdict(name) for name in self.scores}

    def _over(self):
        """What varies, in words: " over module__width (3 values)"; "" if nothing does."""
        if not self.param_name:
            return ""
        return f" over {self.param_name} ({_counted(len(self.param_range), 'value')})"

    def _size(self):
        return f"{_counted(self.n_splits, 'fold')} x {_counted(self.n_repeats, 'repeat')}"

    def values_of(self, name: str) -> list[Any]:
        """Return the values at which the scores of an attack stand.

        Parameters
        ----------
        name : str
            Name of an attack.

        Returns
        -------
        values : list of length n_params
            `param_range`, or, if the strength of the attacks varies, the strengths of this one.

        Raises
        ------
        ValueError
            If there is no attack of this name.
        """
        self._table(name)
        return self.param_range if self.strengths is None else self.strengths[name]

    def _verdict(self, name):
        """One line on the shape of a curve."""
        fitted = self._fitted(name)
        values = [self.values_of(name)[i] for i in fitted]
        if not values:
            return "no scores: all fits or their scores failed"
        if not self._whole_columns(name).any():
            return "no column of scores without a failed fit"
        if self.strengths is not None:
            return self._fall_in_words(name)
        if len(values) == 1:
            score = rounded(self.peak(name).score)
            if not self.param_name:
                return score
            name = last_name(self.param_name)
            return f"{score} at {name} {value_text(values[0])}, the only value"
        return self.u_shape(name).describe(self.param_name, values[0], values[-1])

    def _fall_in_words(self, name):
        """How far the scores fall over the strengths of an attack."""
        fitted, values = self._fitted(name), self.values_of(name)
        whole = self._whole_columns(name)
        means = self._table(name)[:, whole].mean(axis=1)
        word = self.strength_names[name]
        if word is None:
            return f"{rounded(means[fitted[0]])}, clean"
        word = last_name(word)
        ordered = sorted(fitted, key=lambda i: values[i])
        first, last = ordered[0], ordered[-1]
        at_first, at_last = (f"at {word} {value_text(values[i])}" for i in (first, last))
        if values[first] == values[last]:
            return f"{rounded(means[first])} {at_first}, the only value"
        found = fall_between((self, name, first), (self, name, last))
        return (
            f"from {rounded(means[first])} {at_first} to {rounded(means[last])} {at_last}, a fall "
            f"of {found}"
        )

    def _short_verdict(self, name):
        if self.strengths is not None or not self.param_name:
            return self._verdict(name)
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
            Where the strength of the attacks varies, the column ``strength`` has each attack's own
            values. If nothing varies, there is no such column.
        """
        import pandas as pd

        rows = [
            {
                "attack": name,
                **({self.param_name: value} if self.param_name else {}),
                "split": column % self.n_splits,
                "repeat": column // self.n_splits,
                "score": self.scores[name][i, column],
                "train_score": self.train_scores[name][i, column],
                "fit_time": self.fit_times[name][i, column],
            }
            for name in self.scores
            for i, value in enumerate(_printable(self.values_of(name)))
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
        return Peak(self.values_of(name)[fitted[best]], float(means[best]))

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
        write_text(path, to_text(self._state()))

    def _state(self):
        return {field.name: getattr(self, field.name) for field in fields(self)}

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
        return read(path, "a RobustnessCurve", lambda text: cls._of_state(from_text(text)))

    @classmethod
    def _of_state(cls, state):
        """A curve of the fields in a file, checked."""
        curve = cls(**state)
        curve._check()
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
        self._check_strengths(shape)

    def _check_strengths(self, shape):
        if self.metric is not None and not isinstance(self.metric, str):
            raise ValueError(f"metric must be None or a string, got {self.metric!r}")
        if (self.strengths is None) != (self.strength_names is None):
            raise ValueError("strengths and strength_names must be given together")
        if self.strengths is None:
            return
        if not (self.strengths.keys() == self.scores.keys() == self.strength_names.keys()):
            raise ValueError("strengths must have an entry for each attack")
        if any(len(values) != shape[0] for values in self.strengths.values()):
            raise ValueError(f"strengths must have {shape[0]} values for each attack")
        for values in self.strengths.values():
            for value in values:
                check_real(value, "strengths", low=0)
        if any(type(name) not in (str, type(None)) for name in self.strength_names.values()):
            raise ValueError("strength_names must have strings or None")

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
        # Where attacks have strengths of their own, each cell says which it is.
        shared = all(self.values_of(name) == self.param_range for name in self.scores)
        body = ""
        for i, value in enumerate(self.param_range):
            cells = "".join(f"<td>{self._cell(name, i, shared)}</td>" for name in self.scores)
            label = "" if value is None and not self.param_name else html.escape(str(value))
            body += f"<tr><th>{label}</th>{cells}</tr>"
        foot = "".join(f"<td>{html.escape(self._short_verdict(name))}</td>" for name in self.scores)
        over = f" over {html.escape(self.param_name)}" if self.param_name else ""
        caption = (
            f"Clean score{over}: mean ± standard deviation over "
            f"{self.n_splits} splits x {self.n_repeats} repeats"
        )
        name = html.escape(self.param_name)
        return (
            f"<table><caption>{caption}</caption><thead><tr><th>{name}</th>{head}</tr></thead>"
            f"<tbody>{body}</tbody><tfoot><tr><th>verdict</th>{foot}</tr></tfoot></table>"
        )

    def _cell(self, name, i, shared):
        scores = self.scores[name][i]
        text = mean_and_deviation(scores) if np.isfinite(scores).any() else "failed"
        if shared or self.strength_names[name] is None:
            return text
        return f"{text} at {self.strengths[name][i]:g}"


class RobustnessCurves(dict[str, RobustnessCurve]):
    """Curves of several victims, by name: the result of `robustness_curve` with a dict of victims.

    All victims were trained on the same poisoned rows with the same seeds, so that the columns of
    their tables are paired.

    Parameters
    ----------
    curves : dict of str to RobustnessCurve
        The curves by victim.

    Raises
    ------
    TypeError
        If a name is no string, or an entry no RobustnessCurve.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn.tree import DecisionTreeClassifier
    >>> from skpoison import LabelFlip, robustness_curve
    >>> X, y = load_digits(return_X_y=True)
    >>> curves = robustness_curve(
    ...     {"linear": LogisticRegression(C=0.1), "tree": DecisionTreeClassifier()},
    ...     X[:300] / 16, y[:300], attacks={"flips": LabelFlip()},
    ...     param_name="strength", param_range=[0.0, 0.4], cv=3, random_state=0,
    ... )
    >>> curves
    RobustnessCurves of 2 victims over strength (2 values), 3 folds x 1 repeat
    linear, flips: from 0.9... at rate 0 to 0.6... at rate 0.4, a fall of 0...
    tree, flips: from 0.7... at rate 0 to 0.4... at rate 0.4, a fall of 0...
    >>> curves["tree"].to_frame().shape
    (6, 7)
    """

    def __init__(self, curves: Mapping[str, RobustnessCurve]) -> None:
        super().__init__(curves)
        for name, curve in self.items():
            if not isinstance(name, str) or not isinstance(curve, RobustnessCurve):
                raise TypeError(
                    "`curves` must have names and RobustnessCurves, got "
                    f"{name!r} and an instance of {type(curve).__name__}"
                )

    def __repr__(self) -> str:
        title = f"RobustnessCurves of {_counted(len(self), 'victim')}"
        heads = [(curve._over(), curve._size()) for curve in self.values()]
        # What victims have in common is said once.
        over = heads[0][0] if len({over for over, _ in heads}) == 1 else ""
        size = f", {heads[0][1]}" if len({size for _, size in heads}) == 1 else ""
        lines = [
            f"{victim}{'' if over else curve._over()}, {attack}: {text}"
            for victim, curve in self.items()
            for attack, text in curve._verdicts().items()
        ]
        return "\n".join([f"{title}{over}{size}", *lines])

    def to_frame(self) -> Any:
        """Return a tidy pandas DataFrame with one row for each fit.

        Returns
        -------
        frame : pandas.DataFrame
            A column ``victim``, and the columns of `RobustnessCurve.to_frame`. The column of a
            parameter is NaN for a victim whose parameter is another.
        """
        import pandas as pd

        frames = {victim: curve.to_frame() for victim, curve in self.items()}
        for victim, frame in frames.items():
            frame.insert(0, "victim", victim)
        whole = pd.concat(frames.values(), ignore_index=True)
        # Parameters stand together, in front of the split, as in the frame of each curve.
        params = [curve.param_name for curve in self.values() if curve.param_name]
        first = ["victim", "attack", *dict.fromkeys(params)]
        return whole[[*first, *(column for column in whole.columns if column not in first)]]

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the curves to one JSON file, as `RobustnessCurve.save` writes one curve.

        Parameters
        ----------
        path : str or path-like
            File to write; replaced if it exists.

        Raises
        ------
        OSError
            If the file cannot be written.
        """
        write_text(path, self.to_text())

    def to_text(self) -> str:
        """Return the JSON text that `save` writes.

        Returns
        -------
        text : str
        """
        return many_to_text({name: curve._state() for name, curve in self.items()})

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """Read curves that `save` wrote.

        Parameters
        ----------
        path : str or path-like
            File to read.

        Returns
        -------
        curves : RobustnessCurves

        Raises
        ------
        OSError
            If the file cannot be read.
        ValueError
            If it does not hold such curves.
        """
        return read(path, "RobustnessCurves", cls._decode)

    @classmethod
    def of_text(cls, text: str) -> Self:
        """Make curves of the text that `to_text` returned.

        Parameters
        ----------
        text : str
            JSON.

        Returns
        -------
        curves : RobustnessCurves

        Raises
        ------
        ValueError
            If the text does not hold such curves.
        """
        return decoded(text, "RobustnessCurves", cls._decode)

    @classmethod
    def _decode(cls, text):
        states = many_from_text(text)
        return cls({name: RobustnessCurve._of_state(state) for name, state in states.items()})

    def _repr_html_(self):
        return "".join(
            f"<h4>{html.escape(victim)}</h4>{curve._repr_html_()}" for victim, curve in self.items()
        )


def fall_between(start, end, confidence=0.95):
    """How far the scores of one place lie under those of another, paired; a Drop.

    A place is a tuple (curve, name of the attack, index of the value). Both curves have the same
    splits and seeds.
    """
    places = (start, end)
    hits = None
    if all(curve.judging_hits is not None for curve, _, _ in places):
        hits = [curve.judging_hits[name][i] for curve, name, i in places]
    tables = [curve.scores[name][i] for curve, name, i in places]
    return fall(start[0].design, tables, hits, confidence)


def check_curve(curve):
    """Raise unless `curve` is a RobustnessCurve; with several metrics, a study gives a dict."""
    if not isinstance(curve, RobustnessCurve):
        raise TypeError(
            "`curve` must be a RobustnessCurve (of several metrics or victims, one value of the "
            "dict; `RobustnessCurveDisplay.from_curves` draws several victims), got "
            f"an instance of {type(curve).__name__}"
        )


def _printable(values):
    """The values for a column of a frame: numbers, or strings if one of them is no number."""
    return values if all(map(_is_number, values)) else [str(value) for value in values]


def _counted(n, word):
    return f"{n} {word}{'s' * (n != 1)}"


def _is_number(value):
    is_nan = isinstance(value, (float, np.floating)) and math.isnan(value)
    return isinstance(value, (int, float, np.number)) and not is_nan
