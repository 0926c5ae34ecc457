"""Ctrl-C at any moment: before a command has begun, in the middle, and after its last line."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time

import pytest
from helpers import hear_interrupts

from retro_cli.cli import interrupts
from retro_cli.cli.command import ending

DELAYS = (0.0, 0.02, 0.05, 0.1, 0.2, 0.4, 0.8)  # seconds
RESUMES = "interrupted; run the same command again, it resumes"
SAID = ("interrupted; nothing was begun", "interrupted", RESUMES)


def interrupted_after(delay: float, *args: object) -> tuple[int, str, list[str]]:
    """Exit code, output and remarks of ``retro ARGS`` that gets Ctrl-C ``delay`` after its start.

    Python says on stderr what it imports; from ``retro_cli.cli`` on, our own code is running.
    """
    command = [sys.executable, "-X", "importtime", "-m", "retro_cli", *map(str, args)]
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=hear_interrupts,
    ) as running:
        for line in running.stderr:
            if line.split("|")[-1].strip() == "retro_cli.cli":
                break
        time.sleep(delay)
        running.send_signal(signal.SIGINT)
        out, err = running.communicate(timeout=60)
    remarks = [line for line in err.splitlines() if not line.startswith("import time:")]
    return running.returncode, out, remarks


@pytest.mark.parametrize("delay", DELAYS)
@pytest.mark.parametrize("command", ["--help", "query", "chunk"])
def test_whenever_it_comes_a_command_is_done_or_says_that_it_was_interrupted(
    db, archive, retro, command, delay
):
    args = {
        "--help": ("--help",),
        "query": ("query", db, "the ferry", "--format", "csv"),
        "chunk": ("chunk", archive, "--db", db, "--workers", 1),
    }[command]
    code, out, remarks = interrupted_after(delay, *args)
    if code == 0:
        whole = subprocess.run(
            [sys.executable, "-m", "retro_cli", *map(str, args)], capture_output=True, text=True
        )
        assert out == whole.stdout
        assert remarks == [] or command == "chunk"
    else:
        assert code == 130
        assert remarks[-1] in SAID
        assert len(remarks) == 1 or command == "chunk"
    assert not any("Traceback" in line or "Exception ignored" in line for line in remarks)
    assert retro("verify", db).code == 0


# The work of ``retro status``, replaced; Ctrl-C comes at a moment that is always the same.
WORK = """
import atexit, os, signal, sys, time
signal.signal(signal.SIGINT, {handler})
import retro_cli.status

def interrupt():
    os.kill(os.getpid(), signal.SIGINT)

def status(layout):
{work}
    raise SystemExit("the work went on")

retro_cli.status.status = status
sys.argv = ["retro", "status", "x.db", *sys.argv[1:]]
from retro_cli.__main__ import main
main()
"""


def during_work(*lines: str, handler: str = "signal.default_int_handler", options=()):
    work = "\n".join(f"    {line}" for line in lines)
    code = WORK.format(work=work, handler=handler)
    return subprocess.run(
        [sys.executable, "-c", code, *options],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


@pytest.mark.parametrize(
    "lines",
    [
        ("interrupt()",),
        ("exec('interrupt()', globals())",),
        # A callback that cannot raise: without a second try the work would go on for ever.
        (
            "class Dying:",
            "    def __del__(self): interrupt()",
            "Dying()",
            "while True: time.sleep(0.001)",
        ),
    ],
    ids=["plain", "exec", "callback"],
)
def test_work_that_is_interrupted_ends_with_our_message_and_code(lines):
    done = during_work(*lines)
    assert done.returncode == 130
    assert done.stderr.splitlines() == [SAID[1]]


def test_a_program_that_reads_json_is_told_in_json():
    done = during_work("interrupt()", options=["--json"])
    assert done.returncode == 130
    said = json.loads(done.stderr)
    assert (said["error"], said["exit_code"]) == ("Interrupted", 130)
    assert (said["message"], said["hint"]) == ("interrupted", "")
    assert done.stdout == ""


def test_quiet_does_not_hide_that_work_was_cut_short():
    done = during_work("interrupt()", options=["--quiet"])
    assert (done.returncode, done.stderr.splitlines()) == (130, [SAID[1]])


@pytest.mark.parametrize(
    ("words", "work", "resumes"),
    [
        (["chunk", "archive", "--db", "a.db"], "pipeline.chunk", True),
        (["embed", "a.db"], "pipeline.embed", True),
        (["index", "a.db"], "pipeline.index", True),
        (["build", "archive", "--db", "a.db"], "pipeline.chunk", True),
        (["neighbours", "a.db"], "pipeline.neighbours", True),
        (["filter", "score", "a.db"], "upkeep.scoring.score_database", True),
        (["filter", "undo", "a.db", 1], "upkeep.filtering.undo_rule", False),
        (["compact", "a.db"], "upkeep.compact.compact", True),
        (["rollback", "a.db", 1], "upkeep.history.rollback", False),
        (["fit", "a.db", "--out", "m"], "learning.fit", True),
        (["train", "a.db", "--out", "m"], "learning.train", True),
        (["verify", "a.db"], "verify.verify", False),
        (["status", "a.db"], "status.status", False),
        (["plan", "300M"], "planning.plan_corpus", False),
        (["query", "a.db", "the boat"], "database.Database.open", False),
        (["generate", "a.db", "the boat"], "cli.generate._prompt", False),
        (["export", "a.db", "o.npy"], "export.export", False),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)  # fmt: skip
def test_only_what_resumes_says_that_it_does(retro, monkeypatch, words, work, resumes):
    def interrupted(*args: object, **options: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(f"retro_cli.{work}", interrupted)
    done = retro(*words, "-q")
    assert done.code == 130
    assert done.err.splitlines() == ([RESUMES] if resumes else ["interrupted"])


def test_after_the_work_it_comes_too_late():
    at_the_end = "atexit.register(interrupt)"
    done = during_work(
        at_the_end, "from retro_cli.errors import RetroError", "raise RetroError('no')"
    )
    assert done.returncode == 1
    assert "error: no" in done.stderr
    assert "interrupted" not in done.stderr


def test_a_second_one_does_not_disturb_the_message_of_the_first():
    done = during_work("atexit.register(interrupt)", "interrupt()")
    assert (done.returncode, done.stderr.splitlines()) == (130, [SAID[1]])


def test_what_runs_in_the_background_goes_on_ignoring_it():
    done = during_work("interrupt()", handler="signal.SIG_IGN")
    assert "the work went on" in done.stderr


def test_a_program_that_uses_retro_keeps_its_own_handler():
    before, hook = signal.getsignal(signal.SIGINT), sys.unraisablehook
    assert ending(lambda: None) == 0
    with interrupts.heard_by_work():
        assert signal.getsignal(signal.SIGINT) is before
    interrupts.come_too_late()
    assert signal.getsignal(signal.SIGINT) is before
    assert sys.unraisablehook is hook
