"""Randomness that is local to a block of code."""

import os
import threading
from contextlib import contextmanager

import torch

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
    """Seed torch's generators of the CPU and of `device` in a block, and restore them after it."""
    on_gpu = str(device).startswith("cuda")
    device = torch.device(device) if on_gpu else None
    with _ALONE, torch.random.fork_rng(devices=[device] if on_gpu else []):
        torch.default_generator.manual_seed(seed)
        if on_gpu:
            with torch.cuda.device(device):
                torch.cuda.manual_seed(seed)
        yield


@contextmanager
def alone():
    """Run a block while no other thread is in one that seeds the generators, or in this one."""
    with _ALONE:
        yield
