import tempfile
from pathlib import Path

import numpy as np
import torch
from sklearn.exceptions import ConvergenceWarning

from .._typing import Classifier, Seed
from .._validation import check_choice, check_int, check_real
from .._warnings import warn_caller
from ._base import BaseFeatureAttack
from ._losses import LOSSES
from ._parts import parts_of
from ._projections import LOWERINGS, factors_of, row_norms, times
from ._surrogate import FLAT, device_of, differentiable, fit_surrogate, logits_of
from ._vectors import (
    as_array,
    as_float64,
    is_on_device,
    namespace_of,
    quotient,
    store,
    to_host,
    zeros_beside,
)


class CleanLabelPGA(BaseFeatureAttack):
    """Regimes A and B: projected gradient ascent on the features; labels stay as they are.

    First `surrogate` is fitted on the clean data, which gives its parameters w*. Then the attack
    maximises the attack loss sum_i loss(f(x_i + delta_i; w*), y_i) over the perturbations delta,
    with w* fixed. After each step delta is projected onto the budget and the box ([1]_, Section 5,
    "Attack strategy").

    Parameters
    ----------
    surrogate : classifier
        An unfitted `NetClassifier` or linear scikit-learn classifier, cloned and fitted here; or
        ``FrozenEstimator(fitted)`` for a model that is trained already. It need not be the victim:
        the paper attacks every width with a surrogate of width 100. If its `random_state` is None,
        it gets a seed from the attack's `random_state`.
    norm : {"l2,1", "l2,inf"}, default="l2,1"
        Which norm is bounded: the sum of the row norms (regime A) or each row norm (regime B).
    budget : float, default=300.0
        With "l2,1" the paper's corruption rate C: sum_i ||delta_i||_2 <= S = C sqrt(n), where n is
        the number of rows given to `poison`. With "l2,inf" the radius B: ||delta_i||_2 <= B.
    loss : {"negated", "cross_entropy"}, default="negated"
        The attack loss, with l the cross-entropy and z the logits: "negated" is the paper's
        -l(-z, y), "cross_entropy" is l(z, y).
    step_size : {"auto"} or float, default="auto"
        "auto" takes steps relative to the budget, so that the budget is spent at any scale of X. A
        number multiplies the gradient of each row's own loss (the loss is not averaged over rows).
    max_iter : int, default=100
        Number of steps. Each step computes one gradient of every row.
    clip : tuple of (float, float) or None, default=(0.0, 1.0)
        The box in which X lies and must stay; None: no box.
    max_fraction : float, default=1.0
        Share of rows that may change. Below 1 the attack runs twice: first on all rows, then on the
        floor(max_fraction n) rows whose loss rose most. Only these share the whole budget.
    batch_size : int, default=4096
        Rows in a gradient computation. It bounds the memory and does not change the result.
    random_state : int, RandomState instance or None, default=None
        Seeds the surrogate where it has no seed of its own. The ascent itself draws nothing.
    verbose : int, default=0
        Whether to print the loss of each step.

    Attributes
    ----------
    surrogate_ : classifier
        The fitted surrogate.
    budget_ : float
        The bound in absolute terms: S or B.
    budget_spent_ : float
        The sum of the row norms ("l2,1"), or their mean over the rows that may change ("l2,inf").
    perturbation_norms_ : ndarray of shape (n,)
        Euclidean norm of each row's perturbation.
    loss_curve_ : list of float
        Mean attack loss before each step and after the last, ``n_iter_ + 1`` values. If
        `max_fraction` is below 1, the mean is over the rows that may change in the second run.
    n_iter_ : int
        Number of steps taken (by the second run, if there were two).
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
        If under 99% of the budget was spent. A large budget may not fit inside the box, or find no
        gradient to follow.
    UserWarning
        If `max_fraction` is over 0 and allows no row to change.

    Notes
    -----
    Components of a row's gradient g_i that point out of the box are dropped. With
    ``step_size="auto"`` the step of row i is a_t g_i / ||g_i|| ("l2,inf"), or
    a_t g_i / sum_j ||g_j|| ("l2,1"), so that rows with larger gradients take larger steps. The
    factor a_t falls linearly to 0, and its sum over the steps is four times the bound. A row whose
    gradient is 0 is left alone from then on, unless it has a perturbation that the projection onto
    "l2,1" still lowers.

    A surrogate of another kind needs ``fit``, ``classes_`` and a differentiable method ``logits``:
    it maps a `torch.Tensor` of rows, shaped like those of X, to logits of shape (n, n_classes).
    Rows lie on the surrogate's `device_` if it has this attribute, else on the CPU; the logits may
    lie on any device. On CUDA, gradients are computed in full float32, as `NetClassifier` computes;
    and without cuDNN if the `module_` of the surrogate has recurrent layers, which cuDNN
    differentiates in training mode only.

    References
    ----------
    .. [1] Wang, Mianjy, Arora, "Robust Learning for Data Poisoning Attacks", ICML 2021.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn.linear_model import LogisticRegression
    >>> from skpoison import CleanLabelPGA
    >>> X, y = load_digits(return_X_y=True)
    >>> attack = CleanLabelPGA(LogisticRegression(), norm="l2,inf", budget=0.5)
    >>> X_poisoned, y_poisoned = attack.poison(X / 16, y)
    >>> bool((y_poisoned == y).all()), X_poisoned.shape == X.shape
    (True, True)
    >>> attack.loss_curve_[-1] > attack.loss_curve_[0]
    True
    """

    def __init__(
        self,
        surrogate: Classifier,
        *,
        norm: str = "l2,1",
        budget: float = 300.0,
        loss: str = "negated",
        step_size: str | float = "auto",
        max_iter: int = 100,
        clip: tuple[float, float] | None = (0.0, 1.0),
        max_fraction: float = 1.0,
        batch_size: int = 4096,
        random_state: Seed = None,
        verbose: int = 0,
    ) -> None:
        super().__init__(
            norm=norm,
            budget=budget,
            clip=clip,
            max_fraction=max_fraction,
            random_state=random_state,
        )
        self.surrogate = surrogate
        self.loss = loss
        self.step_size = step_size
        self.max_iter = max_iter
        self.batch_size = batch_size
        self.verbose = verbose

    def _check_parameters(self):
        super()._check_parameters()
        check_choice(self.loss, "loss", LOSSES)
        if isinstance(self.step_size, str):
            check_choice(self.step_size, "step_size", ("auto",))
        else:
            check_real(self.step_size, "step_size", low=0)
        check_int(self.max_iter, "max_iter", low=1)
        check_int(self.batch_size, "batch_size", low=1)

    def _poison(self, X, y, random_state, out=None):
        if out is None:
            out, y_new = super()._poison(X, y, random_state)
        else:
            self._write_to(self._check_out(out, X), X, y, random_state)
            y_new = y.copy()
        if self._n_changeable(len(X)) and self.budget_spent_ < 0.99 * self.budget_:
            reason = (
                "The box `clip` or a flat loss may leave no use for more; otherwise raise "
                "`max_iter`."
            )
            if not self.n_iter_:
                reason = f"The loss of `surrogate` has no slope at any row, {FLAT}"
            warn_caller(
                f"CleanLabelPGA spent {self.budget_spent_:.6g} of its budget of {self.budget_:.6g} "
                f"in {self.n_iter_} steps. {reason}",
                ConvergenceWarning,
            )
        return out, y_new

    def _write_to(self, out, X, y, random_state):
        """Attack rows that may not fit into memory: `out` itself holds the growing perturbation."""
        if X.dtype == np.float16:
            raise ValueError(
                "`out` must be float32 or float64, got float16: small steps would round to nothing"
            )
        objective, device = self._fit_objective(X, y, random_state)
        folder = Path(out.filename).parent if getattr(out, "filename", None) else None
        with tempfile.TemporaryFile(dir=folder) as file:
            scratch = np.memmap(file, dtype=X.dtype, shape=X.shape)
            rows, delta, scratch = (DeviceRows(values, device) for values in (X, out, scratch))
            with differentiable(self.surrogate_):
                self._perturb_in_place(objective, rows, delta, scratch)
        for part in parts_of(len(X)):
            out[part] += X[part]
        self._finish(X, out)

    def _perturb(self, X, y, random_state):
        objective, device = self._fit_objective(X, y, random_state)
        # Half precision is too coarse for the sums and small steps of the ascent.
        dtype = torch.float64 if X.dtype == np.float64 else torch.float32
        values = torch.tensor(X, dtype=dtype, device=device)
        rows, delta, scratch = (
            DeviceRows(own, device)
            for own in (values, torch.empty_like(values), torch.empty_like(values))
        )
        with differentiable(self.surrogate_):
            self._perturb_in_place(objective, rows, delta, scratch)
        return delta.values.cpu().numpy()

    def _fit_objective(self, X, y, random_state):
        self.surrogate_, codes = fit_surrogate(self.surrogate, X, y, random_state)
        device = device_of(self.surrogate_)
        codes = torch.tensor(codes, device=device)
        return Objective(logits_of(self.surrogate_, X), LOSSES[self.loss], codes), device

    def _perturb_in_place(self, objective, rows, delta, scratch):
        """Write the perturbation into `delta`."""
        n = len(rows)
        for part in parts_of(n):
            delta[part] = torch.zeros_like(rows[part])
        if self.budget == 0 or self._n_changeable(n) == 0:
            self.n_iter_ = 0
            self.loss_curve_ = to_host(self._losses(objective, rows, delta).mean())
            return
        self._ascend(objective, rows, delta, scratch, slice(None))
        if self._n_changeable(n) < n:
            after = self._losses(objective, rows, delta)
            for part in parts_of(n):
                delta[part] = torch.zeros_like(rows[part])
            gain = as_array(after - self._losses(objective, rows, delta))
            order = np.argsort(-gain, kind="stable")
            kept = np.sort(order[: self._n_changeable(n)])
            self._ascend(objective, rows, delta, scratch, rows.index(kept))

    def _losses(self, objective, rows, delta):
        losses = rows.zeros()
        # Written into one vector: a list of small arrays would keep the heap from shrinking.
        for part in parts_of(len(rows), self.batch_size):
            store(losses, part, objective.losses(rows[part] + delta[part], part))
        return losses

    def _ascend(self, objective, rows, delta, scratch, chosen):
        """Projected gradient ascent of the chosen rows from delta = 0, inside budget and box."""
        box = self._box(rows.values)
        radius = float(self._radius(len(rows)))
        losses, norms = rows.zeros(), rows.zeros()
        xp = namespace_of(losses)
        moving = rows.zeros() > 0
        moving[chosen] = True
        n_moving = len(losses[chosen])
        parts = self._parts(moving, n_moving)
        self.loss_curve_ = []
        self.n_iter_ = 0
        for step in range(self.max_iter):
            slopes = rows.zeros()
            for part in parts:
                position = rows[part] + delta[part]
                loss, gradient = objective.gradient(position, part)
                if box is not None:
                    gradient = drop_outward(gradient, position, box)
                # Norms in float64: squares of float32 underflow where a loss is almost flat.
                store(losses, part, loss)
                store(slopes, part, row_norms(gradient))
                scratch[part] = gradient
            is_finite = xp.isfinite(losses).all() & xp.isfinite(slopes).all()
            slopes = xp.where(slopes < torch.finfo(gradient.dtype).tiny, 0.0, slopes)
            # A row without a slope stops moving, unless the projection still lowers it.
            moving &= (slopes > 0) | ((norms > 0) & (self.norm == "l2,1"))
            is_finite, loss, n_left, is_steep = to_host(
                is_finite, losses[chosen].mean(), moving.sum(), slopes.any()
            )
            if not is_finite:
                raise ValueError("`surrogate` must have finite losses and gradients, got others")
            self._record(loss)
            if not is_steep:
                break
            self.n_iter_ += 1
            if n_left < n_moving:
                n_moving = int(n_left)
                parts = self._parts(moving, n_moving)
            lengths = self._step_lengths(slopes, step, radius)
            inverse = quotient(1.0, slopes)
            for part in parts:
                # Two products: the inverse of a tiny slope times the length may overflow.
                unit = times(scratch[part], inverse[part])
                moved = times(unit, lengths[part]).add_(delta[part])
                store(norms, part, row_norms(moved))
                scratch[part] = moved
            info = torch.finfo(gradient.dtype)
            factors = factors_of(LOWERINGS[self.norm](norms, radius), norms, info)
            for part in parts:
                moved = times(scratch[part], factors[part])
                if box is not None:
                    position = rows[part]
                    moved = (position + moved).clamp_(*box).sub_(position)
                delta[part] = moved
                store(norms, part, row_norms(moved))
        else:
            losses = self._losses(objective, rows, delta)
            self._record(*to_host(losses[chosen].mean()))

    def _parts(self, moving, n_moving):
        """Slices of all rows or, if some rows do not move, indices of the others."""
        if n_moving == len(moving):
            return parts_of(n_moving, self.batch_size)
        if isinstance(moving, torch.Tensor):
            # Sorted: to search for them on a device would be to wait.
            indices = (~moving).to(torch.uint8).argsort(stable=True)[:n_moving]
        else:
            indices = np.flatnonzero(moving)
        return [indices[part] for part in parts_of(n_moving, self.batch_size)]

    def _step_lengths(self, slopes, step, radius):
        """How far each row goes along its gradient."""
        if self.step_size != "auto":
            return slopes * self.step_size
        return auto_steps(self.norm, slopes, radius, step, self.max_iter)

    def _record(self, loss):
        self.loss_curve_.append(float(loss))
        if self.verbose:
            print(f"Step {self.n_iter_}, attack loss {loss:.6g}")  # noqa: T201


