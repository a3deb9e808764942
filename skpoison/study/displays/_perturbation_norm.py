"""Row norms of perturbations, as a histogram."""

from collections.abc import Mapping
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import clone
from sklearn.utils._optional_dependencies import check_matplotlib_support

from ._scaffold import axes_of


class PerturbationNormDisplay:
    """Histogram of the row norms of perturbations: where an attack spends its budget.

    It is the lower row of Figure 1 of [1]_. Use `from_norms` or `from_estimator`.

    Parameters
    ----------
    norms : dict of str to array-like of shape (n,)
        Row norms by attack, such as ``attack.perturbation_norms_``.

    Attributes
    ----------
    ax_ : matplotlib.axes.Axes
        Axes with the plot.
    figure_ : matplotlib.figure.Figure
        The figure of `ax_`.
    bars_ : list of matplotlib artists
        One histogram for each attack.

    References
    ----------
    .. [1] Wang, Mianjy, Arora, "Robust Learning for Data Poisoning Attacks", ICML 2021.

    Examples
    --------
    >>> import matplotlib
    >>> matplotlib.use("agg")
    >>> from skpoison import PerturbationNormDisplay
    >>> display = PerturbationNormDisplay.from_norms({"A": [0.0, 0.1, 2.0]})
    >>> display.ax_.get_xlabel()
    'Norm of the perturbation of a row'
    >>> display.figure_.clear()
    """

    def __init__(self, *, norms: Mapping[str, ArrayLike]) -> None:
        self.norms = norms

    @classmethod
    def from_norms(cls, norms: Any, *, ax: Any = None, **plot_kw: Any) -> Self:
        """Plot given norms.

        Parameters
        ----------
        norms : dict of str to array-like of shape (n,)
            Row norms by attack.
        ax : matplotlib.axes.Axes, default=None
            Axes to draw in; None makes a new figure.
        **plot_kw
            Passed to `plot`.

        Returns
        -------
        display : PerturbationNormDisplay
        """
        return cls(norms=norms).plot(ax=ax, **plot_kw)

    @classmethod
    def from_estimator(
        cls,
        attack: Any,
        X: ArrayLike,
        y: ArrayLike,
        *,
        name: str | None = None,
        ax: Any = None,
        **plot_kw: Any,
    ) -> Self:
        """Run an attack on features and plot its norms.

        Parameters
        ----------
        attack : attack on features
            Cloned and fitted on (X, y).
        X : array-like of shape (n, d) or (n, c, h, w)
            Clean training rows.
        y : array-like of shape (n,)
            Their labels.
        name : str, default=None
            Name in the legend; None: the name of the class.
        ax : matplotlib.axes.Axes, default=None
            Axes to draw in; None makes a new figure.
        **plot_kw
            Passed to `plot`.

        Returns
        -------
        display : PerturbationNormDisplay
        """
        check_matplotlib_support(f"{cls.__name__}.from_estimator")
        norms = clone(attack).fit(X, y).perturbation_norms_
        return cls.from_norms({name or type(attack).__name__: norms}, ax=ax, **plot_kw)

    def plot(self, ax: Any = None, *, bins: Any = 50, **hist_kw: Any) -> Self:
        """Draw the histograms, all with the same bins.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, default=None
            Axes to draw in; None makes a new figure.
        bins : int or array-like of edges, default=50
            As in `numpy.histogram_bin_edges`.
        **hist_kw
            Passed to `matplotlib.axes.Axes.hist`.

        Returns
        -------
        self : PerturbationNormDisplay
        """
        ax = axes_of(self, ax)
        norms = {name: np.asarray(values, dtype=np.float64) for name, values in self.norms.items()}
        values = np.concatenate(list(norms.values()))
        # Bins start at 0, and have a width even if all norms are 0.
        edges = np.histogram_bin_edges(values, bins=bins, range=(0, values.max() or 1))
        self.bars_ = [
            ax.hist(values, **{"bins": edges, "alpha": 0.5, "label": name, **hist_kw})[2]
            for name, values in norms.items()
        ]
        ax.set_xlabel("Norm of the perturbation of a row")
        ax.set_ylabel("Rows")
        ax.legend()
        self.ax_, self.figure_ = ax, ax.figure
        return self
