"""Scores over a parameter, as a line for each attack."""

from collections.abc import Iterable, Mapping
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.utils._optional_dependencies import check_matplotlib_support

from ..._typing import Array, Attack, Classifier
from ..._validation import check_choice
from .._results import RobustnessCurve, check_curve
from .._robustness_curve import robustness_curve
from .._shapes import UShape
from .._spread import means_and_deviations
from ._scaffold import axes_of, draw_band, draw_line


class RobustnessCurveDisplay:
    """Plot of clean scores over a parameter, with a line for each attack.

    Use `from_curve` or `from_estimator`. The display is the counterpart of
    `sklearn.model_selection.ValidationCurveDisplay`.

    Parameters
    ----------
    param_name : str
        The parameter that varies.
    param_range : list of length n_params
        Its values.
    scores : dict of str to ndarray of shape (n_params, n_scores)
        Scores by attack.
    score_name : str, default="Score on clean data"
        Label of the vertical axis.
    u_shapes : dict of str to UShape, default=None
        The results of `RobustnessCurve.u_shape` by attack. The legend says which are a U.

    Attributes
    ----------
    ax_ : matplotlib.axes.Axes
        Axes with the plot.
    figure_ : matplotlib.figure.Figure
        The figure of `ax_`.
    lines_ : list of matplotlib.lines.Line2D or None
        The lines of the means; None if error bars are drawn, which contain them.
    fill_between_ : list of matplotlib artists or None
        The bands, if drawn.
    errorbar_ : list of matplotlib artists or None
        The error bars, if drawn.
    peaks_ : list of matplotlib.lines.Line2D
        The rings around the means of the best values, as `RobustnessCurve.peak` finds them. An
        attack without a peak, because its fits failed, has none.

    Examples
    --------
    >>> import matplotlib
    >>> matplotlib.use("agg")
    >>> import numpy as np
    >>> from skpoison import RobustnessCurve, RobustnessCurveDisplay
    >>> table = {"flips": np.array([[0.5, 0.6], [0.8, 0.9], [0.7, 0.7]])}
    >>> curve = RobustnessCurve("module__width", [2, 64, 4096], table, table, table, 2, 1, 1.0)
    >>> display = RobustnessCurveDisplay.from_curve(curve)
    >>> display.ax_.get_xscale()
    'log'
    >>> display.figure_.clear()
    """

    def __init__(
        self,
        *,
        param_name: str,
        param_range: Iterable[Any],
        scores: Mapping[str, Array],
        score_name: str = "Score on clean data",
        u_shapes: Mapping[str, UShape] | None = None,
    ) -> None:
        self.param_name = param_name
        self.param_range = param_range
        self.scores = scores
        self.score_name = score_name
        self.u_shapes = u_shapes

    @classmethod
    def from_curve(
        cls,
        curve: RobustnessCurve,
        *,
        score_name: str = "Score on clean data",
        ax: Any = None,
        **plot_kw: Any,
    ) -> Self:
        """Plot the result of a study.

        Parameters
        ----------
        curve : RobustnessCurve
            The result of `robustness_curve`.
        score_name : str, default="Score on clean data"
            Label of the vertical axis.
        ax : matplotlib.axes.Axes, default=None
            Axes to draw in; None makes a new figure.
        **plot_kw
            Passed to `plot`.

        Returns
        -------
        display : RobustnessCurveDisplay

        Raises
        ------
        TypeError
            If `curve` is not a RobustnessCurve.
        """
        check_curve(curve)
        names = [name for name, table in curve.scores.items() if _best(table) is not None]
        display = cls(
            param_name=curve.param_name,
            param_range=curve.param_range,
            scores=curve.scores,
            score_name=score_name,
            u_shapes={name: curve.u_shape(name) for name in names},
        )
        return display.plot(ax=ax, **plot_kw)

    @classmethod
    def from_estimator(
        cls,
        estimator: Classifier,
        X: ArrayLike,
        y: ArrayLike,
        *,
        attacks: Mapping[str, Attack | None],
        param_name: str,
        param_range: Iterable[Any],
        score_name: str = "Score on clean data",
        ax: Any = None,
        std_display_style: str | None = "fill_between",
        line_kw: dict[str, Any] | None = None,
        fill_between_kw: dict[str, Any] | None = None,
        errorbar_kw: dict[str, Any] | None = None,
        **study_kw: Any,
    ) -> Self:
        """Run a study and plot it.

        Parameters
        ----------
        estimator, X, y, attacks, param_name, param_range
            As in `robustness_curve`.
        score_name : str, default="Score on clean data"
            Label of the vertical axis.
        ax : matplotlib.axes.Axes, default=None
            Axes to draw in; None makes a new figure.
        std_display_style, line_kw, fill_between_kw, errorbar_kw
            As in `plot`.
        **study_kw
            Passed to `robustness_curve`: `cv`, `n_repeats`, `random_state` and so on. `scoring`
            must be one metric.

        Returns
        -------
        display : RobustnessCurveDisplay
        """
        check_matplotlib_support(f"{cls.__name__}.from_estimator")
        _check_style(std_display_style)
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
            score_name=score_name,
            ax=ax,
            std_display_style=std_display_style,
            line_kw=line_kw,
            fill_between_kw=fill_between_kw,
            errorbar_kw=errorbar_kw,
        )

    def plot(
        self,
        ax: Any = None,
        *,
        std_display_style: str | None = "fill_between",
        line_kw: dict[str, Any] | None = None,
        fill_between_kw: dict[str, Any] | None = None,
        errorbar_kw: dict[str, Any] | None = None,
    ) -> Self:
        """Draw the means, with one standard deviation to both sides.

        A ring marks the best value of each attack, and the legend says which curves are a U. Where
        all scores lie in [0, 1], bands and error bars end there. The deviation is the one of a
        sample, with n - 1 in the denominator; a single score has none.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, default=None
            Axes to draw in; None makes a new figure.
        std_display_style : {"fill_between", "errorbar"} or None, default="fill_between"
            How to show the standard deviation over folds and repeats.
        line_kw : dict, default=None
            Passed to `matplotlib.axes.Axes.plot`.
        fill_between_kw : dict, default=None
            Passed to `matplotlib.axes.Axes.fill_between`.
        errorbar_kw : dict, default=None
            Passed to `matplotlib.axes.Axes.errorbar`.

        Returns
        -------
        self : RobustnessCurveDisplay
        """
        _check_style(std_display_style)
        ax = axes_of(self, ax)
        values, scale = _axis(self.param_range)
        self.lines_: Any = []
        self.fill_between_: Any = None
        self.errorbar_: Any = None
        if std_display_style == "fill_between":
            self.fill_between_ = []
        elif std_display_style == "errorbar":
            self.lines_, self.errorbar_ = None, []
        self.peaks_: Any = []
        limits = _limits(self.scores)
        for name, table in self.scores.items():
            means, deviations = means_and_deviations(table)
            low, high = np.clip([means - deviations, means + deviations], *limits)
            shape = (self.u_shapes or {}).get(name)
            label = f"{name} (a U)" if shape is not None and shape.is_u else name
            if std_display_style == "errorbar":
                kwargs = {"label": label, "capsize": 3, **(errorbar_kw or {})}
                # A mean of ones may be above 1 by rounding, and matplotlib refuses lengths below 0.
                lengths = np.maximum([means - low, high - means], 0)
                bars = ax.errorbar(values, means, lengths, **kwargs)
                self.errorbar_.append(bars)
                # With "fmt": "none" there are bars and no line.
                color = bars.lines[2][0].get_color()[0]
            else:
                line = draw_line(ax, values, means, label, line_kw)
                self.lines_.append(line)
                color = line.get_color()
            if std_display_style == "fill_between":
                self.fill_between_.append(draw_band(ax, values, low, high, line, fill_between_kw))
            best = _best(table)
            if best is not None:
                ring = {"marker": "o", "markersize": 10, "fillstyle": "none"}
                ring |= {"color": color, "linestyle": "none"}
                self.peaks_ += ax.plot(values[best], means[best], **ring)
        if scale == "category":
            ax.set_xticks(values, [str(value) for value in self.param_range])
        else:
            ax.set_xscale(scale)
        ax.set_xlabel(self.param_name)
        ax.set_ylabel(self.score_name)
        ax.legend()
        self.ax_, self.figure_ = ax, ax.figure
        return self


