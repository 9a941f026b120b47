"""Regular languages, byte automata and the recursive network."""
