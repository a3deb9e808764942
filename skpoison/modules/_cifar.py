from torch import Tensor, nn

from ._size import check_size


class CifarConvNet(nn.Module):
    """The paper's convolutional net for CIFAR-10, with a hidden layer of `width` units.

    Two convolutions [3, 6, 5] and [6, 16, 5] (input channels, output channels, kernel), each
    followed by ReLU and 2x2 max-pooling, then three fully connected layers [400, 120],
    [120, width] and [width, n_classes] with ReLU between (Section 5 of [1]_). The paper does not
    mention the pooling here. But 400 inputs are 16 channels of 5x5, which two poolings leave.

    Parameters
    ----------
    width : int, default=100
        Units in the last hidden layer; the paper varies it from 10 to 100,000.
    n_classes : int, default=10
        Number of classes.

    Attributes
    ----------
    input_shape : tuple of int
        Shape of a row, (3, 32, 32). `NetClassifier` reshapes flat rows of 3072 to it, in the order
        channels, rows, columns.

    References
    ----------
    .. [1] Wang, Mianjy, Arora, "Robust Learning for Data Poisoning Attacks", ICML 2021.

    Examples
    --------
    >>> import torch
    >>> from skpoison.modules import CifarConvNet
    >>> CifarConvNet(width=30)(torch.zeros(5, 3, 32, 32)).shape
    torch.Size([5, 10])
    """

    input_shape = (3, 32, 32)

    def __init__(self, width: int = 100, n_classes: int = 10) -> None:
        super().__init__()
        check_size(width, "width")
        self.layers: nn.Module = nn.Sequential(
            nn.Conv2d(3, 6, 5),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(6, 16, 5),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Flatten(),
            nn.Linear(400, 120),
            nn.ReLU(),
            nn.Linear(120, width),
            nn.ReLU(),
            nn.Linear(width, n_classes),
        )

    def forward(self, X: Tensor) -> Tensor:
        """Logits of shape (n, n_classes) for images of shape (n, 3, 32, 32)."""
        return self.layers(X)
