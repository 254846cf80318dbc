"""What runs a model, and how."""

from typing import Literal

from moco.config.fields import Section, identity, numerics, runtime


class EngineSettings(Section):
    """Engine of a model; a study sets a default and a model may set its own."""

    kind: Literal["transformers", "vllm"] = identity(
        "Program that runs the model; vllm needs `make install-vllm` and has no exact mode (docs/vllm.md).",
        "transformers",
    )
    dtype: Literal["float64", "float32", "bfloat16", "float16"] = identity(
        "Arithmetic. float64 is the exact mode: results do not depend on batches.", "float64"
    )
    trust_remote_code: bool = identity(
        "Run Python code that comes with a checkpoint. Only for code you have read.", False
    )
    attention: Literal["auto", "sdpa", "eager"] = identity(
        "Attention implementation; auto: sdpa where the architecture has it, else eager.", "auto"
    )
    top_logprobs: int = numerics(
        "Most likely tokens whose log-probabilities are stored per position.", 20, ge=0, le=1000
    )
    tensor_parallel: int = numerics("vllm: GPUs that a model is split over; its `gpus` must cover them.", 1, ge=1)
    reproducible: Literal["schedule", "batch"] = numerics(
        "vllm: schedule: requests are begun in a fixed order, within one process. batch: its kernels that do not depend"
        " on the batch besides, which are slower and only for some GPUs.",
        "schedule",
    )
    compile: bool = numerics(
        "vllm: compile the model and capture CUDA graphs, for a slower start and a faster run.", False
    )
    batch_tokens: int = runtime("Largest batch, in padded tokens (prompt and reply); not for vllm.", 32_768, ge=1)
    batch_rows: int = runtime("Largest batch, in requests.", 256, ge=1)
    device: Literal["auto", "cpu", "cuda"] = runtime(
        "Where models run; auto takes a GPU that the job was granted.", "auto"
    )
    resident_gb: float = runtime("Memory in which loaded models are kept for the next round.", 8.0, ge=0)
    gpu_share: float = runtime(
        "vllm: share of a GPU's memory that a worker takes; workers stay side by side while their sum is at most 1.",
        0.9,
        gt=0,
        le=1,
    )
    cache_gb: float = runtime("vllm: memory of the key-value cache of a worker on the CPU.", 1.0, gt=0)
    python: str | None = runtime(
        "vllm: Python of its environment; $MOCO_VLLM_PYTHON, or .venv-vllm/bin/python beside results, when left out.",
        None,
    )
    flush_seconds: float = runtime("Finished requests reach the disk at least this often.", 10.0, gt=0)

    @property
    def bytes_per_number(self) -> int:
        """Bytes that one parameter occupies in memory."""
        return {"float64": 8, "float32": 4, "bfloat16": 2, "float16": 2}[self.dtype]

    def key(self) -> dict[str, str | bool]:
        """Return what tells requests apart."""
        return self.slice()
