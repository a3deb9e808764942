"""The readers and downloads of skpoison.datasets, on small synthetic files.

The fixtures shrink the module's own tables (shapes, records a file, MD5s) to files of a few
images; all code is the code that reads the real ones. No test leaves this machine: downloads
come from a server on the loopback interface.
"""

import gzip
import hashlib
import http.server
import io
import os
import re
import runpy
import struct
import subprocess
import sys
import tarfile
import tempfile
import textwrap
import threading
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skpoison import datasets
from skpoison.datasets import fetch_cifar10, fetch_mnist

DATA = os.environ.get("SKPOISON_DATA")
needs_data = pytest.mark.skipif(
    "SKPOISON_DATA" not in os.environ, reason="real data not found: set SKPOISON_DATA"
)
TABLES = ("_MNIST", "_MNIST_URL", "_CIFAR10", "_CIFAR10_RECORDS", "_CIFAR10_URL", "_MD5")
REAL = {name: getattr(datasets, name) for name in TABLES}
IMAGES, LABELS = "train-images-idx3-ubyte", "train-labels-idx1-ubyte"
BATCHES = [*(f"data_batch_{k}.bin" for k in range(1, 6)), "test_batch.bin"]
N_IDX, N_BATCH = 12, 3
RECORD = 3073
CUT = None


def md5(content):
    return hashlib.md5(content).hexdigest()


def idx(array, *, magic=None, dims=None):
    """The IDX file of a uint8 array, or one with another magic number or other dimensions."""
    magic = 0x0800 + array.ndim if magic is None else magic
    dims = array.shape if dims is None else dims
    return struct.pack(f">I{len(dims)}I", magic, *dims) + array.tobytes()


def tar(members):
    """A .tar.gz of (name, content) pairs, or of (name, TarInfo changes) for special members."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, content in members:
            info = tarfile.TarInfo(name)
            if isinstance(content, dict):
                for key, value in content.items():
                    setattr(info, key, value)
                archive.addfile(info)
            else:
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))
    return gzip.compress(buffer.getvalue(), mtime=0)  # The same bytes in every process.


RNG = np.random.default_rng(0)
DIGITS = RNG.integers(0, 256, (N_IDX, 28, 28), dtype=np.uint8)
DIGIT_LABELS = RNG.integers(0, 10, N_IDX, dtype=np.uint8)
RECORDS = RNG.integers(0, 256, (6, N_BATCH, RECORD), dtype=np.uint8)
RECORDS[:, :, 0] %= 10
MNIST_FILES = {IMAGES: idx(DIGITS), LABELS: idx(DIGIT_LABELS)}
CIFAR_FILES = dict(zip(BATCHES, (batch.tobytes() for batch in RECORDS), strict=True))
ARCHIVE = tar([(f"cifar-10-batches-bin/{name}", c) for name, c in CIFAR_FILES.items()])


def make_small(put):
    """Put the module's tables for the small files above in place, by name and value."""
    hashes = {name: md5(content) for name, content in (MNIST_FILES | CIFAR_FILES).items()}
    hashes |= {f"{n}.gz": md5(gzip.compress(c, mtime=0)) for n, c in MNIST_FILES.items()}
    hashes["cifar-10-binary.tar.gz"] = md5(ARCHIVE)
    put("_MNIST", {"train": {IMAGES: DIGITS.shape, LABELS: DIGIT_LABELS.shape}})
    put("_CIFAR10_RECORDS", N_BATCH)
    put("_MD5", hashes)


@pytest.fixture(scope="module", autouse=True)
def small_files():
    """The small tables (module scope: hypothesis needs that)."""
    with pytest.MonkeyPatch.context() as patch:
        make_small(lambda name, value: patch.setattr(datasets, name, value))
        yield


@pytest.fixture(autouse=True)
def no_network(monkeypatch):
    """Downloads fail unless a test serves them, and the caller's environment does not matter."""
    monkeypatch.setattr(datasets, "_MNIST_URL", "http://127.0.0.1:9/")
    monkeypatch.setattr(datasets, "_CIFAR10_URL", "http://127.0.0.1:9/cifar-10-binary.tar.gz")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.delenv("SKPOISON_DATA", raising=False)


