"""Schemas and patterns to `CompiledGrammar`: a root node bound to the engine of a vocabulary.

A compiled grammar is immutable and shared by threads; what changes is the engine's generation underneath. A state is
an int: its low bits count states of a generation, above them is the memory (0 in most grammars), and then the
generation's number, so a state of a retired generation is recognised and never misread.
"""

from __future__ import annotations

import json
import re
import threading
from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from difflib import get_close_matches
from time import perf_counter
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

import structgen_kernels
from structgen.automata.charset import ANY
from structgen.automata.network import ArenaFull
from structgen.automata.regular import chars
from structgen.automata.scope import Scope
from structgen.errors import (
    BudgetExceeded,
    GrammarSyntaxError,
    InvalidSchemaError,
    MatcherError,
    StructgenError,
    UnsupportedGrammarError,
)
from structgen.grammar.form import Embedded
from structgen.grammar.regex import parse_regex
from structgen.ir import EMPTY, Call, Node, Rule, Text, alt, choice, literal, repeat
from structgen.masks import memory
from structgen.masks.distinct import DistinctMemory, first_memory, remembering
from structgen.masks.engine import Engine
from structgen.schema import SchemaOptions, compile_to_ir
from structgen.schema.open_keys import OpenKeys
from structgen.schema.report import SchemaReport
from structgen.schema.samples import usual_values
from structgen.types import Limits
from structgen.vocab import Vocabulary

if TYPE_CHECKING:
    from structgen.matcher import Matcher


class EngineHost:
    """The current engine generation of a vocabulary."""

    def __init__(self, vocab: Vocabulary, limits: Limits) -> None:
        self.vocab = vocab
        self.limits = limits
        self.generation = 0
        self.engine = Engine(vocab, limits)
        self._lock = threading.Lock()

    def make_room(self) -> None:
        """Start a new generation if the states of this one are nearly all taken: now no text waits for it."""
        engine = self.engine
        if engine.states_are_nearly_full:
            with self._lock:
                if self.engine is engine:
                    self._next(keep=True)

    def full(self, engine: Engine, state: int | None = None) -> int | None:
        """Start a new generation if `engine`, which is full, is still the current one.

        Where only the states are too many the network and the mask store go on. A state of `engine` is then a state of
        the new generation, which is returned; None: it has to be reached again from the start of the text.
        """
        with self._lock:
            if self.engine is not engine:
                return None
            keep = engine.states_are_full
            lineage = engine.lineage(state) if keep and state is not None else None
            self._next(keep=keep)
            return None if lineage is None else self.engine.adopt(lineage)

    def _next(self, *, keep: bool) -> None:
        retired, network = self.engine, self.engine.network if keep else None
        self.engine = Engine(self.vocab, self.limits, arena=retired.retire(keep_store=keep), network=network)
        self.generation += 1


_MAX_IDS = 4096  # of one range of special tokens in a grammar
_USUAL_LIMITS = Limits()
_KEPT_HOSTS = 4  # vocabularies whose engines stay warm between compilations
_hosts: OrderedDict[tuple[str, Limits], EngineHost] = OrderedDict()
_hosts_lock = threading.Lock()


def engine_host(vocab: Vocabulary, limits: Limits | None = None) -> EngineHost:
    """The engine host of a vocabulary: one for equal vocabularies and limits; the last few stay warm."""
    key = (vocab.fingerprint, limits or _USUAL_LIMITS)
    with _hosts_lock:
        host = _hosts.pop(key, None) or EngineHost(vocab, key[1])
        _hosts[key] = host
        while len(_hosts) > _KEPT_HOSTS:
            _hosts.popitem(last=False)
        return host


class Binding(NamedTuple):
    """A grammar in one engine generation."""

    engine: Engine
    generation: int
    scope: Scope
    start: int
    frontier: list[int]
    """Parts that are not emitted yet, nearest to the start first (see `CompiledGrammar.emit_ahead`)."""


