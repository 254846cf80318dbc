"""The columns of every Parquet file.

A file holds all tasks of a batch, one after the other, with their names in column `task`.
`status` is `ok` or `failed`; a failed row has a `reason` and no content. Numbers of tokens count the tokens a model
read (`prompt_tokens`) or wrote (`completion_tokens`). Text columns that end in `_json` hold canonical JSON.
"""

from dataclasses import dataclass

import pyarrow as pa


@dataclass(frozen=True)
class Schema:
    """A named, versioned set of columns; a reader refuses another name or version."""

    name: str
    version: int
    columns: pa.Schema


def _schema(name: str, version: int, /, **columns: pa.DataType) -> Schema:
    return Schema(name, version, pa.schema([pa.field(key, kind) for key, kind in columns.items()]))


def _kinds(schema: Schema) -> dict[str, pa.DataType]:
    return {field.name: field.type for field in schema.columns}


_TEXT, _INT, _LONG, _FLOAT, _BOOL = pa.string(), pa.int32(), pa.int64(), pa.float64(), pa.bool_()

QUESTIONS = _schema(
    "questions",
    1,
    uid=_TEXT,  # <task>/<split>/<row number at the source>
    task=_TEXT,
    split=_TEXT,
    type=_TEXT,
    domain=_TEXT,
    question=_TEXT,  # without options and without answer format
    options=pa.list_(_TEXT),  # null unless multiple choice; position gives the letter
    prompt=_TEXT,  # the unmodified task prompt, as every model receives it
)

REFERENCES = _schema(
    "references",
    1,
    uid=_TEXT,
    src_id=_TEXT,
    gold_json=_TEXT,
    gold_kind=_TEXT,
    group=_TEXT,
    valid=_BOOL,
    meta_json=_TEXT,
)

DROPPED = _schema(
    "dropped",
    1,
    split=_TEXT,  # of the source
    row=_LONG,
    src_id=_TEXT,
    reason=_TEXT,  # as in moco.tasks.leakage
    other=_TEXT,  # uid of the item that it repeats
)

GENERATIONS = _schema(
    "generations",
    3,
    task=_TEXT,
    uid=_TEXT,
    sample=_INT,
    status=_TEXT,
    reason=_TEXT,
    key=_TEXT,  # of the request in the generation store
    text=_TEXT,  # visible reply: thinking text removed
    thought=_TEXT,  # none | closed | unclosed
    finish=_TEXT,  # stop | length
    prompt_flag=_TEXT,  # ok | truncated: the question's beginning was cut to fit the context
    prompt_cut_tokens=_INT,  # tokens of the question that were left out
    prompt_tokens=_INT,
    completion_tokens=_INT,
    mean_logprob=_FLOAT,  # of the chosen tokens under the raw, untempered distribution
)

OPTION_LOGITS = _schema(
    "option_logits",
    2,
    task=_TEXT,
    uid=_TEXT,
    status=_TEXT,
    reason=_TEXT,
    labels=pa.list_(_TEXT),  # option letters, by position
    label_logprobs=pa.list_(_FLOAT),  # log-probability of each letter as the beginning of the reply
    text_logprobs=pa.list_(_FLOAT),  # of each option's whole text as the beginning of the reply
    text_tokens=pa.list_(_INT),  # number of tokens of each text
    prompt_flag=_TEXT,
    prompt_tokens=_INT,
    scored_tokens=_INT,  # tokens of all letters and texts
)

REFERENCE_LOGITS = _schema(
    "reference_logits",
    2,
    task=_TEXT,
    uid=_TEXT,
    status=_TEXT,
    reason=_TEXT,
    text=_TEXT,  # the reference answer; null where an item has none
    tokens=pa.list_(_INT),
    logprobs=pa.list_(_FLOAT),  # of each token after the prompt and the tokens before it
    prompt_flag=_TEXT,
    prompt_tokens=_INT,
)

