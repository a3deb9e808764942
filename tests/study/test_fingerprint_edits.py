"""Files are edited between two processes: what an edit reaches is computed again, and no more."""

import json
import subprocess
import sys
import textwrap

import pytest

# A study of own code: an attack, a net and a scorer, and what they reach.
FILES = {
    "study.py": """
        import functools
        import numpy as np
        import torch
        import beside
        import built
        import developed
        import installed
        import linked
        import parts.inner
        import passed
        import whole
        from beside import imported
        from skpoison import NetClassifier
        from skpoison.attacks import BaseLabelAttack

        SHIFT = 1
        TABLE = {"shift": [1]}

        def unreached(value):
            return value + 1

        def helper(codes):
            # A comment.
            return (lambda: codes + SHIFT)() + TABLE["shift"][0]

        def counted(function):
            @functools.wraps(function)
            def call(*args):
                return function(*args) + 0
            return call

        def looked_up(name):
            return getattr(passed, name.upper()) + whole.looked_up(name)

        def adding(number):
            return lambda codes: codes + number

        class Base(BaseLabelAttack):
            def moved(self, codes):
                return codes + 1

        class Attack(Base):
            shifts = [1, 1]
            add = staticmethod(adding(1))

            def __init__(self, random_state=0):
                self.random_state = random_state

            @property
            def half(self):
                return 2

            @counted
            def decorated(self, codes):
                return codes + 1

            def _relabel(self, X, codes, n_classes, random_state, more=1):
                import late
                from parts import leaf
                codes = self.moved(helper(codes)) + self.shifts[0] + self.half + more
                codes = self.decorated(self.add(codes)) + beside.CONSTANT + beside.far(codes)
                codes = imported(codes) + late.LATE + parts.inner.INNER + leaf.LEAF
                codes = codes + looked_up("name")
                codes = codes + installed.ONE + linked.ONE + built.ONE + developed.ONE
                return codes % n_classes

        class Block(torch.nn.Module):
            def __init__(self):
                super().__init__()
                self.layer = torch.nn.Linear(4, 2)

            def forward(self, X):
                return self.layer(X) * 1.0

        class Scale(torch.nn.Module):
            def forward(self, X):
                return X * self.scale

        class Net(torch.nn.Module):
            def __init__(self, scale):
                super().__init__()
                self.block = Block()
                self.scale = scale

            def forward(self, X):
                return self.scale(self.block(X))

        def weigh(right):
            return float(right.mean()) * 1.0

        def score(estimator, X, y):
            return weigh(estimator.predict(X) == y)

        scale = Scale()
        scale.scale = 1.0
        estimator = NetClassifier(Net, module__scale=scale, max_epochs=1, batch_size=8)
    """,
    "beside.py": """
        import torch
        CONSTANT = 1
        UNREACHED = 1
        def farther(codes):
            return codes * 0
        def far(codes):
            return farther(codes)
        def imported(codes):
            return codes + 1
    """,
    "late.py": "LATE = 1",
    "passed.py": "NAME = 1",
    "whole.py": """
        NAME = 1
        def looked_up(name):
            return globals()[name.upper()]
    """,
    "parts/__init__.py": "",
    "parts/inner.py": "INNER = 1",
    "parts/leaf.py": "LEAF = 1",
    # Installed here, so that it counts with its version.
    "installed.py": "ONE = 1",
    "installed-1.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: installed\nVersion: 1.0\n",
    "installed-1.0.dist-info/RECORD": "installed.py,,\ninstalled-1.0.dist-info/METADATA,,\n",
    # Installed from a folder: it counts with the hashes of its files too.
    "built.py": "ONE = 1",
    "built-1.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: built\nVersion: 1.0\n",
    "built-1.0.dist-info/RECORD": "built.py,sha256=abc,7\n",
    "built-1.0.dist-info/direct_url.json": '{"url": "file:///", "dir_info": {}}',
    # What `setup.py develop` leaves beside the code.
    "developed.py": "ONE = 1",
    "developed.egg-info/PKG-INFO": "Metadata-Version: 2.1\nName: developed\nVersion: 1.0\n",
    "developed.egg-info/top_level.txt": "developed\n",
    "developed.egg-info/SOURCES.txt": "developed.py\n",
    # An editable install.
    "linked.py": "ONE = 1",
    "linked-1.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: linked\nVersion: 1.0\n",
    "linked-1.0.dist-info/RECORD": "linked.py,,\nlinked-1.0.dist-info/METADATA,,\n",
    "linked-1.0.dist-info/direct_url.json": '{"url": "file:///", "dir_info": {"editable": true}}',
}

