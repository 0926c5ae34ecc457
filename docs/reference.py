"""Write docs/reference.md, the reference of every command, from the program itself.

python docs/reference.py [--check]
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import typer

from retro_cli import errors
from retro_cli.cli.app import app

PAGE = Path(__file__).parent / "reference.md"
HEAD = """\
# The commands of `retro`

<!-- Written by docs/reference.py from the program: change the program, and run it again. -->

Data goes to standard output and everything else to standard error, so any command may stand in a
pipe. An option that names a variable reads the environment where the command line does not name it,
and what a database was made with (`retro.toml`) comes before a default. How each error reads, and
what to do about it: [errors.md](errors.md).
"""
ALL = "Every command also has these:"
ENDINGS = (
    (errors.EXIT_OK, "all is well"),
    (errors.RetroError.exit_code, "something failed"),
    (errors.UsageError.exit_code, "the command, its options or its input are wrong"),
    (errors.EXIT_QUARANTINED, "finished, but not with everything; see below which commands"),
    (errors.IntegrityError.exit_code, "bytes on the disk are not those that were written"),
    (errors.LockedError.exit_code, "another process is writing to the database"),
    (errors.EXIT_INTERRUPTED, "interrupted by Ctrl-C"),
)
QUARANTINE = "`chunks/quarantine.jsonl` holds each with its reason"
# When a command ends with 3. A test compares this with the modules that say so.
PARTLY = {
    "retro chunk": f"some records were set aside: {QUARANTINE}",
    "retro build": f"some records were set aside: {QUARANTINE}",
    "retro query": "a line of `--queries` could not be answered; the others were",
    "retro ask": "a line of `--queries` could not be answered; the others were",
    "retro status": "`--check` found work to do",
    "retro diff": "`--check` found a difference",
}


def commands(group: Any, name: str = "retro") -> Iterator[tuple[str, Any]]:
    """Every command below a group by its full name, in the order of their help."""
    for word, each in group.commands.items():
        if hasattr(each, "commands"):
            yield from commands(each, f"{name} {word}")
        elif not each.hidden:
            yield f"{name} {word}", each


def page() -> str:
    found = sorted(commands(typer.main.get_command(app)))
    blocks = [HEAD, _endings(), _shared(found[0][1]), _contents([name for name, _ in found])]
    return "\n".join([*blocks, *(_command(name, each) for name, each in found)])


def _endings() -> str:
    rows = [(str(code), meaning) for code, meaning in ENDINGS]
    return "## Exit codes\n\n" + _table(("code", "meaning"), rows)


def _shared(command: Any) -> str:
    rows = [_row(each) for each in command.params if _is_shared(each)]
    return f"## Options of every command\n\n{ALL}\n\n" + _table(COLUMNS, rows)


def _contents(names: Sequence[str]) -> str:
    links = [f"[{name.removeprefix('retro ')}](#{name.replace(' ', '-')})" for name in names]
    return "## Commands\n\n" + " · ".join(links) + "\n"


def _command(name: str, command: Any) -> str:
    own = [each for each in command.params if not _is_shared(each)]
    blocks = [f"## {name}\n", _paragraphs(command.help or "") + "\n", _usage(name, own)]
    if own:
        blocks.append(_table(COLUMNS, [_row(each) for each in own]))
    examples = [line.strip() for line in (command.epilog or "").splitlines() if "$ " in line]
    blocks.append("```console\n" + "\n".join(examples) + "\n```\n")
    if name in PARTLY:
        blocks.append(f"Ends with 3 if {PARTLY[name]}.\n")
    return "\n".join(blocks)


def _usage(name: str, parameters: Sequence[Any]) -> str:
    words = [name]
    for each in parameters:
        if each.param_type_name == "argument":
            word = _metavar(each)
            words.append(word if each.required else f"[{word}]")
        elif each.required:
            words.append(f"{each.opts[0]} {_metavar(each)}")
    return f"`{' '.join([*words, '[OPTIONS]'])}`\n"


COLUMNS = ("", "what it says", "default", "variable")


def _row(parameter: Any) -> tuple[str, ...]:
    value = "" if _is_flag(parameter) else _metavar(parameter)
    name = " ".join(filter(None, (_names(parameter), value)))
    text, default = _told(_paragraphs(parameter.help or "").replace("\n\n", " "))
    if parameter.multiple and "repeated" not in text:
        text += " May be repeated."
    variable = f"`{parameter.envvar}`" if parameter.envvar else ""
    return f"`{name}`", text, default or _default(parameter), variable


def _told(text: str) -> tuple[str, str]:
    """A help text without the default that it tells of, and that default."""
    found = re.fullmatch(r"(.*?) *\(default: (.*)\)", text)
    return (found[1], found[2]) if found else (text, "")


def _names(parameter: Any) -> str:
    if parameter.param_type_name == "argument":
        return ""
    return ", ".join([*parameter.opts, *parameter.secondary_opts])


def _is_flag(parameter: Any) -> bool:
    return parameter.param_type_name == "option" and bool(parameter.is_flag)


def _is_shared(parameter: Any) -> bool:
    return parameter.name in ("as_json", "quiet", "verbose", "debug")


def _metavar(parameter: Any) -> str:
    if parameter.metavar:
        return str(parameter.metavar)
    choices = getattr(parameter.type, "choices", None)
    if choices:
        return "|".join(str(getattr(each, "value", each)) for each in choices)
    if parameter.param_type_name == "argument":
        return str(parameter.name).upper()
    limits = _limits(parameter.type)
    return {"int": "N", "float": "X"}.get(parameter.type.name.split()[0], "TEXT") + limits


def _limits(kind: Any) -> str:
    low, high = getattr(kind, "min", None), getattr(kind, "max", None)
    if low is None and high is None:
        return ""
    if high is None:
        return f" (at least {low})"
    return f" (at most {high})" if low is None else f" ({low} to {high})"


def _default(parameter: Any) -> str:
    value = parameter.default
    if parameter.required:
        return "required"
    if value is None or value is False or value in ("", [], ()) or callable(value):
        return ""
    return f"`{_plain(value)}`"


def _plain(value: Any) -> str:
    if isinstance(value, (list, tuple)):
        return " ".join(_plain(each) for each in value)
    return str(getattr(value, "value", value))


def _paragraphs(text: str) -> str:
    """Without the line ends of the source, which mean nothing."""
    return "\n\n".join(" ".join(each.split()) for each in text.split("\n\n") if each.strip())


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table without the columns that all rows leave empty."""
    kept = [n for n in range(len(columns)) if any(row[n] for row in rows)]
    lines = [[columns[n] for n in kept], ["---"] * len(kept)]
    lines += [[row[n].replace("|", "\\|") for n in kept] for row in rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def main() -> int:
    parser = argparse.ArgumentParser(description="Write docs/reference.md from the program.")
    parser.add_argument("--check", action="store_true", help="write nothing; 1 if out of step")
    wanted = page()
    if parser.parse_args().check:
        if PAGE.exists() and PAGE.read_text(encoding="utf-8") == wanted:
            return 0
        print(f"{PAGE} is out of step: run python docs/reference.py")
        return 1
    PAGE.write_text(wanted, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