class CompiledGrammar:
    """A grammar compiled for a vocabulary. Immutable and safe to share between threads.

    `matcher()` gives the usual object; the functional form works on states that are plain ints: `start`,
    `advance(state, token)`, `mask(state)`. A state costs nothing to keep, copy or return to. It stays valid until the
    engine starts a new generation (see `Limits`); then it raises `MatcherError`, while matchers carry over themselves.
    """

    DEAD = 0
    TERMINATED = 1

    def __init__(
        self,
        root: Node,
        vocab: Vocabulary,
        *,
        report: SchemaReport | None,
        limits: Limits | None = None,
        open_keys: OpenKeys | None = None,
        schema: Any = None,
        begun: float | None = None,
    ) -> None:
        """`begun`: when compiling began, of `time.perf_counter()`, if that was not now."""
        self.root = root
        self.vocab = vocab
        self.report = report
        self.open_keys = open_keys
        self.schema = schema
        """The JSON Schema it was compiled from, or None. Masks do not depend on it; drafters read its names."""
        self._host = engine_host(vocab, limits)
        self._binding: Binding | None = None
        self._lock = threading.Lock()
        self._host.make_room()
        self._bind(perf_counter() if begun is None else begun)

    def matcher(self) -> Matcher:
        """A matcher at the start of a text."""
        from structgen.matcher import Matcher

        return Matcher(self)

    @property
    def start(self) -> int:
        """The state at the start of a text."""
        binding = self.binding()
        keys = self.open_keys
        seen = 0 if keys is None else first_memory(binding.engine, keys.distinct, keys.embedded)
        return self._state(binding, binding.start, seen)

    def advance(self, state: int, token: int) -> int:
        """The state after a token: `DEAD` if it is not allowed, `TERMINATED` after an end-of-text token that is."""
        if state <= self.TERMINATED:
            return self.DEAD
        binding, raw, seen = self._parts(state)
        engine = binding.engine
        try:
            if token in self.vocab.eos_token_ids:
                return self.TERMINATED if engine.accepts(raw) else self.DEAD
            after = engine.advance(raw, token)
            if after and self.open_keys is not None:
                after, seen = self._memories(engine).commit(raw, seen, token, after, self.open_keys.thin)
        except ArenaFull as full:
            raise self._stale(full) from None
        return self._state(binding, after, seen) if after else self.DEAD

    def mask(self, state: int) -> npt.NDArray[np.int32]:
        """The allowed next tokens: int32[ceil(V / 32)], bit t % 32 of word t // 32 set: token t is allowed."""
        out: npt.NDArray[np.uint32] = np.zeros((1, self.vocab.num_words), np.uint32)
        if state > self.TERMINATED:
            binding, raw, seen = self._parts(state)
            try:
                if self.open_keys is not None:
                    engine = binding.engine
                    self._memories(engine).fill(engine, raw, seen, out, 0, self.open_keys.thin)
                else:
                    binding.engine.fill(raw, 0, out, 0)
            except ArenaFull as full:
                raise self._stale(full) from None
        row: npt.NDArray[np.int32] = out[0].view(np.int32)
        return row

    def is_accepting(self, state: int) -> bool:
        """Whether the text may end in a state."""
        if state <= self.TERMINATED:
            return state == self.TERMINATED
        binding, raw, _ = self._parts(state)
        return binding.engine.accepts(raw)

    def _memories(self, engine: Engine) -> memory.Memory | DistinctMemory:
        return remembering(engine, self.open_keys is not None and self.open_keys.distinct)

    def binding(self) -> Binding:
        """The grammar in the current generation, bound on first use."""
        binding = self._binding
        if binding is not None and binding.engine is self._host.engine:
            return binding
        return self._bind(perf_counter())

    def _bind(self, begun: float) -> Binding:
        with self._lock:
            for parts in (_PARTS_AHEAD, _PARTS_AHEAD, 0):  # in an empty generation the second time; then what must be
                engine, generation = self._host.engine, self._host.generation
                try:
                    scope, last = engine.add(self.root), self._binding
                    frontier = last.frontier if last is not None and last.scope is scope else engine.frontier(scope)
                    with suppress(*_LATER):
                        engine.emit_ahead(frontier, parts, begun + _AHEAD_S)
                    binding = Binding(engine, generation, scope, engine.start(scope), frontier)
                    if parts and last is None and self.schema is not None and perf_counter() < begun + _AHEAD_S:
                        self._mask_ahead(binding, begun + _AHEAD_S)
                except ArenaFull:
                    self._host.full(engine)
                    continue
                self._binding = binding
                return binding
        raise self.too_big()

    def _mask_ahead(self, binding: Binding, until: float) -> None:
        """Find the mask behind what opens an object: nearly all texts of a schema come to it, and it is a long one."""
        engine = binding.engine
        with suppress(*_LATER):
            opened = engine.advance_bytes(binding.start, b'{"')
            if opened:
                engine.find_mask(opened, until)

    def emit_ahead(self, parts: int) -> None:
        """Emit up to `parts` more parts of the grammar (an object, a list of alternatives, a state of a pattern, …),
        those that texts reach first. Small ones (a key of a large object) count an eighth.

        A part that a text reaches unemitted is emitted then, 0.1 to 1 ms in the middle of a text. The compile functions
        emit some, as many as 5 ms allow; where compiling has time, as in a thread beside the model, ask for more. No
        mask depends on it.
        """
        binding = self.binding()
        with self._lock, suppress(ArenaFull, *_LATER):
            binding.engine.emit_ahead(binding.frontier, parts)

    def rebind(self, full: Engine, state: int | None = None) -> tuple[Binding, int | None]:
        """The grammar in the generation after one that is full, and a state of that one, if it could be kept."""
        kept = self._host.full(full, state)
        return self.binding(), kept

    def too_big(self) -> BudgetExceeded:
        """The error for a grammar that does not fit an empty generation."""
        return BudgetExceeded(
            "this grammar and text need more automaton states or instructions than the limits allow",
            advice="raise structgen.Limits(max_states=…, max_instructions=…)",
        )

    def _state(self, binding: Binding, raw: int, seen: int) -> int:
        return (binding.generation << memory.BITS | seen) << _STATE_BITS | raw

    def _parts(self, state: int) -> tuple[Binding, int, int]:
        """The engine's state and the memory in a state of the current generation."""
        binding = self.binding()
        if state >> _STATE_BITS + memory.BITS != binding.generation:
            raise self._stale(None)
        return binding, state & (1 << _STATE_BITS) - 1, state >> _STATE_BITS & (1 << memory.BITS) - 1

    def _stale(self, full: ArenaFull | None) -> MatcherError:
        if full is not None and self._binding is not None:
            self._host.full(self._binding.engine)
        return MatcherError(
            "this state belongs to an engine generation that is gone",
            advice="start again from `start`, use a Matcher, which carries over, or raise structgen.Limits",
        )


