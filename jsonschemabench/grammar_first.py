"""From the text of a shipped grammar to its first mask, each time in a new process.

Kernels are compiled and loaded, the vocabulary is there, and nothing of any grammar is. What is counted is the CPU time
of the process: `compile_grammar`, a matcher, its first mask, and then the same again. This module is the process, too:
`python -m jsonschemabench.grammar_first NAME TOKENIZER`.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from statistics import median

import numpy as np
from rich.progress import Progress

from jsonschemabench.lane import HarnessError
from jsonschemabench.table import Table, number

_WARM = r'root ::= "(" (([a-z]+ | "if" | [0-9]+ | "\"" [^"]* "\"") " "?)+ ")" root?'
_WARM_TEXT = ("", "(", "i", "f", " ", "12", ' "', "x")


def first(name: str, tokenizer: Path) -> tuple[float, float, bool]:
    """(ms to the first mask, ms to the one of the same grammar again, whether the text had to be read for it)."""
    import structgen

    vocab = structgen.Vocabulary.from_file(tokenizer)
    bitmask = np.zeros((1, vocab.num_words), np.int32)
    warm = structgen.compile_grammar(_WARM, vocab, dialect="gbnf").matcher()  # loads the kernels, and no reader of Lark
    for text in _WARM_TEXT:
        assert warm.accept_bytes(text.encode())
        warm.fill_next_token_bitmask(bitmask)
    times = []
    for _ in range(2):
        begin = time.process_time()
        grammar = structgen.compile_grammar(structgen.load_grammar(name), vocab)
        grammar.matcher().fill_next_token_bitmask(bitmask)
        times.append((time.process_time() - begin) * 1e3)
    return times[0], times[1], "lark" in sys.modules


def first_masks(names: list[str], tokenizer: Path, *, processes: int, progress: Progress) -> Table:
    """A row for each grammar; a first process whose times do not count fills the caches on disk.

    Raises `HarnessError` with the last line that a process which failed has said.
    """
    bar = progress.add_task("first masks", total=len(names) * (processes + 1))
    rows = []
    for name in names:
        found: list[tuple[float, float, bool]] = []
        for at in range(processes + 1):
            command = [sys.executable, "-m", "jsonschemabench.grammar_first", name, str(tokenizer)]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                said = done.stderr.strip().rpartition("\n")[2] or f"exit status {done.returncode}"
                raise HarnessError(f"{name}: {said}")
            if at:
                found.append(json.loads(done.stdout))
            progress.update(bar, advance=1)
        firsts, again, read = zip(*found, strict=True)
        rows.append(
            [name, *(number(round(one)) for one in (median(firsts), min(firsts), max(firsts))),
             f"{median(again):.1f}", "yes" if any(read) else "no"]
        )  # fmt: skip
    columns = ["grammar", "first mask, median", "least", "most", "again", "text read"]
    note = f"CPU ms, {processes} new processes each."
    return Table("From a grammar's text to its first mask", columns, rows, note=note)


if __name__ == "__main__":
    print(json.dumps(first(sys.argv[1], Path(sys.argv[2]))))
