import tempfile
from pathlib import Path

import numpy as np
import torch
from sklearn.exceptions import ConvergenceWarning

from .._typing import Classifier, Seed
from .._validation import check_choice, check_int, check_real
from .._warnings import warn_caller
from ._ascent import Ascent, DeviceRows, Objective
from ._base import BaseFeatureAttack
from ._linear import LinearLogits, LinearObjective
from ._losses import LOSSES
from ._parts import parts_of
from ._surrogate import FLAT, device_of, differentiable, fit_surrogate, logits_of
from ._vectors import empty_beside


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
            self._ascend(X, objective, rows, delta, scratch)
        for part in parts_of(len(X)):
            out[part] += X[part]
        self._finish(X, out)

    def _perturb(self, X, y, random_state):
        objective, device = self._fit_objective(X, y, random_state)
        # Half precision is too coarse for the sums and small steps of the ascent.
        dtype = np.float64 if X.dtype == np.float64 else np.float32
        values = torch.from_numpy(np.array(X, dtype=dtype, order="C")).to(device)
        rows, delta, scratch = (
            DeviceRows(own, device) for own in (values, empty_beside(values), empty_beside(values))
        )
        self._ascend(X, objective, rows, delta, scratch)
        return delta.values.cpu().numpy()

    def _ascend(self, X, objective, rows, delta, scratch):
        """Write the perturbation into `delta`."""
        ascent = Ascent(
            self.norm,
            self._radius(len(X)),
            self._box(X),
            self._n_changeable(len(X)),
            step_size=self.step_size,
            max_iter=self.max_iter,
            batch_size=self.batch_size,
            verbose=self.verbose,
        )
        with differentiable(self.surrogate_):
            ascent.run(objective, rows, delta, scratch)
        self.loss_curve_, self.n_iter_ = ascent.loss_curve_, ascent.n_iter_

    def _fit_objective(self, X, y, random_state):
        self.surrogate_, codes = fit_surrogate(self.surrogate, X, y, random_state)
        device = device_of(self.surrogate_)
        codes = torch.tensor(codes, device=device)
        logits = logits_of(self.surrogate_, X)
        is_linear = isinstance(logits, LinearLogits) and device.type == "cpu"
        kind = LinearObjective if is_linear else Objective
        return kind(logits, self.loss, codes), device
