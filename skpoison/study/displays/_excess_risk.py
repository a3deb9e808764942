"""Excess risk over the sample size, as lines."""

from collections.abc import Mapping
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.utils._optional_dependencies import check_matplotlib_support

from ..._typing import Attack, Classifier, Memory, Seed
from ..._validation import check_choice
from .._excess_risk import excess_risks
from .._spread import means_and_deviations
from ._scaffold import axes_of, draw_band, draw_line


class ExcessRiskDisplay:
    """Plot of excess risk over the sample size, with a line for each attack.

    Excess risk is the cost of training on n poisoned rows instead of all rows clean: the risk
    F(w*_n) of the poisoned model minus the risk F(w*) of the clean model, both on clean test rows,
    as in Figure 2 of [1]_. Use `from_excess` or `from_estimator`.

    Parameters
    ----------
    train_sizes : array-like of shape (n_sizes,)
        Sample sizes n, > 0.
    excess : dict of str to array-like of shape (n_sizes, n_scores)
        Excess risks by attack; NaN for a fit that failed, or whose score did.
    bounds : dict of str to array-like of shape (n_sizes,), default=None
        Bounds from theory for some or all of the attacks, such as
        `skpoison.theory.sgd_excess_risk_bound`. They are drawn dashed in the attack's colour.
    risk_name : str, default="Excess risk"
        Label of the vertical axis.

    Attributes
    ----------
    ax_ : matplotlib.axes.Axes
        Axes with the plot.
    figure_ : matplotlib.figure.Figure
        The figure of `ax_`.
    lines_ : list of matplotlib.lines.Line2D
        The lines of the means.
    fill_between_ : list of matplotlib artists or None
        The bands, if drawn.
    bounds_ : dict of str to matplotlib.lines.Line2D
        The lines of the bounds.

    References
    ----------
    .. [1] Wang, Mianjy, Arora, "Robust Learning for Data Poisoning Attacks", ICML 2021, Section 5.

    Examples
    --------
    >>> import matplotlib
    >>> matplotlib.use("agg")
    >>> from skpoison import ExcessRiskDisplay
    >>> display = ExcessRiskDisplay.from_excess(
    ...     [100, 1000], {"C = 50": [[0.4, 0.6], [0.1, 0.3]]}, bounds={"C = 50": [5.0, 1.6]}
    ... )
    >>> display.lines_[0].get_ydata()
    array([0.5, 0.2])
    >>> display.figure_.clear()
    """

    def __init__(
        self,
        *,
        train_sizes: ArrayLike,
        excess: Mapping[str, ArrayLike],
        bounds: Mapping[str, ArrayLike] | None = None,
        risk_name: str = "Excess risk",
    ) -> None:
        self.train_sizes = train_sizes
        self.excess = excess
        self.bounds = bounds
        self.risk_name = risk_name

    @classmethod
    def from_excess(
        cls,
        train_sizes: ArrayLike,
        excess: Any,
        *,
        bounds: Any = None,
        risk_name: str = "Excess risk",
        ax: Any = None,
        **plot_kw: Any,
    ) -> Self:
        """Plot given excess risks.

        Parameters
        ----------
        train_sizes : array-like of shape (n_sizes,)
            Sample sizes n, > 0.
        excess : dict of str to array-like of shape (n_sizes, n_scores)
            Excess risks by attack.
        bounds : dict of str to array-like of shape (n_sizes,), default=None
            Bounds from theory for some or all of the attacks.
        risk_name : str, default="Excess risk"
            Label of the vertical axis.
        ax : matplotlib.axes.Axes, default=None
            Axes to draw in; None makes a new figure.
        **plot_kw
            Passed to `plot`.

        Returns
        -------
        display : ExcessRiskDisplay

        Raises
        ------
        ValueError
            If sizes, risks and bounds do not fit together.
        """
        display = cls(train_sizes=train_sizes, excess=excess, bounds=bounds, risk_name=risk_name)
        return display.plot(ax=ax, **plot_kw)

    @classmethod
    def from_estimator(
        cls,
        estimator: Classifier,
        X: ArrayLike,
        y: ArrayLike,
        *,
        attacks: Mapping[str, Attack | None],
        train_sizes: Any,
        test: tuple[ArrayLike, ArrayLike],
        scoring: Any = "neg_log_loss",
        n_repeats: int = 1,
        random_state: Seed = None,
        n_jobs: int | None = None,
        memory: Memory = None,
        progress: bool = False,
        bounds: Any = None,
        risk_name: str = "Excess risk",
        ax: Any = None,
        **plot_kw: Any,
    ) -> Self:
        """Train on poisoned samples of several sizes and on all clean rows, and plot the excess.

        Each repeat draws one random order of the rows, and a sample is the first n rows of it: a
        larger sample contains the smaller ones. Each sample is poisoned by itself.

        Parameters
        ----------
        estimator : classifier
            Cloned and fitted.
        X : array-like of shape (n_samples, d) or (n_samples, c, h, w)
            Clean training rows.
        y : array-like of shape (n_samples,)
            Their labels.
        attacks : dict of str to attack or None
            The attacks by name; None stands for clean training on the sample.
        train_sizes : array-like of int of shape (n_sizes,)
            Sample sizes n, between 1 and n_samples.
        test : tuple of (X_test, y_test)
            Clean rows, on which all models are scored.
        scoring : str or callable, default="neg_log_loss"
            A scorer whose larger values are better. The excess risk is the score of the clean model
            minus the score of the poisoned one. "accuracy" gives the excess error.
        n_repeats : int, default=1
            How often to repeat everything, with new samples and seeds.
        random_state : int, RandomState instance or None, default=None
            Seeds samples, attacks and fits. All fits of a repeat have one seed, so that excesses
            are paired.
        n_jobs : int, default=None
            Number of jobs for joblib.
        memory : str, path-like, joblib.Memory or None, default=None
            Where to keep each finished fit and attack, as in `robustness_curve`.
        progress : bool, default=False
            Whether to show a progress bar.
        bounds, risk_name, ax, **plot_kw
            As in `from_excess`.

        Returns
        -------
        display : ExcessRiskDisplay

        Raises
        ------
        ValueError
            If a parameter is out of its range, or if all fits failed.

        Warns
        -----
        FitFailedWarning
            If a fit or its score failed: its excess risk is NaN. A small sample may lack a class,
            so that the log loss, which needs a probability of each class, fails. If the fit on all
            clean rows failed, this holds for the whole repeat.

        Notes
        -----
        The clean model is trained on all rows, and the samples are drawn from the same rows. So the
        spread over repeats shrinks as n grows, and for clean training on a sample of all rows there
        is hardly any left. It shows how much samples and seeds matter for these rows. It is no
        interval for other rows from the same distribution.

        scikit-learn's log loss clips probabilities at the precision of their type. A float32 net
        that is sure of the wrong class therefore loses 16 nats at most.
        """
        check_matplotlib_support(f"{cls.__name__}.from_estimator")
        sizes, excess = excess_risks(
            estimator,
            X,
            y,
            attacks=attacks,
            train_sizes=train_sizes,
            test=test,
            scoring=scoring,
            n_repeats=n_repeats,
            random_state=random_state,
            n_jobs=n_jobs,
            memory=memory,
            progress=progress,
        )
        return cls.from_excess(sizes, excess, bounds=bounds, risk_name=risk_name, ax=ax, **plot_kw)

    def plot(
        self,
        ax: Any = None,
        *,
        std_display_style: str | None = "fill_between",
        line_kw: dict[str, Any] | None = None,
        fill_between_kw: dict[str, Any] | None = None,
        bound_kw: dict[str, Any] | None = None,
    ) -> Self:
        """Draw the means, one standard deviation to both sides, and the bounds.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, default=None
            Axes to draw in; None makes a new figure.
        std_display_style : {"fill_between"} or None, default="fill_between"
            How to show the standard deviation over repeats, the one of a sample, with n - 1 in
            the denominator. A single repeat has none.
        line_kw : dict, default=None
            Passed to `matplotlib.axes.Axes.plot` for the means.
        fill_between_kw : dict, default=None
            Passed to `matplotlib.axes.Axes.fill_between`.
        bound_kw : dict, default=None
            Passed to `matplotlib.axes.Axes.plot` for the bounds.

        Returns
        -------
        self : ExcessRiskDisplay

        Raises
        ------
        ValueError
            If sizes, risks and bounds do not fit together.
        """
        if std_display_style is not None:
            check_choice(std_display_style, "std_display_style", ("fill_between",))
        sizes, excess, bounds = self._check()
        ax = axes_of(self, ax)
        self.lines_, self.bounds_ = [], {}
        self.fill_between_: list | None = None if std_display_style is None else []
        for name, table in excess.items():
            means, deviations = means_and_deviations(table)
            line = draw_line(ax, sizes, means, name, line_kw)
            self.lines_.append(line)
            if self.fill_between_ is not None:
                low, high = means - deviations, means + deviations
                self.fill_between_.append(draw_band(ax, sizes, low, high, line, fill_between_kw))
            if name in bounds:
                kwargs = {"linestyle": "--", "color": line.get_color(), **(bound_kw or {})}
                (self.bounds_[name],) = ax.plot(sizes, bounds[name], **kwargs)
        ax.set_xscale("log")
        ax.set_xlabel("Sample size n")
        ax.set_ylabel(self.risk_name)
        ax.legend()
        self.ax_, self.figure_ = ax, ax.figure
        return self

    def _check(self):
        sizes = np.asarray(self.train_sizes, dtype=np.float64)
        if sizes.ndim != 1 or not (sizes > 0).all():
            raise ValueError(f"`train_sizes` must be a list of numbers > 0, got {sizes.tolist()}")
        excess = {name: np.asarray(table, np.float64) for name, table in self.excess.items()}
        for name, table in excess.items():
            if table.ndim != 2 or len(table) != len(sizes):
                raise ValueError(
                    f"`excess` must have a row for each of the {len(sizes)} `train_sizes`, got "
                    f"shape {table.shape} for {name!r}"
                )
        bounds = {name: np.asarray(line, np.float64) for name, line in (self.bounds or {}).items()}
        for name, line in bounds.items():
            check_choice(name, "bounds", tuple(excess))
            if line.shape != sizes.shape:
                raise ValueError(
                    f"`bounds` must have a value for each of the {len(sizes)} `train_sizes`, got "
                    f"shape {line.shape} for {name!r}"
                )
        return sizes, excess, bounds
