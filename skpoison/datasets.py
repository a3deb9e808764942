"""MNIST and CIFAR-10 as arrays, read from their published files.

Files in the data folder are used as they are and never replaced; missing files are downloaded and
checked. Nothing is unpickled. Whatever the files hold, the result is the right arrays, a ValueError
or an OSError.
"""

import gzip
import hashlib
import math
import os
import shutil
import tarfile
import tempfile
import zlib
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from ._typing import Array
from ._validation import check_bool, check_choice

__all__ = ["fetch_cifar10", "fetch_mnist"]


_MNIST_URL = "https://ossci-datasets.s3.amazonaws.com/mnist/"
_MNIST = {  # published names, without ".gz": images, then labels
    "train": {"train-images-idx3-ubyte": (60_000, 28, 28), "train-labels-idx1-ubyte": (60_000,)},
    "test": {"t10k-images-idx3-ubyte": (10_000, 28, 28), "t10k-labels-idx1-ubyte": (10_000,)},
}
_CIFAR10_URL = "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz"
_CIFAR10_FOLDER = "cifar-10-batches-bin"  # in the archive and in the data folder
_CIFAR10 = {
    "train": [f"data_batch_{k}.bin" for k in range(1, 6)],
    "test": ["test_batch.bin"],
}
_CIFAR10_RECORDS = 10_000  # in each file
_CIFAR10_RECORD = 1 + 3 * 32 * 32  # bytes: a label, then the red, green and blue planes

_MD5 = {
    # The uncompressed MNIST files (other compressors give other .gz files), then the .gz files as
    # published.
    "train-images-idx3-ubyte": "6bbc9ace898e44ae57da46a324031adb",
    "train-labels-idx1-ubyte": "a25bea736e30d166cdddb491f175f624",
    "t10k-images-idx3-ubyte": "2646ac647ad5339dbf082846283269ea",
    "t10k-labels-idx1-ubyte": "27ae3e4e09519cfbb04c329615203637",
    "train-images-idx3-ubyte.gz": "f68b3c2dcbeaaa9fbdd348bbdeb94873",
    "train-labels-idx1-ubyte.gz": "d53e105ee54ea40749a09fcbcd1e9432",
    "t10k-images-idx3-ubyte.gz": "9fb629c4189551a2d022fa330f9573f3",
    "t10k-labels-idx1-ubyte.gz": "ec29112dd5afa0611ce80d1b7f02629c",
    # The hash of the archive is from the page that publishes it. That page has no hashes of single
    # files. They are from two unrelated projects, which also have the hash of the archive:
    # rai-project/dldataset (vision/cifar10.go) and prabhuomkar/pytorch-cpp
    # (cmake/fetch_cifar10.cmake).
    "cifar-10-binary.tar.gz": "c32a1d4ab5d03f1284b67883e8d87530",
    "data_batch_1.bin": "5dd7e06a14cb22eb9f671a540d1b7c25",
    "data_batch_2.bin": "5ea93a67294ea407fff1d09f752e9692",
    "data_batch_3.bin": "942cd6a4bcdd0dd3c604fbe906cb4421",
    "data_batch_4.bin": "ae636b3ba5c66a11e91e8cb52e771fcb",
    "data_batch_5.bin": "53f37980c15c3d472c316c40844f3f0d",
    "test_batch.bin": "803d5f7f4d78ea53de84dbe85f74fb6d",
}

# Errors of the standard library for damaged gzip and tar files. (BadGzipFile is an OSError.)
_DAMAGED = (EOFError, zlib.error, gzip.BadGzipFile, tarfile.TarError)


