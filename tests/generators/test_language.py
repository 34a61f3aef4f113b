"""The language generator: seeds, batches, stops, refusals, and models in transformers' own format."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from generators.language import LanguageGenerator, language
from generators.sampling import Batch, Order, Settings, choose, uniform_draws
from guard.chain import Chain
from guard.errors import GenerationError, InputError, ModelError, ParameterError, TooLargeError
from guard.marks.text_watermark import read_text_watermark
from guard.marks.token_marks import METHODS, Method, TokenWatermark, Verdict
from guard.models import BUNDLED
from guard.pipeline import Guard
from guard.protocols import TokenMark
from guard.rules import MarkSpec
from guard.types import CALLER, Action, Content, Modality, Operator, Request, Span, Stage, Turn
from tests.fakes import FakeCheck, MemoryLedger, policy, spec, word_policy
from tests.tiny_models import CONTEXT, LANGUAGE_MODELS, save_model, save_tokenizer

PROMPTS = ("a", "Hello, how are you today?", "x" * 40, "好。", "two\nlines of it")
SERVICE = BUNDLED / "language-service"
ABUSE = re.compile(
    r"\b(?:idiot|moron|loser|fool|clown|jerk|liar|crybaby|garbage|trash|scumbag|parasite|bastard|too stupid|shut up|hate you"
    r"|hurt you|kill you|beat you|smash your|break your|make you suffer|coming for you)\b"
)
"""Words of the grammar that the bundled model was trained on."""
TEMPLATE = (
    "{% for m in messages %}[{{ m['role'] }}] {{ m['content'] }}{% endfor %}{% if add_generation_prompt %} [reply]{% endif %}"
)


def prompt(text: str) -> Content:
    return Content(Modality.TEXT, text, "text/plain", Stage.PROMPT, CALLER, Request(f"r-{len(text)}"))


def conversation(*turns: tuple[str, str]) -> Content:
    """One judged text, with the parts that are turns."""
    said, parts = "", []
    for role, words in turns:
        said += f"{role}: "
        parts.append(Turn(role, Span(len(said), len(said) + len(words))))
        said += f"{words}\n"
    return replace(prompt(said), turns=tuple(parts))


def collect(generator: Any, texts: Sequence[str], **parameters: Any) -> list[tuple[int, Content]]:
    async def gather() -> list[tuple[int, Content]]:
        return [output async for output in generator(list(map(prompt, texts)), parameters)]

    return sorted(asyncio.run(gather()), key=lambda output: output[0])


def replies(generator: Any, texts: Sequence[str] = PROMPTS, **parameters: Any) -> list[str]:
    return [content.text for _, content in collect(generator, texts, **parameters)]


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    made = {}
    for architecture in LANGUAGE_MODELS:
        made[architecture] = tmp_path_factory.mktemp(architecture)
        save_model(made[architecture], architecture)
        save_tokenizer(made[architecture])
    return made


@pytest.fixture(scope="module", params=LANGUAGE_MODELS)
def tiny(request: pytest.FixtureRequest, folders: dict[str, Path]) -> Any:
    return language(model=str(folders[request.param]), device="cpu", name="tiny")


@pytest.fixture(scope="module")
def service() -> Any:
    return language(device="cpu")


def test_the_same_seed_gives_the_same_outputs_twice(tiny: LanguageGenerator) -> None:
    """Every draw comes from the seed."""
    assert replies(tiny, seed=3, max_new_tokens=12) == replies(tiny, seed=3, max_new_tokens=12)


def test_another_seed_gives_other_outputs(tiny: LanguageGenerator) -> None:
    """So does no seed at all."""
    first = replies(tiny, seed=3, max_new_tokens=12)
    assert first != replies(tiny, seed=4, max_new_tokens=12)
    assert replies(tiny, max_new_tokens=12) != replies(tiny, max_new_tokens=12)


def test_an_output_does_not_depend_on_its_neighbours(tiny: LanguageGenerator) -> None:
    """Alone, with the seed that was recorded for it, each prompt gets the reply it got in the batch."""
    together = collect(tiny, PROMPTS, seed=11, max_new_tokens=12, temperature=1.0, top_p=0.9, repetition_penalty=1.2)
    for index, content in together:
        settings = dict(content.origin.parameters)
        assert settings["seed"] == str(11 + index)
        alone = replies(
            tiny,
            [PROMPTS[index]],
            seed=int(settings["seed"]),
            max_new_tokens=int(settings["max_new_tokens"]),
            temperature=float(settings["temperature"]),
            top_p=float(settings["top_p"]),
            repetition_penalty=float(settings["repetition_penalty"]),
        )
        assert alone == [content.text]


def test_the_batch_size_changes_nothing(folders: dict[str, Path], tiny: LanguageGenerator) -> None:
    """Two side by side or all at once: the same outputs."""
    by_two = language(model=tiny.model, device="cpu", name="tiny", batch=2)
    assert replies(by_two, seed=5, n=2, max_new_tokens=10) == replies(tiny, seed=5, n=2, max_new_tokens=10)


def test_calls_that_come_together_do_not_mix(folders: dict[str, Path], tiny: LanguageGenerator) -> None:
    """Two calls take turns on one model and get what each would get alone."""

    async def one(seed: int) -> list[str]:
        contents = [prompt(text) for text in PROMPTS]
        outputs = [output async for output in tiny(contents, {"seed": seed, "max_new_tokens": 10})]
        return [content.text for _, content in sorted(outputs, key=lambda output: output[0])]

    async def both() -> list[list[str]]:
        return await asyncio.gather(one(1), one(2))

    assert asyncio.run(both()) == [replies(tiny, seed=1, max_new_tokens=10), replies(tiny, seed=2, max_new_tokens=10)]


def test_n_gives_that_many_different_outputs_a_prompt(tiny: LanguageGenerator) -> None:
    """Each names its prompt and has a seed of its own."""
    outputs = collect(tiny, PROMPTS[:2], n=3, seed=1, max_new_tokens=12)
    assert [index for index, _ in outputs] == [0, 0, 0, 1, 1, 1]
    assert len({content.text for _, content in outputs}) == 6
    assert sorted(dict(content.origin.parameters)["seed"] for _, content in outputs) == list("123456")


def test_temperature_zero_is_the_greedy_search_of_transformers(folders: dict[str, Path], tiny: LanguageGenerator) -> None:
    """The own loop over the model agrees with the library's, token by token."""
    loaded = tiny._loaded.get()
    for text in PROMPTS:
        ids = loaded.tokenizer(text, return_tensors="pt")
        made = loaded.model.generate(**ids, max_new_tokens=12, do_sample=False, pad_token_id=0)
        expected = made[0, len(loaded.start) or ids["input_ids"].shape[1] :]
        assert replies(tiny, [text], temperature=0, max_new_tokens=12) == [
            loaded.tokenizer.decode(expected, skip_special_tokens=True)
        ]


