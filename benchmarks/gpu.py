"""Tokens per second on a GPU: MoCo's engines against the bare libraries, with a random Llama of about 100 M parameters.

Every kind of engine that MoCo has is run through `moco generate`, in bfloat16 and sampled, with and without the 20 most
likely tokens of every position; beside it `model.generate` in batches ordered by length, and vLLM where it can be
imported here. Loading and imports are not counted. `workload.py` says how requests and the ends of replies are made.
Prints one line where there is no GPU.

    python benchmarks/gpu.py [--requests 2000] [--folder DIR]
    python benchmarks/gpu.py --device cpu --tiny
"""

import argparse
import importlib.util
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import get_args

import torch
from transformers.utils import logging
from workload import Run, Shape, Work, build_checkpoint, measure, moco_generate, model_generate, prompts, token_ids

from moco.config.decoding import Decoding
from moco.config.engine import EngineSettings
from moco.errors import MocoError

LARGE = Shape(hidden=768, layers=8, heads=12, vocabulary=32_000, reply=96)
TINY = Shape(hidden=64, layers=1, heads=2, vocabulary=400, reply=8)
TOP_K = 20


def show(what: str, run: Run) -> None:
    print(
        f"{what:<44} {run.new_tokens / run.working:9.0f} tokens/s"
        f"  {run.working:7.1f} s, and {sum(run.loads):.1f} s to load",
        flush=True,
    )


def attempt(what: str, work: Callable[[], Run]) -> Run | None:
    """Run and show one measurement; an engine that this machine cannot run is said in one line."""
    try:
        run = work()
    except MocoError as error:
        print(f"{what}: not run: {error}", flush=True)
        return None
    show(what, run)
    return run


def bare_vllm(
    folder: Path, prompts_read: Sequence[Sequence[int]], lengths: Sequence[int], decoding: Decoding, dtype: str
) -> Run:
    """Measure `LLM.generate`, all requests at once; every reply ends after as many tokens as the others had."""
    from vllm import LLM, SamplingParams

    def work() -> Work:
        started = time.perf_counter()
        model = LLM(str(folder), dtype=dtype)
        loaded = time.perf_counter() - started
        settings = [
            SamplingParams(
                max_tokens=length,
                ignore_eos=True,
                temperature=decoding.temperature,
                top_p=decoding.top_p,
                seed=place,
            )
            for place, length in enumerate(lengths)
        ]
        made = model.generate([{"prompt_token_ids": list(ids)} for ids in prompts_read], settings, use_tqdm=False)
        texts = [each.outputs[0].text for each in made]
        return sum(map(len, prompts_read)), list(lengths), texts, [loaded]

    return measure(work)


def compare(options: argparse.Namespace, scratch: Path) -> None:
    shape = TINY if options.tiny else LARGE
    count = options.requests or (24 if options.tiny else 2000)
    dtype = "float32" if options.device == "cpu" else "bfloat16"
    decoding = Decoding(max_new_tokens=16 if options.tiny else 192)
    settings = EngineSettings(dtype=dtype, device=options.device)
    checkpoint = scratch / "checkpoint"
    build_checkpoint(checkpoint, shape)
    texts = prompts(checkpoint, count)
    name = torch.cuda.get_device_name() if options.device == "cuda" else "cpu"
    print(f"{count} requests, {dtype}, {name}\n", flush=True)
    few = texts[:16]
    lengths: list[int] = []
    for kind in get_args(EngineSettings.model_fields["kind"].annotation):
        for top_k in (0, TOP_K):
            own = EngineSettings(kind=kind, dtype=dtype, device=options.device, top_logprobs=top_k)
            what = f"moco, {kind}, {top_k} alternatives"
            place = scratch / f"{kind}{top_k}"

            def ours(own: EngineSettings = own, place: Path = place) -> Run:
                moco_generate(place / "warm", checkpoint, few, decoding, own)
                return moco_generate(place / "run", checkpoint, texts, decoding, own)

            run = attempt(what, ours)
            if run is not None and not lengths:
                lengths = run.replies
    for rows in options.rows:
        model_generate(checkpoint, few, lengths[: len(few)], decoding, settings, rows)
        show(f"model.generate, batches of {rows}", model_generate(checkpoint, texts, lengths, decoding, settings, rows))
    if options.device == "cuda" and importlib.util.find_spec("vllm"):
        ids = token_ids(checkpoint, texts, settings, decoding.max_new_tokens)
        show("vllm", bare_vllm(checkpoint, ids, lengths, decoding, dtype))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda")
    parser.add_argument("--tiny", action="store_true", help="a model and a number of requests for trying this out")
    parser.add_argument("--requests", type=int, help="2000, or 24 with --tiny")
    parser.add_argument("--rows", type=int, nargs="+", default=[32, 128, 256], help="batches of model.generate")
    parser.add_argument("--folder", type=Path, help="for results, removed at the end (default: a temporary one)")
    options = parser.parse_args()
    if options.device == "cuda" and not torch.cuda.is_available():
        print("no GPU here: nothing was measured (--device cpu --tiny tries this script out)")
        return
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    with tempfile.TemporaryDirectory(dir=options.folder) as scratch:
        compare(options, Path(scratch))


if __name__ == "__main__":
    main()