def fetch_mnist(
    data_home: str | os.PathLike[str] | None = None, split: str = "train", verify: bool = True
) -> tuple[Array, Array]:
    """Load MNIST: 28x28 grey images of handwritten digits, 10 classes.

    Reads the published IDX files, gzipped (``train-images-idx3-ubyte.gz``) or plain
    (``train-images-idx3-ubyte``), in their original order. Missing files (11 MB for both splits)
    are downloaded; files that are there are never replaced.

    Parameters
    ----------
    data_home : str or path-like, default=None
        Folder of the files. None means the environment variable ``SKPOISON_DATA`` and, where
        that is unset or empty, the cache folder ``pooch.os_cache("skpoison")``.
    split : {"train", "test"}, default="train"
        60,000 training images or 10,000 test images.
    verify : bool, default=True
        Whether to compare the MD5 of the uncompressed files with the published ones. Header,
        length and labels are always checked, and so is the MD5 of a downloaded file.

    Returns
    -------
    X : ndarray of shape (n, 1, 28, 28), dtype float32
        Grey levels divided by 255: 0 is background, 1 is full ink.
    y : ndarray of shape (n,), dtype int64
        Digits 0 to 9.

    Raises
    ------
    ValueError
        If `split` is unknown, or a file or a download is damaged or not the published one.
    OSError
        If a file cannot be read, or a missing one cannot be downloaded or written.
    ImportError
        If a file is missing, or no folder is named, and pooch is not installed.

    References
    ----------
    Y. LeCun, L. Bottou, Y. Bengio, P. Haffner. "Gradient-based learning applied to document
    recognition." Proceedings of the IEEE 86(11), 1998.

    Examples
    --------
    With the files at hand or a network, ``X, y = fetch_mnist()``. A wrong name fails before
    anything is read or downloaded:

    >>> from skpoison.datasets import fetch_mnist
    >>> fetch_mnist(split="validation")
    Traceback (most recent call last):
        ...
    ValueError: `split` must be one of 'train', 'test', got 'validation'
    """
    check_choice(split, "split", tuple(_MNIST))
    check_bool(verify, "verify")
    folder = _data_folder(data_home)
    paths = [_find_idx(folder, name) or _download_idx(folder, name) for name in _MNIST[split]]
    images, labels = (
        _read_idx(path, name, shape, verify)
        for path, (name, shape) in zip(paths, _MNIST[split].items(), strict=True)
    )
    _check_labels(labels, paths[1])
    return images[:, np.newaxis] / np.float32(255), labels.astype(np.int64)


def fetch_cifar10(
    data_home: str | os.PathLike[str] | None = None, split: str = "train", verify: bool = True
) -> tuple[Array, Array]:
    """Load CIFAR-10: 32x32 colour images of animals and vehicles, 10 classes.

    Reads the binary version, ``cifar-10-batches-bin/data_batch_1.bin`` to ``data_batch_5.bin``
    and ``test_batch.bin``, in their original order. Files that are missing are taken from
    ``cifar-10-binary.tar.gz`` in the data folder or, without it, from a download of that archive
    (162 MB, not kept); files that are there are never replaced.

    Parameters
    ----------
    data_home : str or path-like, default=None
        Folder that holds ``cifar-10-batches-bin``. None means the environment variable
        ``SKPOISON_DATA`` and, where that is unset or empty, the cache folder
        ``pooch.os_cache("skpoison")``.
    split : {"train", "test"}, default="train"
        50,000 training images or 10,000 test images.
    verify : bool, default=True
        Whether to compare the MD5 of each ``.bin`` file with the published one. Pass
        False for copies with other pixels, such as JPEG copies. Length and labels are always
        checked, and so is the MD5 of the archive before it is opened.

    Returns
    -------
    X : ndarray of shape (n, 3, 32, 32), dtype float32
        Red, green and blue levels divided by 255, in [0, 1].
    y : ndarray of shape (n,), dtype int64
        Classes: 0 airplane, 1 automobile, 2 bird, 3 cat, 4 deer, 5 dog, 6 frog, 7 horse, 8 ship,
        9 truck.

    Raises
    ------
    ValueError
        If `split` is unknown, or a file or a download is damaged or not the published one.
    OSError
        If a file cannot be read, or a missing one cannot be downloaded or written.
    ImportError
        If a file is missing, or no folder is named, and pooch is not installed.

    References
    ----------
    A. Krizhevsky. "Learning multiple layers of features from tiny images." Technical report,
    University of Toronto, 2009.

    Examples
    --------
    With the files at hand or a network, ``X, y = fetch_cifar10()``. A wrong name fails before
    anything is read or downloaded:

    >>> from skpoison.datasets import fetch_cifar10
    >>> fetch_cifar10(split="validation")
    Traceback (most recent call last):
        ...
    ValueError: `split` must be one of 'train', 'test', got 'validation'
    """
    check_choice(split, "split", tuple(_CIFAR10))
    check_bool(verify, "verify")
    folder = _data_folder(data_home)
    paths = [folder / _CIFAR10_FOLDER / name for name in _CIFAR10[split]]
    if not all(os.path.isfile(path) for path in paths):
        _install_cifar10(folder)
    X = np.empty((len(paths) * _CIFAR10_RECORDS, 3, 32, 32), np.float32)
    y = np.empty(len(X), np.int64)
    for k, path in enumerate(paths):
        rows = slice(k * _CIFAR10_RECORDS, (k + 1) * _CIFAR10_RECORDS)
        y[rows], pixels = _read_batch(path, verify)
        np.divide(pixels, np.float32(255), out=X[rows])
    return X, y


