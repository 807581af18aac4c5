"""`python -m src.registry`: the versions of the registered model, and which of them is in use."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from src import paths
from src.cli import parser, run
from src.config import PARAMS, load_params, validate
from src.config.tracking import Tracking
from src.errors import printable
from src.tracking import history, registry
from src.tracking.champion import DATA, description, find_version, version_uri
from src.tracking.comparison import Comparison, Measured, load_faces, measure
from src.tracking.gate import gate_of, verdict_on_answers
from src.tracking.store import open_backend, project_root, reachable
from src.tracking.versions import Row, rows_of

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion

WIDTH = 110  # characters, where there is no terminal to ask
EXAMPLES = """\
  python -m src.registry list
  python -m src.registry compare                 # the challenger with the champion
  python -m src.registry compare 7 4 --json
  python -m src.registry promote 7               # if the gate lets it
  python -m src.registry promote 7 --force --reason "as good, and answers in half the time"
  python -m src.registry rollback --reason "names visitors"
  python -m src.registry --model my-faces list"""


def main(argv: Sequence[str] | None = None) -> None:
    """List, compare, promote and roll back the versions of the registered model.

    The gate lets a version be champion that is right on more of the same validation images, or no
    worse at half the cost; docs/registry.md says why.
    """
    arguments = parser("src.registry", str(main.__doc__), EXAMPLES)
    arguments.add_argument("--model", help="registered model; by default that of params.yaml")
    commands = arguments.add_subparsers(required=True, metavar="COMMAND")

    def command(name: str, call: Callable[[argparse.Namespace], None], words: str) -> Any:
        made = commands.add_parser(name, help=words, description=f"{words.capitalize()}.")
        made.set_defaults(call=call)
        return made

    version = {"help": "number or alias of a version"}
    listing = command("list", show, "show all versions")
    listing.add_argument("--json", action="store_true", help="print JSON")
    comparing = command("compare", compare, "test two versions on the candidate's images")
    comparing.add_argument("candidate", nargs="?", default="challenger", **version)
    comparing.add_argument("reference", nargs="?", default="champion", **version)
    comparing.add_argument("--json", action="store_true", help="print JSON")
    promoting = command("promote", promote, "make a version the champion if the gate lets it")
    promoting.add_argument("version", **version)
    promoting.add_argument("--force", action="store_true", help="whatever the gate says")
    promoting.add_argument("--reason", help="why, with --force; kept with the version")
    back = command("rollback", rollback, "make the champion before it the champion again")
    back.add_argument("--reason", required=True, help="why; kept with the version that goes")
    given = arguments.parse_args(argv)
    reason = getattr(given, "reason", None)
    if reason is not None and not reason.strip():
        arguments.error("--reason must say something")
    if getattr(given, "force", reason is not None) != (reason is not None):
        arguments.error("--force and --reason go together")
    given.call(given)


def show(given: argparse.Namespace) -> None:
    """Print all versions."""
    rows = rows_of(open_backend(), _model(given))
    if given.json:
        print(json.dumps([asdict(row) for row in rows], indent=2))
        return
    titles = ("version", "aliases", "experiment", "validation", "dataset", "registered", "reason")
    _print_table(titles, [_cells(row) for row in rows], right=("version", "validation"))


def _cells(row: Row) -> tuple[str, ...]:
    accuracy = "" if row.val_accuracy is None else f"{row.val_accuracy:.1%}"
    said = f"rolled back: {row.rolled_back}" if row.rolled_back is not None else row.reason
    data = f"{row.origin or 'unknown data'} {(row.dataset or '')[:8]}".strip()
    aliases, day = ", ".join(row.aliases), row.registered[:10]
    return str(row.version), aliases, row.experiment or "", accuracy, data, day, said or ""


@reachable()
def compare(given: argparse.Namespace) -> None:
    """Print a paired test of two versions, and what each costs."""
    backend, model = open_backend(), _model(given)
    candidate, reference = versions = [
        find_version(backend, model, each) for each in (given.candidate, given.reference)
    ]
    faces = load_faces(project_root() / paths.FACES, candidate.tags.get(DATA, ""))
    ours = measure(backend, candidate, faces, timed=True)
    found = Comparison.of(ours, measure(backend, reference, faces, ours.fit, timed=True))
    rule = gate_of(project_root() / PARAMS)
    promoted, reason = verdict_on_answers(backend, candidate, reference, found, rule)
    facts = [_facts(*each) for each in zip(versions, found.networks, strict=True)]
    if given.json:
        tested = {**asdict(found.test), "images": found.images, "lower_limit": found.low}
        gate = {"passes": promoted, "reason": reason}
        answer = {"candidate": facts[0], "reference": facts[1], "test": tested, "gate": gate}
        print(json.dumps(answer, indent=2))
        return
    titles = ("version", "experiment and dataset", "right", "parameters", "MFLOPs", "ms per image")
    rows = [
        (
            str(fact["version"]),
            f"{fact['from']} {(fact['dataset'] or '')[:8]}",
            f"{fact['right']} of {found.images} ({fact['accuracy']:.1%})",
            f"{fact['parameters']:,}",
            f"{fact['flops'] / 1e6:,.1f}",
            f"{fact['milliseconds']:.2f}",
        )
        for fact in facts
    ]
    _print_table(titles, rows, right=titles[2:])
    test = found.test
    print(
        f"difference {100 * test.difference:+.1f} points, lower 95% limit {100 * found.low:+.1f}; "
        f"only the first is right on {test.only_first}, only the second on {test.only_second}; "
        f"McNemar's exact p = {test.p:.2g}"
    )
    verdict = "would make the first champion" if promoted else "would keep the second"
    print(printable(f"the gate {verdict}: {reason}"))


def _facts(version: ModelVersion, network: Measured) -> dict[str, Any]:
    return {
        "version": int(version.version),
        "uri": version_uri(version),
        "from": description(version),
        "dataset": version.tags.get(DATA),
        "right": int(network.right.sum()),
        "accuracy": network.accuracy,
        "parameters": network.parameters,
        "flops": network.flops,
        "milliseconds": network.milliseconds,
    }


def promote(given: argparse.Namespace) -> None:
    """Promote a version, and say whether it was."""
    backend, root = open_backend(), project_root()
    version = find_version(backend, _model(given), given.version)
    if given.force:
        made = registry.promote_by_hand(backend, version, given.reason)
    else:
        faces, runs = root / paths.FACES, root / paths.RUNS
        made = registry.promote_version(backend, version, faces, runs, gate_of(root / PARAMS))
    print(printable(made.sentence))


def rollback(given: argparse.Namespace) -> None:
    """Go back to the champion before."""
    champion, gone = history.rollback(open_backend(), _model(given), given.reason)
    said = f"{version_uri(champion)} ({description(champion)}) is the champion again"
    print(printable(f"{said}, instead of version {gone.version}: {given.reason}"))


def _model(given: argparse.Namespace) -> str:
    if given.model is None:
        return load_params(project_root() / PARAMS).tracking.model
    return validate(Tracking, {"model": given.model}, "--model").model


def _print_table(
    titles: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[str]
) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table()
    for title in titles:
        justify = "right" if title in right else "left"
        table.add_column(title, justify=justify, overflow="fold")  # type: ignore[arg-type]
    for row in rows:
        table.add_row(*map(printable, row))
    # Without markup, for which rich would take `[red]` in a name.
    width = None if Console().is_terminal else WIDTH
    Console(width=width, markup=False, emoji=False).print(table)


if __name__ == "__main__":
    run(main)
