from collections.abc import Sequence
from typing import Any

from .._threads import limit_threads
from ._classifier import NetClassifier
from .stacks import fit_stacked


@limit_threads
def fit_many(
    nets: Sequence[NetClassifier],
    data: Sequence[Any],
    *,
    fused: bool | str = "auto",
    verbose: int = 0,
) -> Sequence[NetClassifier]:
    """Fit several nets, those of one architecture together, each as if it were fitted alone.

    A stack of nets takes its steps by batched operations, which for small nets takes a fraction of
    the time: most of the time of a small step goes into starting it. Each net has its own data,
    seed, initialisation, order of batches, validation data and callbacks. The result is that of
    `NetClassifier.fit` up to rounding, whatever the other nets are. On the CPU, the rounding does
    not depend on the other nets either if the net is a float32 chain of linear layers and ReLUs,
    trained by plain SGD.

    Parameters
    ----------
    nets : list of NetClassifier
        The nets, fitted in place. They may differ: each group of equal architecture and training is
        stacked.
    data : list of tuple
        For each net (X, y), (X, y, X_val, y_val) or (Dataset,), as `NetClassifier.fit` takes them.
    fused : {"auto", True, False}, default="auto"
        "auto" stacks where that is faster, by a rule that looks at sizes alone; True wherever it
        is possible; False nowhere.
    verbose : int, default=0
        Whether to print why nets were fitted one by one.

    Returns
    -------
    nets : list of NetClassifier
        The given nets.

    Raises
    ------
    ValueError
        If there is not one tuple of data for each net, or a net refuses its data.
    TypeError
        If `nets` holds anything but instances of `NetClassifier`.
    torch.OutOfMemoryError
        If the memory of a GPU is too small for a single net.

    Warns
    -----
    RuntimeWarning
        If the forward pass of a module waits for the GPU, so that its steps are no CUDA graph.

    Notes
    -----
    These nets are fitted one by one: subclasses of `NetClassifier`; nets with another loss than
    cross-entropy, another optimiser than SGD, callbacks other than `EarlyStopping` and
    `LRScheduler`, or a module with dropout or batch normalisation, that changes its buffers, or
    that `torch.func.vmap` refuses; nets given a Dataset; and nets with a batch that is not full. If
    there are fewer rows than `batch_size`, all of them make one batch; it counts as full if it has
    at most 64 rows.

    On a GPU, as many nets are trained at a time as fit into its free memory.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from skpoison import MLP, NetClassifier
    >>> from skpoison.nets import fit_many
    >>> X, y = load_digits(return_X_y=True)
    >>> nets = [NetClassifier(MLP, module__width=8, random_state=seed) for seed in range(5)]
    >>> [net.classes_.size for net in fit_many(nets, [(X / 16, y)] * 5)]
    [10, 10, 10, 10, 10]
    """
    return fit_stacked(nets, data, fused, verbose)
