"""The package as a whole: who imports whom, what is public, how errors are worded."""

import ast
import inspect
import operator
import re
import sys
from pathlib import Path

import pytest

import skpoison
import skpoison.testing

ROOT = Path(skpoison.__file__).parent
FOUNDATION = {
    *(
        "_deterministic",
        "_files",
        "_frames",
        "_intervals",
        "_seeding",
        "_switches",
        "_threads",
        "_typing",
        "_validation",
        "_version",
        "_warnings",
    ),
}

# The table of the design: what each package may import, of ours and of others.
OURS = {
    "__main__": {"report"},
    "_files": set(),
    "_frames": set(),
    "_intervals": set(),
    "_deterministic": {"_switches"},
    "_switches": set(),
    "_threads": {"_validation"},
    "_warnings": set(),
    "_validation": {"_frames"},
    "_seeding": set(),
    "_typing": set(),
    "_version": set(),
    "attacks": FOUNDATION,
    "modules": set(),
    "nets": FOUNDATION,
    "study": FOUNDATION | {"nets"},
    "defences": FOUNDATION | {"nets"},
    "theory": {"_threads", "_typing", "_validation", "_warnings"},
    "datasets": {"_typing", "_validation"},
    "report": FOUNDATION | {"attacks", "defences", "study"},
    "testing": FOUNDATION | {"attacks", "study"},
}
OTHERS = {
    "__main__": set(),
    "_files": set(),
    "_frames": {"narwhals", "numpy", "scipy", "sklearn"},
    "_intervals": {"numpy", "scipy"},
    "_deterministic": {"torch"},
    "_switches": {"torch"},
    "_threads": {"threadpoolctl", "torch"},
    "_warnings": set(),
    "_validation": {"numpy", "sklearn"},
    "_seeding": {"sklearn"},
    "_typing": {"joblib", "numpy"},
    "_version": set(),
    "attacks": {"numpy", "sklearn", "torch"},
    "modules": {"torch"},
    "nets": {"numpy", "scipy", "sklearn", "skorch", "torch"},
    "study": {"numpy", "sklearn", "joblib", "tqdm"},
    "defences": {"narwhals", "numpy", "scipy", "sklearn", "torch"},
    "theory": {"numpy", "scipy", "sklearn"},
    "datasets": {"numpy", "pooch"},
    "report": {"narwhals", "numpy", "sklearn"},
    "testing": {"numpy", "scipy", "sklearn", "torch"},
}
# Only inside a function that needs them, so that they stay optional.
LAZY = {
    "study": {"pandas", "matplotlib"},
    "datasets": {"pooch"},
    "report": {"jinja2", "matplotlib", "pandas"},
    "testing": {"pandas"},
}
FILES = sorted(path for path in ROOT.rglob("*.py") if path != ROOT / "__init__.py")


