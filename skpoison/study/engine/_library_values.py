"""The prints of what libraries hold in their own way: arrays, frames, tensors and nets.

Their pickles and attributes also have caches, training times, padding and addresses, in which equal
values differ. Handlers are found by the names of a package and a class, so that no library is
imported for them.
"""

import sys

import numpy as np

from ._digest import digest


def _array(walk, value):
    # What joblib has put on disk for its workers is the same array.
    if type(value) is not np.ndarray and not isinstance(value, np.memmap):
        if isinstance(value, np.ma.MaskedArray):
            parts = value.filled(0), np.ma.getmaskarray(value), value.fill_value
            return digest("masked array", walk.print_of(type(value)), walk.prints_of(parts))
        parts = walk.print_of(type(value)), walk.named(walk.state(value)), _elements(walk, value)
        return digest("array of a subclass", *parts)
    return _elements(walk, value)


def _elements(walk, value):
    value = np.asarray(value)
    if not value.dtype.isnative:
        value = value.astype(value.dtype.newbyteorder("="))  # As pickle does.
    dtype = value.dtype
    head = "array", repr(dtype), dtype.str, value.shape
    if dtype.names is not None:
        # Between fields there may be padding of any content.
        return digest(*head, walk.prints_of(value[name] for name in dtype.names))
    if dtype.hasobject or dtype.kind == "T":
        return digest(*head, walk.prints_of(value.ravel().tolist()))
    if dtype.char in "gG":
        return digest(*head, repr(list(map(repr, value.ravel()))))  # These have padding too.
    if value.nbytes == 0:
        return digest(*head)
    return digest(*head, memoryview(np.ascontiguousarray(value).reshape(-1).view(np.uint8)))


def _number(walk, value):
    return digest("number", walk.print_of(type(value)), _elements(walk, np.asarray(value)))


def _frame(walk, value):
    columns = [_values(walk, value.iloc[:, i]) for i in range(value.shape[1])]
    labels = walk.prints_of([value.index, value.columns, dict(value.attrs)])
    return digest("frame", walk.print_of(type(value)), labels, *columns)


def _series(walk, value):
    labels = walk.prints_of([value.index, value.name, dict(value.attrs)])
    return digest("series", walk.print_of(type(value)), labels, _values(walk, value))


def _index(walk, value):
    kind, names = walk.print_of(type(value)), walk.prints_of(value.names)
    if value.nlevels == 1:
        return digest("index", kind, names, _values(walk, value))
    levels = [value.get_level_values(i) for i in range(value.nlevels)]
    return digest("index", kind, names, *(_values(walk, level) for level in levels))


def _values(walk, value):
    """The cells of a column or an index."""
    if isinstance(value.dtype, np.dtype):
        return walk.print_of(value.to_numpy())
    return digest("extension", walk.print_of(value.array))


def _extension(walk, value):
    """An array of pandas; what it holds under a missing cell does not count."""
    kind = str(value.dtype)
    if hasattr(value, "categories"):
        parts = value.codes, value.categories, bool(value.ordered)
        return digest("categories", walk.prints_of(parts))
    is_missing = np.asarray(value.isna())
    cells = np.array(value, dtype=object)
    cells[is_missing] = None
    return digest("cells", kind, walk.prints_of([is_missing, cells]))


def _of_polars(walk, value):
    """A frame or a column of polars by its cells, however they are cut into chunks."""
    if hasattr(value, "columns"):
        columns = [_of_polars(walk, column) for column in value.get_columns()]
        return digest("polars frame", walk.print_of(type(value)), *columns)
    is_missing, kind = value.is_null().to_numpy(), repr(value.dtype)
    if value.dtype.is_numeric() and not value.dtype.is_decimal():
        # Under a missing cell there may be anything.
        cells = value.fill_null(0).to_numpy()
    else:
        cells = value.to_list()
    parts = value.name, kind, np.asarray(is_missing), cells
    return digest("polars", walk.print_of(type(value)), walk.prints_of(parts))


