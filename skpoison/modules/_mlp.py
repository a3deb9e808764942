from torch import nn

from ._size import check_size


class MLP(nn.Sequential):
    """Multi-layer perceptron with ReLU: `depth` hidden layers of `width` units each.

    Parameters
    ----------
    n_features : int
        Features in a row: the product of the trailing axes of X.
    n_classes : int
        Number of classes.
    width : int, default=100
        Units in each hidden layer.
    depth : int, default=1
        Number of hidden layers.

    Notes
    -----
    Inside `NetClassifier`, `n_features` and `n_classes` are set from the data, and a study of
    capacity varies ``module__width``. Weights have PyTorch's initial values, as in Section 5 of
    [1]_. The class is an `nn.Sequential` without a `forward` of its own. So `NetClassifier` and
    `fit_many` know that it is a chain of layers, and can train it without autograd.

    References
    ----------
    .. [1] Wang, Mianjy, Arora, "Robust Learning for Data Poisoning Attacks", ICML 2021.

    Examples
    --------
    >>> import torch
    >>> from skpoison.modules import MLP
    >>> MLP(n_features=64, n_classes=10, width=16)(torch.zeros(5, 64)).shape
    torch.Size([5, 10])
    """

    def __init__(self, n_features: int, n_classes: int, width: int = 100, depth: int = 1) -> None:
        super().__init__()
        check_size(width, "width")
        check_size(depth, "depth")
        layers: list[nn.Module] = [nn.Flatten()]
        for fan_in in [n_features] + [width] * (depth - 1):
            layers += [nn.Linear(fan_in, width), nn.ReLU()]
        self.layers = nn.Sequential(*layers, nn.Linear(width, n_classes))
