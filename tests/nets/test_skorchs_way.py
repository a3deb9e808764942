"""What skorch's users override and pass in works with `NetClassifier` as in skorch."""

import pickle

import numpy as np
import pytest
import torch
from sklearn.base import clone
from skorch.callbacks import Callback
from skorch.dataset import Dataset
from skorch.exceptions import SkorchTrainingImpossibleError
from skorch.helper import predefined_split
from torch import nn

from skpoison import MLP, NetClassifier, fit_many


def small_net(kind=NetClassifier, module=MLP, **kwargs):
    settings = {"lr": 0.5, "batch_size": 32, "max_epochs": 2, "random_state": 0}
    settings["module__width"] = 8
    return kind(module, **{**settings, **kwargs})


def vector(net):
    return nn.utils.parameters_to_vector(net.module_.parameters()).detach()


def as_dataset(X, y):
    return Dataset(np.asarray(X, dtype=np.float32), np.asarray(y))


SIZES = {"module__n_features": 64, "module__n_classes": 10}


class Foreign:
    """Has the methods of a callback, but is no subclass of skorch's."""

    def __init__(self):
        self.calls = []

    def initialize(self):
        return self

    def set_params(self, **params):
        return self

    def get_params(self, deep=True):
        return {}

    def __getattr__(self, name):
        if not name.startswith("on_"):
            raise AttributeError(name)
        return lambda net, **kwargs: self.calls.append(name)


def test_a_callback_needs_no_base_class(digits):
    # Fails if a callback is asked by its type for the methods.
    callback = Foreign()
    net = small_net(callbacks=[("foreign", callback)]).fit(*digits)
    assert callback.calls.count("on_batch_begin") == callback.calls.count("on_grad_computed") == 18
    assert callback.calls[0] == "on_train_begin"
    assert callback.calls[-1] == "on_train_end"
    assert len(net.history[-1, "batches"]) == 9


class Accumulating(NetClassifier):
    """Steps at every third batch, as skorch's documentation shows."""

    def train_step(self, batch, **fit_params):
        step = self.train_step_single(batch, **fit_params)
        if len(self.history[-1, "batches"]) % 3 == 0:
            self.optimizer_.step()
            self.optimizer_.zero_grad()
        return step


class HalfLoss(NetClassifier):
    def get_loss(self, *args, **kwargs):
        return super().get_loss(*args, **kwargs) / 2


class Infers(NetClassifier):
    def infer(self, x, **fit_params):
        return super().infer(x, **fit_params) / 2


class Zeroes(NetClassifier):
    """Keeps what the optimiser accumulates."""

    def _zero_grad_optimizer(self, set_to_none=None):
        pass


class Counts(NetClassifier):
    batches = 0

    def on_batch_end(self, net, batch=None, training=False, **kwargs):
        self.batches += training


class ThreeCalls(torch.optim.SGD):
    """Evaluates the loss three times a step."""

    def step(self, closure):
        losses = [super(ThreeCalls, self).step(closure) for _ in range(3)]
        return losses[0]


def test_accumulated_gradients_step_at_every_third_batch(digits):
    # Fails with a step at every batch: the history of batches was empty while a net trained.
    X, y = digits
    net = small_net(Accumulating, max_epochs=1, random_state=0)
    steps = []
    net.initialize_for((64,), np.unique(y))
    net.warm_start = True
    net.optimizer_.register_step_post_hook(lambda *args: steps.append(1))
    net.fit(X, y)
    assert len(steps) == 3


