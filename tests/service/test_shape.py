"""Where a request is of another shape is told without its words."""

from __future__ import annotations

from serving.shape import names, told

KNOWN = names(
    {
        "paths": {"/a": {"get": {"parameters": [{"in": "query", "name": "limit"}]}}},
        "components": {"schemas": {"One": {"properties": {"model": {}, "messages": {"items": {"properties": {"role": {}}}}}}}},
    }
)


def problem(*loc: str | int, kind: str = "missing", **ctx: str) -> dict[str, object]:
    return {"type": kind, "loc": ("body", *loc), "msg": "Field required", "ctx": ctx}


def test_names_of_fields_and_parameters_are_known() -> None:
    assert {"limit", "model", "messages", "role"} == KNOWN


def test_names_that_a_caller_made_up_are_left_out() -> None:
    body = {"messages": [{"role": "x", "jane@example.com": 1}], "4111 1111": 2, "suffix": 3, "JaneDoe": 4, "a_b_c": 5}
    said = told([problem("messages", 0, "jane@example.com"), problem("4111 1111"), problem("JaneDoe")], body, KNOWN)
    assert said == "messages.0.…: Field required; …: Field required; …: Field required"
    assert told([problem("suffix"), problem("a_b_c")], body, KNOWN) == "suffix: Field required; a_b_c: Field required"


def test_names_of_ours_and_branches_of_the_schema_are_told() -> None:
    said = told([problem("messages", 0, "UserMessage", "role"), problem("model")], {"messages": [{}]}, KNOWN)
    assert said == "messages.0.UserMessage.role: Field required; model: Field required"


def test_a_tag_that_is_none_is_not_quoted() -> None:
    wrong = problem("messages", kind="union_tag_invalid", expected_tags="'text', 'image_url'", tag="jane")
    assert told([wrong], {"messages": []}, KNOWN) == "messages: Input should be one of 'text', 'image_url'"