_PARTS_AHEAD = 100  # emitted when a grammar is compiled (docs/design.md has what that costs and saves)
_AHEAD_S = 0.005  # since a schema's compiling began, or a grammar was read; few more then (`Network.expand_ahead`)
_LATER = (StructgenError, RecursionError)  # what a part raises ahead: a text that gets there meets it again
_STATE_BITS = 32  # of the engine; above them the bits of the memory, and then the generation


def compile_schema(
    schema: Any,
    vocab: Vocabulary,
    *,
    options: SchemaOptions | None = None,
    registry: Any = None,
    limits: Limits | None = None,
) -> CompiledGrammar:
    """Compile a JSON Schema (dict, bool, or JSON text).

    Raises:
        UnsupportedSchemaError: a keyword cannot be enforced exactly; names the JSON pointer and why.
        UnsatisfiableSchemaError: no value satisfies the schema.
        InvalidSchemaError: not a JSON Schema.
        GrammarTooComplex: the automata needed would pass a limit.
        BudgetExceeded: its beginning alone needs more than `limits` allow.
    """
    begun = perf_counter()
    if isinstance(schema, str):
        try:
            schema = json.loads(schema)
        except ValueError as error:
            raise InvalidSchemaError(f"not JSON: {error}", pointer="") from None
    compiled = compile_to_ir(schema, options, registry=registry)
    return CompiledGrammar(
        compiled.root,
        vocab,
        report=compiled.report,
        limits=limits,
        open_keys=compiled.open_keys,
        schema=schema,
        begun=begun,
    )


