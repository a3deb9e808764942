"""Training-data poisoning for scikit-learn: attacks, nets, and robustness over capacity."""

from .attacks import (
    ChainedAttack,
    CleanLabelPGA,
    LabelFlip,
    RandomNoise,
    project_l2inf,
    project_l21,
)
from .modules import MLP, Linear, MnistConvNet
from .nets import NetClassifier

__version__ = "0.1.0.dev0"
