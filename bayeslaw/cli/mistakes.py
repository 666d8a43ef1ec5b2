"""Errors as one line on standard error with exit code 2, and warnings as notes there."""

import os
import signal
import sys
import warnings
from collections.abc import Sequence
from threading import current_thread, main_thread
from typing import Any

import typer
from typer.core import TyperGroup

from bayeslaw.cli.printing import note
from bayeslaw.errors import BayeslawError

__all__ = ["OneLineErrors"]


class OneLineErrors(TyperGroup):
    """Commands that print an error as one line on standard error."""

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        windows_expand_args: bool = True,
        **extra: Any,
    ) -> Any:
        """Run a command line and exit with its code; see `typer.core.TyperGroup.main`."""
        before = signal.signal(signal.SIGTERM, _leave) if current_thread() is main_thread() else None
        try:
            with warnings.catch_warnings():
                warnings.showwarning = _note
                code = super().main(args, prog_name, complete_var, False, windows_expand_args, **extra)
        except BayeslawError as e:
            code = _complain(str(e))
        except typer.TyperException as e:
            code = _complain(f"{e.format_message().rstrip('.')}; --help shows an example")
        except typer.Abort:
            code = 130
        except BrokenPipeError:  # the reader has closed the pipe
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            code = 1
        finally:
            if before is not None:
                signal.signal(signal.SIGTERM, before)
        sys.exit(code if isinstance(code, int) else 0)


def _leave(*_: object) -> None:
    """Exit as after Ctrl-C, so that temporary files are removed."""
    sys.exit(128 + signal.SIGTERM)


def _note(message: Warning | str, *_: Any, **__: Any) -> None:
    """Print a warning without its line of code."""
    note(message)


def _complain(sentence: str) -> int:
    typer.echo(f"bayeslaw: {' '.join(sentence.split())}", err=True)
    return 2
