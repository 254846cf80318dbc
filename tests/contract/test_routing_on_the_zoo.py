"""Routers that learn, with real models, on enough items to be measured."""

from statistics import fmean

import pytest
from support.real_study import RealStudy

from moco import paths
from moco.records import SCORES, read_rows
from moco.zoo.build import build

EXPERTS = {
    "add": "adds two numbers",
    "reverse": "writes words backwards",
    "recall": "knows the capitals of countries",
}
ITEMS = 400
TRAINED = {
    "router": "base",
    "ties": "first",
    "undecided": "drop",
    "training": {
        "steps": 60,
        "batch": 8,
        "micro_batch": 8,
        "learning_rate": 3e-4,
        "rank": None,
        "dropout": 0.0,
    },
}


@pytest.fixture(scope="module")
def study(tmp_path_factory, zoo_cache):
    def local(recipe, **more):
        return {"kind": "local", "path": str(build(recipe, zoo_cache)), "description": recipe, **more}

    alike = {"family": "llama", "tokenizer": "zoo"}
    skills = ["add", "reverse", "capital"]
    source = {"kind": "synthetic", "skills": skills, "form": "exact", "items": {"dev": 150, "test": ITEMS}}
    content = {
        "study": "s",
        "models": {
            **{name: local(name, **alike) | {"description": what} for name, what in EXPERTS.items()},
            "base": local("base", **alike),
            "encoder": local("encoder", purpose="embed"),
        },
        "pools": {"experts": list(EXPERTS)},
        "tasks": {"mixed": {"source": source}},
        "decoding": {"default": {"max_new_tokens": 16, "temperature": 0.7, "top_p": 0.9}},
        "methods": {"api_graph_routing": {}, "api_trained_router": TRAINED},
    }
    return RealStudy(tmp_path_factory.mktemp("routing"), content)


def scores(study, replies):
    """Scores of a file of replies, by item."""
    study.make(paths.scores("strict", replies))
    rows = read_rows(study.results / paths.scores("strict", replies), SCORES)
    assert len(rows) == ITEMS
    return {row["uid"]: row["score"] for row in rows}


@pytest.mark.slow
@pytest.mark.parametrize("method", ["api_graph_routing", "api_trained_router"])
def test_it_reaches_most_of_what_an_oracle_router_reaches(study, method, clean_environment):
    study.use(clean_environment)
    study.fit("experts", method)
    for name in study.plan.matrix.needs("experts", method).models:
        study.make_model(f"experts--mixed--{method}--s1--{name}")
    study.answer("experts", method)
    batch = study.batch("experts", method, "mixed")
    routed = scores(study, paths.answers("experts", batch, method, 1, "test"))
    singles = [scores(study, paths.generation(name, batch, "test", 1, "s0")) for name in EXPERTS]
    oracle = fmean(max(each[uid] for each in singles) for uid in routed)
    best = max(fmean(each.values()) for each in singles)
    assert best < 0.7 * oracle, "a single model nearly reaches the oracle, so routing shows nothing"
    assert fmean(routed.values()) >= 0.9 * oracle
