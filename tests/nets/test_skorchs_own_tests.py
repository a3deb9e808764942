"""skorch's own tests, run with `NetClassifier` in the place of `NeuralNetClassifier`.

The installed wheel of skorch contains its tests. `skorchs_tests.py` puts our class in.
"""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

# What skorch passes and we do not, by the reason. `docs/coming_from.md` says the same to users.
# These pass with skorch's defaults and the name of its class.
BY_DEFAULT = {
    "the class has another name in messages": """
        test_net.py::TestNeuralNet::test_not_init_raises[predict]
        test_net.py::TestNeuralNet::test_not_init_raises[predict_proba]
        test_net.py::TestNeuralNet::test_not_init_raises[forward]
        test_net.py::TestNeuralNet::test_not_init_raises[forward_iter]
        test_net.py::TestNeuralNet::test_not_fitted_raises
        test_net.py::TestNeuralNet::test_repr_uninitialized_works
        test_net.py::TestNeuralNet::test_repr_initialized_works
        test_net.py::TestNeuralNet::test_repr_fitted_works
        test_classifier.py::TestNeuralNet::test_error_when_classes_could_not_be_inferred
    """,
    "`train_split` is None: no hidden hold-out": """
        test_net.py::TestNeuralNet::test_callback_is_called[on_batch_begin-90]
        test_net.py::TestNeuralNet::test_callback_is_called[on_batch_end-90]
        test_net.py::TestNeuralNet::test_history_default_keys
        test_net.py::TestNeuralNet::test_fit_with_dataset
        test_net.py::TestNeuralNet::test_batch_size_neg_1_uses_whole_dataset[net_kwargs0-800-200]
        test_net.py::TestNeuralNet::test_batch_size_neg_1_uses_whole_dataset[net_kwargs1-800-128]
        test_net.py::TestNeuralNet::test_batch_size_neg_1_uses_whole_dataset[net_kwargs2-128-200]
        test_net.py::TestNeuralNet::test_batch_count[40]
        test_net.py::TestNeuralNet::test_batch_count[100]
        test_net.py::TestNeuralNet::test_fit_lbfgs_optimizer
        test_net.py::TestNeuralNet::test_criterion_training_set_correctly
    """,
    "`criterion` is CrossEntropyLoss, which takes logits and not probabilities": """
        test_net.py::TestNeuralNet::test_forward
        test_net.py::TestNeuralNet::test_clone_results_in_uninitialized_net
    """,
    "`verbose` is 0: a message about a new initialisation needs 1": """
        test_net.py::TestNeuralNet::test_reinitializing_module_optimizer_message[kwargs2-expected2]
        test_net.py::TestNeuralNet::test_reinitializing_module_optimizer_message[kwargs3-expected3]
        test_net.py::TestNeuralNet::test_reinitializing_module_optimizer_message[kwargs4-expected4]
        test_net.py::TestNeuralNet::test_reinitializing_module_optimizer_when_initialized_message[kwargs3-Re-initializing optimizer.]
        test_net.py::TestNeuralNet::test_reinitializing_module_optimizer_when_initialized_message[kwargs4-Re-initializing optimizer.]
        test_net.py::TestNeuralNet::test_message_fit_with_initialized_net
        test_net.py::TestNeuralNet::test_set_params_on_custom_module_with_default_module_params_msg
        test_net.py::TestNeuralNet::test_set_params_on_custom_criterion_with_default_criterion_params_msg
    """,  # noqa: E501
}
BY_DESIGN = {
    "an instance as `module` is refused: `fit` would train it in place": """
        test_net.py::TestNeuralNet::test_with_initialized_module
        test_net.py::TestNeuralNet::test_with_initialized_module_other_params
        test_net.py::TestNeuralNet::test_with_initialized_module_non_default
        test_net.py::TestNeuralNet::test_with_initialized_module_partial_fit
        test_net.py::TestNeuralNet::test_with_initialized_module_warm_start
        test_net.py::TestNeuralNet::test_with_initialized_sequential
        test_net.py::TestNeuralNet::test_callback_on_grad_computed
    """,
    "a stratified split finds the labels in a skorch Dataset by itself": """
        test_net.py::TestNeuralNet::test_fit_with_dataset_stratified_without_explicit_y_raises
    """,
    "sparse rows are refused, unless they come in a Dataset": """
        test_net.py::TestNetSparseInput::test_fit_sparse_csr_learns
    """,
    "labels are encoded, so `classes` must hold those in y, and there must be two": """
        test_net.py::TestMetadataRouting::test_undeclared_param_rejected_by_routing
        test_classifier.py::TestNeuralNet::test_pass_classes_explicitly_overrides
        test_classifier.py::TestNeuralNet::test_pass_empty_classes_raises[classes0]
        test_classifier.py::TestNeuralNet::test_pass_empty_classes_raises[classes1]
    """,
}


def names(lists):
    """The names of the tests in some lists."""
    return {line.strip() for tests in lists.values() for line in tests.strip().split("\n")}


def outcomes(net_class, tests, source, folder):
    """Run some of skorch's tests in a process of their own; returns name to outcome."""
    here = Path(__file__).parent
    paths = [here, here.parents[1], *filter(None, [os.environ.get("PYTHONPATH")])]
    file = folder / "outcomes.json"
    env = {
        **os.environ,
        "NET_CLASS": net_class,
        "OUTCOMES": str(file),
        "PYTHONPATH": os.pathsep.join(map(str, paths)),
    }
    options = f"-q -W ignore -p no:cacheprovider -p skorchs_tests -c {os.devnull}".split()
    command = [sys.executable, "-m", "pytest", *options, "--rootdir", str(source)]
    command += [str(source / test) for test in tests]
    done = subprocess.run(command, env=env, cwd=folder, capture_output=True, text=True)
    # 1: some tests failed.
    assert done.returncode in (0, 1), done.stdout + done.stderr
    return json.loads(file.read_text())


def test_the_list_is_as_short_as_promised():
    listed = names(BY_DEFAULT) | names(BY_DESIGN)
    assert sum(name.startswith("test_net.py") for name in listed) <= 40
    assert sum(name.startswith("test_classifier.py") for name in listed) <= 6


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_a_net_passes_what_skorch_passes(tmp_path):
    # Fails if a method of skorch's that somebody overrides is not called, and in 70 other ways.
    if importlib.util.find_spec("skorch.tests.test_net") is None:
        pytest.skip("the installed skorch comes without its tests")
    source = Path(importlib.util.find_spec("skorch.tests").origin).parent
    ours = outcomes("ours", ["test_net.py", "test_classifier.py"], source, tmp_path)
    assert len(ours) > 300
    failed = {name for name, outcome in ours.items() if outcome == "failed"}
    # What fails for skorch too misses a package or a file here. Seeds depend on the order.
    again = [name for name in ours if name in failed]
    skorchs = outcomes("skorch's", again, source, tmp_path)
    failed = {name for name in failed if skorchs[name] != "failed"}
    assert failed == names(BY_DEFAULT) | names(BY_DESIGN)
    with_defaults = outcomes("ours with skorch's defaults", again, source, tmp_path)
    assert {name for name in failed if with_defaults[name] == "failed"} == names(BY_DESIGN)
