"""The workflow keeps a form that people can read: few rules, a small graph, commands to type, names that file systems take."""

import re
from graphlib import TopologicalSorter
from pathlib import PurePath

import pytest
from support.projects import new_project

pytestmark = pytest.mark.slow

DEMO = "config/config.yaml"
LOOP = "config/test/loop.yaml"


@pytest.fixture(scope="module", params=[DEMO, LOOP])
def blank_study(request, tmp_path_factory):
    return new_project(tmp_path_factory.mktemp("form") / "project", tmp_path_factory.mktemp("cache"), request.param)


def test_rules_are_few_whatever_the_study(blank_study):
    rules = blank_study.snakemake("--list-rules").stdout.split()
    assert 15 < len(rules) <= 22, rules


def test_commands_and_names_are_short(blank_study):
    planned = blank_study.planned()
    commands = re.findall(r"^(?:Shell command:)? *(moco .+)$", planned.output, flags=re.MULTILINE)
    assert len(commands) == sum(planned.counts.values()) - planned.counts["all"]
    assert max(map(len, commands)) <= 4096
    logs = [path for command in commands for path in re.findall(r">(\S+) 2>&1", command)]
    summary = blank_study.snakemake("--detailed-summary").stdout.splitlines()[1:]
    parts = {part for path in [*logs, *(line.split("\t")[0] for line in summary)] for part in PurePath(path).parts}
    assert {"results", "logs", "generations", "answers"} <= parts
    assert max(map(len, parts)) <= 120


def test_the_rule_graph_of_the_demo_is_small(tmp_path):
    demo = new_project(tmp_path / "project", tmp_path / "cache", DEMO)
    graph = demo.snakemake("--rulegraph").stdout
    names = dict(re.findall(r'^\s*(\d+)\[label = "(\w+)"', graph, flags=re.MULTILINE))
    assert 10 < len(names) <= 16
    arrows = {(names[a], names[b]) for a, b in re.findall(r"^\s*(\d+) -> (\d+)", graph, flags=re.MULTILINE)}
    # Only what a fit makes leads back: a model that is described and replies, as others do.
    back = {(name, name) for name in names.values()} | {("fit", "merge"), ("fit", "resolve"), ("merge", "resolve")}
    order = TopologicalSorter({name: {a for a, b in arrows - back if b == name} for name in names.values()})
    order.prepare()
    assert set(order.get_ready()) == {"prepare", "zoo"}
