"""The one place that fixes the order of marks, puts them on, and reads all of them again from the file that leaves.

Pixels come first, because writing them again removes everything else: the watermark, then the label that people see. Metadata
leaves pixels alone. The C2PA manifest signs the whole file, so it is last: any byte written after it would make a sound
credential a tampered one. The order of keys in a policy has no influence.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from guard.errors import describe
from guard.marks.wording import label_lines
from guard.protocols import Marker
from guard.registry import markers
from guard.rules import MarkSpec
from guard.types import Content, Mark, Marking, Modality, Operator, Stage

ORDER = ("watermark", "text_watermark", "label", "aigc", "iptc", "c2pa")
"""Names of the markers, first to last. One that is not here, a third party's, comes before all of them."""


@dataclass(frozen=True, slots=True)
class Planned:
    """One line of a policy's marks with the marker that was built for it."""

    spec: MarkSpec
    marker: Marker
    labels: Collection[str] = ()
    """Lines that the policy's labels put into texts."""


def make(
    use: str,
    parameters: Mapping[str, Any],
    modality: Modality,
    operator: Operator | None = None,
    labels: Collection[str] = (),
) -> Marker:
    """Build a marker. `operator`: None while a policy is only being compiled. `labels`: lines that its labels put into texts.

    Raises RegistryError for an unknown name or parameter, SettingsError for something that the operator does not have.
    """
    private = {"_modality": modality, "_operator": operator, "_labels": labels}
    takes = inspect.signature(markers.factory(use)).parameters
    return markers.make(use, {**parameters, **{name: value for name, value in private.items() if name in takes}})


def plan(specs: Iterable[MarkSpec], operator: Operator, built: Iterable[Planned] = ()) -> tuple[Planned, ...]:
    """The markers of a policy, in the order in which they are put on. Raises as `make` does.

    `built`: those of other policies for the same operator, used where the line is the same.
    """
    known = tuple(built)
    ordered = sorted(specs, key=lambda spec: ORDER.index(spec.use) if spec.use in ORDER else -1)
    labels = label_lines(ordered)
    return tuple(
        next((one for one in known if (one.spec, one.labels) == (spec, labels)), None)
        or Planned(spec, make(spec.use, spec.parameters, spec.modality, operator, labels), labels)
        for spec in ordered
    )


def put_on(
    planned: Iterable[Planned],
    content: Content,
    marking: Marking,
    load: Callable[[Marker], None],
    *,
    labelled: bool = False,
) -> tuple[Content, tuple[Mark, ...]]:
    """Put all marks on an output, then read each again from the final file. Contents of other stages stay as they are.

    A mark that fails, or that a later one destroyed, comes back with `verified` false and the reason: nothing is raised. `load`
    prepares a marker before its first use. `labelled`: whether a rule asked for the label, without which marks
    that are `only_labelled` stay off.
    """
    if content.stage is not Stage.OUTPUT:
        return content, ()
    done: list[tuple[Planned, Mark, Content]] = []
    for one in planned:
        if content.modality is one.marker.modality and (labelled or not one.spec.only_labelled):
            content, mark = _put_on(one, content, marking, load)
            done.append((one, mark, content))
    return content, tuple(mark if after is content else _again(one, mark, content) for one, mark, after in done)


def _put_on(one: Planned, content: Content, marking: Marking, load: Callable[[Marker], None]) -> tuple[Content, Mark]:
    use = one.spec.use
    try:
        load(one.marker)
        marked, mark = one.marker(content, marking)
        kept = (marked.modality, marked.stage, marked.request) == (content.modality, content.stage, content.request)
        fits = kept and isinstance(mark, Mark)
    except Exception as error:  # noqa: BLE001 - recorded as a mark that is not there; `on_unmarkable` decides
        return content, Mark(use, "", "", verified=False, error=describe(error))
    if not fits:
        return content, Mark(use, "", "", verified=False, error="the marker gave back another content or no mark")
    return marked, mark


def _again(one: Planned, mark: Mark, content: Content) -> Mark:
    """The mark as it is in the final file."""
    if not mark.verified:
        return mark
    try:
        why = one.marker.reread(content, mark)
    except Exception as error:  # noqa: BLE001 - what cannot be read is not there
        why = describe(error)
    return replace(mark, verified=False, error=f"lost to a later mark: {why}") if why else mark
