"""The checker of pages notices what it is there to notice."""

from __future__ import annotations

import pytest
from console_blocks import Console, matches, steps

PAGE = """\
# A page

```console
$ retro status a.db
a.db  1.2 MB

chunks  ok
$ echo $?     # what status ended with
0
```

```python
$ this is no console
```

```console
$ true
```
"""


def test_commands_are_found_with_what_they_say_and_where_they_stand():
    found = [(step.command, step.output, step.line) for step in steps(PAGE)]
    assert found == [
        ("retro status a.db", "a.db  1.2 MB\n\nchunks  ok\n", 4),
        ("echo $?     # what status ended with", "0\n", 8),
        ("true", "", 17),
    ]


@pytest.mark.parametrize(
    ("expected", "said", "same"),
    [
        ("done in 3 s\n", "done in 3 s\n", True),
        ("done in 3 s\n", "done in 4 s\n", False),
        ("done in ... s\n", "done in 4.0 s\n", True),
        ("done in ... s\n", "done in 4.0 h\n", False),
        ("done in ... s\n", "done in\n4 s\n", False),
        ("a\n...\nz\n", "a\nb\nc\nz\n", True),
        ("a\n...\nz\n", "a\nz\n", True),
        ("a\n...\nz\n", "b\nz\n", False),
        ("a\n", "a\nb\n", False),
        ("", "a\n", False),
        ("", "", True),
        ("a\n\nb\n", "a   \n\nb\n", True),
        ("f(x)* [y]\n", "f(x)* [y]\n", True),
    ],
)
def test_three_dots_stand_for_what_differs_and_nothing_else_does(expected, said, same):
    assert matches(expected, said) == same


def test_other_programs_run_in_the_folder_and_see_the_last_exit_code(retro, tmp_path):
    console = Console(retro, tmp_path)
    assert "not a retrieval database" in console.run("retro status no.db")
    assert console.run("echo $?") == "2\n"
    assert console.run("pwd") == f"{tmp_path}\n"
    (step,) = steps("```console\n$ echo one\ntwo\n```\n")
    with pytest.raises(AssertionError, match=r"page, line 2: \$ echo one"):
        console.check(step, "page")
