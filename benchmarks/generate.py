"""How fast `moco generate` is against bare `model.generate`, on one processor thread, and what is left to the floor.

The same requests on both sides, in float32: prompts of log-normal length, replies that end at varied places. Compared are

* greedy decoding, without recording alternatives, against the fastest of several batch sizes of `model.generate` on
  requests ordered by length;
* sampling, with the 20 most likely tokens of every position recorded, against `model.generate` without recording, in
  batches of the size that was the fastest;
* greedy decoding against `model.generate` on padded batches of 8 in file order, as benchmark scripts often do;
* exact mode (float64, one request in eight): shown only;
* the loads of a job with one task and with four;
* tokens read to score options of multiple choice, four letters and four texts after each of 40 prompts, of their unique
  tokens: every prompt once, and what follows it.

Each line shows seconds from texts to texts, loading included and imports not, seconds of processor time, the share of
the time in forward passes, and padding: computed positions that belong to no token, in prompts, replies and together.
Both sides run warm, in this process, once each. On an idle machine processor time is the time; on a busy one it is the
fairer measure. `workload.py` says how the
model, the requests and the ends of replies are made.

    python benchmarks/generate.py [--requests 2000] [--model FOLDER] [--folder DIR]
"""

import argparse
import tempfile
from pathlib import Path

import torch
from transformers.utils import logging
from workload import (
    Run,
    Shape,
    build_checkpoint,
    moco_generate,
    model_generate,
    option_logits,
    prompts,
    token_ids,
    unique_tokens,
)

from moco.config.decoding import Decoding
from moco.config.engine import EngineSettings

GREEDY_LIMIT, SAMPLED_LIMIT, FILE_ORDER_LIMIT, PADDING_LIMIT, OPTIONS_LIMIT = 1.10, 1.25, 0.5, 0.10, 1.30
TOP_K = 20
OPTION_ITEMS = 40
EXACT_SHARE = 8
"""Exact mode gets one of so many requests, since nothing is compared with it."""


def show(what: str, run: Run) -> None:
    print(
        f"{what:<44} {run.seconds:7.1f} s {run.processor:7.1f} s  {run.new_tokens / run.seconds:7.0f} tokens/s"
        f"  forward {run.forwards.seconds / run.seconds:4.0%} of {run.forwards.calls:5} calls"
        f"  padding {run.prompt_padding:5.1%} {run.reply_padding:5.1%} {run.padding:5.1%}",
        flush=True,
    )


def judge(what: str, value: float, limit: float, shown: str = "{:.2f}", beside: str = "") -> None:
    said = "holds" if value <= limit else "does not hold"
    print(f"{what}: {shown.format(value)}{beside}, at most {shown.format(limit)}: {said}", flush=True)


def judge_ratio(what: str, ours: Run, theirs: Run, limit: float) -> None:
    beside = f" ({ours.processor / theirs.processor:.2f} in processor time)"
    judge(what, ours.seconds / theirs.seconds, limit, beside=beside)


def floor(run: Run, unique: int, rows: int) -> None:
    """Print what of the work was needed: tokens read once, and time in the forward passes."""
    lengths = len(run.replies)
    needed = unique + run.new_tokens - lengths
    print(
        f"  floor: {unique} of {run.prompt_tokens} prompt tokens are unique, {run.forwards.prompt_positions} were computed;"
        f" {run.new_tokens - lengths} reply tokens are read, {run.forwards.positions - run.forwards.prompt_positions}"
        f" were computed: {run.forwards.positions / needed - 1:+.1%} in all;"
        f" {run.seconds - run.forwards.seconds:.1f} s were not spent in forward passes; batches of up to {rows}",
        flush=True,
    )


def fastest(runs: dict[int, Run]) -> int:
    return min(runs, key=lambda rows: runs[rows].seconds)


def same_replies(first: Run, second: Run) -> int:
    return sum(one == other for one, other in zip(first.texts, second.texts, strict=True))


