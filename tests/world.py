"""The state of the process, which a public call must leave as it was."""

import random
from contextlib import contextmanager

import numpy as np
import torch
from matplotlib import pyplot as plt


def state_of_the_world():
    """Generators, threads and settings: to be compared before and after a call."""
    key, *numbers = np.random.get_state()[1:]  # noqa: NPY002
    return {
        "numpy": (key.tobytes(), numbers),
        "python": random.getstate(),
        "torch": torch.get_rng_state().numpy().tobytes(),
        "cuda": [state.numpy().tobytes() for state in torch.cuda.get_rng_state_all()]
        if torch.cuda.is_available()
        else [],
        "threads": torch.get_num_threads(),
        "gradients": torch.is_grad_enabled(),
        "errors": np.geterr(),
        "figures": plt.get_fignums(),
    }


@contextmanager
def torch_threads(number):
    """More than one, so that a call that leaves one thread behind is seen."""
    before = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)
