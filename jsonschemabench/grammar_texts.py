"""Texts of a Lark grammar, derived at random, for languages that no file here is written in.

Rules are expanded as lark reads them, short ways out once a text is long enough; terminals are drawn from their
patterns as Python's `re` reads those, without look-around. So a text may be none: an oracle has to be asked.
"""

from __future__ import annotations

import random
import re
import warnings
from collections.abc import Iterator
from typing import Any

from jsonschemabench.grammar_corpus import lark_reader

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)
    import sre_constants as ops
    import sre_parse

_LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_"
_CATEGORIES = {
    ops.CATEGORY_DIGIT: "0123456789",
    ops.CATEGORY_WORD: _LETTERS,
    ops.CATEGORY_SPACE: " \n\t",
}
_PRINTABLE = "".join(map(chr, range(0x20, 0x7F)))
_LONGEST_REPEAT = 5


class Deriver:
    """Draws texts of a grammar in Lark's syntax."""

    def __init__(self, source: str, *, seed: int, num_terminals: int = 60) -> None:
        """`num_terminals`: how long a text is before rules take the shortest way out, about."""
        reader, _ = lark_reader(source)
        self._rng = random.Random(seed)
        self._num_terminals = num_terminals
        self._ways: dict[str, list[list[Any]]] = {}
        for rule in reader.rules:
            self._ways.setdefault(rule.origin.name, []).append(list(rule.expansion))
        self._patterns = {one.name: one.pattern for one in reader.terminals}
        self._start = reader.options.start[0]
        spaces = [self._patterns[name] for name in reader.ignore_tokens]
        self._between = next((" " for one in spaces if re.fullmatch(one.to_regexp(), " ")), "")
        self._costs = self._shortest()

    def texts(self) -> Iterator[str]:
        """Texts without end."""
        while True:
            yield self._between.join(self._derived())

    def _shortest(self) -> dict[str, int]:
        """How many terminals and rules the shortest derivation of each rule has."""
        costs: dict[str, int] = {}
        changed = True
        while changed:
            changed = False
            for name, ways in self._ways.items():
                found = [self._cost(way, costs) for way in ways]
                least = min((one for one in found if one is not None), default=None)
                if least is not None and least < costs.get(name, least + 1):
                    costs[name] = least
                    changed = True
        return costs

    @staticmethod
    def _cost(way: list[Any], costs: dict[str, int]) -> int | None:
        total = 1
        for symbol in way:
            if not symbol.is_term and symbol.name not in costs:
                return None
            total += 1 if symbol.is_term else costs[symbol.name]
        return total

    def _derived(self) -> list[str]:
        out: list[str] = []
        todo: list[Any] = []
        name: str | None = self._start
        while name is not None or todo:
            if name is None:
                symbol = todo.pop()
                if symbol.is_term:
                    out.append(self._terminal(symbol.name))
                    continue
                name = symbol.name
            ways = self._ways[name]
            costs = {
                index: cost for index, way in enumerate(ways) if (cost := self._cost(way, self._costs)) is not None
            }
            short = len(out) + len(todo) > self._num_terminals
            choices = [index for index, cost in costs.items() if not short or cost == min(costs.values())]
            todo += reversed(ways[self._rng.choice(choices)])
            name = None
        return out

    def _terminal(self, name: str) -> str:
        pattern = self._patterns[name]
        if pattern.type == "str":
            return str(pattern.value)
        tree = sre_parse.parse(pattern.to_regexp())
        for _ in range(20):
            text = self._sample(tree)
            if re.fullmatch(pattern.to_regexp(), text):
                return text
        return text

    def _sample(self, tree: Any) -> str:
        return "".join(self._piece(op, argument) for op, argument in tree)

    def _piece(self, op: Any, argument: Any) -> str:
        rng = self._rng
        if op is ops.LITERAL:
            return chr(argument)
        if op is ops.NOT_LITERAL:
            return rng.choice([char for char in _PRINTABLE if ord(char) != argument])
        if op is ops.ANY:
            return rng.choice(_PRINTABLE)
        if op is ops.IN:
            return self._member(argument)
        if op is ops.BRANCH:
            return self._sample(rng.choice(argument[1]))
        if op is ops.SUBPATTERN:
            return self._sample(argument[-1])
        if op in (ops.MAX_REPEAT, ops.MIN_REPEAT):
            low, high, body = argument
            count = rng.randint(low, max(low, min(int(high), low + _LONGEST_REPEAT)))
            return "".join(self._sample(body) for _ in range(count))
        return ""  # assertions

    def _member(self, members: Any) -> str:
        negated, chars = False, ""
        for op, argument in members:
            if op is ops.NEGATE:
                negated = True
            elif op is ops.LITERAL:
                chars += chr(argument)
            elif op is ops.RANGE:
                low, high = argument
                chars += "".join(map(chr, range(low, min(high, low + 0x7F) + 1)))
            else:
                chars += _CATEGORIES.get(argument, "")
        if negated:
            chars = "".join(char for char in _PRINTABLE if char not in chars)
        plain = [char for char in chars if char in _PRINTABLE]
        return self._rng.choice(plain or list(chars) or [""])