@pytest.fixture
def server(monkeypatch):
    """A dict name -> (content, announced length) that is served, with the list of requests."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            name = self.path.lstrip("/")
            if name:
                requests.append(name)
                content, length = files.get(name, (None, 0))
            else:  # The names that were asked for, for another process.
                content = "\n".join(requests).encode()
                length = len(content)
            self.send_response(404 if content is None else 200)
            self.send_header("Content-Length", str(length))
            self.end_headers()
            self.wfile.write(content or b"")
            if len(content or b"") < length:
                cut.wait(60)

        def log_message(self, *args):
            pass

    files, requests = {}, []
    cut = threading.Event()  # Until it is set, a connection that has not sent all stays open.
    cut.set()
    monkeypatch.setattr(f"{__name__}.CUT", cut)
    for name, content in MNIST_FILES.items():
        packed = gzip.compress(content, mtime=0)
        files[f"{name}.gz"] = packed, len(packed)
    files["cifar-10-binary.tar.gz"] = ARCHIVE, len(ARCHIVE)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as httpd:
        url = f"http://127.0.0.1:{httpd.server_port}/"
        monkeypatch.setattr(datasets, "_MNIST_URL", url)
        monkeypatch.setattr(datasets, "_CIFAR10_URL", f"{url}cifar-10-binary.tar.gz")
        thread = threading.Thread(target=httpd.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield files, requests
        httpd.shutdown()
        thread.join()


def write_mnist(folder, *, packed=True, **changed):
    """Write the small MNIST, with `images` or `labels` replaced."""
    folder.mkdir(exist_ok=True)
    images, labels = changed.get("images"), changed.get("labels")
    for name, content in ((IMAGES, images), (LABELS, labels)):
        content = MNIST_FILES[name] if content is None else content
        path = folder / (f"{name}.gz" if packed else name)
        path.write_bytes(gzip.compress(content) if packed else content)
    return folder


def write_cifar(folder, **changed):
    """Write the small CIFAR-10, with files (named without .bin) replaced or, if None, left out."""
    (folder / "cifar-10-batches-bin").mkdir(parents=True)
    for name, content in CIFAR_FILES.items():
        content = changed.get(name.removesuffix(".bin"), content)
        if content is not None:
            (folder / "cifar-10-batches-bin" / name).write_bytes(content)
    return folder


def tree(folder):
    return {str(p.relative_to(folder)) for p in folder.rglob("*") if not p.is_dir()}


def assert_mnist(X, y):
    assert X.dtype == np.float32
    assert X.shape == (N_IDX, 1, 28, 28)
    assert y.dtype == np.int64
    np.testing.assert_array_equal(X[:, 0], DIGITS.astype(np.float32) / np.float32(255))
    np.testing.assert_array_equal(y, DIGIT_LABELS)


def assert_cifar(X, y, batches=slice(0, 5)):
    expected = RECORDS[batches].reshape(-1, RECORD)
    assert X.dtype == np.float32
    assert y.dtype == np.int64
    pixels = expected[:, 1:].astype(np.float32) / np.float32(255)
    np.testing.assert_array_equal(X, pixels.reshape(-1, 3, 32, 32))
    np.testing.assert_array_equal(y, expected[:, 0])


# Reading good files


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("verify", [True, False])
def test_mnist_reads_files_at_hand(tmp_path, packed, verify):
    """Fails if the axes, the scale, a dtype or the offset of the payload are wrong."""
    X, y = fetch_mnist(write_mnist(tmp_path, packed=packed), verify=verify)
    assert_mnist(X, y)
    X[0], y[0] = 0, 0  # fresh, writable arrays


@pytest.mark.parametrize("verify", [True, False])
def test_cifar10_reads_files_at_hand(tmp_path, verify):
    """Fails if the label byte counts as a pixel, or planes are read as interleaved pixels."""
    write_cifar(tmp_path)
    assert_cifar(*fetch_cifar10(str(tmp_path), verify=verify))
    assert_cifar(*fetch_cifar10(tmp_path, "test", verify=verify), batches=slice(5, 6))


def test_the_environment_variable_names_the_folder(tmp_path, monkeypatch):
    """Fails if the variable is ignored, or if it wins over the argument."""
    monkeypatch.setenv("SKPOISON_DATA", str(write_mnist(tmp_path / "a")))
    assert_mnist(*fetch_mnist())
    with pytest.raises(OSError, match="elsewhere"):
        fetch_mnist(tmp_path / "elsewhere")


def test_without_the_variable_the_folder_is_poochs_cache(tmp_path, monkeypatch):
    """Fails if an empty variable means the current folder."""
    monkeypatch.setattr("pooch.os_cache", lambda name: write_mnist(tmp_path / name))
    assert_mnist(*fetch_mnist())
    monkeypatch.setenv("SKPOISON_DATA", "")
    monkeypatch.chdir(tmp_path)
    assert_mnist(*fetch_mnist())


def test_home_is_expanded(tmp_path, monkeypatch):
    """Fails if "~" is taken for a folder's name."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    write_mnist(tmp_path / "data")
    assert_mnist(*fetch_mnist("~/data"))


