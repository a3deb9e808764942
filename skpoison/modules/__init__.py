"""Torch modules for `NetClassifier`: the nets of the paper, and simple ones."""

from ._alexnet import AlexNet
from ._cifar import CifarConvNet
from ._linear import Linear
from ._mlp import MLP
from ._mnist import MnistConvNet
from ._resnet import ResNet18
from ._two_layer import TwoLayerReLU

__all__ = [
    "MLP",
    "AlexNet",
    "CifarConvNet",
    "Linear",
    "MnistConvNet",
    "ResNet18",
    "TwoLayerReLU",
]
