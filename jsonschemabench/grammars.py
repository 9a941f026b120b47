"""``grammars``: a shipped grammar on real files, byte for byte and token by token, beside llguidance.

Both engines read the same tokens in one process and take turns file by file, so what counts is the ratio, over the
masks in front of all tokens that both have read. Times are CPU time of the measuring thread. llguidance gets the same
Lark text in its own dialect (see `llguidance_lark`): where it has no word for something in it (priorities, look-ahead),
it gets the text without, and the tables say so. Indentation it cannot express.
"""

from __future__ import annotations

import random
import time
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from rich.progress import Progress

from jsonschemabench import options as opt
from jsonschemabench.engines.base import EngineUnavailable, Refused, Settings
from jsonschemabench.engines.llguidance import LlguidanceEngine
from jsonschemabench.engines.packages import require
from jsonschemabench.grammar_corpus import SUFFIXES, CorpusProblem, Oracle, mutations, oracle, texts
from jsonschemabench.grammar_first import first_masks
from jsonschemabench.grammar_texts import Deriver
from jsonschemabench.llguidance_lark import CannotExpress, adapted
from jsonschemabench.table import Table, microseconds, number, ratio, show
from jsonschemabench.times import Times
from jsonschemabench.tokenizer import Tokenizer

_clock = time.thread_time_ns
_MUTATED_BYTES = 20_000  # larger files are not mutated: an oracle reads the whole file for each mutation


DERIVED = 40  # texts, where there are no files
SHORTEST_DERIVED = 20  # characters
LOOKED_AT = 20  # files, for one of the language


@dataclass
class Count:
    """What was found out about one grammar."""

    refused_by_oracle: int = 0
    accepted_by_oracle: int = 0
    by_bytes: int = 0
    by_tokens: int = 0
    tokenised: int = 0
    num_tokens: int = 0
    mutations: int = 0
    mutations_refused: int = 0
    missed: list[str] = field(default_factory=list)
    """Texts that the oracle takes and we do not: name, byte offset, and what stands there."""
    mask_ns: list[int] = field(default_factory=list)
    beside_ns: list[int] = field(default_factory=list)
    """Of the tokens that llguidance read, too."""
    peer_ns: list[int] = field(default_factory=list)
    peer_texts: int = 0
    peer_missed: int = 0
    compile_ms: list[float] = field(default_factory=list)
    """Compile and first mask: the first time, and again."""
    peer_compile_ms: float = float("nan")


class Ours:
    """A shipped grammar in structgen."""

    def __init__(self, grammar: str, tokenizer_path: Path, count: Count) -> None:
        import structgen

        self.vocab = structgen.Vocabulary.from_file(tokenizer_path)
        self.bitmask = np.zeros((1, self.vocab.num_words), np.int32)
        self.source = structgen.load_grammar(grammar)
        warm = structgen.compile_grammar('start: "a"', self.vocab).matcher()  # kernels and tables
        warm.fill_next_token_bitmask(self.bitmask)
        for _ in range(2):
            begin = _clock()
            self.compiled = structgen.compile_grammar(self.source, self.vocab)
            self.compiled.matcher().fill_next_token_bitmask(self.bitmask)
            count.compile_ms.append((_clock() - begin) / 1e6)

    def accepts(self, data: bytes) -> int:
        """-1 if a text is taken, otherwise the offset of the byte that is not; its length if it may not end there."""
        matcher = self.compiled.matcher()
        low, high = 0, len(data)
        if matcher.accept_bytes(data):
            return -1 if matcher.is_accepting() else high
        while low < high:  # the first prefix that is refused
            middle = (low + high) // 2
            if self.compiled.matcher().accept_bytes(data[: middle + 1]):
                low = middle + 1
            else:
                high = middle
        return low

    def read(self, tokens: list[int], times: list[int]) -> bool:
        """Whether each token is in the mask before it and the text may then end; the masks' times are added."""
        matcher, bitmask, clock = self.compiled.matcher(), self.bitmask, _clock
        for token in tokens:
            begin = clock()
            matcher.fill_next_token_bitmask(bitmask)
            times.append(clock() - begin)
            if not bitmask[0, token >> 5] >> (token & 31) & 1 or not matcher.accept_token(token):
                return False
        return matcher.is_accepting()