def imports(path):
    """Pairs (package, is of ours, is inside a function) of a file's imports."""
    tree = ast.parse(path.read_text())
    depth = len(path.relative_to(ROOT).parts)
    inside = {
        node
        for function in ast.walk(tree)
        if isinstance(function, (ast.FunctionDef, ast.AsyncFunctionDef))
        for node in ast.walk(function)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name.split(".")[0], False, node in inside
        elif isinstance(node, ast.ImportFrom):
            if node.level == 0:
                yield node.module.split(".")[0], False, node in inside
            elif node.level == depth:
                names = [node.module] if node.module else [alias.name for alias in node.names]
                for name in names:
                    yield name.split(".")[0], True, node in inside


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_follow_the_table(path):
    room = path.relative_to(ROOT).parts[0].removesuffix(".py")
    standard = sys.stdlib_module_names
    for name, is_ours, is_lazy in imports(path):
        if is_ours:
            assert name in OURS[room] | {room}, f"{path} imports skpoison.{name}"
        elif name not in standard:
            allowed = OTHERS[room] | (LAZY.get(room, set()) if is_lazy else set())
            assert name in allowed, f"{path} imports {name}"


def test_table_catches_a_wrong_import(tmp_path, monkeypatch):
    # The test above must be able to fail: an attack that imports a net.
    monkeypatch.setattr(f"{__name__}.ROOT", tmp_path)
    path = tmp_path / "attacks" / "_bad.py"
    path.parent.mkdir()
    path.write_text("from ..nets import NetClassifier\n")
    with pytest.raises(AssertionError, match=r"imports skpoison\.nets"):
        test_imports_follow_the_table(path)


def test_no_package_imports_a_private_module_of_another():
    # The ground floor, skpoison/_name.py, is for all.
    for path in FILES:
        depth = len(path.relative_to(ROOT).parts)
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and node.level == depth and node.module:
                room, *inside = node.module.split(".")
                if not room.startswith("_"):
                    inside += [alias.name for alias in node.names]
                assert not any(name.startswith("_") for name in inside), f"{path}: {node.module}"


# Private to whoever reads them from another file, and read all the same, with the reason.
PRIVATE_USES = {
    ("nets/_classifier.py", "_set_training"): "skorch has no public way to set the mode of all",
    ("nets/_classifier.py", "_optimizers"): "nor to ask which optimisers there are",
}
# torch gives no other access to these; a namedtuple's methods are public.
NOT_COUNTED = {
    *("_optimizer_step_pre_hooks", "_optimizer_step_post_hooks", "_opt_called", "_modules"),
    *("_replace", "_asdict", "_fields"),
}


def defined_names(tree):
    """Names of methods, and of attributes that are set, in the classes of a file."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef):
            for inner in ast.walk(node):
                if isinstance(inner, (ast.FunctionDef, ast.AsyncFunctionDef)):
                    yield inner.name
                elif isinstance(inner, ast.Attribute) and isinstance(inner.ctx, ast.Store):
                    if ast.unparse(inner.value) in ("self", "cls"):
                        yield inner.attr
                elif isinstance(inner, ast.Name) and isinstance(inner.ctx, ast.Store):
                    yield inner.id


def private_uses(path, of_the_package):
    """Names ``x._name`` that a file reads of an object whose class stands in another file.

    Of ``self`` these are the names that no class of the package defines: those of a base class
    of another package.
    """
    tree = ast.parse(path.read_text())
    own = set(defined_names(tree))
    modules = {
        alias.asname or alias.name
        for node in ast.walk(tree)
        if isinstance(node, (ast.Import, ast.ImportFrom))
        for alias in node.names
    }
    for node in ast.walk(tree):
        if not isinstance(node, ast.Attribute) or not re.match("_[^_]", node.attr):
            continue
        of = node.value
        if isinstance(of, ast.Name) and of.id in modules:
            continue
        is_self = isinstance(of, ast.Name) and of.id in ("self", "cls")
        is_super = isinstance(of, ast.Call) and ast.unparse(of.func) == "super"
        known = of_the_package if is_self or is_super else own
        if node.attr not in known | NOT_COUNTED:
            yield node.attr


def test_no_file_reads_private_members_of_another():
    of_the_package = {name for path in FILES for name in defined_names(ast.parse(path.read_text()))}
    found = {
        (path.relative_to(ROOT).as_posix(), name)
        for path in FILES
        for name in private_uses(path, of_the_package)
    }
    assert found == PRIVATE_USES.keys()
    assert len(PRIVATE_USES) <= 4


def test_a_private_use_is_found(tmp_path):
    # The test above must be able to fail.
    path = tmp_path / "_bad.py"
    path.write_text(
        "class A:\n    def _own(self, net):\n        net._chain(); self._own(); net._own()\n"
        "        return self._of_skorch, super()._begin\n"
    )
    assert list(private_uses(path, {"_own"})) == ["_chain", "_of_skorch", "_begin"]


PUBLIC = [name for name in skpoison.__all__ if name not in ("__version__", "theory")]
PUBLIC += [f"theory.{name}" for name in skpoison.theory.__all__]
PUBLIC += [f"testing.{name}" for name in skpoison.testing.__all__]


def find(name):
    return operator.attrgetter(name)(skpoison)


@pytest.mark.parametrize("name", PUBLIC)
def test_public_names_are_documented(name):
    thing = find(name)
    doc = inspect.getdoc(thing)
    assert doc.splitlines()[0].endswith("."), "the first line is a sentence"
    assert ">>>" in doc, "an example that doctest runs"
    methods = inspect.getmembers(thing, inspect.isfunction) if inspect.isclass(thing) else []
    for method_name, method in methods:
        own = method.__module__.startswith("skpoison") and not method_name.startswith("_")
        assert not own or inspect.getdoc(method), f"{name}.{method_name} has no docstring"


@pytest.mark.parametrize("name", PUBLIC)
def test_parameters_are_documented(name):
    thing = find(name)
    if name == "BaseAttack":
        return
    doc = inspect.getdoc(thing)
    for parameter in inspect.signature(thing).parameters.values():
        # skorch's own parameters stand under **kwargs in the docstring of NetClassifier.
        passed_on = ("criterion", "train_split", "iterator_train", "iterator_valid")
        if name == "NetClassifier" and parameter.name in passed_on:
            continue
        assert re.search(rf"\b{parameter.name}\b", doc), f"{name} leaves {parameter.name} out"


# Where skorch lets a subclass in: a user does not call them.
SKORCH_HOOKS = {
    f"NetClassifier.{name}"
    for name in (
        *("check_data", "device", "get_iterator", "get_loss", "get_params", "get_split_datasets"),
        *("initialize", "initialize_module", "initialize_optimizer", "notify", "run_single_epoch"),
    )
}


@pytest.mark.parametrize("name", PUBLIC)
def test_public_signatures_are_typed(name):
    # mypy is content with a signature that says nothing.
    thing = find(name)
    functions = [thing] if inspect.isfunction(thing) else inspect.getmembers_static(thing)
    for function in functions:
        if isinstance(function, tuple):
            method, function = function
            if method.startswith("_") and method != "__init__":
                continue
            function = getattr(function, "__func__", getattr(function, "fget", function))
        if not inspect.isfunction(function) or not function.__module__.startswith("skpoison"):
            continue
        if function.__qualname__.startswith(("Peak.", "__create_fn__")):
            continue
        if function.__qualname__ in SKORCH_HOOKS:
            continue
        signature = inspect.signature(function)
        assert signature.return_annotation is not inspect.Signature.empty, f"{name}: {function}"
        for parameter in signature.parameters.values():
            if parameter.name not in ("self", "cls"):
                assert parameter.annotation is not inspect.Parameter.empty, f"{name}: {parameter}"
