"""scikit-learn's own checks. Whatever is expected to fail is listed here with its reason."""

import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.utils.estimator_checks import parametrize_with_checks

from skpoison import (
    MLP,
    ChainedAttack,
    CleanLabelPGA,
    LabelFlip,
    LossTrimming,
    NetClassifier,
    PartitionEnsemble,
    PoisonedClassifier,
    RandomNoise,
)

POISONS = (
    "poisons what it is fitted on and nothing else: fit_transform differs from transform by design"
)
SKORCH = "skorch's constructor and set_params do more than assign"
EXPECTED = {
    CleanLabelPGA: {
        "check_transformer_general": POISONS,
        "check_transformer_data_not_an_array": POISONS,
    },
    RandomNoise: {
        "check_transformer_general": POISONS,
        "check_transformer_data_not_an_array": POISONS,
    },
    NetClassifier: {
        "check_no_attributes_set_in_init": SKORCH,
        "check_set_params": SKORCH,
    },
}
ESTIMATORS = [
    CleanLabelPGA(LogisticRegression(), clip=None),
    RandomNoise(clip=None),
    LabelFlip(),
    ChainedAttack([LabelFlip(random_state=0)]),
    PoisonedClassifier(LogisticRegression(), LabelFlip(0.1, random_state=0)),
    PoisonedClassifier(LogisticRegression(), attack=None),
    NetClassifier(MLP, max_epochs=30, batch_size=16, random_state=0),
    PartitionEnsemble(LogisticRegression(), n_partitions=5),
    LossTrimming(LogisticRegression()),
]


@parametrize_with_checks(
    ESTIMATORS, expected_failed_checks=lambda estimator: EXPECTED.get(type(estimator), {})
)
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_estimator_checks(estimator, check):
    check(estimator)
