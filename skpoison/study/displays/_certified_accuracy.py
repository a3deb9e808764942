"""Certified accuracy over the number of changes of the training set, as lines."""

from collections.abc import Mapping
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.utils._optional_dependencies import check_matplotlib_support

from ..._typing import Classifier
from ._scaffold import axes_of


class CertifiedAccuracyDisplay:
    """Plot of certified accuracy over the number of changes r, with a line for each classifier.

    The certified accuracy at r is the share of test rows that are predicted right, and provably
    stay right after any r changes of the training set [1]_. At r = 0 it is the accuracy. Use
    `from_estimator` or `from_predictions`.

    Parameters
    ----------
    certified : dict of str to array-like of shape (n_radii,)
        Certified accuracy at r = 0, 1, 2 and so on, by the name of the classifier. Lengths may
        differ.
    change_name : str, default="Changes of the training set"
        Label of the horizontal axis.

    Attributes
    ----------
    ax_ : matplotlib.axes.Axes
        Axes with the plot.
    figure_ : matplotlib.figure.Figure
        The figure of `ax_`.
    lines_ : list of matplotlib.lines.Line2D
        The lines, in the order of `certified`.

    References
    ----------
    .. [1] Levine, Feizi, "Deep Partition Aggregation: Provable Defenses against General Poisoning
       Attacks", ICLR 2021, Figure 3.

    Examples
    --------
    >>> import matplotlib
    >>> matplotlib.use("agg")
    >>> from skpoison import CertifiedAccuracyDisplay
    >>> display = CertifiedAccuracyDisplay.from_predictions(
    ...     [0, 1, 1, 1], {"ensemble": ([0, 1, 1, 0], [2, 1, 0, 5])}
    ... )
    >>> display.certified["ensemble"].tolist()  # The last prediction is wrong.
    [0.75, 0.5, 0.25, 0.0]
    >>> display.figure_.clear()
    """

    def __init__(
        self,
        *,
        certified: Mapping[str, ArrayLike],
        change_name: str = "Changes of the training set",
    ) -> None:
        self.certified = certified
        self.change_name = change_name

    @classmethod
    def from_predictions(
        cls,
        y: ArrayLike,
        predictions: Any,
        *,
        change_name: str = "Changes of the training set",
        ax: Any = None,
        **plot_kw: Any,
    ) -> Self:
        """Plot the certified accuracy of given predictions.

        Parameters
        ----------
        y : array-like of shape (n,)
            True labels.
        predictions : dict of str to tuple (y_pred, radius)
            By the name of the classifier: its labels, and the number of changes that each of them
            withstands, both of shape (n,).
        change_name : str, default="Changes of the training set"
            Label of the horizontal axis.
        ax : matplotlib.axes.Axes, default=None
            Axes to draw in; None makes a new figure.
        **plot_kw
            Passed to `plot`.

        Returns
        -------
        display : CertifiedAccuracyDisplay

        Raises
        ------
        ValueError
            If labels, predictions and radii do not fit together.
        """
        y = np.asarray(y)
        if y.ndim != 1 or not len(y):
            raise ValueError(f"`y` must have some labels on one axis, got shape {y.shape}")
        certified = {
            name: _certified_accuracy(name, y, *_pair(name, pair))
            for name, pair in _named(predictions, "predictions").items()
        }
        return cls(certified=certified, change_name=change_name).plot(ax=ax, **plot_kw)

    @classmethod
    def from_estimator(
        cls,
        estimators: Classifier | Mapping[str, Classifier],
        X: ArrayLike,
        y: ArrayLike,
        *,
        change_name: str = "Changes of the training set",
        ax: Any = None,
        **plot_kw: Any,
    ) -> Self:
        """Predict and certify test rows with fitted classifiers, and plot.

        Parameters
        ----------
        estimators : classifier or dict of str to classifier
            Fitted classifiers with `predict` and `certify`, such as `PartitionEnsemble`. A single
            one has the name of its class.
        X : array-like of shape (n, d) or (n, c, h, w)
            Test rows.
        y : array-like of shape (n,)
            Their labels.
        change_name, ax, **plot_kw
            As in `from_predictions`.

        Returns
        -------
        display : CertifiedAccuracyDisplay

        Raises
        ------
        TypeError
            If a classifier has no `certify`.
        """
        check_matplotlib_support(f"{cls.__name__}.from_estimator")
        if not isinstance(estimators, Mapping):
            estimators = {type(estimators).__name__: estimators}
        for name, estimator in _named(estimators, "estimators").items():
            if not hasattr(estimator, "certify"):
                raise TypeError(f"`estimators` must have `certify`, got {estimator!r} for {name!r}")
        predictions = {
            name: (estimator.predict(X), estimator.certify(X))
            for name, estimator in estimators.items()
        }
        return cls.from_predictions(y, predictions, change_name=change_name, ax=ax, **plot_kw)

    def plot(self, ax: Any = None, **line_kw: Any) -> Self:
        """Draw a line for each classifier.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, default=None
            Axes to draw in; None makes a new figure.
        **line_kw
            Passed to `matplotlib.axes.Axes.plot`.

        Returns
        -------
        self : CertifiedAccuracyDisplay

        Raises
        ------
        ValueError
            If certified accuracies are not lists of numbers from 0 to 1.
        """
        lines = {}
        for name, shares in _named(self.certified, "certified").items():
            lines[name] = np.asarray(shares, dtype=np.float64)
            is_flat = lines[name].ndim == 1 and len(lines[name]) > 0
            if not is_flat or not ((lines[name] >= 0) & (lines[name] <= 1)).all():
                raise ValueError(
                    f"`certified` must have lists of numbers from 0 to 1, got {shares!r} for "
                    f"{name!r}"
                )
        ax = axes_of(self, ax)
        self.lines_ = [
            # The number of changes is whole: the share at r holds up to the next.
            ax.plot(shares, **{"label": name, "drawstyle": "steps-post", **line_kw})[0]
            for name, shares in lines.items()
        ]
        ax.set_xlabel(self.change_name)
        ax.set_ylabel("Certified accuracy")
        ax.set_ylim(0, 1)
        ax.set_xlim(left=0)
        ax.legend()
        self.ax_, self.figure_ = ax, ax.figure
        return self


def _named(parts, name):
    """The dict `parts`, or raise unless it is a non-empty one of names."""
    if not isinstance(parts, Mapping) or not parts:
        raise TypeError(f"`{name}` must be a non-empty dict of names, got {parts!r}")
    return parts


def _pair(name, pair):
    if not isinstance(pair, (tuple, list)) or len(pair) != 2:
        raise ValueError(
            f"`predictions` must have pairs (y_pred, radius), got a {type(pair).__name__} for "
            f"{name!r}"
        )
    return pair


def _certified_accuracy(name, y, predicted, radius):
    """Certified accuracy at each r, up to the first at which it is 0."""
    predicted, radius = np.asarray(predicted), np.asarray(radius)
    if not predicted.shape == radius.shape == y.shape:
        raise ValueError(
            f"`predictions` must have a label and a radius for each of {len(y)} rows, got shapes "
            f"{predicted.shape} and {radius.shape} for {name!r}"
        )
    if not (radius.dtype.kind in "iu" and (radius >= 0).all()):
        raise ValueError(f"`predictions` must have radii that are integers >= 0, got {radius!r}")
    withstood = np.where(predicted == y, radius, -1).astype(np.int64)
    at_most = np.bincount(withstood + 1, minlength=2).cumsum()
    return 1 - at_most / len(y)
