"""A benchmark of engines for decoding constrained by JSON Schema.

Code map, in reading order: ``case`` (a schema with instances), ``dataset`` and ``sample`` (where cases come from),
``tokenizer``, ``engines`` (one small adapter each), ``measure`` (what is timed), ``lane`` and ``process`` (the worker
that can be killed), ``record`` (what a run leaves behind), ``running`` (engines over cases), ``times`` and ``summary``
(figures), ``comparison`` and ``table`` (tables); then ``suite_source`` and ``suite_table``, ``scale_families`` and
``scale``. With a model: ``model``, ``writing`` (the decoding loop), ``judge`` (what a text is worth), ``written``,
``model_runs``, then ``efficiency`` and ``quality``. ``report`` reads all results; ``cli``, ``model_cli`` and
``options`` last. It uses structgen by its public names only: in its adapter, and for the embedded model.
"""