@pytest.mark.parametrize("kind", [HalfLoss, Infers, Zeroes])
@pytest.mark.parametrize("on_object", [False, True])
def test_whatever_is_overridden_is_called(kind, on_object, digits):
    # Fails if a subclass, or an object with a method of its own, takes the short steps; fit_many
    # too.
    X, y = digits
    plain = small_net().fit(X, y)

    def made():
        if not on_object:
            return small_net(kind)
        net = small_net()
        (name,) = (name for name, value in vars(kind).items() if callable(value))
        own = {
            "get_loss": lambda *args, **kwargs: NetClassifier.get_loss(net, *args, **kwargs) / 2,
            "infer": lambda x, **kwargs: NetClassifier.infer(net, x, **kwargs) / 2,
            "_zero_grad_optimizer": lambda set_to_none=None: None,
        }
        setattr(net, name, own[name])
        return net

    net = made().fit(X, y)
    assert not torch.allclose(vector(net), vector(plain), atol=1e-3)
    assert len(net.history[-1, "batches"]) == 9
    stacked = fit_many([made() for _ in range(3)], [(X, y)] * 3, fused=True)
    assert torch.equal(vector(stacked[0]), vector(net))


def test_methods_for_batches_and_optimisers_of_several_calls(digits):
    assert small_net(Counts).fit(*digits).batches == 18
    once, thrice = (
        small_net(optimizer=kind).fit(*digits) for kind in (torch.optim.SGD, ThreeCalls)
    )
    assert thrice.history[-1, "train_loss"] < 0.9 * once.history[-1, "train_loss"]
    lbfgs = small_net(optimizer=torch.optim.LBFGS, lr=1.0, batch_size=-1).fit(*digits)
    assert lbfgs.history[-1, "train_loss"] < 1


def test_a_patched_criterion_or_optimiser_is_called(digits):
    X, y = digits
    calls = []
    net = small_net(warm_start=True).initialize_for((64,), np.unique(y))
    step = net.optimizer_.step
    net.optimizer_.step = lambda *args: (calls.append("step"), step(*args))[1]
    net.fit(X, y)
    assert len(calls) == 18
    net = small_net(warm_start=True).initialize_for((64,), np.unique(y))
    net.criterion_.register_forward_hook(lambda *args: calls.append("loss"))
    net.fit(X, y)
    assert calls.count("loss") == 18


def test_own_loops_give_the_bits_of_the_short_ones(digits):
    # skorch's loop and ours must be the same arithmetic, so that overriding a method changes
    # nothing else.
    class Listens(Callback):
        def on_batch_end(self, net, **kwargs):
            pass

    settings = {"early_stopping": True, "optimizer__momentum": 0.9}
    short, long = (
        small_net(callbacks=callbacks, **settings).fit(*digits) for callbacks in ([], [Listens()])
    )
    assert torch.equal(vector(short), vector(long))
    for name in ("train_loss", "valid_loss", "valid_acc", "valid_acc_best", "train_batch_count"):
        assert short.history[:, name] == long.history[:, name]


def test_a_net_of_no_epochs_is_initialised(digits):
    X, y = digits
    net = small_net(max_epochs=0).fit(X, y.astype(str))
    assert set(net.predict(X)) <= set(y.astype(str))
    assert len(net.history) == 0
    for stacked in fit_many([small_net(max_epochs=0) for _ in range(3)], [(X, y)] * 3, fused=True):
        assert torch.equal(vector(stacked), vector(net))


def test_datasets_with_and_without_labels(digits):
    X, y = digits
    data = as_dataset(X, y)
    net = small_net(**SIZES)
    assert net.initialize().predict(data).shape == (300,)  # No classes are known yet.
    for fitted in (net.fit(data), net.fit(data, None), net.fit(data, y)):
        assert fitted.classes_.tolist() == list(range(10))
        assert len(fitted.history[-1, "batches"]) == 9
    assert net.predict(as_dataset(X, y)).shape == net.predict(X).shape


def test_labels_come_back_where_they_are_known(digits):
    X, y = digits
    words = y.astype(str)
    net = small_net(**SIZES).fit(X, words)
    net.partial_fit(as_dataset(X, y))
    assert set(net.predict(X)) <= set(words)
    untrained = small_net(**SIZES, classes=sorted(set(words))).initialize()
    assert set(untrained.predict(X)) <= set(words)
    assert untrained.predict(as_dataset(X, y)).dtype.kind == "i"


