"""Skeletons of methods, one per level: each works, passes the contract tests, and shows what its level mostly uses."""

_FILE = '''"""One line on what the method does."""

from collections.abc import Iterator

from moco.config.fields import identity
{imports}


@method("{id}", level="{level}", papers={papers})
class {cls}(Method):
    """One line that says what the method does with the pool.

    One paragraph on how.
{sections}    """

    class Params(MethodParams):
        """Settings of the method."""

{body}'''

_PAPER = """
    Papers:
        {paper} Title of this paper
"""
_DEVIATIONS = """
    Deviations:
        * What differs from the original, and why.
"""
_SECTIONS = """
    Cost:
        `{formula}` calls per item. What it reads, and what its fit costs.

    Records:
        {records}
"""
_FORMULAS = {"text": "1", "logit": "members"}
_RECORDS = {
    "api": "Per item the `member` that answers. Of the fit the `member` and all members' `dev_means`.",
    "weight": "Nothing per item. Of the fit the members' `weights`.",
}
_ALWAYS = ("Answer", "AnswerNeeds", "Method", "MethodParams", "Needs", "PoolInfo", "State", "method")

_CONTROL = '''\
        member: int = identity("Position of the member that answers.", 0, ge=0)

    def needs(self, pool: PoolInfo) -> Needs:
        """One plain response per member: its reply to the unmodified prompt, which all methods share."""
        return Needs(answer=AnswerNeeds(plain=1))

    def answer(self, ctx: AnswerContext, state: State) -> Iterator[Answer]:
        """Yield one answer per question."""
        member = ctx.pool[min(self.params.member, len(ctx.pool) - 1)]
        responses = ctx.plain(member.index)
        for question in ctx.questions:
            yield Answer(question.uid, responses[question.uid].text, models=(member.model,))
'''

_API = '''\
        default: int = identity("Position of the member that answers where dev says nothing.", 0, ge=0)

    def needs(self, pool: PoolInfo) -> Needs:
        """Scores of the members on dev, and one plain response per member, of which those named are asked for."""
        return Needs(fit=FitNeeds(dev_scores=True), answer=AnswerNeeds(plain=1, plain_mode="lazy"))

    def fit(self, ctx: FitContext) -> State:
        """Find the member that is best on dev."""
        scores = [list(ctx.dev_scores(member.index).values()) for member in ctx.pool]
        means = [sum(each) / len(each) if each else 0.0 for each in scores]
        best = means.index(max(means)) if any(scores) else min(self.params.default, len(ctx.pool) - 1)
        return State({"member": best, "dev_means": means})

    def answer(self, ctx: AnswerContext, state: State) -> Iterator[Answer]:
        """Route every question to a member, and answer with its plain response."""
        member = ctx.pool[state.data["member"]]
        responses = ctx.plain(member.index, items=[question.uid for question in ctx.questions])
        for question in ctx.questions:
            record = {"member": member.index}
            yield Answer(question.uid, responses[question.uid].text, models=(member.model,), record=record)
'''

_TEXT = '''\
        writer: int = identity("Position of the member that writes the final answer.", 0, ge=0)

    def needs(self, pool: PoolInfo) -> Needs:
        """One plain response per member, and requests of its own."""
        return Needs(answer=AnswerNeeds(plain=1, generates=True))

    def answer(self, ctx: AnswerContext, state: State) -> Iterator[Answer]:
        """Show all answers to one member: the requests for all questions are one round."""
        writer = ctx.pool[min(self.params.writer, len(ctx.pool) - 1)]
        plain = [ctx.plain(member.index) for member in ctx.pool]
        requests = []
        for question in ctx.questions:
            prompt = blocks.compose(
                blocks.instruction("Several assistants answered one question. Write the final answer."),
                blocks.question(question),
                *(blocks.candidate(number, each[question.uid].text) for number, each in enumerate(plain, 1)),
                blocks.answer_format(question.type),
            )
            requests.append(Request(writer.index, question.uid, prompt, "write"))
        for question, reply in zip(ctx.questions, ctx.generate(requests), strict=True):
            yield Answer(question.uid, reply.text, models=(writer.model,))
'''