@pytest.mark.parametrize("fetch", [fetch_mnist, fetch_cifar10])
def test_bad_parameters(tmp_path, fetch):
    """Fails if a parameter is used before it is checked."""
    with pytest.raises(ValueError, match=r"`split` must be one of 'train'.*, got 'valid'"):
        fetch(tmp_path, split="valid")
    with pytest.raises(TypeError, match="`verify` must be True or False, got 'no'"):
        fetch(tmp_path, verify="no")


# Refusing bad files

BAD_IDX = {
    "empty": (b"", "exactly 9424 bytes .* got 0"),
    "header only": (idx(DIGITS)[:16], "exactly 9424 bytes .* got 16"),
    "truncated": (idx(DIGITS)[:-1], "exactly 9424 bytes .* got 9423"),
    "too long": (idx(DIGITS) + b"\0", "exactly 9424 bytes .* got more"),
    "labels' magic": (idx(DIGITS, magic=0x0801), "IDX header .* 00000803 0000000c .* 00000801"),
    "signed bytes": (idx(DIGITS, magic=0x0903), "IDX header"),
    "little-endian magic": (idx(DIGITS, magic=0x03080000), "IDX header"),
    "axes swapped": (idx(DIGITS, dims=(28, 28, N_IDX)), "IDX header"),
    "oversized header": (idx(DIGITS, dims=(2**31, 28, 28)), "IDX header .* 80000000"),
}


@pytest.mark.parametrize("verify", [True, False])
@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("case", BAD_IDX)
def test_mnist_checks_the_structure_always(tmp_path, case, packed, verify):
    """Fails if the header's check is skipped, or if the length is compared with < for !=."""
    content, match = BAD_IDX[case]
    with pytest.raises(ValueError, match=f"{IMAGES}.* must .*{match}"):
        fetch_mnist(write_mnist(tmp_path, packed=packed, images=content), verify=verify)


BAD_BATCHES = {
    "empty": b"",
    "truncated": RECORDS[2].tobytes()[:-1],
    "one record less": RECORDS[2].tobytes()[:-RECORD],
    "one record more": RECORDS[2].tobytes() + RECORDS[2, 0].tobytes(),
    "one byte more": RECORDS[2].tobytes() + b"\0",
}


@pytest.mark.parametrize("verify", [True, False])
@pytest.mark.parametrize("case", BAD_BATCHES)
def test_cifar10_checks_the_length_always(tmp_path, case, verify):
    """Fails if any whole number of records is taken."""
    write_cifar(tmp_path, data_batch_3=BAD_BATCHES[case])
    with pytest.raises(ValueError, match=r"data_batch_3\.bin must hold exactly 9219 bytes"):
        fetch_cifar10(tmp_path, verify=verify)


def test_labels_are_checked_always(tmp_path):
    """Fails if the range is not checked, or is checked with > 10."""
    labels = DIGIT_LABELS.copy()
    labels[4] = 10
    write_mnist(tmp_path, labels=idx(labels))
    with pytest.raises(ValueError, match=f"{LABELS}.* labels 0 to 9, got 10 in row 4"):
        fetch_mnist(tmp_path, verify=False)
    batch = RECORDS[0].copy()
    batch[1, 0] = 255
    write_cifar(tmp_path, data_batch_1=batch.tobytes())
    with pytest.raises(ValueError, match=r"data_batch_1\.bin .* labels 0 to 9, got 255 in row 1"):
        fetch_cifar10(tmp_path, verify=False)


@pytest.mark.parametrize("packed", [True, False])
def test_one_changed_pixel_is_found_unless_verify_is_false(tmp_path, packed):
    """Fails if the hash is not compared, or if verify=False compares it too."""
    digits = DIGITS.copy()
    digits[3, 5, 6] ^= 1
    write_mnist(tmp_path, packed=packed, images=idx(digits))
    with pytest.raises(ValueError, match=f"{IMAGES}.* published MD5 .* got .* verify=False"):
        fetch_mnist(tmp_path)
    X, _ = fetch_mnist(tmp_path, verify=False)
    np.testing.assert_array_equal(np.rint(X[:, 0] * 255), digits)

    batch = RECORDS[4].copy()
    batch[0, 7] ^= 1
    write_cifar(tmp_path, data_batch_5=batch.tobytes())
    with pytest.raises(ValueError, match=r"data_batch_5\.bin .* published MD5 .* verify=False"):
        fetch_cifar10(tmp_path)
    X, _ = fetch_cifar10(tmp_path, verify=False)
    assert round(float(X[4 * N_BATCH].ravel()[6]) * 255) == batch[0, 7]


