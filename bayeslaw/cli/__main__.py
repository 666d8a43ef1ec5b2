"""The command line as ``python -m bayeslaw.cli``."""

from bayeslaw.cli import app

app()
