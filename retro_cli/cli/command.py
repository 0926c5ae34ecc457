"""How a command joins the program: shared options, environment variables, examples in the help."""

from __future__ import annotations

import errno
import functools
import inspect
import os
import sys
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import fields, is_dataclass
from typing import Annotated, Any, get_type_hints

import typer
from typer.models import OptionInfo

from retro_cli.cli import console
from retro_cli.cli.interrupts import heard_by_work
from retro_cli.cli.options import database, opened
from retro_cli.errors import EXIT_INTERRUPTED, EXIT_OK, FULL, DiskFull, RetroError, UsageError
from retro_cli.wording import counted

_SHARED = {
    "as_json": (("--json",), "Print JSON, one object a line where rows stream."),
    "quiet": (("--quiet", "-q"), "Say nothing but results and errors."),
    "verbose": (("--verbose", "-v"), "Plain progress lines and more remarks."),
    "debug": (("--debug",), "Show a traceback when something fails."),
}
_PANEL = "Output"
_NOT_WRITABLE = (errno.EACCES, errno.EPERM, errno.EROFS)


def command(
    app: typer.Typer,
    name: str,
    examples: Sequence[str],
    panel: str,
    *,
    environment: bool = True,
    resumes: bool = False,
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Register a function as ``retro NAME``.

    Adds --json, --quiet, --verbose and --debug, gives every option the environment variable
    RETRO_<PARAMETER> (unless told not to: what removes things is said on the command line only),
    and ends the help with the examples. ``resumes``: whoever interrupts it is told to run it again,
    since what is done stays done. A parameter whose type is a dataclass of options stands
    for its fields.
    """

    def register(function: Callable[..., None]) -> Callable[..., None]:
        groups, parameters = _expanded(function)
        parameters = [_as_parsed(parameter) for parameter in parameters]
        if environment:
            parameters = [_with_environment(parameter) for parameter in parameters]
        parameters += [_shared_parameter(name) for name in _SHARED]

        @functools.wraps(function)
        def run(**values: Any) -> None:
            console.state.resumes = resumes
            console.state.json = values.pop("as_json")
            console.state.quiet = values.pop("quiet")
            console.state.verbose = values.pop("verbose")
            console.state.debug = values.pop("debug")
            for group, kind in groups.items():
                values[group] = kind(**{each.name: values.pop(each.name) for each in fields(kind)})
            raise typer.Exit(ending(lambda: _body(function, values)))

        del run.__wrapped__
        run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        run.__annotations__ = {p.name: p.annotation for p in parameters}
        epilog = "Examples:\n\n" + "\n\n".join(f"  $ {example}" for example in examples)
        app.command(name, epilog=epilog, rich_help_panel=panel)(run)
        return function

    return register


def _body(function: Callable[..., None], values: dict[str, Any]) -> None:
    """Run a command with its databases opened; say what was read of those behind URLs."""
    function(**{name: opened(value) for name, value in values.items()})
    if place := sys.modules.get("retro_cli.store.remote.place"):
        for url, traffic in place.TRAFFIC.items():
            if traffic.requests:
                asked = counted(traffic.requests, "request")
                console.say(f"read {console.size(traffic.bytes)} of {url} in {asked}")


def ending(work: Callable[[], None]) -> int:
    """Run a command's body, which hears Ctrl-C; say what ended it, and give the exit code."""
    return outcome(work, heard_by_work())


def outcome(work: Callable[[], None], during: AbstractContextManager[None]) -> int:
    """Run what may write to standard output; say what ended it, and give the exit code of that."""
    code = EXIT_OK
    try:
        with during:
            _check_streams()
            try:
                work()
            except typer.Exit as ended:
                code = ended.exit_code
            sys.stdout.flush()
    except KeyboardInterrupt:
        console.report_interruption()
        code = EXIT_INTERRUPTED
    except BrokenPipeError:
        pass  # the reader had enough (head), and nothing is wrong
    except Exception as error:
        if console.state.debug:
            raise
        known = _known(error)
        console.report_error(known)
        code = known.exit_code
    _drop_what_nobody_takes()
    return code


def _check_streams() -> None:
    """Raises UsageError if standard output is closed: the next file to be opened would be it."""
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w")  # noqa: SIM115
    if sys.stdout is None:
        raise UsageError("standard output is closed", "send it to a file, or to /dev/null")


def _drop_what_nobody_takes() -> None:
    """Else the interpreter tries once more to write it, and complains when it ends."""
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _known(error: Exception) -> RetroError:
    """What is said of an error that ended a command."""
    if isinstance(error, RetroError):
        return error
    if isinstance(error, OSError) and error.errno in FULL:
        # Whoever writes a file says which one it is.
        where = error.filename or "standard output"
        return DiskFull(f"no space left while writing {where}", "free some space, and run it again")
    if isinstance(error, MemoryError):
        return RetroError(
            f"not enough memory ({error or 'none is left'})", "a damaged file may ask for so much: "
            "see retro verify; else give it more, or smaller pieces",
        )  # fmt: skip
    if isinstance(error, OSError) and error.filename is not None:
        return _not_allowed(error)
    return RetroError(
        f"{type(error).__name__}: {error}",
        "this is a defect in retro: run again with --debug and report what it prints",
    )


def _not_allowed(error: OSError) -> UsageError:
    """What the system did not let us do with a file, or could not."""
    name = os.fsdecode(error.filename)
    readable = not os.path.lexists(name) or os.access(name, os.R_OK, effective_ids=True)
    verb = "write" if readable and error.errno in _NOT_WRITABLE else "read"
    why, hint = error.strerror or error, "see whose it is; --debug shows what was done with it"
    return UsageError(f"cannot {verb} {name}: {why}", hint)


def _expanded(
    function: Callable[..., None],
) -> tuple[dict[str, type[Any]], list[inspect.Parameter]]:
    """The dataclasses among a function's parameters, by name, and all parameters with the fields
    of these in their place."""
    groups: dict[str, type[Any]] = {}
    parameters: list[inspect.Parameter] = []
    hints = get_type_hints(function, include_extras=True)
    for name, parameter in inspect.signature(function).parameters.items():
        kind = hints[name]
        if is_dataclass(kind) and isinstance(kind, type):
            groups[name] = kind
            of_fields = get_type_hints(kind, include_extras=True)
            parameters += [
                inspect.Parameter(
                    each.name,
                    inspect.Parameter.KEYWORD_ONLY,
                    default=each.default,
                    annotation=of_fields[each.name],
                )
                for each in fields(kind)
            ]
        else:
            parameters.append(parameter.replace(annotation=kind))
    return groups, parameters


def _shared_parameter(name: str) -> inspect.Parameter:
    flags, text = _SHARED[name]
    option = typer.Option(*flags, help=text, rich_help_panel=_PANEL, show_default=False)
    annotation = Annotated[bool, option]
    return inspect.Parameter(
        name, inspect.Parameter.KEYWORD_ONLY, default=False, annotation=annotation
    )


def _as_parsed(parameter: inspect.Parameter) -> inspect.Parameter:
    """Typer makes a Path of whatever the parser of a Path gives, and a Path cannot hold a URL."""
    markers = getattr(parameter.annotation, "__metadata__", ())
    if any(getattr(marker, "parser", None) is database for marker in markers):
        return parameter.replace(annotation=Annotated[str, *markers])
    return parameter


def _with_environment(parameter: inspect.Parameter) -> inspect.Parameter:
    """Give an option its RETRO_ variable; arguments have none."""
    for marker in getattr(parameter.annotation, "__metadata__", ()):
        if isinstance(marker, OptionInfo) and marker.envvar is None:
            marker.envvar = f"RETRO_{parameter.name.strip('_').upper()}"
            marker.show_envvar = False
    return parameter
