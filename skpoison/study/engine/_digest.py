"""The hash of a few parts, and the error where something has none."""

import hashlib


class NoFingerprint(TypeError):
    """Something cannot be fingerprinted; the message says what, and why."""


def digest(kind, *parts):
    """Hash a kind and its parts: bytes, memory of bytes, or values whose `str` tells them apart.

    The length stands before each part, so that ("ab", "c") and ("a", "bc") differ.
    """
    found = hashlib.blake2b(digest_size=20)
    for part in (kind, *parts):
        is_data = isinstance(part, (bytes, memoryview))
        data = part if is_data else str(part).encode("utf-8", "surrogatepass")
        found.update(b"%d:" % len(data))
        found.update(data)
    return found.digest()
