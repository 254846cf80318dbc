"""The model that `moco fetch smollm2-135m` brings, in our engine and in bare transformers, on real questions."""

import pytest
import torch
from support.items import load

from moco.config.decoding import Decoding
from moco.config.engine import EngineSettings
from moco.config.expand import expand
from moco.config.load import study_from
from moco.config.release import SMOLLM2, release_path
from moco.engines.base import TextRequest, TokenRequest
from moco.engines.render import Renderer
from moco.engines.transformers import TransformersEngine
from moco.models.resolve import resolve

FOLDER = f"$MOCO_CACHE/{SMOLLM2}"
SCORED = 4
"""Questions of which options are scored: bare transformers reads the prompt again for each."""
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not (expand(FOLDER).is_dir() and expand(release_path("arc_challenge")).is_file()),
        reason="model or data are not fetched (moco fetch moco-data smollm2-135m)",
    ),
]


@pytest.fixture(scope="module")
def parts(tmp_path_factory):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    root = tmp_path_factory.mktemp("root")
    study = study_from(
        {
            "study": "s",
            "models": {"m": {"kind": "local", "path": FOLDER, "family": "llama", "parameters": 135e6, "context": 8192}},
            "pools": {"one": ["m"]},
            "tasks": {"arc_challenge": {}},
        },
        "s.yaml",
    )
    info = resolve("m", study.models["m"], EngineSettings(), root)
    items = load(study.tasks["arc_challenge"])["test"][:20]
    bare = AutoModelForCausalLM.from_pretrained(expand(FOLDER), dtype=torch.float64).eval()
    tokenizer = AutoTokenizer.from_pretrained(expand(FOLDER))
    prompts = [
        tokenizer.apply_chat_template(
            [{"role": "user", "content": item.question}], add_generation_prompt=True, return_dict=True
        )["input_ids"]
        for item in items
    ]
    return info, root, items, bare, tokenizer, prompts


def test_prompts_are_those_of_the_chat_template(parts):
    info, root, items, _, _, prompts = parts
    assert (info.prompt_mode, info.family) == ("chat", "llama")
    renderer = Renderer(info, root)
    assert [list(renderer.render(item.question, 16).tokens) for item in items] == [list(p) for p in prompts]


def test_greedy_replies_and_options_are_those_of_bare_transformers(parts):
    info, root, items, bare, tokenizer, prompts = parts
    engine = TransformersEngine(info, root, EngineSettings())
    decoding = Decoding(max_new_tokens=16, temperature=0)
    asked = [TokenRequest(str(place), tuple(prompt), decoding, None) for place, prompt in enumerate(prompts)]
    replies = {row.key: row.tokens for row in engine.generate(asked)}
    assert engine.stop_ids == {2}
    for place, prompt in enumerate(prompts):
        given = torch.tensor([prompt])
        with torch.inference_mode():
            made = bare.generate(given, attention_mask=torch.ones_like(given), do_sample=False, max_new_tokens=16)
        assert replies[str(place)] == made[0, len(prompt) :].tolist()
    texts = [
        TextRequest(
            f"{place}-{at}", tuple(prompts[place]), tuple(tokenizer(option, add_special_tokens=False).input_ids)
        )
        for place, item in enumerate(items[:SCORED])
        for at, option in enumerate(item.options)
    ]
    scored = {row.key: row.logprobs for row in engine.score_text(texts)}
    for text in texts:
        with torch.inference_mode():
            logits = bare(torch.tensor([[*text.prompt, *text.continuation]])).logits[0]
        wanted = torch.log_softmax(logits[len(text.prompt) - 1 : -1], dim=-1)
        wanted = wanted[torch.arange(len(text.continuation)), torch.tensor(text.continuation)]
        assert scored[text.key] == pytest.approx(wanted.tolist(), abs=1e-5)
