"""Kernels of states in order: their items sorted, without duplicates."""

from __future__ import annotations

from structgen_kernels.arena import KERNEL, helper, i32x3

INSERTION_LIMIT = 24  # kernels up to this size are sorted by insertion, larger ones by heap


@helper("boolean(int32[:, ::1], int64, int64)")
def _less(kernel, i, j):
    if kernel[i, 0] != kernel[j, 0]:
        return kernel[i, 0] < kernel[j, 0]
    if kernel[i, 1] != kernel[j, 1]:
        return kernel[i, 1] < kernel[j, 1]
    return kernel[i, 2] < kernel[j, 2]


@helper("void(int32[:, ::1], int64, int64)")
def _swap(kernel, i, j):
    for c in range(3):
        kernel[i, c], kernel[j, c] = kernel[j, c], kernel[i, c]


@helper("void(int32[:, ::1], int64, int64)")
def _sift(kernel, root, n):
    while True:
        child = 2 * root + 1
        if child >= n:
            return
        if child + 1 < n and _less(kernel, child, child + 1):
            child += 1
        if not _less(kernel, root, child):
            return
        _swap(kernel, root, child)
        root = child


@helper("int64(int64[::1], int64)")
def sort_kernel(h, n):
    """Sort KERNEL[:n] and drop duplicates; the new length."""
    kernel = i32x3(h, KERNEL)
    if n <= INSERTION_LIMIT:
        for i in range(1, n):
            j = i
            while j > 0 and _less(kernel, j, j - 1):
                _swap(kernel, j, j - 1)
                j -= 1
    else:
        for root in range(n // 2 - 1, -1, -1):
            _sift(kernel, root, n)
        for last in range(n - 1, 0, -1):
            _swap(kernel, 0, last)
            _sift(kernel, 0, last)
    m = 0
    for i in range(n):
        if m and not _less(kernel, m - 1, i):
            continue
        for c in range(3):
            kernel[m, c] = kernel[i, c]
        m += 1
    return m