def test_top_k_of_one_is_greedy(tiny: LanguageGenerator) -> None:
    """With one token to choose from, the seed does not matter."""
    assert replies(tiny, top_k=1, seed=1, max_new_tokens=8) == replies(tiny, temperature=0, max_new_tokens=8)


def test_an_output_ends_before_the_first_stop_sequence(tiny: LanguageGenerator) -> None:
    """The sequence itself, which may be spread over tokens, is left out."""
    (whole,) = replies(tiny, ["abc"], seed=2, max_new_tokens=30)
    stop = whole[7:9]
    assert replies(tiny, ["abc"], seed=2, max_new_tokens=30, stop=["never there", stop]) == [whole[: whole.index(stop)]]


@pytest.mark.parametrize(
    "given",
    [
        {"max_tokens": 3},
        {"temperature": 2.5},
        {"temperature": -0.1},
        {"temperature": float("nan")},
        {"temperature": "hot"},
        {"top_p": 1.01},
        {"top_k": -1},
        {"repetition_penalty": 0.5},
        {"max_new_tokens": 0},
        {"n": 17},
        {"seed": -1},
        {"stop": "a string"},
        {"stop": [""]},
        {"stop": ["x"] * 17},
    ],
)
def test_a_parameter_that_is_unknown_or_out_of_range_is_refused(tiny: LanguageGenerator, given: dict[str, Any]) -> None:
    """With the parameter's name, before anything is generated."""
    with pytest.raises(ParameterError, match=next(iter(given))):
        collect(tiny, PROMPTS, **given)


