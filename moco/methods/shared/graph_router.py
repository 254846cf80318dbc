"""A graph network that predicts which model answers a question best.

Questions and models are nodes, and an edge says how a model did on a question. Models gather messages over visible
edges; questions gather nothing, so a question's scores depend on no other new question (GraphRouter, arXiv 2410.03834).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

Array = NDArray[Any]
FEATURES = 2  # of an edge: effect and cost
_LAYERS = 2
_LOSS_DIGITS = 2  # of what counts as a gain


@dataclass(frozen=True)
class Edges:
    """What is known of every question and model, questions in rows and models in columns.

    Attributes:
        effect: Scores, scaled to [0, 1].
        cost: Cost of the replies, scaled to [0, 1].
        labels: Share of each model in being the best of its row; rows sum to 1.
    """

    effect: Array
    cost: Array
    labels: Array

    def of(self, rows: Sequence[int]) -> "Edges":
        """Return the edges of some questions."""
        return Edges(self.effect[rows], self.cost[rows], self.labels[rows])

    @property
    def features(self) -> torch.Tensor:
        """Features of all edges: questions by models by `FEATURES`."""
        return torch.tensor(np.stack([self.effect, self.cost], axis=-1))


class GraphRouter(nn.Module):  # type: ignore[misc]
    """Scores of questions and models.

    A question's state is a projection of its text's vector, a model's first state one of its description's vector. In
    each of two layers a model adds the mean of ReLU(W q + U e) over its visible edges e to questions q, and is
    normalised. The score is the mean of the product of both states, over their dimensions.

    Args:
        size: Of the texts' vectors.
        width: Of the states.
        seed: Of the first weights.
    """

    def __init__(self, size: int, width: int, seed: int) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.question = nn.Linear(size, width)
            self.model = nn.Linear(size, width)
            self.message = nn.ModuleList(nn.Linear(width, width) for _ in range(_LAYERS))
            self.edge = nn.ModuleList(nn.Linear(FEATURES, width, bias=False) for _ in range(_LAYERS))
            self.norm = nn.ModuleList(nn.LayerNorm(width) for _ in range(_LAYERS))
        self.double()

    def models(
        self, descriptions: torch.Tensor, questions: torch.Tensor, features: torch.Tensor, visible: torch.Tensor
    ) -> torch.Tensor:
        """Return the models' final states under several masks: masks by models by width.

        Args:
            descriptions: Vectors, models by size.
            questions: Vectors of the questions behind the edges, questions by size.
            features: Of all edges, questions by models by features.
            visible: Which edges carry messages, masks by questions by models.
        """
        asked, state = self.question(questions), self.model(descriptions)
        weights = visible / visible.sum(1, keepdim=True).clamp(min=1)
        for layer, (message, edge, norm) in enumerate(zip(self.message, self.edge, self.norm, strict=True)):
            sent = torch.relu(message(asked).unsqueeze(1) + edge(features))
            state = norm(state + torch.einsum("kqm,qmw->kmw", weights, sent))
            state = torch.relu(state) if layer == 0 else state
        return state

    def scores(self, questions: torch.Tensor, models: torch.Tensor) -> torch.Tensor:
        """Return logits, masks by questions by models."""
        return self.question(questions) @ models.mT / models.shape[-1]


@dataclass(frozen=True)
class Schedule:
    """How long and how fast a router learns."""

    epochs: int
    patience: int
    masks: int
    visible: float
    learning_rate: float
    weight_decay: float


def train_router(
    questions: Array,
    descriptions: Array,
    edges: Edges,
    held_out: Sequence[int],
    schedule: Schedule,
    *,
    width: int,
    rng: Callable[[str, str], np.random.Generator],
) -> tuple[dict[str, Array], dict[str, Any]]:
    """Return what routes, and how well it did on held-out questions.

    Every epoch is one step of AdamW on the mean loss over several masks; each mask shows some edges of the training
    questions and predicts the others. The state of the best epoch is kept: by utility on held-out questions, then loss.

    Args:
        questions: Vectors of dev questions, questions by size.
        descriptions: Vectors of the models' descriptions.
        edges: Of these questions and models.
        held_out: Rows that validate.
        schedule: Of training.
        width: Of the states.
        rng: Named generators, by purpose and item.

    Returns:
        Arrays `weight` and `bias` of the questions' projection and `models`, the models' final states over all training
        edges; and a record of validation.
    """
    torch.set_num_threads(1)
    training = sorted(set(range(len(questions))) - set(held_out))
    router = GraphRouter(questions.shape[1], width, int(rng("first weights", "router").integers(2**63)))
    optimiser = torch.optim.AdamW(router.parameters(), lr=schedule.learning_rate, weight_decay=schedule.weight_decay)
    known, checked = edges.of(training), edges.of(held_out)
    asked, check = (torch.tensor(questions[rows], dtype=torch.float64) for rows in (training, held_out))
    named = torch.tensor(descriptions, dtype=torch.float64)
    features, labels = known.features, torch.tensor(known.labels)
    everything = torch.ones(1, *labels.shape, dtype=torch.float64)
    best: tuple[float, float] = (-np.inf, -np.inf)
    found: dict[str, Array] = {}
    record: dict[str, Any] = {}
    since = 0
    for epoch in range(schedule.epochs):
        visible = masks(rng("mask", str(epoch)), labels.shape, schedule)
        models = router.models(named, asked, features, visible)
        optimiser.zero_grad()
        _loss(router.scores(asked, models), labels, 1 - visible).backward()
        optimiser.step()
        with torch.inference_mode():
            models = router.models(named, asked, features, everything)
            logits = router.scores(check, models)
            loss = float(_loss(logits, torch.tensor(checked.labels), torch.ones_like(logits)))
            reached = (routed_share(logits[0].numpy(), checked.labels), -round(loss, _LOSS_DIGITS))
            if reached > best:
                best, since = reached, 0
                found = {
                    "weight": router.question.weight.numpy().copy(),
                    "bias": router.question.bias.numpy().copy(),
                    "models": models[0].numpy().copy(),
                }
                record = {"epoch": epoch, "held_out_share": reached[0], "held_out_loss": loss}
            else:
                since += 1
        if since >= schedule.patience:
            break
    return found, record


def masks(rng: np.random.Generator, shape: Sequence[int], schedule: Schedule) -> torch.Tensor:
    """Return which training edges are visible in each of an epoch's masks, masks first; the others are predicted."""
    return torch.tensor(rng.random((schedule.masks, *shape)) < schedule.visible, dtype=torch.float64)


def _loss(logits: torch.Tensor, labels: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """Return the mean over masks of the mean cross-entropy of the edges that each predicts."""
    losses = nn.functional.binary_cross_entropy_with_logits(logits, labels.expand_as(logits), reduction="none")
    return ((losses * weights).sum((1, 2)) / weights.sum((1, 2)).clamp(min=1)).mean()


def routed_share(logits: Array, labels: Array) -> float:
    """Return how often the model that is routed to is among the best of its row."""
    if not len(labels):
        return 0.0
    chosen = logits.argmax(1)
    return fmean(float(row[place] > 0) for row, place in zip(labels, chosen, strict=True))
