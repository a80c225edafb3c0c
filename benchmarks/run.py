"""Ours against the peers, side by side in one run: `python -m benchmarks.run` or `make bench`.

With `--against COMMIT`, ours against ours of a commit.
"""

import argparse
import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from . import against, page, pairs, scaling, trees, verdicts
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
        return _run(arguments) if arguments.against is None else _against(arguments)
    except ValueError as error:
        print(f"benchmarks.run: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("Interrupted; the rows that were finished are kept.", file=sys.stderr)
        return 130


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    keys = [*(row.key for row in against.comparable()), scaling.KEY]
    parser = argparse.ArgumentParser(prog="benchmarks.run", description=__doc__)
    parser.add_argument("--only", nargs="+", choices=keys, metavar="ROW", help=", ".join(keys))
    parser.add_argument("--against", metavar="COMMIT", help="ours of a commit in the peers' place")
    parser.add_argument(
        "--pairs", type=int, help="turns against each peer (5; with --against 10, with --quick 2)"
    )
    parser.add_argument("--purejaxrl", type=Path, metavar="FOLDER", help="a clone of PureJaxRL")
    parser.add_argument(
        "--output", type=Path, help="the page (docs/benchmarks.md; with --against none)"
    )
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
    _check_against(parser, arguments)
    return arguments


def _check_against(parser: argparse.ArgumentParser, arguments: argparse.Namespace) -> None:
    """What belongs to `--against`, and what does not."""
    only, alone = arguments.only or (), against.DQN_PRIORITISED.key
    if arguments.against is None:
        if alone in only:
            parser.error(f"--only {alone}: it has no peer, so it needs --against")
        return
    if arguments.pairs == 1:
        parser.error("--pairs must be at least 2 with --against: one round shows no spread; got 1")
    foreign = {
        f"--only {scaling.KEY}": scaling.KEY in only,
        "--purejaxrl": arguments.purejaxrl is not None,
        "--no-install": arguments.no_install,
    }
    for option, given in foreign.items():
        if given:
            parser.error(f"{option} has no meaning with --against, which measures no peers")


def _run(arguments: argparse.Namespace) -> int:
    known = rows(arguments.purejaxrl)
    wanted = [row for row in known if arguments.only is None or row.key in arguments.only]
    output = arguments.output or (None if arguments.quick else PAGE)
    if output is not None:
        page.check(output)
    _require_peers(wanted, install=not arguments.no_install)
    folder = RESULTS / "quick" if arguments.quick else RESULTS
    turns, quick = arguments.pairs or (2 if arguments.quick else 5), arguments.quick
    measured = _measured(
        wanted, folder, lambda row: pairs.measure(row, pairs=turns, quick=quick, say=_say)
    )
    if arguments.only is None or scaling.KEY in arguments.only:
        _keep(folder, scaling.measure(quick=arguments.quick, say=_say))
    kept = [record for row in known if (record := _kept(folder, row.key))]
    if output is not None:
        _write(output, kept, _kept(folder, scaling.KEY), of=len(known))
    if measured:
        print(page.terminal(measured))
    return 0 if len(measured) == len(wanted) else 1


def _against(arguments: argparse.Namespace) -> int:
    commit = trees.resolve(arguments.against)
    wanted = against.chosen(arguments.only)
    if arguments.output is not None:
        verdicts.check(arguments.output)
    folder = RESULTS / "against" / ("quick" if arguments.quick else "")
    rounds, quick = arguments.pairs or (2 if arguments.quick else 10), arguments.quick
    with trees.checked_out(commit) as temporary:
        three = against.trees(commit, temporary)
        for tree in (three.new, three.old):
            trees.require_own_sources(tree)
        measured = _measured(
            wanted,
            folder,
            lambda row: against.measure(row, three, rounds=rounds, quick=quick, say=_say),
        )
    if arguments.output is not None:
        verdicts.write(arguments.output, measured)
    if measured:
        print(verdicts.terminal(measured))
    fine = [record for record in measured if not record["below"]]
    return 0 if len(fine) == len(wanted) else 1


def _measured(
    wanted: Sequence[Row], folder: Path, measure: Callable[[Row], Record]
) -> list[Record]:
    """The records of these rows, each kept at once; a worker that fails costs its row only."""
    measured: list[Record] = []
    for row in wanted:
        try:
            record = measure(row)
        except WorkerFailed as failure:
            _say(f"{row.key}: {failure}")
            continue
        _keep(folder, record)
        measured.append(record)
    return measured


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
