"""The places where skorch lets a subclass in: what `NetClassifier` does there."""

import inspect

import numpy as np
import torch
from numpy.typing import ArrayLike
from sklearn.utils import check_random_state
from skorch import NeuralNetClassifier
from skorch.callbacks import (
    Callback,
    EarlyStopping,
    EpochTimer,
    LRScheduler,
)
from skorch.dataset import Dataset
from skorch.utils import is_dataset, noop
from torch import nn

from .._typing import Array
from ._batches import TensorBatches
from ._callbacks import EpochLog, StopTraining, reason_of_callback
from ._dense import chain_of, descend
from ._random import local_seed


def _resolve(device):
    """The device that "auto" stands for on this machine; any other as it is."""
    if isinstance(device, str) and device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    return device


_PLAIN_LOSS = nn.CrossEntropyLoss()


class SkorchHooks(NeuralNetClassifier):
    """Device, callbacks, components, batches and epochs of a `NetClassifier`."""

    _from_arrays_ = False

    # skorch reads `device` wherever it moves data; it must see a device that torch knows, while
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
        # skorch maps the weights to `device`, and may put another that is there in its place.
        device = _resolve(state["device"])
        super().__setstate__({**state, "device": device})
        if self.device == device:
            self.device = state["device"]

    @property
    def device_(self) -> torch.device:
        self.check_is_fitted()
        return next(self.module_.parameters()).device

    def __sklearn_is_fitted__(self):
        return hasattr(self, "module_")

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
        callbacks = [("epoch_timer", EpochTimer())]
        # scikit-learn lists the parameters of a net whose values were not checked yet.
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
        generator = check_random_state(self.random_state)
        if generator is self.random_state or self.random_state is None:
            # One that others draw from, too: what they do in between must not matter.
            generator = np.random.RandomState(generator.randint(2**31 - 1))
        self._generator_ = generator
        # skorch would empty the history in place; a fit that fails gives the old one back.
        self.history_ = None
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
        if not isinstance(self.module_, nn.Module) or next(self.module_.parameters(), None) is None:
            raise TypeError(
                "`module` must return a torch.nn.Module with parameters, got "
                f"{type(self.module_).__name__}"
            )
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
        if training and not listened and not fit_params and self._has_plain_steps():
            step_fn = self._plain_step()
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
        losses = torch.stack(losses).tolist()
        if not listened and self._has_other_callbacks():
            self.history[-1]["batches"].extend(
                {f"{prefix}_loss": loss, f"{prefix}_batch_size": size}
                for loss, size in zip(losses, sizes, strict=True)
            )
        self._record_loss(prefix, float(np.average(losses, weights=sizes)), len(losses))
        if not training:
            accuracy = int(n_correct) / sum(sizes)
            best = max((row.get("valid_acc", -1) for row in self.history[:-1]), default=-1)
            self.history.record(f"{prefix}_acc", accuracy)
            self.history.record(f"{prefix}_acc_best", accuracy > best)

    def get_loss(self, y_pred, y_true, *args, **kwargs):
        """Compute the loss, of logits as many as there are classes."""
        if isinstance(self.criterion_, nn.CrossEntropyLoss):
            self._check_logits(y_pred)
        return super().get_loss(y_pred, y_true, *args, **kwargs)

    def _check_logits(self, output):
        n_classes = len(self.classes_)
        shape = tuple(getattr(output, "shape", ()))
        if len(shape) != 2 or shape[1] != n_classes:
            raise ValueError(
                f"`module` must map rows to logits, one for each of the {n_classes} classes, got "
                f"an output of shape {shape}"
            )

    def _has_plain_steps(self):
        """Whether a step is skorch's own, with a loss and an optimiser of one evaluation."""
        own = ("train_step", "train_step_single", "infer", "get_loss")
        return (
            all(getattr(type(self), name) is getattr(SkorchHooks, name) for name in own)
            and self.iterator_train is TensorBatches
            and isinstance(self.criterion_, nn.CrossEntropyLoss)
            and isinstance(self.optimizer_, torch.optim.SGD)
            and self._optimizers == ["optimizer"]
            and not self._has_batch_callbacks(("on_grad_computed",))
        )

    def _takes_bare_steps(self):
        """Whether a step subtracts the mean gradient times the rate, and does nothing else."""
        optimizer, criterion = self.optimizer_, self.criterion_
        if type(optimizer) is not torch.optim.SGD or type(criterion) is not nn.CrossEntropyLoss:
            return False
        group, *others = optimizer.param_groups
        adds = [group[name] for name in ("momentum", "weight_decay", "maximize")]
        hooks = optimizer._optimizer_step_pre_hooks, optimizer._optimizer_step_post_hooks
        if others or any((*adds, *hooks)):
            return False
        if self._has_other_callbacks():
            return False
        options = ("weight", "reduction", "ignore_index", "label_smoothing")
        if any(getattr(criterion, name) != getattr(_PLAIN_LOSS, name) for name in options):
            return False
        # A subclass may train some of the parameters only; a Dataset has labels of its own.
        return self._from_arrays_ and set(map(id, group["params"])) == set(
            map(id, self.module_.parameters())
        )

    def _chain(self):
        """The layers whose steps are written out, or None: torch takes the steps."""
        return chain_of(self.module_, self._row_shape()) if self._takes_bare_steps() else None

    def _plain_step(self):
        """What skorch's step comes down to, without its closures: a fifth of a small step."""
        self._set_training(True)
        module, criterion, optimizer = self.module_, self.criterion_, self.optimizer_
        chain = self._chain()
        if chain is not None:
            return self._chain_step(chain)

        def step(batch):
            X, y = batch
            optimizer.zero_grad()
            output = module(X)
            self._check_logits(output)
            loss = criterion(output, y)
            loss.backward()
            optimizer.step()
            return {"loss": loss, "y_pred": output}

        return step

    def _chain_step(self, chain):
        """A step of a chain of layers: as a stack of one net."""
        parameters = {name: p.detach()[None] for name, p in self.module_.named_parameters()}
        layers = [(parameters[w], parameters.get(b), relu) for w, b, relu in chain]
        weight = layers[-1][0]
        self._check_logits(weight[0].T)
        rates = weight.new_tensor([self.optimizer_.param_groups[0]["lr"]])
        # What a schedule asks of torch before it takes a step: that the optimiser took one.
        self.optimizer_._opt_called = True

        def step(batch):
            X, y = batch
            losses = descend(layers, X.reshape(1, len(X), -1), y[None], rates)
            return {"loss": losses[0], "y_pred": None}

        return step

    def _record_loss(self, prefix, loss, n_batches):
        """Record an epoch's mean loss: skorch keeps each batch's for that, a dict a step."""
        name = f"{prefix}_loss"
        best = min((row.get(name, np.inf) for row in self.history[:-1]), default=np.inf)
        self.history.record(name, loss)
        self.history.record(f"{name}_best", loss < best)
        self.history.record(f"{prefix}_batch_count", n_batches)

    def _has_other_callbacks(self):
        """Whether there are callbacks that may look at each step, or act on it."""
        return any(reason_of_callback(*pair) for pair in self.callbacks_)

    def _has_batch_callbacks(self, names=("on_batch_begin", "on_batch_end")):
        """Whether a callback wants to hear of each batch; a schedule of epochs does not."""
        return any(
            getattr(type(callback), name) is not getattr(Callback, name)
            for _, callback in self.callbacks_
            for name in names
            if not (isinstance(callback, LRScheduler) and callback.step_every == "epoch")
        )

    def notify(self, method_name, **cb_kwargs):
        """Call the callbacks. skorch's ask for an end of training by a KeyboardInterrupt."""
        try:
            super().notify(method_name, **cb_kwargs)
        except KeyboardInterrupt as interrupt:
            frame = interrupt.__traceback__
            while frame.tb_next is not None:
                frame = frame.tb_next
            if frame.tb_frame.f_globals.get("__name__", "").startswith("skorch.callbacks"):
                raise StopTraining from None
            raise
