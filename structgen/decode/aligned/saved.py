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

from structgen.decode.aligned.futures import DEFAULT_MAX_BYTES, NO_NODE, ROOT, Futures, Key, others
from structgen.errors import StructgenError
from structgen_kernels.futures import END

VERSION = "structgen futures 2"
_VALUES: dict[str, Any] = {"logits": np.float32, "logprobs": np.float64}
_DTYPES: dict[str, Any] = {
    "parent": np.int32,  # of each node, parents first: a node's number here, and the edge it is behind
    "parent_edge": np.int64,
    "width": np.int64,
    "shift": np.float64,
    "count": np.int64,  # of each node's edges, and of its ids: of its tokens, or of all others below `width`
    "ids_count": np.int64,
    "ids": np.int32,
    "known_node": np.int32,  # what is known of edges behind which no node is kept
    "known_edge": np.int64,
    "known_theta": np.float64,
    "known_is_end": np.bool_,
}
_MOST_LOGP = 1e-5
"""Of logits: their normaliser is a sum in float32."""


def save_futures(futures: Futures, path: str | PathLike[str]) -> None:
    """Write a trie; a file that is there is replaced in one step. States are left out: tokens lead to them again."""
    from safetensors.numpy import save_file

    live = futures.live()
    order = live[np.argsort(futures.depth[live], kind="stable")]
    number = np.full(futures.num_nodes + 1, NO_NODE, np.int32)
    number[order] = np.arange(len(order), dtype=np.int32)  # the last place stands for NO_NODE
    known = [
        (int(number[node]), edge, theta, child == END)
        for node in order.tolist()
        for edge, theta, child in futures.known(node)
        if child < 0
    ]
    node_column, edge_column, theta_column, end_column = zip(*known, strict=True) if known else ((), (), (), ())
    arrays = {
        "parent": number[futures.parent[order]],
        "parent_edge": np.array(
            [futures.parent_edge(node) if node != ROOT else 0 for node in order.tolist()], np.int64
        ),
        "width": np.where(futures.is_complement[order], futures.count[order] + futures.ids_count[order], 0),
        "shift": futures.shift[order],
        "count": futures.count[order],
        "ids_count": futures.ids_count[order],
        "ids": _pieces(futures.ids, futures.ids_start[order], futures.ids_count[order]),
        "values": _pieces(futures.values, futures.start[order], futures.count[order]),
        "known_node": np.array(node_column, np.int32),
        "known_edge": np.array(edge_column, np.int64),
        "known_theta": np.array(theta_column, np.float64),
        "known_is_end": np.array(end_column, np.bool_),
    }
    target = Path(path)
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=target.name, suffix=".part")
    os.close(handle)
    try:
        key = json.dumps(asdict(futures.key), sort_keys=True)
        metadata = {"version": VERSION, "key": key, "kind": futures.kind}
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
            kind = metadata["kind"]
            dtypes = {**_DTYPES, "values": _VALUES[kind]}
            arrays = {name: file.get_tensor(name) for name in dtypes}
    except (SafetensorError, ValueError, TypeError, KeyError) as error:
        raise _unusable(path, str(error)) from error
    reason = _fault(arrays, dtypes)
    if reason is not None:
        raise _unusable(path, reason)
    futures = Futures(key, max_bytes=max_bytes, kind=kind)
    reason = _rebuild(futures, arrays)
    if reason is not None:
        raise _unusable(path, reason)
    return futures


def _pieces(pool: Any, starts: Any, counts: Any) -> Any:
    """The pieces of a pool, one after the other."""
    pieces = [pool[start : start + count] for start, count in zip(starts.tolist(), counts.tolist(), strict=True)]
    return np.concatenate([pool[:0], *pieces])


def _unusable(path: str | PathLike[str], reason: str) -> StructgenError:
    return StructgenError(f"{os.fspath(path)} is not a usable trie of futures: {reason}", advice="delete it")


