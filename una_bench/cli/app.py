"""Command line: each command parses, calls one function and prints. Results on stdout, progress on stderr."""

from __future__ import annotations

import gc
import shlex
import sys
from itertools import islice
from json import dumps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from typer.core import TyperGroup

from una_bench.cli import (
    claims_command,
    data_command,
    gate_commands,
    launch,
    messages,
    model_commands,
    output,
    reproduce_command,
)
from una_bench.errors import UserError
from una_bench.interfaces import registry
from una_bench.record.version import VERSION
from una_bench.reporting.tables.table import Table

if TYPE_CHECKING:
    from una_bench.interfaces.prepared import DataSize
    from una_bench.orchestration.run_folder import RunFolder
    from una_bench.orchestration.tuning import Stage
    from una_bench.suite.plan import Plan


class Commands(TyperGroup):
    """Command group that prints a message if a command is interrupted."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            messages.wrong(f"Interrupted. To run it again: {shlex.join(['una-bench', *sys.argv[1:]])}")
            raise typer.Exit(messages.STOPPED) from None


app = typer.Typer(
    cls=Commands,
    name="una-bench",
    help="Compare PPO, DPO, KTO and UNA on one model and data: quality, speed, memory and fairness.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)

DEFAULT_BASELINE = "dpo"
"""Default baseline of reports; a run without it has no table of differences."""
MOST_SEEDS = MOST_DRAWS = 1000
app.add_typer(model_commands.models, name="models")
app.command("bundle")(model_commands.bundle)
app.command("data")(data_command.data)
app.command("claims")(claims_command.claims)
app.command("reproduce")(reproduce_command.reproduce)
app.add_typer(gate_commands.baseline, name="baseline")
app.command("gate")(gate_commands.gate)

Runs = Annotated[list[Path], typer.Argument(help="Folders of runs, as `una-bench run` printed them.", metavar="RUN...")]
OneRun = Annotated[Path, typer.Argument(help="Folder of a run, as `una-bench run` printed it.", metavar="RUN")]
Baseline = Annotated[
    str, typer.Option("--baseline", help="Method to show the differences to, its first variant. Reports use dpo.")
]


def _console(*, stderr: bool = False) -> Console:
    stream = sys.stderr if stderr else sys.stdout
    return Console(highlight=False, soft_wrap=not stream.isatty(), stderr=stderr)


def _data(plan: Plan, stopped_by: list[UserError]) -> DataSize | None:
    """Return the amount of the data for ``--dry-run``, or add what is wrong with it to ``stopped_by``."""
    from una_bench.cli import overview

    try:
        return overview.data_of(plan)
    except UserError as error:
        stopped_by.append(error)
        return None


def _print(table: Table) -> None:
    from una_bench.reporting.tables.terminal import Terminal

    _console().print(Terminal(table))


def _seeds(text: str) -> list[int]:
    """Parse ``0,1,2`` or ``0-4``."""
    seeds: list[int] = []
    for part in text.split(","):
        first, dash, last = part.strip().partition("-")
        if not _is_seed(first) or (dash and not _is_seed(last)) or (dash and int(last) < int(first)):
            raise UserError(f"--seeds {text}: '{part}' is not a seed. Use numbers from 0, such as 0,1,2 or 0-4.")
        seeds.extend(islice(range(int(first), int(last or first) + 1), MOST_SEEDS + 1))
        if len(seeds) > MOST_SEEDS:
            raise UserError(f"--seeds {text}: more than {MOST_SEEDS} seeds. Give fewer.")
    if len(set(seeds)) != len(seeds):
        raise UserError(f"--seeds {text}: a seed is given twice. Give each once.")
    return seeds


def _is_seed(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) < 11 and int(text) < 2**32


def _draws(text: str) -> int:
    if not _is_seed(text) or not 1 <= int(text) <= MOST_DRAWS:
        raise UserError(f"--draws {text}: give a whole number from 1 to {MOST_DRAWS}.")
    return int(text)


def _names(text: str) -> list[str]:
    names = [name.strip() for name in text.split(",") if name.strip()]
    if not names:
        raise UserError("--methods is empty. Give names or groups, for example --methods ppo,dpo,kto,una.")
    return names


@app.command()
def run(  # noqa: PLR0913 - one parameter an option
    suite: Annotated[
        str,
        typer.Argument(help="Suite by name, or a recipe file (.yaml). Default: exact, or preference with --model."),
    ] = "",
    model: Annotated[str, typer.Option(help="Your model: folder, .gguf file, or name on the hub.")] = "",
    data: Annotated[str, typer.Option(help="Your preference data: file, folder, or name on the hub.")] = "",
    heldout: Annotated[str, typer.Option(help="Data to evaluate on. Default: a tenth of the prompts.")] = "",
    reward_model: Annotated[str, typer.Option(help="A reward model. Default: trained on the data.")] = "",
    tasks: Annotated[str, typer.Option(help="Tasks of lm-eval, as hellaswag,leaderboard-v2.")] = "",
    limit: Annotated[float | None, typer.Option(help="Documents of each task; a group counts as one.")] = None,
    tasks_path: Annotated[str, typer.Option(help="Folder of lm-eval task files of your own.")] = "",
    judge: Annotated[
        str, typer.Option(help="Who compares answers with the untrained policy's: a URL, local, reward_model or rule.")
    ] = "",
    judge_model: Annotated[str, typer.Option(help="Model that judges, at the URL or on this machine.")] = "",
    methods: Annotated[str, typer.Option(help="Methods and groups, as ppo,dpo,kto,una. Default: the suite's.")] = "",
    seeds: Annotated[str, typer.Option(help="Seeds, as 0,1,2 or 0-4. Default: the suite's.")] = "",
    draws: Annotated[str, typer.Option(help="Draws of the problem, each with all methods and seeds. Default: 1.")] = "",
    scale: Annotated[str, typer.Option(help="A scale of the suite: `small` tests that it runs.")] = "",
    tune: Annotated[str, typer.Option(help="Tune every method with equal trials, as trials=8.")] = "",
    set_: launch.Changes = [],  # noqa: B006
    out: launch.Out = None,
    baseline: Baseline = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the plan with predicted time and memory.")] = False,
    retry: launch.Retry = "",
    offline: launch.Offline = False,
    bundle: Annotated[Path | None, typer.Option(help="Folder that `una-bench bundle` wrote.")] = None,
    report_to: Annotated[str, typer.Option(help="Trackers to follow training: tensorboard, wandb, trackio.")] = "",
    keep_old_code: launch.KeepOldCode = False,
    fail_fast: Annotated[bool, typer.Option("--fail-fast", help="Stop at the first cell that fails.")] = False,
    executor: launch.Executor = "local",
    slurm: launch.Slurm = "",
    quiet: launch.Quiet = False,
) -> None:
    """Train, measure and compare methods; run it again to resume or to add methods and seeds."""
    from una_bench.cli import overview, show, trackers, tuning_output
    from una_bench.cli.shorthand import Shorthand
    from una_bench.orchestration import bundle as bundles
    from una_bench.orchestration import engines
    from una_bench.suite import plan as plans
    from una_bench.suite import recipe as recipes
    from una_bench.suite import search, slurm_settings, tune_settings

    launch.begin(retry, offline)
    given = Shorthand(
        model=model,
        data=data,
        heldout=heldout,
        reward_model=reward_model,
        tasks=tasks,
        tasks_path=tasks_path,
        limit=limit,
        judge=judge,
        judge_model=judge_model,
    )
    suite = given.suite(suite) if bundle is None else bundles.use(bundle, suite)
    engine = launch.engine(executor, slurm)
    scaled = [("scale", scale)] if scale else []
    repeated = [("draws", _draws(draws))] if draws else []
    options = [*slurm_settings.changes(slurm), *tune_settings.changes(tune)]
    recipe = recipes.load(suite, [*scaled, *repeated, *given.changes(suite), *set_, *options])
    chosen = (_names(methods) if methods else (), _seeds(seeds) if seeds else ())
    plan = plans.make(recipe, *chosen, device=engines.device(recipe, engine), most_workers=engines.most_workers(engine))
    if bundle is not None:
        bundles.require_draws(bundle, recipe.draws)
        plan = plan.prepared_by(bundles.index_of(bundle)["preparation"])
    if recipe.tune:
        search.searches(plan)  # refused before anything starts
    compared = registry.canonical(baseline or DEFAULT_BASELINE)
    registry.method(compared)

    def predict(plan: Plan, folder: RunFolder, stops: list[UserError]) -> None:
        if plan.recipe.tune:
            _console().print(tuning_output.trials(plan))
        show.plan(_console(), plan, _data(plan, stops), folder.path)

    def announce(plan: Plan, folder: RunFolder) -> None:
        data = overview.data_of(plan)
        if not quiet:
            overview.show(_console(stderr=True), plan, data, folder.path)

    def results(stage: Stage) -> None:
        tuning_output.stage(_console(), stage, baseline=compared, differences=bool(baseline))

    launch.launch(
        plan,
        out=out,
        dry_run=dry_run,
        keep_old_code=keep_old_code,
        predict=predict,
        announce=announce,
        show=results,
        quiet=quiet,
        retry_failed=bool(retry),
        fail_fast=fail_fast,
        executor=engine,
        report_to=trackers.parse(report_to),
        baseline=compared,
    )


@app.command()
def init(
    file: Annotated[Path, typer.Argument(help="Recipe file to create (.yaml).")],
    from_: Annotated[str, typer.Option("--from", help="Suite to start from.")] = "preference",
) -> None:
    """Write a recipe of your own, with a comment at every key."""
    from una_bench.suite import recipe_file

    recipe_file.create(file, from_)
    typer.echo(file)


@app.command("list")
def list_() -> None:
    """List methods, benchmarks and suites."""
    from una_bench.cli import show

    show.catalog(_console())


@app.command()
def show(name: Annotated[str, typer.Argument(help="A method or a suite, as `una-bench list` names it.")]) -> None:
    """Explain one method (paper, memory, settings) or one suite (its recipe with every default)."""
    from una_bench.cli import show as shows

    shows.one(_console(), name)


@app.command()
def compare(
    runs: Runs,
    baseline: Annotated[str, typer.Option(help="Method that the others are compared with.")] = "",
) -> None:
    """Compare methods across runs, with intervals of the differences."""
    from una_bench.reporting.tables import across_runs as compares

    chosen = registry.canonical(baseline) if baseline else None
    _print(compares.across([_run(r) for r in runs], baseline=chosen))


@app.command()
def leaderboard(runs: Runs) -> None:
    """Rank the methods of one or several runs in one table, with Pareto marks."""
    from una_bench.reporting.tables import across_runs as compares

    _print(compares.leaderboard([_run(r) for r in runs]))


@app.command()
def report(run: OneRun) -> None:
    """Create the report of a run again from its records, and print its path."""
    from una_bench.record import reader
    from una_bench.reporting import report as reports
    from una_bench.reproduction import claims_table

    gc.disable()  # thousands of records are no garbage: walking them again and again took a tenth of the time
    draws = reader.draws(_run(run))
    typer.echo(reports.write(run, claims=claims_table.of_run(run, draws), draws=draws))


@app.command()
def audit(run: OneRun, json: Annotated[bool, typer.Option("--json", help="Print the ledger as JSON.")] = False) -> None:
    """Print the fairness ledger of a run: which conditions were equal for all methods and which differed."""
    from una_bench.record import reader
    from una_bench.reporting import fairness

    lines = fairness.ledger(reader.some(_run(run)))
    for note in reader.only_first(run):
        messages.note(note)
    if json:
        typer.echo(fairness.to_json(lines))
    else:
        _print(fairness.table(lines))


@app.command()
def export(
    run: OneRun,
    format: Annotated[str, typer.Option("--format", help="csv, parquet, json, latex or hf-model-card.")] = "csv",
    out: Annotated[Path | None, typer.Option(help="File to write. Default: in the run's folder.")] = None,
) -> None:
    """Write the records of a run in a format for other tools, and print the path."""
    from una_bench.reporting import export as exports

    suffix = {"hf-model-card": "README.md", "latex": "results.tex"}.get(format, f"export.{format}")
    typer.echo(exports.write(_run(run), format, out or run / suffix))


@app.command()
def doctor(
    measure: Annotated[bool, typer.Option("--measure", help="Check instruments and measure noise.")] = False,
    json: Annotated[Path | None, typer.Option("--json", help="With --measure: file for the results.")] = None,
) -> None:
    """Show installed versions, the device, the needs of each suite, and whether the Hugging Face Hub is off."""
    if not measure:
        if json is not None:
            raise UserError("--json needs --measure: una-bench doctor --measure --json FILE.")
        from una_bench.cli import doctor as doctors

        doctors.show(_console())
        return
    from una_bench.orchestration import self_check
    from una_bench.record import storage

    report = self_check.measure(say=messages.note)
    if json is not None:
        storage.write_text(json, dumps(report.to_json(), indent=1) + "\n")
    self_check.show(_console(), report)
    if not report.ok:
        raise typer.Exit(3)


def _run(folder: Path) -> Path:
    if not (folder / "records.jsonl").is_file():
        raise UserError(
            f"{folder} is not a run: it has no records.jsonl. `una-bench run` prints the folder of a run, "
            "by default below results/runs/."
        )
    return folder


def _version(value: bool) -> None:
    if value:
        typer.echo(f"una-bench {VERSION}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Compare alignment methods."""


def main() -> None:
    """Run the command line; errors that a user can fix are one message and status 2."""
    output.outlast_readers()
    try:
        app()
    except UserError as error:
        messages.wrong(str(error))
        raise SystemExit(2) from None
    except OSError as error:  # such as a full disk or a deleted folder
        where = f"{error.filename}: " if error.filename else ""
        messages.wrong(f"{where}{error.strerror or error}. Fix this, then run the same command to resume.")
        raise SystemExit(2) from None
