"""The JSON text of curves."""

import base64
import json
import math
import zlib

import numpy as np

FORMAT = "skpoison.RobustnessCurve"
FORMAT_OF_MANY = "skpoison.RobustnessCurves"
VERSION = 4
TABLES = ("scores", "train_scores", "fit_times")
# JSON has no word for these. Before version 4, files have NaN and Infinity as Python writes them.
WORDS = {None: math.nan, "inf": math.inf, "-inf": -math.inf}


def to_text(state):
    """The JSON text of a curve's fields, a dict."""
    head = {"format": FORMAT, "version": VERSION}
    return json.dumps({**head, **_encoded_state(state)}, indent=1, allow_nan=False)


def from_text(text):
    """The fields of a curve; for other text an error of one of many classes."""
    state = json.loads(text)
    return _decoded_state(state, _pop_version(state, FORMAT))


def many_to_text(states):
    """The JSON text of several curves: a dict of names to fields."""
    curves = {name: _encoded_state(state) for name, state in states.items()}
    head = {"format": FORMAT_OF_MANY, "version": VERSION}
    return json.dumps({**head, "curves": curves}, indent=1, allow_nan=False)


def many_from_text(text):
    """The fields of several curves by name; for other text an error of one of many classes."""
    state = json.loads(text)
    version = _pop_version(state, FORMAT_OF_MANY)
    return {name: _decoded_state(curve, version) for name, curve in state["curves"].items()}


def _pop_version(state, format_name):
    version = state.pop("version")
    found = state.pop("format")
    if found != format_name or type(version) is not int or not 1 <= version <= VERSION:
        raise ValueError("another format")
    return version


def _encoded_state(state):
    tables = {
        table: {name: _rows(values) for name, values in state[table].items()} for table in TABLES
    }
    values = [_encoded(value) for value in state["param_range"]]
    hits = state["hits"] and {name: _packed(bits) for name, bits in state["hits"].items()}
    return {**state, **tables, "param_range": values, "hits": hits}


def _decoded_state(state, version):
    for table in TABLES:
        state[table] = {name: _numbers(rows) for name, rows in state[table].items()}
    if version == 1:
        # Values are those that JSON can hold. Nothing is said of test sets and of splits that share
        # rows, so that there is nothing to judge by.
        state["sharing"] = [[True] * state["n_splits"] for _ in range(state["n_splits"])]
    else:
        state["param_range"] = [_decoded(value) for value in state["param_range"]]
        if state.get("hits") is not None:
            shape = np.shape(next(iter(state["scores"].values())))
            state["hits"] = {n: _unpacked(t, shape) for n, t in state["hits"].items()}
    return state


def _packed(bits):
    return base64.b64encode(zlib.compress(bits.tobytes(), 9)).decode()


def _unpacked(text, shape):
    try:
        bits = zlib.decompress(base64.b64decode(text, validate=True))
    except zlib.error as error:
        raise ValueError(f"hits must be packed bits: {error}") from error
    return np.frombuffer(bits, dtype=np.uint8).reshape(*shape, -1).copy()


def _encoded(value):
    """A value of the parameter for JSON. What JSON has no word for is an object with one key."""
    if isinstance(value, np.generic):
        value = value.item()
    if type(value) is float and not math.isfinite(value):
        return {"float": str(value)}
    if value is None or type(value) in (bool, int, float, str):
        return value
    if type(value) is list:
        return [_encoded(entry) for entry in value]
    if type(value) is tuple:
        return {"tuple": [_encoded(entry) for entry in value]}
    if type(value) is dict:
        return {"dict": [[_encoded(key), _encoded(entry)] for key, entry in value.items()]}
    return {"label": str(value)}


def _decoded(value):
    if isinstance(value, list):
        return [_decoded(entry) for entry in value]
    if not isinstance(value, dict):
        return value
    ((kind, content),) = value.items()
    if kind == "tuple" and isinstance(content, list):
        return tuple(_decoded(entry) for entry in content)
    if kind == "dict" and isinstance(content, list):
        return {_decoded(key): _decoded(entry) for key, entry in content}
    if kind == "label" and isinstance(content, str):
        return content
    if kind == "float" and content in ("nan", "inf", "-inf"):
        return float(content)
    raise ValueError(f"param_range must not have {value}")


def _rows(values):
    """The rows of a table for JSON."""
    return [[_number(value) for value in row] for row in values.tolist()]


def _number(value):
    if math.isnan(value):
        return None
    return value if math.isfinite(value) else str(value)


def _numbers(rows):
    """The array of a table in JSON, checked: numpy turns any string and null into a number."""
    rows = [[WORDS.get(x, x) if x is None or type(x) is str else x for x in row] for row in rows]
    if any(type(value) not in (int, float) for row in rows for value in row):
        raise ValueError("a table must have numbers only")
    return np.array(rows, dtype=np.float64)
