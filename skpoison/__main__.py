"""The commands of the package: ``python -m skpoison --help``."""

import sys

from .report import run_command

if __name__ == "__main__":
    sys.exit(run_command())
