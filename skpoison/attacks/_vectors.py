"""Numbers of rows, one a row: arrays on the CPU, tensors on a device that the rows lie on.

The host and a device wait for each other when numbers are copied. So an attack leaves its numbers
beside the rows, and reads what it must know once an iteration, by `to_host`.
"""

import numpy as np
import torch

# Devices that have no float64: rows that are attacked, and their numbers, stay on the CPU.
_WITHOUT_FLOAT64 = ("mps",)


def has_float64(device):
    """Whether a device can compute in float64."""
    return torch.device(device).type not in _WITHOUT_FLOAT64


def as_float64(tensor):
    """A tensor in float64, on its device, or on the CPU if its device has no float64."""
    return (tensor if has_float64(tensor.device) else tensor.cpu()).double()


def is_on_device(values):
    """Whether values are a tensor on another device than the CPU."""
    return isinstance(values, torch.Tensor) and values.device.type != "cpu"


def namespace_of(vector):
    """The library whose functions take a vector: NumPy or torch."""
    return torch if isinstance(vector, torch.Tensor) else np


def zeros_beside(rows):
    """A vector of zeros, one for each row of an array or a tensor."""
    if is_on_device(rows):
        return torch.zeros(len(rows), dtype=torch.float64, device=rows.device)
    return np.zeros(len(rows))


def empty_beside(rows):
    """A tensor like a tensor of rows, with any content."""
    if rows.device.type != "cpu":
        return torch.empty_like(rows)
    # NumPy asks for large pages of memory, which torch does not: passes over rows take less time.
    return torch.from_numpy(np.empty_like(rows.numpy()))


def store(vector, part, values):
    """Write numbers into a part of a vector, wherever they were computed."""
    if isinstance(vector, torch.Tensor):
        values = values.to(vector.device)
    elif isinstance(values, torch.Tensor):
        values = values.cpu().numpy()
    vector[part] = values


def as_array(vector):
    """A vector as an array."""
    return vector.cpu().numpy() if isinstance(vector, torch.Tensor) else vector


def number(tensor):
    """The number of a tensor: a float on the CPU, and the tensor itself on a device."""
    return tensor if is_on_device(tensor) else float(tensor)


def to_host(*numbers):
    """Numbers as floats. All numbers on a device are copied together, once."""
    on_device = [value.double() for value in numbers if is_on_device(value)]
    copied = iter(torch.stack(on_device).tolist() if on_device else [])
    return [next(copied) if is_on_device(value) else float(value) for value in numbers]


def quotient(vector, divisor):
    """Divide numbers by numbers >= 0; a division by 0 gives 0."""
    xp = namespace_of(divisor)
    return xp.where(divisor > 0, vector / xp.where(divisor > 0, divisor, 1.0), 0.0)
