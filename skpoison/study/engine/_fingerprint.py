"""A hash of values that is the same in every process, and another for whatever differs.

`joblib.hash` would not do: it pickles its argument. Torch tensors and fitted nets have another
pickle in each process, and a pickle names classes and functions without what they do.
"""

from ._code import Code
from ._digest import NoFingerprint, digest
from ._origins import environment
from ._values import Walk


def fingerprint(value, code=None):
    """Hash a value, the code that it reaches, and the versions that all results depend on.

    Parameters
    ----------
    value : object
        Estimators, data, functions, classes, and containers of these.
    code : Code, default=None
        Holds the prints of code that earlier calls have met; None looks at all code anew.

    Returns
    -------
    fingerprint : str

    Raises
    ------
    NoFingerprint
        If something in it cannot be fingerprinted.
    """
    walk = Walk((code or Code()).print_of)
    try:
        return digest("whole", *environment(), walk.print_of(value)).hex()
    except NoFingerprint:
        raise
    except RecursionError:
        raise NoFingerprint("it is nested too deeply") from None
    except Exception as error:
        # The code of others (a `__reduce__`, a `__getstate__`) may raise anything.
        raise NoFingerprint(f"{type(error).__name__}: {error}") from error