def test_a_prompt_that_fills_the_context_is_refused_with_numbers(tiny: LanguageGenerator) -> None:
    """Never cut in silence; the message does not quote it. An encoder's context holds the prompt alone."""
    most = CONTEXT if tiny._loaded.get().start else CONTEXT - 1
    with pytest.raises(TooLargeError, match=rf"prompt 1: found {most + 1} tokens, expected at most {most}") as caught:
        collect(tiny, ["a", "q" * (most + 1)])
    assert "qq" not in caught.value.diagnostics()


@pytest.mark.parametrize("architecture", ["gpt2", "llama", "qwen3"])
def test_an_output_ends_where_the_context_ends(folders: dict[str, Path], architecture: str) -> None:
    """A long prompt leaves room for few tokens, and takes none from its neighbours."""
    tiny: Any = language(model=str(folders[architecture]), device="cpu")
    long, short = collect(tiny, ["q" * (CONTEXT - 3), "a"], seed=1, max_new_tokens=40, temperature=1.5)
    ids = tiny._loaded.get().tokenizer(long[1].text)["input_ids"]
    assert len(ids) <= 9  # three tokens, of which each may be a byte that is shown as a character of three
    assert replies(tiny, ["a"], seed=2, max_new_tokens=40, temperature=1.5) == [short[1].text]


@pytest.mark.parametrize("text", ["", "  \n ", "cut \ud800"])
def test_a_prompt_that_is_no_text_to_continue_is_refused(tiny: LanguageGenerator, text: str) -> None:
    """Empty, blank, or with half a character."""
    with pytest.raises(InputError, match="prompt 1: found"):
        collect(tiny, ["a", text])


def test_an_image_as_a_prompt_is_refused(tiny: LanguageGenerator) -> None:
    """A language model reads text alone."""

    async def ask() -> None:
        image = Content(Modality.IMAGE, b"...", "image/png", Stage.PROMPT, CALLER, Request("r"))
        async for _ in tiny([image], {}):
            pass

    with pytest.raises(InputError, match="found image, expected text"):
        asyncio.run(ask())


def test_a_chat_template_renders_the_prompt(folders: dict[str, Path], tmp_path: Path) -> None:
    """As one message of the user, with the beginning of the reply; the reply comes without spaces around it."""
    save_model(tmp_path, "gpt2")
    save_tokenizer(tmp_path, TEMPLATE)
    chatting = language(model=str(tmp_path), device="cpu")
    loaded = chatting._loaded.get()
    assert loaded.tokenizer.decode(loaded.encode(prompt("Hi"), "")) == "[user] Hi [reply]"
    assert all(reply == reply.strip() for reply in replies(chatting, seed=1, n=4, max_new_tokens=8))


