"""Attacks on training data, as scikit-learn estimators."""

from ._base import BaseAttack, BaseFeatureAttack
from ._base_label import BaseLabelAttack
from ._chained import ChainedAttack
from ._label_flip import LabelFlip
from ._pga import CleanLabelPGA
from ._projections import project_l2inf, project_l21
from ._random_noise import RandomNoise

__all__ = [
    "BaseAttack",
    "BaseFeatureAttack",
    "BaseLabelAttack",
    "ChainedAttack",
    "CleanLabelPGA",
    "LabelFlip",
    "RandomNoise",
    "project_l2inf",
    "project_l21",
]
