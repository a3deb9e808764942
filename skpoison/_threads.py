"""How many threads compute: one, unless the user asks for more.

With more threads sums are rounded in another order. So their number, like a seed, is part of what
determines a result, and the number of cores must not choose it.
"""

import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any, TypeVar

import threadpoolctl
import torch

from ._validation import check_int

_Function = TypeVar("_Function", bound=Callable[..., Any])


@contextmanager
def use_threads(n_threads: int) -> Iterator[None]:
    """Let attacks, nets and defences compute with more than one thread, in a ``with`` block.

    Without it each of them computes on one thread, and gives the same bits on any number of cores.
    More threads can pay for large convolutions and for layers of some thousand units. A result is
    then that of `n_threads`: another number rounds in another way, and the same number gives the
    same bits wherever it is used.

    Parameters
    ----------
    n_threads : int
        Number of threads, >= 1. It may be larger than the number of cores.

    Raises
    ------
    TypeError, ValueError
        If `n_threads` is not an integer >= 1.

    Notes
    -----
    The block is about calls that its own thread makes. Studies (`robustness_curve` and others that
    take `n_jobs`) compute each fit on one thread, inside the block too: they use more cores by
    `n_jobs`. The libraries of linear algebra have one number of threads for the whole process.
    While several threads of the process are inside such blocks or inside calls of skpoison, that
    number is the smallest of theirs.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from skpoison import MLP, NetClassifier, use_threads
    >>> X, y = load_digits(return_X_y=True)
    >>> net = NetClassifier(MLP, module__width=4096, max_epochs=1, random_state=0)
    >>> with use_threads(2):
    ...     net = net.fit(X / 16, y)
    """
    n_threads = check_int(n_threads, "n_threads", low=1)
    with _computing_on(_own_number() if _OWN.is_fixed else n_threads):
        yield


def limit_threads(function: _Function) -> _Function:
    """Decorate a function, to run it on one thread or on as many as `use_threads` says."""

    @wraps(function)
    def limited(*args, **kwargs):
        if _own_number() is not None:
            return function(*args, **kwargs)
        with _computing_on(1):
            return function(*args, **kwargs)

    return limited  # type: ignore[return-value]


@contextmanager
def one_thread():
    """Compute on exactly one thread in the block, whatever `use_threads` says in it or around it.

    Studies and their workers do this, because a worker does not know what holds around the study.
    """
    was_fixed = _OWN.is_fixed
    with _computing_on(1):
        _OWN.is_fixed = True
        try:
            yield
        finally:
            _OWN.is_fixed = was_fixed


class _Own(threading.local):
    """What a thread knows of itself: its numbers before it came in, and if `one_thread` holds."""

    def __init__(self):
        self.outside = {}
        self.is_fixed = False


class _Torch:
    """Torch's number of threads, in the form of threadpoolctl's controllers of libraries."""

    filepath = "torch"

    @property
    def num_threads(self):
        return torch.get_num_threads()

    def set_num_threads(self, number):
        torch.set_num_threads(number)


class _Libraries:
    """The libraries that have a number of threads: one for each thread, or one for the process."""

    def __init__(self):
        self.of_thread, self.of_process = [], []
        self._n_modules = 0

    def refresh(self):
        """Look for new libraries. This takes milliseconds, and they come with new modules only."""
        if len(sys.modules) != self._n_modules:
            self._n_modules = len(sys.modules)
            self.of_thread, self.of_process = [], [_Torch()]
            for library in threadpoolctl.ThreadpoolController().lib_controllers:
                (self.of_thread if _is_per_thread(library) else self.of_process).append(library)


_OWN = _Own()
_LIBRARIES = _Libraries()
# By thread, the number that it computes with: only threads that are inside a block.
_INSIDE: dict[int, int] = {}
# By library, the number of the process before the first thread came in.
_OUTSIDE: dict[str, int] = {}
_CHANGING = threading.Lock()


def _own_number():
    return _INSIDE.get(threading.get_ident())


@contextmanager
def _computing_on(number):
    before = _own_number()
    if before == number:
        yield
        return
    try:
        _change_to(number)
        yield
    finally:
        _change_to(before)


def _change_to(number):
    """Let this thread compute with `number` threads; None: it leaves, with the numbers it had."""
    me = threading.get_ident()
    with _CHANGING:
        _LIBRARIES.refresh()
        if number is None:
            _INSIDE.pop(me, None)
        else:
            if me not in _INSIDE:
                _OWN.outside = _numbers_of_thread()
            _INSIDE[me] = number
        if _INSIDE:
            _set_process(min(_INSIDE.values()))
        else:
            # Only the last thread that leaves gives the others more than one thread again.
            _restore_process()
        # After the process: torch sets the number of this thread too.
        for library in _LIBRARIES.of_thread:
            own = _OWN.outside.get(library.filepath) if number is None else number
            if own is not None:
                library.set_num_threads(own)
        if number is None:
            _OWN.outside = {}


def _numbers_of_thread():
    numbers = {library.filepath: library.num_threads for library in _LIBRARIES.of_thread}
    # If torch meets this thread for the first time, it gives the thread the number of the process.
    # It shall do so here, and the thread shall leave with the number that others came in with.
    torch.get_num_threads()
    for library in _LIBRARIES.of_thread:
        if library.num_threads != numbers[library.filepath]:
            numbers[library.filepath] = _OUTSIDE.get(_Torch.filepath, library.num_threads)
    return numbers


def _set_process(number):
    for library in _LIBRARIES.of_process:
        found = library.num_threads
        _OUTSIDE.setdefault(library.filepath, found)
        # Torch tells the number of this thread, and not that of the process.
        if found != number or isinstance(library, _Torch):
            _assign(library, number)


def _restore_process():
    for library in _LIBRARIES.of_process:
        before = _OUTSIDE.get(library.filepath)
        if before is not None:  # There are libraries that do not tell.
            _assign(library, before)
    _OUTSIDE.clear()


# Newer versions of threadpoolctl let only one thread, which controls OpenBLAS, set its number.
_release_control = getattr(
    threadpoolctl.OpenBLASController, "clear_controlling_thread", lambda force: None
)


def _assign(library, number):
    _release_control(force=True)
    library.set_num_threads(number)
    _release_control(force=True)


def _is_per_thread(library):
    # The versions of threadpoolctl that let one thread control also set MKL for one thread only.
    is_mkl_of_thread = library.internal_api == "mkl" and hasattr(
        threadpoolctl.OpenBLASController, "clear_controlling_thread"
    )
    is_openmp = "openmp" in (library.user_api, getattr(library, "threading_layer", None))
    return is_openmp or is_mkl_of_thread


def _go_on_in_a_child():
    """After a fork only the thread that forked goes on; another may have held the lock."""
    global _CHANGING
    _CHANGING = threading.Lock()
    me = threading.get_ident()
    for thread in _INSIDE.keys() - {me}:
        del _INSIDE[thread]


if hasattr(os, "register_at_fork"):  # Windows has no forks.
    os.register_at_fork(after_in_child=_go_on_in_a_child)
