"""What people see of a run: how far it is, how long it takes, what failed; a line per kind of job before it."""

import io
import logging
import re
from collections import Counter
from types import SimpleNamespace

import pytest
from snakemake_interface_logger_plugins.common import LogEvent
from support.projects import ROOT

from moco.cli import VERBS
from moco.terminal import table
from moco.terminal.events import Events
from moco.terminal.progress import Progress, duration, why
from moco.terminal.screen import Lines, Terminal


def record(message="", level=logging.INFO, **extra):
    made = logging.makeLogRecord({"msg": message, "levelno": level, **extra})
    return made


def job(number, rule="generate", text="add answers quiz (test)", reason="Missing output files: f"):
    return record(
        event=LogEvent.JOB_INFO, jobid=number, rule_name=rule, rule_msg=text, wildcards={}, reason=reason, log=[]
    )


def run(count, *, dry_run=False, long=""):
    stream = io.StringIO()
    events = Events(Lines(stream), dry_run=dry_run, show_logs=True)
    events.handle(record(event=LogEvent.RUN_INFO, stats={"generate": count, "all": 1, "total": count + 1}))
    for number in range(count):
        events.handle(job(number, text=f"model {number} answers{long}"))
        events.handle(record(event=LogEvent.PROGRESS, done=number, total=count))
        events.handle(record(event=LogEvent.JOB_FINISHED, job_id=number))
    events.close()
    events.close()
    return stream.getvalue().splitlines()


def test_every_job_of_a_small_run_is_a_line_and_the_first_says_how_many_there_are():
    lines = run(85)
    assert lines[0] == "85 jobs: 85 generate"
    assert [line.split(",")[0].strip() for line in lines[1:-1]] == [f"{number}/85" for number in range(1, 86)]
    assert "generate: model 41 answers (" in lines[42]
    assert "left" in lines[42]
    assert "left" not in lines[-2]
    assert lines[-1].startswith("85 jobs done in ")


@pytest.mark.parametrize("count", [1, 100, 101, 5000])
def test_a_run_of_any_size_is_about_a_hundred_short_lines(count):
    lines = run(count, long=" with words" * 100)
    assert len(lines) <= 102
    assert lines[-2].startswith(f"{count}/{count}, ")
    assert max(map(len, lines)) <= 160


def test_a_quiet_run_says_what_failed_and_nothing_else():
    stream = io.StringIO()
    events = Events(Lines(stream), dry_run=False, show_logs=True, quiet=True)
    events.handle(record(event=LogEvent.RUN_INFO, stats={"generate": 2, "total": 2}))
    events.handle(record("Complete log(s): .snakemake/log/1"))
    events.handle(record("careful", level=logging.WARNING))
    events.handle(record(event=LogEvent.JOB_ERROR, jobid=1, rule_name="generate", log=["a.log"]))
    events.close()
    assert stream.getvalue().splitlines() == ["careful", "failed: generate: see a.log"]


def test_a_failed_job_is_told_with_the_end_of_its_log_at_once_and_again_at_the_end(tmp_path):
    log = tmp_path / "job.log"
    log.write_text("".join(f"line {number}\n" for number in range(40)) + "moco generate: no memory\n")
    stream = io.StringIO()
    events = Events(Lines(stream), dry_run=False, show_logs=True)
    events.handle(record(event=LogEvent.RUN_INFO, stats={"generate": 2, "total": 2}))
    events.handle(job(1))
    events.handle(record("broken", event=LogEvent.JOB_ERROR, jobid=1, rule_name="generate", rule_msg=None, log=[log]))
    events.handle(record("it is over", logging.ERROR))
    events.close()
    lines = stream.getvalue().splitlines()
    told = f"generate: add answers quiz (test): see {log}"
    assert lines[1] == f"failed: {told}"
    assert lines[2] == "  line 26"
    assert lines[16] == "  moco generate: no memory"
    assert lines[-3:-1] == ["it is over", "0 of 2 jobs done, 1 failed"]
    assert lines[-1] == f"  {told}"


def test_what_snakemake_says_of_its_doings_is_left_out_and_what_it_says_to_people_is_not():
    stream = io.StringIO()
    events = Events(Lines(stream), dry_run=False, show_logs=False)
    for text in ("Building DAG of jobs...", "Select jobs to execute...", "host: h", "None", "Job Stats ahead"):
        events.handle(record(text))
    events.handle(record("Nothing to be done (all requested files are present and up to date)."))
    events.handle(record("Removing output files is dangerous", logging.WARNING))
    assert stream.getvalue().splitlines() == [
        "Job Stats ahead",
        "Nothing to be done (all requested files are present and up to date).",
        "Removing output files is dangerous",
    ]


