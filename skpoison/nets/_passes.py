"""What a pass over data measures."""

from dataclasses import dataclass


@dataclass
class Pass:
    """A pass over training or validation data, measured and not yet read from the device.

    Attributes
    ----------
    prefix : {"train", "valid"}
        What its names in the history begin with.
    sizes : list of int
        Rows in each batch.
    tensors : list of Tensor
        The mean loss of each batch, (n_batches,), and in validation the number of rows whose class
        was predicted, ().
    keeps_batches : bool
        Whether the history gets the loss of each batch.
    """

    prefix: str
    sizes: list
    tensors: list
    keeps_batches: bool