def _of_arrow(walk, value):
    """A table, a column or an array of pyarrow by its cells, however they are cut into chunks."""
    if hasattr(value, "column_names"):
        head = walk.prints_of([type(value), value.column_names, value.schema.metadata])
        return digest("arrow table", head, *(_of_arrow(walk, column) for column in value.columns))
    return digest(
        "arrow", walk.print_of(type(value)), str(value.type), walk.print_of(value.to_pylist())
    )


def _sparse(walk, value):
    if value.format not in ("csr", "csc", "bsr", "coo"):
        return digest(
            "sparse", value.format, walk.print_of(type(value)), _sparse(walk, value.tocoo())
        )
    parts = (value.data, *value.coords) if value.format == "coo" else _compressed(value)
    return digest("sparse", walk.print_of(type(value)), walk.prints_of([value.shape, *parts]))


def _compressed(value):
    return value.data, value.indices, value.indptr


def _tensor(walk, value):
    """A tensor: its numbers, type, device, and whether it has a gradient. No gradient itself."""
    if str(value.layout) != "torch.strided" or value.is_quantized:
        return digest("tensor in parts", walk.print_of(value.__reduce_ex__(4)))
    kind = walk.print_of(type(value)), str(value.dtype), value.device.type, value.requires_grad
    bits = value.detach().cpu().resolve_conj().resolve_neg().contiguous().reshape(-1)
    # As bytes, because numpy lacks some of torch's types.
    bits = bits.view(sys.modules["torch"].uint8).numpy() if len(bits) else np.empty(0)
    return digest("tensor", *kind, tuple(value.shape), walk.print_of(bits), walk.named(vars(value)))


def _torch_name(walk, value):
    """A dtype, layout or memory format, which have a name and nothing else."""
    return digest("torch name", value)


def _module(walk, value):
    """A module: parameters, buffers and parts in their order, hooks, mode, all plain attributes."""
    state = walk.state(value)
    hooks = {
        name: part for name, part in state.items() if "_hooks" in name and isinstance(part, dict)
    }
    # The number of a hook counts all hooks that a process ever had.
    order = {
        number: i for i, number in enumerate(sorted({k for part in hooks.values() for k in part}))
    }
    for name, part in hooks.items():
        state[name] = [(order[number], hook) for number, hook in part.items()]
    # Weights that are tied together are trained as one.
    first = {}
    weights = value.named_parameters(remove_duplicate=False)
    tied = [first.setdefault(id(weight), name) for name, weight in weights]
    return digest("module", walk.prints_of(tied), walk.instance(value, state))


def _optimizer(walk, value):
    return digest("optimizer", walk.print_of(type(value)), walk.print_of(value.state_dict()))


def _net(walk, value):
    # skorch pickles the parts of a net as files of torch, which are others each time.
    return walk.instance(value)


def _history(walk, value):
    """A history of skorch, without the seconds that each epoch took."""
    rows = [{name: part for name, part in row.items() if name != "dur"} for row in value]
    return digest("history", walk.print_of(type(value)), walk.print_of(rows))


def _timer(walk, value):
    state = walk.state(value)
    state.pop("epoch_start_time_", None)
    return walk.instance(value, state)


HANDLERS = {
    ("numpy", "ndarray"): _array,
    ("numpy", "generic"): _number,
    ("pandas", "DataFrame"): _frame,
    ("pandas", "Series"): _series,
    ("pandas", "Index"): _index,
    ("pandas", "ExtensionArray"): _extension,
    ("polars", "DataFrame"): _of_polars,
    ("polars", "Series"): _of_polars,
    ("pyarrow", "Table"): _of_arrow,
    ("pyarrow", "ChunkedArray"): _of_arrow,
    ("pyarrow", "Array"): _of_arrow,
    ("scipy", "spmatrix"): _sparse,
    ("scipy", "sparray"): _sparse,
    ("torch", "Tensor"): _tensor,
    ("torch", "dtype"): _torch_name,
    ("torch", "layout"): _torch_name,
    ("torch", "memory_format"): _torch_name,
    ("torch", "Module"): _module,
    ("torch", "Optimizer"): _optimizer,
    ("skorch", "NeuralNet"): _net,
    ("skorch", "History"): _history,
    ("skorch", "EpochTimer"): _timer,
}
