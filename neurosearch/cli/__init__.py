"""The command line: one file per command, whose heavy imports stand inside its function.

In: what a user types. Out: facts, for people or with `--json` for programs; the next command to type; an exit code: 0
ok, 2 the config or the command is wrong, 3 the system failed, 4 nothing feasible was found.
"""

__all__ = ["main"]


def main() -> None:
    """Runs the command that the process was started with, and ends the process."""
    from neurosearch.cli.streams import mend_streams

    mend_streams()
    from neurosearch.cli.leaving import leave

    try:
        from neurosearch.cli.app import app

        app(prog_name="neurosearch")
    except SystemExit as done:
        leave(done.code)
    except KeyboardInterrupt:  # before any command had begun, which would have told it
        leave(130)
