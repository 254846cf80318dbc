"""What is said when a run has ended."""

from types import SimpleNamespace

import pytest
from snakemake.logging import logger

from moco.workflow.start import name_report


@pytest.mark.parametrize(
    ("inputs", "outputs", "said"),
    [
        (["a/b/report.html", "a/b/analysis/x.parquet"], [], ["open a/b/report.html, or read the tables in a/b/tables"]),
        ([], ["a/b/report.html"], ["open a/b/report.html, or read the tables in a/b/tables"]),
        (["a/b/analysis/x.parquet"], ["a/b/tables/moco_main.md"], []),
    ],
)
def test_a_run_that_makes_the_report_names_it(monkeypatch, inputs, outputs, said):
    heard = []
    monkeypatch.setattr(logger, "info", heard.append)
    name_report(SimpleNamespace(dag=SimpleNamespace(targetjobs=[SimpleNamespace(input=inputs, output=outputs)])))
    assert heard == said
