"""Torch modules with a `width`: nothing else than layers."""

from ._linear import Linear
from ._mlp import MLP
from ._mnist import MnistConvNet
from ._two_layer import TwoLayerReLU

__all__ = ["MLP", "Linear", "MnistConvNet", "TwoLayerReLU"]
