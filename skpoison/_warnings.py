"""Warnings that point to the line that called the package."""

import sys
import warnings

# Their frames may lie between the caller and the package: scikit-learn wraps every `transform`.
_BETWEEN = ("sklearn", "skorch", "joblib")


def warn_caller(message, category):
    """Warn at the line that called the package, whatever lies between it and the warning.

    A fixed ``stacklevel`` cannot do this: a fit has more frames under it in a stack or a study than
    alone, and some of them belong to other libraries.

    Parameters
    ----------
    message : str
    category : type
        Class of the warning.
    """
    frame, level, caller = sys._getframe(), 1, None
    while frame is not None:
        package = frame.f_globals.get("__name__", "").partition(".")[0]
        if package == "skpoison":
            caller = None
        elif caller is None and package not in _BETWEEN:
            caller = level
        frame, level = frame.f_back, level + 1
    warnings.warn(message, category, stacklevel=caller or level - 1)


def warn_no_row(owner, name, value, n_rows):
    """Warn that a strength over 0 selects no row at all, so that the estimator has no effect.

    Parameters
    ----------
    owner : estimator
        The attack or the defence.
    name : str
        Its parameter that selects rows.
    value : float
        The value of the parameter.
    n_rows : int
        Number of rows that it selects from.
    """
    warn_caller(
        f"`{name}` = {value} selects none of the {n_rows} rows: {type(owner).__name__} has no "
        "effect.",
        UserWarning,
    )