def compare(options: argparse.Namespace, scratch: Path, checkpoint: Path) -> None:
    texts = prompts(checkpoint, options.requests)
    settings = EngineSettings(dtype="float32", device="cpu", top_logprobs=0)
    greedy = Decoding(max_new_tokens=options.limit, temperature=0)
    sampled = Decoding(max_new_tokens=options.limit)
    ids = token_ids(checkpoint, texts, settings, options.limit)
    unique = unique_tokens(ids)
    print(
        f"{len(texts)} requests, prompts of {min(map(len, ids))} to {max(map(len, ids))} tokens"
        f" ({sum(map(len, ids))} in all, {unique} unique), replies of at most {options.limit}; one thread\n",
        flush=True,
    )
    few = texts[:: max(1, len(texts) // 16)]
    warm = moco_generate(scratch / "warm", checkpoint, few, greedy, settings)
    model_generate(checkpoint, few, warm.replies, greedy, settings, 8)

    ours = moco_generate(scratch / "greedy", checkpoint, texts, greedy, settings)
    show("moco generate, greedy, no alternatives", ours)
    floor(ours, unique, settings.batch_rows)
    theirs = {}
    for rows in options.rows:
        theirs[rows] = model_generate(checkpoint, texts, ours.replies, greedy, settings, rows)
        show(f"model.generate, greedy, batches of {rows}", theirs[rows])
    best = fastest(theirs)
    unsorted = model_generate(checkpoint, texts, ours.replies, greedy, settings, 8, ordered=False)
    show("model.generate, greedy, 8 in file order", unsorted)

    recorded = settings.model_copy(update={"top_logprobs": TOP_K})
    ours_sampled = moco_generate(scratch / "sampled", checkpoint, texts, sampled, recorded)
    show(f"moco generate, sampled, {TOP_K} alternatives", ours_sampled)
    floor(ours_sampled, unique, settings.batch_rows)
    theirs_sampled = model_generate(checkpoint, texts, ours_sampled.replies, sampled, settings, best)
    show(f"model.generate, sampled, batches of {best}", theirs_sampled)

    if not options.no_exact:
        exact = EngineSettings(device="cpu", top_logprobs=TOP_K)
        part = texts[::EXACT_SHARE]
        show(
            f"moco generate, exact mode, {len(part)} requests",
            moco_generate(scratch / "exact", checkpoint, part, sampled, exact),
        )

    quick = greedy.model_copy(update={"max_new_tokens": 2})
    loads = {
        tasks: len(moco_generate(scratch / f"tasks{tasks}", checkpoint, few, quick, settings, tasks).loads)
        for tasks in (1, 4)
    }
    print(
        f"\nloads of a job: {loads[1]} with 1 task, {loads[4]} with 4\n"
        f"{same_replies(ours, theirs[best])} of {len(texts)} greedy replies are those of model.generate"
    )
    judge_ratio(f"greedy, of the fastest model.generate ({best} rows)", ours, theirs[best], GREEDY_LIMIT)
    judge_ratio(
        f"sampled with {TOP_K} alternatives, of model.generate ({best} rows)",
        ours_sampled,
        theirs_sampled,
        SAMPLED_LIMIT,
    )
    judge_ratio("greedy, of model.generate on 8 in file order", ours, unsorted, FILE_ORDER_LIMIT)
    judge("padding, the larger of the two", max(ours.padding, ours_sampled.padding), PADDING_LIMIT, "{:.1%}")
    asked = prompts(checkpoint, OPTION_ITEMS, shortest=100, longest=120, median=110)
    read, needed, seconds = option_logits(scratch / "options", checkpoint, asked, settings)
    beside = f" ({read} of {needed}, {seconds:.1f} s)"
    judge(
        f"tokens read for options of {OPTION_ITEMS} items, of unique ones", read / needed, OPTIONS_LIMIT, beside=beside
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=2000)
    parser.add_argument("--limit", type=int, default=48, help="longest reply, in tokens")
    parser.add_argument(
        "--reply",
        type=float,
        default=24,
        help="tokens after which a reply ends on average; 1e9: all are of full length",
    )
    parser.add_argument(
        "--rows", type=int, nargs="+", default=[8, 16, 32, 64, 128, 256], help="batches of model.generate"
    )
    parser.add_argument("--model", type=Path, help="folder of a checkpoint to use in place of a random one")
    parser.add_argument("--hidden", type=int, default=256)
    parser.add_argument("--layers", type=int, default=3)
    parser.add_argument("--heads", type=int, default=8)
    parser.add_argument("--vocabulary", type=int, default=14_000)
    parser.add_argument("--no-exact", action="store_true", help="leave exact mode out")
    parser.add_argument("--folder", type=Path, help="for results, removed at the end (default: a temporary one)")
    options = parser.parse_args()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory(dir=options.folder) as scratch:
        checkpoint = options.model
        if checkpoint is None:
            checkpoint = Path(scratch) / "checkpoint"
            shape = Shape(options.hidden, options.layers, options.heads, options.vocabulary, reply=options.reply)
            build_checkpoint(checkpoint, shape)
        compare(options, Path(scratch), checkpoint)


if __name__ == "__main__":
    main()
