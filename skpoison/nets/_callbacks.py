"""Which callbacks leave the training steps alone, and act between epochs only."""

import torch
from skorch.callbacks import EarlyStopping, EpochTimer, LRScheduler, PrintLog


class StopTraining(Exception):
    """A callback ended the training early, as opposed to the user's Ctrl-C."""


class EpochLog(PrintLog):
    """skorch's log of epochs, without the work where nothing is printed."""

    def is_silent(self, net):
        """Whether nothing is printed."""
        return not net.verbose and self.sink is print

    def on_epoch_end(self, net, **kwargs):
        if not self.is_silent(net):
            super().on_epoch_end(net, **kwargs)


def only_time(net):
    """Whether a net has only skorch's default callbacks, and they only time its epochs."""
    callbacks = [callback for _, callback in net.callbacks_]
    is_own = [type(callback) for callback in callbacks] == [EpochTimer, EpochLog]
    return is_own and callbacks[1].is_silent(net)


_READERS = (EarlyStopping, EpochLog, EpochTimer, PrintLog)
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
