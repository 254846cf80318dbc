"""What trainings teach real tiny models, measured on items that they did not learn."""

from statistics import fmean

import pytest
import torch
from support.real_study import RealStudy
from transformers import AutoTokenizer

from moco import paths
from moco.config.engine import EngineSettings
from moco.config.tasks import TaskEntry
from moco.engines.transformers import load_model
from moco.models.resolve import describe_student
from moco.prompts.blocks import answered
from moco.records import SCORES, read_rows
from moco.scoring import Case, score_cases, scorer_for
from moco.tasks.prepare import prepare, read_questions, read_references
from moco.training.encoding import encode
from moco.training.examples import Example
from moco.training.run import train
from moco.zoo.build import build

pytestmark = pytest.mark.slow


class Taught:
    """A model of the zoo and items of one skill, of which it learns the split train."""

    def __init__(self, info, root, folder, skill, items):
        self.info, self.root, self._folder = info, root, folder
        source = {"kind": "synthetic", "skills": [skill], "items": {"train": items, "dev": 1, "test": items}}
        prepare("t", TaskEntry(source=source), folder / "t", None)
        self.items = {split: read_questions(folder / "t", split) for split in ("train", "test")}
        self._references = {split: read_references(folder / "t", split) for split in self.items}

    def right(self, split, item):
        return answered(item.type, self._references[split][item.uid].text())

    def scores(self, split):
        """Return what scores replies to items."""
        items = {item.uid: item for item in self.items[split]}

        def scored(replies):
            cases = [Case(items[uid], self._references[split][uid], text) for uid, text in replies]
            return [verdict.score for verdict in score_cases(scorer_for("exact_match", "strict"), cases, None)]

        return scored

    def learn(self, kind, examples, reward=None, **how):
        """Return the model that training makes."""
        output, scratch = self._folder / "made", self._folder / "scratch"
        output.mkdir()
        scratch.mkdir()
        train(kind, self.info, self.root, examples, how, [1], output, scratch, reward)
        return describe_student("made", self.info, output, self.root)

    def load(self, info):
        return load_model(info, self.root, EngineSettings(dtype="float32"), torch.device("cpu"))

    def encoded(self, examples):
        return encode(examples, self.info, self.root, None)


@pytest.fixture
def taught(tmp_path, zoo_cache, resolved):
    def make(recipe, skill, items):
        folder = build(recipe, zoo_cache)
        return Taught(resolved(folder, recipe), folder.parent, tmp_path, skill, items)

    return make


def test_two_hundred_examples_teach_a_skill_that_was_missing(tmp_path, zoo_cache, clean_environment):
    base = {"kind": "local", "family": "llama", "tokenizer": "zoo", "path": str(build("base", zoo_cache))}
    training = {
        "steps": 80,
        "batch": 16,
        "micro_batch": 16,
        "learning_rate": 1e-3,
        "rank": None,
        "dropout": 0.0,
    }
    source = {"kind": "synthetic", "skills": ["sort"], "items": {"train": 200, "dev": 1, "test": 100}}
    content = {
        "study": "s",
        "models": {"base": base, "expert": {"kind": "tuned", "base": "base", "tasks": ["t"], "training": training}},
        "pools": {"p": ["base", "expert"]},
        "tasks": {"t": {"source": source}},
        "decoding": {"default": {"max_new_tokens": 12, "temperature": 0}},
        "methods": {"control_random": {}},
    }
    study = RealStudy(tmp_path, content)
    study.use(clean_environment)

    def mean(model):
        replies = paths.generation(model, study.batch("p", "control_random", "t"), "test", 1, "s0")
        study.make(paths.scores("strict", replies))
        scores = [row["score"] for row in read_rows(study.results / paths.scores("strict", replies), SCORES)]
        assert len(scores) == 100
        return fmean(scores)

    assert mean("base") < 0.2
    assert mean("expert") > 0.8


def test_preferences_raise_the_margin_of_right_replies_to_other_questions(taught):
    made = taught("base", "reverse", 60)

    def pairs(split):
        items = made.items[split]
        rest = [*items[1:], items[0]]
        return [
            Example(item.prompt, made.right(split, item), made.right(split, other), item.uid)
            for item, other in zip(items, rest, strict=True)
            if made.right(split, item) != made.right(split, other)
        ]

    @torch.inference_mode()
    def margins(info):
        model = made.load(info)

        def logprob(prompt, reply):
            given = model(torch.tensor([[*prompt, *reply]])).logits[0, len(prompt) - 1 : -1].log_softmax(-1)
            return float(given.gather(1, torch.tensor(reply)[:, None]).sum())

        return [
            logprob(each.prompt, each.reply) - logprob(each.prompt, each.rejected)
            for each in made.encoded(pairs("test"))
        ]

    how = {"steps": 20, "batch": 16, "rank": 8, "learning_rate": 1e-3}
    before, after = margins(made.info), margins(made.learn("dpo", pairs("train"), **how))
    assert fmean(after) > fmean(before) + 3
    assert fmean(one < other for one, other in zip(before, after, strict=True)) > 0.8


def test_rewards_raise_the_score_of_replies_to_other_questions(taught):
    # Drawn at such a temperature, half of an expert's replies are wrong, which it learns to avoid.
    made, temperature = taught("add", "add", 80), 2.0

    def score(info):
        model = made.load(info)
        tokenizer = AutoTokenizer.from_pretrained(info.tokenizer_folder(made.root), padding_side="left")
        prompts = [list(each.prompt) for each in made.encoded([Example(item.prompt) for item in made.items["test"]])]
        batch = tokenizer.pad({"input_ids": prompts}, return_tensors="pt")
        with torch.random.fork_rng(), torch.inference_mode():
            torch.manual_seed(1)
            drawn = {"do_sample": True, "temperature": temperature, "top_k": 0, "max_new_tokens": 10}
            found = model.generate(**batch, **drawn, num_return_sequences=2)
        texts = tokenizer.batch_decode(found[:, batch["input_ids"].shape[1] :], skip_special_tokens=True)
        uids = [item.uid for item in made.items["test"] for _ in range(2)]
        return fmean(made.scores("test")(list(zip(uids, texts, strict=True))))

    how = {"batch": 32, "group": 8, "learning_rate": 3e-4, "max_new_tokens": 10, "temperature": temperature}
    examples = [Example(item.prompt, uid=item.uid) for item in made.items["train"]]
    learnt = made.learn("grpo", examples, made.scores("train"), steps=20, **how)
    assert score(learnt) > score(made.info) + 0.1
