"""What refits say: evaluation on held-out runs, comparison, calibration by simulation."""
