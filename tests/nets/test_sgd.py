"""Nets that train without optimiser steps never import torch's compiler, which takes seconds."""

import copy
import subprocess
import sys
import textwrap

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from skpoison.nets._sgd import make_sgd


def layer():
    """A layer with a gradient; the same at each call."""
    torch.manual_seed(0)
    layer = torch.nn.Linear(3, 2)
    layer(torch.ones(4, 3)).square().sum().backward()
    return layer


@settings(deadline=None, max_examples=60)  # The first step imports the compiler.
@given(
    options=st.fixed_dictionaries(
        {"lr": st.sampled_from([0.1, -1.0])},
        optional={
            "momentum": st.sampled_from([0, 0.9, -1]),
            "dampening": st.sampled_from([0, 0.5]),
            "weight_decay": st.sampled_from([0, 0.1, -1]),
            "nesterov": st.booleans(),
            "maximize": st.booleans(),
            "foreach": st.sampled_from([None, False, True]),
            "fused": st.sampled_from([None, False, True]),
            "differentiable": st.booleans(),
        },
    ),
    groups=st.sampled_from([1, 2, 0]),
)
def test_it_is_the_sgd_that_torch_makes(options, groups):
    made = []
    for make in (torch.optim.SGD, make_sgd):
        net = layer()
        parameters = list(net.parameters())
        if groups == 2:
            parameters = [{"params": parameters[:1]}, {"params": parameters[1:], "lr": 0.01}]
        try:
            made.append((net, make(parameters if groups else [], **options)))
        except (ValueError, RuntimeError) as error:
            made.append((None, f"{type(error).__name__}: {error}"))
    (net, expected), (own_net, optimizer) = made
    if net is None:
        assert optimizer == expected
        return
    assert type(optimizer) is torch.optim.SGD
    assert vars(optimizer).keys() == vars(expected).keys()
    assert repr(optimizer) == repr(expected)
    if not options.get("differentiable"):
        calls = []
        optimizer.register_step_pre_hook(lambda *args: calls.append(args))
        for _ in range(2):
            expected.step()
            optimizer.step()
        assert len(calls) == 2
        assert all(map(torch.equal, net.parameters(), own_net.parameters()))
        assert copy.deepcopy(optimizer).state_dict().keys() == expected.state_dict().keys()


SCRIPT = """
    import pickle, sys
    import numpy as np
    from skorch.callbacks import LRScheduler
    from sklearn.datasets import load_digits
    from skpoison import MLP, CleanLabelPGA, NetClassifier, fit_many, robustness_curve

    X, y = load_digits(return_X_y=True)
    X, y = X[:60] / 16, y[:60]
    decay = [("decay", LRScheduler(policy="CosineAnnealingLR", T_max=2))]
    net = NetClassifier(MLP, module__width=4, max_epochs=2, batch_size=32, callbacks=decay)
    attack = CleanLabelPGA(net, norm="l2,inf", budget=0.1, max_iter=1, random_state=0)
    curve = robustness_curve(
        net, X, y, attacks={"clean": None, "moved": attack}, param_name="module__width",
        param_range=[2], cv=3, fused=True, random_state=0,
    )
    assert np.isfinite(curve.scores["moved"]).all()
    nets = [NetClassifier(MLP, module__width=4, max_epochs=1, random_state=0) for _ in range(3)]
    fit_many(nets, [(X, y)] * 3, fused=True)
    net = pickle.loads(pickle.dumps(net.fit(X, y)))
    net.partial_fit(X, y).score(X, y)
    assert "torch._dynamo" not in sys.modules

    import torch

    assert type(net.optimizer_) is torch.optim.SGD
    calls = []
    net.optimizer_.register_step_post_hook(lambda *args: calls.append(1))
    net.module_(torch.ones(1, 64)).sum().backward()
    before = [parameter.clone() for parameter in net.module_.parameters()]
    net.optimizer_.step()
    net.optimizer_.zero_grad()
    assert calls and not any(map(torch.equal, before, net.module_.parameters()))
"""


def test_a_study_of_linear_chains_never_imports_the_compiler():
    script = textwrap.dedent(SCRIPT)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    "parameters", [torch.ones(2), [1.0], [torch.ones(2, requires_grad=True) * 2]]
)
def test_wrong_parameters_have_torchs_errors(parameters):
    errors = []
    for make in (torch.optim.SGD, make_sgd):
        with pytest.raises((TypeError, ValueError)) as caught:
            make(parameters)
        errors.append((caught.type, str(caught.value)))
    assert errors[0] == errors[1]
