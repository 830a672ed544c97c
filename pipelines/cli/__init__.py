"""The command line, ``uniaudio2 COMMAND``; `main` is what the installed script calls."""


def main() -> None:
    """Run the command line; torch and Ray are imported by the commands that need them."""
    from pipelines.cli import commands

    commands.main()
