"""The keys of a study's results: what they have in common, and what each has besides."""

from functools import cached_property

from ..._warnings import warn_caller
from ._code import Code
from ._digest import NoFingerprint
from ._fingerprint import fingerprint


class Keys:
    """Keys of results that all depend on `common`.

    The code that makes the results runs inside a ``with`` statement. Code counts as it was when the
    first key that it belongs to was made, and what it changes in itself inside the statement, such
    as a class that counts its calls, is no edit.
    """

    def __init__(self, *common):
        self._common = common
        self._code = Code()
        self._reasons = set()

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self._code.settle()

    def of(self, *values):
        """The key of the result of `values`, or None, with a warning, if something has none."""
        return self._root and self._print_of((self._root, values))

    @cached_property
    def _root(self):
        """The fingerprint of what all results depend on, or None if it has none."""
        return self._print_of(self._common)

    def _print_of(self, value):
        try:
            return fingerprint(value, self._code)
        except NoFingerprint as error:
            reason = str(error)
        if reason not in self._reasons:
            self._reasons.add(reason)
            warn_caller(
                "`memory` keeps nothing that depends on what cannot be fingerprinted, and it is "
                f"computed anew each time: {reason}",
                UserWarning,
            )
        return None
