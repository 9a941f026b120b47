"""IR nodes as instructions of a network.

Emission is by continuation: `emit(net, node, after, rule)` returns the pc at which the node starts, given the pc that
follows it, so a grammar is a graph whose shared parts are shared pcs.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from structgen.automata import text
from structgen.ir import Alt, Bytes, Call, Choice, Guard, Lazy, Literal, Members, Node, Repeat, Seq, Star, Text
from structgen_kernels import arena as k

if TYPE_CHECKING:
    from structgen.automata.network import Network

_EAGER_MEMBERS = 64  # an object with more keys emits what follows a key when it is reached
_EAGER_BRANCHES = 4  # a choice with more branches emits their continuations when they are reached


def emit(net: Network, node: Node, after: int, rule: int) -> int:
    """Emit a node of a rule that is followed by pc `after`; the pc where it starts."""
    return _EMIT[type(node)](net, node, after, rule)


def _bytes(net: Network, node: Bytes, after: int, rule: int) -> int:
    return net.byte(node.mask, after, rule=rule)


def _literal(net: Network, node: Literal, after: int, rule: int) -> int:
    return net.chain(node.data, after, rule)


def _seq(net: Network, node: Seq, after: int, rule: int) -> int:
    following: Literal | None = None  # read already, but part of what ends a text
    for part in reversed(node.parts):
        if isinstance(part, Text) and isinstance(following, Literal):
            after = text.emit_text(net, part.language, part.encoding, after, rule, end=following.data)
            following = None
        else:
            if following is not None:
                after = net.chain(following.data, after, rule)
            following = part if isinstance(part, Literal) else None
            if following is None:
                after = emit(net, part, after, rule)
    return after if following is None else net.chain(following.data, after, rule)


def _alt(net: Network, node: Alt, after: int, rule: int) -> int:
    return net.split(*(emit(net, part, after, rule) for part in node.parts), rule=rule)


def _star(net: Network, node: Star, after: int, rule: int) -> int:
    loop = net.instruction(k.SPLIT, rule=rule)
    net.patch(loop, emit(net, node.body, loop, rule), after)
    return loop


def _repeat(net: Network, node: Repeat, after: int, rule: int) -> int:
    return net.counted(lambda loop: emit(net, node.body, loop, rule), node.min, node.max, after, rule)


def _call(net: Network, node: Call, after: int, rule: int) -> int:
    call = net.call(net.rule(node.rule), after, rule=rule)
    return net.split(call, after, rule=rule) if node.rule.nullable else call


def _lazy(net: Network, node: Lazy, after: int, rule: int) -> int:
    return net.once((net.name_of(node), after), _forced, net, node, after, rule, rule=rule)


def _forced(net: Network, node: Lazy, after: int, rule: int) -> int:
    return emit(net, node.force(), after, rule)


def _text(net: Network, node: Text, after: int, rule: int) -> int:
    return text.emit_text(net, node.language, node.encoding, after, rule)


def _guard(net: Network, node: Guard, after: int, rule: int) -> int:
    net.has_guards = True
    return net.instruction(k.GUARD, after, net.byte_class(node.mask), rule=rule)


def _members(net: Network, node: Members, after: int, rule: int) -> int:
    places = sorted(range(len(node.keys)), key=lambda place: node.keys[place].key)
    keys = [node.keys[place] for place in places]
    first = net.list_of_members(
        places, [key.required for key in keys], ordered=node.ordered, extras=node.additional is not None
    )
    done = net.counter(after, 0, rule=rule)
    tail = net.instruction(k.SPLIT, rule=rule)
    put_off = len(keys) > _EAGER_MEMBERS
    targets = [
        net.lazy(_member, net, key.rest, index, tail, rule, rule=rule, light=True)
        if put_off and not isinstance(key.rest, Literal)
        else _member(net, key.rest, index, tail, rule)
        for index, key in enumerate(keys)
    ]
    ways = []
    if keys:
        ways.append(net.picks([key.key for key in keys], targets, rule=rule))
    if node.additional is not None:
        ways.append(net.instruction(k.EXTRA, _member(net, node.additional, -1, tail, rule), rule=rule))
    start = net.split(*ways, rule=rule)
    more = net.instruction(k.LEFT, emit(net, node.separator, start, rule), rule=rule)
    net.patch(tail, net.instruction(k.ENDS, done, rule=rule), more)
    return net.instruction(k.SET, start, -first, rule=rule)


def _member(net: Network, rest: Node, index: int, tail: int, rule: int) -> int:
    if isinstance(rest, Lazy):
        rest = rest.force()
    return emit(net, rest, net.instruction(k.MARK, tail, index, rule=rule), rule)


def _choice(net: Network, node: Choice, after: int, rule: int) -> int:
    branches = sorted(node.branches, key=lambda branch: branch[0])
    put_off = len(branches) > _EAGER_BRANCHES
    targets = [
        net.lazy(emit, net, then, after, rule, rule=rule)
        if put_off and not _is_cheap(then)
        else emit(net, then, after, rule)
        for _, then in branches
    ]
    return _trie(net, [data for data, _ in branches], targets, 0, len(branches), 0, rule)


def _trie(net: Network, keys: list[bytes], targets: list[int], low: int, high: int, depth: int, rule: int) -> int:
    """The sorted keys [low, high), of which `depth` bytes are read."""
    first, last = keys[low], keys[high - 1]
    shared = depth
    limit = min(len(first), len(last))
    while shared < limit and first[shared] == last[shared]:
        shared += 1
    ends = []
    while low < high and len(keys[low]) == shared:
        ends.append(targets[low])
        low += 1
    branches: dict[int, int] = {}
    while low < high:
        byte = keys[low][shared]
        end = low + 1
        while end < high and keys[end][shared] == byte:
            end += 1
        if end == low + 1:
            branches[byte] = net.chain(keys[low][shared + 1 :], targets[low], rule)
        else:
            branches[byte] = _trie(net, keys, targets, low, end, shared + 1, rule)
        low = end
    masks: dict[int, int] = {}
    for byte, target in branches.items():
        masks[target] = masks.get(target, 0) | 1 << byte
    pc = net.split(*ends, net.switch(masks, rule=rule), rule=rule)
    return net.chain(first[depth:shared], pc, rule)


def _is_cheap(node: Node) -> bool:
    return isinstance(node, (Bytes, Literal, Lazy, Call)) or (isinstance(node, Seq) and not node.parts)


_EMIT: dict[type, Callable[[Network, Any, int, int], int]] = {
    Bytes: _bytes,
    Literal: _literal,
    Seq: _seq,
    Alt: _alt,
    Star: _star,
    Repeat: _repeat,
    Choice: _choice,
    Call: _call,
    Lazy: _lazy,
    Text: _text,
    Guard: _guard,
    Members: _members,
}
