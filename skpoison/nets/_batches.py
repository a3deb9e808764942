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

    Parameters
    ----------
    dataset : torch.utils.data.Dataset
        A skorch ``Dataset`` of tensors, or a ``Subset`` of one, is sliced; any other is left to a
        ``DataLoader`` with the same arguments.
    batch_size : int, default=128
        Rows in a batch.
    shuffle : bool, default=False
        Whether to draw a new order of the rows for each pass.
    drop_last : bool, default=False
        Whether to leave out a last batch that is smaller, unless it is the only one.
    generator : torch.Generator, default=None
        Where the orders come from, on the device of the data.

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
        tensors = _as_tensors(self.dataset)
        if tensors is None:
            yield from self._loader()
            return
        X, y = tensors
        order = None
        if self.shuffle:
            order = torch.randperm(len(X), generator=self.generator, device=X.device)
        for k in range(len(self)):
            rows = slice(k * self.batch_size, (k + 1) * self.batch_size)
            # Copies, also of slices: a module may write into its input.
            if order is None:
                yield X[rows].clone(), y[rows]
            else:
                yield X.index_select(0, order[rows]), y.index_select(0, order[rows])

    def _loader(self):
        return DataLoader(
            self.dataset,
            batch_size=self.batch_size,
            shuffle=self.shuffle,
            drop_last=self.drop_last,
            generator=self.generator,
        )


def _as_tensors(dataset):
    """The tensors (X, y) of a dataset that holds them, else None."""
    if isinstance(dataset, Subset):
        tensors = _as_tensors(dataset.dataset)
        if tensors is None:
            return None
        rows = torch.as_tensor(dataset.indices, device=tensors[0].device)
        return tuple(tensor[rows] for tensor in tensors)
    if type(dataset) is Dataset and isinstance(dataset.X, torch.Tensor):
        y = dataset.y
        if y is None:
            # skorch's loops unpack pairs (X, y). Without labels we only predict: nobody reads y.
            y = torch.zeros(len(dataset.X), dtype=torch.int64, device=dataset.X.device)
        if isinstance(y, torch.Tensor):
            return dataset.X, y
    return None