def _data_folder(data_home):
    if data_home is None:
        data_home = os.environ.get("SKPOISON_DATA") or _import_pooch().os_cache("skpoison")
    return Path(data_home).expanduser()


def _import_pooch():
    try:
        import pooch
    except ModuleNotFoundError as exc:
        raise ImportError(
            "pooch is needed to download data: pip install 'skpoison[data]', or name the "
            "folder of the files with `data_home` or the environment variable SKPOISON_DATA"
        ) from exc
    return pooch


# Readers: each file is read once, so the bytes that are checked are the bytes that are returned.


def _read_content(path, size):
    """Return the content of a plain or gzipped file that must have `size` bytes uncompressed."""
    opener = gzip.open if path.suffix == ".gz" else open
    try:
        with opener(path, "rb") as file:
            content = file.read(size + 1)  # one byte more shows that a file is too long
    except _DAMAGED as exc:
        raise ValueError(f"{path} must be a complete gzip file, got {exc!r}") from exc
    if len(content) != size:
        got = f"{len(content)}" if len(content) < size else "more"
        raise ValueError(f"{path} must hold exactly {size} bytes (uncompressed), got {got}")
    return content


def _md5(content=b""):
    # Without this argument it is an error where FIPS is enforced.
    return hashlib.md5(content, usedforsecurity=False)


def _check_md5(digest, name, path, remedy=""):
    if digest.hexdigest() != _MD5[name]:
        raise ValueError(
            f"{path} must have the published MD5 {_MD5[name]}, got {digest.hexdigest()}; "
            f"remove the file to download it again{remedy}"
        )


def _check_content(content, name, path):
    _check_md5(_md5(content), name, path, ", or pass verify=False to read it as it is")


def _check_labels(labels, path):
    if labels.max() > 9:
        row = int(labels.argmax())
        raise ValueError(f"{path} must have labels 0 to 9, got {labels[row]} in row {row}")


def _read_idx(path, name, shape, verify):
    """Return the array in an IDX file, uint8 of the given shape."""
    # 0, 0, the type (8: unsigned bytes), the number of axes, and the axes as big-endian 32 bits.
    header = bytes([0, 0, 8, len(shape)]) + b"".join(axis.to_bytes(4, "big") for axis in shape)
    content = _read_content(path, len(header) + math.prod(shape))
    if not content.startswith(header):
        raise ValueError(
            f"{path} must start with the IDX header of unsigned bytes of shape {shape}, "
            f"{header.hex(' ', -4)}, got {content[: len(header)].hex(' ', -4)}"
        )
    if verify:
        _check_content(content, name, path)
    return np.frombuffer(content, np.uint8, offset=len(header)).reshape(shape)


