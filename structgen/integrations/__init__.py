"""Adapters for other libraries, one module each, imported by name: nothing is loaded here."""
