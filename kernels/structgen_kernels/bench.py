"""``python -m structgen_kernels.bench``: `verify_tree` beside the unfused chain in torch, taking turns in one process.

The chain is what a server does without fused kernels: copy the masks to the logits' device, unpack them, fill with
-inf, softmax, draw one token a row. "Packed" is the same with `apply_bitmask`, which needs no unpacking, on a copy of
the logits. The walk down the tree, which they would still need, is not charged to them. `verify_tree` is timed without
and with the log-masses of all rows; the latter reads every logit, allowed or not, as the chain does.

On a GPU (``--device cuda``) the kernels are timed on the device, and set against the time that reading the logits once
takes at the memory bandwidth given with ``--bandwidth``.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from structgen_kernels.bench_futures import NodeCase
from structgen_kernels.bitmask import apply_bitmask
from structgen_kernels.verify import _batch, verify_tree

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--rows", type=int, nargs="+", default=[1, 8, 64])
    parser.add_argument("--vocabulary", type=int, default=131072)
    parser.add_argument("--dtypes", nargs="+", default=["float32", "bfloat16"], choices=DTYPES)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--bandwidth", type=float, default=3350.0, help="GB/s, for the floor on a GPU")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    on_gpu = arguments.device != "cpu"
    print(f"{arguments.device}, vocabulary {arguments.vocabulary}, {arguments.threads} threads; medians in µs")
    print(f"| type | mask | rows | chain | packed | verify_tree | with log-mass | chain / mass | packed / mass |"
          f"{' floor | mass / floor |' if on_gpu else ''}")  # fmt: skip
    print("|---|---|---|---|---|---|---|---|---|" + ("---|---|" if on_gpu else ""))
    for name in arguments.dtypes:
        for share, label in ((0.98, "98 % allowed"), (0.002, "0.2 % allowed")):
            for rows in arguments.rows:
                case = Case(rows, arguments.vocabulary, DTYPES[name], share, arguments.device)
                runs = case.runs()
                times = interleaved(runs, arguments.rounds, case.clock)
                chain, packed, walk, mass = (times[each] for each in runs)
                line = f"| {name} | {label} | {rows} | {chain:.0f} | {packed:.0f} | {walk:.0f} | {mass:.0f} |"
                line += f" {chain / mass:.1f} × | {packed / mass:.1f} × |"
                if on_gpu:
                    floor = case.logits.nbytes / arguments.bandwidth / 1e3
                    line += f" {floor:.1f} | {mass / floor:.2f} × |"
                print(line, flush=True)
    if not on_gpu:
        print_futures(arguments.vocabulary, arguments.rounds)


def print_futures(width: int, rounds: int) -> None:
    """The table of the trie of expected futures."""
    print(f"\nthe trie of expected futures, vocabulary {width}; medians in µs\n")
    print("| mask | allowed | log-softmax, mask, sum | gather | ratio | sum of all edges | refresh | ratio | bytes |")
    print("|---|---|---|---|---|---|---|---|---|")
    for share, label in ((0.98, "98 % allowed"), (0.5, "50 % allowed"), (0.002, "0.2 % allowed")):
        case = NodeCase(width, share)
        times = interleaved(case.runs(), rounds, _clock)
        chain, gather, summed, refresh = times.values()
        line = f"| {label} | {case.n} | {chain:.0f} | {gather:.0f} | {chain / gather:.1f} × | {summed:.1f} "
        line += f"| {refresh:.1f} | {summed / refresh:.1f} × | {case.bytes_before} → {case.bytes} |"
        print(line, flush=True)


def _clock(run: Callable[[], Any]) -> float:
    """µs of one run."""
    started = time.perf_counter_ns()
    run()
    return (time.perf_counter_ns() - started) / 1000


class Case:
    """Random logits, masks and a draft tree of `rows` rows whose likely paths are accepted now and then."""

    def __init__(self, rows: int, width: int, dtype: Any, share: float, device: str) -> None:
        rng = np.random.default_rng(0)
        self.logits = torch.randn(rows, width, generator=torch.Generator().manual_seed(0)).mul_(3).to(dtype).to(device)
        words = -(-width // 32)
        allowed = np.pad(rng.random((rows, width)) < share, ((0, 0), (0, 32 * words - width)))
        self.host_masks = torch.from_numpy(np.packbits(allowed, axis=1, bitorder="little").view(np.int32))
        self.masks = self.host_masks.to(device)  # the mask store: it lives on the device
        self.ids = np.arange(rows, dtype=np.int32)
        self.parents = np.array([-1, *((i - 1) // 2 for i in range(1, rows))], np.int32)
        self.uniforms = rng.random((1, 1 + rows.bit_length()))
        likeliest = self.logits.float().masked_fill(~torch.from_numpy(allowed[:, :width]).to(device), -1e30).argmax(-1)
        self.tokens = likeliest.cpu().numpy()[np.maximum(self.parents, 0)].astype(np.int32)
        self.on_gpu = device != "cpu"

    def runs(self) -> dict[str, Callable[[], Any]]:
        """What takes turns."""
        if not self.on_gpu:
            return {
                "chain": self.chain,
                "packed": self.packed_chain,
                "verify_tree": lambda: self.verify(False),
                "with log-mass": lambda: self.verify(True),
            }
        from structgen_kernels.triton_verify import launch, prepare

        batch = _batch(self.logits, self.masks, self.ids, self.parents, self.tokens, None, 1.0, None, None,
                       self.uniforms)  # fmt: skip
        inputs = prepare(self.logits, self.masks, batch)
        return {
            "chain": self.chain,
            "packed": self.packed_chain,
            "verify_tree": lambda: launch(inputs, with_log_mass=False),
            "with log-mass": lambda: launch(inputs, with_log_mass=True),
        }

    def chain(self) -> Any:
        """Copy, unpack, fill, softmax, draw."""
        masks = self.host_masks.to(self.logits.device, copy=True)
        bits = torch.arange(32, dtype=torch.int32, device=masks.device)
        allowed = ((masks.unsqueeze(-1) >> bits) & 1).bool().flatten(1)[:, : self.logits.shape[1]]
        probabilities = torch.softmax(self.logits.masked_fill(~allowed, float("-inf")), -1, dtype=torch.float32)
        return torch.multinomial(probabilities, 1)

    def packed_chain(self) -> Any:
        """Copy, mask a copy of the logits, softmax, draw."""
        masks = self.host_masks.to(self.logits.device, copy=True)
        masked = self.logits.clone()
        apply_bitmask(masked, masks)
        return torch.multinomial(torch.softmax(masked, -1, dtype=torch.float32), 1)

    def verify(self, with_log_mass: bool) -> Any:
        """The fused kernels, sampling at temperature 1."""
        return verify_tree(self.logits, self.masks, self.ids, self.parents, self.tokens, temperature=1.0,
                           uniforms=self.uniforms, with_log_mass=with_log_mass)  # fmt: skip

    def clock(self, run: Callable[[], Any]) -> float:
        """µs of one run; on a GPU, of its work on the device."""
        if not self.on_gpu:
            return _clock(run)
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        torch.cuda.synchronize()
        begin.record()
        run()
        end.record()
        torch.cuda.synchronize()
        return float(begin.elapsed_time(end)) * 1000


def interleaved(
    runs: dict[str, Callable[[], Any]], rounds: int, clock: Callable[[Callable[[], Any]], float]
) -> dict[str, float]:
    """The median time of each, in µs; they take turns, after two rounds to warm up."""
    times: dict[str, list[float]] = {name: [] for name in runs}
    for i in range(rounds + 2):
        for name, run in runs.items():
            taken = clock(run)
            if i >= 2:
                times[name].append(taken)
    return {name: statistics.median(each) for name, each in times.items()}


if __name__ == "__main__":
    main()
