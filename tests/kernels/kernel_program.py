"""Instructions of an arena, read in Python."""

from __future__ import annotations

from structgen_kernels import arena as k
from structgen_kernels.arena import Arena


class Program:
    """What instructions that read bytes, branch and call do; what counts or guards is not read."""

    def __init__(self, arena: Arena) -> None:
        self._net, self._switch, self._picks, self._classes = (
            arena.tables[table] for table in (k.NET, k.SWITCH, k.PICKS, k.CLASSES)
        )

    def ends(self, pc: int, text: bytes) -> set[tuple[int, int]]:
        """How far a text is read, and the pc that it is read to (of no instruction), or ~rule where one is called."""
        found: set[tuple[int, int]] = set()
        todo, seen = [(0, pc)], {(0, pc)}
        while todo:
            at, pc = todo.pop()
            if pc >= len(self._net):
                found.add((at, pc))
                continue
            op, a, b, c, _ = self._net[pc].tolist()
            byte = text[at] if at < len(text) else -1
            after: list[tuple[int, int]] = []
            if op == k.SPLIT:
                after = [(at, a), (at, b)]
            elif op in (k.JUMP, k.NOTE):
                after = [(at, a)]
            elif op == k.CALL:
                found.add((at, ~a))
            elif op == k.BYTE:
                after = [(at + 1, b)] if self._holds(a, byte) else []
            elif op in (k.SWITCHED, k.PICK):
                rows = (self._switch if op == k.SWITCHED else self._picks)[b : b + c].tolist()
                after = [(at + 1, row[1]) for row in rows if row[0] == byte]
                assert self._holds(a, byte) == bool(after)
            else:
                assert op == k.FAIL, op
            for each in after:
                if each not in seen:
                    seen.add(each)
                    todo.append(each)
        return found

    def _holds(self, byte_class: int, byte: int) -> bool:
        return byte >= 0 and bool(int(self._classes[byte_class, byte >> 6]) >> (byte & 63) & 1)
