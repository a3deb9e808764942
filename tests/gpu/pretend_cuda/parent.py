"""Runs the tests marked gpu in a process of their own, where torch has no CUDA in this one.

The process is started for the first such test, has the pretend GPU, and ends with the session. It
sends back what pytest would report of each test.
"""

import os
import subprocess
import sys
import tempfile
import time
from multiprocessing.connection import Pipe
from pathlib import Path

import pytest
import torch

CHILD = pytest.StashKey()
# How long the process may take to end once it is told to.
SECONDS_TO_END = 10


class Died(Exception):
    """The process has ended within a test; says how, and what it wrote."""


class Refused(Exception):
    """There cannot be such a process; says why."""


class Child:
    """The process with the pretend GPU."""

    def __init__(self, config, items):
        self.connection, theirs = Pipe()
        # What it writes outside tests is read only if it dies.
        self.output = None if config.option.capture == "no" else tempfile.TemporaryFile()
        folder = str(Path(__file__).parent.parent)
        paths = filter(None, [folder, os.environ.get("PYTHONPATH")])
        self.process = subprocess.Popen(
            [sys.executable, "-m", "pretend_cuda.child", str(theirs.fileno())],
            cwd=config.invocation_params.dir,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
            stdout=self.output,
            stderr=None if self.output is None else subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C is for the parent
        )
        theirs.close()
        self.busy = True
        files = dict.fromkeys(str(item.path) for item in items)
        try:
            self._send([*arguments(config), *files])
            refusal = self._receive()
        except Died as error:
            refusal = str(error)
        if refusal is not None:
            self.close()
            raise Refused(refusal)
        self.busy = False

    def run(self, nodeid, next_nodeid):
        """Run a test; yields its reports in the form of pytest_report_to_serializable."""
        self.busy = True
        self._send((nodeid, next_nodeid))
        while (message := self._receive()) is not None:
            yield message
        self.busy = False

    def close(self):
        """End the process: at once if a test is under way."""
        try:
            if not self.busy:
                self._send(None)
                self.process.wait(SECONDS_TO_END)
        except (Died, subprocess.TimeoutExpired):
            pass
        finally:
            self.process.kill()
            self.process.wait()
            self.connection.close()
            if self.output is not None:
                self.output.close()

    def _send(self, message):
        try:
            self.connection.send(message)
        except OSError:
            raise self._death() from None

    def _receive(self):
        try:
            return self.connection.recv()
        except (EOFError, OSError):
            raise self._death() from None

    def _death(self):
        code = self.process.wait()
        said = ""
        if self.output is not None:
            self.output.seek(max(0, self.output.tell() - 8000))
            said = ":\n" + self.output.read().decode(errors="replace")
        return Died(f"the process with the pretend GPU has ended with code {code}{said}")


def arguments(config):
    """The command line of the process: what changes how a test runs or is reported."""
    option = config.option
    command = ["-c", str(config.inipath), "--rootdir", str(config.rootpath), "-o", "addopts="]
    command += ["-p", "no:cacheprovider", f"--tb={option.tbstyle}", f"--capture={option.capture}"]
    command += [f"-o{setting}" for setting in option.override_ini or ()]
    command += [f"-W{warning}" for warning in option.pythonwarnings or ()]
    command += ["-v"] * max(0, option.verbose) + ["--showlocals"] * bool(option.showlocals)
    if getattr(option, "timeout", None) is not None:
        command += [f"--timeout={option.timeout}"]
    return command


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_protocol(item, nextitem):
    if not goes_elsewhere(item):
        return None
    if item.config.pluginmanager.hasplugin("timeout"):
        # The process has a timer for each test; here, the time to start it would count, too.
        item.config.hook.pytest_timeout_cancel_timer(item=item)
    item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
    for report in reports_of(item, nextitem):
        item.ihook.pytest_runtest_logreport(report=report)
    item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
    # The test before this one has left set up in this process what it shares with this one.
    item.session._setupstate.teardown_exact(nextitem)
    return True


def pytest_sessionfinish(session):
    child = session.config.stash.get(CHILD, None)
    if isinstance(child, Child):
        child.close()


def goes_elsewhere(item):
    return item.get_closest_marker("gpu") is not None and not torch.cuda.is_available()


def reports_of(item, nextitem):
    config, start = item.config, time.time()
    stash = config.stash
    try:
        child = stash.get(CHILD, None)
        if isinstance(child, Refused):
            raise child
        if child is None:
            items = [other for other in item.session.items if goes_elsewhere(other)]
            child = stash[CHILD] = Child(config, items)
        following = nextitem.nodeid if nextitem is not None and goes_elsewhere(nextitem) else None
        for data in child.run(item.nodeid, following):
            yield config.hook.pytest_report_from_serializable(config=config, data=data)
    except (Died, Refused) as error:
        if isinstance(error, Refused):
            stash[CHILD] = error
        else:
            stash[CHILD].close()
            del stash[CHILD]
        stop = time.time()
        yield pytest.TestReport(
            item.nodeid,
            item.location,
            {},
            "failed",
            str(error),
            "call",
            duration=stop - start,
            start=start,
            stop=stop,
        )
