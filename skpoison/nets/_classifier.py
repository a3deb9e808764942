import inspect
import math
import warnings

import numpy as np
import torch
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import StratifiedShuffleSplit
from sklearn.utils import check_random_state
from skorch import NeuralNetClassifier
from skorch.callbacks import Callback, EarlyStopping, EpochTimer, PassthroughScoring, PrintLog
from skorch.dataset import Dataset
from skorch.utils import is_dataset, noop

from .._validation import check_bool, check_int, check_labels, check_real, check_rows
from ._batches import TensorBatches
from ._random import local_seed


class _StopTraining(Exception):
    """A callback ended the training early, as opposed to the user's Ctrl-C."""


class NetClassifier(NeuralNetClassifier):
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
        Where to compute; "auto" is CUDA where there is one.
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
        module,
        *,
        lr=0.1,
        max_epochs=10,
        batch_size=128,
        drop_last=True,
        early_stopping=False,
        validation_fraction=0.2,
        n_iter_no_change=30,
        device="auto",
        random_state=None,
        verbose=0,
        criterion=torch.nn.CrossEntropyLoss,
        train_split=None,
        iterator_train=TensorBatches,
        iterator_valid=TensorBatches,
        **kwargs,
    ):
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

    # skorch reads `device` wherever it moves data; it must see a device that torch knows, while
    # `get_params` and `clone` must see "auto".
    @property
    def device(self):
        device = self.__dict__["device"]
        if device == "auto":
            return "cuda" if torch.cuda.is_available() else "cpu"
        return device

    @device.setter
    def device(self, device):
        self.__dict__["device"] = device

    def get_params(self, deep=True, **kwargs):
        """Get the parameters, as scikit-learn does; ``device`` as given, "auto" included."""
        params = super().get_params(deep=deep, **kwargs)
        params["device"] = self.__dict__["device"]
        return params

    def __setstate__(self, state):
        device = state["device"]
        if device == "auto":
            state = {**state, "device": "cuda" if torch.cuda.is_available() else "cpu"}
        super().__setstate__(state)
        if device == "auto":
            self.device = device

    @property
    def device_(self):
        self.check_is_fitted()
        return next(self.module_.parameters()).device

    @property
    def _default_callbacks(self):
        callbacks = [
            ("epoch_timer", EpochTimer()),
            ("train_loss", PassthroughScoring(name="train_loss", on_train=True)),
            ("valid_loss", PassthroughScoring(name="valid_loss")),
        ]
        if self.early_stopping:
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
        return [*callbacks, ("print_log", PrintLog())]

    def fit(self, X, y=None, X_val=None, y_val=None, **fit_params):
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
            If the loss was not finite at the end.
        """
        reset = not (self.warm_start and self.initialized_)
        return self._train(X, y, X_val, y_val, reset, fit_params)

    def partial_fit(self, X, y=None, classes=None, **fit_params):
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

    def predict_proba(self, X):
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
            X = self._make_dataset(check_rows(self, X, reset=False), None)
        return super().predict_proba(X)

    def predict(self, X):
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
        codes = self.predict_proba(X).argmax(axis=1)
        return codes if is_dataset(X) else self.classes_[codes]

    def logits(self, X):
        """Map rows to logits, differentiably: what an attack asks of its surrogate.

        Parameters
        ----------
        X : torch.Tensor of shape (n, *input_shape_)
            Rows as given to `fit`, of any float dtype, on any device.

        Returns
        -------
        logits : torch.Tensor of shape (n, n_classes)
            In the order of `classes_`, on `device_`, in evaluation mode, part of X's graph.
        """
        self.check_is_fitted()
        parameter = next(self.module_.parameters())
        self._set_training(False)
        X = X.to(parameter.device, parameter.dtype)
        output = self.module_(X.reshape(len(X), *self._row_shape()))
        return output[0] if isinstance(output, tuple) else output

    def _train(self, X, y, X_val, y_val, reset, fit_params, classes=None):
        self._check_parameters()
        if is_dataset(X):
            validation = None
        else:
            X, y, validation = self._check_data(X, y, X_val, y_val, reset, classes)
        if reset:
            self.initialize()
        with local_seed(self._draw_seed(), self.device):
            if not is_dataset(X):
                train, validation = self._split(X, y, validation)
                X, y = self._make_dataset(*train), None
                self._validation_ = validation and self._make_dataset(*validation)
            self.notify("on_train_begin", X=X, y=y)
            try:
                self.fit_loop(X, y, **fit_params)
            except _StopTraining:
                pass
            finally:
                self._validation_ = None
            self.notify("on_train_end", X=X, y=y)
        if not math.isfinite(self.history[-1, "train_loss"]):
            warnings.warn(
                f"The training loss is {self.history[-1, 'train_loss']} after "
                f"{len(self.history)} epochs: training diverged. Lower `lr` (now {self.lr}).",
                ConvergenceWarning,
                stacklevel=3,
            )
        return self

    def _check_parameters(self):
        if isinstance(self.module, torch.nn.Module) or not callable(self.module):
            raise TypeError(
                "`module` must be a class or a function that returns a torch.nn.Module, got an "
                f"instance of {type(self.module).__name__}"
            )
        check_real(self.lr, "lr", low=0)
        check_int(self.max_epochs, "max_epochs", low=1)
        if self.batch_size != -1:
            check_int(self.batch_size, "batch_size", low=1)
        check_bool(self.drop_last, "drop_last")
        check_bool(self.early_stopping, "early_stopping")
        fraction = check_real(self.validation_fraction, "validation_fraction")
        if not 0 < fraction < 1:
            raise ValueError(f"`validation_fraction` must lie between 0 and 1, got {fraction}")
        check_int(self.n_iter_no_change, "n_iter_no_change", low=1)
        if torch.device(self.device).type == "cuda" and not torch.cuda.is_available():
            raise ValueError(f"`device` must be available, got {self.device!r} without CUDA")

    def _check_data(self, X, y, X_val, y_val, reset, classes):
        """Check training and validation data; learn shape and classes from them on `reset`."""
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
            if len(known) < 2:
                raise ValueError(f"y must have at least 2 classes, got 1 class: {known.tolist()}")
            self.classes_inferred_ = found
        y = self._encode(y)
        self._check_row_shape(self.module)
        if X_val is None:
            return X, y, None
        X_val = check_rows(self, X_val, reset=False)
        y_val, _ = check_labels(y_val, len(X_val), min_classes=1)
        return X, y, (X_val, self._encode(y_val))

    def _encode(self, y):
        """The index of each label in `classes_` (whose order is the user's if he gave them)."""
        order = np.argsort(self.classes_)
        known = self.classes_[order]
        unknown = np.setdiff1d(y, known)
        if len(unknown):
            raise ValueError(
                f"y must have only labels in `classes_` = {self.classes_.tolist()}, "
                f"got {unknown.tolist()}"
            )
        return order[np.searchsorted(known, y)]

    def _split(self, X, y, validation):
        """Hold a stratified share out for early stopping, unless validation data are given."""
        if not self.early_stopping or validation is not None or self.train_split is not None:
            return (X, y), validation
        splitter = StratifiedShuffleSplit(
            n_splits=1, test_size=self.validation_fraction, random_state=self._draw_seed()
        )
        train, held_out = next(splitter.split(np.zeros(len(y)), y))
        return (X[train], y[train]), (X[held_out], y[held_out])

    def _row_shape(self):
        return tuple(getattr(self.module_, "input_shape", self.input_shape_))

    def _check_row_shape(self, module):
        shape = getattr(module, "input_shape", None)
        if isinstance(shape, tuple) and math.prod(shape) != self.n_features_in_:
            raise ValueError(
                f"X must have rows of {math.prod(shape)} features to fill the `input_shape` "
                f"{shape} of `module`, got {self.n_features_in_}"
            )

    def _make_dataset(self, X, y):
        """A dataset of tensors on the device, copied: a module may write into its input."""
        self._check_row_shape(self.module_)
        parameter = next(self.module_.parameters())
        X = torch.tensor(X, dtype=parameter.dtype, device=parameter.device)
        if y is not None:
            y = torch.tensor(y, dtype=torch.int64, device=parameter.device)
        return Dataset(X.reshape(len(X), *self._row_shape()), y)

    def _draw_seed(self):
        return int(self._generator_.randint(2**31 - 1))

    # From here on: the places where skorch lets a subclass in.

    def initialize(self):
        """Make new, untrained components, as skorch does."""
        self._generator_ = check_random_state(self.random_state)
        return super().initialize()

    def initialize_module(self):
        """Make the module, with the sizes that its signature asks for and the data tell."""
        learned = {}
        if hasattr(self, "n_features_in_"):
            learned = {
                "n_features": self.n_features_in_,
                "in_channels": self.input_shape_[0],
                "n_classes": len(self.classes_),
            }
        taken = inspect.signature(self.module).parameters
        kwargs = {name: value for name, value in learned.items() if name in taken}
        kwargs.update(self.get_params_for("module"))
        with local_seed(self._draw_seed(), self.device):
            self.module_ = self.initialized_instance(self.module, kwargs)
        return self

    def check_data(self, X, y=None):
        """Learn the classes of a Dataset; arrays were checked before."""
        if is_dataset(X) and not hasattr(self, "classes_inferred_"):
            super().check_data(X, y)

    def get_split_datasets(self, X, y=None, **fit_params):
        """Give skorch the validation data that early stopping holds out."""
        if getattr(self, "_validation_", None) is not None:
            return self.get_dataset(X, y), self._validation_
        if self.train_split is not None and y is None and isinstance(X, Dataset):
            return self.train_split(X, X.y.cpu().numpy(), **fit_params)
        return super().get_split_datasets(X, y, **fit_params)

    def get_iterator(self, dataset, training=False):
        """Shuffle the training batches, from a generator of this fit."""
        if not training or self.iterator_train is not TensorBatches:
            return super().get_iterator(dataset, training=training)
        kwargs = {"shuffle": True, "drop_last": self.drop_last, "batch_size": self.batch_size}
        kwargs.update(self.get_params_for("iterator_train"))
        if kwargs["batch_size"] == -1:
            kwargs["batch_size"] = len(dataset)
        generator = torch.Generator(self._data_device(dataset)).manual_seed(self._draw_seed())
        return TensorBatches(dataset, generator=generator, **kwargs)

    @staticmethod
    def _data_device(dataset):
        return dataset.X.device if isinstance(getattr(dataset, "X", None), torch.Tensor) else "cpu"

    def run_single_epoch(self, iterator, training, prefix, step_fn, **fit_params):
        """Run an epoch; losses are read from the device once, after its last batch."""
        if iterator is None:
            return
        listened = self._has_batch_callbacks()
        losses, sizes, n_correct = [], [], 0
        for batch in iterator:
            if listened:
                self.notify("on_batch_begin", batch=batch, training=training)
            step = step_fn(batch, **fit_params)
            losses.append(step["loss"].detach())
            sizes.append(len(batch[1]))
            if listened:
                self.history.record_batch(f"{prefix}_loss", losses[-1].item())
                self.history.record_batch(f"{prefix}_batch_size", sizes[-1])
                self.notify("on_batch_end", batch=batch, training=training, **step)
            if not training:
                output = step["y_pred"]
                output = output[0] if isinstance(output, tuple) else output
                n_correct += (output.argmax(dim=1) == batch[1].to(output.device)).sum()
        if not listened:
            for loss, size in zip(torch.stack(losses).tolist(), sizes, strict=True):
                self.history.new_batch()
                self.history.record_batch(f"{prefix}_loss", loss)
                self.history.record_batch(f"{prefix}_batch_size", size)
        self.history.record(f"{prefix}_batch_count", len(losses))
        if not training:
            accuracy = int(n_correct) / sum(sizes)
            best = max((row.get("valid_acc", -1) for row in self.history[:-1]), default=-1)
            self.history.record(f"{prefix}_acc", accuracy)
            self.history.record(f"{prefix}_acc_best", accuracy > best)

    def _has_batch_callbacks(self):
        names = ("on_batch_begin", "on_batch_end")
        return any(
            getattr(type(callback), name) is not getattr(Callback, name)
            for _, callback in self.callbacks_
            for name in names
        )

    def notify(self, method_name, **cb_kwargs):
        """Call the callbacks. skorch's ask for an end of training by a KeyboardInterrupt."""
        try:
            super().notify(method_name, **cb_kwargs)
        except KeyboardInterrupt:
            if method_name == "on_epoch_end":
                raise _StopTraining from None
            raise
