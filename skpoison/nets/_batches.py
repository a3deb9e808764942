"""Mini-batches as slices of tensors that lie in memory."""

from collections.abc import Mapping

import torch
from skorch.dataset import Dataset
from torch.utils.data import DataLoader, Subset


def has_names(X):
    """Whether X is a dict of inputs, which a module takes by their names."""
    # One of scipy's formats of sparse matrices is a dict too.
    return isinstance(X, Mapping) and not hasattr(X, "tocsr")


class TensorBatches:
    """Iterate over a dataset in mini-batches, by slices where it is made of tensors.

    Replaces `torch.utils.data.DataLoader` as skorch's ``iterator_train`` or ``iterator_valid``. A
    DataLoader makes one Python call for each row; this makes one for each batch.

    A batch lies where the rows of the dataset lie. The order of the rows is drawn on the CPU, so
    that it is the same for rows on any device, and is copied to the rows once a pass.

    Parameters
    ----------
    dataset : torch.utils.data.Dataset
        A skorch ``Dataset`` of tensors, or a ``Subset`` of one, is sliced; any other, and one of a
        subclass, is left to a ``DataLoader`` with the same arguments.
    batch_size : int, default=128
        Rows in a batch.
    shuffle : bool, default=False
        Whether to draw a new order of the rows for each pass.
    drop_last : bool, default=False
        Whether to leave out a last batch that is smaller, unless it is the only one.
    generator : torch.Generator, default=None
        Where the orders come from, a generator on the CPU.

    Examples
    --------
    >>> import torch
    >>> from skorch.dataset import Dataset
    >>> data = Dataset(torch.arange(10.0).reshape(5, 2), torch.arange(5))
    >>> [len(y) for X, y in TensorBatches(data, batch_size=2)]
    [2, 2, 1]
    >>> [len(y) for X, y in TensorBatches(data, batch_size=2, drop_last=True)]
    [2, 2]
    """

    def __init__(self, dataset, batch_size=128, shuffle=False, drop_last=False, generator=None):
        self.dataset = dataset
        self.batch_size = batch_size
        self.shuffle = shuffle
        self.drop_last = drop_last and len(dataset) >= batch_size
        self.generator = generator

    def __len__(self):
        full, rest = divmod(len(self.dataset), self.batch_size)
        return full + (rest > 0 and not self.drop_last)

    def __iter__(self):
        found = _as_tensors(self.dataset)
        if found is None:
            yield from self._loader()
            return
        X, y, order = found
        if self.shuffle:
            drawn = self.draw_order()
            order = drawn if order is None else order[drawn]
        if order is not None:
            of_X = _copied_to(order, X.device)
            of_y = of_X if y.device == X.device else _copied_to(order, y.device)
        for k in range(len(self)):
            rows = slice(k * self.batch_size, (k + 1) * self.batch_size)
            # Copies, also of slices: a module may write into its input.
            if order is None:
                yield X[rows].clone(), y[rows]
            else:
                yield X.index_select(0, of_X[rows]), y.index_select(0, of_y[rows])

    def draw_order(self):
        """Draw an order of all rows, as indices on the CPU."""
        return torch.randperm(len(self.dataset), generator=self.generator)

    def lies_on(self, device):
        """Whether all batches are known to lie on a device: slices of tensors there."""
        found = _as_tensors(self.dataset)
        return found is not None and all(part.device == device for part in found[:2])

    def _loader(self):
        return DataLoader(
            self.dataset,
            batch_size=self.batch_size,
            shuffle=self.shuffle,
            drop_last=self.drop_last,
            generator=self.generator,
        )


def _copied_to(order, device):
    """Copy indices to a device."""
    # CUDA reads ordinary memory before the call returns, and does not wait for earlier work.
    return order.to(device, non_blocking=device.type == "cuda")


def _as_tensors(dataset):
    """Return the tensors X and y of a dataset that holds them, and its rows; else None.

    The rows are indices on the CPU; None stands for all rows of the tensors.
    """
    if type(dataset) is Subset:
        found = _as_tensors(dataset.dataset)
        if found is None:
            return None
        X, y, rows = found
        rows = torch.arange(len(X)) if rows is None else rows
        return X, y, rows[torch.as_tensor(dataset.indices)]
    if type(dataset) is Dataset and isinstance(dataset.X, torch.Tensor):
        y = dataset.y
        if y is None:
            # skorch's loops unpack pairs (X, y). Without labels we only predict: nobody reads y.
            y = torch.zeros(len(dataset.X), dtype=torch.int64, device=dataset.X.device)
        if isinstance(y, torch.Tensor):
            return dataset.X, y, None
    return None
