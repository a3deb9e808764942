"""Text files that are written whole or not at all, and read with errors that name the file."""

import os
import uuid
from pathlib import Path


def write_text(path, text):
    """Write the whole text to a file, or leave the file as it is."""
    write_texts({path: text})


def write_texts(texts):
    """Write texts to files by path: all of them whole, or leave the files as they are."""
    written, replaced = {}, {}
    try:
        for path, text in texts.items():
            path = Path(path)
            temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
            written[temporary] = path
            temporary.write_text(text, encoding="utf-8")
        for temporary, path in written.items():
            before = path.read_bytes() if path.exists() else None
            os.replace(temporary, path)
            replaced[path] = before
    except BaseException:
        for path, before in replaced.items():
            path.unlink() if before is None else path.write_bytes(before)
        for temporary in written:
            temporary.unlink(missing_ok=True)
        raise


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
