"""How posteriors are drawn: the density by hand, coordinates that straighten it, and nutpie.

docs/explanation/sampling.md has the reasons.
"""