RESPONSE_LOGITS = _schema(
    "response_logits",
    2,
    task=_TEXT,
    uid=_TEXT,
    sample=_INT,
    status=_TEXT,
    reason=_TEXT,
    key=_TEXT,  # of the request in the generation store
    tokens=pa.list_(_INT),  # of the whole reply, thinking text and end of sequence included
    logprobs=pa.list_(_FLOAT),  # of each token under the raw, untempered distribution
    top_k=_INT,  # alternatives per token
    top_ids=pa.list_(_INT),  # flat: tokens x top_k, most likely first
    top_logprobs=pa.list_(_FLOAT),  # likewise
    tail=pa.list_(_FLOAT),  # probability mass outside the top_k, per token
)

ANSWERS = _schema(
    "answers",
    2,
    task=_TEXT,
    uid=_TEXT,
    answer=_INT,  # 0, or 0..k-1 where a task asks for several answers per item
    status=_TEXT,
    reason=_TEXT,
    text=_TEXT,
    extracted=_TEXT,  # scored as it is when given; null: the scorer extracts from the text
    has_extracted=_BOOL,
    models=pa.list_(_TEXT),  # whose words the answer is made of
    fallback=_TEXT,  # reason for which the method left its regular path, or null
    record_json=_TEXT,  # what the method wants remembered of this item
)

CALLS = _schema(
    "calls",
    3,
    task=_TEXT,
    uid=_TEXT,
    call=_INT,  # running number within the item
    # plain (shared response) | logits (cached) | own (made by the method) | joint (one row per model)
    # choice (of given options) | embedding, reward (of texts that belong to no item: uid is empty)
    kind=_TEXT,
    round=_INT,  # generation round of the method; -1 for plain and logits
    purpose=_TEXT,
    member=_INT,  # position in the pool; -1: a helper, or a model that the fit made
    model=_TEXT,
    sample=_INT,
    key=_TEXT,
    prompt=_TEXT,  # as it was sent; null for plain and logits: it is in questions.parquet
    text=_TEXT,
    finish=_TEXT,
    prompt_flag=_TEXT,  # ok | shortened: parts that may shrink were cut to fit the context | truncated: its beginning was
    prompt_cut_tokens=_INT,  # tokens of the prompt that were left out; of a joint reply, in the model that read least
    prompt_tokens=_INT,
    completion_tokens=_INT,
    segments_json=_TEXT,  # [model, first character, the one after the last, log-probability] of each token of models
    # that wrote in turn; null where one wrote alone or all wrote every token
)

COSTS = _schema(
    "costs",
    2,
    task=_TEXT,
    stage=_TEXT,  # answer | fit | train
    scope=_TEXT,  # task, or pool: the fit serves all tasks and is listed in full in the file of each; count it once
    role=_TEXT,  # member of the pool | helper | fitted: made by the fit | candidate of a search
    model=_TEXT,
    parameters=_LONG,
    calls=_LONG,  # of stage train: steps of the optimiser
    items=_LONG,  # that the model worked on; of stage train: examples
    prompt_tokens=_LONG,
    completion_tokens=_LONG,
    flops=_FLOAT,
    loads=_LONG,  # times that a method on its own loads the model
)

SCORES = _schema(
    "scores",
    3,
    task=_TEXT,
    uid=_TEXT,
    sample=_INT,  # of a plain response, or number of the set of replies that are scored together; null for answers
    answer=_INT,
    status=_TEXT,  # ok | unparsed | invalid | unscored | failed
    reason=_TEXT,  # of a failure; else the answer's fallback, why its method left its regular path; or null
    score=_FLOAT,  # null for invalid, unscored and failed items; an accuracy is 0 for unparsed ones
    parsed=_TEXT,
    rule=_TEXT,  # which extraction rule fired
    details_json=_TEXT,  # further numbers and words of the scorer; null where it gave none
)

PERF = _schema(
    "perf",
    2,
    kind=_TEXT,  # reply | load: a model was really loaded; the loads of a job stand in its first file
    key=_TEXT,  # null for a load
    model=_TEXT,
    cached=_BOOL,
    seconds=_FLOAT,  # of a reply: its share of its batch, as measured when first generated
)

JOB_PERF = _schema(
    "job_perf",
    1,
    job=_TEXT,  # verb
    pool=_TEXT,  # null for jobs of a single model
    system=_TEXT,  # model or method variant whose job it is
    tasks=pa.list_(_TEXT),
    splits=pa.list_(_TEXT),
    seed=_INT,  # of the run; null where it does not matter
    model=_TEXT,  # that worked; joint replies have the names of all their models
    items=_LONG,  # requests, those in the store included
    cached=_LONG,  # requests that were in the store
    read_tokens=_LONG,  # for what was not; of joint replies, by all their models
    made_tokens=_LONG,  # written for what was not
    seconds=_FLOAT,  # of this, without loads
    loads=_LONG,
    load_seconds=_FLOAT,
)

