"""Scores over a parameter, as a line for each victim and attack."""

from collections.abc import Iterable, Mapping
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.utils._optional_dependencies import check_matplotlib_support

from ..._typing import Array, Attack, Classifier
from ..._validation import check_choice
from .._results import RobustnessCurve, RobustnessCurves, check_curve
from .._robustness_curve import robustness_curve
from .._shapes import UShape
from .._spread import means_and_deviations
from ._panels import Line, Panel, best_row, check_curves, is_numeric, panels_of, styles_of
from ._scaffold import cycle_colors, draw_band, draw_bars, draw_legend, draw_line, panel_axes


class RobustnessCurveDisplay:
    """Plot of clean scores over a parameter, with a line for each victim and attack.

    Use `from_curve`, `from_curves` or `from_estimator`. The display is the counterpart of
    `sklearn.model_selection.ValidationCurveDisplay`.

    Parameters
    ----------
    param_name : str, default=None
        The parameter that varies.
    param_range : list of length n_params, default=None
        Its values.
    scores : dict of str to ndarray of shape (n_params, n_scores), default=None
        Scores by attack.
    score_name : str, default="Score on clean data"
        Label of the vertical axis.
    u_shapes : dict of str to UShape, default=None
        The results of `RobustnessCurve.u_shape` by attack. The legend says which are a U.
    curves : dict of str or None to RobustnessCurve, default=None
        Curves by victim, which are drawn in place of `scores`. The key of a single victim may be
        None.

    Attributes
    ----------
    ax_ : matplotlib.axes.Axes or ndarray of such of shape (n_panels,)
        Axes with the plot; an array if there are several panels.
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
        param_name: str | None = None,
        param_range: Iterable[Any] | None = None,
        scores: Mapping[str, Array] | None = None,
        score_name: str = "Score on clean data",
        u_shapes: Mapping[str, UShape] | None = None,
        curves: Mapping[Any, RobustnessCurve] | None = None,
    ) -> None:
        self.param_name = param_name
        self.param_range = param_range
        self.scores = scores
        self.score_name = score_name
        self.u_shapes = u_shapes
        self.curves = curves

    @classmethod
    def from_curve(
        cls,
        curve: RobustnessCurve,
        *,
        score_name: str | None = None,
        ax: Any = None,
        **plot_kw: Any,
    ) -> Self:
        """Plot the result of a study.

        Parameters
        ----------
        curve : RobustnessCurve
            The result of `robustness_curve`. Where its attacks have different strengths, each has a
            panel.
        score_name : str, default=None
            Label of the vertical axis. None: the metric of the curve, or "Score".
        ax : matplotlib.axes.Axes or array-like of such, default=None
            Axes to draw in, one for each panel; None makes a new figure.
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
        score_name = score_name or _score_name([curve])
        if curve.strengths is not None or not curve.param_name:
            return cls(curves={None: curve}, score_name=score_name).plot(ax=ax, **plot_kw)
        names = [name for name, table in curve.scores.items() if best_row(table) is not None]
        display = cls(
            param_name=curve.param_name,
            param_range=curve.param_range,
            scores=curve.scores,
            score_name=score_name,
            u_shapes={name: curve.u_shape(name) for name in names},
        )
        return display.plot(ax=ax, **plot_kw)

    @classmethod
    def from_curves(
        cls,
        curves: Mapping[str, RobustnessCurve],
        *,
        score_name: str | None = None,
        ax: Any = None,
        **plot_kw: Any,
    ) -> Self:
        """Plot the curves of several victims together.

        The colour of a line is the victim, and its style the attack; the legend says both.

        Parameters
        ----------
        curves : RobustnessCurves or dict of str to RobustnessCurve
            The curves by victim: all over the strength of attacks, or all over a parameter of the
            victim. Attacks whose strengths differ have a panel each, and so have different
            parameters. Victims with a single fit have the attacks on the axis.
        score_name : str, default=None
            Label of the vertical axis. None: the metric of the curves, or "Score".
        ax : matplotlib.axes.Axes or array-like of such, default=None
            Axes to draw in, one for each panel; None makes a new figure.
        **plot_kw
            Passed to `plot`.

        Returns
        -------
        display : RobustnessCurveDisplay

        Raises
        ------
        TypeError
            If `curves` is not a dict of RobustnessCurves.
        ValueError
            If some curves are over strengths and others are not, or `ax` has another number of
            axes.

        Examples
        --------
        >>> import matplotlib
        >>> matplotlib.use("agg")
        >>> import numpy as np
        >>> from skpoison import RobustnessCurve, RobustnessCurveDisplay
        >>> table = {"flips": np.array([[0.5, 0.6], [0.8, 0.9]])}
        >>> curve = RobustnessCurve("max_depth", [2, 64], table, table, table, 2, 1, 1.0)
        >>> display = RobustnessCurveDisplay.from_curves({"tree": curve, "forest": curve})
        >>> [line.get_label() for line in display.lines_]
        ['tree, flips', 'forest, flips']
        >>> display.figure_.clear()
        """
        check_curves(curves)
        score_name = score_name or _score_name(curves.values())
        return cls(curves=dict(curves), score_name=score_name).plot(ax=ax, **plot_kw)

    @classmethod
    def from_estimator(
        cls,
        estimator: Classifier | Mapping[str, Classifier],
        X: ArrayLike,
        y: ArrayLike,
        *,
        attacks: Mapping[str, Attack | None],
        param_name: Any = None,
        param_range: Any = None,
        score_name: str | None = None,
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
            As in `robustness_curve`. A dict of victims is plotted as by `from_curves`.
        score_name : str, default=None
            Label of the vertical axis. None: the metric, or "Score".
        ax : matplotlib.axes.Axes or array-like of such, default=None
            Axes to draw in, one for each panel; None makes a new figure.
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
        draw: Any = cls.from_curves if isinstance(curve, RobustnessCurves) else cls.from_curve
        return draw(
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

        Over a parameter of the victim, a ring marks the best value of each attack, and the legend
        says which curves are a U. Where all scores lie in [0, 1], bands and error bars end there.
        The deviation is the one of a sample, with n - 1 in the denominator; a single score has
        none.

        Parameters
        ----------
        ax : matplotlib.axes.Axes or array-like of such, default=None
            Axes to draw in, one for each panel; None makes a new figure.
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
        panels = self._panels()
        by_victim = any(line.victim is not None for panel in panels for line in panel.lines)
        axes = panel_axes(self, ax, len(panels), legend_outside=by_victim)
        self.lines_: Any = []
        self.fill_between_: Any = None
        self.errorbar_: Any = None
        if std_display_style == "fill_between":
            self.fill_between_ = []
        elif std_display_style == "errorbar":
            self.lines_, self.errorbar_ = None, []
        self.peaks_: Any = []
        limits = _limits([line.table for panel in panels for line in panel.lines])
        kinds = std_display_style, line_kw, fill_between_kw, errorbar_kw
        styles = styles_of(self.curves, cycle_colors()) if by_victim else None
        for one, panel in zip(axes, panels, strict=True):
            scale, positions = _axis(panel.values)
            for i, line in enumerate(panel.lines):
                places = positions(line.values)
                if line.attack is None:
                    # Victims stand side by side at each attack.
                    places = [at + 0.05 * (i - (len(panel.lines) - 1) / 2) for at in places]
                self._draw(one, line, places, limits, _style(line, styles), kinds)
            if scale == "category":
                one.set_xticks(positions(panel.values), [str(value) for value in panel.values])
            else:
                one.set_xscale(scale)
            one.set_xlabel(panel.label)
            if panel.title:
                one.set_title(panel.title)
        axes[0].set_ylabel(self.score_name)
        if styles is None:
            for one, panel in zip(axes, panels, strict=True):
                # Attacks on the axis leave nothing to name.
                if all(line.label for line in panel.lines):
                    one.legend()
        else:
            draw_legend(axes[-1], panels, styles, outside=ax is None)
        self.ax_: Any = axes[0] if len(axes) == 1 else np.array(axes)
        self.figure_ = axes[0].figure
        return self

    def _panels(self):
        if self.curves is not None:
            return panels_of(self.curves)
        shapes = self.u_shapes or {}
        values = list(self.param_range)
        lines = [
            Line(None, name, values, table, shapes[name].is_u if name in shapes else None, True)
            for name, table in self.scores.items()
        ]
        return [Panel("", self.param_name, lines)]

    def _draw(self, ax, line, positions, limits, style, kinds):
        """Draw one line, with its deviations and the ring of its best value."""
        std_display_style, line_kw, fill_between_kw, errorbar_kw = kinds
        means, deviations = means_and_deviations(line.table)
        low, high = np.clip([means - deviations, means + deviations], *limits)
        if std_display_style == "errorbar":
            kwargs = {"label": line.label, "capsize": 3, **style, **(errorbar_kw or {})}
            # A mean of ones may be above 1 by rounding, and matplotlib refuses lengths below 0.
            lengths = np.maximum([means - low, high - means], 0)
            bars = ax.errorbar(positions, means, lengths, **kwargs)
            self.errorbar_.append(bars)
            # With "fmt": "none" there are bars and no line.
            color = bars.lines[2][0].get_color()[0]
        else:
            drawn = draw_line(ax, positions, means, line.label, {**style, **(line_kw or {})})
            self.lines_.append(drawn)
            color = drawn.get_color()
        if std_display_style == "fill_between":
            # Attacks on the axis are no sequence: a bar for each, and no band.
            draw = draw_band if line.attack is not None else draw_bars
            self.fill_between_.append(draw(ax, positions, low, high, drawn, fill_between_kw))
        best = best_row(line.table) if line.has_peak else None
        if best is not None:
            ring = {"marker": "o", "markersize": 10, "fillstyle": "none"}
            ring |= {"color": color, "linestyle": "none"}
            self.peaks_ += ax.plot(positions[best], means[best], **ring)


def _style(line, styles):
    if styles is None:
        return {}
    colors, linestyles = styles
    # Attacks on the axis are no sequence, so that no line joins them.
    return {"color": colors[line.victim], "linestyle": linestyles.get(line.attack, "none")}


def _score_name(curves):
    """The label of scores: the metric that the curves have in common."""
    metrics = {curve.metric for curve in curves}
    metric = metrics.pop() if len(metrics) == 1 else None
    return f"{metric or 'Score'} on clean data"


def _check_style(style):
    if style is not None:
        check_choice(style, "std_display_style", ("fill_between", "errorbar"))


def _limits(tables):
    """Where bands end: at 0 and 1 if all scores lie between them, as accuracies do."""
    tables = [np.asarray(table, dtype=float) for table in tables]
    is_outside = any(((table < 0) | (table > 1)).any() for table in tables)
    return (-np.inf, np.inf) if is_outside else (0, 1)


def _axis(values):
    """The scale on which values are spaced most evenly, and the function to their positions."""
    if not all(map(is_numeric, values)):
        return "category", lambda chosen: list(range(len(chosen)))
    ordered = np.unique(np.asarray(values, dtype=np.float64))
    scale = "linear"
    if len(ordered) > 2 and ordered[0] > 0:
        steps, ratios = np.diff(ordered), np.diff(np.log(ordered))
        if ratios.std() / ratios.mean() < steps.std() / steps.mean():
            scale = "log"
    return scale, lambda chosen: np.asarray(chosen, dtype=np.float64)
