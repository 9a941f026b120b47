"""What is measured on one case, in the worker process: the times, the verdicts, and nothing about limits or tables.

``TTFM`` is compile + start of a session + first mask. ``TBM`` is, for each later token, the mask into a preallocated
bitmask + the test of the token's bit + the commit. A token that its mask forbids ends the instance: its mask is timed
like any other, and no commit follows, except one outside the timed part that finds out whether mask and commit agree.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from jsonschemabench.case import Case, Instance
from jsonschemabench.engines.base import Bitmask, Compiled, Engine, Refused, Session, Settings
from jsonschemabench.tokenizer import Tokenizer

NUM_SLOWEST = 3
NUM_TAIL_CHARS = 40

Event = dict[str, Any]
"""A message from worker to supervisor: plain JSON data, ``event`` says which."""


@dataclass(frozen=True, slots=True)
class Bench:
    """What a worker has at hand: an engine that is set up, the tokenizer, the bitmask that all masks go into."""

    engine: Engine
    tokenizer: Tokenizer
    bitmask: Bitmask

    @classmethod
    def set_up(cls, engine: Engine, tokenizer: Tokenizer, settings: Settings) -> Bench:
        """Set the engine up and run it once, so that nothing timed later happens for the first time."""
        engine.setup(tokenizer, settings)
        bench = cls(engine, tokenizer, np.zeros((1, (tokenizer.vocab_size + 31) // 32), dtype=np.int32))
        _warm_up(bench)
        return bench


Job = Callable[[Bench, Any], Iterator[Event]]
"""What a worker does with a task."""


def measure_case(
    bench: Bench, case: Case, max_tokens: int | None = None, *, trust_commit: bool = False
) -> Iterator[Event]:
    """Compile, then judge every instance. Yields ``refused``, or ``compiled`` and one ``instance`` each.

    ``max_tokens`` cuts instances short; the verdict on one that was ``cut`` says only that it was allowed so far. With
    ``trust_commit`` a token that the mask forbids and the commit takes does not end its instance: where bytes are
    forced, llguidance's masks hold only the token that it would write itself.
    """
    # Not between compile and masks: the tokenizer's tables would take the place of the engine's in the core's caches.
    texts = [bench.tokenizer.encode(instance.text) for instance in case.instances]
    begin = time.perf_counter_ns()
    try:
        compiled = bench.engine.compile(case.schema)
        compiled_at = time.perf_counter_ns()
        session = compiled.start()
        session.mask(bench.bitmask)
        end = time.perf_counter_ns()
    except MemoryError:
        raise
    except Refused as refusal:
        yield {"event": "refused", "reason": str(refusal), "by_exception": False}
        return
    except Exception as error:
        yield {"event": "refused", "reason": f"{type(error).__name__}: {error}", "by_exception": True}
        return
    if trouble := session.error():
        yield {"event": "refused", "reason": f"first mask: {trouble}", "by_exception": True}
        return
    yield {"event": "compiled", "ttfm_ns": end - begin, "compile_ns": compiled_at - begin}
    fresh: Session | None = session
    for instance, token_ids in zip(case.instances, texts, strict=True):
        yield _judge(bench, compiled, fresh, instance, token_ids, max_tokens, trust_commit)
        fresh = None


def _judge(
    bench: Bench,
    compiled: Compiled,
    fresh: Session | None,
    instance: Instance,
    token_ids: list[int],
    max_tokens: int | None,
    trust_commit: bool,
) -> Event:
    """One instance. ``fresh`` is the session whose first mask was timed as part of TTFM, for the first instance."""
    cut = max_tokens is not None and len(token_ids) > max_tokens
    token_ids = token_ids[:max_tokens]
    mask_ns: list[int] = []
    accepted, disagree = False, False
    walk = _Walk()
    try:
        session = fresh if fresh is not None else compiled.start()
        _walk(walk, session, token_ids, bench.bitmask, mask_ns, skip_first=fresh is not None)
        failure = session.error()  # before the commit below, which may bring about an error of its own
        while walk.position < len(token_ids):
            committed = walk.committed
            if not walk.allowed and not failure:
                committed = session.commit(token_ids[walk.position])
            disagree = disagree or walk.allowed != committed
            if not (committed and trust_commit):
                break
            walk.position += 1
            _walk(walk, session, token_ids[walk.position :], bench.bitmask, mask_ns, skip_first=False)
            failure = session.error()
        if walk.position == len(token_ids):
            accepted = not failure and (cut or session.may_end())
    except MemoryError:
        raise
    except Exception as error:
        accepted, failure = False, f"{type(error).__name__}: {error}"
    return {
        "event": "instance",
        "valid": instance.valid,
        "accepted": accepted,
        "num_tokens": len(token_ids),
        "num_read": walk.position,
        "cut": cut,
        "error": failure,
        "disagree": disagree,
        "mask_ns": mask_ns,
        "first_in_ttfm": fresh is not None,
        "slowest": _slowest(bench.tokenizer, token_ids, mask_ns, offset=int(fresh is not None)),
    }


@dataclass(slots=True)
class _Walk:
    """How far an instance got: tokens taken, and what mask and commit said of the last one that was looked at."""

    position: int = 0
    allowed: bool = True
    committed: bool = True


def _walk(
    walk: _Walk, session: Session, token_ids: list[int], bitmask: Bitmask, mask_ns: list[int], *, skip_first: bool
) -> None:
    """Feed tokens until one is not taken. With ``skip_first`` the bitmask already holds the first token's mask."""
    words = bitmask.view(np.uint32)[0].data
    mask, commit, now, note = session.mask, session.commit, time.perf_counter_ns, mask_ns.append
    for token_id in token_ids:
        begin = now()
        if not skip_first:
            mask(bitmask)
        allowed = words[token_id >> 5] >> (token_id & 31) & 1
        committed = commit(token_id) if allowed else False
        end = now()
        if not skip_first:
            note(end - begin)
        skip_first = False
        if not committed:
            walk.allowed, walk.committed = bool(allowed), False
            return
        walk.position += 1


def _slowest(tokenizer: Tokenizer, token_ids: list[int], mask_ns: list[int], offset: int) -> list[dict[str, Any]]:
    """The slowest masks of an instance: which token, how long, and the end of the text before it."""
    order = sorted(range(len(mask_ns)), key=mask_ns.__getitem__, reverse=True)[:NUM_SLOWEST]
    slowest = []
    for index in order:
        position = index + offset
        before = tokenizer.decode_bytes(token_ids[max(0, position - NUM_TAIL_CHARS) : position])
        tail = before.decode(errors="replace")[-NUM_TAIL_CHARS:]
        slowest.append({"token": position, "ns": mask_ns[index], "tail": tail})
    return slowest


def _warm_up(bench: Bench) -> None:
    """Run a small schema through everything that is timed. A refusal is no fault here."""
    with contextlib.suppress(Refused):
        session = bench.engine.compile(WARM_UP_SCHEMA).start()
        for token_id in bench.tokenizer.encode(WARM_UP_TEXT):
            session.mask(bench.bitmask)
            if not session.commit(token_id):
                break


WARM_UP_SCHEMA = {
    "type": "object",
    "properties": {
        "name": {"type": "string"},
        "size": {"type": "integer"},
        "kind": {"enum": ["a", "b"]},
        "tags": {"type": "array", "items": {"type": "string"}},
    },
    "required": ["name"],
    "additionalProperties": False,
}
WARM_UP_TEXT = '{"name": "warm up", "size": 12, "kind": "b", "tags": ["x", "y"]}'