MIXTURE = _schema(
    "mixture",
    3,
    student=_TEXT,
    task=_TEXT,
    uid=_TEXT,
    split=_TEXT,
    source=_TEXT,  # teach: an answer of the collaboration | self | best: of the best student | gold: the reference
    # | prompt: none, the student writes its own
    models=pa.list_(_TEXT),  # whose words it is; none for a reference
    score=_FLOAT,  # of the completion, under the study's rule set; null where it has none
    keys=pa.list_(_TEXT),  # of the replies that it rests on, in the generation store
    held_out=_BOOL,  # it is not learnt: its loss is measured before and after training
    prompt=_TEXT,
    completion=_TEXT,
)

EXAMPLES = _schema(
    "examples",
    2,
    uid=_TEXT,  # item that it comes from; empty where it comes from none
    source=_TEXT,  # what it is made of
    prompt=_TEXT,
    reply=_TEXT,
    rejected=_TEXT,
    prompt_tokens=_INT,
    reply_tokens=_INT,
    rejected_tokens=_INT,
    flag=_TEXT,  # ok | shortened | truncated | left out: the reply leaves no room for a prompt
    held_out=_BOOL,  # it was not learnt: its loss was measured before and after
)

CURVE = _schema(
    "curve",
    1,
    step=_INT,
    metric=_TEXT,
    value=_FLOAT,
)

_RESULT = {"kind": _TEXT, "pool": _TEXT, "name": _TEXT, "level": _TEXT}
"""What a result is of: `single` or `method`, its pool (empty for a single model), model or variant, and level.

Costs are of a `round` of the loop too: its pool, and its run for a name.
"""

ALL_SCORES = _schema(
    "all_scores",
    2,
    **_RESULT,
    task=_TEXT,
    seed=_INT,
    scorer=_TEXT,
    uid=_TEXT,
    answer=_INT,
    status=_TEXT,
    reason=_TEXT,
    score=_FLOAT,
    parsed=_TEXT,
    rule=_TEXT,
    details_json=_TEXT,
)

ALL_COSTS = _schema("all_costs", 1, **_RESULT, seed=_INT, **_kinds(COSTS))

ALL_REPLIES = _schema(
    "all_replies",
    2,
    **_RESULT,
    task=_TEXT,
    seed=_INT,
    replies=_LONG,  # read for test items, each counted once per reading
    cut=_LONG,  # of these, replies that reached the token limit
    answers=_LONG,  # items with a reply
    cut_answers=_LONG,  # of these, items that rest on a cut reply
    unread=_LONG,  # of these, items in which no answer was found
    cut_prompts=_LONG,  # prompts that lost their beginning
    short_prompts=_LONG,  # prompts in which others' answers and the like were shortened
    prompt_cut_tokens=_LONG,  # tokens that both left out
)

ALL_STUDENTS = _schema(
    "all_students",
    1,
    pool=_TEXT,  # that a round made; of round 0 the declared one
    name=_TEXT,  # run of the loop
    seed=_INT,
    task=_TEXT,
    model=_TEXT,
    held_out=_LONG,  # examples that were kept apart while it was trained; null where it was not, as in round 0
    loss_before=_FLOAT,  # on these, per token of their replies; null where there are none
    loss_after=_FLOAT,
    distance=_FLOAT,  # of its adapter from the others of the pool, as a mean; null where they cannot be compared
)

ALL_CURVES = _schema(
    "all_curves",
    1,
    pool=_TEXT,  # empty for a model that the study tunes itself
    name=_TEXT,  # method variant, run of the loop, or tuned model
    seed=_INT,  # null for a tuned model
    model=_TEXT,  # which of its models: the file's folder
    **_kinds(CURVE),
)

ALL_JOBS_PERF = _schema("all_jobs_perf", 1, name=_TEXT, level=_TEXT, part=_TEXT, **_kinds(JOB_PERF))
