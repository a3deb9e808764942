"""What modules refuse, and in which words."""

from makers import X, Y, net
from refusals import Refusals, check_refused
from skpoison import MLP, TwoLayerReLU

TABLE = Refusals()
refuse = TABLE.refuse

refuse("MLP depth", lambda: MLP(6, 4, depth=0), ValueError, "`depth` must be .*>= 1, got 0")
refuse("TwoLayerReLU width", lambda: TwoLayerReLU(6, 0), ValueError, "`width` must be >= 1, got 0")
refuse("TwoLayerReLU classes", lambda: TwoLayerReLU(6, 3, 4), ValueError, "`n_classes` must be 2")
refuse(
    "TwoLayerReLU in a net",
    lambda: net(module=TwoLayerReLU).fit(X, Y),
    ValueError,
    "`n_classes` must be 2 for TwoLayerReLU, got 4",
)


@TABLE.each_case
def test_bad_input_is_refused(case):
    check_refused(case)