def _fault(arrays: dict[str, Any], dtypes: dict[str, Any]) -> str | None:
    """What is wrong with the arrays of a file, if anything."""
    for name, dtype in dtypes.items():
        if arrays[name].dtype != dtype or arrays[name].ndim != 1:
            return f"{name} is not a one-dimensional array of {np.dtype(dtype)}"
    parent, edge, count, ids_count = (arrays[name] for name in ("parent", "parent_edge", "count", "ids_count"))
    n = len(parent)
    if any(len(arrays[name]) != n for name in ("parent_edge", "width", "shift", "count", "ids_count")):
        return "its arrays differ in length"
    if any(len(arrays[name]) != len(arrays["known_node"]) for name in ("known_edge", "known_theta", "known_is_end")):
        return "its arrays differ in length"
    for name, counts in (("values", count), ("ids", ids_count)):
        if (counts < 0).any() or (counts > len(arrays[name])).any() or int(counts.sum()) != len(arrays[name]):
            return f"its {name} do not add up"
    is_complement = arrays["width"] > 0
    if (np.where(is_complement, arrays["width"] - ids_count, ids_count) != count).any():
        return "its edges do not add up"
    if n == 0:
        return "bounds without nodes" if len(arrays["known_node"]) else None
    if parent[0] != NO_NODE or (parent[1:] < 0).any() or (parent[1:] >= np.arange(1, n)).any():
        return "a node stands before its parent"
    known_node, known_edge = arrays["known_node"], arrays["known_edge"]
    if (known_node < 0).any() or (known_node >= n).any():
        return "a bound belongs to no node"
    taken = np.concatenate((parent[1:], known_node)), np.concatenate((edge[1:], known_edge))
    if (taken[1] < 0).any() or (taken[1] >= count[taken[0]]).any():
        return "a node hangs on no edge"
    start = np.cumsum(count) - count
    if len(np.unique(start[taken[0]] + taken[1])) != len(taken[0]):
        return "two nodes hang on one edge, or one on an end"
    node_of = np.repeat(np.arange(n), ids_count)
    highest = np.where(is_complement, arrays["width"], np.iinfo(np.int32).max)[node_of]
    ids = arrays["ids"]
    if (ids < 0).any() or (ids >= highest).any() or ((np.diff(ids) <= 0) & (np.diff(node_of) == 0)).any():
        return "tokens are not ascending"
    theta = arrays["known_theta"]
    if not (theta <= 0.0).all() or (theta[arrays["known_is_end"]] != 0.0).any():
        return "a bound is out of range"
    if not np.isfinite(arrays["values"]).all() or not np.isfinite(arrays["shift"]).all():
        return "a probability is out of range"
    return None


def _rebuild(futures: Futures, arrays: dict[str, Any]) -> str | None:
    """Puts the nodes of a file into an empty trie; or what is wrong with them."""
    count, ids_count = arrays["count"], arrays["ids_count"]
    starts, ids_starts = np.cumsum(count) - count, np.cumsum(ids_count) - ids_count
    bounds: dict[int, list[tuple[int, float, bool]]] = {}
    columns = (arrays[name].tolist() for name in ("known_node", "known_edge", "known_theta", "known_is_end"))
    for node, known_edge, theta, is_end in zip(*columns, strict=True):
        bounds.setdefault(node, []).append((known_edge, theta, is_end))
    for node, (parent, edge) in enumerate(zip(arrays["parent"].tolist(), arrays["parent_edge"].tolist(), strict=True)):
        ids = arrays["ids"][ids_starts[node] : ids_starts[node] + ids_count[node]]
        width = int(arrays["width"][node])
        tokens = others(ids, width) if width else ids
        futures.load_node(
            parent,
            edge,
            tokens,
            arrays["values"][starts[node] : starts[node] + count[node]],
            [each for each, _, is_end in bounds.get(node, ()) if is_end],
            width=width or int(ids[-1]) + 1 + len(ids) if len(ids) else 0,
            shift=float(arrays["shift"][node]),
        )
        if futures.logps(node).max(initial=-math.inf) > _MOST_LOGP:
            return "a probability is out of range"
        # Bounds of edges behind which nothing is kept are all that the file is believed; the rest follows.
        for each, theta, is_end in bounds.get(node, ()):
            if not is_end:
                futures.bound(node, each, theta)
    for node in range(futures.num_nodes - 1, ROOT - 1, -1):
        futures.refresh(node)
    return None
