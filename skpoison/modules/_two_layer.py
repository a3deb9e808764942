import math

import torch
from torch import Tensor, nn


class TwoLayerReLU(nn.Module):
    """The two-layer net of the paper's theory: f(x) = (1/sqrt(m)) sum_s a_s relu(<w_s, x>).

    The signs a_s are drawn from {-1, 1} and stay fixed. The weights w_s start from N(0, I) and are
    trained. There are no biases (Section 3 of [1]_).

    The defaults are the paper's net. The other values show what its form does: without the factor
    1/sqrt(m), a step of SGD changes the output in proportion to m.

    Parameters
    ----------
    n_features : int
        Features in a row, the paper's d: the product of the trailing axes of X.
    width : int, default=100
        Hidden units, the paper's m.
    n_classes : int, default=2
        Must be 2.
    output_scale : float, default=None
        The factor in front of the sum; None: 1/sqrt(m).
    n_outputs : {1, 2}, default=1
        1: one sum f; the logits are [0, f]. 2: a sum for each class, with signs of its own; the
        logits are the two sums.

    Attributes
    ----------
    weight : torch.nn.Parameter of shape (width, n_features)
        The w_s.
    signs : torch.Tensor of shape (width,), or (width, 2) if `n_outputs` is 2
        The a_s, a buffer.
    output_scale : float
        The factor in front of the sum.

    Raises
    ------
    ValueError
        If `width` is under 1, `n_classes` is not 2, `n_outputs` is neither 1 nor 2, or
        `output_scale` is not over 0.

    Notes
    -----
    With one output the logits are [0, f]. So the cross-entropy is the logistic loss
    log(1 + exp(-y f)), where y is -1 for the first class and 1 for the second. Inside
    `NetClassifier`, `n_features` and `n_classes` are set from the data. Section 3 trains on rows of
    norm 1, in one pass, one row at a time, with the step `skpoison.theory.step_size`.

    References
    ----------
    .. [1] Wang, Mianjy, Arora, "Robust Learning for Data Poisoning Attacks", ICML 2021,
       Section 3.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn.preprocessing import normalize
    >>> from skpoison import NetClassifier
    >>> from skpoison.modules import TwoLayerReLU
    >>> X, y = load_digits(n_class=2, return_X_y=True)
    >>> net = NetClassifier(
    ...     TwoLayerReLU, module__width=64, lr=1.0, batch_size=1, max_epochs=1, random_state=0
    ... )
    >>> net.fit(normalize(X), y).score(normalize(X), y) > 0.9
    True
    """

    def __init__(
        self,
        n_features: int,
        width: int = 100,
        n_classes: int = 2,
        *,
        output_scale: float | None = None,
        n_outputs: int = 1,
    ) -> None:
        super().__init__()
        self.signs: Tensor
        if width < 1:
            raise ValueError(f"`width` must be >= 1, got {width}")
        if n_classes != 2:
            raise ValueError(f"`n_classes` must be 2 for TwoLayerReLU, got {n_classes}")
        if n_outputs not in (1, 2):
            raise ValueError(f"`n_outputs` must be 1 or 2, got {n_outputs}")
        if output_scale is not None and not output_scale > 0:
            raise ValueError(f"`output_scale` must be > 0, got {output_scale}")
        self.output_scale = 1 / math.sqrt(width) if output_scale is None else output_scale
        self.weight = nn.Parameter(torch.randn(width, n_features))
        shape = (width,) if n_outputs == 1 else (width, 2)
        self.register_buffer("signs", torch.randint(2, shape) * 2.0 - 1.0)

    def forward(self, X: Tensor) -> Tensor:
        """Logits of shape (n, 2) for rows of any shape (n, ...)."""
        hidden = torch.relu(X.flatten(1) @ self.weight.T)
        f = hidden @ self.signs * self.output_scale
        return torch.stack([torch.zeros_like(f), f], dim=1) if f.ndim == 1 else f
