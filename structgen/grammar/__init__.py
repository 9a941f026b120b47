"""Front ends: text of grammars and regular expressions, compiled to `structgen.ir` and languages."""
