"""Stage `dataset`: pack the origin into one audited and split file."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from src import cli, paths
from src.config import load_params
from src.files import atomic, write_json, write_text

SHOWN = 10  # findings printed


def main(argv: Sequence[str] | None = None) -> None:
    """Write the packed faces, manifest, audit and contact sheet; nothing if any of them fails."""
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

    packed = pack(params.data, params.seed)
    sheet = contact_sheet(packed.faces)
    packed.faces.save(paths.FACES)
    write_text(paths.MANIFEST, packed.manifest_csv())
    with atomic(paths.CONTACT_SHEET) as temporary:
        sheet.save(temporary, format="PNG")
    write_json(paths.AUDIT, packed.report())
    counts = ", ".join(f"{len(packed.faces.rows(split))} for {split.name}" for split in Split)
    print(f"{len(packed.faces.subjects)} subjects, {len(packed.faces)} images: {counts}")
    for finding in packed.findings[:SHOWN]:
        print(f"audit: {finding}", file=sys.stderr)
    if (more := len(packed.findings) - SHOWN) > 0:
        print(f"audit: {more} more findings in {paths.AUDIT}", file=sys.stderr)


if __name__ == "__main__":
    cli.run(main)
