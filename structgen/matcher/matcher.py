"""The matcher: one text in the making under one compiled grammar.

Its whole state is an int of the engine, and, where a grammar needs it, the memory beside it (`structgen.masks.memory`,
0 elsewhere); a fork copies these and the history, a rollback pops them. A failed call leaves the matcher as it was.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt

from structgen.automata.network import ArenaFull
from structgen.errors import BudgetExceeded, MatcherError
from structgen.masks.distinct import first_memory, remembering
from structgen.masks.engine import Engine, address_of
from structgen.masks.tree_memories import TreeMemories, follow
from structgen.matcher.plans import plans_of
from structgen_kernels import tree_masks

if TYPE_CHECKING:
    from structgen.compiler import CompiledGrammar

T = TypeVar("T")
Step: TypeAlias = "tuple[int, int, int | bytes]"
"""A state (or LOST) and a memory, and what was accepted there: a token id, or bytes."""

_COUNT = np.arange(1 << 10, dtype=np.int32)
_WRONG_TREE = "a draft tree is tokens [n] and parents [n], each the row of a node before, or 0"
PIECE = 1 << 12  # bytes of a text that surely fit into the engine's tables
LOST = -1  # in a history: a state that the engine has forgotten
MANY_TOKENS = 1 << 20  # no budget is larger


class Matcher:
    """Follows a text token by token (or byte by byte) and says what may come next.

    Not safe for use by several threads at once; the `CompiledGrammar` behind it is.
    """

    __slots__ = (
        "_address",
        "_bitmask",
        "_engine",
        "_eos",
        "_height",
        "_memory",
        "_open_keys",
        "_past",
        "_remembered",
        "_rows",
        "_state",
        "_terminated",
        "_words",
        "grammar",
    )

    def __init__(self, grammar: CompiledGrammar) -> None:
        self.grammar = grammar
        binding = grammar.binding()
        self._engine: Engine = binding.engine
        self._state: int = binding.start
        self._open_keys = grammar.open_keys
        self._remembered: Any = None
        self._memory: int = 0
        if self._open_keys is not None:
            self._remembered = remembering(self._engine, self._open_keys.distinct)
            self._memory = first_memory(self._engine, self._open_keys.distinct, self._open_keys.embedded)
        self._past: list[Step] = []
        self._eos = frozenset(grammar.vocab.eos_token_ids)
        self._terminated = False
        self._bitmask: Any = None
        self._rows: Any = None

    # ---- what may come next ------------------------------------------------------------------------------------

    def fill_next_token_bitmask(self, bitmask: Any, index: int = 0) -> None:
        """Write the allowed next tokens into row `index` of a bitmask.

        Args:
            bitmask: int32 numpy array or CPU torch tensor [rows, at least ceil(V / 32)], contiguous; bit t % 32 of word
                t // 32 is 1 if token t is allowed. End-of-text tokens are allowed exactly where the text may end.
            index: the row; every word of it is written, no other row is touched.

        Raises:
            MatcherError: the text has ended.
            BudgetExceeded: a limit was reached.
        """
        if self._terminated:
            raise MatcherError("the text has ended: no token may follow", advice="check is_terminated() first")
        if bitmask is not self._bitmask:
            self._take(bitmask)
        if index.__class__ is not int:
            index = operator.index(index)
        if not 0 <= index < self._height:
            raise IndexError(f"row {index} of a bitmask with {self._height} rows")
        try:
            keys = self._open_keys
            if keys is None or keys.plain:  # most masks, and of these most are there: no call more than it takes
                engine, words = self._engine, self._words
                row = self._address + 4 * words * index
                status = engine.fill_found(engine.address, engine.generation, self._state, self._memory, row, words)
                if status:
                    engine.fill_rest(status, self._state, self._memory, self._rows, index)
            else:
                self._fill(index)
        except ArenaFull:
            self._carry_over(lambda: self._fill(index))

    def _take(self, bitmask: Any) -> None:
        rows = _as_rows(bitmask, self.grammar.vocab.num_words)
        self._rows, self._bitmask = rows, bitmask
        self._height, self._words = rows.shape
        self._address = address_of(rows) if rows.size else 0

    def _fill(self, index: int) -> None:
        if self._open_keys is None or self._open_keys.plain:
            self._engine.fill(self._state, self._memory, self._rows, index)
        else:
            self._remembered.fill(self._engine, self._state, self._memory, self._rows, index, self._thin)

    @property
    def _thin(self) -> int:
        return self._open_keys.thin if self._open_keys is not None else 0

    def forced_bytes(self, limit: int = 4096) -> bytes:
        """The bytes that must come next, because nothing else may (at most `limit`); empty where there is a choice."""
        if self._terminated:
            return b""
        return self._try(lambda: self._engine.forced_bytes(self._state, limit))

    def allowed_bytes(self) -> bytes:
        """The bytes that may come next, ascending."""
        return b"" if self._terminated else self._try(self._allowed_bytes)

    def _allowed_bytes(self) -> bytes:
        allowed = self._engine.allowed_bytes(self._state)
        if not self._memory:
            return allowed
        # What is remembered may take bytes away; the mask says so of all that are tokens at once, and faster than one.
        tokens, words = self.grammar.vocab.byte_tokens, self._words_here()
        left = bytearray()
        for byte in allowed:
            token = tokens[byte]
            if token is None or words is None:
                is_left = self._after_bytes(bytes((byte,)))[0] != 0
            else:
                is_left = bool(int(words[token >> 5]) >> (token & 31) & 1)
            if is_left:
                left.append(byte)
        return bytes(left)

    def _words_here(self) -> npt.NDArray[np.uint32] | None:
        """The mask of this place, uint32 [words]; None where it is over its budget."""
        rows, bitmask = self._rows, self._bitmask
        mask: npt.NDArray[np.uint32] = np.zeros((1, self.grammar.vocab.num_words), np.uint32)
        self._rows, self._bitmask = mask, None
        try:
            self._fill(0)
            words: npt.NDArray[np.uint32] = mask[0]
            return words
        except BudgetExceeded:
            return None
        finally:
            self._rows, self._bitmask = rows, bitmask

    def is_accepting(self) -> bool:
        """Whether the text may end here."""
        return self._terminated or self._try(lambda: self._engine.accepts(self._state))

    def is_terminated(self) -> bool:
        """Whether an end-of-text token was accepted."""
        return self._terminated

    # ---- draft trees -------------------------------------------------------------------------------------------

    def traverse_draft_tree(self, tokens: Any, parents: Any, bitmask: Any) -> npt.NDArray[np.bool_]:
        """Write the masks of a tree of drafted tokens, all in one call.

        Args:
            tokens: int [n], the drafted token of each node.
            parents: int [n], the row of each node's parent: 0 is the text so far, 1 + i is node i; parents come first.
            bitmask: as for `fill_next_token_bitmask`, with n + 1 rows or more. Row 0 is the mask after the text so far,
                row 1 + i the mask after node i; zeros if node i, or one above it, is illegal, or ends the text.

        Returns:
            bool [n]: whether each node, and all above it, may follow.
        """
        if bitmask is not self._bitmask:
            self._take(bitmask)
        rows, n = self._rows, len(tokens)
        if len(rows) <= n:
            raise MatcherError(f"a tree of {n} nodes needs a bitmask of {n + 1} rows, this one has {len(rows)}")
        where = _COUNT[: n + 1] if n < len(_COUNT) else np.arange(n + 1, dtype=np.int32)

        def fill(
            engine: Engine, states: npt.NDArray[np.int32], remembered: TreeMemories | None
        ) -> npt.NDArray[np.int32]:
            engine.fill_each(states, rows, where)
            if remembered is not None and len(remembered.narrowed):
                remembered.forbid(remembered.narrowed, rows, where[remembered.narrowed])
            return states

        legal: npt.NDArray[np.bool_] = self.with_draft_states(tokens, parents, fill)[1:] != 0
        return legal

    def with_draft_states(
        self, tokens: Any, parents: Any, use: Callable[[Engine, npt.NDArray[np.int32], TreeMemories | None], T]
    ) -> T:
        """`use(engine, states, remembered)` with the engine's states of a draft tree's rows, int32 [n + 1].

        0: illegal, 1: ended. Where a text has a memory, `remembered` says which rows' masks are narrower than those of
        their states; elsewhere it is None. Should the engine's generation end meanwhile, `use` is called again with
        the states of the next.
        """
        tokens, parents = _as_ints(tokens), _as_ints(parents)
        if tokens.shape != parents.shape or tokens.ndim != 1:
            raise MatcherError(_WRONG_TREE)

        def call() -> T:
            state = tree_masks.ENDED if self._terminated else self._state
            states = self._engine.tree_states(state, tokens, parents)
            if states is None:
                raise MatcherError(_WRONG_TREE)
            if not self._memory:
                return use(self._engine, states, None)
            return use(
                self._engine, states, follow(self._remembered, self._memory, tokens, parents, states, self._thin)
            )

        return self._try(call)

    # ---- moving ------------------------------------------------------------------------------------------------

    def accept_token(self, token_id: int) -> bool:
        """Take a token. False, and nothing changes, if the mask does not allow it."""
        if self._terminated:
            return False
        token = token_id if token_id.__class__ is int else operator.index(token_id)
        if token in self._eos:
            if not self.is_accepting():
                return False
            self._terminated = True
            self._past.append((self._state, self._memory, token))
            return True
        try:
            keys = self._open_keys
            if keys is None or keys.plain:  # as for masks
                engine, state, before = self._engine, self._state, self._memory
                after, memory = engine.advance_found(engine.address, engine.generation, state, before, token)
                if after < 0:
                    after, memory = engine.advance_rest(after, state, before, token)
            else:
                after, memory = self._after(token)
        except ArenaFull:
            after, memory = self._carry_over(lambda: self._after(token))
        if after == 0:
            return False
        self._past.append((self._state, self._memory, token))
        self._state, self._memory = after, memory
        return True

    def _after(self, token: int) -> tuple[int, int]:
        """The state and the memory after a token; state 0: dead."""
        if self._open_keys is None or self._open_keys.plain:
            return self._engine.advance_text(self._state, self._memory, token)
        after: tuple[int, int] = self._remembered.advance(
            self._engine, self._state, self._memory, token, self._open_keys.thin
        )
        return after

    def _after_bytes(self, data: bytes) -> tuple[int, int]:
        after, memory = self._engine.advance_bytes(self._state, data), self._memory
        if memory and after:
            committed: tuple[int, int] = self._remembered.commit_bytes(self._state, memory, data, after, self._thin)
            return committed
        return after, memory

    def accept_bytes(self, data: bytes) -> bool:
        """Take bytes, as one step for `rollback`. False, and nothing changes, if they are not allowed."""
        if self._terminated:
            return False
        if not data:
            return True
        if len(data) > PIECE and self._open_keys is None:
            return self._accept_pieces(data)
        after, memory = self._try(lambda: self._after_bytes(data))
        if after == 0:
            return False
        self._push(after, data, memory)
        return True

    def _accept_pieces(self, data: bytes) -> bool:
        """`accept_bytes` of a text that may need more states than there can be at once."""
        ahead = self.fork()
        if not all(ahead.accept_bytes(piece) for piece in _pieces(data)):
            return False
        if ahead._engine is not self._engine:
            self._engine, self._state = ahead._engine, LOST
            self._past = _lost(self._past)
        self._push(ahead._state, data, 0)
        return True

    def rollback(self, num_steps: int = 1) -> None:
        """Undo the last accepted tokens (or `accept_bytes` calls)."""
        if not 0 <= num_steps <= len(self._past):
            raise MatcherError(f"cannot undo {num_steps} of {len(self._past)} steps")
        if num_steps == 0:
            return
        state, memory, _ = self._past[-num_steps]
        if state == LOST:
            binding = self.grammar.binding()
            self._engine, self._state = binding.engine, binding.start
            self._replay([step for _, _, step in self._past[:-num_steps]])
        else:
            self._state, self._memory = state, memory
            del self._past[-num_steps:]
        self._terminated = False

    def fork(self) -> Matcher:
        """An independent matcher in the same state."""
        other = Matcher.__new__(Matcher)
        other.grammar, other._engine, other._state = self.grammar, self._engine, self._state
        other._past = self._past.copy()
        other._remembered, other._open_keys, other._memory = self._remembered, self._open_keys, self._memory
        other._eos, other._terminated = self._eos, self._terminated
        other._bitmask = other._rows = None
        return other

    def reset(self) -> None:
        """Back to the start of a text."""
        self.rollback(len(self._past))

    @property
    def num_tokens(self) -> int:
        """Steps taken: accepted tokens and `accept_bytes` calls."""
        return len(self._past)

    # ---- closing in time ---------------------------------------------------------------------------------------

    def shortest_completion(self, limit: int = 1 << 16) -> bytes | None:
        """A shortest byte string that completes the text, or None if it is longer than `limit` bytes."""
        return self._try(lambda: plans_of(self._engine).completion(self._state, self._memory, limit))

    def closing_tokens(self, limit: int = 1 << 16) -> int | None:
        """Tokens that suffice to finish from here, the end-of-text token included; None if more than `limit`.

        An upper bound: the canonical tokenisation of a shortest completion.
        """
        needed = self._try(lambda: plans_of(self._engine).tokens(self._state, self._memory, limit - 1))
        return None if needed is None else needed + 1

    def fill_closing_bitmask(self, bitmask: Any, index: int, budget: int) -> bool:
        """Like `fill_next_token_bitmask`, narrowed to tokens after which the text can end within `budget` tokens.

        The budget counts this token and the end-of-text token. False if no token is left (the row is then zero).
        """
        self.fill_next_token_bitmask(bitmask, index)
        return self._try(lambda: self._narrow(self._rows[index], budget))

    def _narrow(self, row: Any, budget: int) -> bool:
        plans, state, memory = plans_of(self._engine), self._state, self._memory
        if plans.worst_after.get((state, memory), math.inf) + 2 <= budget:
            return True
        if plans.tokens(state, memory, MANY_TOKENS):
            plans.follow(state, memory)
        allowed = np.flatnonzero(np.unpackbits(row.view(np.uint8), bitorder="little")).astype(np.int32)
        is_end = np.isin(allowed, np.fromiter(self._eos, np.int32, len(self._eos)))
        text = allowed[~is_end]
        states = self._engine.advance_each(state, text)
        pairs = np.zeros((len(text), 2), np.int64)
        pairs[:, 0] = states
        if memory:
            pairs = self._remembered.commit_each(state, memory, text, states, self._thin)
        after, which = np.unique(pairs, axis=0, return_inverse=True)
        counts = [plans.tokens(here, seen, MANY_TOKENS) for here, seen in after.tolist()]
        needed = np.array(counts, float)  # None is nan
        plans.worst_after[state, memory] = float(np.where(np.isnan(needed), math.inf, needed).max(initial=0.0))
        kept = np.concatenate(
            [allowed[is_end] if budget >= 1 else allowed[:0], text[(needed + 2 <= budget)[which.reshape(-1)]]]
        )
        row[:] = 0
        np.bitwise_or.at(row, kept >> 5, np.uint32(1) << (kept & 31).astype(np.uint32))
        return len(kept) > 0

    # ---- engine generations ------------------------------------------------------------------------------------

    def _push(self, state: int, step: int | bytes, memory: int) -> None:
        self._past.append((self._state, self._memory, step))
        self._state, self._memory = state, memory

    def _try(self, call: Callable[[], T]) -> T:
        try:
            return call()
        except ArenaFull:
            return self._carry_over(call)

    def _carry_over(self, call: Callable[[], T]) -> T:
        """Go on in a new generation, with the call that found the old one full."""
        for _ in range(2):  # the states may be full, and then the store
            try:
                self._resume()
                return call()
            except ArenaFull:
                continue
        raise self.grammar.too_big() from None

    def _resume(self) -> None:
        """Take the state over into the generation after a full one, or replay what was accepted."""
        binding, kept = self.grammar.rebind(self._engine, self._state if self._open_keys is None else None)
        self._engine = binding.engine
        if kept is not None:
            self._state = kept
            self._past = _lost(self._past)
            return
        self._state = binding.start
        if self._open_keys is not None:
            self._remembered = remembering(self._engine, self._open_keys.distinct)
            self._memory = first_memory(self._engine, self._open_keys.distinct, self._open_keys.embedded)
        self._replay([step for _, _, step in self._past])

    def _replay(self, steps: list[int | bytes]) -> None:
        """Take steps from the start of a text on; a text may need more states than there can be at once."""
        past: list[Step] = []
        for step in steps:
            past.append((self._state, self._memory, step))
            for piece in _pieces(step) if isinstance(step, bytes) and self._open_keys is None else (step,):
                try:
                    self._state, self._memory = self._after_step(piece)
                except ArenaFull:
                    if self._open_keys is not None:
                        raise
                    binding, kept = self.grammar.rebind(self._engine, self._state)
                    if kept is None:
                        raise
                    self._engine, self._state = binding.engine, kept
                    past = _lost(past)
                    self._state, self._memory = self._after_step(piece)
        self._past = past

    def _after_step(self, step: int | bytes) -> tuple[int, int]:
        if isinstance(step, bytes):
            return self._after_bytes(step)
        return (self._state, self._memory) if step in self._eos else self._after(step)


def _lost(past: list[Step]) -> list[Step]:
    """What was accepted, by an engine that has forgotten the states."""
    return [(LOST, memory, step) for _, memory, step in past]


def _pieces(data: bytes) -> list[bytes]:
    return [data[at : at + PIECE] for at in range(0, len(data), PIECE)]


def _as_ints(values: Any) -> npt.NDArray[np.int32]:
    """int32 array, writable and contiguous as kernels want it; a copy if need be."""
    if type(values) is np.ndarray and values.dtype == np.int32 and values.flags.carray:
        return values  # `require` would say the same, ten times slower
    return np.require(values, np.int32, ("C", "W"))


def _as_rows(bitmask: Any, num_words: int) -> Any:
    """A uint32[rows, words] view of an int32 bitmask."""
    array = bitmask if isinstance(bitmask, np.ndarray) else bitmask.numpy()
    if array.ndim == 1:
        array = array[None, :]
    if array.dtype not in (np.int32, np.uint32) or array.ndim != 2 or not array.flags.carray:
        raise MatcherError("a bitmask is a contiguous, writable int32 array [rows, ceil(V / 32)]")
    if array.shape[1] < num_words:
        raise MatcherError(f"a bitmask row needs at least {num_words} words, this one has {array.shape[1]}")
    return array.view(np.uint32)
