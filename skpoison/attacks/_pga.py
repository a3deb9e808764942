import tempfile
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike
from sklearn.exceptions import ConvergenceWarning

from .._typing import Classifier, Clip, Columns, Seed
from .._validation import check_choice, check_int, check_real
from .._warnings import warn_caller
from ._ascent import Ascent, DeviceRows
from ._base_cell import BaseCellAttack
from ._fitted_surrogate import FittedSurrogate, PlainLogits, is_pipeline, takes_missing_cells
from ._losses import LOSSES
from ._parts import parts_of
from ._surrogate import FLAT, differentiable
from ._vectors import empty_beside


class CleanLabelPGA(BaseCellAttack):
    """Regimes A and B: projected gradient ascent on the features; labels stay as they are.

    First `surrogate` is fitted on the clean data, which gives its parameters w*. Then the attack
    maximises the attack loss sum_i loss(f(x_i + delta_i; w*), y_i) over the perturbations delta,
    with w* fixed. After each step delta is projected onto the budget and the box ([1]_, Section 5,
    "Attack strategy").

    Parameters
    ----------
    surrogate : classifier
        An unfitted `NetClassifier` or linear scikit-learn classifier, or a Pipeline that ends in
        one (see Notes), cloned and fitted here; or ``FrozenEstimator(fitted)`` for a model that is
        trained already. It need not be the victim: the paper attacks every width with a surrogate
        of width 100. If its `random_state` is None, it gets a seed from the attack's
        `random_state`. A Pipeline gets X as it is, any other surrogate an array of numbers in raw
        units.
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
        Euclidean norm of each row's perturbation, in units of `scale`.
    columns_ : ndarray of int of shape (k,)
        Positions of the columns that could change.
    scale_ : ndarray of shape (k,)
        The unit of each of them.
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

    The steps of a Pipeline may be `StandardScaler`, `MinMaxScaler`, `MaxAbsScaler`, `RobustScaler`,
    `SimpleImputer`, `OneHotEncoder`, `OrdinalEncoder`, `FunctionTransformer` without a function,
    `ColumnTransformer`, and Pipelines of these. Columns that a step encodes do not move. Other
    steps are refused.

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

    On a table, half a standard deviation for each row, with the victim's preprocessing:

    >>> import pandas as pd
    >>> from sklearn.compose import make_column_selector, make_column_transformer
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import OneHotEncoder, StandardScaler
    >>> table = pd.DataFrame({"kind": ["a", "b", "a", "b"], "kg": [900.0, 990.0, 1000.0, 1300.0]})
    >>> encoding = make_column_transformer(
    ...     (StandardScaler(), ["kg"]), (OneHotEncoder(), ["kind"])
    ... )
    >>> surrogate = make_pipeline(encoding, LogisticRegression())
    >>> attack = CleanLabelPGA(surrogate, norm="l2,inf", budget=0.5, scale="std", clip=None)
    >>> attack.poison(table, [0, 0, 1, 1])[0].round()
      kind      kg
    0    a   975.0
    1    b  1065.0
    2    a   925.0
    3    b  1225.0
    """

    # A study fits the surrogate once for attacks that differ in these parameters alone.
    used_after_surrogate = frozenset(
        "batch_size budget clip loss max_fraction max_iter norm step_size verbose".split()
    )
    tags = BaseCellAttack.tags | {
        "goal": "lower accuracy on all clean rows",
        "knowledge": "training data, and a surrogate fitted on them; not the fitted victim",
        "nist_ai_100_2_e2025": "availability poisoning",
    }

    def __init__(
        self,
        surrogate: Classifier,
        *,
        norm: str = "l2,1",
        budget: float = 300.0,
        loss: str = "negated",
        step_size: str | float = "auto",
        max_iter: int = 100,
        clip: Clip = (0.0, 1.0),
        columns: Columns = None,
        scale: str | ArrayLike | None = None,
        whole: Columns = None,
        max_fraction: float = 1.0,
        batch_size: int = 4096,
        random_state: Seed = None,
        verbose: int = 0,
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

    def _poison(self, cells, y, random_state, out=None):
        if out is None or cells.places is not None or is_pipeline(self.surrogate):
            rows, y_new = super()._poison(cells, y, random_state, out)
        else:
            rows = self._write_to(self._check_out(out, cells), cells, y, random_state)
            y_new = y.copy()
        spent = self.budget_spent_
        if self.whole is not None:
            # What rounding took is no fault of the ascent.
            n_moved = np.count_nonzero(self.perturbation_norms_) if self.norm == "l2,1" else 1
            spent += n_moved * cells.lost_by_rounding()
        if cells.missing is not None and self.norm == "l2,inf":
            # Rows that hold nothing but missing cells have no use for theirs.
            spent += self.budget_ * cells.missing.all(axis=1).mean()
        if self._n_changeable(len(cells)) and spent < 0.99 * self.budget_:
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
        return rows, y_new

    def _write_to(self, out, cells, y, random_state):
        """Attack rows that may not fit into memory: `out` itself holds the growing perturbation."""
        if out.dtype == np.float16:
            raise ValueError(
                "`out` must be float32 or float64, got float16: small steps would round to nothing"
            )
        surrogate = self._fit_surrogate(cells, y, random_state)
        folder = Path(out.filename).parent if getattr(out, "filename", None) else None
        with tempfile.TemporaryFile(dir=folder) as file:
            scratch = np.memmap(file, dtype=out.dtype, shape=out.shape)
            logits = PlainLogits(surrogate.logits, cells.rows)
            self._ascend(cells, surrogate, logits, out, scratch)
        for part in parts_of(len(cells)):
            out[part] += cells.rows[part]
        self._finish(cells, out)
        return out

    def _takes_missing_cells(self):
        return takes_missing_cells(self.surrogate)

    def _move(self, cells, y, random_state):
        surrogate = self._fit_surrogate(cells, y, random_state)
        logits = surrogate.on(cells)
        delta, scratch = empty_beside(logits.start), empty_beside(logits.start)
        self._ascend(cells, surrogate, logits, delta, scratch)
        return delta.cpu().numpy()

    def _fit_surrogate(self, cells, y, random_state):
        surrogate = FittedSurrogate(self.surrogate, cells, y, random_state)
        self.surrogate_ = surrogate.estimator
        return surrogate

    def _ascend(self, cells, surrogate, logits, delta, scratch):
        """Write the perturbation into `delta`."""
        ascent = Ascent(
            self.norm,
            self._radius(len(cells)),
            surrogate.box_of(cells),
            self._n_changeable(len(cells)),
            step_size=self.step_size,
            max_iter=self.max_iter,
            batch_size=self.batch_size,
            verbose=self.verbose,
        )
        objective = surrogate.objective(logits, self.loss)
        rows = (DeviceRows(own, surrogate.device) for own in (logits.start, delta, scratch))
        with differentiable(surrogate.model):
            ascent.run(objective, *rows)
        self.loss_curve_, self.n_iter_ = ascent.loss_curve_, ascent.n_iter_
