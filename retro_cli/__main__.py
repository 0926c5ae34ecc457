"""The ``retro`` command; ``python -m retro_cli`` is the same.

Nothing is imported up here: Ctrl-C during an import is to end like Ctrl-C at any other time.
"""


def main() -> None:
    """Run the command line."""
    try:
        from retro_cli.cli import interrupts

        interrupts.leave_until_work_begins()
    except KeyboardInterrupt:
        from retro_cli.cli import interrupts

        interrupts.leave()
    from retro_cli.cli.app import main as run

    try:
        run()
    finally:
        interrupts.come_too_late()


if __name__ == "__main__":
    main()
