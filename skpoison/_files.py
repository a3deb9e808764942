"""Text files that are written whole or not at all, and read with errors that name the file."""

import os
import shutil
import uuid
from pathlib import Path


def write_text(path, text):
    """Write the whole text to a file, or leave the file as it is."""
    write_texts({path: text})


def write_texts(texts):
    """Write texts to files by path: all of them whole, or leave the files as they are."""
    texts = {Path(path): text for path, text in texts.items()}
    new = {path: _beside(path) for path in texts}
    old = {}
    try:
        for path, text in texts.items():
            new[path].write_text(text, encoding="utf-8")
        # With the last file in its place nothing more can fail.
        for path in list(texts)[:-1]:
            old[path] = _beside(path) if path.exists() else None
            if old[path] is not None:
                shutil.copy2(path, old[path])
        for path in texts:
            os.replace(new[path], path)
    except BaseException:
        for path, copy in old.items():
            if new[path].exists():
                continue  # It is not in its place.
            if copy is None:
                path.unlink(missing_ok=True)
            else:
                os.replace(copy, path)
        raise
    finally:
        for temporary in (*new.values(), *filter(None, old.values())):
            temporary.unlink(missing_ok=True)


def _beside(path):
    """A new hidden name in the folder of a file."""
    return path.with_name(f".{path.name}.{uuid.uuid4().hex}")


def read(path, kind, decode):
    """What `decode` makes of the text of a file; ValueError if it does not hold `kind`."""
    return decoded(path, kind, lambda path: decode(Path(path).read_text(encoding="utf-8")), path)


def decoded(text, kind, decode, where="`text`"):
    """What `decode` makes of a text; ValueError if it does not hold `kind`."""
    try:
        return decode(text)
    except OSError:
        raise
    except (
        ValueError,
        TypeError,
        LookupError,
        AttributeError,
        RecursionError,
        OverflowError,
    ) as error:
        raise ValueError(f"{where} must hold {kind} in JSON: {error}") from error