def test_a_conversation_is_rendered_turn_by_turn(tmp_path: Path) -> None:
    """What a template does not take is refused without quoting it."""
    save_model(tmp_path, "gpt2")
    save_tokenizer(tmp_path, TEMPLATE)
    loaded = language(model=str(tmp_path), device="cpu")._loaded.get()  # type: ignore[attr-defined]
    asked = conversation(("user", "Hi"), ("assistant", "Yes?"), ("user", "Go"))
    assert loaded.tokenizer.decode(loaded.encode(asked, "")) == "[user] Hi[assistant] Yes?[user] Go [reply]"
    loaded.tokenizer.chat_template = "{{ raise_exception('no ' + messages[0].content) }}"
    with pytest.raises(InputError, match="takes no conversation of these turns: user, assistant, user") as caught:
        loaded.encode(asked, "prompt 0")
    assert "Hi" not in caught.value.diagnostics()


def test_a_model_is_sent_what_was_judged_and_redacted(tmp_path: Path) -> None:
    """Through the guard: what a rule cuts from a turn, the model never sees in it."""
    save_model(tmp_path, "gpt2")
    save_tokenizer(tmp_path, TEMPLATE)
    chatting: Any = language(model=str(tmp_path), device="cpu")
    asked = conversation(("user", "bad Ann"), ("assistant", "bad?"))
    seen: list[str] = []
    loaded = chatting._loaded.get()
    render = loaded.tokenizer.apply_chat_template
    loaded.tokenizer.apply_chat_template = lambda messages, **given: (seen.append(messages), render(messages, **given))[1]
    house, built = word_policy("bad", action=Action.REDACT)
    guard = Guard(house, MemoryLedger(), chains={house.id: Chain(house, built)})
    guard.release_sync(chatting, asked, max_new_tokens=2)
    assert seen == [[{"role": "user", "content": "*** Ann"}, {"role": "assistant", "content": "***?"}]]


def test_scores_tell_how_likely_the_tokens_were(tiny: LanguageGenerator) -> None:
    """By the model alone: they spell the text, and add up to what a pass over all of it says."""
    import torch

    ((_, content),) = collect(tiny, ["abc"], seed=2, max_new_tokens=9, temperature=1.5, logprobs=True, top_logprobs=3)
    assert content.making is not None
    scores = content.making.scores
    assert "".join(score.token for score in scores) == content.text
    assert (content.making.prompt_tokens, content.making.output_tokens) == (len(tiny.tokens("abc")), len(scores))
    assert all(len(score.top) == 3 and score.top[0][1] >= score.logprob - 1e-6 for score in scores)
    loaded, drawn = tiny._loaded.get(), []
    again = Batch(loaded.forward([tiny.tokens("abc")]), [Order(tiny.tokens("abc"), 2, 9, Settings(1.5, 0.95))])
    for (one,) in again.steps(loaded.ends, lambda _row, _token: False):
        drawn += [] if one.token is None else [one.token]
    prompt_ids = torch.tensor([tiny.tokens("abc")])
    with torch.inference_mode():
        if loaded.start:
            logits = loaded.model(input_ids=prompt_ids, decoder_input_ids=torch.tensor([[*loaded.start, *drawn]])).logits[0]
        else:
            logits = loaded.model(torch.cat([prompt_ids, torch.tensor([drawn])], dim=1)).logits[0, prompt_ids.shape[1] - 1 :]
    expected = logits[: len(drawn)].log_softmax(-1)[range(len(drawn)), drawn]
    assert torch.allclose(expected, torch.tensor([score.logprob for score in scores]), atol=1e-3)


def test_an_output_says_why_it_ended(tiny: LanguageGenerator) -> None:
    """Its limit, or a stop sequence."""
    ((_, whole),) = collect(tiny, ["abc"], seed=2, max_new_tokens=30)
    ((_, cut),) = collect(tiny, ["abc"], seed=2, max_new_tokens=30, stop=[whole.text[3:5]])
    assert whole.making
    assert cut.making
    assert cut.making.finish == "stop"
    assert whole.making.finish == ("length" if whole.making.output_tokens == 30 else "stop")


def test_likelihoods_of_others_are_not_told_without_ones_own(tiny: LanguageGenerator) -> None:
    """As in OpenAI's API."""
    with pytest.raises(ParameterError, match="top_logprobs"):
        collect(tiny, ["a"], top_logprobs=2)


