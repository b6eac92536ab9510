"""The command line: one module per subcommand, loaded only when it is called.

Exit codes: 0 done · 1 it could not be done · 2 bad usage · 69 the daemon cannot be reached ·
70 a bug in push-agent · 75 try again later (locked, full, not signed in) · 78 bad configuration.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Sequence

import click

from agent import __version__
from agent.errors import AgentError, ConfigError

EXIT_BUG = 70
EXIT_INTERRUPTED = 130

# word → (module, what the list of commands says)
COMMANDS: dict[str, tuple[str, str]] = {
    "run": ("agent.commands.run", "Run the daemon: schedule, collect, deliver, reload."),
    "validate": ("agent.commands.validate", "Check the config; all errors of all files at once."),
    "dry-run": ("agent.commands.dry_run", "Show the exact requests of a job without sending them."),
    "test": ("agent.commands.test", "Run the tests of jobs: given records, expected requests."),
    "push": ("agent.commands.push", "Run one job now."),
    "pause": ("agent.commands.pause", "Let a job or a connection stand still."),
    "resume": ("agent.commands.resume", "Let it go on."),
    "drain": ("agent.commands.drain", "Collect nothing more and wait until the spool is empty."),
    "plan": ("agent.commands.plan", "Show what a reload would change."),
    "reload": ("agent.commands.reload", "Make the daemon load changed files now."),
    "status": ("agent.commands.status", "Show what each job and connection is doing, and why."),
    "find": ("agent.commands.find", "Find a message by a key of its records: when sent, with what answer."),
    "history": ("agent.commands.history", "List the runs of a job, and what came of each."),
    "dead": ("agent.commands.dead", "Messages refused for good: look, send again, put right, forget."),
    "auth": ("agent.commands.auth", "Look at the sign-in of each connection; refresh, log in, forget."),
    "schema": ("agent.commands.schema", "Print a JSON Schema, for editors."),
    "sandbox": ("agent.commands.sandbox", "Serve a local stand-in of the platform to try things on."),
    "demo": ("agent.commands.demo", "See it all work in half a minute, without any set-up."),
}

EPILOG = """\b
Examples:
  push-agent demo                          see it work
  push-agent validate                      check /etc/push-agent
  push-agent dry-run gps-positions         show its requests, send nothing
  push-agent --help, push-agent dry-run --help
"""


class LazyGroup(click.Group):
    """Knows every command's name; imports its module only when it is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """In the order in which people need them."""
        del ctx
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command, loaded now; None when there is no such word."""
        del ctx
        if cmd_name not in COMMANDS:
            return None
        command = importlib.import_module(COMMANDS[cmd_name][0]).command
        assert isinstance(command, click.Command)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As click does it, with a hint for a word that is nearly one."""
        import difflib  # noqa: PLC0415 - only for a typo

        word = args[0] if args else ""
        if word and not word.startswith("-") and word not in COMMANDS:
            near = difflib.get_close_matches(word, COMMANDS, n=1)
            hint = f" Did you mean '{near[0]}'?" if near else ""
            ctx.fail(f"There is no command '{word}'.{hint}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The list of commands, without importing any of them."""
        del ctx
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])


@click.group(
    name="push-agent",
    cls=LazyGroup,
    epilog=EPILOG,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(__version__, prog_name="push-agent")
def cli() -> None:
    """Push files and tables to HTTP platforms: described in YAML, in order, never lost."""


def run_command_line(arguments: Sequence[str]) -> int:
    """Run one command; every error ends here, as a sentence and an exit code."""
    try:
        result = cli.main(args=list(arguments), prog_name="push-agent", standalone_mode=False)
    except (click.exceptions.Abort, KeyboardInterrupt):
        return EXIT_INTERRUPTED
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except AgentError as error:
        tell(error)
        return error.exit_code
    except BrokenPipeError:
        # Whoever read our output has seen enough; nothing is left to say to it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:  # noqa: BLE001 - the one place where a bug meets the user
        return tell_bug(error)
    return result if isinstance(result, int) else 0


def tell(error: AgentError) -> None:
    """An error for a person: what is wrong, then what to do."""
    from agent.logs import blotter  # noqa: PLC0415 - only when something is wrong

    if isinstance(error, ConfigError):
        click.echo(blotter.clean(str(error)), err=True)
        return
    click.echo(click.style("error: ", fg="red") + blotter.clean(error.message), err=True)
    if error.hint:
        click.echo("  hint: " + blotter.clean(error.hint), err=True)


def tell_bug(error: Exception) -> int:
    """Something nobody expected: say so in one line; the traceback only when it is asked for."""
    from agent.logs import blotter  # noqa: PLC0415 - only when something is wrong

    if os.environ.get("PUSH_AGENT_TRACEBACK"):
        import traceback  # noqa: PLC0415 - only when asked for

        click.echo(blotter.clean("".join(traceback.format_exception(error))), err=True)
    words = f"{type(error).__name__}: {error}"
    click.echo(click.style("bug: ", fg="red") + blotter.clean(words), err=True)
    click.echo("  hint: this is a fault of push-agent; PUSH_AGENT_TRACEBACK=1 shows where", err=True)
    return EXIT_BUG
