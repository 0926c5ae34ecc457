"""``python -m retro_cli`` is ``retro``."""

from retro_cli.cli.app import main

if __name__ == "__main__":
    main()
