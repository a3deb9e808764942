"""Each attack states its threat model, in words and in the terms of two taxonomies."""

import pytest

from makers import backdoor, chosen, flip, match, noise, pga
from skpoison import BaseAttack, BaseFeatureAttack, BaseLabelAttack, ChainedAttack

OURS = {
    "pga": pga(),
    "noise": noise(),
    "flip": flip(),
    "chosen": chosen(),
    "match": match(),
    "backdoor": backdoor(),
    "chain": ChainedAttack([noise(), flip()]),
}
CLASSES = {"availability poisoning", "targeted poisoning", "backdoor poisoning"}


@pytest.mark.parametrize("attack", OURS.values(), ids=OURS)
def test_attacks_of_the_package_state_all(attack):
    # Fails for a class that forgets its tags, or misspells one.
    assert attack.tags.keys() == BaseAttack.tags.keys()
    assert "not stated" not in attack.tags.values()
    assert attack.tags["nist_ai_100_2_e2025"] in CLASSES
    assert attack.tags["mitre_atlas"].startswith("AML.T0020")


def test_an_own_attack_inherits_and_adds():
    class Mine(BaseFeatureAttack):
        tags = BaseFeatureAttack.tags | {"goal": "to try"}

        def _perturb(self, X, y, random_state):
            return X * 0

    class Plain(BaseLabelAttack):
        def _relabel(self, X, codes, n_classes, random_state):
            return codes

    assert Mine().tags["goal"] == "to try"
    assert Mine().tags["capability"] == BaseFeatureAttack.tags["capability"]
    assert Plain().tags["goal"] == "not stated"
    assert "labels of training rows" in Plain().tags["capability"]


def test_an_attacker_who_ranks_rows_knows_more():
    assert flip().tags["knowledge"] != chosen().tags["knowledge"]


def test_a_chain_says_what_each_of_its_attacks_says():
    # Fails if only the first counts, or if one saying stands twice.
    tags = ChainedAttack([noise(), flip(), backdoor(), noise()]).tags
    assert tags["nist_ai_100_2_e2025"] == "availability poisoning; backdoor poisoning"
    assert tags["capability"].count("features of training rows") == 1
    assert ChainedAttack([]).tags == BaseAttack.tags