def test_a_refit_forgets_the_classes_of_other_data(digits):
    # Fails with the classes (and sizes) of the first fit.
    X, y = digits
    net = small_net(**SIZES).fit(as_dataset(X, y))
    net.fit(as_dataset(X, y % 3))
    assert net.classes_.tolist() == [0, 1, 2]
    net = small_net(**SIZES).fit(X, y.astype(str))
    net.fit(as_dataset(X, y))
    assert net.classes_.tolist() == list(range(10))
    assert not hasattr(net, "n_features_in_")


def test_validation_data_in_a_dataset_are_used(digits):
    # They were ignored.
    X, y = digits
    train, held_out = as_dataset(X[:200], y[:200]), as_dataset(X[200:], y[200:])
    net = small_net(early_stopping=True, **SIZES).fit(train, X_val=held_out)
    assert net.history[:, "valid_batch_count"] == [4, 4]
    split = small_net(early_stopping=True, train_split=predefined_split(held_out), **SIZES)
    split.fit(train)
    assert split.history[:, "valid_acc"] == net.history[:, "valid_acc"]
    with pytest.raises(ValueError, match=r"`X_val` must be a Dataset if X is one.* got a ndarray"):
        net.fit(train, X_val=X, y_val=y)
    with pytest.raises(ValueError, match="`X_val` must come with `early_stopping=True`"):
        small_net(**SIZES).fit(train, X_val=held_out)


class TwoInputs(MLP):
    def forward(self, a, b):
        return super().forward(torch.cat([a, b], dim=1))


@pytest.mark.parametrize("early_stopping", [False, True])
def test_inputs_by_name(early_stopping, digits):
    X, y = digits[0].astype(np.float32), digits[1].astype(str)
    inputs = {"a": X[:, :20], "b": X[:, 20:]}
    net = NetClassifier(
        TwoInputs, module__n_features=64, lr=0.5, batch_size=16, max_epochs=15, random_state=0
    ).set_params(early_stopping=early_stopping)
    net.fit(inputs, y)
    assert net.score(inputs, y) > 0.8
    fresh = clone(net).set_params(module__n_classes=10).initialize().partial_fit(inputs, y)
    assert set(fresh.predict(inputs)) <= set(y)
    (alone,) = fit_many([small_net(module=TwoInputs, module__n_features=64)], [(inputs, y)])
    assert set(alone.predict(inputs)) <= set(y)


def test_a_dataset_class_gets_what_it_is_given(digits):
    class Words(Dataset):
        def transform(self, X, y):
            return torch.tensor([float(word) for word in X]), 0 if y is None else y

    X, y = digits[0][:60].astype(str), digits[1][:60]
    net = small_net(dataset=Words, **SIZES).fit(X, y)
    assert net.predict(X).shape == (60,)
    with pytest.raises(ValueError, match="`early_stopping` must have `train_split`"):
        small_net(dataset=Words, early_stopping=True, **SIZES).fit(X, y)


class OtherNames(NetClassifier):
    """A net whose module and criterion have other names."""

    def initialize_module(self):
        self.body_ = self.module(n_features=64, n_classes=10, width=8)
        return self

    def initialize_criterion(self):
        self.loss_ = nn.CrossEntropyLoss()
        return self

    def initialize_optimizer(self):
        self.optimizer_ = torch.optim.SGD(self.body_.parameters(), lr=self.lr)
        return self

    def infer(self, x, **fit_params):
        return self.body_(x)

    def get_loss(self, y_pred, y_true, *args, **kwargs):
        return self.loss_(y_pred, y_true)


def test_modules_of_other_names_train_with_the_seed_of_the_net(digits):
    X, y = digits
    one, two = (OtherNames(MLP, random_state=0).fit(X, y) for _ in range(2))
    assert torch.equal(*(next(net.body_.parameters()) for net in (one, two)))
    assert one.device_.type == ("cuda" if torch.cuda.is_available() else "cpu")
    np.testing.assert_array_equal(one.predict(X), two.predict(X))