# The file, what stands there and what replaces it; which results the edit makes anew.
EDITS = {
    "a helper": ("study.py", "codes + SHIFT", "codes - SHIFT", "attack"),
    "a constant": ("study.py", "SHIFT = 1", "SHIFT = 2", "attack"),
    "a constant in a container": ("study.py", '{"shift": [1]}', '{"shift": [2]}', "attack"),
    "a list in the class": ("study.py", "shifts = [1, 1]", "shifts = [2, 1]", "attack"),
    "a base class": (
        "study.py",
        "        return codes + 1\n\nclass Attack",
        "        return codes + 2\n\nclass Attack",
        "attack",
    ),
    "a closure": ("study.py", "staticmethod(adding(1))", "staticmethod(adding(2))", "attack"),
    "a property": ("study.py", "return 2\n", "return 4\n", "attack"),
    "a decorator": (
        "study.py",
        "return function(*args) + 0",
        "return function(*args) + 2",
        "attack",
    ),
    "a decorated method": (
        "study.py",
        "        return codes + 1\n\n    def _relabel",
        "        return codes + 3\n\n    def _relabel",
        "attack",
    ),
    "a default": ("study.py", "random_state, more=1", "random_state, more=2", "attack"),
    "a constant beside": ("beside.py", "CONSTANT = 1", "CONSTANT = 2", "attack"),
    "a function beside": ("beside.py", "return codes * 0", "return codes * 0 + 1", "attack"),
    "an imported function": ("beside.py", "return codes + 1", "return codes + 2", "attack"),
    "an import in a function": ("late.py", "LATE = 1", "LATE = 2", "attack"),
    "a module of a package": ("parts/inner.py", "INNER = 1", "INNER = 2", "attack"),
    "another, imported in a function": ("parts/leaf.py", "LEAF = 1", "LEAF = 2", "attack"),
    "a module that is passed on": ("passed.py", "NAME = 1", "NAME = 2", "attack"),
    "a name among all globals": ("whole.py", "NAME = 1", "NAME = 2", "attack"),
    "an editable install": ("linked.py", "ONE = 1", "ONE = 2", "attack"),
    "code in development": ("developed.py", "ONE = 1", "ONE = 2", "attack"),
    "a version": ("installed-1.0.dist-info/METADATA", "Version: 1.0", "Version: 1.1", "attack"),
    "another build": ("built-1.0.dist-info/RECORD", "sha256=abc", "sha256=abd", "attack"),
    "a part of the net": ("study.py", "self.layer(X) * 1.0", "self.layer(X) * 2.0", "fit"),
    "an attribute of a module": ("study.py", "scale.scale = 1.0", "scale.scale = 2.0", "fit"),
    "a helper of the scorer": ("study.py", "right.mean()) * 1.0", "right.mean()) * 0.5", "attack"),
    "a comment": ("study.py", "# A comment.", "# Another comment,\n    # and a line.", "nothing"),
    "a function that is not reached": ("study.py", "return value + 1", "return value", "nothing"),
    "a constant that is not reached": ("beside.py", "UNREACHED = 1", "UNREACHED = 2", "nothing"),
    "the code of an installed version": ("installed.py", "ONE = 1", "ONE = 2", "nothing"),
}

# Of these the study is typed, too: it comes from standard input, so that there is no source.
TYPED = ["a helper", "a list in the class", "a property", "a part of the net", "a comment"]

# Imports torch once, and forks for each run: none of the files has been imported before.
SCRIPT = """
    import json, os, sys, warnings
    import numpy as np
    import torch
    from skpoison import MLP, NetClassifier, robustness_curve

    torch.set_num_threads(1)
    warnings.simplefilter("error")
    sys.dont_write_bytecode = True
    files, edits, typed = json.loads(sys.argv[1])
    folder = sys.argv[2]
    X = np.random.default_rng(0).uniform(size=(24, 4)).astype(np.float32)
    y = np.arange(24) % 2
    NetClassifier(MLP, max_epochs=1).fit(X, y)
    # Imports torch's compiler, which each fork would import again.
    torch.optim.SGD([torch.ones(1, requires_grad=True)])

    def write(changed):
        for name, text in {**files, **changed}.items():
            os.makedirs(os.path.dirname(f"{folder}/{name}"), exist_ok=True)
            with open(f"{folder}/{name}", "w") as file:
                file.write(text)

    def kept():
        return sum("output.pkl" in names for _, _, names in os.walk(f"{folder}/memory"))

    def run(typed):
        sys.path.insert(0, folder)
        if typed:
            space = vars(sys.modules["__main__"])
            exec(compile(files["study.py"] if typed is True else typed, "<stdin>", "exec"), space)
            attack, score, estimator = space["Attack"](), space["score"], space["estimator"]
        else:
            import study
            attack, score, estimator = study.Attack(), study.score, study.estimator
        robustness_curve(
            estimator, X, y, attacks={"own": attack}, param_name="lr", param_range=[0.1], cv=2,
            scoring=score, random_state=0, memory=f"{folder}/memory",
        )

    def new(typed=None):
        \"\"\"How many entries another process adds.\"\"\"
        before = kept()
        pid = os.fork()
        if pid == 0:
            try:
                run(typed)
                os._exit(0)
            except BaseException as error:
                import traceback
                traceback.print_exc()
                os._exit(1)
        assert os.waitpid(pid, 0)[1] == 0
        return kept() - before

    write({})
    found = {"first": new(), "again": new(), "typed": new(True), "typed again": new(True)}
    for name, (file, old, other, _) in edits.items():
        assert files[file].count(old) == 1, (name, files[file].count(old))
        changed = files[file].replace(old, other)
        write({file: changed})
        found[name] = new()
        write({})
        if name in typed:
            found[f"{name}, typed"] = new(changed)
    found["back"] = new()
    print(json.dumps(found))
"""
# There are two folds, so two attacks and two fits.
NEW = {"attack": 4, "fit": 2, "nothing": 0}


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """How many results were new after each edit."""
    files = {name: textwrap.dedent(text) for name, text in FILES.items()}
    done = subprocess.run(
        [sys.executable, "-", json.dumps([files, EDITS, TYPED]), tmp_path_factory.mktemp("edits")],
        input=textwrap.dedent(SCRIPT),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_without_an_edit_another_process_finds_all(found):
    assert found["first"] == found["typed"] == 4
    assert found["again"] == found["typed again"] == found["back"] == 0


@pytest.mark.parametrize("edit", EDITS)
def test_an_edit_makes_new_what_it_reaches(found, edit):
    # Fails if a class counts with its own source alone, or with more than it reaches.
    reached = EDITS[edit][-1]
    assert found[edit] == NEW[reached]
    if edit in TYPED:
        assert found[f"{edit}, typed"] == NEW[reached]
