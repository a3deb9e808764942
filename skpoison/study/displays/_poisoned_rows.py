"""Rows before and after an attack, side by side."""

from collections.abc import Iterable
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import clone
from sklearn.utils._optional_dependencies import check_matplotlib_support

from ..._typing import Array, Attack, Rows
from ._cell_map import draw_map, size_of_map, texts_of_cells
from ._image_grid import draw_grid, heading_of, size_of_grid
from ._rows_shown import rows_shown
from ._scaffold import axes_of
from ._words import shortened


class PoisonedRowsDisplay:
    """Picture of what an attack does to rows: how they were, how they are now, how far they moved.

    Images are a grid: clean, poisoned, and the difference. Rows of a table are a heat map of the
    cells that moved, in standard deviations of their columns. Use `from_rows` or `from_estimator`.

    Parameters
    ----------
    rows : array-like of int of shape (n_rows,)
        Positions of the rows in X.
    clean : ndarray of shape (n_rows, n_columns), (n_rows, h, w) or (n_rows, h, w, 3)
        The clean rows: some cells of a table, of any type, or images of numbers, grey or in colour.
    poisoned : ndarray of the same shape
        The same rows after the attack.
    moves : ndarray of float of the same shape
        How far each cell moved. For images it is the difference. For a table it is in standard
        deviations of the column, and NaN where a change is no difference of numbers.
    norms : array-like of shape (n_rows,)
        Norm of the move of each row, over all its columns.
    labels : list of str of length n_rows, default=None
        What is said about the label of each row.
    columns : list of str of length n_columns, default=None
        Names of the columns of a table. None: the rows are images.
    column_norms : array-like of shape (n_columns,), default=None
        Root of the mean square of the moves of each column over all rows of X, for a table.
    title : str, default=""
        Title of the axes.

    Attributes
    ----------
    ax_ : matplotlib.axes.Axes
        Axes with the plot.
    figure_ : matplotlib.figure.Figure
        The figure of `ax_`.
    im_ : matplotlib.image.AxesImage, or ndarray of them of shape (3, n_rows)
        The heat map of a table; or clean, poisoned and difference of each image.
    text_ : ndarray of matplotlib.text.Text of shape (n_rows, n_columns) or (n_rows,)
        The values in the heat map; or the headings of images.

    See Also
    --------
    changed_cells : All cells that an attack changed, as a table.
    PerturbationNormDisplay : Histogram of the norms of all rows.

    Examples
    --------
    >>> import matplotlib
    >>> matplotlib.use("agg")
    >>> import pandas as pd
    >>> from skpoison import PoisonedRowsDisplay
    >>> X = pd.DataFrame({"length": [1.0, 2.0, 3.0], "width": [10.0, 30.0, 50.0]})
    >>> X_poisoned = X.assign(width=[10.0, 30.0, 90.0])
    >>> display = PoisonedRowsDisplay.from_rows(X, X_poisoned, ["a", "b", "b"])
    >>> display.ax_.get_title()
    'The only changed row,\\nthe only changed column'
    >>> display.text_[0, 0].get_text()
    '50\\n→ 90'
    >>> display.figure_.clear()
    """

    def __init__(
        self,
        *,
        rows: ArrayLike,
        clean: Array,
        poisoned: Array,
        moves: Array,
        norms: ArrayLike,
        labels: Iterable[str] | None = None,
        columns: Iterable[str] | None = None,
        column_norms: ArrayLike | None = None,
        title: str = "",
    ) -> None:
        self.rows = rows
        self.clean = clean
        self.poisoned = poisoned
        self.moves = moves
        self.norms = norms
        self.labels = labels
        self.columns = columns
        self.column_norms = column_norms
        self.title = title

    @classmethod
    def from_rows(
        cls,
        X: Rows,
        X_poisoned: Rows,
        y: Any = None,
        y_poisoned: Any = None,
        *,
        rows: Any = None,
        n_rows: int = 8,
        n_columns: int = 8,
        image_shape: tuple[int, ...] | None = None,
        ax: Any = None,
        **plot_kw: Any,
    ) -> Self:
        """Plot rows that were poisoned already.

        Parameters
        ----------
        X : array-like, frame or sparse matrix of shape (n, d), or array-like of shape (n, c, h, w)
            Clean rows, in any container that `changed_cells` takes. Rows of more than one axis are
            images.
        X_poisoned : of the kind and shape of X
            The same rows after an attack.
        y : array-like of shape (n,), default=None
            Their labels; None: the plot says nothing about labels.
        y_poisoned : array-like of shape (n,), default=None
            The labels after the attack; None: those of `y`.
        rows : array-like of int, default=None
            Positions of the rows to show. None: the changed rows with the largest norms. A row of
            which only the label changed has the norm 0.
        n_rows : int, default=8
            How many rows to show at most, if `rows` is None.
        n_columns : int, default=8
            How many columns of a table to show at most: those that changed, and moved most over
            all rows.
        image_shape : tuple of int, default=None
            Shape of the image in a flat row: (h, w), (c, h, w) or (h, w, c), where c is 1 or 3.
            None: flat rows are rows of a table.
        ax : matplotlib.axes.Axes, default=None
            Axes to draw in; None makes a new figure.
        **plot_kw
            Passed to `plot`.

        Returns
        -------
        display : PoisonedRowsDisplay

        Raises
        ------
        TypeError
            If X and X_poisoned are of different kinds, or a parameter is of a wrong type.
        ValueError
            If shapes, columns or numbers of rows differ, or a parameter is out of its range.

        Notes
        -----
        The move of an image is in units of X. The move of a row of a table is in standard
        deviations of the columns of X, missing cells left out, so that the unit of a column does
        not decide what is shown. A constant column has the unit 1, as in `StandardScaler`. True and
        False are 1 and 0, and a category whose label is a number is this number. A change that is
        no difference of numbers (of text, of a date, to a missing cell) counts as one standard
        deviation.
        """
        shown = rows_shown(
            X,
            X_poisoned,
            y,
            y_poisoned,
            rows=rows,
            n_rows=n_rows,
            n_columns=n_columns,
            image_shape=image_shape,
        )
        return cls(**shown).plot(ax=ax, **plot_kw)

    @classmethod
    def from_estimator(
        cls,
        attack: Attack,
        X: Rows,
        y: ArrayLike,
        *,
        rows: Any = None,
        n_rows: int = 8,
        n_columns: int = 8,
        image_shape: tuple[int, ...] | None = None,
        ax: Any = None,
        **plot_kw: Any,
    ) -> Self:
        """Run an attack and plot rows before and after it.

        Parameters
        ----------
        attack : attack
            Cloned; its `poison` is called with (X, y).
        X, y
            Clean rows and their labels, as in `from_rows`.
        rows, n_rows, n_columns, image_shape, ax, **plot_kw
            As in `from_rows`.

        Returns
        -------
        display : PoisonedRowsDisplay

        Raises
        ------
        TypeError, ValueError
            As in `from_rows`, or if the attack refuses X or y.
        """
        check_matplotlib_support(f"{cls.__name__}.from_estimator")
        X_poisoned, y_poisoned = clone(attack).poison(X, y)
        return cls.from_rows(
            X,
            X_poisoned,
            y,
            y_poisoned,
            rows=rows,
            n_rows=n_rows,
            n_columns=n_columns,
            image_shape=image_shape,
            ax=ax,
            **plot_kw,
        )

    def plot(
        self,
        ax: Any = None,
        *,
        values_format: str = ".3g",
        im_kw: dict[str, Any] | None = None,
        text_kw: dict[str, Any] | None = None,
    ) -> Self:
        """Draw the images or the heat map.

        Above an image, and beside a line of the heat map, stand the position of the row in X, its
        label (clean → poisoned, if it changed) and the norm of its move. All images share one scale
        of values, and all differences another. A cell of the heat map has its value; if it changed,
        the clean value above the poisoned one.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, default=None
            Axes to draw in; None makes a new figure, whose size fits what is shown.
        values_format : str, default=".3g"
            Format of numbers.
        im_kw : dict, default=None
            Passed to `matplotlib.axes.Axes.imshow`.
        text_kw : dict, default=None
            Passed to `matplotlib.axes.Axes.text`, for headings of images or values of cells.

        Returns
        -------
        self : PoisonedRowsDisplay
        """
        is_new = ax is None
        ax = axes_of(self, ax)
        words = self._words(values_format)
        self.im_: Any
        self.text_: Any
        if self.columns is None:
            if is_new:
                _fit(ax.figure, size_of_grid(self.clean))
            headings = list(map(heading_of, words))
            pictures = self.clean, self.poisoned, self.moves
            self.im_, self.text_ = draw_grid(ax, *pictures, headings, im_kw, text_kw)
        else:
            texts = texts_of_cells(self.clean, self.poisoned, self.moves, values_format)
            if is_new:
                _fit(ax.figure, size_of_map(texts))
            lines = [", ".join(shortened(part, 40) for part in parts) for parts in words]
            columns = [shortened(name) for name in self.columns]
            if self.column_norms is not None:
                pairs = zip(columns, np.asarray(self.column_norms), strict=True)
                columns = [f"{name}\n({norm:.2g})" for name, norm in pairs]
                ax.set_xlabel("Column (root mean square of its moves over all rows)")
            self.im_, self.text_ = draw_map(ax, texts, self.moves, columns, lines, im_kw, text_kw)
        ax.set_title(self.title, fontsize="medium")
        self.ax_, self.figure_ = ax, ax.figure
        return self

    def _words(self, values_format):
        """What is said about each row: its position, label and norm."""
        labels = [[] for _ in self.clean]
        if self.labels is not None:
            labels = [[f"label {label}"] for label in self.labels]
        return [
            [f"row {row}", *label, f"norm {norm:{values_format}}"]
            for row, label, norm in zip(self.rows, labels, self.norms, strict=True)
        ]


def _fit(figure, size):
    figure.set_size_inches(*size)
    figure.set_layout_engine("constrained", w_pad=0.1)
