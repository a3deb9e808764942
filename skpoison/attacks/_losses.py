"""The losses that an attack maximises: functions of logits, one value for each row."""

from torch.nn import functional as F


def cross_entropy_by_row(logits, codes):
    """Cross-entropy of each row: l(z, y) = -z_y + log sum_k exp(z_k).

    Parameters
    ----------
    logits : torch.Tensor of shape (n, n_classes)
        The logits z.
    codes : torch.Tensor of shape (n,), int64
        Index of the label y of each row.

    Returns
    -------
    loss : torch.Tensor of shape (n,)

    Examples
    --------
    >>> import torch
    >>> cross_entropy_by_row(torch.tensor([[0.0, 0.0]]), torch.tensor([1]))
    tensor([0.6931])
    """
    return F.cross_entropy(logits, codes, reduction="none")


def negated_loss(logits, codes):
    """The paper's negated loss of each row: -l(-z, y), with l the cross-entropy.

    For two classes and z = (0, f) it is -log(1 + exp(m)), where m is the margin of the label. This
    is concave and lies below the 0-1 loss; the cross-entropy is convex and (divided by log 2) lies
    above it ([1]_, Section 5, "Attack strategy").

    Parameters
    ----------
    logits : torch.Tensor of shape (n, n_classes)
        The logits z.
    codes : torch.Tensor of shape (n,), int64
        Index of the label y of each row.

    Returns
    -------
    loss : torch.Tensor of shape (n,)
        Never positive.

    References
    ----------
    .. [1] Wang, Mianjy, Arora, "Robust Learning for Data Poisoning Attacks", ICML 2021.

    Examples
    --------
    >>> import torch
    >>> negated_loss(torch.tensor([[0.0, 0.0]]), torch.tensor([1]))
    tensor([-0.6931])
    """
    return -F.cross_entropy(-logits, codes, reduction="none")


LOSSES = {"negated": negated_loss, "cross_entropy": cross_entropy_by_row}

SIGNS = {"negated": -1.0, "cross_entropy": 1.0}
"""Each loss is s l(s z, y), where l is the cross-entropy and s this sign."""
