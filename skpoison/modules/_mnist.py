from torch import Tensor, nn

from ._size import check_size


class MnistConvNet(nn.Module):
    """The paper's convolutional net for MNIST, with a hidden layer of `width` units.

    Two convolutions [1, 10, 5] and [10, 20, 5] (input channels, output channels, kernel), each
    followed by ReLU and 2x2 max-pooling, then two fully connected layers [320, width] and
    [width, n_classes] with ReLU between (Section 5 of [1]_).

    Parameters
    ----------
    width : int, default=100
        Units in the hidden layer; the paper varies it from 10 to 100,000.
    n_classes : int, default=10
        Number of classes.

    Attributes
    ----------
    input_shape : tuple of int
        Shape of a row, (1, 28, 28). `NetClassifier` reshapes flat rows of 784 to it.

    References
    ----------
    .. [1] Wang, Mianjy, Arora, "Robust Learning for Data Poisoning Attacks", ICML 2021.

    Examples
    --------
    >>> import torch
    >>> from skpoison.modules import MnistConvNet
    >>> MnistConvNet(width=30)(torch.zeros(5, 1, 28, 28)).shape
    torch.Size([5, 10])
    """

    input_shape = (1, 28, 28)

    def __init__(self, width: int = 100, n_classes: int = 10) -> None:
        super().__init__()
        check_size(width, "width")
        self.layers: nn.Module = nn.Sequential(
            nn.Conv2d(1, 10, 5),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(10, 20, 5),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Flatten(),
            nn.Linear(320, width),
            nn.ReLU(),
            nn.Linear(width, n_classes),
        )

    def forward(self, X: Tensor) -> Tensor:
        """Logits of shape (n, n_classes) for images of shape (n, 1, 28, 28)."""
        return self.layers(X)
