"""Refits: evaluation on held-out runs, comparison, calibration by simulation."""