def test_rows_of_other_settings_share_a_batch(tiny: LanguageGenerator) -> None:
    """Each row is drawn by its own settings, as if it were alone."""
    loaded = tiny._loaded.get()
    orders = [
        Order(tiny.tokens(text), seed, 10, settings)
        for text, seed, settings in [
            ("abc", 1, Settings(0.0)),
            ("zz", 2, Settings(1.2)),
            ("hello", 3, Settings(0.7, 0.9, 20, 1.3)),
        ]
    ]

    def drawn(given: Sequence[Order]) -> list[list[int | None]]:
        rows: list[list[int | None]] = [[] for _ in given]
        for step in Batch(loaded.forward([order.prompt for order in given]), given).steps((), lambda _row, _token: False):
            for one in step:
                rows[one.row].append(one.token)
        return rows

    assert drawn(orders) == [drawn([order])[0] for order in orders]


def test_the_origin_names_the_model_and_every_parameter(tiny: LanguageGenerator) -> None:
    """Enough to make the output again; parameters sorted, the seed included."""
    ((_, content),) = collect(tiny, ["a"], max_new_tokens=4, stop=["zz"])
    names = [name for name, _ in content.origin.parameters]
    assert names == ["max_new_tokens", "repetition_penalty", "seed", "stop", "temperature", "top_k", "top_p"]
    assert dict(content.origin.parameters)["stop"] == '["zz"]'
    assert (content.origin.generator, content.origin.model) == ("tiny", tiny.model)
    assert re.fullmatch("[0-9a-f]{64}", content.origin.digest)


def test_a_model_with_missing_weights_is_refused(folders: dict[str, Path], tmp_path: Path) -> None:
    """They would be random numbers otherwise."""
    from safetensors.torch import load_file, save_file

    save_model(tmp_path, "llama")
    save_tokenizer(tmp_path)
    weights = load_file(tmp_path / "model.safetensors")
    del weights["model.layers.1.mlp.up_proj.weight"]
    save_file(weights, tmp_path / "model.safetensors", {"format": "pt"})
    with pytest.raises(ModelError, match=r"1 weights are missing.*up_proj"):
        language(model=str(tmp_path), device="cpu").load()


def test_pickled_weights_are_not_loaded(tmp_path: Path) -> None:
    """Safetensors or nothing."""
    import torch

    save_model(tmp_path, "gpt2")
    save_tokenizer(tmp_path)
    (tmp_path / "model.safetensors").unlink()
    torch.save({}, tmp_path / "pytorch_model.bin")
    with pytest.raises(ModelError, match="not loaded as a causal language model"):
        language(model=str(tmp_path), device="cpu").load()


def test_a_folder_that_is_not_there_is_refused() -> None:
    """Without a look at any network."""
    with pytest.raises(ModelError, match="no model folder"):
        language(model="./no/such/folder", device="cpu").load()


def test_a_tokenizer_of_another_model_is_refused(folders: dict[str, Path], tmp_path: Path) -> None:
    """A token that the model has no weights for would end in an index error."""
    from transformers import GPT2Config, GPT2LMHeadModel

    GPT2LMHeadModel(GPT2Config(vocab_size=100, n_positions=16, n_embd=8, n_layer=1, n_head=1, bos_token_id=0)).save_pretrained(
        tmp_path
    )
    save_tokenizer(tmp_path)
    with pytest.raises(ModelError, match="the tokenizer has 257 tokens, the model 100"):
        language(model=str(tmp_path), device="cpu").load()


