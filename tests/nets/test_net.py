import pickle

import numpy as np
import pandas as pd
import pytest
import torch
from joblib import Parallel, delayed
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import StratifiedShuffleSplit
from skorch.callbacks import Callback, EarlyStopping, EpochScoring, LRScheduler
from skorch.dataset import Dataset, ValidSplit
from torch import nn
from torch.utils.data import DataLoader, Subset, TensorDataset

from skpoison import MLP, Linear, MnistConvNet, NetClassifier
from skpoison.nets._batches import TensorBatches


def weights(net):
    return {name: value.clone() for name, value in net.module_.state_dict().items()}


def assert_same_weights(a, b):
    for name, value in weights(a).items():
        assert torch.equal(value, weights(b)[name]), name


def small_net(**kwargs):
    defaults = {"module": MLP, "lr": 0.5, "batch_size": 32, "max_epochs": 3, "random_state": 0}
    if kwargs.get("module", MLP) is MLP:
        defaults["module__width"] = 8
    return NetClassifier(**{**defaults, **kwargs})


def test_training_is_plain_sgd_by_hand(digits):
    # Fails with another loss, optimiser, order or initialisation, with momentum, or if the ragged
    # last batch (300 = 9 * 32 + 12) is used.
    X, y = digits
    net = small_net(device="cpu").fit(X, y)
    rng = np.random.RandomState(0)
    init_seed, _fit_seed, order_seed = (int(rng.randint(2**31 - 1)) for _ in range(3))
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(init_seed)
        module = MLP(64, 10, width=8)
    generator = torch.Generator().manual_seed(order_seed)
    rows, codes = torch.tensor(X, dtype=torch.float32), torch.tensor(y)
    for _ in range(3):
        order = torch.randperm(len(y), generator=generator)
        for k in range(len(y) // 32):
            batch = order[32 * k : 32 * (k + 1)]
            loss = nn.functional.cross_entropy(module(rows[batch]), codes[batch])
            gradients = torch.autograd.grad(loss, list(module.parameters()))
            with torch.no_grad():
                for parameter, gradient in zip(module.parameters(), gradients, strict=True):
                    parameter -= 0.5 * gradient
    for name, value in module.state_dict().items():
        torch.testing.assert_close(weights(net)[name], value)


def test_learns_digits(split_digits):
    X, y, X_test, y_test = split_digits
    net = small_net(module__width=64, max_epochs=15).fit(X, y)
    assert net.score(X_test, y_test) > 0.95
    proba = net.predict_proba(X_test)
    np.testing.assert_allclose(proba.sum(axis=1), 1, rtol=1e-5)
    assert net.history_[-1, "train_loss"] < net.history_[0, "train_loss"]


@pytest.mark.parametrize(
    "labels",
    [
        np.array(["zero", "one", "two"]),
        np.array([-1, 1, 5]),
        np.array([10.0, 20.0, 30.0]),
        np.array(["b", "a", "c"], dtype=object),
        np.array([True, False, True]),
    ],
    ids=["strings", "gaps", "floats", "objects", "booleans"],
)
def test_labels_of_any_kind(digits, labels):
    # Fails if predict returns argmax and not labels.
    X, y = digits[0][digits[1] < 3], digits[1][digits[1] < 3]
    net = small_net(max_epochs=10).fit(X, labels[y])
    assert net.predict(X).dtype == labels.dtype
    assert net.score(X, labels[y]) > 0.9
    np.testing.assert_array_equal(net.classes_, np.unique(labels))


def test_order_of_given_classes_is_the_order_of_the_logits(digits):
    X, y = digits
    order = [3, 1, 0, 2, 9, 8, 7, 6, 5, 4]
    net = small_net(classes=order, max_epochs=20).fit(X, y)
    np.testing.assert_array_equal(net.classes_, order)
    assert net.score(X, y) > 0.9
    with pytest.raises(ValueError, match=r"only labels in `classes_`.*got \[11\]"):
        small_net(classes=order).fit(X, np.where(y == 0, 11, y))


def test_numeric_types_give_the_same_net(digits):
    X, y = digits
    pixels = (X * 16).astype(np.uint8)
    nets = [
        small_net(lr=0.05).fit(rows, y)
        for rows in (
            pixels,
            pixels.astype(np.float64),
            pixels.astype(np.float32),
            pixels.astype(np.float16),
            pixels.tolist(),
            pd.DataFrame(pixels),
            np.asfortranarray(pixels),
        )
    ]
    for net in nets[1:]:
        assert_same_weights(net, nets[0])


def test_frames_keep_their_names(digits):
    X = pd.DataFrame(digits[0], columns=[f"pixel{i}" for i in range(64)])
    net = small_net().fit(X, pd.Series(digits[1]))
    assert net.feature_names_in_.tolist() == X.columns.tolist()
    net.predict(X)
    with pytest.raises(ValueError, match="feature names should match"):
        net.predict(X[X.columns[::-1]])


def test_flat_rows_into_an_image_module():
    rng = np.random.default_rng(0)
    X, y = rng.random((50, 784), dtype=np.float32), np.arange(50) % 2
    kwargs = {"module__width": 8, "max_epochs": 2, "random_state": 0}
    flat = NetClassifier(MnistConvNet, **kwargs).fit(X, y)
    images = NetClassifier(MnistConvNet, **kwargs).fit(X.reshape(-1, 1, 28, 28), y)
    assert_same_weights(flat, images)
    assert flat.input_shape_ == (784,)
    assert images.input_shape_ == (1, 28, 28)
    assert flat.n_features_in_ == images.n_features_in_ == 784
    np.testing.assert_array_equal(flat.predict(X), images.predict(X.reshape(-1, 1, 28, 28)))
    with pytest.raises(ValueError, match=r"rows of 784 features .* got 64"):
        NetClassifier(MnistConvNet).fit(X[:, :64], y)


def test_modules_learn_their_sizes_from_the_data(digits):
    class Channels(nn.Module):
        def __init__(self, in_channels, n_classes):
            super().__init__()
            self.layers = nn.Sequential(nn.Conv2d(in_channels, n_classes, 8), nn.Flatten())

        def forward(self, X):
            return self.layers(X)

    X, y = digits
    net = NetClassifier(Channels, max_epochs=1).fit(X.reshape(-1, 1, 8, 8), y)
    assert net.module_.layers[0].in_channels == 1
    assert net.predict_proba(X.reshape(-1, 1, 8, 8)).shape == (300, 10)
    # What the user sets wins.
    with pytest.raises(RuntimeError, match="size"):
        NetClassifier(MLP, module__n_features=32, max_epochs=1).fit(X, y)


def test_same_seed_same_bits_and_global_generators_untouched(digits):
    # Fails if the fit draws from, or seeds, torch's global generator.
    class Dropping(MLP):
        def forward(self, X):
            return nn.functional.dropout(super().forward(X), 0.1, self.training)

    X, y = digits
    net = NetClassifier(Dropping, module__width=8, max_epochs=2, random_state=0)
    state = torch.get_rng_state(), np.random.get_state()[1].tobytes()  # noqa: NPY002
    a = clone(net).fit(X, y)
    assert torch.equal(torch.get_rng_state(), state[0])
    assert np.random.get_state()[1].tobytes() == state[1]  # noqa: NPY002
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(12345)
        b = clone(net).fit(X, y)
    assert_same_weights(a, b)
    other = clone(net).set_params(random_state=1).fit(X, y)
    assert not torch.equal(weights(a)["layers.1.weight"], weights(other)["layers.1.weight"])
    # Threads share the generators: the fits take turns.
    nets = Parallel(n_jobs=2, backend="threading")(delayed(clone(net).fit)(X, y) for _ in range(4))
    for threaded in nets:
        assert_same_weights(threaded, a)


def test_refit_starts_anew_and_clone_forgets(digits):
    X, y = digits
    net = small_net().fit(X, y)
    first = weights(net)
    net.fit(X, y)
    for name, value in weights(net).items():
        assert torch.equal(value, first[name])
    assert not hasattr(clone(net), "module_")


def test_random_state_instance_gives_another_net_each_fit(digits):
    net = small_net(random_state=np.random.RandomState(0))
    first = weights(net.fit(*digits))
    assert not torch.equal(first["layers.1.weight"], weights(net.fit(*digits))["layers.1.weight"])


def test_partial_fit_goes_on(digits):
    X, y = digits
    net = small_net(max_epochs=1)
    losses = [net.partial_fit(X, y).history_[-1, "train_loss"] for _ in range(5)]
    assert losses == sorted(losses, reverse=True)
    assert len(net.history_) == 5
    # Another order of the rows each time, though the seed is an int.
    assert len(set(losses)) == 5
    net = small_net().partial_fit(X[y < 5], y[y < 5], classes=np.arange(10))
    assert net.predict_proba(X).shape == (300, 10)
    net.partial_fit(X, y)
    with pytest.raises(ValueError, match="only labels in `classes_`"):
        net.partial_fit(X, y + 1)


def test_warm_start_keeps_the_weights(digits):
    net = small_net(warm_start=True).fit(*digits)
    assert net.fit(*digits).history_[-1, "train_loss"] < net.history_[0, "train_loss"]
    assert len(net.history_) == 6


def test_early_stopping_holds_out_a_stratified_fraction(digits):
    X, y = digits
    net = small_net(early_stopping=True, max_epochs=5, validation_fraction=0.3).fit(X, y)
    rng = np.random.RandomState(0)
    _init, _fit, split_seed = (int(rng.randint(2**31 - 1)) for _ in range(3))
    splitter = StratifiedShuffleSplit(1, test_size=0.3, random_state=split_seed)
    train, held_out = next(splitter.split(X, y))
    again = small_net(early_stopping=True, max_epochs=5)
    counts = [net.history_[0, f"{side}_batch_count"] for side in ("train", "valid")]
    assert counts == [len(train) // 32, -(-len(held_out) // 32)]
    assert again.get_params()["callbacks__early_stopping__patience"] == 30


@pytest.mark.parametrize("given", [False, True])
def test_early_stopping_restores_the_best_weights(split_digits, given):
    # Fails if the last weights are kept: at this rate the accuracy goes up and down.
    X, y, X_val, y_val = split_digits
    X, y = X[:300], y[:300]
    net = small_net(early_stopping=True, n_iter_no_change=4, max_epochs=100, lr=1.0)
    if given:
        net.fit(X, y, X_val=X_val, y_val=y_val)
    else:
        net.set_params(random_state=0).fit(X, y)
        rng = np.random.RandomState(0)
        _init, _fit, split_seed = (int(rng.randint(2**31 - 1)) for _ in range(3))
        splitter = StratifiedShuffleSplit(1, test_size=0.2, random_state=split_seed)
        _, held_out = next(splitter.split(X, y))
        X_val, y_val = X[held_out], y[held_out]
    accuracies = net.history_[:, "valid_acc"]
    best = int(np.argmax(accuracies))
    assert net.score(X_val, y_val) == pytest.approx(max(accuracies))
    assert max(accuracies) > accuracies[-1]
    assert len(accuracies) == best + 1 + 4 < 100


def test_patience_counts_epochs_without_a_rise(split_digits):
    X, y, X_val, y_val = split_digits
    net = small_net(early_stopping=True, n_iter_no_change=1, max_epochs=100)
    net.fit(X[:300], y[:300], X_val=X_val, y_val=y_val)
    accuracies = net.history_[:, "valid_acc"]
    assert accuracies[:-1] == sorted(accuracies[:-1])
    assert accuracies[-1] <= accuracies[-2]


@pytest.mark.parametrize("module", [MLP, Linear])
def test_divergence_warns_and_predicts_all_the_same(digits, module):
    net = small_net(module=module, lr=1e6)
    with pytest.warns(ConvergenceWarning, match="training diverged"):
        net.fit(*digits)
    assert set(net.predict(digits[0])) <= set(range(10))
    assert np.isfinite(net.score(*digits))


def test_drop_last_keeps_an_only_batch(digits):
    X, y = digits

    def sizes(**kwargs):
        net = small_net(max_epochs=1, callbacks=[Listener()], **kwargs).fit(X, y)
        rows = net.history_[0, "batches"]
        assert len(rows) == net.history_[0, "train_batch_count"]
        return [row["train_batch_size"] for row in rows]

    assert sizes(batch_size=1000) == sizes(batch_size=-1) == [300]
    assert sizes() == [32] * 9
    assert sizes(drop_last=False) == [32] * 9 + [12]


class Listener(Callback):
    def __init__(self):
        self.batches = 0

    def on_batch_end(self, net, batch, training, **kwargs):
        assert np.isfinite(net.history_[-1, "batches", -1, "train_loss"])
        self.batches += training


def test_callbacks_are_served(digits):
    listener = Listener()
    schedule = LRScheduler(policy="StepLR", step_size=1, gamma=0.5)
    scoring = EpochScoring("accuracy", name="train_acc", on_train=True, lower_is_better=False)
    net = small_net(callbacks=[listener, schedule, scoring], max_epochs=4).fit(*digits)
    assert dict(net.callbacks_)["Listener"].batches == 4 * 9
    assert net.optimizer_.param_groups[0]["lr"] == pytest.approx(0.5 / 2**4)
    assert len(net.history_[:, "train_acc"]) == 4
    # Listening to batches changes nothing about the training but the order of sums.
    quiet = small_net(callbacks=[schedule], max_epochs=4).fit(*digits)
    for a, b in zip(net.module_.parameters(), quiet.module_.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-6)
    assert net.history_[:, "train_loss"] == pytest.approx(quiet.history_[:, "train_loss"])


def test_accuracy_callback_with_string_labels(digits):
    # Fails if predict returns labels for a Dataset, whose own labels are indices.
    X, y = digits
    scoring = EpochScoring("accuracy", name="train_acc", on_train=True, lower_is_better=False)
    net = small_net(callbacks=[scoring], max_epochs=10).fit(X, y.astype(str))
    assert net.history_[-1, "train_acc"] > 0.8


def test_skorch_early_stopping_callback_ends_training(digits):
    stopper = EarlyStopping(monitor="train_loss", patience=1, threshold=100, threshold_mode="abs")
    net = small_net(callbacks=[stopper], max_epochs=50).fit(*digits)
    assert len(net.history_) == 2


class InterruptAtBegin(Callback):
    def on_epoch_begin(self, net, **kwargs):
        raise KeyboardInterrupt


class InterruptAtEnd(Callback):
    def on_epoch_end(self, net, **kwargs):
        raise KeyboardInterrupt


@pytest.mark.parametrize("interrupt", [InterruptAtBegin, InterruptAtEnd])
def test_ctrl_c_is_not_swallowed(digits, interrupt):
    # skorch takes it for the end of training: a study would go on with a half-trained net.
    with pytest.raises(KeyboardInterrupt):
        small_net(callbacks=[interrupt()]).fit(*digits)


def test_save_and_load_as_in_skorch(digits, tmp_path):
    X, y = digits
    net = small_net().fit(X, y)
    net.save_params(f_params=tmp_path / "weights.pt")
    sizes = {"module__n_features": 64, "module__n_classes": 10, "classes": list(range(10))}
    loaded = small_net(**sizes).initialize()
    loaded.load_params(f_params=tmp_path / "weights.pt")
    np.testing.assert_array_equal(loaded.predict(X), net.predict(X))
    fresh = small_net(**sizes).initialize().partial_fit(X, y)
    assert len(fresh.history_) == 3


def test_callbacks_can_be_disabled(digits):
    net = small_net(callbacks="disable").fit(*digits)
    assert net.score(*digits) > 0.5
    small_net(callbacks__epoch_timer=None).fit(*digits)
    with pytest.raises(ValueError, match="`callbacks` must not be 'disable'"):
        small_net(callbacks="disable", early_stopping=True).fit(*digits)
    rows, codes = torch.tensor(digits[0], dtype=torch.float32), torch.tensor(digits[1])
    net = small_net(early_stopping=True, module__n_features=64, module__n_classes=10)
    with pytest.raises(ValueError, match="`early_stopping` must have `train_split`"):
        net.fit(Dataset(rows, codes))


def test_what_skorch_offers_still_works(digits):
    X, y = digits
    momentum = small_net(optimizer__momentum=0.9).fit(X, y)
    assert momentum.optimizer_.param_groups[0]["momentum"] == 0.9
    adam = small_net(optimizer=torch.optim.Adam, lr=0.01).fit(X, y)
    assert isinstance(adam.optimizer_, torch.optim.Adam)
    loader = small_net(iterator_train=DataLoader, iterator_train__shuffle=True, max_epochs=20)
    assert loader.fit(X, y).score(X, y) > 0.9
    split = small_net(train_split=ValidSplit(5, stratified=True)).fit(X, y.astype(str))
    assert len(split.history_[:, "valid_acc"]) == 3
    double = small_net(module=lambda n_features: MLP(n_features, 10).double()).fit(X, y)
    assert double.predict_proba(X).dtype == np.float64


def test_datasets_are_taken(digits):
    X, y = digits
    rows, codes = torch.tensor(X, dtype=torch.float32), torch.tensor(y)
    net = NetClassifier(
        MLP,
        module__n_features=64,
        module__n_classes=10,
        module__width=8,
        lr=0.5,
        batch_size=32,
        max_epochs=10,
        random_state=0,
    )
    for data in (Dataset(rows, codes), TensorDataset(rows, codes)):
        fitted = clone(net).fit(data)
        assert (fitted.predict(data) == y).mean() > 0.8
    # The labels of a part of a Dataset may be numpy's.
    split = clone(net).set_params(train_split=ValidSplit(5), classes=np.arange(10))
    fitted = split.fit(Dataset(X.astype(np.float32), y), None)
    assert len(fitted.history_[:, "valid_acc"]) == 10


def test_a_module_that_writes_into_its_input_harms_nobody(digits):
    class Writing(MLP):
        def forward(self, X):
            return super().forward(X.mul_(0.5))

    X, y = np.array(digits[0], dtype=np.float32), np.array(digits[1])
    net = NetClassifier(Writing, max_epochs=1, random_state=0).fit(X, y)
    np.testing.assert_array_equal(net.predict(X), net.predict(X))
    np.testing.assert_array_equal(X, digits[0].astype(np.float32))


def test_logits_are_differentiable_and_in_the_order_of_classes(digits):
    X, y = digits
    net = small_net(max_epochs=10).fit(X, y.astype(str))
    rows = torch.tensor(X, requires_grad=True)
    logits = net.logits(rows)
    assert logits.shape == (300, 10)
    np.testing.assert_array_equal(net.classes_[logits.argmax(1).cpu().numpy()], net.predict(X))
    (gradient,) = torch.autograd.grad(logits.sum(), rows)
    assert gradient.dtype == rows.dtype
    assert gradient.abs().sum() > 0


@pytest.mark.parametrize("labels", [np.arange(30) % 16, (np.arange(30) % 16).astype(str)])
def test_labels_that_may_be_numbers_are_warned_of(labels):
    # scikit-learn's own warning; fails if labels that are plain integers are not shown to it.
    rows = np.random.default_rng(0).random((30, 2))
    with pytest.warns(UserWarning, match="greater than 50%"):
        NetClassifier(MLP, module__width=2, max_epochs=1).fit(rows, labels)


def test_pickling_keeps_everything(digits):
    X, y = digits
    net = pickle.loads(pickle.dumps(small_net().fit(X, y)))
    assert net.get_params()["device"] == "auto"
    assert net.device == ("cuda" if torch.cuda.is_available() else "cpu")
    assert net.device_.type == net.device
    np.testing.assert_array_equal(net.predict(X), small_net().fit(X, y).predict(X))
    assert_same_weights(net.fit(X, y), small_net().fit(X, y))


def test_batches_cover_every_row_once():
    data = Dataset(torch.arange(20.0).reshape(10, 2), torch.arange(10))
    generator = torch.Generator().manual_seed(0)
    batches = TensorBatches(data, batch_size=3, shuffle=True, generator=generator)
    passes = [torch.cat([y for _, y in batches]) for _ in range(2)]
    for order in passes:
        assert sorted(order.tolist()) == list(range(10))
    assert passes[0].tolist() != passes[1].tolist()
    assert len(batches) == 4
    for X, y in batches:
        torch.testing.assert_close(X[:, 0], 2.0 * y)
    subset = Subset(data, [4, 2, 7])
    assert torch.cat([y for _, y in TensorBatches(subset, batch_size=2)]).tolist() == [4, 2, 7]


@pytest.mark.parametrize("rows", [[4, 2, 7], range(3), np.array([-1, 0], dtype=np.int32)])
def test_batches_of_a_subset_have_its_rows(rows):
    # Fails if the rows of a subset, or of a subset of it, are those of another place.
    data = Dataset(torch.arange(20.0).reshape(10, 2), torch.arange(10))
    subset, inner = Subset(data, rows), Subset(Subset(data, rows), [1, -2])
    expected = np.arange(10)[list(rows)]
    for part, wanted in ((subset, expected), (inner, expected[[1, -2]])):
        for shuffle in (False, True):
            batches = list(TensorBatches(part, batch_size=2, shuffle=shuffle))
            assert all((2 * y == X[:, 0]).all() for X, y in batches)
            found = torch.cat([y for _, y in batches]).tolist()
            in_order = sorted if shuffle else list
            assert in_order(found) == in_order(wanted)


class Negated(Subset):
    """A subset that changes its rows."""

    def __getitem__(self, k):
        X, y = super().__getitem__(k)
        return -X, y

    def __getitems__(self, places):
        return [self[k] for k in places]


def test_batches_ask_a_subset_that_changes_its_rows():
    # Fails if rows are taken past the methods of a subclass.
    data = Dataset(torch.arange(20.0).reshape(10, 2), torch.arange(10))
    for part in (Negated(data, [4, 2]), Subset(Negated(data, [1, 4, 2]), [1, 2])):
        ((X, y),) = TensorBatches(part, batch_size=2)
        assert y.tolist() == [4, 2]
        assert X.tolist() == [[-8, -9], [-4, -5]]
