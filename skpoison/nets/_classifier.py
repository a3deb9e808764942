import copy
import inspect
import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import ArrayLike
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import StratifiedShuffleSplit
from sklearn.utils import check_random_state
from skorch import NeuralNetClassifier
from skorch.callbacks import EarlyStopping, EpochTimer
from skorch.dataset import Dataset, get_len
from skorch.utils import is_dataset, noop, to_device, to_numpy
from torch import nn
from torch.utils.data import DataLoader, Subset

from .._deterministic import deterministic
from .._switches import full_precision
from .._threads import limit_threads
from .._typing import Array, Seed
from .._validation import check_labels, check_rows, encode_labels, unchanged_by
from .._warnings import warn_caller
from ._batches import TensorBatches, has_names
from ._callbacks import (
    EpochLog,
    StopTraining,
    acts_on_batches,
    reason_of_callback,
    recorders,
)
from ._copies import read
from ._criteria import check_probabilities, for_criterion, nonlinearity_of, two_logits
from ._linear_chains import linear_chain_of
from ._memory import memory_in_words
from ._overrides import replaces
from ._parameter_checks import check_device, check_dtypes, check_parameters, check_row_shape
from ._passes import Pass
from ._random import local_seed
from ._sgd import make_sgd
from ._steps import chain_step, check_logits, is_bare_sgd, is_patched, plain_step

_TOGETHER = "`X_val` and `y_val` must be given together, got only one of them"

# Since skorch 1.4.
_TAKES_ROUTING = "_routing_method" in inspect.signature(NeuralNetClassifier.fit_loop).parameters


def _names_taken(make):
    """The names of the parameters of a class of modules, or of a function that makes one."""
    return _names_taken_by(make) if isinstance(make, type) else inspect.signature(make).parameters


@lru_cache
def _names_taken_by(module_class):
    # An ensemble makes thousands of small modules, and a signature takes as long as one of them.
    return frozenset(inspect.signature(module_class).parameters)


def _resolve(device):
    """Return the device that "auto" stands for on this machine; return others unchanged."""
    if isinstance(device, str) and device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    return device


def _readable(part):
    """Return rows or labels as numpy can read them: a tensor on the CPU and without its graph."""
    return part.detach().cpu() if isinstance(part, torch.Tensor) else part


@dataclass
class Training:
    """A training that has begun: what `NetClassifier.begin_training` returns.

    Attributes
    ----------
    X : Dataset
        Training rows and labels, on the device unless a DataLoader reads them, or what `fit` was
        given as a Dataset.
    y : None, or what `fit` was given beside a Dataset
        The labels are inside the Dataset. skorch's loops expect a second argument anyway.
    seed : int
        Seeds dropout and everything else that draws during the training.
    validation : Dataset or None
        Rows held out for early stopping.
    """

    X: Any
    y: Any
    seed: int
    validation: Any