def _read_batch(path, verify):
    """Return labels (n,) and pixels (n, 3, 32, 32) of one CIFAR-10 file, uint8."""
    content = _read_content(path, _CIFAR10_RECORDS * _CIFAR10_RECORD)
    if verify:
        _check_content(content, path.name, path)
    records = np.frombuffer(content, np.uint8).reshape(_CIFAR10_RECORDS, _CIFAR10_RECORD)
    _check_labels(records[:, 0], path)
    return records[:, 0], records[:, 1:].reshape(-1, 3, 32, 32)


# Downloads: files get their names only when they are complete and checked.


@contextmanager
def _explain(url, folder):
    """Add to an OSError which file could not be written, where, and what to do instead."""
    try:
        yield
    except OSError as exc:  # requests' errors are OSErrors too
        raise OSError(
            f"cannot put {url} into the folder {folder}: {exc}. Put the file there by hand, or "
            "name another folder with `data_home` or the environment variable SKPOISON_DATA"
        ) from exc


def _retrieve(url, folder):
    """Download to a temporary file in `folder`, which gets its name once it is checked."""
    pooch = _import_pooch()
    # Without this header a server may compress the file again, and its hash would differ.
    downloader = pooch.HTTPDownloader(headers={"Accept-Encoding": "identity"}, chunk_size=2**16)
    name = url.rpartition("/")[2]
    known_hash = f"md5:{_MD5[name]}"
    return Path(pooch.retrieve(url, known_hash, fname=name, path=folder, downloader=downloader))


def _find_idx(folder, name):
    paths = (folder / f"{name}.gz", folder / name)
    return next((path for path in paths if os.path.isfile(path)), None)


def _download_idx(folder, name):
    url = f"{_MNIST_URL}{name}.gz"
    with _explain(url, folder):
        return _retrieve(url, folder)


def _install_cifar10(folder):
    """Extract the CIFAR-10 files that are missing in `folder` from the archive."""
    names = [name for split in _CIFAR10.values() for name in split]
    with _explain(_CIFAR10_URL, folder):
        folder.mkdir(parents=True, exist_ok=True)
        # On the disk of `folder`, so that renaming is atomic, and another one for each process.
        with tempfile.TemporaryDirectory(prefix=".skpoison-", dir=folder) as scratch:
            scratch = Path(scratch)
            archive = folder / "cifar-10-binary.tar.gz"
            if os.path.isfile(archive):
                with open(archive, "rb") as file:
                    _check_md5(hashlib.file_digest(file, _md5), archive.name, archive)
            else:
                archive = _retrieve(_CIFAR10_URL, scratch)
            _extract(archive, names, scratch)
            target = folder / _CIFAR10_FOLDER
            target.mkdir(exist_ok=True)
            for name in names:
                if not (target / name).exists():
                    os.replace(scratch / name, target / name)


def _extract(archive, names, folder):
    """Extract the files `names` from the archive to `folder`; raise if one is missing.

    The caller must have checked the archive's MD5: tarfile may use any amount of memory for a
    malicious archive.
    """
    missing = set(names)
    size = _CIFAR10_RECORDS * _CIFAR10_RECORD
    try:
        with tarfile.open(archive, "r:gz") as tar:
            for member in tar:
                parent, _, name = member.name.rpartition("/")
                if parent != _CIFAR10_FOLDER or name not in missing or not member.isreg():
                    continue
                if member.size != size:
                    raise ValueError(
                        f"{name} in {archive} must have {size} bytes, got {member.size}"
                    )
                # The name is one of ours and the folder is new: nothing else can be written.
                with tar.extractfile(member) as source, open(folder / name, "xb") as target:
                    shutil.copyfileobj(source, target)
                missing.remove(name)
    except _DAMAGED as exc:
        raise ValueError(f"{archive} must be a complete .tar.gz archive, got {exc!r}") from exc
    if missing:
        raise ValueError(f"{archive} must have {sorted(missing)} as regular files, got none")
