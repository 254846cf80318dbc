"""What the benchmarks of generation share: a random model, requests of mixed lengths, both sides, and what they count.

The model is a Llama with random weights, made on the spot. A random model knows no end, so a share of its vocabulary
counts as the end of a reply; the output layer is wide enough that its distributions are as narrow as those of a trained
model (about 2 nats): flat ones would make sampling look dearer than it is, for both sides.

Both sides get the same texts and do the same work: load the model, render and tokenise, order by length, generate,
decode to text. What is imported and the kernels that are chosen at the first call are warm. On the bare side every reply
ends where MoCo's reply to the same prompt ended, so both write the same number of tokens, also where they draw others.
"""

import math
import os
import random
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import takewhile
from pathlib import Path
from typing import Any

import torch
import transformers
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig, LlamaConfig, LlamaForCausalLM

from moco import paths
from moco.config.decoding import Decoding
from moco.config.engine import EngineSettings
from moco.config.models import LocalModel
from moco.config.runtime import write_study_file
from moco.engines.render import Renderer
from moco.home import STUDY
from moco.jobs.generate import PlainJob
from moco.jobs.inference import Inference
from moco.methods.base import Choice
from moco.models.info import ModelInfo
from moco.models.resolve import resolve
from moco.records import GENERATIONS, PERF, QUESTIONS, Provenance, read_rows, write_rows
from moco.store.generations import GenerationStore

MODEL, BATCH, SPLIT, SEED, BLOCK = "model", "benchmark", "test", 1, "s0"
END, PAD, UNKNOWN = "<|end|>", "<|pad|>", "<|unknown|>"
TEMPLATE = (
    "{%- for message in messages -%}{{- 'w1 w2 w3 w4 w5 w6 w7 w8 ' ~ message['content'] -}}{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{- ' w9 w10' -}}{%- endif -%}"
)
"""Ten tokens around each prompt, eight of them a prefix that all prompts share."""


@dataclass(frozen=True)
class Shape:
    """Size of a random Llama."""

    hidden: int
    layers: int
    heads: int
    vocabulary: int
    context: int = 1024
    reply: float = 32
    """Tokens after which one reply ends on average, where nothing else ends it."""


