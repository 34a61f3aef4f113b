"""Text from causal language models of `transformers`: a folder, a hub name, or the bundled service agent.

Safetensors only, no code from the folder. A tokenizer with a chat template gets the prompt as one message of the user;
without one the model continues the prompt as it stands.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from generators.base import MAX_SEED, Once, Worker, choose_device, limited, origin, output_seeds, parse
from generators.sampling import Batch, Settings
from guard.errors import GenguardError, InputError, ModelError, ParameterError, TooLargeError
from guard.models import ModelFiles
from guard.models.pretrained import find, quiet
from guard.protocols import Generator, TokenMark
from guard.registry import generators
from guard.types import Content, Modality, Stage

MAX_STOPS = 16
_UNLIMITED = 1 << 30


@dataclass(frozen=True, slots=True)
class LanguageParameters:
    """What a caller may ask of a language model."""

    seed: int | None = limited(None, 0, MAX_SEED)
    n: int = limited(1, 1, 16)
    """Outputs a prompt."""
    max_new_tokens: int = limited(128, 1, 8192)
    """Tokens of one output at most; fewer when the model's context ends."""
    temperature: float = limited(0.8, 0.0, 2.0)
    top_p: float = limited(0.95, 0.0, 1.0)
    top_k: int = limited(0, 0, 1_000_000)
    repetition_penalty: float = limited(1.0, 1.0, 2.0)
    stop: tuple[str, ...] = ()
    """An output ends before the first of these."""

    @property
    def settings(self) -> Settings:
        """What of it concerns the choice of a token."""
        return Settings(self.temperature, self.top_p, self.top_k, self.repetition_penalty)


class LanguageGenerator:
    """One causal language model as a generator."""

    modality = Modality.TEXT

    def __init__(self, model: str, *, device: str, name: str, batch: int, revision: str | None) -> None:
        """See `language`."""
        if batch < 1:
            raise ParameterError(f"{name}: found batch {batch}, expected at least 1")
        self.name = name
        self.model = model
        self._batch = batch
        self._worker = Worker(name)
        self._loaded = Once(lambda: _load(model, device, revision))

    def load(self) -> None:
        """Load the model. Raises ModelError when it is not there, was changed, or is no causal language model."""
        self._loaded.get()

    def __call__(self, prompts: Sequence[Content], parameters: Mapping[str, Any], /) -> AsyncIterator[tuple[int, Content]]:
        """Yield outputs in the order in which they end, batch by batch.

        Raises ParameterError at once; InputError for an empty prompt and TooLargeError for one that fills the model's context,
        before anything is generated.
        """
        return self.marked(prompts, parameters, ())

    def marked(
        self, prompts: Sequence[Content], parameters: Mapping[str, Any], marks: Sequence[TokenMark | None], /
    ) -> AsyncIterator[tuple[int, Content]]:
        """The same with a watermark, or None, for the outputs of each prompt; at temperature 0 there is no choice to mark."""
        asked = parse(LanguageParameters, parameters, generator=self.name)
        if len(asked.stop) > MAX_STOPS or not all(asked.stop):
            found = f"{len(asked.stop)} sequences" if len(asked.stop) > MAX_STOPS else "an empty sequence"
            raise ParameterError(f"{self.name}: parameter 'stop': found {found}, expected up to {MAX_STOPS} that are not empty")
        each = list(marks) or [None] * len(prompts)
        return self._worker.stream(lambda: self._generate(prompts, asked, each))

    def tokens(self, text: str, /) -> Sequence[int]:
        """Token ids of an output as a reader finds them, without special ones. Raises as `load`."""
        return self._loaded.get().tokens(text)

    def _generate(
        self, prompts: Sequence[Content], asked: LanguageParameters, marks: Sequence[TokenMark | None]
    ) -> Iterator[tuple[int, Content]]:
        loaded = self._loaded.get()
        encoded = [loaded.encode(prompt, f"{self.name}: prompt {index}") for index, prompt in enumerate(prompts)]
        outputs = output_seeds(len(prompts), asked.n, asked.seed)
        recorded = asdict(asked) | {"n": None, "stop": json.dumps(asked.stop) if asked.stop else None}
        for start in range(0, len(outputs), self._batch):
            asking = outputs[start : start + self._batch]
            batch = Batch(
                loaded.model,
                [encoded[index] for index, _ in asking],
                seeds=[seed for _, seed in asking],
                limits=[min(asked.max_new_tokens, loaded.room(encoded[index])) for index, _ in asking],
                settings=asked.settings,
                marks=[marks[index] for index, _ in asking],
            )
            for row, tokens in batch.run(loaded.ends, lambda tokens: loaded.stopped(tokens, asked.stop)):
                index, seed = asking[row]
                mark = marks[index]
                named = recorded | ({"text_watermark": mark.method} if mark and asked.temperature > 0 else {})
                source = origin(self.name, model=loaded.files.name, digest=loaded.files.digest, parameters=named, seed=seed)
                text = loaded.decode(tokens, asked.stop)
                yield index, Content(Modality.TEXT, text, "text/plain", Stage.OUTPUT, source, prompts[index].request)


