"""The decoding loop, one for all engines, and what is measured in it. It runs in a worker process.

A step is: fill the mask, run the model over the tokens that it has not read, take the likeliest token that the mask
allows, commit it. With ``skip_forced``, a mask that leaves one token is taken at its word and the model is not run:
greedy decoding writes the same text, and a later forward pass reads several tokens at once.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from jsonschemabench.engines.base import Bitmask, Refused, Session
from jsonschemabench.engines.unconstrained import UNCONSTRAINED
from jsonschemabench.measure import Bench, Event
from jsonschemabench.model import Model

END, LENGTH, STUCK = "end", "length", "stuck"
"""Why a text ends: the model ended it, it has as many tokens as it may, or the engine allows or takes no token."""


@dataclass(frozen=True, slots=True)
class Task:
    """A text to be written."""

    id: str
    split: str
    schema: Any
    prompt_ids: tuple[int, ...]


@dataclass(slots=True)
class _Text:
    """What was written so far, and how long each step took. Step 0 is part of the time to the first token."""

    token_ids: list[int] = field(default_factory=list)
    step_ns: list[int] = field(default_factory=list)
    engine_ns: list[int] = field(default_factory=list)
    num_passes: int = 0
    num_forced: int = 0
    finish: str = LENGTH
    detail: str = ""


@dataclass
class Writer:
    """The lane's job: compiles the task's schema and writes one text. Yields ``refused``, or ``compiled``, ``written``.

    ``load`` is called in the nursery, so that every worker shares the model's memory.
    """

    model: Model
    max_tokens: int
    skip_forced: bool = False

    def __call__(self, bench: Bench, task: Task) -> Iterator[Event]:
        self.model.ready()
        begin = time.perf_counter_ns()
        try:
            session = None if bench.engine.name == UNCONSTRAINED else bench.engine.compile(task.schema).start()
        except MemoryError:
            raise
        except Exception as error:
            refused = isinstance(error, Refused)
            reason = str(error) if refused else f"{type(error).__name__}: {error}"
            yield {"event": "refused", "reason": reason, "by_exception": not refused}
            return
        compile_ns = time.perf_counter_ns() - begin
        yield {"event": "compiled", "compile_ns": compile_ns if session is not None else None}
        text = _Text()
        self._write(text, session, task, bench.bitmask)
        yield {
            "event": "written",
            "ttft_ns": compile_ns + text.step_ns[0] if text.step_ns else None,
            "step_ns": text.step_ns[1:],
            "engine_ns": text.engine_ns[1:],
            "num_tokens": len(text.step_ns),
            "num_passes": text.num_passes,
            "num_forced": text.num_forced,
            "finish": text.finish,
            "detail": text.detail,
            "text": bench.tokenizer.decode_bytes(text.token_ids).decode(errors="surrogateescape"),
        }

    def _write(self, text: _Text, session: Session | None, task: Task, bitmask: Bitmask) -> None:
        """Steps until the text ends. The token that ends it counts as one, and is not in ``token_ids``."""
        now = time.perf_counter_ns
        continuation, unread = self.model.begin(), list(task.prompt_ids)
        while len(text.step_ns) < self.max_tokens:
            begin = now()
            try:
                if session is not None:
                    session.mask(bitmask)
                masked = now()
                only = sole_token(bitmask) if session is not None else None
                looked = now()
                if only is not None and self.skip_forced:
                    token_id: int | None = only
                else:
                    continuation.read(unread)
                    unread = []
                    text.num_passes += 1
                    token_id = continuation.choose(None if session is None else bitmask)
                chosen = now()
                ended = token_id in self.model.end_ids
                taken = ended or (token_id is not None and (session is None or session.commit(token_id)))
                end = now()
                failure = session.error() if session is not None and not ended else ""
            except MemoryError:
                raise
            except Exception as error:
                text.finish, text.detail = STUCK, f"{type(error).__name__}: {error}"
                return
            if token_id is None or not taken or failure:
                text.finish = STUCK
                reason = "no token is allowed" if token_id is None else "an allowed token is not taken"
                text.detail = failure or reason
                return
            unpaid = 0 if self.skip_forced else looked - masked  # the look for a sole token serves the figures only
            text.step_ns.append(end - begin - unpaid)
            if session is not None:
                text.engine_ns.append(masked - begin + end - chosen)
            text.num_forced += only is not None
            if ended:
                text.finish = END
                return
            text.token_ids.append(token_id)
            unread.append(token_id)


def sole_token(bitmask: Bitmask) -> int | None:
    """The one token that a mask allows; None where it allows none or several."""
    words = np.flatnonzero(bitmask[0])
    if len(words) != 1:
        return None
    bits = int(bitmask[0, words[0]]) & 0xFFFFFFFF
    return None if bits & (bits - 1) else int(words[0]) * 32 + bits.bit_length() - 1