_LOGIT = '''\
        purpose: str = identity("What tables call the writing.", "fuse")

    def needs(self, pool: PoolInfo) -> Needs:
        """Live models with one tokenizer."""
        return Needs(answer=AnswerNeeds(live=True), capabilities=frozenset({"logits"}), same=frozenset({"tokenizer"}))

    def answer(self, ctx: AnswerContext, state: State) -> Iterator[Answer]:
        """Let all members write every answer together; docs/joint-decoding.md says how to write another program."""
        live = ctx.live([member.index for member in ctx.pool])
        requests = [JointRequest(question.uid, question.prompt, self.params.purpose) for question in ctx.questions]
        models = tuple(dict.fromkeys(member.model for member in ctx.pool))
        for question, reply in zip(ctx.questions, live.run(mean_of_logits(len(ctx.pool)), requests), strict=True):
            yield Answer(question.uid, reply.text, models=models)
'''

_WEIGHT = '''\
        weight_sum: float = identity("What the weights of all members sum to.", 1.0)

    def needs(self, pool: PoolInfo) -> Needs:
        """Members whose weights have one shape; the fit makes one model, whose plain responses are the answers."""
        return Needs(
            fit=FitNeeds(splits=()),
            answer=AnswerNeeds(fitted_plain=1),
            capabilities=frozenset({"weights"}),
            same=frozenset({"architecture", "tokenizer"}),
            models=("merged",),
        )

    def fit(self, ctx: FitContext) -> State:
        """Write the recipe of the merged model; `ctx.candidates` scores several recipes on dev."""
        weights = (self.params.weight_sum / len(ctx.pool),) * len(ctx.pool)
        recipe = Recipe("linear", tuple(ctx.fingerprint(member.index) for member in ctx.pool), weights)
        return State({"weights": list(weights)}, models={"merged": recipe})

    def answer(self, ctx: AnswerContext, state: State) -> Iterator[Answer]:
        """Answer with the plain responses of the merged model."""
        responses = ctx.plain("merged")
        models = tuple(dict.fromkeys(member.model for member in ctx.pool))
        for question in ctx.questions:
            yield Answer(question.uid, responses[question.uid].text, models=models)
'''

_BODIES = {"api": _API, "text": _TEXT, "logit": _LOGIT, "weight": _WEIGHT, "control": _CONTROL}
_MORE = {"api": ("FitNeeds",), "text": ("Request",), "logit": ("JointRequest",), "weight": ("FitNeeds",), "control": ()}
_CONTEXTS = {level: "AnswerContext, FitContext" if level in ("api", "weight") else "AnswerContext" for level in _BODIES}
_BEFORE = {"logit": "from moco.decoding.fusion import mean_of_logits\n"}
_AFTER = {"text": "\nfrom moco.prompts import blocks", "weight": "\nfrom moco.models.recipes import Recipe"}


def skeleton(id: str, level: str, cls: str, paper: str | None) -> str:
    """Return the source of a method that works.

    Args:
        id: Of the method.
        level: Of the method.
        cls: Name of its class.
        paper: arXiv id of its source; None for a control.
    """
    names = ", ".join(sorted((*_ALWAYS, *_MORE[level]), key=lambda name: (name[0].islower(), name)))
    imports = (
        f"{_BEFORE.get(level, '')}from moco.methods.base import {names}\n"
        f"from moco.methods.context import {_CONTEXTS[level]}{_AFTER.get(level, '')}"
    )
    papers = f'("{paper}",)' if paper else "()"
    own = _SECTIONS.format(formula=_FORMULAS.get(level, "0"), records=_RECORDS.get(level, "Nothing."))
    sections = f"{_PAPER.format(paper=paper)}{own}{_DEVIATIONS}" if paper else own
    return _FILE.format(
        id=id, level=level, cls=cls, imports=imports, sections=sections, papers=papers, body=_BODIES[level]
    )
