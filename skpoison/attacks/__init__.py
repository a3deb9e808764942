"""Attacks on training data, as scikit-learn estimators."""

from ._backdoor import BackdoorPatch
from ._base import BaseAttack
from ._base_feature import BaseFeatureAttack
from ._base_label import BaseLabelAttack
from ._chained import ChainedAttack
from ._label_flip import LabelFlip
from ._matching import GradientMatching
from ._pga import CleanLabelPGA
from ._projections import project_l2inf, project_l21
from ._random_noise import RandomNoise

__all__ = [
    "BackdoorPatch",
    "BaseAttack",
    "BaseFeatureAttack",
    "BaseLabelAttack",
    "ChainedAttack",
    "CleanLabelPGA",
    "GradientMatching",
    "LabelFlip",
    "RandomNoise",
    "project_l2inf",
    "project_l21",
]
