"""Ours against the peers, side by side in one run: `python -m benchmarks.run` or `make bench`."""

import argparse
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from . import page, pairs, scaling
from .pairs import Record
from .rows import Row, rows
from .workers import ROOT, WorkerFailed


RESULTS = ROOT / "benchmarks" / "results"
INSTALL = ROOT / "benchmarks" / "peers" / "install.sh"
PAGE = ROOT / "docs" / "benchmarks.md"


def main(argv: Sequence[str] | None = None) -> int:
    """Measure what was asked for, print it, write the page; 1 if anything failed."""
    arguments = _parse(argv)
    try:
        return _run(arguments)
    except ValueError as error:
        print(f"benchmarks.run: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("Interrupted; the rows that were finished are kept.", file=sys.stderr)
        return 130


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    keys = [*(row.key for row in rows(None)), scaling.KEY]
    parser = argparse.ArgumentParser(prog="benchmarks.run", description=__doc__)
    parser.add_argument("--only", nargs="+", choices=keys, metavar="ROW", help=", ".join(keys))
    parser.add_argument("--pairs", type=int, help="turns against each peer (5; with --quick 2)")
    parser.add_argument("--purejaxrl", type=Path, metavar="FOLDER", help="a clone of PureJaxRL")
    parser.add_argument("--output", type=Path, help="the page (docs/benchmarks.md)")
    parser.add_argument(
        "--quick", action="store_true", help="try everything out on little work; no figures to keep"
    )
    parser.add_argument(
        "--no-install", action="store_true", help="do not install or renew the peers' environments"
    )
    arguments = parser.parse_args(argv)
    if arguments.pairs is not None and arguments.pairs < 1:
        parser.error(f"--pairs must be at least 1; got {arguments.pairs}")
    if arguments.purejaxrl is not None:
        arguments.purejaxrl = arguments.purejaxrl.resolve()
        if not arguments.purejaxrl.is_dir():
            parser.error(f"--purejaxrl {arguments.purejaxrl}: there is no such folder")
    return arguments


def _run(arguments: argparse.Namespace) -> int:
    known = rows(arguments.purejaxrl)
    wanted = [row for row in known if arguments.only is None or row.key in arguments.only]
    output = arguments.output or (None if arguments.quick else PAGE)
    if output is not None:
        page.check(output)
    _require_peers(wanted, install=not arguments.no_install)
    folder = RESULTS / "quick" if arguments.quick else RESULTS
    measured: list[Record] = []
    for row in wanted:
        try:
            record = pairs.measure(
                row,
                pairs=arguments.pairs or (2 if arguments.quick else 5),
                quick=arguments.quick,
                say=_say,
            )
        except WorkerFailed as failure:
            _say(f"{row.key}: {failure}")
            continue
        _keep(folder, record)
        measured.append(record)
    if arguments.only is None or scaling.KEY in arguments.only:
        _keep(folder, scaling.measure(quick=arguments.quick, say=_say))
    kept = [record for row in known if (record := _kept(folder, row.key))]
    if output is not None:
        _write(output, kept, _kept(folder, scaling.KEY), of=len(known))
    if measured:
        print(page.terminal(measured))
    return 0 if len(measured) == len(wanted) else 1


def _require_peers(wanted: Sequence[Row], *, install: bool) -> None:
    """The environments that these rows need; raises `ValueError` for one that is not there."""
    commands = [peer for row in wanted for peer in row.peers if peer.peers is not None]
    names = sorted({str(command.peers) for command in commands})
    script = INSTALL.relative_to(ROOT)
    if install and names and subprocess.run([str(INSTALL), *names]).returncode:
        raise ValueError(f"the peers could not be installed by {script} {' '.join(names)}.")
    missing = sorted({c.folder.name for c in commands if not (c.folder / "bin/python").exists()})
    if missing:
        raise ValueError(f"there is no {' and no '.join(missing)}: run {script} first.")


def _keep(folder: Path, record: Record) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps(record, indent=1, ensure_ascii=False)
    (folder / f"{record['key']}.json").write_text(text)


def _kept(folder: Path, key: str) -> Record | None:
    path = folder / f"{key}.json"
    return json.loads(path.read_text()) if path.exists() else None


def _write(output: Path, kept: Sequence[Record], grown: Record | None, *, of: int) -> None:
    if grown is not None and (excuse := scaling.draw(grown, page.picture(output))):
        _say(excuse)
    page.write(output, kept, grown)
    _say(f"{output} has {len(kept)} of {of} rows{'' if grown else ', and no scaling'}.")


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
