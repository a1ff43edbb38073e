"""The entry point `hlb`: the table of verbs, errors and exit codes.

A verb is a function in a module of its own, named in `VERBS`; only the verb that runs is imported, so
`hlb --help` and a misspelled verb answer at once. A verb reports failed work by raising an `HlbError` (its
message is printed alone, its `exit_code` becomes the command's) or `typer.Exit(code)`: 0 done, 1 the work
failed, 2 the request was wrong, 130 interrupted.
"""

from __future__ import annotations

import importlib
import os
import sys
from typing import Annotated, Any, NamedTuple, NoReturn

import typer
from typer.core import TyperGroup

from horovod_lb import __version__
from horovod_lb.errors import HlbError


class Verb(NamedTuple):
    """Where a verb's function, or the Typer of a verb of several words, is (`module:name`), and its line in
    `hlb --help`.
    """

    target: str
    help: str


VERBS = {
    "new": Verb("horovod_lb.cli.new:new", "List the shipped studies, or write one to a file."),
    "plan": Verb("horovod_lb.cli.plan:plan", "Show the runs of a study and what follows from it."),
    "run": Verb("horovod_lb.cli.run:run", "Train the runs of a study on this machine."),
    "render": Verb("horovod_lb.cli.render:render", "Write the job scripts of a study to a folder."),
    "submit": Verb("horovod_lb.cli.submit:submit", "Send the runs of a study to a batch system."),
    "retry": Verb("horovod_lb.cli.retry:retry", "Send failed, lost and cancelled runs again."),
    "rehearse": Verb("horovod_lb.cli.rehearse:rehearse", "Play a batch system with a study in miniature."),
    "status": Verb("horovod_lb.cli.status:status", "Show how far the runs of a study are."),
    "logs": Verb("horovod_lb.cli.logs:logs", "Print or follow the log of a run."),
    "cancel": Verb("horovod_lb.cli.cancel:cancel", "Stop runs for good, and the batch jobs they are in."),
    "clean": Verb("horovod_lb.cli.clean:clean", "Free what runs have left behind on the disk."),
    "collect": Verb("horovod_lb.cli.collect:collect", "Gather finished runs into the result tables."),
    "verify": Verb("horovod_lb.cli.verify:verify", "Make result tables again from their runs, and compare."),
    "data": Verb("horovod_lb.cli.data:app", "Prepare data sets, and check them."),
    "doctor": Verb("horovod_lb.cli.doctor:doctor", "Check what is installed and what the scheduler answers."),
    "preflight": Verb("horovod_lb.cli.preflight:preflight", "Let every rank of an allocation look around."),
    "machines": Verb("horovod_lb.cli.machines:machines", "List the machine profiles, or show one."),
    "compare": Verb("horovod_lb.cli.compare:compare", "Show how two studies or two code versions differ."),
    "regimes": Verb("horovod_lb.cli.regimes:regimes", "Bracket large and huge batches; propose runs."),
    "figures": Verb("horovod_lb.cli.figures:figures", "Draw figures of a study's results."),
    "report": Verb("horovod_lb.cli.report:report", "Write tables and figures as one HTML file."),
}


class LazyGroup(TyperGroup):
    """A command group that lists placeholders and imports a verb's module only when it is called."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Replace the placeholder of the verb that was asked for by the verb itself."""
        name, command, rest = super().resolve_command(ctx, args)
        return name, load_verb(name) if name in VERBS else command, rest


def load_verb(name: str) -> Any:
    """The click command of a verb, built from its function's signature and docstring."""
    module, attribute = VERBS[name].target.split(":")
    verb = getattr(importlib.import_module(module), attribute)
    if isinstance(verb, typer.Typer):
        return typer.main.get_command(verb)
    single = typer.Typer(add_completion=False, rich_markup_mode=None)
    single.command(name)(verb)
    return typer.main.get_command(single)


app = typer.Typer(
    cls=LazyGroup,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _placeholder() -> None:
    """Listed in the help; `LazyGroup` puts the verb itself in its place."""


for _name, _verb in VERBS.items():
    app.command(_name, help=_verb.help)(_placeholder)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"hlb {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool,
        typer.Option("--version", is_eager=True, callback=_show_version, help="Print the version and exit."),
    ] = False,
) -> None:
    """Large-batch training studies: plan, train, follow, collect and report."""


def main(arguments: list[str] | None = None) -> NoReturn:
    """Run one verb and exit: messages instead of tracebacks, unless `HLB_DEBUG` is set."""
    debug = bool(os.environ.get("HLB_DEBUG"))
    try:
        typer.main.get_command(app).main(args=arguments, prog_name="hlb")
    except KeyboardInterrupt:
        _fail("interrupted", 130)
    except HlbError as error:
        if debug:
            raise
        _fail(f"hlb: {error}", error.exit_code)
    except Exception as error:
        if debug:
            raise
        reason = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
        _fail(f"hlb: unexpected {reason}\nSet HLB_DEBUG=1 and repeat the command to see the traceback.", 1)
    sys.exit(0)


def _fail(message: str, code: int) -> NoReturn:
    print(message, file=sys.stderr)
    sys.exit(code)


if __name__ == "__main__":
    main()
