"""Training-data poisoning for scikit-learn: attacks, defences, nets and robustness curves."""

from . import theory
from ._threads import use_threads
from ._version import __version__
from .attacks import (
    BackdoorPatch,
    BaseAttack,
    BaseFeatureAttack,
    BaseLabelAttack,
    ChainedAttack,
    CleanLabelPGA,
    GradientMatching,
    LabelFlip,
    RandomNoise,
    project_l2inf,
    project_l21,
)
from .datasets import fetch_cifar10, fetch_mnist
from .defences import LossTrimming, PartitionEnsemble
from .modules import (
    MLP,
    AlexNet,
    CifarConvNet,
    Linear,
    MnistConvNet,
    ResNet18,
    TwoLayerReLU,
)
from .nets import NetClassifier, fit_many
from .study import (
    BudgetHeatmapDisplay,
    CertifiedAccuracyDisplay,
    ExcessRiskDisplay,
    PerturbationNormDisplay,
    PoisonedClassifier,
    RobustnessCurve,
    RobustnessCurveDisplay,
    RobustnessCurves,
    breaking_point,
    robustness_curve,
)

__all__ = [
    "MLP",
    "AlexNet",
    "BackdoorPatch",
    "BaseAttack",
    "BaseFeatureAttack",
    "BaseLabelAttack",
    "BudgetHeatmapDisplay",
    "CertifiedAccuracyDisplay",
    "ChainedAttack",
    "CifarConvNet",
    "CleanLabelPGA",
    "ExcessRiskDisplay",
    "GradientMatching",
    "LabelFlip",
    "Linear",
    "LossTrimming",
    "MnistConvNet",
    "NetClassifier",
    "PartitionEnsemble",
    "PerturbationNormDisplay",
    "PoisonedClassifier",
    "RandomNoise",
    "ResNet18",
    "RobustnessCurve",
    "RobustnessCurveDisplay",
    "RobustnessCurves",
    "TwoLayerReLU",
    "__version__",
    "breaking_point",
    "fetch_cifar10",
    "fetch_mnist",
    "fit_many",
    "project_l2inf",
    "project_l21",
    "robustness_curve",
    "theory",
    "use_threads",
]
