"""What a user's test of his own attacks looks like: shown in the documentation."""

import pytest
from own_attacks import BorderFlip, TowardsNextClass

from skpoison.testing import check_attack


@pytest.mark.parametrize("norm", ["l2,inf", "l2,1"])
def test_towards_next_class(norm):
    budget = {"l2,inf": 1.5, "l2,1": 25.0}[norm]
    check_attack(TowardsNextClass(norm=norm, budget=budget))


def test_border_flip():
    check_attack(BorderFlip(0.3))