def test_time_left_takes_the_mean_of_each_rule_and_as_many_at_once_as_so_far():
    now = [0.0]
    progress = Progress(clock=lambda: now[0])
    progress.plan({"slow": 3, "fast": 4, "unknown": 1})
    assert progress.left() is None
    progress.start(1, "slow", "")
    progress.start(2, "fast", "")
    now[0] = 2.0
    progress.finish(2)
    now[0] = 10.0
    progress.finish(1)
    # Before it: 2 slow of 10 s, 3 fast of 2 s, 1 of the mean of 6 s; 12 s of work were done in 10 s.
    assert progress.left() == pytest.approx((20 + 6 + 6) * 10 / 12)
    progress.start(3, "slow", "")
    now[0] = 14.0
    assert progress.left() == pytest.approx((20 + 6 + 6 - 4) * 14 / 16)
    assert (progress.done, progress.total) == (2, 8)


def test_times_in_words():
    assert [duration(seconds) for seconds in (0.4, 59.4, 60, 3599, 3600, 7500)] == [
        "0 s",
        "59 s",
        "1 min 0 s",
        "59 min 59 s",
        "1 h 0 min",
        "2 h 5 min",
    ]


def test_reasons_are_few_words_and_the_most_telling_of_each_job_counts():
    assert why(Counter({"Missing output files: a; Input files updated by another job: b": 2})) == "new"
    params = "Input files updated by another job: b; Params have changed since last execution: {}"
    mixed = Counter({"Missing output files: a": 3, params: 1, "Input files updated by another job: x": 2})
    assert why(mixed) == ("3 new, 2 what it reads is made again, 1 settings or code that decide the result changed")


def test_a_dry_run_is_a_line_per_kind_of_job_with_what_is_stored_and_why(monkeypatch):
    monkeypatch.setattr(table, "_kinds", lambda: {"prepare": (2, 2), "score": (26, 9), "mix": (0, 0)})
    lines = table.dry_run_table({"score": 10, "judge": 7, "all": 1}, {"score": "new", "judge": "forced"})
    assert [line.split() for line in lines[1:-1]] == [
        ["prepare", "2", "2", "0", "write", "a", "task's", "questions", "and", "references"],
        ["score", "26", "9", "17", "score", "plain", "responses", "or", "answers:", "new;", "forced"],
    ]
    assert lines[-1].startswith("17 jobs would run.")


def test_every_rule_is_a_kind_of_job_that_the_table_explains():
    text = "".join(path.read_text() for path in (ROOT / "workflow").rglob("*.smk"))
    rules = set(re.findall(r"^(?:use rule \w+ as|rule) (\w+)", text, re.MULTILINE))
    assert {"score_answers", "merge_member"} < rules
    assert {table.STAGE_OF.get(rule, rule) for rule in rules} <= {*VERBS, "response_logits"}


def test_the_display_of_a_terminal_shows_the_bar_and_each_running_job():
    stream = io.StringIO()
    screen = Terminal(stream)
    progress = Progress()
    progress.plan({"generate": 4})
    progress.start(1, "generate", "add answers [quiz]")
    with screen._console.capture() as captured:
        screen._console.print(screen._display(progress))
    assert "0 of 4 jobs" in captured.get()
    assert "add answers [quiz]" in captured.get()


def test_snakemakes_own_lines_come_back_where_commands_are_asked_for(capsys):
    from snakemake_logger_plugin_moco import LogHandler

    settings = SimpleNamespace(
        **{"stdout": True, "verbose": False, "printshellcmds": True, "debug_dag": False, "nocolor": True},
        **{"quiet": set(), "show_failed_logs": False, "dryrun": True},
    )
    handler = LogHandler(settings, None)
    handler.emit(record("Shell command: moco generate", event=LogEvent.SHELLCMD, cmd="moco generate"))
    assert capsys.readouterr().out == "moco generate\n"


def test_a_job_whose_second_attempt_is_good_did_not_fail():
    stream = io.StringIO()
    events = Events(Lines(stream), dry_run=False, show_logs=True)
    events.handle(record(event=LogEvent.RUN_INFO, stats={"generate": 1, "total": 1}))
    for end in (
        record("", event=LogEvent.JOB_ERROR, jobid=1, rule_name="generate", rule_msg=None, log=[]),
        record("", event=LogEvent.JOB_FINISHED, job_id=1),
    ):
        events.handle(job(1))
        events.handle(end)
    events.close()
    assert [line.partition(" in ")[0] for line in stream.getvalue().splitlines()[-1:]] == ["1 jobs done"]
    assert events._failed == {}


def test_a_study_that_is_not_there_is_one_line_and_faults_of_the_code_are_told_in_full():
    stream = io.StringIO()
    events = Events(Lines(stream), dry_run=False, show_logs=True)
    last = "FileNotFoundError: [Errno 2] No such file or directory: 'nope.yaml'"
    for text in (f"Traceback:\n  in load_configfile\n\n{last}\n\n", f"Traceback:\n  in read\n{last}"):
        events.handle(record(text, logging.ERROR, event=LogEvent.ERROR, exception="FileNotFoundError"))
    assert stream.getvalue().splitlines() == [last, "Traceback:", "  in read", last]
