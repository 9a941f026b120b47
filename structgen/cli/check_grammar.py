"""`structgen check` for grammars: what is in it, what can never be used, and which texts it takes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import typer

from structgen.cli.exits import FAILED
from structgen.cli.inputs import byte_vocabulary, read_text
from structgen.cli.output import print_json, progress, show_byte_set
from structgen.cli.walk import first_rejected

if TYPE_CHECKING:
    from structgen.decode.targets import GrammarText


def check_grammar(spec: GrammarText, texts: list[str], *, as_json: bool) -> None:
    """Print what a grammar is and which of the texts (names of files) it accepts; exit code 1 if one is not."""
    with progress("checking"):
        from structgen.compiler import compile_grammar
        from structgen.grammar.dialects import read_grammar
        from structgen.grammar.flatten import flatten

        grammar = read_grammar(spec.text, dialect=spec.dialect, start=spec.start)
        flat = flatten(grammar)
        matcher = compile_grammar(
            spec.text, byte_vocabulary(), dialect=spec.dialect, start=spec.start, lexer=spec.lexer
        ).matcher()
        verdicts = []
        for name in texts:
            matcher.reset()
            data = read_text(name).encode()
            rejected = first_rejected(matcher, data)
            verdict: dict[str, Any] = {"text": name, "accepted": rejected is None and matcher.is_accepting()}
            if not verdict["accepted"]:
                at = len(data) if rejected is None else rejected
                verdict |= {
                    "line": data.count(b"\n", 0, at) + 1,
                    "column": at - data.rfind(b"\n", 0, at),
                    "expected": show_byte_set(matcher.allowed_bytes()),
                }
            verdicts.append(verdict)
    report: dict[str, Any] = {
        "grammar": "supported",
        "rules": len(grammar.rules),
        "rules_after_flattening": len(flat.rules),
        "terminals": len(grammar.terminals),
        "unproductive": list(flat.unproductive),
        "unreachable": list(flat.unreachable),
        "texts": verdicts,
    }
    if as_json:
        print_json(report)
    else:
        print(f"grammar: valid, enforced exactly; {len(grammar.rules)} rules, {len(flat.rules)} after flattening")
        for what in ("unproductive", "unreachable"):
            if report[what]:
                print(f"{what}, never used: {', '.join(report[what])}")
        for verdict in verdicts:
            where = "" if verdict["accepted"] else f" at line {verdict['line']}, column {verdict['column']}"
            expected = "" if verdict["accepted"] else f": expected {verdict['expected'] or 'the end'}"
            print(f"{verdict['text']}: {'accepted' if verdict['accepted'] else 'NOT ACCEPTED'}{where}{expected}")
    if not all(verdict["accepted"] for verdict in verdicts):
        raise typer.Exit(FAILED)
