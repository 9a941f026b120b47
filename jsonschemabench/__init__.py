"""A benchmark of engines for decoding constrained by JSON Schema.

Code map, in reading order: ``case`` (a schema with instances), ``dataset`` and ``sample`` (where cases come from),
``tokenizer``, ``engines`` (one small adapter each), ``measure`` (what is timed), ``lane`` and ``process`` (the worker
that can be killed), ``fleet`` and ``ray_fleet`` (workers here, or on a cluster), ``runfile`` (what any run leaves
behind), ``record`` (a row: one schema), ``running`` (engines over tasks), ``times`` and ``summary`` (figures),
``comparison`` and ``table`` (tables); then ``suite_source`` and ``suite_table``, ``scale_families`` and ``scale``,
``memory``. With a model: ``model``, ``writing`` (the decoding loop), ``judge`` (what a text is worth), ``written`` (a
row: one text), ``written_plan``, then ``efficiency`` and ``quality``. ``report`` reads all results. The command line:
``options`` and ``groups`` of them, ``saying``, ``mask_cli``, ``model_cli``, ``cli`` last. It uses structgen by its
public names only: in its adapter, and for the embedded model.

An engine of a third party is one class with the methods of ``engines.base.Engine``, named under the entry-point group
``jsonschemabench.engines`` of the package that has it.
"""
