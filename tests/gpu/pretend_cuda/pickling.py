"""Tensors of the device are saved as CUDA tensors are: by storages that say where they lie.

So a file can be read by a torch that has neither CUDA nor this module, with ``map_location``.
"""

import torch

from .devices import canonical

_rebuild = torch._utils._rebuild_tensor


def location_of(storage):
    return getattr(storage, "pretends", None)


def place(storage, location):
    """Say that a storage which was read lies at `location`, if this is a CUDA device."""
    if not location.startswith("cuda"):
        return None
    storage.pretends = str(canonical(location))
    return storage


def start(wrap):
    """From now on, tensors are read to where they were or where ``map_location`` says.

    `wrap` makes a tensor of the device from one of the CPU and a device.
    """

    def rebuild(storage, *layout):
        tensor = _rebuild(storage, *layout)
        location = location_of(storage._untyped_storage)
        return tensor if location is None else wrap(tensor, torch.device(location))

    torch.serialization.register_package(1, location_of, place)
    torch._utils._rebuild_tensor = rebuild
