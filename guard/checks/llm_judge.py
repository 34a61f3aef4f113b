"""A language model as a judge, in Llama Guard's format: at an OpenAI-compatible endpoint, or on this machine.

The judge answers `safe`, or `unsafe` and the codes of categories. An answer of any other form is a failure, never `safe`. The
score is how much likelier `unsafe` was than `safe`, where the judge tells, and 1000 where it does not.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from guard.checks import samples
from guard.checks.judge_format import Given, Hazard, hazards, messages, read, score
from guard.endpoint import Endpoint, number
from guard.errors import EndpointError, RegistryError
from guard.models.judge import MAX_ANSWER_TOKENS, TOPS, Answer, LocalJudge
from guard.protocols import Check
from guard.registry import checks
from guard.traits import Places, Traits
from guard.types import Content, Examples, Finding, Modality, Scan, Span

_CODE_VERSION = "1"
Prompt = Literal["written", "template"]


@checks.register("llm_judge")
def llm_judge(
    *,
    model: str,
    base_url: str | None = None,
    api_key_env: str | None = None,
    categories: Given | None = None,
    prompt: Prompt = "written",
    logprobs: bool = True,
    timeout_ms: int = 1500,
    retries: int = 1,
    revision: str | None = None,
    device: str = "auto",
) -> Check:
    """The check; raises RegistryError for a parameter out of range, or one that has no meaning where the judge runs.

    `model`: a name that the endpoint at `base_url` (up to and with `/v1`) knows; without `base_url` a folder, `bundled/NAME` or
    a hub name, run on this machine (`device`, `revision`). `categories`: what is unsafe, by code (`guard.checks.judge_format`);
    Llama Guard's fourteen by default. `prompt`: `written`, with the task in the message, for any chat model; `template` for a
    model whose own chat template writes the task, as Llama Guard's does. `logprobs`: ask the endpoint for probabilities.
    `api_key_env`, `timeout_ms`, `retries`: as of `moderation_endpoint`.
    """
    known = hazards(categories)
    options = {"categories": {one.code: one.stated for one in known.values()}} if categories is not None else {}
    settings = _Settings(known, written=prompt == "written", options={} if prompt == "written" else options)
    if base_url is None:
        if api_key_env is not None:
            raise RegistryError("found api_key_env without base_url, expected it with the endpoint that it opens")
        return ModelJudge(LocalJudge(model, device=device, revision=revision), settings)
    if revision is not None:
        raise RegistryError("found revision with base_url, expected it for a model on this machine only")
    endpoint = Endpoint(base_url, "/chat/completions", api_key_env=api_key_env, timeout_ms=timeout_ms, retries=retries)
    return EndpointJudge(endpoint, model, settings, logprobs=logprobs)


class _Settings:
    """What is asked of a judge, wherever it runs."""

    def __init__(self, known: Mapping[str, Hazard], *, written: bool, options: Mapping[str, Any]) -> None:
        self.known, self.written, self.options = dict(known), written, dict(options)
        self.labels = {one.code: one.category for one in known.values()}

    def messages(self, content: Content, text: str) -> list[dict[str, str]]:
        return messages(text, content.stage, self.known.values(), written=self.written)

    def scan(self, content: Content, answer: Answer) -> Scan:
        """What an answer finds in a content. Raises ModelError for one of another form."""
        place, per_mille = Span(0, content.length), score(answer)
        return Scan(
            tuple(
                Finding(
                    self.labels[code],
                    code,
                    per_mille,
                    place,
                    reason=f"judged unsafe with {per_mille} per mille: {code} {self.known[code].name}",
                )
                for code in read(answer.reply, self.known)
            ),
            place,
        )


class EndpointJudge:
    """Asks an OpenAI-compatible endpoint, one request a content."""

    modalities = frozenset({Modality.TEXT})
    blocking = False
    digest = ""

    def __init__(self, endpoint: Endpoint, model: str, settings: _Settings, *, logprobs: bool) -> None:
        """Parameters as of the factory `llm_judge`."""
        self._endpoint, self._model, self._settings, self._logprobs = endpoint, model, settings, logprobs
        self.labels: Mapping[str, str] = settings.labels
        self.version = f"{model}, code {_CODE_VERSION}"

    @property
    def examples(self) -> Examples:
        """What any judge should call unsafe, and safe."""
        return samples.examples()

    @property
    def traits(self) -> Traits:
        """The judge answers for a content as a whole."""
        return Traits(Places.WHOLE, endpoints=(self._endpoint.url,))

    def load(self) -> None:
        """Read the key. Raises EndpointError when its variable is not set. Nothing is sent."""
        self._endpoint.load()

    async def __call__(self, batch: Sequence[Content], /) -> list[Scan]:
        """One Scan a content. Raises EndpointError without an answer in time, ModelError for one of another form."""
        asked = [content for content in batch if content.text.strip()]
        answers = await self._endpoint.ask_all([(self._body(content), _answer) for content in asked])
        found = {id(content): self._settings.scan(content, one) for content, one in zip(asked, answers, strict=True)}
        return [found.get(id(content)) or Scan((), Span(0, content.length)) for content in batch]

    def _body(self, content: Content) -> dict[str, Any]:
        settings = self._settings
        body: dict[str, Any] = {
            "model": self._model,
            "messages": settings.messages(content, content.text),
            "temperature": 0,
            "max_tokens": MAX_ANSWER_TOKENS,
        }
        if self._logprobs:
            body |= {"logprobs": True, "top_logprobs": TOPS}
        if settings.options:
            body["chat_template_kwargs"] = settings.options
        return body


class ModelJudge:
    """Asks a model on this machine, one content after another."""

    modalities = frozenset({Modality.TEXT})
    blocking = True

    def __init__(self, judge: LocalJudge, settings: _Settings) -> None:
        """Parameters as of the factory `llm_judge`."""
        self._judge, self._settings = judge, settings
        self.labels: Mapping[str, str] = settings.labels
        self.version = f"unversioned, code {_CODE_VERSION}"
        self.digest = ""

    @property
    def examples(self) -> Examples:
        """What any judge should call unsafe, and safe."""
        return samples.examples()

    @property
    def traits(self) -> Traits:
        """The judge answers for a content as a whole."""
        return Traits(Places.WHOLE, hub=self._judge.hub)

    def load(self) -> None:
        """Load the model. Raises ModelError when it is missing, incomplete or no chat model."""
        version, self.digest = self._judge.load()
        self.version = f"{version}, code {_CODE_VERSION}"

    def __call__(self, batch: Sequence[Content], /) -> list[Scan]:
        """One Scan a content. Raises ModelError for an answer of another form, and for a content that is too long."""
        return [self._scan(content) if content.text.strip() else Scan((), Span(0, content.length)) for content in batch]

    def _scan(self, content: Content) -> Scan:
        asked = self._settings.messages(content, self._judge.neutral(content.text))
        return self._settings.scan(content, self._judge.answer(asked, self._settings.options))


def _answer(answer: Any) -> Answer:
    """The judge's answer in a chat completion. Raises EndpointError for one that is cut off, withheld or none."""
    (choice,) = answer["choices"]
    if choice.get("finish_reason") not in {"stop", None}:
        raise EndpointError("found an answer that was cut off or withheld, expected a whole one")
    reply, told = choice["message"]["content"], choice.get("logprobs") or {}
    if not isinstance(reply, str):
        raise EndpointError(f"found {type(reply).__name__} as the answer, expected text")
    return Answer(reply, [_tops(one) for one in told.get("content") or ()])


def _tops(token: Mapping[str, Any]) -> list[tuple[str, float]]:
    """The token that was said, first, and the others that were likely."""
    listed = {str(one["token"]): number(one["logprob"], "a logarithm") for one in [token, *(token.get("top_logprobs") or ())]}
    return list(listed.items())
