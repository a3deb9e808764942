"""Which callbacks leave the training steps alone, and act between epochs only."""

import torch
from skorch.callbacks import (
    Callback,
    EarlyStopping,
    EpochScoring,
    EpochTimer,
    LRScheduler,
    PassthroughScoring,
    PrintLog,
)


class StopTraining(Exception):
    """A callback ended the training early, as opposed to the user's Ctrl-C."""


class EpochLoss(PassthroughScoring):
    """skorch's mean loss of an epoch, unless the net wrote it into the history itself."""

    def on_epoch_end(self, net, **kwargs):
        if self.name not in net.history[-1]:
            super().on_epoch_end(net, **kwargs)


class EpochAccuracy(EpochScoring):
    """skorch's accuracy on validation data, unless the net wrote it into the history itself."""

    def on_epoch_end(self, net, dataset_train, dataset_valid, **kwargs):
        if self.name not in net.history[-1]:
            super().on_epoch_end(net, dataset_train, dataset_valid, **kwargs)


class EpochLog(PrintLog):
    """skorch's log of epochs, without the work where nothing is printed."""

    def is_silent(self, net):
        """Whether nothing is printed."""
        return not net.verbose and self.sink is print

    def on_epoch_end(self, net, **kwargs):
        if not self.is_silent(net):
            super().on_epoch_end(net, **kwargs)


_RECORDERS = (EpochLoss, EpochLoss, EpochAccuracy)


def recorders():
    """Return the callbacks that write losses and accuracy where skorch's loop runs."""
    return [
        ("train_loss", EpochLoss("train_loss", on_train=True)),
        ("valid_loss", EpochLoss("valid_loss")),
        ("valid_acc", EpochAccuracy("accuracy", name="valid_acc", lower_is_better=False)),
    ]


def only_time(net):
    """Whether a net has only its default callbacks, and they only time its epochs."""
    callbacks = [callback for _, callback in net.callbacks_]
    is_own = [type(callback) for callback in callbacks] == [EpochTimer, *_RECORDERS, EpochLog]
    return is_own and callbacks[-1].is_silent(net)


_READERS = (EarlyStopping, EpochAccuracy, EpochLog, EpochLoss, EpochTimer, PrintLog)
# These schedules change the momentum too.
_CYCLES = ("CyclicLR", "OneCycleLR")


def reason_of_callback(name, callback):
    """Return why a callback needs ordinary training steps, or None.

    The callbacks let through here act between epochs only. Any other may read gradients or the
    history of batches, or change weights, options or generators.
    """
    if type(callback) in _READERS:
        return None
    if type(callback) is LRScheduler and callback.step_every == "epoch":
        policy = callback.policy
        policy = policy if isinstance(policy, str) else getattr(policy, "__name__", "")
        if hasattr(torch.optim.lr_scheduler, policy) and policy not in _CYCLES:
            return None
    return f"callback {name!r} may act on the steps"


def acts_on_batches(callback):
    """Whether a callback has methods for batches of its own.

    Any object with skorch's methods is a callback. We know what is not overridden for subclasses of
    skorch's `Callback` only.
    """
    kind = type(callback)
    if kind in _READERS or (isinstance(callback, LRScheduler) and callback.step_every == "epoch"):
        return False
    names = ("on_batch_begin", "on_batch_end", "on_grad_computed")
    return not issubclass(kind, Callback) or any(
        name in vars(callback) or getattr(kind, name) is not getattr(Callback, name)
        for name in names
    )
