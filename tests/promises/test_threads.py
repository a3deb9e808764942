"""One thread unless the user asks for more: bits do not depend on cores, and numbers come back."""

import json
import os
import queue
import random
import signal
import subprocess
import sys
import threading
import warnings
from pathlib import Path

import direct_calls
import numpy as np
import pytest
import torch
from joblib import parallel_config
from skorch.callbacks import Callback
from threadpoolctl import ThreadpoolController, threadpool_limits

from makers import X, Y, net, study
from skpoison import BaseFeatureAttack, _threads, use_threads
from skpoison._threads import limit_threads, one_thread
from world import torch_threads

# Bits. The suite pins torch to one thread, so other settings have a process of their own.


def digests(cores, threads, *part):
    """What `direct_calls.py` finds on so many cores, with this OMP_NUM_THREADS."""
    script = Path(__file__).with_name("direct_calls.py")
    done = subprocess.run(
        [sys.executable, script, str(cores), *part],
        env={**os.environ, "OMP_NUM_THREADS": str(threads), "PYTHONWARNINGS": "ignore"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


needs_cores = pytest.mark.skipif(
    not hasattr(os, "sched_getaffinity") or not {0, 1} <= os.sched_getaffinity(0),
    reason="needs two cores, and a way to use one of them",
)


@needs_cores
def test_direct_calls_have_the_bits_of_one_thread():
    # Fails if a direct call computes on as many threads as there are: its bits are others then.
    with one_thread(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = direct_calls.direct()
    assert digests(2, 2)["one"] == expected


@needs_cores
@pytest.mark.slow
@pytest.mark.timeout(900)
def test_bits_depend_on_neither_cores_nor_settings_nor_jobs():
    # Direct calls on one thread and on two that the user asks for, and studies with a linear
    # surrogate over jobs and backends.
    found = [digests(*setting, "whole") for setting in [(1, 1), (1, 2), (2, 1), (2, 2)]]
    assert all(other == found[0] for other in found)
    assert len(set(found[0]["studies"].values())) == 1
    # The comparison above could not fail if two threads rounded as one does.
    assert found[0]["one"]["pga"] != found[0]["two"]["pga"]


# Numbers of threads.

LIBRARIES = ThreadpoolController().lib_controllers


def numbers(user_api):
    """The different numbers of threads of the libraries, as the calling thread sees them."""
    return {library.num_threads for library in LIBRARIES if library.user_api == user_api}


def seen():
    return {"blas": numbers("blas"), "openmp": numbers("openmp"), "torch": torch.get_num_threads()}


def all_are(number):
    return {"blas": {number}, "openmp": {number}, "torch": number}


@pytest.fixture
def three():
    """Three threads everywhere, whatever the machine and its settings."""
    with torch_threads(3), threadpool_limits(3):
        yield


class Seeing(BaseFeatureAttack):
    """An attack that notes the numbers of threads."""

    found = []

    def _perturb(self, X, y, random_state):
        self.found.append(seen())
        with use_threads(2):
            self.found.append(seen())
        return 0 * X


def test_a_user_may_ask_for_more_threads(three):
    Seeing.found.clear()
    Seeing().poison(X, Y)
    assert Seeing.found == [all_are(1), all_are(2)]
    with use_threads(4):
        Seeing().poison(X, Y)
        assert seen() == all_are(4)
    assert Seeing.found[2:] == [all_are(4), all_are(2)]
    assert seen() == all_are(3)


@pytest.mark.parametrize("backend", ["sequential", "threading"])
def test_a_study_computes_on_one_thread_whatever_is_asked_for(backend, three):
    # Fails if the block counts in some jobs: then scores depend on `n_jobs`.
    Seeing.found.clear()
    with use_threads(2), parallel_config(backend, n_jobs=2):
        study(net(), attacks={"seeing": Seeing()}, cv=3)
    assert len(Seeing.found) == 6
    for found in Seeing.found:
        assert (found["blas"], found["openmp"]) == ({1}, {1})
    assert seen() == all_are(3)


@pytest.mark.parametrize("bad", [0, -1, 1.5, True, None, "2"])
def test_a_bad_number_is_refused(bad):
    kind = ValueError if type(bad) is int else TypeError
    with pytest.raises(kind, match=r"`n_threads` must be"), use_threads(bad):
        pass


def test_libraries_are_looked_for_where_there_are_new_modules_only(monkeypatch):
    # Fails if each small call pays milliseconds for it, or if a library that comes late is missed.
    looked = []

    def controller():
        looked.append(1)
        return ThreadpoolController()

    monkeypatch.setattr(_threads.threadpoolctl, "ThreadpoolController", controller)
    call = limit_threads(lambda: None)
    call()
    del looked[:]
    for _ in range(3):
        call()
        with one_thread(), use_threads(2):
            call()
    assert looked == []
    monkeypatch.setitem(sys.modules, "a_new_module", _threads)
    call()
    assert looked == [1]


class Hand(threading.Thread):
    """A thread that enters and leaves blocks as it is told."""

    def __init__(self):
        super().__init__(daemon=True)
        self.todo, self.done, self.blocks = queue.Queue(), queue.Queue(), []
        self.start()
        self.ask("look")

    def run(self):
        # OpenMP has a number for each thread.
        for library in LIBRARIES:
            if library.user_api == "openmp":
                library.set_num_threads(3)
        while (order := self.todo.get()) is not None:
            if order == "leave":
                self.blocks.pop()[0].__exit__(None, None, None)
            elif order != "look":
                block = one_thread() if order == 1 else use_threads(order)
                block.__enter__()
                self.blocks.append((block, order))
            self.done.put(seen())

    def ask(self, order):
        self.todo.put(order)
        return self.done.get(timeout=10)

    @property
    def wanted(self):
        """The number that holds for this thread; None outside all blocks."""
        orders = [order for _, order in self.blocks]
        return (1 if 1 in orders else orders[-1]) if orders else None


@pytest.mark.parametrize("seed", range(20))
def test_threads_that_come_and_go_keep_their_numbers(seed, three):
    # Fails if a thread that leaves gives others more threads, or the last one leaves one behind.
    draw, hands = random.Random(seed), [Hand() for _ in range(3)]
    for _ in range(60):
        hand = draw.choice(hands)
        leaves = hand.blocks and draw.random() < 0.55
        found = hand.ask("leave" if leaves else draw.choice([1, 1, 2, 4]))
        inside = [other.wanted for other in hands if other.blocks]
        assert found["blas"] == {min(inside, default=3)}
        for other in hands:
            found = other.ask("look")
            assert found["openmp"] == {other.wanted or 3}
            assert found["torch"] == (other.wanted or 3)
    for hand in hands:
        while hand.blocks:
            hand.ask("leave")
    for hand in hands:
        assert hand.ask("look") == all_are(3)
        hand.todo.put(None)
    assert seen() == all_are(3)


def test_two_studies_in_two_threads_bring_the_numbers_back(three):
    # Fails if each study restores what it found: the second to end has found one thread.
    first_is_in, second_is_in, first_is_out = (threading.Event() for _ in range(3))

    class First(BaseFeatureAttack):
        def _perturb(self, X, y, random_state):
            first_is_in.set()
            assert second_is_in.wait(10)
            return 0 * X

    class Second(BaseFeatureAttack):
        found = []

        def _perturb(self, X, y, random_state):
            second_is_in.set()
            assert first_is_out.wait(10)
            self.found.append(seen())
            return 0 * X

    def first():
        study(net(), attacks={"first": First()})
        first_is_out.set()

    threads = [threading.Thread(target=first)]
    threads[0].start()
    assert first_is_in.wait(10)
    threads.append(
        threading.Thread(target=study, args=(net(),), kwargs={"attacks": {"a": Second()}})
    )
    threads[1].start()
    for thread in threads:
        thread.join(30)
        assert not thread.is_alive()
    assert Second.found == [all_are(1)] * 2
    assert seen() == all_are(3)


# Forks.


def in_a_child(call, seconds=20):
    """Call in a forked child, and return its exit status; a deadlock ends by SIGALRM."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # Newer Pythons warn of any such fork.
        pid = os.fork()
    if pid == 0:
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(seconds)
        try:
            call()
            os._exit(0)
        except BaseException as error:
            print(repr(error), file=sys.__stderr__, flush=True)
            os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


class Waiting(Callback):
    """Holds a training up, until it is told to go on."""

    def __init__(self, is_in, go_on):
        self.is_in, self.go_on = is_in, go_on

    def on_epoch_end(self, net, **kwargs):
        self.is_in.set()
        assert self.go_on.wait(60)


needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")


@needs_fork
def test_a_child_trains_while_a_thread_of_its_parent_did(three):
    # Fails if the child inherits the lock of the parent's training, which nobody there releases.
    is_in, go_on = threading.Event(), threading.Event()
    busy = net(callbacks=[Waiting(is_in, go_on)])
    thread = threading.Thread(target=busy.fit, args=(X, Y))
    thread.start()
    assert is_in.wait(10)

    def child():
        net().fit(X, Y).predict(X)
        assert seen() == all_are(3), seen()

    try:
        assert in_a_child(child) == 0
    finally:
        go_on.set()
        thread.join(30)
    assert seen() == all_are(3)


@needs_fork
def test_a_child_changes_its_numbers_while_its_parent_did(three):
    # Fails if the lock that guards the numbers is inherited as it was.
    with _threads._CHANGING:
        assert in_a_child(limit_threads(lambda: None)) == 0
    with one_thread():
        assert in_a_child(lambda: np.testing.assert_equal(seen(), all_are(1))) == 0
    assert seen() == all_are(3)
