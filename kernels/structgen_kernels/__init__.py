"""Kernels of structgen: loops over arrays, compiled by numba. This package never imports structgen."""
