"""scikit-learn's own checks. Whatever is expected to fail is listed here with its reason."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from skpoison import (
    MLP,
    ActivationClustering,
    BackdoorPatch,
    ChainedAttack,
    CleanLabelPGA,
    DeepKNN,
    FilteredClassifier,
    GradientMatching,
    LabelFlip,
    LossTrimming,
    NeighbourVote,
    NetClassifier,
    PartitionEnsemble,
    PoisonedClassifier,
    RandomNoise,
    SmoothedLabelClassifier,
    SpectralSignatures,
)

POISONS = (
    "poisons what it is fitted on and nothing else: fit_transform differs from transform by design"
)


class OfOwnRows(GradientMatching):
    """The checks make data of many shapes and labels: the first row is the target."""

    def _targets(self, cells, y):
        return cells.take(slice(1)), np.setdiff1d(y, y[:1])[:1]


UNREAD = (
    "an attack on labels takes any X, unread: objects, texts in one axis, rows without features"
)
SKORCH = "skorch's constructor and set_params do more than assign"
TAKES_ANY_X = {
    "check_dtype_object": UNREAD,
    "check_estimators_empty_data_messages": UNREAD,
    "check_fit1d": UNREAD,
}
EXPECTED = {
    CleanLabelPGA: {
        "check_transformer_general": POISONS,
        "check_transformer_data_not_an_array": POISONS,
    },
    RandomNoise: {
        "check_transformer_general": POISONS,
        "check_transformer_data_not_an_array": POISONS,
    },
    OfOwnRows: {
        "check_transformer_general": POISONS,
        "check_transformer_data_not_an_array": POISONS,
    },
    NetClassifier: {
        "check_no_attributes_set_in_init": SKORCH,
        "check_set_params": SKORCH,
    },
}
FEW_EPOCHS = NetClassifier(MLP, module__width=4, max_epochs=2, batch_size=16)
ESTIMATORS = [
    CleanLabelPGA(LogisticRegression(), clip=None),
    RandomNoise(clip=None),
    OfOwnRows(LogisticRegression(), ([[0.0]], [0]), clip=None, max_fraction=0.5, max_iter=5),
    BackdoorPatch([1.0]),
    LabelFlip(),
    LabelFlip(0.5, selection="margin", surrogate=LogisticRegression()),
    ChainedAttack([LabelFlip(random_state=0)]),
    PoisonedClassifier(LogisticRegression(), LabelFlip(0.1, random_state=0)),
    PoisonedClassifier(LogisticRegression(), attack=None),
    NetClassifier(MLP, max_epochs=30, batch_size=16, random_state=0),
    PartitionEnsemble(LogisticRegression(), n_partitions=5),
    LossTrimming(LogisticRegression()),
    SpectralSignatures(FEW_EPOCHS),
    ActivationClustering(FEW_EPOCHS),
    DeepKNN(FEW_EPOCHS),
    NeighbourVote(),
    NeighbourVote(transformer=StandardScaler()),
    FilteredClassifier(LogisticRegression(), NeighbourVote()),
    SmoothedLabelClassifier(),
]


def expected_failed_checks(estimator):
    # Weights go to the victim: an attack does not take a row of weight 2 for two rows.
    if isinstance(estimator, PoisonedClassifier) and estimator.attack is not None:
        reason = "an attack chooses among rows, whatever they weigh"
        checks = ("dense", "sparse")
        return {f"check_sample_weight_equivalence_on_{kind}_data": reason for kind in checks}
    if isinstance(estimator, ChainedAttack) or getattr(estimator, "selection", "") == "random":
        return TAKES_ANY_X
    return EXPECTED.get(type(estimator), {})


@parametrize_with_checks(ESTIMATORS, expected_failed_checks=expected_failed_checks)
@pytest.mark.filterwarnings("ignore:.* selects none of the:UserWarning")
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_estimator_checks(estimator, check):
    check(estimator)
