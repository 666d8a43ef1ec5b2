"""Errors as one line on standard error with exit code 2, and warnings as notes there."""

import os
import signal
import sys
import warnings
from collections.abc import Sequence
from threading import current_thread, main_thread
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

from bayeslaw.base.words import counted
from bayeslaw.cli.printing import caution, note
from bayeslaw.errors import BayeslawError, Caution, RangeError

__all__ = ["OnceEach", "OneLineErrors"]


class OneLineErrors(TyperGroup):
    """Commands that print an error as one line on standard error, and that are listed with their whole sentence."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write the list of the commands; see `typer.core.TyperGroup`."""
        commands = {name: self.get_command(ctx, name) for name in self.list_commands(ctx)}
        with formatter.section("Commands"):
            formatter.write_dl([(name, _first_line(one.help)) for name, one in commands.items() if one is not None])

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
                warnings.simplefilter("always", Caution)
                code = super().main(args, prog_name, complete_var, False, windows_expand_args, **extra)
        except BayeslawError as e:
            code = _complain(str(e))
        except typer.TyperException as e:
            code = _complain(f"{e.format_message().rstrip('.')}{_as_label(e)}; --help shows an example")
        except typer.Abort:
            code = 130
        except BrokenPipeError:  # the reader has closed the pipe
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            code = 1
        finally:
            if before is not None:
                signal.signal(signal.SIGTERM, before)
        sys.exit(code if isinstance(code, int) else 0)


class OnceEach(TyperCommand):
    """A command that refuses an option of one value that is given twice, of which the last would be kept."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Read the words of a command line; see `typer.core.TyperCommand.parse_args`."""
        *_, order = self.make_parser(ctx).parse_args(args=list(args))
        single = [p.opts[0] for p in order if p.param_type_name == "option" and not getattr(p, "multiple", False)]
        if twice := [option for option in single if single.count(option) > 1]:
            raise RangeError(f"{twice[0]} is given {counted(single.count(twice[0]), 'time')}: keep one")
        rest: list[str] = super().parse_args(ctx, args)
        return rest


def _as_label(error: typer.TyperException) -> str:
    """Return how a label is given, where an option that is not known may be the column of one."""
    option, context = getattr(error, "option_name", None), getattr(error, "ctx", None)
    if option is None or context is None or not any("--label" in p.opts for p in context.command.params):
        return ""
    column = option.lstrip("-")
    return f" (if {column} is a column over which the fit is pooled, give --label {column}=LABEL)"


def _first_line(text: str | None) -> str:
    return (text or "").strip().partition("\n")[0]


def _leave(*_: object) -> None:
    """Exit as after Ctrl-C, so that temporary files are removed."""
    sys.exit(128 + signal.SIGTERM)


def _note(message: Warning | str, *_: Any, **__: Any) -> None:
    """Print a warning without its line of code."""
    if isinstance(message, Caution):
        caution([str(message)])
    else:
        note(message)


def _complain(sentence: str) -> int:
    typer.echo(f"bayeslaw: {' '.join(sentence.split())}", err=True)
    return 2
