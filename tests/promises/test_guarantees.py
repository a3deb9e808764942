"""docs/guarantees.md names tests that there are, and what no test can run is read off the code."""

import ast
import re
from pathlib import Path

import skpoison

ROOT = Path(__file__).parents[2]


def test_every_test_that_is_named_exists():
    named = re.findall(r"(test_\w+\.py)::(test_\w+)", (ROOT / "docs/guarantees.md").read_text())
    assert len(named) > 50
    for file, name in named:
        (path,) = (ROOT / "tests").glob(f"*/{file}")
        tree = ast.parse(path.read_text())
        functions = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
        assert name in functions, f"{file} has no {name}"


def test_no_file_is_unpickled():
    # What `check_attack` pickles itself is no file; `memory` is the exception that the page names.
    # Fails for torch.load, pickle.load(s), joblib.load, numpy.load and skorch's load_params.
    for path in Path(skpoison.__file__).parent.rglob("*.py"):
        if path.name in ("_requirements.py", "_memory.py"):
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                call = ast.unparse(node.func)
                is_load = node.func.attr in ("load", "loads", "load_params") and call not in (
                    "json.loads",
                    "RobustnessCurve.load",
                )
                assert not is_load, f"{path}:{node.lineno} calls {call}"
