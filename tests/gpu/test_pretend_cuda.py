"""The pretend GPU, and how tests marked gpu reach it."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from pretend_cuda import parent

pytestmark = pytest.mark.skipif(
    torch.backends.cuda.is_built(), reason="the pretend GPU is for a CPU build of torch"
)

TESTS = """
import os, sys, time
import pytest, torch

@pytest.fixture(scope="session")
def shared():
    return []

def test_ordinary():
    assert not torch.cuda.is_available()

@pytest.mark.gpu
@pytest.mark.parametrize("n", [1, 2])
def test_passes(n, shared, tmp_path):
    assert torch.cuda.is_available()
    shared.append(n)
    assert shared == list(range(1, n + 1))

@pytest.mark.gpu
def test_fails():
    print("what it printed")
    ten = 10
    assert ten == 11

@pytest.mark.gpu
def test_skips():
    pytest.skip("its reason")

@pytest.mark.gpu
def test_warns():
    import warnings
    warnings.warn("its warning")

@pytest.mark.gpu
def test_breaks_in_teardown(request):
    request.addfinalizer(lambda: 1 / 0)

@pytest.mark.gpu
@pytest.mark.timeout(1)
def test_hangs():
    time.sleep(100)

@pytest.mark.gpu
def test_dies():
    os.abort()

@pytest.mark.gpu
def test_after_a_death(shared):
    assert shared == []

def test_ordinary_again():
    assert not torch.cuda.is_available()

@pytest.mark.gpu
def test_waits(pytestconfig):
    with open(pytestconfig.rootpath / "part", "w") as file:
        file.write(str(os.getpid()))
    os.rename(pytestconfig.rootpath / "part", pytestconfig.rootpath / "process")
    time.sleep(100)
"""
CONFTEST = "from pretend_cuda.parent import pytest_runtest_protocol, pytest_sessionfinish"
SETTINGS = """
[pytest]
addopts = --strict-markers
markers = gpu
filterwarnings = error
timeout = 60
"""


def test_each_test_is_reported_under_its_own_name(tmp_path):
    # Fails if a test marked gpu is lost, is run in the parent, hides its failure, or ends the run;
    # or if Ctrl-C, which comes within the last test, leaves a process behind.
    (tmp_path / "conftest.py").write_text(CONFTEST)
    (tmp_path / "pytest.ini").write_text(SETTINGS)
    (tmp_path / "test_own.py").write_text(TESTS)
    paths = [str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")]
    process = subprocess.Popen(
        [sys.executable, "-m", "pytest", "-rA"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths), "CUDA_VISIBLE_DEVICES": ""},
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    while not (tmp_path / "process").exists() and process.poll() is None:
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    out, errors = process.communicate()
    # Where the environment variable CI is set, pytest gives whole messages here, of many lines.
    summary = out.partition("short test summary")[2].splitlines()
    outcomes = ("PASSED ", "SKIPPED ", "ERROR ", "FAILED ")
    lines = [line.split(" - ")[0] for line in summary if line.startswith(outcomes)]
    assert lines == [
        "PASSED test_own.py::test_ordinary",
        "PASSED test_own.py::test_passes[1]",
        "PASSED test_own.py::test_passes[2]",
        "PASSED test_own.py::test_breaks_in_teardown",
        "PASSED test_own.py::test_after_a_death",
        "PASSED test_own.py::test_ordinary_again",
        "SKIPPED [1] test_own.py:27: its reason",
        "ERROR test_own.py::test_breaks_in_teardown",
        "FAILED test_own.py::test_fails",
        "FAILED test_own.py::test_warns",
        "FAILED test_own.py::test_hangs",
        "FAILED test_own.py::test_dies",
    ], out + errors
    for text in (
        "assert 10 == 11",
        "what it printed",
        "UserWarning: its warning",
        "ZeroDivisionError",
        "Timeout (>1.0s)",
        "ended with code -6:\n",
        "Fatal Python error: Aborted",
        "KeyboardInterrupt",
    ):
        assert text in out, text
    assert errors == ""
    child = (tmp_path / "process").read_text()
    assert not Path("/proc", child).exists()


def test_without_a_compiler_an_error_says_what_to_install(request, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", "")
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    with pytest.raises(parent.Refused, match=r"apt-get install g\+\+"):
        parent.Child(request.config, [request.node])
