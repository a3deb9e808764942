import numpy as np
import torch
from numpy.typing import ArrayLike
from sklearn.exceptions import ConvergenceWarning
from torch.nn import functional as F

from .._threads import limit_threads
from .._typing import Classifier, Clip, Columns, Seed
from .._validation import check_int, check_labels, encode_labels, without_names
from .._warnings import warn_caller
from ._ascent import auto_steps, drop_outward
from ._base_cell import BaseCellAttack
from ._cells import cells_like
from ._fitted_surrogate import FittedSurrogate, is_pipeline, takes_missing_cells
from ._parts import parts_of
from ._projections import LOWERINGS, PROJECTIONS, factors_of, row_norms, times
from ._surrogate import FLAT, differentiable, parameters_of
from ._vectors import as_float64, is_on_device, number, quotient, to_host


class GradientMatching(BaseCellAttack):
    """A targeted attack on features: make a victim give chosen rows (the targets) chosen labels.

    Only training rows that already have a wanted label are perturbed; labels stay as they are. The
    attack makes the gradient of these rows point in the same direction as the gradient that would
    teach the surrogate the wanted labels. It minimises
    1 - cos(grad l(x_t, y_t), sum_i grad l(x_i + delta_i, y_i)), where l is the cross-entropy and
    grad is with respect to the surrogate's parameters ("Witches' Brew" [1]_).

    Parameters
    ----------
    surrogate : classifier
        As for `CleanLabelPGA`: an unfitted `NetClassifier` or linear scikit-learn classifier, a
        Pipeline that ends in one, or ``FrozenEstimator(fitted)``.
    target : tuple of (array-like of shape (n_targets, ...), array-like of shape (n_targets,))
        The target rows, inside `clip` like X, and the label that the victim should give each. y
        must have these labels.
    norm : {"l2,1", "l2,inf"}, default="l2,inf"
        Which norm is bounded, as in `CleanLabelPGA`.
    budget : float, default=1.0
        The corruption rate C ("l2,1") or the radius B ("l2,inf"), as in `CleanLabelPGA`.
    max_fraction : float, default=0.1
        Share of rows that may change: floor(max_fraction n) rows are drawn from the rows that have
        a wanted label; if there are fewer of them, all may change.
    max_iter : int, default=100
        Number of steps. Each step computes two gradients of every row that may change.
    clip : tuple of (low, high), "range" or None, default=(0.0, 1.0)
        The box in which X lies and must stay, in raw units: numbers, or arrays with a value for
        each column that may change. "range": each column's own minimum and maximum. None: no box.
    columns : names, positions, mask, callable or None, default=None
        The columns that may change; the others, and missing cells, stay as they are. None: the
        numeric columns of a frame, all columns of an array. See `BaseFeatureAttack`.
    scale : {"std", "iqr"}, array-like of shape (k,) or None, default=None
        The unit of each column that may change, in which norms and budgets are measured: its
        standard deviation or the distance between its quartiles in X, or a given number. A column
        whose scale is 0 stays as it is. None: the raw unit.
    whole : as `columns`, default=None
        Which of these columns stay at whole numbers, and at 0 and 1 if they hold no others.
    batch_size : int, default=4096
        Rows in a gradient computation. It bounds the memory and does not change the result.
    random_state : int, RandomState instance or None, default=None
        Seeds the choice of rows, and the surrogate where it has no seed of its own.

    Attributes
    ----------
    surrogate_ : classifier
        The fitted surrogate.
    cosine_curve_ : list of float
        The cosine of the two gradients before each step and after the last.
    n_iter_ : int
        Number of steps taken.
    budget_, budget_spent_ : float
        The bound in absolute terms, and how much of it was used: the sum of the row norms ("l2,1"),
        or this sum divided by floor(max_fraction n) ("l2,inf").
    perturbation_norms_ : ndarray of shape (n,)
        Euclidean norm of each row's perturbation, in units of `scale`.
    columns_ : ndarray of int of shape (k,)
        Positions of the columns that could change.
    scale_ : ndarray of shape (k,)
        The unit of each of them.
    classes_ : ndarray of shape (n_classes,)
        The sorted labels.
    poison_indices_ : ndarray of shape (n_poisoned,)
        The rows that changed, in ascending order.
    n_features_in_ : int
        Features in a row: the product of the trailing axes of X.
    input_shape_ : tuple of int
        The trailing axes of X.

    Warns
    -----
    ConvergenceWarning
        If the gradients do not depend on the rows that may change.
    UserWarning
        If `max_fraction` is over 0 and allows no row to change.

    Notes
    -----
    Steps are as in `CleanLabelPGA`: relative to the budget, falling linearly to 0. Three things of
    [1]_ are not done here: signed steps of Adam in an l-infinity ball, restarts, and augmentation.

    References
    ----------
    .. [1] Geiping, Fowl, Huang, Czaja, Taylor, Moeller, Goldstein, "Witches' Brew: Industrial Scale
       Data Poisoning via Gradient Matching", ICLR 2021.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn.linear_model import LogisticRegression
    >>> from skpoison import GradientMatching
    >>> X, y = load_digits(return_X_y=True)
    >>> X, target = X / 16, (X[-1:] / 16, [3])  # an eight that shall be a three
    >>> attack = GradientMatching(LogisticRegression(), target, max_iter=20, random_state=0)
    >>> X_poisoned, _ = attack.poison(X[:-1], y[:-1])
    >>> attack.cosine_curve_[-1] > attack.cosine_curve_[0]
    True
    >>> attack.success_rate(LogisticRegression().fit(X[:-1], y[:-1]))  # of a clean victim
    0.0
    """

    tags = BaseCellAttack.tags | {
        "goal": "chosen rows get chosen labels; other rows are predicted as before",
        "knowledge": "training data, the chosen rows, and a surrogate fitted on the training data; "
        "not the fitted victim",
        "nist_ai_100_2_e2025": "targeted poisoning",
    }

    def __init__(
        self,
        surrogate: Classifier,
        target: tuple[ArrayLike, ArrayLike],
        *,
        norm: str = "l2,inf",
        budget: float = 1.0,
        max_fraction: float = 0.1,
        max_iter: int = 100,
        clip: Clip = (0.0, 1.0),
        columns: Columns = None,
        scale: str | ArrayLike | None = None,
        whole: Columns = None,
        batch_size: int = 4096,
        random_state: Seed = None,
    ) -> None:
        super().__init__(
            norm=norm,
            budget=budget,
            clip=clip,
            columns=columns,
            scale=scale,
            whole=whole,
            max_fraction=max_fraction,
            random_state=random_state,
        )
        self.surrogate = surrogate
        self.target = target
        self.max_iter = max_iter
        self.batch_size = batch_size

    @limit_threads
    def success_rate(
        self, estimator: Classifier, X: ArrayLike | None = None, y: ArrayLike | None = None
    ) -> float:
        """Return the share of the targets that a classifier gives the wanted label.

        It has the signature of a scorer: ``scoring=attack.success_rate``.

        Parameters
        ----------
        estimator : classifier
            A fitted victim.
        X : array-like, default=None
            Ignored: the classifier predicts the rows in `target`.
        y : array-like, default=None
            Ignored.

        Returns
        -------
        rate : float
            From 0 to 1.
        """
        rows, labels = self._pair()
        told = np.asarray(estimator.predict(rows))
        labels, _ = check_labels(labels, len(told), min_classes=1)
        return float(np.mean(told == labels))

    def _pair(self):
        if not isinstance(self.target, (tuple, list)) or len(self.target) != 2:
            kind = type(self.target).__name__
            raise ValueError(f"`target` must be a pair (X_t, y_t), got an instance of {kind}")
        return self.target

    def _check_parameters(self):
        super()._check_parameters()
        check_int(self.max_iter, "max_iter", low=1)
        check_int(self.batch_size, "batch_size", low=1)
        self._pair()

    def _targets(self, cells, y):
        """The cells of the target rows, and their wanted labels, both checked."""
        rows, labels = self._pair()
        try:
            with without_names():
                own = cells_like(cells, self, rows, self.clip)
            labels, _ = check_labels(labels, len(own), min_classes=1)
            if own.missing is not None and not is_pipeline(self.surrogate):
                raise ValueError("X contains NaN, and `surrogate` is no Pipeline that imputes")
        except (TypeError, ValueError) as error:
            raise type(error)(f"`target` must be rows like X and their labels: {error}") from None
        unknown = np.setdiff1d(labels, y)
        if len(unknown):
            raise ValueError(f"`target` must have labels that y has, got {unknown.tolist()}")
        return own, labels

    def _takes_missing_cells(self):
        return takes_missing_cells(self.surrogate)

    def _move(self, cells, y, random_state):
        targets, labels = self._targets(cells, y)
        candidates = np.flatnonzero(np.isin(y, labels))
        size = min(self._n_changeable(len(cells)), len(candidates))
        chosen = np.sort(random_state.choice(candidates, size=size, replace=False))
        surrogate = FittedSurrogate(self.surrogate, cells, y, random_state)
        self.surrogate_ = surrogate.estimator
        classes = np.asarray(self.surrogate_.classes_)
        wanted = encode_labels(labels, classes, "`surrogate`")
        parameters = parameters_of(surrogate.model, surrogate.logits)

        def slopes(logits, codes):
            codes = torch.tensor(codes, device=surrogate.device)
            return _Slopes(logits, codes, parameters, self.batch_size)

        delta = np.zeros(cells.rows.shape, dtype=np.result_type(cells.rows.dtype, np.float32))
        with differentiable(surrogate.model):
            logits = surrogate.on(targets)
            aim = slopes(logits, wanted).total(logits.start)
            _check_finite(*to_host(aim.sum()))
            logits = surrogate.on(cells).take(chosen)
            own = slopes(logits, surrogate.codes[chosen])
            box = surrogate.box_of(cells)
            delta[chosen] = self._match(own, aim, logits.start, len(cells), box)
        if size and self.budget and not self.n_iter_:
            warn_caller(
                "GradientMatching changed nothing: the gradients of `surrogate` do not depend on "
                f"the rows that it may change, {FLAT}",
                ConvergenceWarning,
            )
        return delta

    def _match(self, slopes, aim, rows, n, box):
        """The perturbation of the chosen rows, inside budget and box."""
        radius = float(self._radius(n))
        delta = torch.zeros_like(rows)
        self.cosine_curve_, self.n_iter_ = [], 0
        while True:
            total = slopes.total(rows + delta)
            cosine, pull = _cosine(total, aim)
            is_steep = False
            if self.n_iter_ < self.max_iter and radius:
                gradient = slopes.gradient(rows + delta, pull)
                if box is not None:
                    gradient = drop_outward(gradient, rows + delta, box, gradient)
                sizes = row_norms(gradient)
                is_steep = sizes.any()
            # Once an iteration: on a device, each look at a number waits for all that was asked.
            total, cosine, is_steep = to_host(total.sum(), cosine, is_steep)
            _check_finite(total)
            self.cosine_curve_.append(cosine)
            if not is_steep:
                return delta.cpu().numpy()
            lengths = auto_steps(self.norm, sizes, radius, self.n_iter_, self.max_iter)
            delta = self._project(delta + times(gradient, quotient(lengths, sizes)), radius)
            if box is not None:
                delta = (rows + delta).clamp_(*box).sub_(rows)
            self.n_iter_ += 1

    def _project(self, delta, radius):
        if not is_on_device(delta):
            return PROJECTIONS[self.norm](delta, radius)
        # Without the check whether rounding left the ball, which would wait: `poison` has it.
        norms = row_norms(delta)
        lowered = LOWERINGS[self.norm](norms, radius)
        return times(delta, factors_of(lowered, norms, torch.finfo(delta.dtype)))


