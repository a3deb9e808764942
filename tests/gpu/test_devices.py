"""Which devices a net takes on a machine with a GPU."""

import re

import numpy as np
import pytest
import torch

from skpoison import MLP, NetClassifier, fit_many

pytestmark = pytest.mark.gpu


def net(**params):
    return NetClassifier(MLP, module__width=4, max_epochs=1, random_state=0, **params)


@pytest.mark.parametrize("device", ["cuda:99", "cuda:-1", "meta", "xpu", torch.device("cuda", 99)])
def test_a_device_that_the_machine_has_not_is_refused(digits, device):
    # Fails if the device is found out too late: by an IndexError, in a net that has changed.
    words = rf"`device` must be .*, got {re.escape(repr(device))}: "
    fitted = net(device="cuda").fit(*digits)
    before = dict(vars(fitted)), fitted.predict_proba(digits[0])
    fitted.set_params(device=device)
    calls = [
        lambda: fitted.fit(*digits),
        lambda: fitted.partial_fit(*digits),
        lambda: fit_many([fitted], [digits]),
        fitted.initialize,
    ]
    for call in calls:
        with pytest.raises(ValueError, match=words):
            call()
        assert vars(fitted).keys() == before[0].keys()
        assert all(vars(fitted)[name] is before[0][name] for name in ("module_", "history_"))
    fitted.set_params(device="cuda")
    np.testing.assert_array_equal(fitted.predict_proba(digits[0]), before[1])


def test_the_words_tell_how_many_devices_there_are(digits):
    n = torch.cuda.device_count()
    with pytest.raises(ValueError, match=f"it has {n} devices of type 'cuda'"):
        net(device=f"cuda:{n}").fit(*digits)
    last = net(device=f"cuda:{n - 1}").fit(*digits)
    assert last.device_ == torch.device("cuda", n - 1)
