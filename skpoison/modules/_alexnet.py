from torch import Tensor, nn


class AlexNet(nn.Module):
    """AlexNet for 32x32 colour images: five convolutions and three fully connected layers.

    Channels, dropout and layers are as in [1]_. Kernels are as in common ports to CIFAR-10: all are
    3x3, the first has stride 2, and 2x2 max-pooling follows the first, second and fifth
    convolution. This leaves 256 channels of 2x2. Dropout (rate 0.5) stands before the first and the
    second fully connected layer.

    Parameters
    ----------
    n_classes : int, default=10
        Number of classes.

    Attributes
    ----------
    input_shape : tuple of int
        Shape of a row, (3, 32, 32). `NetClassifier` reshapes flat rows of 3072 to it, in the order
        channels, rows, columns.

    Notes
    -----
    [2]_ uses an AlexNet as victim and as surrogate on CIFAR-10, but gives its layout only by a
    citation (Luo, 2018). The layout here is our choice, the one in general use. It has 23 million
    parameters. In a surrogate, which is in evaluation mode, dropout is off.

    References
    ----------
    .. [1] Krizhevsky, "One weird trick for parallelizing convolutional neural networks",
       arXiv:1404.5997, 2014.
    .. [2] Wang, Mianjy, Arora, "Robust Learning for Data Poisoning Attacks", ICML 2021, Section 5.

    Examples
    --------
    >>> import torch
    >>> from skpoison.modules import AlexNet
    >>> AlexNet()(torch.zeros(5, 3, 32, 32)).shape
    torch.Size([5, 10])
    """

    input_shape = (3, 32, 32)

    def __init__(self, n_classes: int = 10) -> None:
        super().__init__()
        self.layers: nn.Module = nn.Sequential(
            nn.Conv2d(3, 64, 3, stride=2, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(64, 192, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(192, 384, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(384, 256, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(256, 256, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Flatten(),
            nn.Dropout(),
            nn.Linear(1024, 4096),
            nn.ReLU(),
            nn.Dropout(),
            nn.Linear(4096, 4096),
            nn.ReLU(),
            nn.Linear(4096, n_classes),
        )

    def forward(self, X: Tensor) -> Tensor:
        """Logits of shape (n, n_classes) for images of shape (n, 3, 32, 32)."""
        return self.layers(X)
