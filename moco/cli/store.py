"""Look after the store of model output: what is in it, whether it is whole, what may leave, fewer files."""

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING

from moco.cli.options import add_results

if TYPE_CHECKING:
    from moco.store.artifacts import ArtifactStore


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the actions and their options."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    stats = actions.add_parser("stats", help="what is in it, by model")
    stats.add_argument("--json", action="store_true", help="as JSON")
    verify = actions.add_parser("verify", help="read everything and say what is damaged; exit code 1 if anything is")
    verify.add_argument("--repair", action="store_true", help="set it aside, so that the next run makes it again")
    prune = actions.add_parser("prune", help="say what may leave")
    prune.add_argument("--unused-by", nargs="+", type=Path, metavar="RESULTS", help="what none of these refers to")
    prune.add_argument("--models", nargs="+", metavar="MODEL", help="replies of these: names, or fingerprints")
    prune.add_argument("--leftovers", action="store_true", help="what is damaged, and what killed jobs left")
    prune.add_argument("--delete", action="store_true", help="remove it; without this, nothing changes")
    compact = actions.add_parser("compact", help="merge many small files into few; jobs may go on meanwhile")
    for action in (stats, verify, prune, compact):
        add_results(action)


def run(options: argparse.Namespace) -> int:
    """Do what is asked."""
    from moco.home import store_root, work_root
    from moco.progress import set_up_logging
    from moco.store.artifacts import ArtifactStore

    set_up_logging()
    root = store_root(options.results)
    actions = {"stats": _stats, "verify": _verify, "prune": _prune, "compact": _compact}
    return actions[options.action](options, root, ArtifactStore(root, work_root(options.results)))


def _size(number: float) -> str:
    for unit in ("B", "kB", "MB"):
        if number < 1000:
            return f"{number:.3g} {unit}"
        number /= 1000
    return f"{number:.3g} GB"


def _stats(options: argparse.Namespace, root: Path, artifacts: "ArtifactStore") -> int:
    from dataclasses import asdict

    from moco.records import read_json
    from moco.store.generations import short_fingerprint
    from moco.store.survey import holdings

    names: dict[str, list[str]] = {}
    described = (options.results.glob(f"{studies}models/*/model.json") for studies in ("", "*/"))
    for path in sorted(path for found in described for path in found):
        content = read_json(path)
        same = names.setdefault(short_fingerprint(content["fingerprint"]), []) if "fingerprint" in content else None
        if same is not None and content["name"] not in same:
            same.append(content["name"])
    rows = [{"models": names.get(each.fingerprint, []), **asdict(each)} for each in holdings(root, artifacts)]
    counted = ("responses", "shards", "bytes", "tokens", "damaged")
    total = {name: sum(row[name] for row in rows) for name in counted}
    if options.json:
        print(json.dumps({"store": str(root), "parts": rows, "total": total}, indent=2))
        return 0
    print(f"{root}\n")
    lines = [["what", "model", *counted]]
    for row in [*rows, {"kind": "total", "fingerprint": "", "models": [], **total}]:
        who = ", ".join(row["models"]) or row["fingerprint"][:16]
        lines.append([row["kind"], who, *(_size(row[n]) if n == "bytes" else str(row[n]) for n in counted)])
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for what, who, *numbers in lines:
        cells = [f"{number:>{width}}" for number, width in zip(numbers, widths[2:], strict=True)]
        print(f"{what:<{widths[0]}}  {who:<{widths[1]}}  {'  '.join(cells)}")
    return 0


def _verify(options: argparse.Namespace, root: Path, artifacts: "ArtifactStore") -> int:
    from moco.store.survey import damages

    found = 0
    for damage in damages(root, artifacts, repair=options.repair):
        found += 1
        print(f"{damage.path}: damaged ({damage.reason})" + (", set aside" if options.repair else ""))
    print(f"{found} damaged" if found else "everything is whole")
    return 1 if found else 0


def _prune(options: argparse.Namespace, root: Path, artifacts: "ArtifactStore") -> int:
    from moco.errors import RequestError
    from moco.store.prune import Prunable, leftovers, of_models, remove, unused_by

    if not (options.unused_by or options.models or options.leftovers):
        raise RequestError("nothing is asked for", remedy="give --unused-by, --models or --leftovers")
    found: dict[Path, Prunable] = {}
    for each in (
        *(unused_by(options.unused_by, root, artifacts) if options.unused_by else ()),
        *(of_models(options.models, root, options.results) if options.models else ()),
        *(leftovers(root, artifacts) if options.leftovers else ()),
    ):
        if not any(parent in found for parent in each.path.parents):
            found.setdefault(each.path, each)
    gone = remove(found.values(), artifacts) if options.delete else found.values()
    total = 0
    for each in gone:
        total += each.bytes
        print(f"{each.path}: {_size(each.bytes)}, {each.reason}")
    if options.delete:
        print(f"removed {_size(total)}")
    else:
        print(f"{_size(total)} may leave" + ("; give --delete to remove it" if found else ""))
    return 0


def _compact(_options: argparse.Namespace, root: Path, _artifacts: "ArtifactStore") -> int:
    from moco.store.compact import compact
    from moco.store.generations import GenerationStore

    for partition in GenerationStore(root).partitions():
        done = compact(partition)
        if done is None:
            print(f"{partition.folder}: another process compacts it")
            continue
        (shards, left), (size, smaller) = done.shards, done.bytes
        print(f"{done.folder}: {shards} shards, {_size(size)}; now {left}, {_size(smaller)}")
    return 0
