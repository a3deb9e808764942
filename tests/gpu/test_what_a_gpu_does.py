"""What torch does on a GPU, as far as the tests rely on it: on a real GPU and on the pretend one.

Where a test fails on a real GPU, the pretend one is wrong.
"""

import copy
import io
import pickle

import numpy as np
import pytest
import torch

pytestmark = pytest.mark.gpu


def there(n=3):
    return torch.arange(float(n), device="cuda")


REFUSED = {
    "two devices": (lambda: there() + torch.ones(3), RuntimeError),
    "a product of two devices": (lambda: there(4).reshape(2, 2) @ torch.ones(2, 2), RuntimeError),
    "numpy": (lambda: there().numpy(), TypeError),
    "an array": (lambda: np.asarray(there()), TypeError),
    "a generator of the CPU": (
        lambda: torch.randperm(3, generator=torch.Generator(), device="cuda"),
        RuntimeError,
    ),
    "a generator of the device": (
        lambda: torch.randperm(3, generator=torch.Generator("cuda")),
        RuntimeError,
    ),
    "a pinned tensor of the device": (lambda: there().pin_memory(), RuntimeError),
    "no such device": (lambda: torch.zeros(1, device="cuda:99"), RuntimeError),
}


@pytest.mark.parametrize("name", REFUSED)
def test_is_refused(name):
    call, error = REFUSED[name]
    with pytest.raises(error):
        call()


def test_numbers_and_indices_of_the_cpu_are_taken():
    assert (there() + torch.tensor(1.0)).tolist() == [1, 2, 3]
    assert there()[torch.tensor([2, 0])].tolist() == [2, 0]
    assert f"{there().sum():.1f}" == "3.0"


WAITS = {
    "a number": lambda x: x[0].item(),
    "a truth": lambda x: bool((x > 1).any()),
    "a copy to the CPU": lambda x: x.cpu(),
    "a copy from the CPU": lambda x: torch.ones(3).to("cuda"),
    "a mask": lambda x: x[x > 0],
    "where": lambda x: torch.nonzero(x),
}
WAITS_NOT = {
    "arithmetic": lambda x: (x * 2 + 1).sum(),
    "rows": lambda x: x.index_select(0, x.long()),
    "a choice": lambda x: torch.where(x > 0, x, 0),
    "random numbers": lambda x: torch.rand(3, device="cuda"),
    "zeros": lambda x: torch.zeros(3, device="cuda"),
    "a copy on the device": lambda x: x.clone().copy_(x),
}


@pytest.mark.parametrize("name", [*WAITS, *WAITS_NOT])
def test_waiting_for_the_device_is_seen(no_sync, name):
    x = there()
    with no_sync():
        if name in WAITS:
            with pytest.raises(RuntimeError, match="synchronizing CUDA operation"):
                WAITS[name](x)
        else:
            WAITS_NOT[name](x)
    assert torch.cuda.get_sync_debug_mode() == 0


def test_copies_are_counted(transfers):
    x = there()
    with transfers() as count:
        x.cpu()
        float(x[1])
        (x * 2).sum()
        torch.ones(3).to("cuda")
    assert (count.to_host, count.to_device) == (2, 1)


def test_each_device_has_a_generator():
    state = torch.get_rng_state()
    with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
        draws = []
        for _ in range(2):
            torch.manual_seed(3)
            draws.append((torch.rand(2, device="cuda").tolist(), torch.rand(2).tolist()))
        assert draws[0] == draws[1]
        before = torch.get_rng_state()
        torch.rand(2, device="cuda")
        torch.nn.functional.dropout(there(), 0.5)
        assert torch.equal(torch.get_rng_state(), before)
        own = [torch.Generator("cuda").manual_seed(1) for _ in range(2)]
        orders = [torch.randperm(9, generator=g, device="cuda").tolist() for g in own]
        assert orders[0] == orders[1]
        assert own[0].device.type == "cuda"
    assert torch.equal(torch.get_rng_state(), state)


def captured(step):
    graph, aside = torch.cuda.CUDAGraph(), torch.cuda.Stream()
    with torch.cuda.stream(aside):
        step()
    torch.cuda.synchronize()
    with torch.cuda.stream(aside), torch.cuda.graph(graph, stream=aside):
        result = step()
    return graph, result


def test_a_graph_repeats_a_step_on_its_memory():
    x, weights = there(), torch.ones(3, device="cuda", requires_grad=True)
    total = torch.zeros(3, device="cuda")

    def step():
        (gradient,) = torch.autograd.grad((weights * x).sum(), weights)
        total.add_(gradient)
        return torch.rand(2, device="cuda")

    graph, drawn = captured(step)
    assert total.tolist() == [0, 1, 2]  # from the warm-up: a capture runs nothing
    x.fill_(10)
    graph.replay()
    first = drawn.clone()
    graph.replay()
    assert total.tolist() == [20, 21, 22]
    assert not torch.equal(drawn, first)


def test_a_graph_on_another_device_than_the_current(second_device):
    x = torch.zeros(3, device=second_device)
    with torch.cuda.device(second_device):
        graph, _ = captured(lambda: x.add_(1))
    graph.replay()
    assert x.tolist() == [2, 2, 2]
    assert torch.cuda.current_device() == 0


def test_tensors_go_to_files_and_back():
    x = there()
    assert pickle.loads(pickle.dumps(x)).device == x.device
    assert copy.deepcopy(x).tolist() == [0, 1, 2]
    module = torch.nn.Linear(2, 1).to("cuda")
    file = io.BytesIO()
    torch.save(module.state_dict(), file)
    for target in ("cpu", "cuda"):
        file.seek(0)
        read = torch.load(file, map_location=target)["weight"]
        assert read.device.type == target
        torch.testing.assert_close(read.cpu(), module.weight.detach().cpu())
    again = pickle.loads(pickle.dumps(module))
    assert isinstance(again.weight, torch.nn.Parameter)
    assert again.weight.requires_grad
    assert again.weight.device == module.weight.device