def test_swapped_batches_are_found(tmp_path):
    """Fails if a file's hash is looked for among all hashes."""
    first, second = CIFAR_FILES["data_batch_1.bin"], CIFAR_FILES["data_batch_2.bin"]
    write_cifar(tmp_path, data_batch_1=second, data_batch_2=first)
    with pytest.raises(ValueError, match=r"data_batch_1\.bin .* MD5"):
        fetch_cifar10(tmp_path)


PACKED = gzip.compress(MNIST_FILES[IMAGES], mtime=0)
BAD_GZIP = {
    "empty": b"",
    "not gzip": MNIST_FILES[IMAGES],
    "half": PACKED[: len(PACKED) // 2],
    "no checksum": PACKED[:-8],
    "wrong checksum": PACKED[:-8] + bytes(4) + PACKED[-4:],
    "bad blocks": PACKED[:10] + b"\xff" * 50 + PACKED[60:],
    "rubbish after": PACKED + b"rubbish",
}


@pytest.mark.parametrize("case", BAD_GZIP)
def test_damaged_gzip_is_a_value_error(tmp_path, case):
    """Fails if zlib.error, EOFError or BadGzipFile (an OSError) are let through."""
    write_mnist(tmp_path)
    (tmp_path / f"{IMAGES}.gz").write_bytes(BAD_GZIP[case])
    with pytest.raises(ValueError, match=f"{IMAGES}.gz must "):
        fetch_mnist(tmp_path, verify=False)


@pytest.mark.parametrize("dims", [(N_IDX, 28, 28), (2**31, 28, 28)])
def test_memory_is_bounded_by_the_expected_size(tmp_path, dims):
    """Fails if a file is decompressed whole, or if the header decides what is allocated."""
    bomb = idx(DIGITS, dims=dims) + bytes(64 * 2**20)
    write_mnist(tmp_path, images=bomb)
    del bomb
    write_mnist(tmp_path / "plain", packed=False)
    with open(tmp_path / "plain" / IMAGES, "r+b") as file:
        file.truncate(2**40)  # sparse: takes no space
    tracemalloc.start()
    try:
        for folder in (tmp_path, tmp_path / "plain"):
            with pytest.raises(ValueError, match="got more"):
                fetch_mnist(folder)
        assert tracemalloc.get_traced_memory()[1] < 4 * 2**20
    finally:
        tracemalloc.stop()


def test_a_folder_in_place_of_a_file_is_an_os_error(tmp_path):
    """Fails if what is in the way is replaced."""
    write_mnist(tmp_path)
    (tmp_path / f"{LABELS}.gz").unlink()
    (tmp_path / f"{LABELS}.gz").mkdir()
    with pytest.raises(OSError, match=LABELS):
        fetch_mnist(tmp_path)
    (tmp_path / "cifar-10-batches-bin" / "test_batch.bin").mkdir(parents=True)
    with pytest.raises(OSError, match="SKPOISON_DATA"):
        fetch_cifar10(tmp_path, "test")


# Any bytes at all: the right array, ValueError or OSError


@st.composite
def damaged(draw, content):
    """`content` with a few bytes overwritten, cut or inserted; sometimes anything at all."""
    if draw(st.integers(0, 9)) == 0:
        return draw(st.binary(max_size=200))
    content = bytearray(content)
    for _ in range(draw(st.integers(0, 3))):
        # Half of the damage near the start, where the headers are.
        reach = draw(st.sampled_from([min(40, len(content)), len(content)]))
        start = draw(st.integers(0, reach))
        stop = start + draw(st.integers(0, 4))
        content[start:stop] = draw(st.binary(max_size=4))
    return bytes(content)


def check_idx(content, verify, repack):
    """Fails if the header, the length or the hash is not checked."""
    with tempfile.TemporaryDirectory() as folder:
        folder = write_mnist(Path(folder), images=content, packed=repack)
        original = content == MNIST_FILES[IMAGES]
        sound = len(content) == 9424 and content[:16] == MNIST_FILES[IMAGES][:16]
        if original or (sound and not verify):
            X, _ = fetch_mnist(folder, verify=verify)
            assert np.rint(X * 255).astype(np.uint8).tobytes() == content[16:]
        else:
            with pytest.raises(ValueError, match=IMAGES):
                fetch_mnist(folder, verify=verify)


def check_gzip(content, verify):
    """Fails if an error of gzip or zlib comes out, or if a bad checksum is not noticed."""
    with tempfile.TemporaryDirectory() as folder:
        folder = write_mnist(Path(folder))
        (folder / f"{IMAGES}.gz").write_bytes(content)
        try:
            X, y = fetch_mnist(folder, verify=verify)
        except ValueError as exc:
            assert IMAGES in str(exc)  # noqa: PT017
            assert content != PACKED
        else:
            assert_mnist(X, y)  # gzip's checksum covers all but its own header


def check_cifar10(content, verify):
    """Fails if the length, a label or the hash is not checked."""
    with tempfile.TemporaryDirectory() as folder:
        write_cifar(Path(folder), test_batch=content)
        sound = len(content) == N_BATCH * RECORD and max(content[::RECORD]) <= 9
        if content == CIFAR_FILES["test_batch.bin"] or (sound and not verify):
            X, y = fetch_cifar10(folder, "test", verify=verify)
            pixels = np.rint(X.reshape(N_BATCH, -1) * 255).astype(np.uint8)
            assert np.c_[y.astype(np.uint8), pixels].tobytes() == content
        else:
            with pytest.raises(ValueError, match="test_batch"):
                fetch_cifar10(folder, "test", verify=verify)


FUZZ = {
    check_idx: (MNIST_FILES[IMAGES], {"verify": st.booleans(), "repack": st.booleans()}),
    check_gzip: (PACKED, {"verify": st.booleans()}),
    check_cifar10: (CIFAR_FILES["test_batch.bin"], {"verify": st.booleans()}),
}


@pytest.mark.parametrize("n", [200, pytest.param(6000, marks=pytest.mark.slow)])
@pytest.mark.parametrize("check", FUZZ)
@pytest.mark.timeout(900)
def test_fuzz(check, n):
    content, others = FUZZ[check]
    check(content, **dict.fromkeys(others, True))
    fuzzed = given(content=damaged(content), **others)(check)
    settings(max_examples=n, deadline=None)(fuzzed)()


# Downloads


def test_missing_mnist_files_are_downloaded_once(tmp_path, server):
    """Fails if files at hand are asked for again, or if the wrong ones are fetched."""
    _, requests = server
    folder = tmp_path / "new" / "folder"
    assert_mnist(*fetch_mnist(folder))
    assert tree(folder) == {f"{IMAGES}.gz", f"{LABELS}.gz"}
    assert_mnist(*fetch_mnist(folder))
    assert requests == [f"{IMAGES}.gz", f"{LABELS}.gz"]


def test_files_at_hand_are_never_replaced(tmp_path, server):
    """Fails if a file with another hash is seen as out of date, as pooch sees it."""
    _, requests = server
    write_mnist(tmp_path, images=idx(255 - DIGITS))
    before = (tmp_path / f"{IMAGES}.gz").read_bytes()
    with pytest.raises(ValueError, match="MD5"):
        fetch_mnist(tmp_path)
    assert (tmp_path / f"{IMAGES}.gz").read_bytes() == before
    assert requests == []

    mine = (255 - RECORDS[0]).tobytes()
    write_cifar(tmp_path, data_batch_1=mine, data_batch_2=None)
    with pytest.raises(ValueError, match=r"data_batch_1\.bin .* MD5"):
        fetch_cifar10(tmp_path)
    assert (tmp_path / "cifar-10-batches-bin" / "data_batch_1.bin").read_bytes() == mine
    assert requests == ["cifar-10-binary.tar.gz"]


def test_missing_cifar10_files_are_downloaded_once(tmp_path, server):
    """Fails if the archive or the scratch folder is left, or if one split leaves out the other."""
    _, requests = server
    assert_cifar(*fetch_cifar10(tmp_path / "new"))
    assert tree(tmp_path / "new") == {f"cifar-10-batches-bin/{name}" for name in BATCHES}
    assert [p.name for p in (tmp_path / "new").iterdir()] == ["cifar-10-batches-bin"]
    assert_cifar(*fetch_cifar10(tmp_path / "new", "test"), batches=slice(5, 6))
    assert requests == ["cifar-10-binary.tar.gz"]


def test_an_archive_at_hand_is_used(tmp_path):
    """Fails if the archive in the data folder is not looked for."""
    (tmp_path / "cifar-10-binary.tar.gz").write_bytes(ARCHIVE)
    assert_cifar(*fetch_cifar10(tmp_path))
    assert (tmp_path / "cifar-10-binary.tar.gz").read_bytes() == ARCHIVE


@pytest.mark.parametrize("verify", [True, False])
def test_another_archive_is_not_opened(tmp_path, monkeypatch, verify):
    """Fails if verify=False, which is about the .bin files, opens any archive."""
    monkeypatch.setattr(tarfile, "open", None)
    (tmp_path / "cifar-10-binary.tar.gz").write_bytes(ARCHIVE[:-1])
    with pytest.raises(ValueError, match=r"cifar-10-binary.tar.gz must have the published MD5"):
        fetch_cifar10(tmp_path, verify=verify)
    assert tree(tmp_path) == {"cifar-10-binary.tar.gz"}


FETCHES = [
    pytest.param(fetch_mnist, f"{IMAGES}.gz", id="mnist"),
    pytest.param(fetch_cifar10, "cifar-10-binary.tar.gz", id="cifar10"),
]


@pytest.mark.parametrize("verify", [True, False])
@pytest.mark.parametrize(("fetch", "name"), FETCHES)
def test_a_wrong_download_leaves_nothing(tmp_path, server, fetch, name, verify):
    """Fails if a download is not compared with its hash."""
    files, _ = server
    content, length = files[name]
    files[name] = content[:-1] + bytes([content[-1] ^ 1]), length
    with pytest.raises(ValueError, match=rf"MD5 hash of downloaded file .*{name}.*expected .* got"):
        fetch(tmp_path, verify=verify)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("fetch", "name"), FETCHES)
