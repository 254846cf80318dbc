"""How fast the store is: look-ups among many replies, opening, and what writing adds to generation.

Shows, for synthetic replies with random numbers, which compress worse than real ones:

* seconds and peak memory of look-ups in a new process, opening included, where all replies are of one model: of replies
  that were generated together, as those of a job are, and of replies from all over the store; and from all over a model
  with a twentieth of the replies;
* seconds to open a partition of many shards;
* what writing adds: seconds to write replies in shards, over the seconds to generate them at a given speed.

    python benchmarks/store.py [--replies 1000000] [--tokens 8] [--folder DIR]
"""

import argparse
import json
import random
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa

from moco.store.generations import GENERATED, Partition, Stored
from moco.store.shard import write_shard

TOP_K = 20
WORDS = [f"word{number}" for number in range(4000)]


def key_of(number: int) -> str:
    return f"{number * 0x9E3779B97F4A7C15F39CC0605CEDC835 % 2**128:032x}"


def lists(values: np.ndarray, each: int) -> pa.Array:
    offsets = np.arange(0, len(values) + 1, each, dtype=np.int32)
    return pa.ListArray.from_arrays(offsets, pa.array(values))


def replies(first: int, count: int, tokens: int) -> pa.Table:
    """Return a table of replies, made column by column."""
    draw = np.random.default_rng(first)

    def logprobs(number: int) -> np.ndarray:
        return np.round(-draw.exponential(3.0, number), 6)

    def ids(number: int) -> np.ndarray:
        return draw.integers(0, 150_000, number, dtype=np.int32)

    columns = {
        "key": [key_of(number) for number in range(first, first + count)],
        "text": [" ".join(WORDS[place] for place in row) for row in draw.integers(0, len(WORDS), (count, tokens))],
        "finish": ["stop"] * count,
        "prompt_tokens": np.full(count, 200, np.int32),
        "tokens": lists(ids(count * tokens), tokens),
        "logprobs": lists(logprobs(count * tokens), tokens),
        "top_k": np.full(count, TOP_K, np.int16),
        "top_ids": lists(ids(count * tokens * TOP_K), tokens * TOP_K),
        "top_logprobs": lists(logprobs(count * tokens * TOP_K), tokens * TOP_K),
        "tail": lists(np.round(draw.random(count * tokens), 6), tokens),
        "seconds": draw.random(count),
        "written": pa.nulls(count, GENERATED.schema.field("written").type),
        "reported": pa.nulls(count, GENERATED.schema.field("reported").type),
        "segments": pa.nulls(count, GENERATED.schema.field("segments").type),
    }
    return pa.table(columns, schema=GENERATED.schema)


def fill(folder: Path, count: int, shards: int, tokens: int) -> None:
    each = count // shards
    for shard in range(shards):
        write_shard(folder, shard, replies(shard * each, each, tokens))


def look_up(folder: Path, count: int, asked: int, *, together: bool) -> dict[str, float]:
    """Look replies up and check them; meant for a process of its own."""
    draw = random.Random(1)
    start = draw.randrange(count - asked)
    numbers = draw.sample(range(start, start + asked) if together else range(count), asked)
    keys = [key_of(number) for number in numbers]
    spent, started = time.process_time(), time.perf_counter()
    partition = Partition(folder, GENERATED)
    partition.refresh()
    opened = time.perf_counter()
    found = partition.find(keys)
    ended, spent = time.perf_counter(), time.process_time() - spent
    assert len(found) == asked
    assert all(row.key == key for key, row in found.items())
    again = time.perf_counter()
    partition.find(keys)
    return {
        "open": opened - started,
        "first": ended - started,
        "processor": spent,
        "again": time.perf_counter() - again,
        "gigabytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20,
    }


def in_new_process(*arguments: object) -> dict[str, float]:
    command = [sys.executable, __file__, "--look-up", json.dumps(arguments)]
    return json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def writing(folder: Path, count: int, tokens: int, flushes: int) -> list[float]:
    """Return the seconds of processor and of time that a job spends in writing a reply, from objects to the disk."""
    table = replies(10**9, count, tokens)
    rows = [Stored(**row) for row in table.to_pylist()]
    partition = Partition(folder, GENERATED)
    each = count // flushes
    started = time.process_time(), time.perf_counter()
    for flush in range(flushes):
        partition.write(rows[flush * each : (flush + 1) * each])
    ended = time.process_time(), time.perf_counter()
    return [(end - start) / (each * flushes) for start, end in zip(started, ended, strict=True)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--replies", type=int, default=1_000_000)
    parser.add_argument("--asked", type=int, default=10_000)
    parser.add_argument("--shards", type=int, default=200)
    parser.add_argument("--tokens", type=int, default=8, help="per reply")
    parser.add_argument("--tokens-per-second", type=float, default=2000, help="of the generation, all rows together")
    parser.add_argument("--folder", type=Path, help="for the store, removed at the end (default: a temporary one)")
    parser.add_argument("--look-up", type=json.loads, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.look_up:
        folder, count, asked, together = options.look_up
        print(json.dumps(look_up(Path(folder), count, asked, together=together)))
        return
    with tempfile.TemporaryDirectory(dir=options.folder) as scratch:
        folder = Path(scratch) / "large"
        started = time.perf_counter()
        fill(folder, options.replies, options.shards, options.tokens)
        size = sum(path.stat().st_size for path in folder.iterdir())
        print(
            f"{options.replies} replies of {options.tokens} tokens, {TOP_K} alternatives each, {options.shards} shards:"
            f" {size / 1e9:.2f} GB, made in {time.perf_counter() - started:.0f} s",
            flush=True,
        )
        part = Path(scratch) / "part"
        part.mkdir()
        for path in sorted(folder.iterdir())[: options.shards // 20]:
            (part / path.name).hardlink_to(path)
        for what, place, count, together in (
            ("generated together", folder, options.replies, True),
            ("from all over a twentieth of the store", part, options.replies // 20, False),
            ("from all over the store", folder, options.replies, False),
        ):
            took = in_new_process(str(place), count, options.asked, together)
            print(
                f"{options.asked} look-ups, {what}: {took['first']:.2f} s ({took['processor']:.2f} s of processor time),"
                f" of which opening {took['open']:.2f} s; again {took['again']:.2f} s; peak memory {took['gigabytes']:.2f} GB",
                flush=True,
            )
        for tokens, flushes in ((options.tokens, 4), (256, 4)):
            processor, spent = writing(Path(scratch) / f"written{tokens}", 1000, tokens, flushes)
            share = spent / (tokens / options.tokens_per_second)
            print(
                f"writing a reply of {tokens} tokens: {1000 * spent:.2f} ms ({1000 * processor:.2f} ms of processor"
                f" time), {share:.2%} of generating it at {options.tokens_per_second:.0f} tokens/s"
            )


if __name__ == "__main__":
    main()
