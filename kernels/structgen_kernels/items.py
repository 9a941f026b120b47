"""States from items that were chosen outside: what is left of a state where some of its items are ruled out."""

from __future__ import annotations

from structgen_kernels.arena import CAPACITY, KERNEL, full, i32x3
from structgen_kernels.jit import kernel
from structgen_kernels.machine import intern


@kernel("int64(int64[::1], int32[:, ::1])")
def state_of(h, items):
    """The state whose kernel is these items: int32[n, 3], pc, origin, arg; 0 if there are none. Or a status."""
    chosen = i32x3(h, KERNEL)
    if len(items) > h[CAPACITY + KERNEL]:
        return full(h, KERNEL)
    for i in range(len(items)):
        for c in range(3):
            chosen[i, c] = items[i, c]
    return intern(h, len(items))
