"""Training-data poisoning for scikit-learn: attacks, nets, and robustness over capacity."""

from ._version import __version__
from .attacks import (
    BaseAttack,
    BaseFeatureAttack,
    BaseLabelAttack,
    ChainedAttack,
    CleanLabelPGA,
    LabelFlip,
    RandomNoise,
    project_l2inf,
    project_l21,
)
from .datasets import fetch_cifar10, fetch_mnist
from .modules import MLP, Linear, MnistConvNet
from .nets import NetClassifier
from .study import (
    PerturbationNormDisplay,
    PoisonedClassifier,
    RobustnessCurve,
    RobustnessCurveDisplay,
    robustness_curve,
)

__all__ = [
    "MLP",
    "BaseAttack",
    "BaseFeatureAttack",
    "BaseLabelAttack",
    "ChainedAttack",
    "CleanLabelPGA",
    "LabelFlip",
    "Linear",
    "MnistConvNet",
    "NetClassifier",
    "PerturbationNormDisplay",
    "PoisonedClassifier",
    "RandomNoise",
    "RobustnessCurve",
    "RobustnessCurveDisplay",
    "__version__",
    "fetch_cifar10",
    "fetch_mnist",
    "project_l2inf",
    "project_l21",
    "robustness_curve",
]
