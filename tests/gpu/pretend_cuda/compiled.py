"""Compiles guard.cpp against the installed torch, once for each of both, and loads it.

torch asks once in a process whether there is CUDA, so this comes before ``import torch``.
"""

import ctypes
import importlib.metadata
import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
import zlib
from pathlib import Path

ROOT = Path(importlib.util.find_spec("torch").origin).parent
VERSION = importlib.metadata.version("torch")
SOURCE = Path(__file__).with_name("guard.cpp")
COMPILER = "g++"
NO_COMPILER = (
    f"the tests marked gpu run on a pretend GPU where there is no real one, and it is compiled "
    f"with {COMPILER}, which is not installed: install it (Debian: apt-get install {COMPILER}), "
    f'or leave these tests out with -m "not gpu"'
)
NO_PLACE = (
    "the tests marked gpu run on a pretend GPU where there is no real one, and it needs Linux and "
    "a torch that is built for the CPU (https://download.pytorch.org/whl/cpu): install this, or "
    'leave these tests out with -m "not gpu"'
)


def compile_guard():
    """The shared library of guard.cpp; it is kept in the folder for temporary files."""
    key = zlib.crc32(f"{ROOT} {VERSION} {SOURCE.read_text()}".encode())
    library = Path(tempfile.gettempdir()) / f"pretend_cuda_{os.getuid()}_{key}.so"
    if library.exists():
        return library
    if sys.platform != "linux" or (ROOT / "lib" / "libtorch_cuda.so").exists():
        raise RuntimeError(NO_PLACE)
    if shutil.which(COMPILER) is None:
        raise RuntimeError(NO_COMPILER)
    # Compiled under a name of its own: two processes may be here at once.
    part = library.with_suffix(f".{os.getpid()}")
    folders = [f"-I{ROOT}/include", f"-I{ROOT}/include/torch/csrc/api/include", f"-L{ROOT}/lib"]
    options = ["-O1", "-std=c++20", "-fPIC", "-shared", *folders]
    command = [COMPILER, *options, SOURCE, "-o", part, "-lc10", "-ltorch_cpu"]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode != 0:
        raise RuntimeError(f"{COMPILER} cannot compile {SOURCE}:\n{result.stderr[-4000:]}")
    os.replace(part, library)
    return library


if "torch" in sys.modules:
    raise ImportError("pretend_cuda.device must be imported before torch")
for _name in ("libc10.so", "libtorch_cpu.so"):
    ctypes.CDLL(str(ROOT / "lib" / _name), mode=ctypes.RTLD_GLOBAL)
_guard = ctypes.CDLL(str(compile_guard()), mode=ctypes.RTLD_GLOBAL)
DEVICE_COUNT = _guard.pretend_device_count()
set_device = _guard.pretend_set_device
current_stream_id = _guard.pretend_stream
set_stream_id = _guard.pretend_set_stream


def current_device():
    return _guard.pretend_device()
