"""`structgen explain`: what may come next, and why a token may not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import typer
from rich.table import Table

from structgen.cli.exits import FAILED, reports_errors
from structgen.cli.inputs import (
    SCHEMA_HELP,
    DialectOption,
    GrammarOption,
    JsonOption,
    StartOption,
    TokenizerOption,
    compiled,
    read_vocabulary,
)
from structgen.cli.output import out, print_json, progress, show_byte_set, show_bytes
from structgen.cli.walk import first_rejected

if TYPE_CHECKING:
    from structgen.matcher import Matcher
    from structgen.vocab import Vocabulary

SHOWN_GROUPS = 24
SHOWN_TOKENS = 8


@reports_errors
def explain(
    schema: Annotated[str | None, typer.Argument(help=SCHEMA_HELP)] = None,
    prefix: Annotated[str, typer.Option(help="The text so far.")] = "",
    token: Annotated[str | None, typer.Option(help="A token, by its id or its text: may it come next?")] = None,
    regex: Annotated[str | None, typer.Option(help="A regular expression, instead of a schema.")] = None,
    grammar: GrammarOption = None,
    dialect: DialectOption = None,
    start: StartOption = None,
    tokenizer: TokenizerOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show which tokens may follow a prefix, and for one token the byte that forbids it and what was expected there.

    Exit code 1 if the prefix itself, or the token asked about, is not allowed.
    """
    if [schema, regex, grammar].count(None) != 2:
        raise ValueError("give exactly one of a schema, --regex and --grammar")
    with progress("reading the tokenizer"):
        vocab = read_vocabulary(tokenizer)
    with progress("compiling"):
        made = compiled(vocab, schema=schema, regex=regex, grammar=grammar, dialect=dialect, start=start)
    matcher = made.matcher()
    data = prefix.encode()
    rejected = first_rejected(matcher, data)
    if rejected is not None:
        death = _death(matcher, data, rejected)
        if as_json:
            print_json({"prefix": prefix, "allowed": False, **death})
        else:
            print(f"no text begins with this prefix: {_told(death)}")
        raise typer.Exit(FAILED)
    if token is None:
        _show_next(matcher, vocab, prefix, as_json=as_json)
    else:
        _show_token(matcher, vocab, _token_id(vocab, token), as_json=as_json)


def _show_next(matcher: Matcher, vocab: Vocabulary, prefix: str, *, as_json: bool) -> None:
    token_ids = allowed_tokens(matcher, vocab)
    following = show_byte_set(matcher.allowed_bytes())
    if as_json:
        document = {
            "prefix": prefix,
            "allowed": True,
            "may_end": matcher.is_accepting(),
            "next_bytes": following,
            "forced": matcher.forced_bytes().decode(errors="replace"),
            "num_tokens": len(token_ids),
            "tokens": token_ids,
        }
        print_json(document)
        return
    print(f"next byte: {following}; the text may {'' if matcher.is_accepting() else 'not '}end here")
    if forced := matcher.forced_bytes():
        print(f"forced: {show_bytes(forced)}")
    table = Table("first byte", "tokens", "such as", title=f"{len(token_ids):,} of {vocab.vocab_size:,} tokens allowed")
    groups = _groups(token_ids, vocab)
    for first, members in groups[:SHOWN_GROUPS]:
        shown = " ".join(show_bytes(vocab.token_bytes(each)) for each in members[:SHOWN_TOKENS])
        table.add_row(first, f"{len(members):,}", shown + (" …" if len(members) > SHOWN_TOKENS else ""))
    if len(groups) > SHOWN_GROUPS:
        rest = sum(len(members) for _, members in groups[SHOWN_GROUPS:])
        table.add_row("…", f"{rest:,}", f"{len(groups) - SHOWN_GROUPS} more first bytes")
    out.print(table, markup=False)


def _show_token(matcher: Matcher, vocab: Vocabulary, token_id: int, *, as_json: bool) -> None:
    data = vocab.token_bytes(token_id)
    allowed = token_id in set(allowed_tokens(matcher, vocab))
    document: dict[str, Any] = {"token": token_id, "text": data.decode(errors="replace"), "allowed": allowed}
    if not allowed and data:
        fork = matcher.fork()
        rejected = first_rejected(fork, data)
        assert rejected is not None, "a token whose bytes are all taken is missing from the mask"
        document |= _death(fork, data, rejected)
    elif not allowed:
        ends = token_id in vocab.eos_token_ids
        document["reason"] = "the text may not end here" if ends else "special tokens and padding are never text"
        document["expected"] = show_byte_set(matcher.allowed_bytes())
    if as_json:
        print_json(document)
    elif allowed:
        print(f"token {token_id}, {show_bytes(data) if data else 'end of text'}: allowed")
    elif data:
        print(f"token {token_id}, {show_bytes(data)}: forbidden. {_told(document)}")
    else:
        print(f"token {token_id}: forbidden, {document['reason']}; expected {document['expected']}")
    if not allowed:
        raise typer.Exit(FAILED)


def _death(matcher: Matcher, data: bytes, rejected: int) -> dict[str, Any]:
    """Where `data` dies, and what was expected there. The matcher stands before the rejected byte."""
    expected = show_byte_set(matcher.allowed_bytes())
    if matcher.is_accepting():
        expected = f"{expected}, or the end" if expected != "nothing" else "the end"
    return {"byte_offset": rejected, "byte": show_byte_set([data[rejected]]), "expected": expected}


def _told(death: dict[str, Any]) -> str:
    return f"byte {death['byte_offset']} is {death['byte']}, expected {death['expected']}"


def allowed_tokens(matcher: Matcher, vocab: Vocabulary) -> list[int]:
    """Ids of the tokens that may come next."""
    bitmask = np.zeros((1, vocab.num_words), dtype=np.int32)
    matcher.fill_next_token_bitmask(bitmask, 0)
    bits = np.unpackbits(bitmask[0].view(np.uint8), bitorder="little")
    return [int(token) for token in np.flatnonzero(bits)]


def _groups(token_ids: list[int], vocab: Vocabulary) -> list[tuple[str, list[int]]]:
    """Tokens by their first byte, the largest groups first; end-of-text tokens under a name of their own."""
    groups: dict[str, list[int]] = {}
    for token_id in token_ids:
        data = vocab.token_bytes(token_id)
        groups.setdefault(show_byte_set([data[0]]) if data else "end of text", []).append(token_id)
    return sorted(groups.items(), key=lambda group: -len(group[1]))


def _token_id(vocab: Vocabulary, token: str) -> int:
    """A token by its id, or by its exact text."""
    if token.isdigit() and int(token) < vocab.vocab_size:
        return int(token)
    if token in vocab.special_tokens:
        return vocab.special_tokens[token]
    data = token.encode()
    for token_id in range(vocab.vocab_size):
        if vocab.token_bytes(token_id) == data:
            return token_id
    raise ValueError(f"no token is {token!r}; its text is spelled by {vocab.encode(token)}")
