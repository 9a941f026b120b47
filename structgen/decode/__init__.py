"""Decoding: `generate` and what it is made of.

Reading order: `targets` (what was asked for), `models` (what generates), `row` (one prompt on its way), `sampling` (one
token), `loop` (the batch), `partial` (values of unfinished text), `result`, `generate`. Nothing is loaded here:
`models`, `targets`, `partial` and `result` do without torch.
"""
