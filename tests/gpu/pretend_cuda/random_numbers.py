"""Generators that lie on a device, and the default generator of each device."""

import contextlib
import threading
import weakref

import torch

from .compiled import DEVICE_COUNT
from .devices import canonical

_CpuGenerator = torch.Generator
# An operation on a device borrows the default generator of the CPU.
_borrowed = threading.RLock()


# torch hands on a generator as another Python object; its address stays.
_devices = {}


class Generator(_CpuGenerator):
    """A generator of the CPU that says where it lies."""

    def __new__(cls, device="cpu"):
        self = _CpuGenerator.__new__(cls, "cpu")
        device = torch.device(device)
        self._device = canonical(device) if device.type == "cuda" else device
        if device.type == "cuda":
            _devices[self._cdata] = self._device
            weakref.finalize(self, _devices.pop, self._cdata)
        return self

    @property
    def device(self):
        return self._device

    def __reduce__(self):
        return _restore, (str(self._device), self.get_state())


def _restore(device, state):
    generator = Generator(device)
    generator.set_state(state)
    return generator


DEFAULT = tuple(Generator(f"cuda:{index}").manual_seed(0) for index in range(DEVICE_COUNT))
# Devices on which a capture has failed: there, a generator believes that it is still under way.
stuck = set()


def check_device(generator, device):
    """Refuse a generator that lies on another kind of device than the operation's tensors."""
    if generator is None:
        return
    want = "cpu" if device is None else device.type
    found = "cuda" if generator._cdata in _devices else "cpu"
    if want != found:
        raise RuntimeError(f"Expected a '{want}' device type for generator but found '{found}'")


@contextlib.contextmanager
def drawn_from(device):
    """Draw from the default generator of this device (a torch.device; None: the CPU)."""
    if device is None:
        with _borrowed:
            yield
        return
    own, cpu = DEFAULT[device.index], torch.default_generator
    with _borrowed:
        before = cpu.get_state()
        cpu.set_state(own.get_state())
        try:
            yield
        finally:
            own.set_state(cpu.get_state())
            cpu.set_state(before)
