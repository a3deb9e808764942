"""What fetchers of data refuse, and in which words."""

from refusals import Refusals, check_refused
from skpoison import fetch_cifar10, fetch_mnist

TABLE = Refusals()
refuse_each = TABLE.refuse_each

for fetch in (fetch_mnist, fetch_cifar10):
    name = fetch.__name__
    words = "`split` must be one of 'train', 'test', got {}"
    refuse_each(f"{name}.split", lambda v, f=fetch: f(split=v), ["val", None, 0], ValueError, words)
    words = "`verify` must be True or False, got {}"
    refuse_each(f"{name}.verify", lambda v, f=fetch: f(verify=v), [1, None, "x"], TypeError, words)


@TABLE.each_case
def test_bad_input_is_refused(case):
    check_refused(case)
