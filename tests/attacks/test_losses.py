import math

import torch
from hypothesis import given
from hypothesis import strategies as st

from skpoison.attacks._losses import cross_entropy_by_row, negated_loss

margins = st.floats(-30, 30)


def binary(loss, margin):
    """The loss of label 1 with logits (0, margin)."""
    logits = torch.tensor([[0.0, margin]], dtype=torch.float64)
    return loss(logits, torch.tensor([1])).item()


@given(margins)
def test_binary_forms(margin):
    # The paper's l(z) = log(1 + exp(-z)) and -l(-z) = -log(1 + exp(z)).
    assert abs(binary(cross_entropy_by_row, margin) - math.log1p(math.exp(-margin))) < 1e-9
    assert abs(binary(negated_loss, margin) + math.log1p(math.exp(margin))) < 1e-9


@given(margins, margins, st.floats(0, 1))
def test_negated_loss_is_concave_in_the_margin(a, b, share):
    # Fails for the cross-entropy, which is convex.
    middle = binary(negated_loss, share * a + (1 - share) * b)
    chord = share * binary(negated_loss, a) + (1 - share) * binary(negated_loss, b)
    assert middle >= chord - 1e-9


@given(st.lists(st.floats(-30, 30), min_size=3, max_size=3), st.integers(0, 2))
def test_losses_enclose_the_zero_one_loss(logits, label):
    # Fails if the sign of either is dropped. log 2 scales the upper bound to 1 at margin 0.
    z = torch.tensor([logits], dtype=torch.float64)
    wrong = float(z[0, label] < z[0].max())
    code = torch.tensor([label])
    assert negated_loss(z, code).item() <= wrong
    assert cross_entropy_by_row(z, code).item() / math.log(2) >= wrong - 1e-9


def test_losses_keep_rows_apart():
    z = torch.randn(5, 4, generator=torch.Generator().manual_seed(0))
    codes = torch.tensor([0, 1, 2, 3, 0])
    for loss in (cross_entropy_by_row, negated_loss):
        alone = torch.cat([loss(z[i : i + 1], codes[i : i + 1]) for i in range(5)])
        torch.testing.assert_close(loss(z, codes), alone)
