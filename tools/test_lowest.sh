#!/usr/bin/env bash
# Runs the test suite with the lowest versions that pyproject.toml allows, in a new virtualenv; without
# tests/gpu, because the pretend GPU is written against the torch of constraints.txt.
#     bash tools/test_lowest.sh [arguments of pytest]
set -euo pipefail
cd "$(dirname "$0")/.."
python3 -m venv .venv-lowest
.venv-lowest/bin/pip install -q -c constraints-lowest.txt -e ".[test]"
.venv-lowest/bin/pip list --format=freeze | grep -iE "^($(grep -o '^[a-z-]*' constraints-lowest.txt | paste -sd'|'))="
.venv-lowest/bin/python -m pytest --ignore=tests/gpu "$@"
