"""Counts what is copied between the CPU and the device, by line, and forbids synchronisation."""

import os
import sys
import warnings
from collections import Counter
from importlib.util import find_spec

import torch

# (kind, "file:line") to a number; the kinds are "to_host", "to_device", "synchronize", "capture".
LOG = Counter()
# (operation, "file:line", precision) to a number, for convolutions.
CONVOLUTIONS = Counter()

MODES = {"default": 0, "warn": 1, "error": 2}
_mode = 0
# Called with the name of what synchronises, where a capture may be under way; set by `graphs`.
refuse_in_capture = None


def _folder(package):
    return os.path.dirname(find_spec(package).origin) + os.sep


PACKAGE, SKORCH = _folder("skpoison"), _folder("skorch")
HERE = os.path.dirname(__file__) + os.sep


def line():
    """The innermost line of the package that runs now, else of skorch, else of the caller."""
    stack = []
    frame = sys._getframe(1)
    while frame is not None:
        file = frame.f_code.co_filename
        if file.startswith(PACKAGE):
            return f"{file.removeprefix(PACKAGE)}:{frame.f_lineno}"
        stack.append((file, frame.f_lineno))
        frame = frame.f_back
    for file, number in stack:
        if file.startswith(SKORCH):
            return f"skorch/{file.removeprefix(SKORCH)}:{number}"
    torchs = os.path.dirname(torch.__file__) + os.sep
    return next(
        (f"{os.path.basename(f)}:{n}" for f, n in stack if not f.startswith((HERE, torchs))), "?"
    )


def note(kind, what, waits=True):
    """Count an event. If the CPU `waits` for the device, it may be forbidden."""
    LOG[kind, line()] += 1
    refuse_in_capture(what)
    if waits and _mode == MODES["error"]:
        raise RuntimeError(f"called a synchronizing CUDA operation ({what})")
    if waits and _mode == MODES["warn"]:
        warnings.warn(f"called a synchronizing CUDA operation ({what})", stacklevel=2)


def note_convolution(name):
    CONVOLUTIONS[name, line(), torch.backends.cudnn.conv.fp32_precision] += 1


def get_sync_debug_mode():
    return _mode


def set_sync_debug_mode(debug_mode):
    global _mode
    if isinstance(debug_mode, str) and debug_mode not in MODES:
        raise RuntimeError(
            f"invalid value of debug_mode, expected one of `default`, `warn`, `error`: {debug_mode}"
        )
    _mode = MODES.get(debug_mode, debug_mode)