def compile_regex(pattern: str, vocab: Vocabulary, *, limits: Limits | None = None) -> CompiledGrammar:
    """Compile a regular expression (ECMA-262 syntax) that the whole text must match."""
    language = parse_regex(pattern)
    if language.is_empty():
        raise GrammarSyntaxError("no text matches this pattern", advice="remove contradictory lookarounds or classes")
    root = Call(Rule("regex", lambda: Text(language, "utf-8"), key=("regex", language.key), nullable=language.nullable))
    return CompiledGrammar(root, vocab, report=None, limits=limits)


def compile_grammar(
    text: str,
    vocab: Vocabulary,
    *,
    dialect: str = "lark",
    start: str | None = None,
    lexer: str = "contextual",
    limits: Limits | None = None,
) -> CompiledGrammar:
    """Compile a context-free grammar that the whole text must match.

    `dialect` says how to read it; nothing is guessed: "lark", "gbnf", "ebnf" or
    "regex". It begins with the rule `start` (by default "start" in Lark, "root" in GBNF and EBNF). `lexer` says how a
    text becomes terminals, in dialects that have them: "contextual" as Lark with LALR does it, "basic" as Lark does
    it without context, "dynamic" any way that the rules allow. See docs/grammars.md.

    Raises:
        GrammarSyntaxError: the grammar cannot be read, or describes no text; line, column and a hint.
        UnsupportedGrammarError: it cannot be enforced exactly.
    """
    from structgen.grammar.dialects import grammar_to_ir  # a tenth of the time to import this module

    resolve = Embeddings(vocab)
    root = grammar_to_ir(text, dialect=dialect, start=start, lexer=lexer, resolve=resolve)
    return CompiledGrammar(root, vocab, report=None, limits=limits, open_keys=resolve.needed)


def compile_structural_tag(
    tag: Any, vocab: Vocabulary, *, options: SchemaOptions | None = None, limits: Limits | None = None
) -> CompiledGrammar:
    """Compile a structural tag: free text in which triggers open constrained regions.

    `tag` is XGrammar's JSON (dict or text), in its newer form with `format` or the older with `structures`; a list of
    OpenAI's `tools`; or OpenAI's `response_format`. `structgen.tags.tools_format` says how tools become a tag, and has
    options for the choice and for the format of calls. See docs/grammars.md.

    Raises:
        InvalidTagError, UnsupportedTagError: with the JSON pointer of the part.
        CompileError: for a schema or grammar in it.
    """
    from structgen.tags import response_format, tag_to_ir, tools_format

    if isinstance(tag, list):
        tag = tools_format(tag)
    elif (isinstance(tag, dict) and tag.get("type") in ("text", "json_object")) or (
        isinstance(tag, dict) and isinstance(tag.get("json_schema"), dict) and "schema" in tag["json_schema"]
    ):
        tag = response_format(tag)
    resolve = Embeddings(vocab, options)
    root = tag_to_ir(tag, resolve, options, open_keys=resolve.open_keys)
    return CompiledGrammar(root, vocab, report=None, limits=limits, open_keys=resolve.needed)