def test_an_interrupted_download_leaves_nothing(tmp_path, server, fetch, name):
    """Fails if a download is written under its own name from the start."""
    files, _ = server
    content, length = files[name]
    files[name] = content[: length // 2], length
    with pytest.raises(OSError, match=rf"cannot put http.*{name} .*{tmp_path}.*SKPOISON_DATA"):
        fetch(tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("fetch", "name"), FETCHES)
def test_without_network_the_error_says_what_to_do(tmp_path, fetch, name):
    """Fails if the errors of requests are let through as they are."""
    with pytest.raises(OSError, match=rf"cannot put http.*{name} .*{tmp_path}.*SKPOISON_DATA"):
        fetch(tmp_path)


@pytest.mark.parametrize(("fetch", "name"), FETCHES)
def test_an_unwritable_folder_is_named(tmp_path, server, fetch, name):
    """Fails if the folder is made outside the block that explains (root may write anywhere,
    so a file stands in the way instead of a permission)."""
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OSError, match=rf"cannot put http.*{name} .*{tmp_path}.*SKPOISON_DATA"):
        fetch(tmp_path / "file" / "data")


@pytest.mark.parametrize(("fetch", "name"), FETCHES)
def test_without_pooch_the_error_says_what_to_install(tmp_path, monkeypatch, fetch, name):
    """Fails if pooch is imported with the module or for files at hand."""
    monkeypatch.setitem(sys.modules, "pooch", None)
    runpy.run_path(datasets.__file__, run_name="skpoison.datasets")
    with pytest.raises(ImportError, match=r"pip install 'skpoison\[data\]'.*SKPOISON_DATA"):
        fetch(tmp_path)
    write_mnist(tmp_path)
    write_cifar(tmp_path)
    fetch(tmp_path)