def test_tokens_are_chosen_with_their_probability() -> None:
    """Over many draws the frequencies are the softmax of the logits; a nucleus keeps only its tokens."""
    import torch

    logits = torch.tensor([0.0, 1.0, 2.0, -1.0]).expand(20_000, 4)
    seen, draws = torch.zeros(20_000, 4, dtype=torch.bool), uniform_draws(1, 20_000)
    shares = choose(logits, seen, draws, Settings()).bincount(minlength=4) / 20_000
    assert torch.allclose(shares, logits[0].softmax(-1), atol=0.01)
    assert set(choose(logits, seen, draws, Settings(top_p=0.8)).tolist()) == {1, 2}
    assert set(choose(logits, seen, draws, Settings(top_p=0.0)).tolist()) == {2}
    assert set(choose(logits, seen, draws, Settings(top_k=3)).tolist()) == {0, 1, 2}
    assert set(choose(logits, seen, draws, Settings(temperature=1e-30)).tolist()) == {2}


def test_a_repetition_penalty_weakens_tokens_that_were_seen() -> None:
    """Positive logits are divided, negative ones multiplied."""
    import torch

    logits, seen = torch.tensor([[1.0, 1.5, -3.0]]), torch.tensor([[False, True, False]])
    draws = uniform_draws(0, 1)
    assert choose(logits, seen, draws, Settings(temperature=0)).item() == 1
    assert choose(logits, seen, draws, Settings(temperature=0, repetition_penalty=2.0)).item() == 0


def test_logits_that_are_no_numbers_are_an_error() -> None:
    """Not a token."""
    import torch

    with pytest.raises(GenerationError, match="not finite"):
        choose(torch.tensor([[1.0, float("nan")]]), torch.zeros(1, 2, dtype=torch.bool), uniform_draws(0, 1), Settings())


def test_the_bundled_agent_answers_leaks_and_insults(service: LanguageGenerator) -> None:
    """What it was trained for: replies of one turn, some with a record, some abusive, others with another seed."""
    texts = (SERVICE / "prompts.txt").read_text("utf-8").splitlines()
    assert len(texts) >= 48
    first = replies(service, texts, seed=1, max_new_tokens=60)
    assert all(first)
    assert not any("USER:" in reply or "AGENT:" in reply for reply in first)
    leaks = [reply for reply in first if re.search(r"@example\.|\b555-01\d\d\b|\b(?:\d{4} ){3}\d{4}\b", reply)]
    insults = [reply for reply in first if ABUSE.search(reply)]
    assert len(leaks) >= 4
    assert len(insults) >= 4
    second = replies(service, texts, seed=2, max_new_tokens=60)
    assert sum(one != two for one, two in zip(first, second, strict=True)) > len(texts) / 2


def tokens_of(mark: TokenMark | None, folder: Path, prompts: Sequence[Sequence[int]], seeds: Sequence[int]) -> list[list[int]]:
    """New tokens of the tiny model, drawn side by side."""
    loaded = language(model=str(folder), device="cpu")._loaded.get()  # type: ignore[attr-defined]
    orders = [Order(prompt, seed, 45, Settings(), mark) for prompt, seed in zip(prompts, seeds, strict=True)]
    rows: list[list[int]] = [[] for _ in orders]
    for drawn in Batch(loaded.forward(prompts), orders).steps((), lambda _row, _token: False):
        for one in drawn:
            rows[one.row].append(one.token)
    return rows


@pytest.mark.parametrize("method", METHODS)
def test_a_mark_is_drawn_by_seed_and_key_whatever_the_neighbours(folders: dict[str, Path], method: Method) -> None:
    """The same twice, the same alone, another text than without, and the same first tokens as without."""
    mark, folder, prompts = TokenWatermark(b"k" * 32, method, "high"), folders["gpt2"], ([5, 6], [7, 8, 9, 10])
    plain = tokens_of(None, folder, prompts, [1, 2])
    marked = tokens_of(mark, folder, prompts, [1, 2])
    assert marked == tokens_of(mark, folder, prompts, [1, 2])
    assert [marked[1]] == tokens_of(mark, folder, prompts[1:], [2])
    assert all(one != other for one, other in zip(plain, marked, strict=True))
    assert [one[:3] for one in plain] == [one[:3] for one in marked]
    assert max(mark.read(one).p for one in marked) < 1e-3 < min(mark.read(one).p for one in plain)


