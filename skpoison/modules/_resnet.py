from torch import Tensor, nn
from torch.nn import functional as F


class ResNet18(nn.Module):
    """ResNet-18 for 32x32 colour images: four stages of two residual blocks each.

    The blocks and widths (64, 128, 256, 512) are as in [1]_. The first layer is the one in general
    use on CIFAR-10: a 3x3 convolution of stride 1, without max-pooling, so that the stages
    see 32x32, 16x16, 8x8 and 4x4. Shortcuts that change the shape are 1x1 convolutions with batch
    normalisation. The last layers are average pooling and one fully connected layer.

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
    [2]_ (Appendix A) uses a ResNet-18 as victim on CIFAR-10 and does not print its layout; the
    layout here is our choice. It has 11 million parameters. In a surrogate, which is in evaluation
    mode, batch normalisation uses the running statistics of the training.

    References
    ----------
    .. [1] He, Zhang, Ren, Sun, "Deep Residual Learning for Image Recognition", CVPR 2016.
    .. [2] Wang, Mianjy, Arora, "Robust Learning for Data Poisoning Attacks", ICML 2021.

    Examples
    --------
    >>> import torch
    >>> from skpoison.modules import ResNet18
    >>> ResNet18()(torch.zeros(5, 3, 32, 32)).shape
    torch.Size([5, 10])
    """

    input_shape = (3, 32, 32)

    def __init__(self, n_classes: int = 10) -> None:
        super().__init__()
        self.layers: nn.Module = nn.Sequential(
            *_convolution(3, 64),
            nn.ReLU(),
            _Block(64, 64),
            _Block(64, 64),
            _Block(64, 128, stride=2),
            _Block(128, 128),
            _Block(128, 256, stride=2),
            _Block(256, 256),
            _Block(256, 512, stride=2),
            _Block(512, 512),
            nn.AvgPool2d(4),
            nn.Flatten(),
            nn.Linear(512, n_classes),
        )

    def forward(self, X: Tensor) -> Tensor:
        """Logits of shape (n, n_classes) for images of shape (n, 3, 32, 32)."""
        return self.layers(X)


class _Block(nn.Module):
    """Two 3x3 convolutions beside a shortcut: relu(g(x) + shortcut(x))."""

    def __init__(self, fan_in, fan_out, stride=1):
        super().__init__()
        self.residual = nn.Sequential(
            *_convolution(fan_in, fan_out, stride=stride),
            nn.ReLU(),
            *_convolution(fan_out, fan_out),
        )
        self.shortcut = nn.Sequential()
        if fan_in != fan_out:
            self.shortcut = nn.Sequential(*_convolution(fan_in, fan_out, kernel=1, stride=stride))

    def forward(self, X):
        return F.relu(self.residual(X) + self.shortcut(X))


def _convolution(fan_in, fan_out, kernel=3, stride=1):
    """A convolution that keeps the size of images (unless it has a stride), and batch norm."""
    padding = kernel // 2
    return (
        nn.Conv2d(fan_in, fan_out, kernel, stride=stride, padding=padding, bias=False),
        nn.BatchNorm2d(fan_out),
    )