# Archives


def install(folder, archive, monkeypatch):
    """Have fetch_cifar10 unpack `archive` as if it were the published one."""
    hashes = datasets._MD5 | {"cifar-10-binary.tar.gz": md5(archive)}
    monkeypatch.setattr(datasets, "_MD5", hashes)
    (folder / "cifar-10-binary.tar.gz").write_bytes(archive)
    return fetch_cifar10(folder)


GOOD = [(f"cifar-10-batches-bin/{name}", content) for name, content in CIFAR_FILES.items()]
EVIL = CIFAR_FILES["data_batch_2.bin"]


def test_only_the_six_members_are_written(tmp_path, monkeypatch):
    """Fails if members are matched by base name, written under the archive's names, or twice."""
    folder = tmp_path / "a" / "b"
    folder.mkdir(parents=True)
    first = "cifar-10-batches-bin/data_batch_1.bin"
    others = [
        ("../evil.bin", EVIL),
        (f"../{first}", EVIL),
        (f"{tmp_path}/{first}", EVIL),
        (f"cifar-10-batches-bin/../../{first}", EVIL),
        ("cifar-10-batches-bin/sub/data_batch_1.bin", EVIL),
        ("data_batch_1.bin", EVIL),
        ("cifar-10-batches-bin", {"type": tarfile.SYMTYPE, "linkname": str(tmp_path)}),
        ("cifar-10-batches-bin/readme.html", b"hello"),
        ("cifar-10-batches-bin/fifo", {"type": tarfile.FIFOTYPE}),
    ]
    again = [(first, EVIL)]  # a second member of the same name does not replace the first
    assert_cifar(*install(folder, tar(others + GOOD + again), monkeypatch))
    written = {f"cifar-10-batches-bin/{name}" for name in BATCHES}
    assert tree(folder) == written | {"cifar-10-binary.tar.gz"}
    assert tree(tmp_path) == {f"a/b/{name}" for name in tree(folder)}
    assert not any(path.is_symlink() for path in tmp_path.rglob("*"))


