import warnings

import numpy as np
import torch
from sklearn.exceptions import ConvergenceWarning

from .._validation import check_choice, check_int, check_interval, check_real
from ._base import BaseFeatureAttack
from ._losses import LOSSES
from ._projections import PROJECTIONS
from ._surrogate import fit_surrogate, logits_of


class CleanLabelPGA(BaseFeatureAttack):
    """Regimes A and B: projected gradient ascent on the features, labels left as they are.

    Fits `surrogate` on the clean data to get the parameters w*, then maximises the attack loss
    sum_i loss(f(x_i + delta_i; w*), y_i) over the perturbations delta, with w* fixed and delta
    projected onto the budget and the box after each step ([1]_, Section 5, "Attack strategy").

    Parameters
    ----------
    surrogate : classifier
        An unfitted `NetClassifier` or linear scikit-learn classifier, cloned and fitted here; or
        ``FrozenEstimator(fitted)`` for a model that is trained already. It need not be the victim:
        the paper attacks every width with a surrogate of width 100. A `random_state` of None in it
        is set from that of the attack.
    norm : {"l2,1", "l2,inf"}, default="l2,1"
        The norm that is bounded: the sum of the row norms (regime A) or each row norm (regime B).
    budget : float, default=300.0
        With "l2,1" the paper's corruption rate C: sum_i ||delta_i||_2 <= S = C sqrt(n), n being the
        rows given to `poison`. With "l2,inf" the radius B: ||delta_i||_2 <= B.
    loss : {"negated", "cross_entropy"}, default="negated"
        The attack loss: the paper's -l(-z, y), or l(z, y) with l the cross-entropy of the logits z.
    step_size : {"auto"} or float, default="auto"
        A number multiplies the gradient of each row's own loss (never divided by a number of rows).
        "auto" takes steps relative to the budget, so that it is spent at any scale of X.
    max_iter : int, default=100
        Number of steps; each costs one gradient of all rows.
    clip : tuple of (float, float) or None, default=(0.0, 1.0)
        The box in which X lies and must stay; None: no box.
    max_fraction : float, default=1.0
        Share of rows that may change. Below 1 the attack runs twice: on all rows, and on the
        floor(max_fraction n) whose loss rose most, which then share the whole budget.
    batch_size : int, default=4096
        Rows in a gradient computation: memory, not the result, depends on it.
    random_state : int, RandomState instance or None, default=None
        Seeds the surrogate where it has no seed of its own.
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
        Mean attack loss before each step and after the last, ``n_iter_ + 1`` values.
    n_iter_ : int
        Number of steps taken.
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
        If under 99% of the budget was spent: the box, or a loss that is stationary, can make a
        large budget unspendable.

    Notes
    -----
    Of the gradient g_i of a row, the components that point out of the box are dropped. With
    ``step_size="auto"`` the step is then a_t g_i / ||g_i|| ("l2,inf") or a_t g_i / sum_j ||g_j||
    ("l2,1", so that rows share a step as their gradients have it), where a_t falls linearly to 0
    and sums to four times the bound.

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
        surrogate,
        *,
        norm="l2,1",
        budget=300.0,
        loss="negated",
        step_size="auto",
        max_iter=100,
        clip=(0.0, 1.0),
        max_fraction=1.0,
        batch_size=4096,
        random_state=None,
        verbose=0,
    ):
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

    def _poison(self, X, y, random_state):
        X_new, y_new = super()._poison(X, y, random_state)
        if self._n_changeable(len(X)) and self.budget_spent_ < 0.99 * self.budget_:
            warnings.warn(
                f"CleanLabelPGA spent {self.budget_spent_:.6g} of its budget of {self.budget_:.6g} "
                f"in {self.n_iter_} steps. The box `clip` or a loss that is stationary may leave "
                "no use for more; else raise `max_iter`.",
                ConvergenceWarning,
                stacklevel=4,
            )
        return X_new, y_new

    def _perturb(self, X, y, random_state):
        self.surrogate_, codes = fit_surrogate(self.surrogate, X, y, random_state)
        # Half precision is too coarse for the sums and small steps of the ascent.
        precision = torch.float64 if X.dtype == np.float64 else torch.float32
        device = getattr(self.surrogate_, "device_", "cpu")
        rows = torch.tensor(X, dtype=precision, device=device)
        codes = torch.tensor(codes, device=device)
        objective = _Objective(logits_of(self.surrogate_, X), LOSSES[self.loss], self.batch_size)
        if self.budget == 0 or self._n_changeable(len(X)) == 0:
            self.n_iter_ = 0
            self.loss_curve_ = [objective.losses(rows, codes).mean().item()]
            return np.zeros_like(X)
        delta = self._ascend(objective, rows, codes, self._radius(len(X)))
        if self._n_changeable(len(X)) < len(X):
            gain = objective.losses(rows + delta, codes) - objective.losses(rows, codes)
            kept = torch.argsort(gain, descending=True, stable=True)[: self._n_changeable(len(X))]
            kept = kept.sort().values
            delta = torch.zeros_like(rows)
            delta[kept] = self._ascend(objective, rows[kept], codes[kept], self._radius(len(X)))
        return delta.cpu().numpy()

    def _ascend(self, objective, rows, codes, radius):
        """Projected gradient ascent from delta = 0; returns delta, inside budget and box."""
        project = PROJECTIONS[self.norm]
        box = check_interval(self.clip, "clip")
        delta = torch.zeros_like(rows)
        self.loss_curve_ = []
        self.n_iter_ = 0
        for step in range(self.max_iter):
            loss, gradient = objective.gradient(rows + delta, codes)
            self._record(loss)
            if box is not None:
                _drop_outward(gradient, rows + delta, box)
            # Squares of float32 would underflow where a loss is almost flat.
            norms = torch.linalg.vector_norm(gradient.flatten(1), dim=1, dtype=torch.float64)
            norms[norms < torch.finfo(gradient.dtype).tiny] = 0
            if not norms.any():
                break
            self.n_iter_ += 1
            delta = project(delta + self._step(gradient, norms, step, radius), radius)
            if box is not None:
                delta = (rows + delta).clamp_(*box).sub_(rows)
        else:
            self._record(objective.losses(rows + delta, codes).mean().item())
        return delta

    def _step(self, gradient, norms, step, radius):
        if self.step_size != "auto":
            return gradient * self.step_size
        length = 8 * radius / self.max_iter * (1 - step / self.max_iter)
        unit = norms.sum().expand(len(norms)) if self.norm == "l2,1" else norms
        inverse = torch.where(norms > 0, 1 / unit, 0).to(gradient.dtype)
        # Two products: the inverse of a tiny norm times the length may overflow.
        return (gradient * inverse.reshape(-1, *[1] * (gradient.ndim - 1))) * length

    def _record(self, loss):
        self.loss_curve_.append(loss)
        if self.verbose:
            print(f"Step {self.n_iter_}, attack loss {loss:.6g}")  # noqa: T201


class _Objective:
    """The attack loss of rows and its gradient with respect to them, computed in batches."""

    def __init__(self, logits, loss, batch_size):
        self.logits = logits
        self.loss = loss
        self.batch_size = batch_size

    def losses(self, rows, codes):
        """The loss of each row."""
        with torch.no_grad():
            return torch.cat([self._batch(x, c) for x, c in self._batches(rows, codes)]).double()

    def gradient(self, rows, codes):
        """The mean loss, and the gradient of each row's own loss, of the shape of `rows`."""
        gradients, total = [], 0.0
        for x, c in self._batches(rows, codes):
            x = x.detach().requires_grad_()
            with torch.enable_grad():
                loss = self._batch(x, c).sum(dtype=torch.float64)
            gradients.append(torch.autograd.grad(loss, x)[0])
            total += loss.item()
        return total / len(rows), torch.cat(gradients)

    def _batch(self, rows, codes):
        return self.loss(self.logits(rows), codes)

    def _batches(self, rows, codes):
        return zip(rows.split(self.batch_size), codes.split(self.batch_size), strict=True)


def _drop_outward(gradient, position, box):
    """Zero the components of `gradient` that point out of the box from a side of it, in place."""
    low, high = box
    outward = ((position <= low) & (gradient < 0)) | ((position >= high) & (gradient > 0))
    gradient.masked_fill_(outward, 0)
