"""Plain SGD, made without the import of torch's compiler, which takes a second or more."""

import inspect
from typing import Any

import torch


class _SGD(torch.optim.SGD):
    """SGD that takes its parameters without the compiler."""

    # Torch keeps its compiler from tracing this method, and imports it to do so. The method itself
    # needs no compiler.
    add_param_group = inspect.unwrap(torch.optim.SGD.add_param_group)


def make_sgd(*args: Any, **kwargs: Any) -> torch.optim.SGD:
    """Make a `torch.optim.SGD`, without the import of torch's compiler.

    Torch imports its compiler when the first optimiser of a process is made. Here the first call of
    ``step``, ``zero_grad`` or ``state_dict`` does so. A net that trains without these calls never
    needs it.

    Parameters
    ----------
    *args, **kwargs
        The arguments of `torch.optim.SGD`.

    Returns
    -------
    optimizer : torch.optim.SGD
        An instance of this very class, as its constructor makes it.

    Raises
    ------
    TypeError, ValueError
        What `torch.optim.SGD` raises.
    """
    made = _SGD(*args, **kwargs)
    # As from a pickle. A new `__class__` for `made` would not do: the constructor also prepares its
    # class for hooks on steps, and that was `_SGD`.
    optimizer = torch.optim.SGD.__new__(torch.optim.SGD)
    optimizer.__setstate__(vars(made))
    return optimizer
