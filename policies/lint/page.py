"""The page of documentation that has all lints. `python -m policies.lint.page` writes `docs/lints.md` again."""

from __future__ import annotations

import textwrap
from pathlib import Path
from types import ModuleType

from policies.lint import LINTS, LOAD, MODULES, Level, Lint

FILE = Path(__file__).parents[2] / "docs" / "lints.md"
_HEAD = """\
# Lints

<!-- Made by `python -m policies.lint.page` from the lints themselves. -->

`genguard policy lint` loads policy files and looks for mistakes that do not keep a policy from being loaded: see
[cli.md](cli.md#policy-lint) for its options and exit codes. A finding is an **error** when it cannot be meant, a **warning**
when the policy does something else than its author would expect, and **advice** when it works and could be better.

A finding that is meant is allowed by a comment with a reason: on its line, on the first line of its rule, check or exception,
or on a line of its own right above one of these.

```yaml
rules:
  # lint: allow no-message - the caller's own page tells the person
  - id: threat
    when: {toxicity.threat: 0.5}
    action: block  # lint: allow no-basis, no-title - moved to the handbook
```

Several names stand with commas between. Without a reason nothing is allowed. Mistakes for which a file is not loaded (`load`)
cannot be allowed.
"""


def page() -> str:
    """The page as Markdown."""
    known = [LOAD, *(one for module in MODULES for one in _of(module))]
    table = "\n".join(f"| [`{one.name}`](#{one.name}) | {one.level} | {one.summary} |" for one in known)
    parts = [_HEAD, f"| lint | level | finds |\n|---|---|---|\n{table}\n", _section("Loading", [LOAD])]
    for module in MODULES:
        title = (module.__doc__ or "").removeprefix("Lints on ").partition("\n")[0].split(":")[0].rstrip(".")
        parts.append(_section(title[:1].upper() + title[1:], _of(module)))
    return "\n".join(parts)


def _of(module: ModuleType) -> list[Lint]:
    return [one for one in LINTS.values() if one.run.__module__ == module.__name__]


def _section(title: str, inside: list[Lint]) -> str:
    parts = (f"### {one.name}\n\n**{_level(one.level)}.** {one.summary}\n\n{_wrapped(one.why)}\n" for one in inside)
    return f"## {title}\n\n" + "\n".join(parts)


def _wrapped(text: str) -> str:
    return textwrap.fill(text, 128, break_long_words=False, break_on_hyphens=False)


def _level(level: Level) -> str:
    return level.value.capitalize()


def main() -> None:
    """Write the page."""
    FILE.write_text(page(), "utf-8")


if __name__ == "__main__":
    main()
