from torch import nn


class Linear(nn.Sequential):
    """Multinomial logistic regression: one linear layer.

    Parameters
    ----------
    n_features : int
        Features in a row: the product of the trailing axes of X.
    n_classes : int
        Number of classes.

    Notes
    -----
    Inside `NetClassifier` both parameters are set from the data. This is the linear model of
    Sections 2 and 5 of [1]_. Like `MLP` it is an `nn.Sequential` without a `forward` of its own.

    References
    ----------
    .. [1] Wang, Mianjy, Arora, "Robust Learning for Data Poisoning Attacks", ICML 2021.

    Examples
    --------
    >>> import torch
    >>> from skpoison.modules import Linear
    >>> Linear(n_features=64, n_classes=10)(torch.zeros(5, 8, 8)).shape
    torch.Size([5, 10])
    """

    def __init__(self, n_features: int, n_classes: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Flatten(), nn.Linear(n_features, n_classes))
