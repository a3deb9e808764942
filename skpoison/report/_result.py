"""The result of `robustness_report`."""

import os
from dataclasses import dataclass, field, replace
from typing import Any, Self

import numpy as np

from .._files import read, write_text
from .._intervals import Drop
from .._validation import check_choice
from ..study import (
    RobustnessCurveDisplay,
    RobustnessCurves,
    breaking_point,
    corrected_interval,
)
from ._attack_facts import AttackFacts
from ._certificates import Certificate
from ._poisoned_rows import PoisonedRows
from ._scores import recall_of

CONFIDENCE = 0.95


@dataclass(repr=False)
class RobustnessReport:
    """How much poison classifiers take: the result of `robustness_report`.

    Printed, it is the answer in sentences.

    Parameters
    ----------
    studies : list of dict of str to RobustnessCurves
        The studies that the report rests on, each a dict of metric to curves by victim. The metrics
        are "accuracy", "changed" (the share of training rows that the attack changed), "recall 0",
        "recall 1", ... (by class, in the order of `classes`) and "success NAME" (the success rate
        of an attack that has one).
    victims : dict of str to str
        The victims as code, by name.
    attacks : dict of str to AttackFacts
        Words, strengths and threat models of the attacks, by name.
    classes : dict of str to int
        The number of rows of each class.
    data : dict of str to object
        Facts about the data.
    settings : dict of str to object
        "drop", "cv", "n_splits", "n_repeats" and "random_state".
    left_out : dict of str to str
        What the report leaves out, and why.
    certificates : dict of str to Certificate
        Victims that certify predictions, by name.
    poisoned : dict of str to PoisonedRows
        The rows that each attack changes in the whole data.
    versions : dict of str to str
        Versions of what computed the report.
    made : dict of str to object
        "date" (UTC) and "seconds".
    call : str
        What reproduces the report.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn.linear_model import LogisticRegression
    >>> from skpoison import LabelFlip, robustness_report
    >>> X, y = load_digits(return_X_y=True)
    >>> report = robustness_report(
    ...     LogisticRegression(C=0.1), X[:300] / 16, y[:300], attacks={"flips": LabelFlip()},
    ...     strengths={"flips": [0.2, 0.4]}, cv=3, random_state=0,
    ... )
    >>> report.breaking_point("LogisticRegression", "flips").budget < 0.4
    True
    >>> report.to_frame().shape
    (9, 17)
    """

    studies: list[dict[str, RobustnessCurves]]
    victims: dict[str, str]
    attacks: dict[str, AttackFacts]
    classes: dict[str, int]
    data: dict[str, Any]
    settings: dict[str, Any]
    left_out: dict[str, str] = field(default_factory=dict)
    certificates: dict[str, Certificate] = field(default_factory=dict)
    poisoned: dict[str, PoisonedRows] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    made: dict[str, Any] = field(default_factory=dict)
    call: str = ""

    def __repr__(self) -> str:
        return "\n".join(self.answer())

    def answer(self) -> list[str]:
        """Return the short answer.

        Returns
        -------
        sentences : list of str
        """
        from ._sentences import answer

        return answer(self)

    def curves(self, attack: str, metric: str = "accuracy") -> RobustnessCurves:
        """Return the curves of all victims under one attack.

        Parameters
        ----------
        attack : str
            Name of an attack.
        metric : str, default="accuracy"
            What was measured: see `studies`.

        Returns
        -------
        curves : RobustnessCurves
            Curves over the strengths of this attack.

        Raises
        ------
        ValueError
            If there is no attack or metric of this name.
        """
        check_choice(attack, "attack", tuple(self.attacks))
        (study,) = (one for one in self.studies if attack in _attacks_of(one))
        check_choice(metric, "metric", tuple(study))
        return RobustnessCurves(
            {victim: _only(curve, attack) for victim, curve in study[metric].items()}
        )

    def breaking_point(self, victim: str, attack: str, drop: float | None = None) -> Any:
        """Find the smallest strength at which the accuracy of a victim falls by `drop`.

        Parameters
        ----------
        victim, attack : str
            Names of a victim and an attack.
        drop : float, default=None
            The fall, > 0; None: the `drop` of the report.

        Returns
        -------
        point : BreakingPoint
            As `skpoison.breaking_point` finds it on the curve.

        Raises
        ------
        ValueError
            If there is no victim or attack of this name, or `drop` is not > 0.
        """
        check_choice(victim, "victim", tuple(self.victims))
        drop = self.settings["drop"] if drop is None else drop
        return breaking_point(self.curves(attack)[victim], drop=drop, confidence=CONFIDENCE)

    def difference(self, victim: str, other: str, attack: str) -> dict[float, Drop]:
        """Compare the accuracies of two victims at each strength of an attack.

        Both were trained on the same poisoned rows with the same seeds. The intervals hold at 95%
        for all strengths of the attack together (Bonferroni).

        Parameters
        ----------
        victim, other : str
            Names of two victims.
        attack : str
            Name of an attack.

        Returns
        -------
        differences : dict of float to Drop
            The accuracy of `victim` less that of `other`, by strength: a named tuple (mean, low,
            high), as from `skpoison.study.corrected_interval`.

        Raises
        ------
        ValueError
            If there is no victim or attack of this name.
        """
        check_choice(victim, "victim", tuple(self.victims))
        check_choice(other, "other", tuple(self.victims))
        one, two = (self.curves(attack)[name] for name in (victim, other))
        strengths = one.values_of(attack)
        confidence = 1 - (1 - CONFIDENCE) / len(strengths)
        return {
            strength: _paired(one, one.scores[attack][i] - two.scores[attack][i], confidence)
            for i, strength in enumerate(strengths)
        }

    def means(self, attack: str, metric: str = "accuracy") -> dict[str, list[float]]:
        """Return the means of a metric over folds and repeats, at each strength of an attack.

        Parameters
        ----------
        attack : str
            Name of an attack.
        metric : str, default="accuracy"
            What was measured: see `studies`.

        Returns
        -------
        means : dict of str to list of float
            By victim. Fits that failed do not count; NaN where all did.
        """
        return {
            victim: [_mean(row) for row in curve.scores[attack]]
            for victim, curve in self.curves(attack, metric).items()
        }

    def recalls(self, attack: str) -> dict[str, dict[str, list[float]]]:
        """Return the share of each class that is predicted right, at each strength of an attack.

        Parameters
        ----------
        attack : str
            Name of an attack.

        Returns
        -------
        recalls : dict of str to dict of str to list of float
            By class and victim.
        """
        return {label: self.means(attack, recall_of(i)) for i, label in enumerate(self.classes)}

    def to_frame(self) -> Any:
        """Return all scores as a tidy pandas DataFrame with one row for each fit.

        Returns
        -------
        frame : pandas.DataFrame
            Columns ``victim``, ``attack``, ``strength``, ``split``, ``repeat`` and one for each
            metric: see `studies`. A metric that an attack does not have is NaN.
        """
        import pandas as pd

        keys = ["victim", "attack", "strength", "split", "repeat"]
        frames = []
        for attack in self.attacks:
            study = next(one for one in self.studies if attack in _attacks_of(one))
            parts = [
                self.curves(attack, metric).to_frame().set_index(keys)["score"].rename(metric)
                for metric in study
            ]
            frames.append(pd.concat(parts, axis=1))
        return pd.concat(frames).reset_index()

    def plot(self, attack: str | None = None, **display_kw: Any) -> RobustnessCurveDisplay:
        """Draw accuracy against strength.

        Parameters
        ----------
        attack : str, default=None
            Name of an attack; None draws all, a panel for each.
        **display_kw
            Passed to `RobustnessCurveDisplay.from_curves`: `ax` and others.

        Returns
        -------
        display : RobustnessCurveDisplay

        Raises
        ------
        ValueError
            If there is no attack of this name; or if it is None, and attacks have lists of
            strengths of different lengths.
        """
        if attack is None and len(self.studies) > 1:
            raise ValueError(
                f"`attack` must be one of {list(self.attacks)}, got None: their lists of strengths "
                "have different lengths"
            )
        curves = self.studies[0]["accuracy"] if attack is None else self.curves(attack)
        return RobustnessCurveDisplay.from_curves(
            curves, **{"score_name": "Accuracy on clean rows", **display_kw}
        )

    def poisoned_rows(self, attack: str) -> Any:
        """List the rows that an attack changes in the whole data.

        The attack runs once on all rows, at the smallest strength tried at which the first victim
        has lost the `drop`, or else at the largest.

        Parameters
        ----------
        attack : str
            Name of an attack.

        Returns
        -------
        frame : pandas.DataFrame
            One row for each row that changed. ``row`` is its position. ``label`` and
            ``new_label`` are texts. ``cells`` is the number of its cells that changed; ``column``
            is the one that changed most, from ``before`` to ``after``.

        Raises
        ------
        ValueError
            If there is no attack of this name.
        """
        check_choice(attack, "attack", tuple(self.attacks))
        return self.poisoned[attack].to_frame()

    def to_html(self, path: str | os.PathLike[str]) -> None:
        """Write the report as one HTML file, which needs nothing else to be shown or printed.

        Parameters
        ----------
        path : str or path-like
            File to write; replaced if it exists.

        Raises
        ------
        OSError
            If the file cannot be written. A file that was there before stays as it was.
        """
        from ._page import page

        write_text(path, page(self))

    def to_json(self, path: str | os.PathLike[str]) -> None:
        """Write the report as JSON, from which `load` makes the same report.

        The file also has the answer and the breaking points, for readers other than `load`. For
        infinity and NaN it has null: the budget is null where the drop is not reached.

        Parameters
        ----------
        path : str or path-like
            File to write; replaced if it exists.

        Raises
        ------
        OSError
            If the file cannot be written. A file that was there before stays as it was.
        """
        from ._report_file import to_text

        write_text(path, to_text(self))

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """Read a report that `to_json` wrote. Nothing in the file is run.

        Parameters
        ----------
        path : str or path-like
            File to read.

        Returns
        -------
        report : RobustnessReport

        Raises
        ------
        OSError
            If the file cannot be read.
        ValueError
            If it does not hold a report.
        """
        from ._report_file import fields_of

        return read(path, "a RobustnessReport", lambda text: cls(**fields_of(text)))

    def _repr_html_(self):
        from ._page import fragment

        return fragment(self)


def _attacks_of(study):
    """The names of the attacks of a study."""
    first = next(iter(study["accuracy"].values()))
    return first.scores


def _only(curve, attack):
    """The curve of one attack."""
    tables = {
        field: {attack: getattr(curve, field)[attack]}
        for field in ("scores", "train_scores", "fit_times", "strengths", "strength_names")
    }
    return replace(curve, param_range=list(curve.strengths[attack]), **tables)


def _paired(curve, differences, confidence):
    """The interval of a difference between fits of the same folds and seeds."""
    by_repeat = differences.reshape(curve.n_repeats, curve.n_splits)
    finite = np.isfinite(by_repeat)
    # Of a single split, the repeats are compared.
    axis = 0 if curve.n_splits > 1 else 1
    used = finite.any(axis=axis)
    if not used.any():
        return Drop(np.nan, np.nan, np.nan)
    values = np.ma.masked_array(by_repeat, ~finite).mean(axis=axis)[used]
    ratio = curve.test_train_ratio if curve.n_splits > 1 else 0.0
    return corrected_interval(np.asarray(values), ratio, confidence=confidence)


def _mean(row):
    finite = row[np.isfinite(row)]
    return float(finite.mean()) if len(finite) else float("nan")