class Peer:
    """The same grammar in llguidance. Raises `Refused` where it cannot express it.

    White space at the end of a text is left out where both read it: llguidance wants another terminal behind it.
    """

    def __init__(self, source: str, tokenizer: Tokenizer, count: Count) -> None:
        engine = LlguidanceEngine()
        engine.setup(tokenizer, Settings(profile="default"))
        library = require(engine.name, "llguidance", "llguidance")
        self.version = engine.version()
        self.bitmask = np.zeros((1, -(-tokenizer.vocab_size // 32)), np.int32)
        try:
            own = adapted(source)
            self.dropped = own.dropped
            begin = _clock()
            grammar = library.LLMatcher.grammar_from_lark(own.text)
            matcher = library.LLMatcher(engine._tokenizer, grammar, log_level=0)
        except (CannotExpress, ValueError) as error:
            raise Refused(str(error)) from error
        if matcher.is_error():
            raise Refused(str(matcher.get_error()))
        self._fill(matcher)
        count.peer_compile_ms = (_clock() - begin) / 1e6
        self.prototype = matcher

    def _fill(self, matcher: Any) -> None:
        matcher.unsafe_compute_mask_ptr(self.bitmask.ctypes.data, self.bitmask.nbytes)

    def read(self, tokens: list[int], times: list[int]) -> int:
        """How many tokens are in the mask before them, one after the other; the times of these masks are added."""
        matcher, bitmask = self.prototype.deep_copy(), self.bitmask
        for num_read, token in enumerate(tokens):
            begin = _clock()
            self._fill(matcher)
            took = _clock() - begin
            if not bitmask[0, token >> 5] >> (token & 31) & 1 or not matcher.consume_token(token):
                return num_read
            times.append(took)
        return len(tokens)


def measure(
    grammar: str,
    folders: list[Path],
    tokenizer: Tokenizer,
    *,
    num_texts: int | None,
    num_tokenised: int | None,
    num_mutations: int,
    max_bytes: int,
    seed: int,
    peer: bool,
    progress: Progress,
) -> tuple[Count, str, str]:
    """(what was counted, the oracle, llguidance or why it is not there)."""
    count = Count()
    ours = Ours(grammar, tokenizer.path, count)
    oracle_name, takes = oracle(grammar, ours.source)
    other, beside = None, "not asked for"
    if peer:
        try:
            other = Peer(ours.source, tokenizer, count)
            beside = ", without ".join(
                [f"llguidance {other.version}", *([" and ".join(other.dropped)] if other.dropped else [])]
            )
        except (Refused, EngineUnavailable) as problem:
            beside = "cannot express it: " + str(problem).strip().splitlines()[0]
    rng = random.Random(seed)
    found = _found(grammar, ours.source, folders, takes, max_bytes=max_bytes, seed=seed, num_texts=num_texts)
    bar = progress.add_task(grammar, total=min(num_texts or len(found), len(found)))
    for name, text in found:
        if num_texts is not None and count.accepted_by_oracle >= num_texts:
            break
        if not takes(text):
            count.refused_by_oracle += 1
            continue
        count.accepted_by_oracle += 1
        _read(count, ours, other, name, text, tokenizer if _wanted(count, num_tokenised) else None)
        missing = num_mutations - count.mutations
        if missing > 0 and len(text) <= _MUTATED_BYTES:
            _mutate(count, ours, takes, text, rng, min(missing, 10))
        progress.update(bar, advance=1)
    return count, oracle_name, beside


def _found(
    grammar: str,
    source: str,
    folders: list[Path],
    takes: Oracle,
    *,
    max_bytes: int,
    seed: int,
    num_texts: int | None,
) -> list[tuple[str, str]]:
    """(name, text) of the files of a language; without any folder texts derived at random that the oracle takes."""
    if folders:
        return list(texts(grammar, folders, max_bytes=max_bytes, seed=seed))
    drawn = enumerate(islice(Deriver(source, seed=seed).texts(), 100 * (num_texts or DERIVED)))
    long = ((f"derived {place}", text) for place, text in drawn if len(text) >= SHORTEST_DERIVED and takes(text))
    return list(islice(long, num_texts or DERIVED))


def _wanted(count: Count, num_tokenised: int | None) -> bool:
    return num_tokenised is None or count.tokenised < num_tokenised


def _read(count: Count, ours: Ours, other: Peer | None, name: str, text: str, tokenizer: Tokenizer | None) -> None:
    data = text.encode()
    at = ours.accepts(data)
    if at < 0:
        count.by_bytes += 1
    else:
        count.missed.append(f"{name} at {at}: {data[max(0, at - 40) : at]!r} then {data[at : at + 20]!r}")
    if tokenizer is None:
        return
    tokens = tokenizer.encode(text if other is None else text.rstrip())
    count.tokenised += 1
    count.num_tokens += len(tokens)
    times: list[int] = []
    count.by_tokens += ours.read(tokens, times)
    count.mask_ns += times
    if other is not None:
        count.peer_texts += 1
        theirs: list[int] = []
        both = min(other.read(tokens, theirs), len(times))
        count.peer_ns += theirs[:both]
        count.beside_ns += times[:both]
        count.peer_missed += both < len(tokens)


def _mutate(count: Count, ours: Ours, takes: Oracle, text: str, rng: random.Random, number: int) -> None:
    for mutated in mutations(text, takes, rng, number):
        count.mutations += 1
        matcher = ours.compiled.matcher()
        count.mutations_refused += not (matcher.accept_bytes(mutated.encode()) and matcher.is_accepting())


def tables(grammar: str, count: Count, oracle_name: str, beside: str) -> list[Table]:
    """What was counted, and how long masks took."""
    facts = [
        (f"texts that {oracle_name} takes", number(count.accepted_by_oracle)),
        ("accepted byte for byte", _share(count.by_bytes, count.accepted_by_oracle)),
        ("accepted token by token", _share(count.by_tokens, count.tokenised)),
        ("tokens", number(count.num_tokens)),
        (f"mutations that {oracle_name} refuses, refused", _share(count.mutations_refused, count.mutations)),
        ("compile and first mask, ms", f"{count.compile_ms[0]:.0f}, then {count.compile_ms[1]:.0f}"),
    ]
    if count.peer_texts:
        taken = _share(count.peer_texts - count.peer_missed, count.peer_texts)
        facts.append(("read by llguidance token by token", taken))
    ours = Times.of([count.mask_ns])
    columns = ["µs a mask", "structgen"]
    rows = [[name, microseconds(value)] for name, value in ours.rows()]
    if count.peer_ns:
        same, theirs = Times.of([count.beside_ns]), Times.of([count.peer_ns])
        columns += ["on tokens both read", "llguidance", "times structgen's"]
        for row, (_, base), (_, value) in zip(rows, same.rows(), theirs.rows(), strict=True):
            row += [microseconds(base), microseconds(value), ratio(value, base)]
        rows.append(["compile, ms", f"{count.compile_ms[0]:.0f}", "", f"{count.peer_compile_ms:.0f}", ""])
    return [
        Table(f"{grammar}: texts", ("", ""), facts, text_columns=frozenset({0})),
        Table(f"{grammar}: masks", columns, rows, note=f"Beside: {beside}."),
    ]


def comparison(results: list[tuple[str, Count, str]], problems: dict[str, str]) -> Table:
    """A row for each grammar: masks of both, and the ratios."""
    rows = []
    for grammar, count, beside in results:
        ours = Times.of([count.beside_ns or count.mask_ns])
        row = [grammar, number(count.tokenised), number(len(count.beside_ns or count.mask_ns))]
        row += [microseconds(ours.mean_us), microseconds(ours.percentiles_us[1])]
        if count.peer_ns:
            theirs = Times.of([count.peer_ns])
            row += [microseconds(theirs.mean_us), microseconds(theirs.percentiles_us[1])]
            row += [ratio(theirs.mean_us, ours.mean_us), ratio(theirs.percentiles_us[1], ours.percentiles_us[1])]
            read = f"reads {count.peer_texts - count.peer_missed} of {count.peer_texts}"
            rows.append([*row, "; ".join([read, *beside.split(", ")[1:]])])
        else:
            beside += f"; reads 0 of {count.peer_texts}" if count.peer_texts else ""
            rows.append([*row, "—", "—", "—", "—", beside])
    rows += [[grammar, *["—"] * 8, problem] for grammar, problem in problems.items()]
    columns = [
        "grammar",
        "texts",
        "masks",
        "mean",
        "p50",
        "llguidance, mean",
        "p50",
        "× (mean)",
        "× (p50)",
        "llguidance",
    ]
    note = "CPU µs a mask, over the tokens that both have read, first visits included."
    return Table("Shipped grammars beside llguidance", columns, rows, note=note, text_columns=frozenset({0, 9}))


def _share(part: int, whole: int) -> str:
    return f"{part:,} of {whole:,} ({100 * part / whole:.2f} %)" if whole else "—"


def grammars(
    grammar: Annotated[
        list[str] | None,
        typer.Option("--grammar", "-g", help="A grammar that ships, such as python; may be repeated with --compare."),
    ] = None,
    files: Annotated[
        list[Path] | None,
        typer.Option("--files", "-f", help="A folder of texts, or a file; may be repeated. Without: derived texts."),
    ] = None,
    compare: Annotated[
        bool, typer.Option("--compare", help="One table: all grammars (or those named) beside llguidance, a row each.")
    ] = False,
    first: Annotated[
        int | None,
        typer.Option("--first", min=1, help="Only the time to the first mask, in so many new processes each."),
    ] = None,
    tokenizer: opt.TokenizerPath = None,
    eos: opt.Eos = None,
    sample: Annotated[int | None, typer.Option("--sample", min=1, help="Stop after so many texts.")] = None,
    tokenised: Annotated[
        int | None, typer.Option("--tokenised", min=0, help="Read only so many of them token by token, too.")
    ] = None,
    mutated: Annotated[int, typer.Option("--mutations", min=0, help="So many texts that the oracle refuses.")] = 0,
    max_bytes: Annotated[int, typer.Option("--max-bytes", min=1, help="Leave larger files out.")] = 1 << 20,
    seed: Annotated[int, typer.Option("--seed", help="Of the order and of the mutations.")] = 0,
    peer: Annotated[bool, typer.Option("--llguidance/--alone", help="Whether llguidance reads the texts, too.")] = True,
    show_missed: Annotated[int, typer.Option("--missed", min=0, help="Name so many texts that were not accepted.")] = 0,
    as_markdown: opt.AsMarkdown = False,
) -> None:
    """A shipped grammar on real files: texts accepted, mistakes refused, time of every mask, beside llguidance."""
    import structgen

    messages = opt.message_console()
    several = compare or first is not None
    names = grammar or (structgen.list_grammars() if several else [])
    if not names or (len(names) > 1 and not several):
        raise typer.BadParameter("name one grammar, or --compare several", param_hint="--grammar")
    reader = opt.tokenizer_of(tokenizer, eos)
    if first is not None:
        with Progress(console=messages) as progress:
            table = first_masks(names, reader.path, processes=first, progress=progress)
        show([table], markdown=as_markdown, console=opt.output_console(), write=typer.echo)
        return
    results: list[tuple[str, Count, str]] = []
    problems: dict[str, str] = {}
    shown: list[Table] = []
    with Progress(console=messages) as progress:
        for name in names:
            folders = _with_files(name, files or [], max_bytes) if compare else files or []
            try:
                count, oracle_name, beside = measure(
                    name,
                    folders,
                    reader,
                    num_texts=sample,
                    num_tokenised=tokenised,
                    num_mutations=mutated,
                    max_bytes=max_bytes,
                    seed=seed,
                    peer=peer,
                    progress=progress,
                )
            except (CorpusProblem, EngineUnavailable) as problem:
                if not compare:
                    raise
                problems[name] = f"no texts: {problem}"
                continue
            results.append((name, count, beside))
            for line in count.missed[:show_missed]:
                messages.print(line, markup=False, highlight=False)
            if not compare:
                shown = tables(name, count, oracle_name, beside)
    if compare:
        shown = [comparison(results, problems)]
    show(shown, markdown=as_markdown, console=opt.output_console(), write=typer.echo)


def _with_files(grammar: str, folders: list[Path], max_bytes: int) -> list[Path]:
    """The folders, if there is a text below them that the language's oracle takes; none of them otherwise."""
    import structgen

    if grammar not in SUFFIXES or not folders:
        return []
    try:
        found = islice(texts(grammar, folders, max_bytes=max_bytes, seed=0), LOOKED_AT)
        _, takes = oracle(grammar, structgen.load_grammar(grammar))
        return folders if any(takes(text) for _, text in found) else []
    except CorpusProblem:
        return []
