"""Stage `dataset`: pack the origin into one audited and split file."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from src import cli, paths
from src.config import load_params
from src.files import all_or_none, atomic, write_json, write_text

SHOWN = 10  # findings printed


def main(argv: Sequence[str] | None = None) -> None:
    """Write packed faces and strangers, manifest, audit and contact sheet; nothing if any fails."""
    cli.parser(
        "pipelines.dataset",
        "Pack the origin's faces into one audited, split file.",
        "  python -m pipelines.dataset\n  dvc repro dataset\n"
        "  dvc exp run -S data.origin=data/my_faces.tar.gz",
    ).parse_args(argv)
    params = load_params()

    from src.data.contact_sheet import contact_sheet
    from src.data.faceset import Split
    from src.data.pack import pack

    packed = pack(
        params.data,
        params.seed,
        strangers=params.unknown.origin,
        held_out=params.unknown.held_out,
    )
    sheet = contact_sheet(packed.faces)
    with all_or_none():
        packed.faces.save(paths.FACES)
        packed.strangers.save(paths.STRANGERS)
        write_text(paths.MANIFEST, packed.manifest_csv())
        with atomic(paths.CONTACT_SHEET) as temporary:
            sheet.save(temporary, format="PNG")
        write_json(paths.AUDIT, packed.report())
    counts = ", ".join(f"{len(packed.faces.rows(split))} for {split.name}" for split in Split)
    print(f"{len(packed.faces.subjects)} subjects, {len(packed.faces)} images: {counts}")
    strangers = packed.strangers
    print(f"{len(strangers.subjects) or 'no'} strangers, {len(strangers)} images")
    if any(packed.corrections.values()):
        decided = (f"{count} {what}" for what, count in packed.corrections.items() if count)
        print(f"corrections: {', '.join(decided)}")
    if packed.note:
        print(f"note: {packed.note}", file=sys.stderr)
    for finding in packed.findings[:SHOWN]:
        print(f"audit: {finding}", file=sys.stderr)
    if (more := len(packed.findings) - SHOWN) > 0:
        print(f"audit: {more} more findings in {paths.AUDIT}", file=sys.stderr)


if __name__ == "__main__":
    cli.run(main)