def build_checkpoint(folder: Path, shape: Shape, seed: int = 0) -> None:
    """Write a random model and a tokenizer in which every word is one token."""
    words = [PAD, END, UNKNOWN, *(f"w{number}" for number in range(shape.vocabulary - 3))]
    tokenizer = Tokenizer(models.WordLevel({word: place for place, word in enumerate(words)}, unk_token=UNKNOWN))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token=END,
        pad_token=PAD,
        unk_token=UNKNOWN,
        chat_template=TEMPLATE,
        model_max_length=shape.context,
        padding_side="left",
    ).save_pretrained(folder)
    config = LlamaConfig(
        vocab_size=shape.vocabulary,
        hidden_size=shape.hidden,
        intermediate_size=shape.hidden * 5 // 2,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        max_position_embeddings=shape.context,
        tie_word_embeddings=False,
        eos_token_id=1,
        pad_token_id=0,
        bos_token_id=None,
        initializer_range=1 / math.sqrt(shape.hidden),
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = LlamaForCausalLM(config)
        # Logits with a standard deviation s have an entropy of about log(vocabulary) - s^2 / 2.
        deviation = math.sqrt(2 * (math.log(shape.vocabulary) - 2))
        torch.nn.init.normal_(model.lm_head.weight, std=deviation / math.sqrt(shape.hidden))
    ends = random.Random(seed).sample(range(1, shape.vocabulary), max(1, round(shape.vocabulary / shape.reply)))
    model.generation_config = GenerationConfig(do_sample=False, eos_token_id=sorted({1, *ends}), pad_token_id=0)
    model.save_pretrained(folder)


def prompts(folder: Path, count: int, *, shortest: int = 10, longest: int = 400, median: float = 30) -> list[str]:
    """Return texts whose lengths in tokens are log-normal."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    special = set(tokenizer.all_special_ids)
    usual = [token for token in range(len(tokenizer)) if token not in special]
    draw = random.Random(1)

    def text() -> str:
        length = min(longest, max(shortest, round(draw.lognormvariate(math.log(median), 0.9))))
        return str(tokenizer.decode(draw.choices(usual, k=length)))

    return [text() for _ in range(count)]


@dataclass
class Forwards:
    """What a model computed: every call of it, the positions that it read, and the seconds."""

    calls: int = 0
    positions: int = 0
    prompt_positions: int = 0
    seconds: float = 0.0
    started: float = field(default=0.0, repr=False)

    def before(self, _module: Any, _arguments: Any, named: dict[str, Any]) -> None:
        rows, width = named["input_ids"].shape
        self.calls += 1
        self.positions += rows * width
        # A reply grows by one token a row and call; prompts are longer.
        self.prompt_positions += rows * width if width > 1 else 0
        self.started = time.perf_counter()

    def after(self, *_: Any) -> None:
        self.seconds += time.perf_counter() - self.started


@contextmanager
def counted() -> Iterator[Forwards]:
    """Count the forward passes of every causal model that is loaded inside."""
    found, load = Forwards(), AutoModelForCausalLM.from_pretrained

    def watched(*arguments: Any, **named: Any) -> Any:
        model = load(*arguments, **named)
        model.register_forward_pre_hook(found.before, with_kwargs=True)
        model.register_forward_hook(found.after)
        return model

    AutoModelForCausalLM.from_pretrained = watched
    try:
        yield found
    finally:
        AutoModelForCausalLM.from_pretrained = load


@dataclass(frozen=True)
class Run:
    """One measurement.

    Attributes:
        seconds: From texts to texts, loading included.
        processor: Seconds of processor time, of all threads.
        forwards: What the model computed.
        prompt_tokens: Real tokens of all prompts.
        replies: Tokens of each reply, in the order of the texts.
        texts: The replies themselves.
        loads: Seconds of each load of the model.
    """

    seconds: float
    processor: float
    forwards: Forwards
    prompt_tokens: int
    replies: list[int]
    texts: list[str]
    loads: list[float]

    @property
    def working(self) -> float:
        """Seconds without loading."""
        return self.seconds - sum(self.loads)

    @property
    def new_tokens(self) -> int:
        return sum(self.replies)

    @property
    def padding(self) -> float:
        """Share of the computed positions that belong to no token; the last token of a reply is never read."""
        real = self.prompt_tokens + self.new_tokens - len(self.replies)
        return 1 - real / self.forwards.positions if self.forwards.positions else math.nan

    @property
    def prompt_padding(self) -> float:
        return 1 - self.prompt_tokens / self.forwards.prompt_positions if self.forwards.positions else math.nan

    @property
    def reply_padding(self) -> float:
        read = self.forwards.positions - self.forwards.prompt_positions
        return 1 - (self.new_tokens - len(self.replies)) / read if read else math.nan


Work = tuple[int, list[int], list[str], list[float]]
"""Prompt tokens, lengths and texts of replies, seconds of each load."""


def measure(work: Callable[[], Work]) -> Run:
    with counted() as forwards:
        started, spent = time.perf_counter(), time.process_time()
        prompt_tokens, lengths, texts, loads = work()
        return Run(
            time.perf_counter() - started,
            time.process_time() - spent,
            forwards,
            prompt_tokens,
            lengths,
            texts,
            loads,
        )


def write_task(results: Path, name: str, texts: Sequence[str]) -> None:
    """Write a prepared task whose prompts are given texts."""
    rows = (
        {
            "uid": f"{name}/{SPLIT}/{number}",
            "task": name,
            "split": SPLIT,
            "type": "exact_match",
            "question": text,
            "prompt": text,
            "options": None,
            "domain": "general",
        }
        for number, text in enumerate(texts)
    )
    write_rows(results / paths.questions(name, SPLIT), QUESTIONS, rows, Provenance("prepare", {}))


def moco_generate(
    root: Path, folder: Path, texts: Sequence[str], decoding: Decoding, settings: EngineSettings, tasks: int = 1
) -> Run:
    """Measure `moco generate` in this process, with an empty store.

    Args:
        root: New folder for the results.
        folder: The checkpoint.
        texts: Prompts.
        decoding: Settings of all requests.
        settings: Of the engine.
        tasks: Number of tasks that share the prompts.
    """
    results = root / "results"
    names = [f"task{number}" for number in range(tasks)]
    for number, name in enumerate(names):
        write_task(results, name, texts[number::tasks])
    entry = {"kind": "local", "path": str(folder)}
    resolve(MODEL, LocalModel(**entry), settings, root).write(results / paths.model_json(MODEL))
    study = {
        "study": "benchmark",
        "models": {MODEL: entry},
        "pools": {"pool": [MODEL]},
        "tasks": {name: {"source": {"kind": "synthetic", "skills": ["add"]}} for name in names},
        "methods": {"control_random": {}},
        "engine": settings.model_dump(),
    }
    job = PlainJob(results, {"tasks": names, "decoding": decoding.model_dump()}, MODEL, BATCH, SPLIT, SEED, BLOCK)

    def work() -> Work:
        job.run()
        rows = read_rows(job.path, GENERATIONS)
        perf = read_rows(Path(paths.perf(str(job.path))), PERF)
        loads = [row["seconds"] for row in perf if row["kind"] == "load"]
        return (
            sum(row["prompt_tokens"] for row in rows),
            [row["completion_tokens"] for row in rows],
            [row["text"] for row in rows],
            loads,
        )

    with _environment(STUDY, str(write_study_file(study, root))):
        return measure(work)


@contextmanager
def _environment(name: str, value: str) -> Iterator[None]:
    before = os.environ.get(name)
    os.environ[name] = value
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before


class _EndAt(transformers.StoppingCriteria):
    """Ends every row after a number of new tokens of its own."""

    def __init__(self, width: int, lengths: torch.Tensor) -> None:
        self._width, self._lengths = width, lengths

    def __call__(self, input_ids: torch.Tensor, scores: Any, **_: Any) -> torch.Tensor:  # noqa: ARG002
        return self._lengths <= input_ids.shape[1] - self._width


def model_generate(
    folder: Path,
    texts: Sequence[str],
    lengths: Sequence[int],
    decoding: Decoding,
    settings: EngineSettings,
    rows: int,
    *,
    ordered: bool = True,
) -> Run:
    """Measure `model.generate` on padded batches.

    Args:
        folder: The checkpoint.
        texts: Prompts.
        lengths: Tokens after which each reply ends.
        decoding: Settings of all requests.
        settings: Type, attention and device as the engine has them.
        rows: Of a batch.
        ordered: By length, the longest first; else as they come.
    """
    device = torch.device(settings.device)

    def work() -> Work:
        started = time.perf_counter()
        attention = None if settings.attention == "auto" else settings.attention
        model = AutoModelForCausalLM.from_pretrained(
            folder, dtype=getattr(torch, settings.dtype), attn_implementation=attention
        )
        model.to(device).eval()
        loaded = time.perf_counter() - started
        tokenizer = AutoTokenizer.from_pretrained(folder, padding_side="left")
        if tokenizer.pad_token is None:
            tokenizer.pad_token = tokenizer.eos_token
        model.generation_config = GenerationConfig(
            max_new_tokens=decoding.max_new_tokens,
            pad_token_id=tokenizer.pad_token_id,
            **(
                {"do_sample": False}
                if decoding.greedy
                else {
                    "do_sample": True,
                    "temperature": decoding.temperature,
                    "top_p": decoding.top_p,
                    "top_k": decoding.top_k,
                }
            ),
        )
        if tokenizer.chat_template:
            turns = [[{"role": "user", "content": text}] for text in texts]
            rendered = tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
            ids = tokenizer(rendered, add_special_tokens=False)["input_ids"]
        else:
            ids = tokenizer(list(texts))["input_ids"]
        order = list(range(len(ids)))
        if ordered:
            order.sort(key=lambda place: -len(ids[place]))
        replies = [""] * len(ids)
        for start in range(0, len(order), rows):
            chosen = order[start : start + rows]
            batch = tokenizer.pad({"input_ids": [ids[place] for place in chosen]}, return_tensors="pt").to(device)
            width = batch["input_ids"].shape[1]
            ends = _EndAt(width, torch.tensor([lengths[place] for place in chosen], device=device))
            with torch.inference_mode():
                output = model.generate(**batch, stopping_criteria=[ends])
            written = output[:, width:].tolist()
            written = [row[: lengths[place]] for row, place in zip(written, chosen, strict=True)]
            for place, text in zip(chosen, tokenizer.batch_decode(written, skip_special_tokens=True), strict=True):
                replies[place] = text
        return sum(map(len, ids)), list(lengths), replies, [loaded]

    return measure(work)


def option_logits(
    root: Path, folder: Path, texts: Sequence[str], settings: EngineSettings, letters: str = "ABCD"
) -> tuple[int, int, float]:
    """Score options of multiple choice, letters and texts, with an empty store.

    Args:
        root: New folder for the store.
        folder: The checkpoint.
        texts: Prompts, of which each also lends its first words to the options of others.
        settings: Of the engine.
        letters: Of the options.

    Returns:
        Tokens that the model read; tokens of every prompt once and of all that follows them; seconds, loading left out.
    """
    info = resolve(MODEL, LocalModel(kind="local", path=str(folder)), settings, root)
    inference = Inference({MODEL: info}, {MODEL: settings}, GenerationStore(root / "store"), root)
    starts = [" ".join(text.split()[: 1 + place % 4]) for place, text in enumerate(texts)]
    choices = [
        Choice(MODEL, str(place), text, (*letters, *(starts[(place + step) % len(starts)] for step in range(1, 5))), "")
        for place, text in enumerate(texts)
    ]
    scored = inference.score_texts(choices, "options")
    account = inference.accounts.account(MODEL)
    unique = sum(
        options[0].stored.prompt_tokens + sum(len(option.stored.tokens) for option in options) for options in scored
    )
    inference.resident.close()
    return account.read_tokens, unique, account.seconds


def token_ids(folder: Path, texts: Sequence[str], settings: EngineSettings, limit: int) -> list[tuple[int, ...]]:
    """Return the prompts as the model reads them."""
    info: ModelInfo = resolve(MODEL, LocalModel(kind="local", path=str(folder)), settings, folder.parent)
    renderer = Renderer(info, folder.parent)
    return [renderer.render(text, limit).tokens for text in texts]


def unique_tokens(sequences: Sequence[Sequence[int]]) -> int:
    """Return the number of tokens that are left when what sequences share from their beginning is read once."""
    total: int = 0
    before: tuple[int, ...] = ()
    for sequence in sorted(map(tuple, sequences)):
        pairs = zip(before, sequence, strict=False)
        shared = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))
        total, before = total + len(sequence) - shared, sequence
    return total