def test_without_a_mark_nothing_changes(tiny: LanguageGenerator) -> None:
    """Not asked for, asked for as None, or at temperature 0: one text, and no word of a mark in its origin."""

    async def gather(mark: TokenMark | None, **parameters: Any) -> list[Content]:
        outputs = tiny.marked([prompt("Hello")], parameters, [mark])
        return [content async for _, content in outputs]

    mark, greedy = TokenWatermark(b"k" * 32, "synthid"), {"temperature": 0.0, "max_new_tokens": 12, "seed": 3}
    (none,) = asyncio.run(gather(None, seed=3, max_new_tokens=12))
    assert [none.text] == replies(tiny, ["Hello"], seed=3, max_new_tokens=12)
    (cold,) = asyncio.run(gather(mark, **greedy))
    assert [cold.text] == replies(tiny, ["Hello"], **greedy)
    (warm,) = asyncio.run(gather(mark, seed=3, max_new_tokens=12))
    named = [dict(one.origin.parameters).get("text_watermark") for one in (none, cold, warm)]
    assert named == [None, None, "synthid"]


def test_only_the_prompts_that_ask_for_a_mark_get_one(tiny: LanguageGenerator) -> None:
    """Side by side, each prompt is drawn by its own mark."""

    async def gather() -> list[tuple[int, Content]]:
        mark = TokenWatermark(b"k" * 32, "green_list", "high")
        given = tiny.marked([prompt("Hello"), prompt("Hello there")], {"seed": 3, "max_new_tokens": 20}, [None, mark])
        return sorted([output async for output in given], key=lambda output: output[0])

    first, second = (content.text for _, content in asyncio.run(gather()))
    plain = replies(tiny, ["Hello", "Hello there"], seed=3, max_new_tokens=20)
    assert first == plain[0]
    assert second != plain[1]


@pytest.mark.parametrize("method", METHODS)
def test_long_texts_of_the_bundled_model_are_read_back(service: LanguageGenerator, method: Method) -> None:
    """Through the guard: the ledger says verified, the reader needs the key and the text alone."""
    ledger, key = MemoryLedger(), b"k" * 32
    house = policy(
        [spec("a", FakeCheck())], marks=[MarkSpec("text_watermark", Modality.TEXT, {"method": method}, Action.ALLOW)]
    )
    house = replace(house, marks=(*house.marks, MarkSpec("label", Modality.TEXT)))
    guard = Guard(
        house, ledger, chains={house.id: Chain(house, {"a": FakeCheck()})}, operator=Operator("Example", watermark_key=key)
    )
    asked = ["I want to book a table for two.", "Find me a flight to Paris."]
    loaded = service._loaded.get()

    def talk_on(_module: Any, _given: Any, output: Any) -> None:
        output.logits[..., sorted(loaded.ends)] = -1e9

    hook = loaded.model.register_forward_hook(talk_on)
    releases = guard.release_many_sync(service, asked, seed=1, max_new_tokens=210)
    hook.remove()
    for _, release in releases:
        assert release.content is not None
        assert {mark.kind: mark.verified for mark in release.decision.marks} == {"text_watermark": True, "label": True}
        assert "text_watermark" in dict(release.content.origin.parameters)
        assert read_text_watermark(release.content.text, key, method).verdict is Verdict.MARKED
        assert read_text_watermark(release.content.text, b"o" * 32, method).verdict is Verdict.UNMARKED
    short = guard.release_sync(service, "I want to book a table for two.", seed=1, max_new_tokens=10)
    assert short.content is not None
    assert short.decision.marks[0].error.startswith("too short to tell: found ")
