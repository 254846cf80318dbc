"""How fast our supervised fine-tuning is against a bare SFTTrainer of trl, and how much memory it takes.

Both sides learn the same prompts and replies from one checkpoint with the same settings, in a process of their own for
every run, one after the other: from texts to a saved checkpoint, loading included and imports not. The bare side is
trl's own way: conversations with prompt and completion, which it renders, tokenises, masks and shuffles itself. On a
CPU both have one thread, as MoCo's trainings have. Ratios are of medians; peak memory is the largest resident size of
the process, imports and the checkpoint included.

    python benchmarks/training.py [--examples 400] [--repeats 3] [--rank 16] [--model FOLDER]
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

SPEED_LIMIT, MEMORY_LIMIT = 0.9, 1.1
SIDES = ("moco", "trl")


def texts(folder: Path, count: int) -> list[tuple[str, str]]:
    from workload import prompts

    both = prompts(folder, 2 * count, longest=200)
    return list(zip(both[:count], both[count:], strict=True))


def ours(options: argparse.Namespace, scratch: Path) -> int:
    from moco.config.engine import EngineSettings
    from moco.config.models import LocalModel
    from moco.models.resolve import resolve
    from moco.training.examples import Example
    from moco.training.run import spent, train

    pairs = texts(options.model, options.examples)
    info = resolve("model", LocalModel(kind="local", path=str(options.model)), EngineSettings(dtype="float32"), scratch)
    output, work = scratch / "out", scratch / "work"
    output.mkdir()
    work.mkdir()
    from moco.training import trainers  # noqa: F401 - imports are not counted

    with watched():
        examples = [Example(prompt, reply, uid=str(place)) for place, (prompt, reply) in enumerate(pairs)]
        how = {
            "epochs": 1.0,
            "batch": options.batch,
            "micro_batch": options.batch,
            "learning_rate": 1e-4,
            "rank": options.rank,
            "layers": "linear",
        }
        train("sft", info, scratch, examples, how, [1], output, work)
    return spent(output)[1]


def theirs(options: argparse.Namespace, scratch: Path) -> int:
    import torch
    from datasets import Dataset
    from peft import LoraConfig
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from trl import SFTConfig, SFTTrainer

    pairs = texts(options.model, options.examples)
    with watched():
        gpu = torch.cuda.is_available()
        rows = [
            {
                "prompt": [{"role": "user", "content": prompt}],
                "completion": [{"role": "assistant", "content": reply}],
            }
            for prompt, reply in pairs
        ]
        settings = SFTConfig(
            output_dir=str(scratch),
            num_train_epochs=1,
            per_device_train_batch_size=options.batch,
            learning_rate=1e-4,
            lr_scheduler_type="constant",
            max_grad_norm=1.0,
            max_length=None,
            optim="adamw_torch",
            bf16=False,
            gradient_checkpointing=gpu,
            use_cpu=not gpu,
            include_num_input_tokens_seen="non_padding",
            save_strategy="no",
            report_to="none",
            logging_steps=1,
            disable_tqdm=True,
        )
        adapter = None
        if options.rank:
            adapter = LoraConfig(
                r=options.rank, lora_alpha=2 * options.rank, target_modules="all-linear", task_type="CAUSAL_LM"
            )
        trainer = SFTTrainer(
            AutoModelForCausalLM.from_pretrained(options.model, dtype=torch.float32),
            settings,
            train_dataset=Dataset.from_list(rows),
            processing_class=AutoTokenizer.from_pretrained(options.model),
            peft_config=adapter,
        )
        trainer.train()
        trainer.save_model(str(scratch / "out"))
    return int(trainer.state.num_input_tokens_seen)


class watched:
    """Measures what is done within."""

    seconds = processor = 0.0

    def __enter__(self) -> None:
        self._started, self._spent = time.perf_counter(), time.process_time()

    def __exit__(self, *_error: object) -> None:
        watched.seconds = time.perf_counter() - self._started
        watched.processor = time.process_time() - self._spent


def run_side(options: argparse.Namespace) -> None:
    import torch
    from transformers.utils import logging

    logging.set_verbosity_error()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as scratch:
        tokens = {"moco": ours, "trl": theirs}[options.side](options, Path(scratch))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    found = {"tokens": tokens, "seconds": watched.seconds, "processor": watched.processor, "mebibytes": peak}
    print(f"\nRESULT {json.dumps(found)}")


def measured(side: str, options: argparse.Namespace) -> dict[str, float]:
    command = [sys.executable, __file__, "--side", side, "--model", str(options.model)]
    command += ["--examples", str(options.examples), "--batch", str(options.batch), "--rank", str(options.rank)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        sys.exit(done.stderr)
    found: dict[str, float] = json.loads(done.stdout.rpartition("RESULT ")[2])
    print(
        f"{side:<5} {found['tokens']:8.0f} tokens  {found['seconds']:7.1f} s  {found['processor']:7.1f} s of processor"
        f" time  {found['tokens'] / found['processor']:7.0f} tokens per second of it  {found['mebibytes']:6.0f} MiB",
        flush=True,
    )
    return found


def judge(what: str, value: float, holds: bool, limit: str) -> None:
    print(f"{what}: {value:.2f}, {limit}: {'holds' if holds else 'does not hold'}")


def compare(options: argparse.Namespace) -> None:
    runs = {side: [] for side in SIDES}
    for _ in range(options.repeats):
        for side in SIDES:
            runs[side].append(measured(side, options))

    def ratio(of: str) -> float:
        value = {side: median(run["tokens"] / run[of] for run in runs[side]) for side in SIDES}
        return value["moco"] / value["trl"]

    judge(
        "tokens per second of processor time, of trl's",
        (fast := ratio("processor")),
        fast >= SPEED_LIMIT,
        "at least 0.9",
    )
    print(f"  of time: {ratio('seconds'):.2f}")
    peaks = {side: median(run["mebibytes"] for run in runs[side]) for side in SIDES}
    more = peaks["moco"] / peaks["trl"]
    judge("peak memory, of trl's", more, more <= MEMORY_LIMIT, "at most 1.1")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--examples", type=int, default=400)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--rank", type=int, default=16, help="of the adapter; 0: all weights")
    parser.add_argument("--model", type=Path, help="folder of a checkpoint to use in place of a random one")
    parser.add_argument("--side", choices=SIDES, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.side:
        options.rank = options.rank or None
        run_side(options)
        return
    with tempfile.TemporaryDirectory() as folder:
        if options.model is None:
            from workload import Shape, build_checkpoint

            options.model = Path(folder) / "checkpoint"
            build_checkpoint(options.model, Shape(256, 3, 8, 14_000))
        compare(options)


if __name__ == "__main__":
    main()
