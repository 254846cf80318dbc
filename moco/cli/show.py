"""Show what happened to items: prompt, every model's reply, every method's calls, what was read, score and rule."""

import argparse
from pathlib import Path


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "items",
        nargs="*",
        metavar="ITEM",
        help="uid (mixed/test/17), task and number (mixed 17), or tasks to take a sample of (default: all)",
    )
    parser.add_argument("--results", type=Path, help="the study's results folder (default: the only one below results)")
    parser.add_argument("--split", default="test", help="split of a task and number, or of a sample (default: test)")
    parser.add_argument("--method", action="append", default=[], help="only this method variant; may be repeated")
    parser.add_argument("--pool", action="append", default=[], help="only this pool and its members; may be repeated")
    parser.add_argument("--seed", type=int, help="only this run seed")
    parser.add_argument("--scorer", help="rule set that says what is wrong (default: the study's own)")
    parser.add_argument("--wrong", action="store_true", help="a sample of items that every method shown got wrong")
    parser.add_argument(
        "--disagree",
        action="store_true",
        help="a sample of items that some methods of a pool got right and others wrong; with one --method, of items on"
        " which it differs from the best single model",
    )
    parser.add_argument("-n", type=int, default=3, metavar="COUNT", help="size of a sample (default: 3)")
    parser.add_argument("--json", action="store_true", help="print a JSON list")


def run(options: argparse.Namespace) -> None:
    """Print the items."""
    import json

    from moco.analysis.stories import Stories
    from moco.analysis.story_text import story_text
    from moco.errors import RequestError

    results = options.results or _only_results()
    words = options.items
    if len(words) == 2 and words[1].isdecimal():
        words = [f"{words[0]}/{options.split}/{words[1]}"]
    uids = [word for word in words if "/" in word]
    splits = {uid.split("/")[1] for uid in uids} or {options.split}
    if len(splits) > 1 or (uids and len(uids) < len(words)):
        remedy = "name uids of one split, a task and a number, or tasks"
        raise RequestError(f"cannot tell what {' '.join(words)!r} asks for", remedy=remedy)
    if uids and (options.wrong or options.disagree):
        raise RequestError("--wrong and --disagree choose items, and some are named", remedy="name tasks, or none")
    (split,) = splits
    chosen = {"pools": options.pool, "methods": options.method, "seed": options.seed, "scorer": options.scorer}
    stories = Stories(results, split=split, **chosen)
    if not uids:
        tasks = stories.require_tasks(words)
        uids = stories.pick(tasks, options.n, wrong=options.wrong, disagree=options.disagree)
    told = stories.tell(uids)
    if options.json:
        print(json.dumps(list(told), indent=2, ensure_ascii=False))
    elif not uids:
        print("no such item")
    else:
        print("\n".join(story_text(story) for story in told), end="")


def _only_results() -> Path:
    from moco.errors import RequestError

    found = sorted(path.parent for path in Path("results").glob("*/tasks"))
    if len(found) == 1:
        return found[0]
    what = f"has the results of {len(found)} studies" if found else "has no results of a study"
    raise RequestError(what, where="results", remedy="name their folder with --results")