@pytest.mark.parametrize("kind", ["SYMTYPE", "LNKTYPE", "DIRTYPE", "FIFOTYPE", "CHRTYPE"])
def test_special_members_are_not_written(tmp_path, monkeypatch, kind):
    """Fails if only the name of a member is looked at: a link leads to another file's content."""
    secret = tmp_path / "secret"
    secret.write_bytes(EVIL)
    (tmp_path / "data").mkdir()
    for target in (str(secret), "data_batch_2.bin", "cifar-10-batches-bin/data_batch_2.bin"):
        link = {"type": getattr(tarfile, kind), "linkname": target}
        archive = tar([*GOOD[1:], ("cifar-10-batches-bin/data_batch_1.bin", link)])
        with pytest.raises(ValueError, match=r"must have \['data_batch_1.bin'\] as regular files"):
            install(tmp_path / "data", archive, monkeypatch)
        assert tree(tmp_path) == {"secret", "data/cifar-10-binary.tar.gz"}


BAD_ARCHIVES = {
    "empty": b"",
    "not an archive": b"<html>not found</html>",
    "gzip of nothing": gzip.compress(b""),
    "no members": tar([]),
    "cut": ARCHIVE[: len(ARCHIVE) // 2],
    "bad blocks": ARCHIVE[:20000] + b"\xff" * 50 + ARCHIVE[20050:],
    "a file missing": tar(GOOD[:-1]),
    "a short file": tar([*GOOD[:3], (GOOD[3][0], GOOD[3][1][:-1]), *GOOD[4:]]),
    "a huge file": tar([*GOOD[:3], (GOOD[3][0], bytes(2**20)), *GOOD[4:]]),
    "cut inside a member": gzip.compress(gzip.decompress(ARCHIVE)[: -3 * 10240]),
}


@pytest.mark.parametrize("case", BAD_ARCHIVES)
def test_a_bad_archive_leaves_nothing(tmp_path, monkeypatch, case):
    """Fails if members get their names one by one, before the whole archive is read."""
    with pytest.raises(ValueError, match=r"cifar-10-binary\.tar\.gz must "):
        install(tmp_path, BAD_ARCHIVES[case], monkeypatch)
    assert [path.name for path in tmp_path.iterdir()] == ["cifar-10-binary.tar.gz"]


def test_an_interrupted_extraction_leaves_nothing(tmp_path, monkeypatch):
    """Fails if members are written to their place, or if only Exceptions clean up."""

    def copy(source, target):
        target.write(source.read(1000))
        if len(list(tmp_path.rglob("*.bin"))) == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr("shutil.copyfileobj", copy)
    with pytest.raises(KeyboardInterrupt):
        install(tmp_path, ARCHIVE, monkeypatch)
    assert [path.name for path in tmp_path.iterdir()] == ["cifar-10-binary.tar.gz"]


def test_a_full_disk_is_explained(tmp_path, monkeypatch):
    """Fails if the files are extracted outside the block that explains."""

    def copy(source, target):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("shutil.copyfileobj", copy)
    with pytest.raises(OSError, match=rf"{tmp_path}.*No space left on device.*SKPOISON_DATA"):
        install(tmp_path, ARCHIVE, monkeypatch)


def test_many_at_once(tmp_path, server):
    """Fails if two that fetch at once share a scratch folder."""
    (tmp_path / "cifar-10-binary.tar.gz").write_bytes(ARCHIVE)
    start, failures = threading.Barrier(8), []

    def work(fetch, check):
        start.wait()
        try:
            check(*fetch(tmp_path))
        except BaseException as exc:
            failures.append(exc)

    kinds = [(fetch_mnist, assert_mnist), (fetch_cifar10, assert_cifar)] * 4
    threads = [threading.Thread(target=work, args=kind) for kind in kinds]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert len(tree(tmp_path)) == 2 + 6 + 1


PROCESSES = """
    import os, signal, sys, time
    from pathlib import Path
    from urllib.request import urlopen
    import test_datasets as t
    from skpoison import datasets
    from skpoison.datasets import fetch_cifar10, fetch_mnist

    url, folder, task = sys.argv[1], Path(sys.argv[2]), sys.argv[3]
    t.make_small(lambda name, value: setattr(datasets, name, value))
    datasets._MNIST_URL = url
    datasets._CIFAR10_URL = f"{url}cifar-10-binary.tar.gz"

    def fetch():
        t.assert_mnist(*fetch_mnist(folder))
        t.assert_cifar(*fetch_cifar10(folder))

    pids = []
    for _ in range(1 if task == "killed" else 3):
        pids.append(os.fork())
        if pids[-1] == 0:
            try:
                fetch()
                os._exit(0)
            except BaseException as error:
                print(repr(error), file=sys.stderr, flush=True)
                os._exit(1)
    if task == "killed":
        # A busy machine may take long from the file's name to the request.
        while not (t.tree(folder) and urlopen(url).read()):
            time.sleep(0.01)
        time.sleep(0.2)
        os.kill(pids[0], signal.SIGKILL)
    print([os.waitpid(pid, 0)[1] for pid in pids])
"""


def run_processes(folder, task):
    script = textwrap.dedent(PROCESSES)
    done = subprocess.run(
        [sys.executable, "-c", script, datasets._MNIST_URL, folder, task],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *sys.path])},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip() + done.stderr