class NetClassifier(NeuralNetClassifier):
    """A neural network as a scikit-learn classifier, trained with plain SGD.

    A `skorch.NeuralNetClassifier` with the training of [1]_ (Section 5): cross-entropy, stochastic
    gradient descent without momentum on shuffled mini-batches, PyTorch's initialisation, and no
    hidden hold-out. All that skorch offers still works (``module__width``, ``callbacks``,
    ``optimizer__momentum``, ``iterator_train``). A net with a method, a callback or data of the
    user's own is trained by skorch's own loop. It takes labels of any kind, and its result depends
    on `random_state` alone (and on `use_threads`): torch's global generators are left as they were.
    Fits in several threads of one process run one after the other.

    Parameters
    ----------
    module : class or callable returning a torch.nn.Module
        The network, mapping rows to logits of shape (n, n_classes). Called with the ``module__*``
        parameters and, where its signature has them, `n_features`, `in_channels` and `n_classes` as
        learned from the data. If the class has an attribute ``input_shape``, rows are reshaped to
        it. An instance is refused: `fit` would train it in place, and `clone` would keep its
        weights.
    lr : float, default=0.1
        Learning rate.
    max_epochs : int, default=10
        Number of passes over the training data; 0 makes a net that is not trained.
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
        `X_val`. A class with one row stays in training.
    n_iter_no_change : int, default=30
        Epochs without improvement after which early stopping ends the training.
    device : {"auto"}, str or torch.device, default="auto"
        Where to compute; "auto" is CUDA if the machine has it. CUDA computes in full float32 too,
        unless ``torch.backends.cuda.matmul.allow_tf32`` is set, and with deterministic kernels: the
        same seed gives the same bits on one kind of GPU. Torch warns of an operation without one.
    random_state : int, RandomState instance or None, default=None
        Seeds initialisation, order of the batches, dropout and hold-out. On a device whose random
        numbers torch cannot seed, drawing them is an error.
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
        ``batches`` stay empty if a net is trained on arrays by SGD and cross-entropy, without a
        method or callback of the user's own (`LRScheduler` aside).

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

    # Whether the training rows were arrays, which the net made tensors on its device.
    _from_arrays_ = False
    # Whether the labels that the module learns are indices into `classes_`.
    _encodes_labels_ = False
    # Passes over data whose numbers are still on the device, and whether skorch's loop runs.
    _unread_: tuple[Pass, ...] = ()
    _is_in_loop_ = False

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

    @limit_threads
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
        X : array-like of shape (n, d) or (n, c, h, w), torch Dataset or dict
            Training rows. A Dataset yields pairs (row, index of the class). A dict has an array for
            each argument of the module's ``forward``.
        y : array-like of shape (n,)
            Labels of any kind; None with a Dataset.
        X_val : of the kind of X, default=None
            Rows held out for early stopping, in place of a share of X.
        y_val : array-like of shape (n_val,), default=None
            Their labels; None with a Dataset.
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

    @limit_threads
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
        if _TAKES_ROUTING:
            # skorch asks which method was called, to know what metadata it may take.
            fit_params["_routing_method"] = "partial_fit"
        return self._train(X, y, None, None, not self.initialized_, fit_params, classes)

    @limit_threads
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
        proba = self._predict_proba(X)
        if isinstance(getattr(self, "criterion_", None), nn.NLLLoss):
            check_probabilities(proba)
        return proba

    @limit_threads
    def predict(self, X: ArrayLike) -> Array:
        """Predict the class label of each row.

        Parameters
        ----------
        X : array-like of the shape of rows seen in `fit`, or torch Dataset
            Rows.

        Returns
        -------
        y : ndarray of shape (n,)
            Labels. For a Dataset: indices into `classes_`, because its own labels are indices.
        """
        proba = self.predict_proba(X)
        codes = proba.argmax(axis=1)
        # A net with given weights has not seen labels, but may have been given them.
        if not self._encodes_labels_ and (self.classes is None or len(self.classes) == 0):
            return codes
        check_logits(proba, len(self.classes_))
        return codes if is_dataset(X) else self.classes_[codes]

    @limit_threads
    def logits(self, X: torch.Tensor) -> torch.Tensor:
        """Map rows to logits, differentiably. Attacks call this on the net that they attack.

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
        parameter = self._first_parameter()
        self._set_training(False)
        shape = self.row_shape() if hasattr(self, "input_shape_") else tuple(X.shape[1:])
        if math.prod(X.shape[1:]) != math.prod(shape):
            raise ValueError(f"X must have rows of shape {shape}, got {tuple(X.shape[1:])}")
        # A copy, because a module may write into its input.
        X = X.to(parameter.device, parameter.dtype, copy=True)
        with full_precision(self.device_), deterministic(self.device_):
            output = self.module_(X.reshape(len(X), *shape))
        output = output[0] if isinstance(output, tuple) else output
        is_binary = isinstance(getattr(self, "criterion_", None), nn.BCEWithLogitsLoss)
        return two_logits(output) if is_binary else output

    # The interface for training several nets together (`skpoison.nets.stacks`).

    def begin_training(
        self,
        X: ArrayLike,
        y: ArrayLike | None = None,
        X_val: ArrayLike | None = None,
        y_val: ArrayLike | None = None,
    ) -> Training:
        """Check parameters and data, make new components, put the data on the device.

        The first part of `fit`; `run_training` or a stack does the second.

        Parameters
        ----------
        X, y, X_val, y_val
            As in `fit`.

        Returns
        -------
        training : Training
            Training data, data held out, and the seed of the training.
        """
        return self._begin(X, y, X_val, y_val)

    @limit_threads
    def run_training(self, training: Training, **fit_params: Any) -> Self:
        """Train to the end what `begin_training` has begun.

        Parameters
        ----------
        training : Training
            What `begin_training` returned.
        **fit_params
            Passed to the ``forward`` of the module.

        Returns
        -------
        self : NetClassifier
        """
        X, y, device = training.X, training.y, self.device
        seeded, full = local_seed(training.seed, device), full_precision(device)
        with seeded, full, deterministic(device), memory_in_words(self):
            self.notify("on_train_begin", X=X, y=y)
            try:
                self.fit_loop(X, y, **fit_params)
            except StopTraining:
                pass
            except KeyboardInterrupt:
                # Callbacks may have weights to restore or files to close.
                self.finish_training(training)
                raise
            self.finish_training(training)
        return self

    def finish_training(self, training: Training) -> None:
        """Tell callbacks that the training is over, and warn if it diverged.

        Parameters
        ----------
        training : Training
            What `begin_training` returned.
        """
        self._validation_ = None
        self.notify("on_train_end", X=training.X, y=training.y)
        self._warn_if_diverged()

    def record_train_loss(self, loss: float, n_batches: int) -> None:
        """Add an epoch's mean training loss to the history.

        Parameters
        ----------
        loss : float
            The mean over the rows of the epoch.
        n_batches : int
            Number of batches.
        """
        self._record_loss("train", loss, n_batches)

    def run_validation(self, iterator: Any) -> Pass | None:
        """Measure loss and accuracy on validation data; `record_pass` puts them into the history.

        Parameters
        ----------
        iterator : iterable of batches (X, y)
            What `get_iterator` returned for the data.

        Returns
        -------
        measured : Pass or None
            None if skorch's own loop ran, which fills the history itself.
        """
        if not self._has_short_epochs(iterator):
            super().run_single_epoch(iterator, False, "valid", self.validation_step)
            return None
        return self._run_pass(iterator, False, "valid", self.validation_step, {})

    def record_pass(self, measured: Pass, values: list[Any]) -> None:
        """Add what a pass over data measured to the history.

        Parameters
        ----------
        measured : Pass
            The pass.
        values : list
            The values of its tensors.
        """
        losses, sizes, prefix = values[0], measured.sizes, measured.prefix
        if measured.keeps_batches:
            self.history[-1]["batches"].extend(
                {f"{prefix}_loss": loss, f"{prefix}_batch_size": size}
                for loss, size in zip(losses, sizes, strict=True)
            )
        self._record_loss(prefix, float(np.average(losses, weights=sizes)), len(losses))
        if len(values) > 1:
            accuracy = values[1] / sum(sizes)
            best = max((row.get("valid_acc", -1) for row in self.history[:-1]), default=-1)
            self.history.record(f"{prefix}_acc", accuracy)
            self.history.record(f"{prefix}_acc_best", accuracy > best)

    def remember_start(self) -> Callable[[], None]:
        """Keep what a training changes, on the CPU.

        Returns
        -------
        restart : callable
            Without arguments. It makes this net again what it is now, after `begin_training`.
        """
        weights = {k: v.detach().to("cpu", copy=True) for k, v in self.module_.state_dict().items()}
        optimizer = copy.deepcopy(self.optimizer_.state_dict())
        draws = self._generator_.get_state()

        def restart():
            self.module_.load_state_dict(weights)
            self.optimizer_.load_state_dict(optimizer)
            self._generator_.set_state(draws)
            self.history.clear()

        return restart

    def initialize_for(self, row_shape: tuple[int, ...], classes: Array) -> Self:
        """Make untrained components as `fit` would for such data.

        Parameters
        ----------
        row_shape : tuple of int
            Shape of a row.
        classes : ndarray of shape (n_classes,)
            The labels.

        Returns
        -------
        self : NetClassifier
        """
        self.input_shape_ = tuple(row_shape)
        self.n_features_in_ = math.prod(self.input_shape_)
        self.classes_inferred_ = classes
        self._from_arrays_ = self._encodes_labels_ = True
        return self.initialize()

    def row_shape(self) -> tuple[int, ...]:
        """Return the shape in which rows reach the module.

        Returns
        -------
        shape : tuple of int
            ``input_shape`` of the module if it has one, else the trailing axes of X.
        """
        return tuple(getattr(self._module(), "input_shape", self.input_shape_))

    def linear_chain(self) -> list[tuple[str, str | None, bool]] | None:
        """Return the layers of a module whose steps can be written out, else None.

        Returns
        -------
        chain : list of tuple (str, str or None, bool), or None
            For each linear layer the names of its weight and bias, and whether a ReLU follows.
            None if the module is no such chain, or a step does more than subtract the gradient.
        """
        # The labels of a Dataset may be anything.
        if not self._from_arrays_ or self._has_other_callbacks() or replaces(self, NetClassifier):
            return None
        if not is_bare_sgd(self.optimizer_, self.criterion_, self.module_.parameters()):
            return None
        return linear_chain_of(self.module_, self.row_shape())

    def training_step(self) -> Callable[[Any], dict[str, Any]]:
        """Return what trains on a batch (X, y), in as few operations as the net allows.

        Returns
        -------
        step : callable
            Returns a dict with ``loss`` and ``y_pred``, as skorch's `train_step` does.
        """
        self._set_training(True)
        chain, n_classes = self.linear_chain(), len(self.classes_)
        if chain is not None:
            return chain_step(self.module_, self.optimizer_, chain, n_classes)
        return plain_step(self.module_, self.criterion_, self.optimizer_, n_classes)

    def _train(self, X, y, X_val, y_val, reset, fit_params, classes=None):
        # Ctrl-C keeps the training so far: only an Exception restores the former net.
        with unchanged_by(Exception if reset else (), self):
            training = self._begin(X, y, X_val, y_val, reset, classes)
            return self.run_training(training, **fit_params)

    def _begin(self, X, y, X_val=None, y_val=None, reset=True, classes=None):
        check_parameters(self)
        if X_val is not None and not self.early_stopping:
            raise ValueError("`X_val` must come with `early_stopping=True`, got False")
        begin = self._begin_with_arrays
        if self._takes_as_given(X, y):
            begin = self._begin_as_given
        elif has_names(X):
            begin = self._begin_with_mapping
        with memory_in_words(self):
            X, y, validation, seed = begin(X, y, X_val, y_val, reset, classes)
        self._validation_ = validation
        return Training(X, y, seed, validation)

    def _begin_with_arrays(self, X, y, X_val, y_val, reset, classes):
        """Check rows and labels, and put them on the device."""
        X, y, validation = self._check_data(X, y, X_val, y_val, reset, classes)
        if reset:
            self.initialize()
        seed = self._draw_seed()
        self._from_arrays_ = self._encodes_labels_ = True
        if self._must_hold_out(validation):
            train, held_out = self._split(y)
            validation = X[held_out], y[held_out]
            X, y = X[train], y[train]
        # What a `train_split` holds out is validation data too.
        readers = [self.iterator_train, *([self.iterator_valid] if self.train_split else [])]
        validation = validation and self._make_dataset(*validation, [self.iterator_valid])
        return self._make_dataset(X, y, readers), None, validation, seed

    def _begin_with_mapping(self, X, y, X_val, y_val, reset, classes):
        """Check the labels of inputs that the module takes by their names."""
        if reset:
            self._forget_data()
        y, found = check_labels(_readable(y), get_len(X), min_classes=1)
        self._learn_classes(found, classes, reset or not hasattr(self, "classes_inferred_"))
        if (X_val is None) != (y_val is None):
            raise ValueError(_TOGETHER)
        validation = None
        if X_val is not None:
            y_val, _ = check_labels(_readable(y_val), get_len(X_val), min_classes=1)
            validation = self.get_dataset(X_val, self._encode(y_val))
        if reset:
            self.initialize()
        seed = self._draw_seed()
        self._from_arrays_, self._encodes_labels_ = False, True
        y = self._encode(y)
        data = self.get_dataset(X, y)
        if self._must_hold_out(validation):
            train, held_out = self._split(y)
            data, validation = Subset(data, train), Subset(data, held_out)
        return data, None, validation, seed

    def _begin_as_given(self, X, y, X_val, y_val, reset, classes):
        """Leave data to skorch, which looks at them in `fit_loop`."""
        if self._must_hold_out(X_val):
            raise ValueError("`early_stopping` must have `train_split` with a Dataset, got None")
        if X_val is not None and is_dataset(X_val) != is_dataset(X):
            raise ValueError(
                "`X_val` must be a Dataset if X is one, and only then, got a "
                f"{type(X_val).__name__}"
            )
        if reset:
            self._forget_data()
            if classes is not None:
                self.classes_inferred_ = np.unique(classes)
            self.initialize()
            self._encodes_labels_ = False
        self._from_arrays_ = False
        validation = None if X_val is None else self.get_dataset(X_val, y_val)
        return X, y, validation, self._draw_seed()

    def _takes_as_given(self, X, y):
        """Whether skorch handles the data: the user brings a Dataset, or checks or losses."""
        if is_dataset(X) or self._has_own_dataset():
            return True
        if y is None:
            return self.iterator_train not in (TensorBatches, DataLoader)
        # Only a loss of the user's own can take labels of other shapes.
        has_own_loss = replaces(self, NetClassifier, ("get_loss",))
        return has_own_loss and np.ndim(y) > 1 and np.shape(y)[1:] != (1,)

    def _has_own_dataset(self):
        return (
            self.dataset is not Dataset
            or bool(self.get_params_for("dataset"))
            or replaces(self, NetClassifier, ("check_data", "get_dataset"))
        )

    def _forget_data(self):
        """Forget classes and sizes that an earlier fit learned."""
        for name in ("classes_inferred_", "feature_names_in_", "input_shape_", "n_features_in_"):
            vars(self).pop(name, None)

    def _warn_if_diverged(self):
        # There may be no epoch, or no callback that records its loss.
        loss = self.history[-1].get("train_loss") if len(self.history) else None
        if loss is None:
            return
        limit, criterion = math.inf, getattr(self, "criterion_", None)
        is_mean = isinstance(criterion, nn.CrossEntropyLoss) and criterion.reduction == "mean"
        if is_mean and hasattr(self, "classes_"):
            # log(n_classes) is the loss of equal probabilities.
            limit = 10 * math.log(len(self.classes_))
        if not loss < limit:
            warn_caller(
                f"The training loss is {loss:.3g} after {len(self.history)} epochs: training "
                f"diverged. Lower `lr` (now {self.lr}), or scale X.",
                ConvergenceWarning,
            )

    def _check_data(self, X, y, X_val, y_val, reset, classes):
        """Check training and validation data; learn shape and classes from them on `reset`."""
        reset = reset or self._knows_no_shape()
        X = check_rows(self, _readable(X), reset=reset)
        y, found = check_labels(_readable(y), len(X), min_classes=1)
        if (X_val is None) != (y_val is None):
            raise ValueError(_TOGETHER)
        self._learn_classes(found, classes, reset)
        y = self._encode(y)
        check_row_shape(self, self.module)
        if X_val is None:
            return X, y, None
        X_val = check_rows(self, _readable(X_val), reset=False)
        y_val, _ = check_labels(_readable(y_val), len(X_val), min_classes=1)
        return X, y, (X_val, self._encode(y_val))

    def _learn_classes(self, found, classes, reset):
        """Learn the classes on `reset`: `classes` of the call or the net, else those in y."""
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

    def _encode(self, y):
        """Return the index of each label in `classes_` (the order of `classes`, if given)."""
        return encode_labels(y, self.classes_, "this NetClassifier")

    def _must_hold_out(self, validation):
        """Whether early stopping takes its rows from the training data."""
        return self.early_stopping and validation is None and self.train_split is None

    def _split(self, y):
        """Return the rows to train on, and a stratified share of the rows to hold out."""
        splitter = StratifiedShuffleSplit(
            n_splits=1, test_size=self.validation_fraction, random_state=self._draw_seed()
        )
        # A class with one row cannot be shared: it stays in training.
        is_shared = np.bincount(y)[y] > 1
        rows = np.arange(len(y)) if is_shared.all() else np.flatnonzero(is_shared)
        try:
            train, held_out = next(splitter.split(np.zeros(len(rows)), y[rows]))
        except ValueError as error:
            raise ValueError(
                f"`early_stopping` must hold out rows of each class, got {len(y)} rows and "
                f"`validation_fraction` {self.validation_fraction} ({error}). Give more rows, "
                "another fraction, or `X_val` and `y_val`."
            ) from None
        return np.append(rows[train], np.flatnonzero(~is_shared)), rows[held_out]

    def _knows_no_shape(self):
        """Whether the net was initialised without data: the first rows then set its shape."""
        return not hasattr(self, "input_shape_")

    def _make_dataset(self, X, y, readers):
        """Return a dataset of tensors; copies, as a module may write into them.

        They lie on the device if all iterators that read them cut tensors into batches. Any other,
        such as a DataLoader with workers or pinned memory, reads rows on the CPU.
        """
        check_row_shape(self, self._module())
        parameter = self._first_parameter()
        is_wider = X.dtype.itemsize > parameter.dtype.itemsize
        X = torch.tensor(X, dtype=parameter.dtype)
        if is_wider and not torch.isfinite(X).all():
            raise ValueError(f"X must have values that {parameter.dtype} can hold, got larger ones")
        y = None if y is None else torch.tensor(y, dtype=torch.int64)
        if all(isinstance(one, type) and issubclass(one, TensorBatches) for one in readers):
            X, y = X.to(parameter.device), None if y is None else y.to(parameter.device)
        return Dataset(X.reshape(len(X), *self.row_shape()), y)

    def _module(self):
        """Return the module; None if a subclass gave its modules other names."""
        return getattr(self, "module_", None)

    def _first_parameter(self):
        return next(parameter for _, parameter in self.get_all_learnable_params())

    def _predict_proba(self, X):
        self.check_is_fitted()
        if not (is_dataset(X) or has_names(X) or self._has_own_dataset()):
            X = check_rows(self, _readable(X), reset=self._knows_no_shape())
            X = self._make_dataset(X, None, [self.iterator_valid])
        with full_precision(self.device_), deterministic(self.device_):
            proba = super().predict_proba(X)
        # The one output of a binary criterion has an axis of its own.
        return proba[..., 0] if proba.ndim == 3 and proba.shape[1:] == (2, 1) else proba

    def _draw_seed(self):
        if not hasattr(self, "_generator_"):
            self._make_generator()
        return int(self._generator_.randint(2**31 - 1))

    # Methods that skorch calls, and that a subclass may override.

    # skorch reads `device` wherever it moves data, so it must be a device that torch knows. But
    # `get_params` and `clone` must see "auto".
    @property
    def device(self):
        return _resolve(self.__dict__["device"])

    @device.setter
    def device(self, device):
        self.__dict__["device"] = device

    def get_params(self, deep=True, **kwargs):
        """Get the parameters, as scikit-learn does; ``device`` as given, "auto" included."""
        params = super().get_params(deep=deep, **kwargs)
        params["device"] = self.__dict__["device"]
        return params

    def __setstate__(self, state):
        # skorch needs a device that torch knows. "auto" comes back after, unless skorch replaced a
        # device that this machine lacks.
        device = _resolve(state["device"])
        super().__setstate__({**state, "device": device})
        if self.device == device:
            self.device = state["device"]

    @property
    def device_(self) -> torch.device:
        self.check_is_fitted()
        return self._first_parameter().device

    def __sklearn_is_fitted__(self):
        return all(hasattr(self, f"{name}_") for name in self._modules or ["module"])

    def predict_log_proba(self, X: ArrayLike) -> Array:
        """Predict the logarithm of the probability of each class.

        Parameters
        ----------
        X : array-like of the shape of rows seen in `fit`, or torch Dataset
            Rows.

        Returns
        -------
        log_proba : ndarray of shape (n, n_classes)
            In the order of `classes_`; -inf where the probability is 0 to rounding.
        """
        with np.errstate(divide="ignore"):
            return np.log(self.predict_proba(X))

    @property
    def _default_callbacks(self):
        callbacks = [("epoch_timer", EpochTimer()), *recorders()]
        # scikit-learn lists parameters before their values are checked.
        if isinstance(self.early_stopping, (bool, np.bool_)) and self.early_stopping:
            stopper = EarlyStopping(
                monitor="valid_acc",
                lower_is_better=False,
                patience=self.n_iter_no_change,
                threshold=0,
                threshold_mode="abs",
                load_best=True,
                sink=noop,
            )
            callbacks.append(("early_stopping", stopper))
        return [*callbacks, ("print_log", EpochLog())]

    def initialize(self):
        """Make new, untrained components, as skorch does."""
        check_device(self.device)
        self._make_generator()
        # skorch empties the history in place. A fit that fails could not restore it.
        if self.initialized_:
            self.history_ = copy.copy(self.history_)
        # `initialize_module` draws a seed of its own. Weights that a subclass or a criterion makes
        # elsewhere draw from this one: a number of the generator's state, which stays as it is.
        seed = int(self._generator_.get_state()[1][1])
        with local_seed(seed, self.device):
            return super().initialize()

    def _make_generator(self):
        generator = check_random_state(self.random_state)
        if generator is self.random_state or self.random_state is None:
            # Others draw from this generator too. The net gets its own, so that their draws do not
            # change it.
            generator = np.random.RandomState(generator.randint(2**31 - 1))
        self._generator_ = generator

    def initialize_module(self):
        """Make the module; pass it the sizes of the data that its signature has."""
        learned = {}
        if hasattr(self, "n_features_in_"):
            learned = {"n_features": self.n_features_in_, "in_channels": self.input_shape_[0]}
        if hasattr(self, "classes_inferred_"):
            learned["n_classes"] = len(self.classes_)
        taken = _names_taken(self.module)
        kwargs = {name: value for name, value in learned.items() if name in taken}
        kwargs.update(self.get_params_for("module"))
        with local_seed(self._draw_seed(), self.device):
            self.module_ = self.initialized_instance(self.module, kwargs)
        if not isinstance(self.module_, nn.Module) or next(self.module_.parameters(), None) is None:
            raise TypeError(
                "`module` must return a torch.nn.Module with parameters, got "
                f"{type(self.module_).__name__}"
            )
        check_dtypes(self.module_, self.device)
        return self

    def initialize_optimizer(self, *args, **kwargs):
        """Make the optimiser, plain SGD without the import of torch's compiler."""
        if self.optimizer is not torch.optim.SGD:
            return super().initialize_optimizer(*args, **kwargs)
        parameters = self.get_all_learnable_params()
        args, kwargs = self.get_params_for_optimizer("optimizer", parameters)
        self.optimizer_ = make_sgd(*args, **kwargs)
        return self

    def check_data(self, X, y=None):
        """Learn the classes of data that skorch handles. Other data were checked before."""
        if not self._encodes_labels_ and not hasattr(self, "classes_inferred_"):
            super().check_data(X, y)

    def get_split_datasets(self, X, y=None, **fit_params):
        """Give skorch the validation data that early stopping holds out."""
        if getattr(self, "_validation_", None) is not None:
            return self.get_dataset(X, y), self._validation_
        if self.train_split is not None and y is None and isinstance(X, Dataset):
            return self.train_split(X, None if X.y is None else to_numpy(X.y), **fit_params)
        return super().get_split_datasets(X, y, **fit_params)

    def get_iterator(self, dataset, training=False):
        """Shuffle the training batches, from a generator of this fit."""
        if not training or self.iterator_train is not TensorBatches:
            return super().get_iterator(dataset, training=training)
        kwargs = {"shuffle": True, "drop_last": self.drop_last, "batch_size": self.batch_size}
        kwargs.update(self.get_params_for("iterator_train"))
        if kwargs["batch_size"] == -1:
            kwargs["batch_size"] = len(dataset)
        generator = torch.Generator().manual_seed(self._draw_seed())
        return TensorBatches(dataset, generator=generator, **kwargs)

    def run_single_epoch(self, iterator, training, prefix, step_fn, **fit_params):
        """Run an epoch: skorch's, or a shorter one where nobody can see the difference."""
        if iterator is None or not self._has_short_epochs(iterator):
            self._read_passes()
            super().run_single_epoch(iterator, training, prefix, step_fn, **fit_params)
            return
        measured = self._run_pass(iterator, training, prefix, step_fn, fit_params)
        self._unread_ = (*self._unread_, measured)
        # In the loop of a fit the validation data follow (None if there are none): one copy from
        # the device serves both passes.
        if not (training and self._is_in_loop_):
            self._read_passes()

    def fit_loop(self, *args: Any, **kwargs: Any) -> Self:
        """Run skorch's loop over the epochs, and read losses from the device once in each."""
        self._is_in_loop_ = True
        try:
            return super().fit_loop(*args, **kwargs)
        finally:
            del self._is_in_loop_
            self._read_passes()

    def _run_pass(self, iterator, training, prefix, step_fn, fit_params):
        is_plain = not fit_params and self._has_plain_steps()
        if training and is_plain:
            step_fn = self.training_step()
            # skorch's step moves its batch to the device; ours takes a batch that lies there.
            if not iterator.lies_on(self.device_):
                iterator = map(partial(to_device, device=self.device_), iterator)
        losses, sizes, n_correct = [], [], 0
        for batch in iterator:
            step = step_fn(batch, **fit_params)
            losses.append(step["loss"].detach())
            sizes.append(len(batch[1]))
            if not training:
                output = step["y_pred"]
                output = output[0] if isinstance(output, tuple) else output
                n_correct += (output.argmax(dim=1) == batch[1].to(output.device)).sum()
        tensors = [torch.stack(losses)] if training else [torch.stack(losses), n_correct]
        return Pass(prefix, sizes, tensors, not is_plain or self._has_other_callbacks())

    def _read_passes(self):
        passes = vars(self).pop("_unread_", ())
        for measured, values in zip(passes, read([p.tensors for p in passes]), strict=True):
            self.record_pass(measured, values)

    def get_loss(self, y_pred, y_true, *args, **kwargs):
        """Compute the loss, after a check that the outputs suit the criterion and the classes."""
        criterion = getattr(self, "criterion_", None)
        if isinstance(criterion, nn.NLLLoss):
            check_probabilities(y_pred)
        if self._encodes_labels_:
            y_pred, y_true = for_criterion(criterion, y_pred, y_true, len(self.classes_))
        return super().get_loss(y_pred, y_true, *args, **kwargs)

    def _has_short_epochs(self, iterator):
        """Whether no method, callback or iterator of the user's own takes part in an epoch."""
        return (
            self._from_arrays_
            and isinstance(iterator, TensorBatches)
            and isinstance(getattr(self, "criterion_", None), (nn.CrossEntropyLoss, nn.NLLLoss))
            and not any(acts_on_batches(callback) for _, callback in self.callbacks_)
            and not replaces(self, NetClassifier)
        )

    def _has_plain_steps(self):
        """Whether a step of a short epoch evaluates loss and gradient once, as SGD does."""
        return (
            isinstance(self.criterion_, nn.CrossEntropyLoss)
            and type(self.optimizer_) is torch.optim.SGD
            and not is_patched(self.optimizer_)
            and self._optimizers == ["optimizer"]
        )

    def _record_loss(self, prefix, loss, n_batches):
        """Record the mean loss of an epoch, without skorch's dict for each batch."""
        name = f"{prefix}_loss"
        best = min((row.get(name, np.inf) for row in self.history[:-1]), default=np.inf)
        self.history.record(name, loss)
        self.history.record(f"{name}_best", loss < best)
        self.history.record(f"{prefix}_batch_count", n_batches)

    def _has_other_callbacks(self):
        """Whether there are callbacks that may read or change a training step."""
        return any(reason_of_callback(*pair) for pair in self.callbacks_)

    def trim_for_prediction(self) -> None:
        """Remove what only training needs, as skorch does; the probabilities stay."""
        # What makes probabilities of the outputs depends on the criterion, which goes.
        nonlinearity = nonlinearity_of(getattr(self, "criterion_", None))
        if nonlinearity is not None and self.predict_nonlinearity == "auto":
            self.set_params(predict_nonlinearity=nonlinearity)
        super().trim_for_prediction()

    def notify(self, method_name, **cb_kwargs):
        """Call the callbacks. skorch's callbacks end a training by a KeyboardInterrupt."""
        try:
            super().notify(method_name, **cb_kwargs)
        except KeyboardInterrupt as interrupt:
            frame = interrupt.__traceback__
            while frame.tb_next is not None:
                frame = frame.tb_next
            if frame.tb_frame.f_globals.get("__name__", "").startswith("skorch.callbacks"):
                raise StopTraining from None
            raise
