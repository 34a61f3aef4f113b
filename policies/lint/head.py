"""Lints on the head of a policy file, and on what belongs to no part of it."""

from __future__ import annotations

from collections.abc import Iterator
from difflib import get_close_matches

from guard.registry import generators
from guard.types import CALLER, Modality, Stage
from policies.compare import measured
from policies.lint.registry import LINTS, Level, Note, lint
from policies.lint.subject import Subject, written
from policies.mistake import listed
from policies.source import Node
from policies.streams import stream_plan

_ACTIVE = ("shadow", "live")
_WILD = frozenset("*?[")


@lint(
    "no-owner",
    Level.ADVICE,
    "Nobody answers for the policy.",
    why="""Whoever has a question about a decision, or sees a mistake in a rule, needs to know whom to ask. `owner` names a team
    or a role.""",
)
def _no_owner(subject: Subject) -> Iterator[Note]:
    if not subject.policy.owner:
        yield Note(subject.head("policy"), "no owner", "`owner`: who answers for the policy")


@lint(
    "no-description",
    Level.ADVICE,
    "The policy does not say what it is for.",
    why="""With several policies side by side, a sentence says which one is meant for what. It is shown wherever policies are
    listed.""",
)
def _no_description(subject: Subject) -> Iterator[Note]:
    if not subject.policy.description:
        yield Note(subject.head("policy"), "no description", "`description`: what the policy is for")


@lint(
    "not-activatable",
    Level.ERROR,
    "A policy is to be activated whose status says that it is not in use.",
    why="""`draft` says that it is still being written, `deprecated` that another one took its place. Set `status: live`, or
    `shadow` to let it decide beside the live one, when it is ready. Reported with `--for-activation`.""",
)
def _not_activatable(subject: Subject) -> Iterator[Note]:
    if subject.activating and subject.policy.status not in _ACTIVE:
        yield Note(subject.head("status"), f"status {subject.policy.status!r} at an activation", "`live` or `shadow`")


@lint(
    "version-not-raised",
    Level.ERROR,
    "The policy decides otherwise than the version before, and its version did not count up.",
    why="""Decisions name the policy with its version, and people speak of versions, not of digests. Two revisions under one
    version cannot be told apart in a report. Reported with `--against FILE`.""",
)
def _version_not_raised(subject: Subject) -> Iterator[Note]:
    before, policy = subject.before, subject.policy
    if before is None or before.id != policy.id or before.revision == policy.revision or policy.version > before.version:
        return
    found = f"version {policy.version} of another revision than version {before.version} before it"
    yield Note(subject.head("version"), found, f"{before.version + 1} or more")


@lint(
    "other-policy",
    Level.WARNING,
    "The policy has another name than the version before.",
    why="""A policy keeps its name from version to version; under another one it is another policy, and stands beside the old
    one instead of replacing it. Reported with `--against FILE`.""",
)
def _other_policy(subject: Subject) -> Iterator[Note]:
    before = subject.before
    if before is not None and before.id != subject.policy.id:
        yield Note(subject.head("policy"), f"policy {subject.policy.id!r} after {before.id!r}", f"the name {before.id!r}")


@lint(
    "misspelt-generator",
    Level.WARNING,
    "A generator's name is nearly that of one that is installed.",
    why="""Names of generators are free, so a wrong one is no mistake of the file; but the policy or the rule then speaks for a
    generator that does not exist, and not for the one that was meant.""",
)
def _misspelt_generator(subject: Subject) -> Iterator[Note]:
    root, names = subject.loaded.root.entries, (*generators.names(), CALLER.generator)
    applies = root["applies_to"].node.entries if "applies_to" in root else {}
    nodes = [applies["generators"].node] if "generators" in applies else []
    for rule in subject.policy.rules:
        when = subject.rule_node(rule.id).entries["when"].node
        nodes += [entry.node for key, entry in written(when) if key == "generator"]
    for item in (one for node in nodes for one in _texts(node)):
        near = get_close_matches(item.value, names, n=1, cutoff=0.8)
        if item.value not in names and not _WILD & set(item.value) and near:
            yield Note(item.at, f"generator {item.value!r}, which is not installed", f"{near[0]!r}, which is, if it is meant")


def _texts(node: Node) -> list[Node]:
    return [one for one in node.items or [node] if isinstance(one.value, str)]


@lint(
    "unused-list",
    Level.WARNING,
    "A shared list is named nowhere.",
    why="""Its items decide nothing. Name it where it was meant, or take it out.""",
)
def _unused_list(subject: Subject) -> Iterator[Note]:
    for name, at in subject.loaded.unused:
        yield Note(at, f"list {name!r}, which nothing names", "a place that names it, or no such list")


@lint(
    "bare-allowance",
    Level.WARNING,
    "A comment allows a finding and does not say why, or names no lint.",
    why="""`# lint: allow NAME - reason` allows the findings of one lint, or of several with commas between, on its line or the
    next. Without a reason nothing is allowed: whoever reads the policy later has to be able to tell whether it still holds.""",
)
def _bare_allowance(subject: Subject) -> Iterator[Note]:
    for one in subject.allowances:
        unknown = [name for name in one.names if name not in LINTS]
        if not one.reason or not one.names:
            yield Note(one.at, "a comment that allows a finding without a reason", "`# lint: allow NAME - reason`")
        elif unknown:
            yield Note(one.at, f"unknown lint {listed(unknown)}", "names that `genguard policy lint --list` has")


@lint(
    "unused-allowance",
    Level.ADVICE,
    "A comment allows a finding that is not there.",
    why="""What it allowed was corrected, or it stands in the wrong line: it belongs on the line of the finding, at the
    beginning of the rule or check, or on a line of its own right above one of these.""",
)
def _unused_allowance(_: Subject) -> Iterator[Note]:
    yield from ()  # known only when all others are done: `policies.lint.run` says it


@lint(
    "previews-unread",
    Level.WARNING,
    "A rule may end images while they are made, and none of its checks reads previews.",
    why="""`previews` names rules that end a run when they fire on a preview. What a preview shows reaches a rule only through
    checks of images that run at the stage `chunk`. Add it to their `stages`, or take the rule out of `previews`.""",
)
def _previews_unread(subject: Subject) -> Iterator[Note]:
    named = subject.policy.previews.rules if subject.policy.previews else ()
    reads = {spec.name for spec in subject.policy.checks if spec.applies(Stage.CHUNK, Modality.IMAGE)}
    for rule in subject.policy.rules:
        if rule.id in named and reads.isdisjoint(one.check for one in measured(rule.when)):
            yield Note(
                subject.head("previews"),
                f"rule {rule.id!r} in `previews`, whose checks read no image at stage chunk",
                "a rule on checks of images that run there",
            )


@lint(
    "streams-buffered",
    Level.WARNING,
    "A policy asks for texts that leave while they are made, and they cannot.",
    why="""Nothing may leave that a run over the whole text would have cut. Some checks say of the beginning of a text what may
    change with every word that follows, and some rules ask for what is known at the end alone; then a text leaves when it is
    whole, whatever `stream` says. Ask with other checks or rules, or write `stream: buffer`.""",
)
def _streams_buffered(subject: Subject) -> Iterator[Note]:
    if "stream" in subject.loaded.root.entries:
        for why in stream_plan(subject.loaded).reasons:
            yield Note(
                subject.head("stream"),
                f"stream 'window', and {why}",
                "`stream: buffer`, or checks and rules that need not wait",
            )
