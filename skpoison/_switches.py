"""Switches of torch for CUDA that hold for the whole process, set for the time of a block."""

import threading
from contextlib import contextmanager, nullcontext

import torch


class Switch:
    """A switch that any number of threads may hold; the last of their blocks puts it back.

    Parameters
    ----------
    change : callable of (value), returning a function
        Sets the switch; the function that it returns puts back what was there before.
    """

    def __init__(self, change):
        self._change = change
        self._lock = threading.Lock()
        self._n_blocks = 0
        self._value = None
        self._put_back = []

    @contextmanager
    def at(self, value):
        """Hold the switch at a value. Blocks that overlap hold it at the value of the latest."""
        with self._lock:
            if not self._n_blocks or value != self._value:
                self._put_back.append(self._change(value))
                self._value = value
            self._n_blocks += 1
        try:
            yield
        finally:
            with self._lock:
                self._n_blocks -= 1
                while self._put_back and not self._n_blocks:
                    self._put_back.pop()()


def full_precision(device):
    """Compute convolutions and recurrent layers on CUDA with the precision of matrix products.

    By default, PyTorch rounds the inputs of convolutions and recurrent layers to TF32 (10 bits),
    but not those of matrix products. A user may allow TF32 for matrix products, by
    ``torch.backends.cuda.matmul.fp32_precision = "tf32"`` or, as torch did before 2.9, by
    ``torch.backends.cuda.matmul.allow_tf32 = True``; then all three are rounded.

    Parameters
    ----------
    device : torch.device or str
        Where the block computes; nothing changes if this is not CUDA.

    Returns
    -------
    block : context manager
        The settings at its start are restored at its end. They are settings of the process: if
        blocks of several threads overlap, the last to end restores what the first one found.
    """
    if torch.device(device).type != "cuda":
        return nullcontext()
    matmul = torch.backends.cuda.matmul
    if not _has_new_switches():
        return _OLD_ROUNDING.at(matmul.allow_tf32)
    return _ROUNDING.at("tf32" if matmul.fp32_precision == "tf32" else "ieee")


def without_cudnn():
    """Compute by torch's own kernels, and not by those of cuDNN.

    Returns
    -------
    block : context manager
        Like the block of `full_precision`.
    """
    return _CUDNN.at(False)


def _has_new_switches():
    """Whether torch has the switches of 2.9. Once a user has set these, the old ones raise."""
    return hasattr(torch.backends.cuda.matmul, "fp32_precision")


def _set_rounding(precision):
    """Set the precision of convolutions and recurrent layers.

    A switch that is not set follows the switch above it: convolutions and recurrent layers follow
    `cudnn`, which follows `everything`. Reading a switch gives the value in effect, which may come
    from the switch above. To read the own value of `cudnn`, the switch above is unset for a moment.
    """
    everything, cudnn = torch.backends, torch.backends.cudnn
    above = everything.fp32_precision
    if above != "none":
        everything.fp32_precision = "none"
    before = cudnn.fp32_precision
    if above != "none":
        everything.fp32_precision = above
    cudnn.fp32_precision = precision
    set_apart = [
        (layers, layers.fp32_precision)
        for layers in (cudnn.conv, cudnn.rnn)
        if layers.fp32_precision != precision
    ]
    for layers, _ in set_apart:
        layers.fp32_precision = precision

    def put_back():
        for layers, own in set_apart:
            layers.fp32_precision = own
        cudnn.fp32_precision = before

    return put_back


def _set_old_rounding(allow):
    cudnn = torch.backends.cudnn
    before, cudnn.allow_tf32 = cudnn.allow_tf32, allow
    return lambda: setattr(cudnn, "allow_tf32", before)


def _set_cudnn(enabled):
    cudnn = torch.backends.cudnn
    before, cudnn.enabled = cudnn.enabled, enabled
    return lambda: setattr(cudnn, "enabled", before)


_ROUNDING = Switch(_set_rounding)
_OLD_ROUNDING = Switch(_set_old_rounding)
_CUDNN = Switch(_set_cudnn)