def _best(table):
    """The row with the best mean, as `RobustnessCurve.peak` compares them; None without scores.

    Means are compared over the columns in which no fit failed. A row whose fits all failed does not
    count.
    """
    finite = np.isfinite(table)
    rows = np.flatnonzero(finite.any(axis=1))
    columns = finite[rows].all(axis=0)
    if not len(rows) or not columns.any():
        return None
    return rows[np.argmax(table[rows][:, columns].mean(axis=1))]


def _check_style(style):
    if style is not None:
        check_choice(style, "std_display_style", ("fill_between", "errorbar"))


def _limits(scores):
    """Where bands end: at 0 and 1 if all scores lie between them, as accuracies do."""
    tables = [np.asarray(table, dtype=float) for table in scores.values()]
    is_outside = any(((table < 0) | (table > 1)).any() for table in tables)
    return (-np.inf, np.inf) if is_outside else (0, 1)


def _axis(param_range):
    """The positions of the values, and the scale on which they are spaced most evenly."""
    numeric = all(isinstance(value, (int, float, np.number)) for value in param_range)
    if not numeric or any(isinstance(value, bool) for value in param_range):
        return list(range(len(param_range))), "category"
    values = np.asarray(param_range, dtype=np.float64)
    ordered = np.unique(values)
    if len(ordered) < 3 or ordered[0] <= 0:
        return values, "linear"
    steps, ratios = np.diff(ordered), np.diff(np.log(ordered))
    even = ratios.std() / ratios.mean() < steps.std() / steps.mean()
    return values, "log" if even else "linear"