class Objective:
    """The attack loss of rows, and its gradient with respect to them."""

    def __init__(self, logits, loss, codes):
        self.logits = logits
        self.loss = loss
        self.codes = codes

    def losses(self, position, part):
        """The loss of each row of a part, in float64."""
        with torch.no_grad():
            return as_float64(self._loss(position, part))

    def gradient(self, position, part):
        """The loss of each row of a part, and the gradient of each row's own loss."""
        position = position.detach().requires_grad_()
        with torch.enable_grad():
            loss = self._loss(position, part)
        (gradient,) = torch.autograd.grad(loss.sum(), position)
        return as_float64(loss.detach()), gradient

    def _loss(self, position, part):
        logits = self.logits(position)
        # A surrogate may take rows of the CPU and compute elsewhere.
        return self.loss(logits, self.codes[part].to(logits.device))


class DeviceRows:
    """Rows as tensors on a device, read from and written to a tensor or an array on disk."""

    def __init__(self, values, device):
        self.values = values
        self.device = device

    def __len__(self):
        return len(self.values)

    def zeros(self):
        """A vector with a number for each row."""
        return zeros_beside(self.values)

    def index(self, rows):
        """An array of row numbers, in the form in which it selects from `zeros`."""
        return torch.tensor(rows, device=self.device) if is_on_device(self.values) else rows

    def __getitem__(self, part):
        if isinstance(self.values, torch.Tensor):
            return self.values[part]
        return torch.tensor(np.ascontiguousarray(self.values[part]), device=self.device)

    def __setitem__(self, part, rows):
        if not isinstance(self.values, torch.Tensor):
            rows = rows.cpu().numpy()
        self.values[part] = rows


def auto_steps(norm, slopes, radius, step, max_iter):
    """The length of each row's step; over all steps the lengths sum to four times the bound."""
    length = 8 * radius / max_iter * (1 - step / max_iter)
    if norm == "l2,1":
        return slopes / slopes.sum() * length
    xp = namespace_of(slopes)
    return xp.where(slopes > 0, xp.full_like(slopes, length), 0.0)


def drop_outward(gradient, position, box):
    """Set to 0 the gradient's components that point out of the box at one of its sides."""
    low, high = box
    outward = ((position <= low) & (gradient < 0)) | ((position >= high) & (gradient > 0))
    return gradient.masked_fill(outward, 0)
