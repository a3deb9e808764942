"""What the check of attacks refuses, and in which words."""

from refusals import Refusals, check_refused
from skpoison import LabelFlip
from skpoison.testing import check_attack

TABLE = Refusals()
refuse = TABLE.refuse

refuse(
    "check_attack of a class",
    lambda: check_attack(LabelFlip),
    TypeError,
    "`attack` must be an instance, or a function .*, got .*LabelFlip",
)


@TABLE.each_case
def test_bad_input_is_refused(case):
    check_refused(case)
