"""Scores over the budget of an attack and a parameter of the victim, as a heat map."""

from collections.abc import Iterable
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import clone
from sklearn.utils._optional_dependencies import check_matplotlib_support

from ..._typing import Array, Attack, Classifier
from ..._validation import check_real
from .._arguments import budget_name_of
from .._breaking_point import budgets_of, point_of_row
from .._results import RobustnessCurve, check_curve
from .._robustness_curve import robustness_curve
from ._scaffold import axes_of


class BudgetHeatmapDisplay:
    """Heat map of clean scores over the budget of an attack and a parameter of the victim.

    Use `from_curve` or `from_estimator`.

    Parameters
    ----------
    budgets : array-like of shape (n_budgets,)
        Budgets, ascending, the first of them 0.
    param_name : str
        The parameter that varies.
    param_range : list of length n_params
        Its values.
    scores : ndarray of shape (n_budgets, n_params, n_scores)
        Scores on clean data; NaN for a fit that failed.
    budget_name : str, default="budget"
        Label of the vertical axis.
    score_name : str, default="Score on clean data"
        Label of the colours.

    Attributes
    ----------
    ax_ : matplotlib.axes.Axes
        Axes with the plot.
    figure_ : matplotlib.figure.Figure
        The figure of `ax_`.
    im_ : matplotlib.image.AxesImage
        The map of mean scores.
    text_ : ndarray of matplotlib.text.Text of shape (n_budgets, n_params)
        The numbers in it.
    lines_ : matplotlib.collections.LineCollection or None
        The lines at the budgets where the mean score has fallen by `drop`, if that is given.
    curve_ : RobustnessCurve
        The study. A display of plain scores makes one in which each score is a fold.

    Examples
    --------
    >>> import matplotlib
    >>> matplotlib.use("agg")
    >>> import numpy as np
    >>> from skpoison import BudgetHeatmapDisplay, RobustnessCurve
    >>> table = {"0": np.array([[0.8], [0.9]]), "0.3": np.array([[0.7], [0.6]])}
    >>> curve = RobustnessCurve("module__width", [2, 64], table, table, table, 1, 1, 1.0)
    >>> display = BudgetHeatmapDisplay.from_curve(curve, drop=0.2)
    >>> [[text.get_text() for text in row] for row in display.text_]
    [['0.80', '0.90'], ['0.70', '0.60']]
    >>> display.figure_.clear()
    """

    def __init__(
        self,
        *,
        budgets: Iterable[float],
        param_name: str,
        param_range: Iterable[Any],
        scores: Array,
        budget_name: str = "budget",
        score_name: str = "Score on clean data",
    ) -> None:
        self.budgets = budgets
        self.param_name = param_name
        self.param_range = param_range
        self.scores = scores
        self.budget_name = budget_name
        self.score_name = score_name

    curve_: RobustnessCurve

    @classmethod
    def from_curve(
        cls,
        curve: RobustnessCurve,
        *,
        budget_name: str = "budget",
        score_name: str = "Score on clean data",
        ax: Any = None,
        **plot_kw: Any,
    ) -> Self:
        """Plot a study whose attacks are one attack at several budgets.

        Parameters
        ----------
        curve : RobustnessCurve
            A study whose attacks are named by their budgets: "0" (clean training), "0.1", ...
        budget_name : str, default="budget"
            Label of the vertical axis.
        score_name : str, default="Score on clean data"
            Label of the colours.
        ax : matplotlib.axes.Axes, default=None
            Axes to draw in; None makes a new figure.
        **plot_kw
            Passed to `plot`.

        Returns
        -------
        display : BudgetHeatmapDisplay

        Raises
        ------
        TypeError
            If `curve` is not a RobustnessCurve.
        ValueError
            If the name of an attack is not a number >= 0, or no attack is named "0".
        """
        check_curve(curve)
        budgets = budgets_of(curve)
        display = cls(
            budgets=list(budgets.values()),
            param_name=curve.param_name,
            param_range=curve.param_range,
            scores=np.stack([curve.scores[name] for name in budgets]),
            budget_name=budget_name,
            score_name=score_name,
        )
        display.curve_ = curve
        return display.plot(ax=ax, **plot_kw)

    @classmethod
    def from_estimator(
        cls,
        estimator: Classifier,
        X: ArrayLike,
        y: ArrayLike,
        *,
        attack: Attack,
        budgets: Iterable[float],
        param_name: str,
        param_range: Iterable[Any],
        budget_name: str | None = None,
        score_name: str = "Score on clean data",
        ax: Any = None,
        drop: float | None = None,
        values_format: str = ".2f",
        im_kw: dict[str, Any] | None = None,
        text_kw: dict[str, Any] | None = None,
        **study_kw: Any,
    ) -> Self:
        """Run a study over budgets and a parameter, and plot it.

        Parameters
        ----------
        estimator, X, y, param_name, param_range
            As in `robustness_curve`.
        attack : attack
            The attack, at any budget.
        budgets : array-like of float of shape (n_budgets,)
            Budgets, >= 0. Clean training, budget 0, is added.
        budget_name : str, default=None
            The parameter of the attack to vary, and the label of the vertical axis. None: its
            strength, as in `breaking_point`.
        score_name : str, default="Score on clean data"
            Label of the colours.
        ax : matplotlib.axes.Axes, default=None
            Axes to draw in; None makes a new figure.
        drop, values_format, im_kw, text_kw
            As in `plot`.
        **study_kw
            Passed to `robustness_curve`: `cv`, `n_repeats`, `random_state` and so on. `scoring`
            must be one metric.

        Returns
        -------
        display : BudgetHeatmapDisplay
            Its `curve_` is the study.

        Raises
        ------
        ValueError
            If an argument is out of its range.
        """
        check_matplotlib_support(f"{cls.__name__}.from_estimator")
        _check_drop(drop)
        if not isinstance(budgets, Iterable):
            raise TypeError(f"`budgets` must be numbers, one or more, got {budgets!r}")
        values = {check_real(budget, "budgets", low=0) for budget in budgets} | {0.0}
        budget_name = budget_name_of(attack, budget_name)
        attacks = {
            repr(budget): clone(attack).set_params(**{budget_name: budget}) if budget else None
            for budget in sorted(values)
        }
        curve = robustness_curve(
            estimator,
            X,
            y,
            attacks=attacks,
            param_name=param_name,
            param_range=param_range,
            **study_kw,
        )
        return cls.from_curve(
            curve,
            budget_name=budget_name,
            score_name=score_name,
            ax=ax,
            drop=drop,
            values_format=values_format,
            im_kw=im_kw,
            text_kw=text_kw,
        )

    def plot(
        self,
        ax: Any = None,
        *,
        drop: float | None = None,
        values_format: str = ".2f",
        im_kw: dict[str, Any] | None = None,
        text_kw: dict[str, Any] | None = None,
    ) -> Self:
        """Draw the map of mean scores: the budget grows upwards, the parameter to the right.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, default=None
            Axes to draw in; None makes a new figure.
        drop : float, default=None
            If given, a red line in each column marks the budget at which the mean score has fallen
            by this much from its value at budget 0. It is the budget that `breaking_point` finds in
            `curve_`. The middle of a cell stands for its budget; between two budgets the line is
            placed in proportion.
        values_format : str, default=".2f"
            Format of the numbers.
        im_kw : dict, default=None
            Passed to `matplotlib.axes.Axes.imshow`.
        text_kw : dict, default=None
            Passed to `matplotlib.axes.Axes.text`.

        Returns
        -------
        self : BudgetHeatmapDisplay
        """
        _check_drop(drop)
        ax = axes_of(self, ax)
        values, budgets = list(self.param_range), list(self.budgets)
        if not hasattr(self, "curve_"):
            self.curve_ = self._curve_of_scores(values, budgets)
        # Fits that failed do not count.
        means = np.ma.masked_invalid(self.scores).mean(axis=2).filled(np.nan)
        im_kw = {"origin": "lower", "aspect": "auto", "cmap": "viridis", **(im_kw or {})}
        self.im_: Any = ax.imshow(means, **im_kw)
        self.text_: Any = np.empty(means.shape, dtype=object)
        for (i, j), mean in np.ndenumerate(means):
            # Black on light colours and white on dark ones. A cell of failed fits has no colour.
            red, green, blue, _ = self.im_.cmap(self.im_.norm(mean))
            is_light = 0.299 * red + 0.587 * green + 0.114 * blue > 0.5 or np.isnan(mean)
            kwargs = {"ha": "center", "va": "center", "color": "black" if is_light else "white"}
            text = format(mean, values_format)
            self.text_[i, j] = ax.text(j, i, text, **{**kwargs, **(text_kw or {})})
        self.lines_: Any = None
        if drop is not None:
            points = [point_of_row(self.curve_, i, drop).budget for i in range(len(values))]
            columns = np.flatnonzero(np.isfinite(points))
            heights = np.interp(np.array(points)[columns], budgets, np.arange(len(budgets)))
            self.lines_ = ax.hlines(heights, columns - 0.5, columns + 0.5, color="red", linewidth=3)
        ax.figure.colorbar(self.im_, ax=ax, label=self.score_name)
        ax.set_xticks(range(len(values)), [str(value) for value in values])
        ax.set_yticks(range(len(budgets)), [f"{budget:g}" for budget in budgets])
        ax.set_xlabel(self.param_name)
        ax.set_ylabel(self.budget_name)
        self.ax_, self.figure_ = ax, ax.figure
        return self

    def _curve_of_scores(self, values, budgets):
        scores = np.asarray(self.scores, dtype=np.float64)
        names = [repr(float(budget)) for budget in budgets]
        tables = dict(zip(names, scores, strict=True))
        # The ratio widens intervals, which are not drawn.
        ratio = 1.0
        return RobustnessCurve(
            self.param_name, values, tables, tables, tables, scores.shape[2], 1, ratio
        )


def _check_drop(drop):
    if drop is not None and not check_real(drop, "drop") > 0:
        raise ValueError(f"`drop` must be > 0 or None, got {drop}")
