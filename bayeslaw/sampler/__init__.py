"""Sampling: the log density and its gradient, coordinates without curved ridges, and nutpie.

docs/explanation/sampling.md has the reasons.
"""
