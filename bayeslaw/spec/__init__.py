"""What is fitted: a law bound to runs, with priors, pooling and errors; and the same as a plain PyMC model."""