class Embeddings:
    """What a grammar embeds: special tokens by name or id, and JSON Schemas."""

    def __init__(self, vocab: Vocabulary, options: SchemaOptions | None = None) -> None:
        self.vocab = vocab
        self.options = options
        self.open_keys = OpenKeys(embedded=True)

    @property
    def needed(self) -> OpenKeys | None:
        """What the schemas so far have the matcher remember; None: nothing."""
        return self.open_keys if self.open_keys.used else None

    def __call__(self, embedded: Embedded) -> Node:
        """The IR of an embedding. Raises `CompileError`."""
        if embedded.kind == "special":
            ids = token_ids(embedded)
            if ids is None:
                return literal(self.special(embedded))
            each = (Embedded("special", f"<[{one}]>", embedded.place) for one in ids)
            return choice([(self.special(one), EMPTY) for one in each])
        if embedded.kind == "others":
            return self.others(embedded)
        assert embedded.kind == "json"
        try:
            schema = json.loads(embedded.text)
        except ValueError as error:
            raise GrammarSyntaxError(
                f"a JSON Schema was expected: {error}", line=embedded.place.line, column=embedded.place.column
            ) from None
        return compile_to_ir(schema, self.options, embedded=self.open_keys).root

    def special(self, embedded: Embedded) -> bytes:
        """What stands for a special token `<name>` or `<[id]>`; a token that is text under this name is that text."""
        name, vocab, token_id = embedded.text, self.vocab, self.token_id(embedded)
        if token_id is not None and token_id in vocab.special_token_ids:
            return vocab.special_spelling(token_id)
        if token_id is None and name.encode() in vocab.tokens:
            return name.encode()
        if token_id is not None and token_id < vocab.vocab_size and vocab.tokens[token_id]:
            return vocab.tokens[token_id]
        near = get_close_matches(name, vocab.special_tokens, 3)
        raise GrammarSyntaxError(
            f"the vocabulary has no token {name}",
            line=embedded.place.line,
            column=embedded.place.column,
            advice=f"did you mean {', '.join(near)}?" if near else "see Vocabulary.special_tokens",
        )

    def token_id(self, embedded: Embedded) -> int | None:
        """The id in `<[id]>`, or that of the special token `<name>`; None if there is none."""
        by_id = re.fullmatch(r"<\[(\d+)\]>", embedded.text)
        return int(by_id[1]) if by_id else self.vocab.special_tokens.get(embedded.text)

    def others(self, embedded: Embedded) -> Node:
        """Texts and special tokens in any order, not nothing, but for some tokens. Those must be special: what another
        one spells, others spell too. The end of text is none of them."""
        specials = set(self.vocab.special_token_ids)
        without = set(self.vocab.eos_token_ids)
        for name in embedded.text.split("\n") if embedded.text else ():
            one = Embedded("special", name, embedded.place)
            ids = token_ids(one)
            found = [self.token_id(one)] if ids is None else ids
            if not specials.issuperset(found):
                if found == [None]:
                    self.special(one)  # raises, if it is no token at all
                raise UnsupportedGrammarError(
                    f"{name} is text in this vocabulary: other tokens spell it, too",
                    line=embedded.place.line,
                    column=embedded.place.column,
                    advice="leave out special tokens only, or say which text may come",
                )
            without.update(one for one in found if one is not None)
        left = [(self.vocab.special_spelling(one), EMPTY) for one in sorted(specials - without)]
        return repeat(alt(Text(chars(ANY), "utf-8"), *([choice(left)] if left else [])), 1, None)


def token_ids(embedded: Embedded) -> list[int] | None:
    """The ids of `<[7,10-12]>`; None for a single token."""
    if not re.fullmatch(r"<\[\d+(?:-\d+)?(?:,\d+(?:-\d+)?)*\]>", embedded.text):
        return None
    spans = re.findall(r"(\d+)(?:-(\d+))?", embedded.text)
    if len(spans) == 1 and not spans[0][1]:
        return None
    ids = [(int(low), int(high or low)) for low, high in spans]
    if any(high < low for low, high in ids) or sum(high - low for low, high in ids) > _MAX_IDS:
        raise GrammarSyntaxError(
            f"{embedded.text} is out of order, or has more than {_MAX_IDS:,} ids",
            line=embedded.place.line,
            column=embedded.place.column,
            advice="the first id of a range comes first; say which text may come where that is what is meant",
        )
    return [one for low, high in ids for one in range(low, high + 1)]


def warmup(
    vocab: Vocabulary, *, limits: Limits | None = None, on_step: Callable[[int, int], None] | None = None
) -> None:
    """Compile the kernels (first use ever: a minute or more) or load them, and build what all JSON grammars share:
    states and mask rows of any value, of the types with the usual limits, and of values of each format.
    `on_step(done, total)` is called after each of them."""
    structgen_kernels.load()
    steps = usual_values()
    for i, (schema, texts) in enumerate(steps, 1):
        grammar = compile_schema(schema, vocab, limits=limits)
        for text in texts:
            _follow(grammar, text.encode())
        if on_step is not None:
            on_step(i, len(steps))


def _follow(grammar: CompiledGrammar, text: bytes) -> None:
    """Take the mask at every byte of a text."""
    matcher = grammar.matcher()
    bitmask = np.zeros((1, grammar.vocab.num_words), np.int32)
    for byte in text:
        matcher.fill_next_token_bitmask(bitmask)
        matcher.accept_bytes(bytes((byte,)))
