"""Token masks: see `structgen.masks.engine`."""
