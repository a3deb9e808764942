"""Words of the caller, such as names and labels, made fit for a picture."""


def shortened(words, longest=24):
    """Words in one line, and not longer than a number of letters."""
    words = " ".join(str(words).split())
    return words if len(words) <= longest else words[: longest - 1] + "…"
