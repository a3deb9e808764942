from collections.abc import Sequence
from typing import Any

from ._classifier import NetClassifier
from .stacks import fit_stacked


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
    seed, initialisation, order of batches, validation data and callbacks. But for rounding it
    becomes what `NetClassifier.fit` makes of it, whatever the others are; and where it is stacked
    as a chain of linear layers and ReLUs trained by plain SGD, its rounding does not depend on them
    either.

    Parameters
    ----------
    nets : list of NetClassifier
        The nets, fitted in place. They may differ: each group of equal architecture and training is
        stacked.
    data : list of tuple
        For each net (X, y), or (X, y, X_val, y_val), as `NetClassifier.fit` takes them.
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

    Notes
    -----
    Fitted one by one are: subclasses of `NetClassifier`, other losses than cross-entropy, other
    optimisers than SGD, modules with buffers or dropout, or that `torch.func.vmap` does not take,
    callbacks other than `EarlyStopping` and `LRScheduler`, data in other batches than full ones
    (fewer rows than a batch are one, up to 64).

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