def test_processes_fetch_at_once(tmp_path, server):
    """Fails if downloads of two processes go into one temporary file."""
    assert run_processes(tmp_path, "together").startswith("[0, 0, 0]")
    written = {f"cifar-10-batches-bin/{name}" for name in BATCHES}
    assert tree(tmp_path) == written | {f"{IMAGES}.gz", f"{LABELS}.gz"}


def test_a_killed_download_leaves_nothing_that_looks_complete(tmp_path, server):
    """Fails if a download is written under its own name: half of it would be taken for the file."""
    files, requests = server
    content, length = files[f"{IMAGES}.gz"]
    files[f"{IMAGES}.gz"] = content[: length // 2], length
    CUT.clear()
    (tmp_path / "data").mkdir()
    assert run_processes(tmp_path / "data", "killed").startswith("[9]")
    CUT.set()
    assert requests == [f"{IMAGES}.gz"]
    left = tree(tmp_path / "data")
    assert len(left) == 1
    assert f"{IMAGES}.gz" not in left
    files[f"{IMAGES}.gz"] = content, length
    assert_mnist(*fetch_mnist(tmp_path / "data"))


# The real files


def test_every_real_file_has_its_hash():
    """Fails if a name in one table is missing or misspelt in another, or a hash is cut."""
    mnist = [name for files in REAL["_MNIST"].values() for name in files]
    cifar = [name for files in REAL["_CIFAR10"].values() for name in files]
    archives = [*(f"{name}.gz" for name in mnist), REAL["_CIFAR10_URL"].rpartition("/")[2]]
    assert set(REAL["_MD5"]) == {*mnist, *cifar, *archives}
    assert len(set(REAL["_MD5"].values())) == 15
    assert all(re.fullmatch("[0-9a-f]{32}", value) for value in REAL["_MD5"].values())


@pytest.fixture
def real_data(monkeypatch):
    """Put the module's own tables and the variable back."""
    for name, value in REAL.items():
        monkeypatch.setattr(datasets, name, value)
    monkeypatch.setenv("SKPOISON_DATA", DATA)
    return Path(DATA)


@needs_data
def test_real_files(real_data, tmp_path):
    """Fails if a published shape or hash is wrong, or if the splits are swapped."""
    counts = {
        "train": [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949],
        "test": [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009],
    }
    for split, n in (("train", 60_000), ("test", 10_000)):
        X, y = fetch_mnist(split=split)
        assert (X.shape, X.dtype, y.dtype) == ((n, 1, 28, 28), np.float32, np.int64)
        assert (X.min(), X.max()) == (0, 1)
        assert np.bincount(y).tolist() == counts[split]
    assert y[:10].tolist() == [7, 2, 1, 0, 4, 1, 4, 9, 5, 9]

    script = real_data / "make_cifar10.py"
    if not script.exists():
        return
    runpy.run_path(str(script))["main"](tmp_path)
    for split, n in (("train", 50_000), ("test", 10_000)):
        X, y = fetch_cifar10(tmp_path, split=split, verify=False)
        assert (X.shape, X.dtype, y.dtype) == ((n, 3, 32, 32), np.float32, np.int64)
        assert 0 <= X.min() < X.max() <= 1
        assert np.bincount(y).tolist() == [n // 10] * 10
        with pytest.raises(ValueError, match="published MD5"):  # JPEG copies are other pixels
            fetch_cifar10(tmp_path, split=split)