@dataclass(frozen=True, slots=True)
class _Loaded:
    """A model on its device with its tokenizer."""

    model: Any
    tokenizer: Any
    files: ModelFiles
    ends: frozenset[int]
    """Tokens that end an output."""
    context: int | None
    """Tokens of prompt and output together; None: without a limit."""

    def encode(self, prompt: Content, where: str) -> list[int]:
        """Token ids of a prompt. Raises InputError or TooLargeError; `where` names the prompt."""
        if prompt.modality is not Modality.TEXT:
            raise InputError(f"{where}: found {prompt.modality.value}, expected text")
        if not prompt.text.strip():
            raise InputError(f"{where}: found an empty text, expected at least one character")
        try:
            prompt.text.encode()
        except UnicodeEncodeError as error:
            raise InputError(f"{where}: found an unpaired surrogate at {error.start}, expected Unicode text") from None
        text, chat = prompt.text, self.tokenizer.chat_template is not None
        if chat:
            message = [{"role": "user", "content": text}]
            text = self.tokenizer.apply_chat_template(message, tokenize=False, add_generation_prompt=True)
        ids = [int(token) for token in self.tokenizer(text, add_special_tokens=not chat, verbose=False)["input_ids"]]
        if self.context is not None and len(ids) >= self.context:
            raise TooLargeError(
                f"{where}: found {len(ids)} tokens, expected at most {self.context - 1}",
                advice="Shorten the prompt, or use a model with a longer context.",
            )
        if not ids:
            raise InputError(f"{where}: found a text without any token, expected at least one")
        return ids

    def tokens(self, text: str) -> list[int]:
        """Token ids of a text as it stands."""
        ids = self.tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]
        return [int(token) for token in ids]

    def room(self, ids: Sequence[int]) -> int:
        """Tokens that still fit behind a prompt."""
        return _UNLIMITED if self.context is None else self.context - len(ids)

    def stopped(self, tokens: Sequence[int], stop: Sequence[str]) -> bool:
        """Whether a stop sequence has just been completed."""
        if not stop:
            return False
        # A token is at least one byte, and a few more cover what a decoder drops at the edge: no need to decode it all.
        reach = max(len(sequence.encode()) for sequence in stop) + 8
        tail = self.tokenizer.decode(list(tokens[-reach:]), skip_special_tokens=True)
        return any(sequence in tail for sequence in stop)

    def decode(self, tokens: Sequence[int], stop: Sequence[str]) -> str:
        """Text of an output, up to the first stop sequence; a chat's reply without the spaces around it."""
        text = str(self.tokenizer.decode(list(tokens), skip_special_tokens=True))
        text = text[: min((at for at in map(text.find, stop) if at >= 0), default=len(text))]
        return text.strip() if self.tokenizer.chat_template is not None else text


def _load(model: str, device: str, revision: str | None) -> _Loaded:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    where = choose_device(device)
    advice = "Expected a folder or hub repository of a causal language model, with config.json, tokenizer and safetensors."
    try:
        files = find(model, revision)
        tokenizer = AutoTokenizer.from_pretrained(files.path, local_files_only=True, trust_remote_code=False)
        with quiet():
            loaded, report = AutoModelForCausalLM.from_pretrained(
                files.path,
                dtype=torch.bfloat16 if where.type == "cuda" else torch.float32,
                use_safetensors=True,
                local_files_only=True,
                trust_remote_code=False,  # left out, transformers asks whoever sits at the terminal
                output_loading_info=True,
            )
        loaded = loaded.to(where).eval().requires_grad_(False)
    except GenguardError:
        raise
    except Exception as error:
        raise ModelError(
            f"{model}: not loaded as a causal language model: {type(error).__name__}: {error}", advice=advice
        ) from error
    wrong = sorted(map(str, {*report["missing_keys"], *report["mismatched_keys"]}))
    if wrong:
        # They would be left random, and said nothing about.
        raise ModelError(f"{model}: {len(wrong)} weights are missing or of another shape, first {wrong[0]!r}", advice=advice)
    size = loaded.config.get_text_config().vocab_size
    if len(tokenizer) > size:
        raise ModelError(f"{model}: the tokenizer has {len(tokenizer)} tokens, the model {size}", advice=advice)
    return _Loaded(loaded, tokenizer, files, _ends(loaded, tokenizer), _context(loaded, tokenizer))


def _ends(model: Any, tokenizer: Any) -> frozenset[int]:
    configured = model.generation_config.eos_token_id
    ends = configured if isinstance(configured, (list, tuple)) else [configured]
    return frozenset(int(token) for token in (*ends, tokenizer.eos_token_id) if token is not None)


def _context(model: Any, tokenizer: Any) -> int | None:
    limits = (getattr(model.config.get_text_config(), "max_position_embeddings", None), tokenizer.model_max_length)
    # Tokenizers without a limit carry a number of thirty digits.
    return min((int(limit) for limit in limits if limit and limit < _UNLIMITED), default=None)


@generators.register("language")
def language(
    *,
    model: str = "bundled/language-service",
    device: str = "auto",
    name: str = "language",
    batch: int = 32,
    revision: str | None = None,
) -> Generator:
    """Text from a causal language model, in bfloat16 on CUDA and float32 on a CPU.

    `model`: `bundled/NAME`, a folder, or a hub name `owner/name` (downloaded on first use; `revision` pins it). `batch`:
    outputs generated side by side.
    """
    return LanguageGenerator(model, device=device, name=name, batch=batch, revision=revision)