class _Slopes:
    """Gradients of the cross-entropy with respect to the surrogate's parameters.

    `gradient` differentiates these once more, with respect to the rows.
    """

    def __init__(self, logits, codes, parameters, batch_size):
        self.logits = logits
        self.codes = codes
        self.parameters = parameters
        self.batch_size = batch_size

    def _slopes_of(self, rows, part, **options):
        with torch.enable_grad():
            logits = self.logits(rows, part)
            codes = self.codes[part].to(logits.device)
            loss = F.cross_entropy(logits, codes, reduction="sum")
            slopes = torch.autograd.grad(
                loss, self.parameters, allow_unused=True, materialize_grads=True, **options
            )
            return torch.cat([as_float64(slope.reshape(-1)) for slope in slopes])

    def total(self, rows):
        """The sum of all rows' gradients, as one vector."""
        zeros = [as_float64(torch.zeros_like(own)).reshape(-1) for own in self.parameters]
        total = torch.cat(zeros)
        for part in parts_of(len(rows), self.batch_size):
            total = total + self._slopes_of(rows[part], part)
        return total

    def gradient(self, rows, pull):
        """The gradient of <total(rows), pull> with respect to the rows.

        The total is a sum over the rows, so each part of them can be computed by itself.
        """
        gradient = torch.empty_like(rows)
        for part in parts_of(len(rows), self.batch_size):
            position = rows[part].detach().requires_grad_()
            slopes = self._slopes_of(position, part, create_graph=True)
            (gradient[part],) = torch.autograd.grad(slopes @ pull, position)
        return gradient


def _check_finite(total):
    if not np.isfinite(total):
        raise ValueError("`surrogate` must have finite losses and gradients, got others")


def _cosine(total, aim):
    """The cosine of two vectors and its gradient in the first; all 0 if a vector is 0."""
    lengths = number(total.norm()), number(aim.norm())
    product = lengths[0] * lengths[1]
    is_zero = product == 0
    cosine = number(total @ aim) / (product + is_zero)
    pull = aim / (product + is_zero) - cosine * total / (lengths[0] ** 2 + is_zero)
    return cosine, pull * (product != 0)
