"""Tries of futures on disk: a safetensors file, whose header carries the version and the key. Nothing in it is run.

A file is trusted only as far as it can be checked: version, key and the whole shape of the trie are, and bounds are
computed anew from the edges. What was learnt comes from the file, so keep it where only you can write.
"""

from __future__ import annotations

import json
import math
import os
import tempfile
from dataclasses import asdict
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from structgen.decode.aligned.futures import DEFAULT_MAX_BYTES, NO_NODE, ROOT, Futures, Key
from structgen.errors import StructgenError
from structgen_kernels.futures import END, UNSEEN

VERSION = "structgen futures 1"
_DTYPES: dict[str, Any] = {
    "parent": np.int32,
    "parent_edge": np.int64,
    "count": np.int64,
    "token": np.int32,
    "logp": np.float64,
}
_DTYPES |= {"theta": np.float64, "is_end": np.bool_}


def save_futures(futures: Futures, path: str | PathLike[str]) -> None:
    """Write a trie; a file that is there is replaced in one step. States are left out: tokens lead to them again."""
    from safetensors.numpy import save_file

    order = _parents_first(futures)
    number = np.full(futures.num_nodes + 1, NO_NODE, np.int32)
    number[order] = np.arange(len(order), dtype=np.int32)  # the last place stands for NO_NODE
    rows = np.concatenate([np.zeros(0, np.int64), *(np.arange(*_span(futures, node)) for node in order)]).astype(
        np.int64
    )
    arrays = {
        "parent": number[futures.parent[order]],
        "parent_edge": futures.parent_edge[order],
        "count": futures.count[order],
        "token": futures.token[rows],
        "logp": futures.logp[rows],
        "theta": futures.theta[rows],
        "is_end": futures.child[rows] == END,
    }
    target = Path(path)
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=target.name, suffix=".part")
    os.close(handle)
    try:
        metadata = {"version": VERSION, "key": json.dumps(asdict(futures.key), sort_keys=True)}
        save_file({name: np.ascontiguousarray(array) for name, array in arrays.items()}, name, metadata=metadata)
        os.replace(name, target)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def load_futures(path: str | PathLike[str], key: Key, *, max_bytes: int = DEFAULT_MAX_BYTES) -> Futures:
    """The trie of a file. Raises `StructgenError` for another key or version, and for any damage."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(os.fspath(path), framework="numpy") as file:
            metadata = file.metadata() or {}
            if metadata.get("version") != VERSION:
                raise _unusable(path, f"it is not of version {VERSION!r}")
            found = Key(**json.loads(metadata["key"]))
            if found != key:
                raise StructgenError(
                    f"{os.fspath(path)} holds what was learnt about {found}, not {key}",
                    advice="give the model a `fingerprint` and the grammar a `constraint` name, both for good",
                )
            arrays = {name: file.get_tensor(name) for name in _DTYPES}
    except (SafetensorError, ValueError, TypeError, KeyError) as error:
        raise _unusable(path, str(error)) from error
    reason = _fault(arrays)
    if reason is not None:
        raise _unusable(path, reason)
    return _rebuilt(arrays, key, max_bytes)


def _parents_first(futures: Futures) -> Any:
    live = np.ones(futures.num_nodes, bool)
    live[futures._free] = False
    nodes = np.flatnonzero(live)
    return nodes[np.argsort(futures.depth[nodes], kind="stable")]


def _span(futures: Futures, node: int) -> tuple[int, int]:
    rows = futures.edges(node)
    return rows.start, rows.stop


def _unusable(path: str | PathLike[str], reason: str) -> StructgenError:
    return StructgenError(f"{os.fspath(path)} is not a usable trie of futures: {reason}", advice="delete it")


def _fault(arrays: dict[str, Any]) -> str | None:
    """What is wrong with the arrays of a file, if anything."""
    for name, dtype in _DTYPES.items():
        if arrays[name].dtype != dtype or arrays[name].ndim != 1:
            return f"{name} is not a one-dimensional array of {np.dtype(dtype)}"
    parent, edge, count = arrays["parent"], arrays["parent_edge"], arrays["count"]
    n, m = len(parent), len(arrays["token"])
    if len(edge) != n or len(count) != n or any(len(arrays[name]) != m for name in ("logp", "theta", "is_end")):
        return "its arrays differ in length"
    if n == 0:
        return None if m == 0 else "edges without nodes"
    if (count < 0).any() or int(count.sum()) != m:
        return "its edges do not add up"
    if parent[0] != NO_NODE or (parent[1:] < 0).any() or (parent[1:] >= np.arange(1, n)).any():
        return "a node stands before its parent"
    if (edge[1:] < 0).any() or (edge[1:] >= count[parent[1:]]).any():
        return "a node hangs on no edge"
    start = np.cumsum(count) - count
    taken = start[parent[1:]] + edge[1:]
    if len(np.unique(taken)) != len(taken) or arrays["is_end"][taken].any():
        return "two nodes hang on one edge, or one on an end"
    node_of = np.repeat(np.arange(n), count)
    if (arrays["token"] < 0).any() or ((np.diff(arrays["token"]) <= 0) & (np.diff(node_of) == 0)).any():
        return "tokens are not ascending"
    if not ((arrays["logp"] <= 1e-9) & (arrays["logp"] > -math.inf)).all() or not (arrays["theta"] <= 0.0).all():
        return "a probability is out of range"
    return None


def _rebuilt(arrays: dict[str, Any], key: Key, max_bytes: int) -> Futures:
    futures = Futures(key, max_bytes=max_bytes)
    start = np.cumsum(arrays["count"]) - arrays["count"]
    for parent, edge, first, count in zip(
        arrays["parent"].tolist(),
        arrays["parent_edge"].tolist(),
        start.tolist(),
        arrays["count"].tolist(),
        strict=True,
    ):
        rows = slice(first, first + count)
        futures.load_node(parent, edge, arrays["token"][rows], arrays["logp"][rows], arrays["is_end"][rows])
    # Bounds of edges behind which nothing is kept are all that the file is believed; the rest follows.
    futures.theta[: len(arrays["theta"])] = np.where(
        (futures.child[: len(arrays["theta"])] == UNSEEN), arrays["theta"], 0.0
    )
    for node in range(futures.num_nodes - 1, ROOT - 1, -1):
        futures.refresh(node)
    return futures
