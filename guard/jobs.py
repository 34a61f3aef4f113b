"""Contents on their way through a guard, and what goes along with them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from guard.bench import Bench, Seat
from guard.chain import context_for
from guard.errors import InputError
from guard.protocols import Generator, SamplingMarker, TokenGenerator, TokenMark
from guard.shadowing import Shadowing
from guard.types import CheckResult, Content, Context, Receipt, Request, Stage


@dataclass(slots=True)
class Job:
    """One content on its way from admission to its decision."""

    content: Content | None
    context: Context
    request: Request
    parent: Receipt | None
    """Of the prompt's decision."""
    seat: Seat | None
    error: InputError | None = None
    results: tuple[CheckResult, ...] = ()
    beside: list[Shadowing] = field(default_factory=list)


def begin(bench: Bench, judge: Seat, jobs: Sequence[Job]) -> dict[Seat, Shadowing]:
    """Let those in shadow measure, beside the judge, what they would judge of these."""
    begun: dict[Seat, Shadowing] = {}
    for job in jobs:
        for seat in bench.shadows(job.context, job.request):
            job.beside.append(begun.setdefault(seat, Shadowing(seat, judge.chain)))
            job.beside[-1].add(job)
    for one in begun.values():
        one.begin()
    return begun


def sampling(bench: Bench, generator: Generator, prompt: Content) -> TokenMark | None:
    """The mark that goes into outputs while they are made: of the policy that will judge them."""
    if not isinstance(generator, TokenGenerator):
        return None
    context = context_for(prompt.request, Stage.OUTPUT, generator.modality, generator.name)
    seat = bench.seat(context, prompt.request)
    markers = (one.marker for one in seat.marks) if seat else ()
    found = (one for one in markers if isinstance(one, SamplingMarker) and one.modality is generator.modality)
    return next((one.sampling(generator) for one in found), None)
