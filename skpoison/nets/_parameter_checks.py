"""Checks of the parameters of a `NetClassifier`, of its module and of the shape of its rows."""

import math

import torch

from .._validation import check_bool, check_int, check_real


def check_parameters(net):
    """Raise if a parameter is out of its range."""
    if isinstance(net.module, torch.nn.Module) or not callable(net.module):
        raise TypeError(
            "`module` must be a class or a function that returns a torch.nn.Module, got an "
            f"instance of {type(net.module).__name__}"
        )
    check_real(net.lr, "lr", low=0)
    check_int(net.max_epochs, "max_epochs", low=0)
    if net.batch_size != -1:
        check_int(net.batch_size, "batch_size", low=1)
    check_bool(net.drop_last, "drop_last")
    if check_bool(net.early_stopping, "early_stopping") and net.callbacks == "disable":
        raise ValueError(
            "`callbacks` must not be 'disable' with `early_stopping=True`, which needs a callback"
        )
    fraction = check_real(net.validation_fraction, "validation_fraction")
    if not 0 < fraction < 1:
        raise ValueError(f"`validation_fraction` must lie between 0 and 1, got {fraction}")
    check_int(net.n_iter_no_change, "n_iter_no_change", low=1)
    check_device(net.device)


def check_device(device):
    """Raise unless this machine has a device, and can compute on it."""
    try:
        reason = _reason_against(torch.device(device))
    except Exception as error:  # Each kind of device that is not there has errors of its own.
        reason = str(error)
    if reason is not None:
        raise ValueError(
            "`device` must be 'auto' or a device on which this machine can compute, got "
            f"{device!r}: {reason}"
        )


def _reason_against(device):
    kind = getattr(torch, device.type, None)
    if not hasattr(kind, "device_count"):
        torch.ones(1, device=device).tolist()
    elif (device.index or 0) >= kind.device_count():
        return f"it has {kind.device_count()} devices of type {device.type!r}"
    return None


def check_dtypes(module, device):
    """Raise if a device cannot hold the parameters and buffers of a module."""
    if torch.device(device).type != "mps":
        return
    for name, value in (*module.named_parameters(), *module.named_buffers()):
        if value.dtype == torch.float64:
            raise ValueError(
                f"`module` must not have float64 on `device` {str(device)!r}, which has no such "
                f"numbers, got {name!r}"
            )


def check_row_shape(net, module):
    """Raise if the module has an `input_shape` that the rows of the net do not fill."""
    shape = getattr(module, "input_shape", None)
    if not isinstance(shape, tuple):
        return
    given = net.input_shape_
    if len(given) > 1 and [a for a in given if a > 1] != [a for a in shape if a > 1]:
        raise ValueError(
            f"X must have rows of shape {shape}, the `input_shape` of `module`, or flat ones, "
            f"got {given}"
        )
    if math.prod(shape) != net.n_features_in_:
        raise ValueError(
            f"X must have rows of {math.prod(shape)} features to fill the `input_shape` "
            f"{shape} of `module`, got {net.n_features_in_}"
        )
