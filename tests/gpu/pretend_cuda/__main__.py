"""Runs a script on the pretend GPU: ``python -m pretend_cuda SCRIPT ARGUMENT...``."""

import pretend_cuda.device  # noqa: F401  # first: before torch is imported

# isort: split
import os
import runpy
import sys

if __name__ == "__main__":
    sys.argv = sys.argv[1:]
    sys.path[0] = os.path.dirname(os.path.abspath(sys.argv[0]))
    runpy.run_path(sys.argv[0], run_name="__main__")
