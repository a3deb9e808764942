"""Randomness that is local to a block of code."""

import functools
import os
import threading
from contextlib import contextmanager, nullcontext

import torch
from torch.overrides import TorchFunctionMode

# Threads share torch's global generators, from which initialisation and dropout draw. A block that
# seeds them must run alone: otherwise two fits would draw from each other's stream.
_ALONE = threading.RLock()


def _renew_lock():
    """After a fork the thread that held the lock is gone, and would never release it."""
    global _ALONE
    _ALONE = threading.RLock()


if hasattr(os, "register_at_fork"):  # Windows has no forks.
    os.register_at_fork(after_in_child=_renew_lock)


@contextmanager
def local_seed(seed, device):
    """Seed torch's generators of the CPU and of `device` in a block, and restore them after it.

    If torch has no generator for the device, drawing on it raises ValueError.
    """
    device = torch.device(device)
    own = _generators_of(device)
    forked = {"devices": [device], "device_type": device.type} if own else {"devices": []}
    refused = nullcontext() if own or device.type == "cpu" else _RefusedDraws(device)
    with _ALONE, torch.random.fork_rng(**forked), refused:
        torch.default_generator.manual_seed(seed)
        if own:
            # All modules seed the current device; torch.mps has no other.
            with own.device(device) if hasattr(own, "device") else nullcontext():
                own.manual_seed(seed)
        yield


@contextmanager
def alone():
    """Run a block while no other thread is in one that seeds the generators, or in this one."""
    with _ALONE:
        yield


def _generators_of(device):
    """Return torch's module for a kind of device, such as torch.cuda, if it has generators."""
    module = getattr(torch, device.type, None)
    names = ("get_rng_state", "manual_seed", "set_rng_state")
    return module if all(hasattr(module, name) for name in names) else None


class _RefusedDraws(TorchFunctionMode):
    """Raise if a random number is drawn on a device: no seed would determine it."""

    def __init__(self, device):
        super().__init__()
        self.device = device

    def __torch_function__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        name = getattr(func, "__name__", "")
        if _draws(name) and getattr(result, "device", self.device).type == self.device.type:
            raise ValueError(
                "`module` must not draw random numbers on a `device` where `random_state` cannot "
                f"seed them, got {name!r} on {str(self.device)!r}"
            )
        return result


# Names of Python functions, such as `dropout2d`, that hide the operation that draws.
_DRAWING = ("dropout", "gumbel", "normal_", "uniform_")


@functools.cache
def _draws(name):
    """Whether a function of torch with this name may draw random numbers."""
    if any(part in name for part in _DRAWING):
        return True
    packet = getattr(torch.ops.aten, name, None)
    overloads = packet.overloads() if hasattr(packet, "overloads") else ()
    seeded = torch.Tag.nondeterministic_seeded
    return any(seeded in getattr(packet, overload).tags for overload in overloads)