def test_ctrl_c_ends_the_training_for_callbacks(digits):
    class Stops(Callback):
        ended = 0

        def on_epoch_end(self, net, **kwargs):
            raise KeyboardInterrupt

        def on_train_end(self, net, **kwargs):
            Stops.ended += 1

    with pytest.raises(KeyboardInterrupt):
        small_net(callbacks=[Stops()]).fit(*digits)
    assert Stops.ended == 1


class OneOutput(nn.Module):
    def __init__(self, n_features):
        super().__init__()
        self.layer = nn.Linear(n_features, 1)

    def forward(self, X):
        return self.layer(X)


def test_a_binary_criterion_takes_one_output(digits):
    X, y = digits
    y = np.where(y > 4, "high", "low")
    net = NetClassifier(
        OneOutput, criterion=nn.BCEWithLogitsLoss, max_epochs=20, batch_size=16, random_state=0
    ).fit(X, y)
    assert net.score(X, y) > 0.8
    proba = net.predict_proba(X)
    assert proba.shape == (300, 2)
    np.testing.assert_allclose(proba.sum(1), 1, rtol=1e-6)
    logits = net.logits(torch.tensor(X))
    np.testing.assert_allclose(logits.softmax(1).detach().cpu().numpy(), proba, atol=1e-6)
    net.trim_for_prediction()
    np.testing.assert_allclose(net.predict_proba(X), proba, atol=1e-6)
    with pytest.raises(ValueError, match=r"BCEWithLogitsLoss takes two classes and .* one output"):
        small_net(criterion=nn.BCEWithLogitsLoss).fit(X, y)
    with pytest.raises(ValueError, match="BCEWithLogitsLoss takes two classes"):
        NetClassifier(OneOutput, criterion=nn.BCEWithLogitsLoss).fit(*digits)
    with pytest.raises(ValueError, match="`criterion` must not be BCELoss"):
        NetClassifier(OneOutput, criterion=nn.BCELoss).fit(X, y)


class Probabilities(MLP):
    def forward(self, X):
        return super().forward(X).softmax(1)


class LogProbabilities(MLP):
    def forward(self, X):
        return super().forward(X).log_softmax(1)


def test_a_trimmed_net_predicts_the_same(digits):
    # It returned logits as probabilities: the criterion, which says that they are logits, was gone.
    X, y = digits
    net = small_net().fit(X, y.astype(str))
    proba, labels = net.predict_proba(X), net.predict(X)
    net.trim_for_prediction()
    net = pickle.loads(pickle.dumps(net))
    np.testing.assert_array_equal(net.predict_proba(X), proba)
    np.testing.assert_array_equal(net.predict(X), labels)
    with pytest.raises(SkorchTrainingImpossibleError, match="trimmed for prediction"):
        net.fit(X, y)


def test_nll_takes_probabilities_as_in_skorch(digits):
    X, y = digits
    net = small_net(module=Probabilities, module__width=8, criterion=nn.NLLLoss, max_epochs=10)
    assert net.fit(X, y).score(X, y) > 0.7
    for module in (LogProbabilities, MLP):
        net = NetClassifier(module, criterion=nn.NLLLoss, max_epochs=1)
        with pytest.raises(ValueError, match=r"`criterion` NLLLoss .* returns probabilities"):
            net.fit(X, y)
    sizes = {**SIZES, "criterion": nn.NLLLoss, "classes": list(range(10))}
    with pytest.raises(ValueError, match=r"`criterion` NLLLoss .* returns probabilities"):
        NetClassifier(LogProbabilities, **sizes).initialize().predict_proba(X)


def test_a_class_of_one_row_stays_in_training(digits):
    # scikit-learn's splitter refuses it, in words that do not name `early_stopping`.
    X, y = digits
    y = np.where(np.arange(300) == 7, 10, y)
    net = small_net(early_stopping=True).fit(X, y)
    assert net.classes_.tolist() == list(range(11))
    assert net.history[0, "valid_batch_count"] == 2
    with pytest.raises(ValueError, match="`early_stopping` must hold out rows of each class"):
        small_net(early_stopping=True).fit(X[:12], y[:12])
