import math
import warnings
from collections.abc import Callable
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import ArrayLike
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import StratifiedShuffleSplit
from skorch.dataset import Dataset
from skorch.utils import is_dataset

from .._typing import Array, Seed
from .._validation import check_labels, check_rows, encode_labels, unchanged_by
from ._batches import TensorBatches
from ._callbacks import StopTraining
from ._checks import check_parameters, check_row_shape
from ._cuda import full_precision
from ._random import local_seed
from ._skorch import SkorchHooks


class NetClassifier(SkorchHooks):
    """A neural network as a scikit-learn classifier, trained with plain SGD.

    A `skorch.NeuralNetClassifier` with the training of [1]_ (Section 5): cross-entropy, stochastic
    gradient descent without momentum on shuffled mini-batches, PyTorch's initialisation, and no
    hidden hold-out. All that skorch offers still works (``module__width``, ``callbacks``,
    ``optimizer__momentum``, ``iterator_train``). It takes labels of any kind, and its result
    depends on `random_state` alone (for a given number of torch threads): torch's global generators
    are left as they were. Fits in several threads of one process run one after the other.

    Parameters
    ----------
    module : class or callable returning a torch.nn.Module
        The network, mapping rows to logits of shape (n, n_classes). Called with the ``module__*``
        parameters and, where its signature has them, `n_features`, `in_channels` and `n_classes` as
        learned from the data. A class with an attribute ``input_shape`` gets its rows reshaped to
        it. Not an instance: that would be trained in place, and `clone` would keep its weights.
    lr : float, default=0.1
        Learning rate.
    max_epochs : int, default=10
        Number of passes over the training data.
    batch_size : int, default=128
        Rows in a mini-batch; -1 means all.
    drop_last : bool, default=True
        Whether to leave out the last, smaller batch of an epoch (never if it is the only one). Such
        a batch has the weight of a full one, and makes the result swing from epoch to epoch.
    early_stopping : bool, default=False
        Whether to stop when the accuracy on validation data has not risen for `n_iter_no_change`
        epochs, and to restore the weights of the best epoch.
    validation_fraction : float, default=0.2
        Share of the training data, stratified, that early stopping holds out, unless `fit` is given
        `X_val`.
    n_iter_no_change : int, default=30
        Epochs without improvement after which early stopping ends the training.
    device : {"auto"}, str or torch.device, default="auto"
        Where to compute; "auto" is CUDA where there is one. There too in full float32: TF32 is used
        only where ``torch.backends.cuda.matmul.allow_tf32`` is set.
    random_state : int, RandomState instance or None, default=None
        Seeds initialisation, order of the batches, dropout and hold-out.
    verbose : int, default=0
        Whether to print a line an epoch.
    **kwargs
        Any parameter of `skorch.NeuralNetClassifier`, such as ``module__width``.

    Attributes
    ----------
    module_ : torch.nn.Module
        The trained network.
    classes_ : ndarray of shape (n_classes,)
        Class labels, in the order of the logits.
    n_features_in_ : int
        Features in a row: the product of the trailing axes of X.
    input_shape_ : tuple of int
        The trailing axes of X.
    device_ : torch.device
        Where the network is.
    history_ : skorch.history.History
        ``train_loss`` and, with validation data, ``valid_loss`` and ``valid_acc`` of each epoch.
        ``batches`` are kept if there is a callback besides early stopping and `LRScheduler`.

    References
    ----------
    .. [1] Wang, Mianjy, Arora, "Robust Learning for Data Poisoning Attacks", ICML 2021.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from skpoison import MLP, NetClassifier
    >>> X, y = load_digits(return_X_y=True)
    >>> net = NetClassifier(MLP, module__width=64, lr=0.5, batch_size=32, random_state=0)
    >>> net.fit(X[:1000] / 16, y[:1000]).score(X[1000:] / 16, y[1000:]) > 0.85
    True
    """

    def __init__(
        self,
        module: Callable[..., torch.nn.Module],
        *,
        lr: float = 0.1,
        max_epochs: int = 10,
        batch_size: int = 128,
        drop_last: bool = True,
        early_stopping: bool = False,
        validation_fraction: float = 0.2,
        n_iter_no_change: int = 30,
        device: str | torch.device = "auto",
        random_state: Seed = None,
        verbose: int = 0,
        criterion: Callable[..., torch.nn.Module] = torch.nn.CrossEntropyLoss,
        train_split: Any = None,
        iterator_train: Any = TensorBatches,
        iterator_valid: Any = TensorBatches,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            module,
            lr=lr,
            max_epochs=max_epochs,
            batch_size=batch_size,
            device=device,
            verbose=verbose,
            criterion=criterion,
            train_split=train_split,
            iterator_train=iterator_train,
            iterator_valid=iterator_valid,
            **kwargs,
        )
        self.drop_last = drop_last
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.random_state = random_state

    def fit(
        self,
        X: ArrayLike,
        y: ArrayLike | None = None,
        X_val: ArrayLike | None = None,
        y_val: ArrayLike | None = None,
        **fit_params: Any,
    ) -> Self:
        """Train a new network (or go on with it, under ``warm_start``).

        Parameters
        ----------
        X : array-like of shape (n, d) or (n, c, h, w), or torch Dataset
            Training rows. A Dataset yields pairs (row, index of the class).
        y : array-like of shape (n,)
            Labels of any kind; None with a Dataset.
        X_val : array-like of shape (n_val, ...), default=None
            Rows held out for early stopping, in place of a share of X.
        y_val : array-like of shape (n_val,), default=None
            Their labels.
        **fit_params
            Passed to the ``forward`` of the module.

        Returns
        -------
        self : NetClassifier

        Raises
        ------
        ValueError
            If a parameter is out of its range, or X or y cannot be used.

        Warns
        -----
        ConvergenceWarning
            If the training loss at the end is not finite, or (cross-entropy) over 10 times that
            of equal probabilities.
        """
        reset = not (self.warm_start and self.initialized_)
        return self._train(X, y, X_val, y_val, reset, fit_params)

    def partial_fit(
        self,
        X: ArrayLike,
        y: ArrayLike | None = None,
        classes: ArrayLike | None = None,
        **fit_params: Any,
    ) -> Self:
        """Train for ``max_epochs`` more epochs, without a new start.

        Parameters
        ----------
        X : array-like of shape (n, d) or (n, c, h, w)
            Training rows.
        y : array-like of shape (n,)
            Their labels.
        classes : array-like of shape (n_classes,), default=None
            All labels that may come, at the first call; default: those in y.
        **fit_params
            Passed to the ``forward`` of the module.

        Returns
        -------
        self : NetClassifier
        """
        return self._train(X, y, None, None, not self.initialized_, fit_params, classes)

    def predict_proba(self, X: ArrayLike) -> Array:
        """Predict the probability of each class.

        Parameters
        ----------
        X : array-like of the shape of rows seen in `fit`, or torch Dataset
            Rows.

        Returns
        -------
        proba : ndarray of shape (n, n_classes)
            In the order of `classes_`.
        """
        self.check_is_fitted()
        if not is_dataset(X):
            X = self._make_dataset(check_rows(self, X, reset=self._knows_no_shape()), None)
        with full_precision(self.device_):
            return super().predict_proba(X)

    def predict(self, X: ArrayLike) -> Array:
        """Predict the class label of each row.

        Parameters
        ----------
        X : array-like of the shape of rows seen in `fit`, or torch Dataset
            Rows.

        Returns
        -------
        y : ndarray of shape (n,)
            Labels; for a Dataset, whose own labels are indices, indices into `classes_`.
        """
        proba = self.predict_proba(X)
        self._check_logits(proba)
        codes = proba.argmax(axis=1)
        return codes if is_dataset(X) else self.classes_[codes]

    def logits(self, X: torch.Tensor) -> torch.Tensor:
        """Map rows to logits, differentiably: what an attack asks of its surrogate.

        Parameters
        ----------
        X : torch.Tensor of shape (n, ...)
            Rows as given to `fit`, of any float dtype, on any device.

        Returns
        -------
        logits : torch.Tensor of shape (n, n_classes)
            In the order of `classes_`, on `device_`, in evaluation mode, part of X's graph.
        """
        self.check_is_fitted()
        parameter = next(self.module_.parameters())
        self._set_training(False)
        shape = self._row_shape() if hasattr(self, "input_shape_") else tuple(X.shape[1:])
        if math.prod(X.shape[1:]) != math.prod(shape):
            raise ValueError(f"X must have rows of shape {shape}, got {tuple(X.shape[1:])}")
        # A copy: a module may write into its input.
        X = X.to(parameter.device, parameter.dtype, copy=True)
        with full_precision(self.device_):
            output = self.module_(X.reshape(len(X), *shape))
        return output[0] if isinstance(output, tuple) else output

    def _train(self, X, y, X_val, y_val, reset, fit_params, classes=None):
        # A user's Ctrl-C leaves what was trained so far.
        with unchanged_by(Exception if reset else (), self):
            return self._run(*self._begin(X, y, X_val, y_val, reset, classes), **fit_params)

    def _run(self, X, y, seed, **fit_params):
        """Train on what `_begin` returned."""
        with local_seed(seed, self.device), full_precision(self.device):
            self.notify("on_train_begin", X=X, y=y)
            try:
                self.fit_loop(X, y, **fit_params)
            except StopTraining:
                pass
            self._end(X, y)
        return self

    def _begin(self, X, y, X_val=None, y_val=None, reset=True, classes=None):
        """Check everything, make the components, put the data on the device.

        Returns X and y as skorch's loop takes them, and the seed of the training.
        """
        check_parameters(self)
        validation = None
        if is_dataset(X):
            if self.early_stopping and self.train_split is None:
                raise ValueError(
                    "`early_stopping` must have `train_split` with a Dataset, got None"
                )
        else:
            X, y, validation = self._check_data(X, y, X_val, y_val, reset, classes)
        if reset:
            self.initialize()
        seed = self._draw_seed()
        self._from_arrays_ = not is_dataset(X)
        self._validation_ = None
        if not is_dataset(X):
            train, validation = self._split(X, y, validation)
            X, y = self._make_dataset(*train), None
            self._validation_ = validation and self._make_dataset(*validation)
        return X, y, seed

    def _end(self, X, y):
        self._validation_ = None
        self.notify("on_train_end", X=X, y=y)
        self._warn_if_diverged()

    def _warn_if_diverged(self):
        loss = self.history[-1, "train_loss"]
        limit, criterion = math.inf, self.criterion_
        if isinstance(criterion, torch.nn.CrossEntropyLoss) and criterion.reduction == "mean":
            # log(n_classes) is the loss of a net that knows nothing.
            limit = 10 * math.log(len(self.classes_))
        if not loss < limit:
            warnings.warn(
                f"The training loss is {loss:.3g} after {len(self.history)} epochs: training "
                f"diverged. Lower `lr` (now {self.lr}), or scale X.",
                ConvergenceWarning,
                stacklevel=5,
            )

    def _check_data(self, X, y, X_val, y_val, reset, classes):
        """Check training and validation data; learn shape and classes from them on `reset`."""
        reset = reset or self._knows_no_shape()
        X = check_rows(self, X, reset=reset)
        y, found = check_labels(y, len(X), min_classes=1)
        if (X_val is None) != (y_val is None):
            raise ValueError("`X_val` and `y_val` must be given together, got only one of them")
        if X_val is not None and not self.early_stopping:
            raise ValueError("`X_val` must come with `early_stopping=True`, got False")
        if reset:
            if classes is not None:
                found = np.unique(classes)
            known = found if self.classes is None else np.asarray(self.classes)
            if len(np.unique(known)) < len(known):
                raise ValueError(f"`classes` must be different labels, got {known.tolist()}")
            if len(known) < 2:
                raise ValueError(f"y must have at least 2 classes, got 1 class: {known.tolist()}")
            self.classes_inferred_ = found
        elif classes is not None and not np.array_equal(np.unique(classes), np.sort(self.classes_)):
            raise ValueError(
                f"`classes` must be those of the first call, {self.classes_.tolist()}, "
                f"got {np.unique(classes).tolist()}"
            )
        y = self._encode(y)
        check_row_shape(self, self.module)
        if X_val is None:
            return X, y, None
        X_val = check_rows(self, X_val, reset=False)
        y_val, _ = check_labels(y_val, len(X_val), min_classes=1)
        return X, y, (X_val, self._encode(y_val))

    def _encode(self, y):
        """The index of each label in `classes_`, whose order is the user's if he gave them."""
        return encode_labels(y, self.classes_, "this NetClassifier")

    def _split(self, X, y, validation):
        """Hold a stratified share out for early stopping, unless validation data are given."""
        if not self.early_stopping or validation is not None or self.train_split is not None:
            return (X, y), validation
        splitter = StratifiedShuffleSplit(
            n_splits=1, test_size=self.validation_fraction, random_state=self._draw_seed()
        )
        train, held_out = next(splitter.split(np.zeros(len(y)), y))
        return (X[train], y[train]), (X[held_out], y[held_out])

    def _knows_no_shape(self):
        """After ``initialize()`` and ``load_params()``, the first rows tell it."""
        return not hasattr(self, "input_shape_")

    def _row_shape(self):
        return tuple(getattr(self.module_, "input_shape", self.input_shape_))

    def _make_dataset(self, X, y):
        """A dataset of tensors on the device, copied: a module may write into its input."""
        check_row_shape(self, self.module_)
        parameter = next(self.module_.parameters())
        is_wider = X.dtype.itemsize > parameter.dtype.itemsize
        X = torch.tensor(X, dtype=parameter.dtype, device=parameter.device)
        if is_wider and not torch.isfinite(X).all():
            raise ValueError(f"X must have values that {parameter.dtype} can hold, got larger ones")
        if y is not None:
            y = torch.tensor(y, dtype=torch.int64, device=parameter.device)
        return Dataset(X.reshape(len(X), *self._row_shape()), y)

    def _draw_seed(self):
        return int(self._generator_.randint(2**31 - 1))
