"""The page at which somebody logs in: it loads nothing from elsewhere, runs no script, and speaks English and Chinese."""

from __future__ import annotations

import base64
import hashlib
import html
from collections.abc import Iterator, Mapping

from fastapi.responses import HTMLResponse

STYLE = """
:root { color-scheme: light dark; --line: #767676; --soft: #f3f3f1; --wrong: #a3211b; --go: #1f4e8c; --on: #ffffff; }
@media (prefers-color-scheme: dark) {
  :root { --line: #8c8c8c; --soft: #242424; --wrong: #ff9d94; --go: #a9c9f5; --on: #10233f; }
}
body { font: 1rem/1.5 system-ui, sans-serif; max-width: 26rem; margin: 12vh auto 2rem; padding: 0 1rem; }
h1 { font-size: 1.5rem; line-height: 1.25; margin: 0 0 1.5rem; }
label { display: block; font-weight: 600; margin: 1rem 0 .25rem; }
input { font: inherit; width: 100%; box-sizing: border-box; border: 1px solid var(--line); border-radius: .25rem;
  padding: .5rem; }
input[aria-invalid] { border-color: var(--wrong); }
button, a.go { display: block; box-sizing: border-box; width: 100%; font: inherit; font-weight: 600; text-align: center;
  margin-top: 1rem; padding: .6rem 1.4rem; border: 1px solid var(--go); border-radius: .25rem; cursor: pointer; }
button, a.go { background: var(--go); color: var(--on); text-decoration: none; }
a.go + form button { background: transparent; color: var(--go); }
small { display: block; margin-top: .25rem; }
[role=alert] { border-left: .4rem solid var(--wrong); background: var(--soft); padding: .5rem 1rem; margin: 0 0 1.5rem; }
:focus-visible { outline: 3px solid Highlight; outline-offset: 2px; }
"""
_HASH = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
LANGUAGE = "genguard-language"
"""Name of the cookie that says which language somebody chose: `en` or `zh`."""
HEADERS = {
    "cache-control": "no-store",
    "content-security-policy": f"default-src 'none'; style-src 'sha256-{_HASH}'; form-action 'self'; base-uri 'none'; "
    "frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "same-origin",  # with less, browsers leave out the origin of a form
}
"""Of the page, and of what leads away from it."""
ENGLISH = {
    "title": "Sign in to genguard",
    "issuer": "Sign in with your account",
    "key": "API key",
    "hint": "The key that your administrator gave you.",
    "go": "Sign in",
    "go_key": "Sign in with a key",
    "invalid": "This key is not valid, or not any more.",
    "refused": "The login did not succeed, or this account has no role here.",
    "many": "Too many wrong keys came from your address. Try again in {seconds} s.",
    "away": "The login service does not answer just now. Try again in a moment, or sign in with a key.",
    "elsewhere": "Nobody was signed in: the form came from another page than this one, or the browser left out from where. "
    "Sign in here, at the address that your administrator gave you.",
}
CHINESE = {
    "title": "登录 genguard",
    "issuer": "使用您的账号登录",
    "key": "API 密钥",
    "hint": "由管理员提供给您的密钥。",
    "go": "登录",
    "go_key": "使用密钥登录",
    "invalid": "该密钥无效，或已失效。",
    "refused": "登录未成功，或该账号在此处没有角色。",
    "many": "来自您所在地址的错误密钥过多。请在 {seconds} 秒后重试。",
    "away": "登录服务暂时没有响应。请稍后重试，或使用密钥登录。",
    "elsewhere": "登录未进行：表单并非来自本页面，或浏览器没有说明来源。请通过管理员提供的网址在此登录。",
}
_PAGE = """<!doctype html>
<html lang="{lang}">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>{style}</style>
</head>
<body>
<main>
<h1>{title}</h1>
{told}{issuer}<form method="post" action="/auth/login">
<label for="key">{key}</label>
<input id="key" name="key" type="password" autocomplete="current-password" maxlength="500" required
  aria-describedby="{about}"{wrong}>
<small id="hint">{hint}</small>
<input name="next" type="hidden" value="{next}">
<button>{go}</button>
</form>
</main>
</body>
</html>
"""


def login_page(accepted: str, path: str, *, issuer: bool, told: str = "", status: int = 200, seconds: int = 0) -> HTMLResponse:
    """The page. `accepted`: the browser's `Accept-Language`; `path`: where to go afterwards, one of this service.

    `issuer`: whether there is a login by one, too. `told`: which of the words say what went wrong; `seconds`: how long to wait.
    """
    lang = language(accepted)
    words = {name: html.escape(text) for name, text in (CHINESE if lang == "zh-Hans" else ENGLISH).items()}
    page = _PAGE.format(
        lang=lang,
        style=STYLE,
        title=words["title"],
        told=f'<p role="alert" id="told">{words[told].format(seconds=seconds)}</p>\n' if told else "",
        issuer=f'<a class="go" href="/auth/login">{words["issuer"]}</a>\n' if issuer else "",
        key=words["key"],
        hint=words["hint"],
        about="told hint" if told == "invalid" else "hint",
        wrong=' aria-invalid="true"' if told == "invalid" else "",
        next=html.escape(path, quote=True),
        go=words["go_key" if issuer else "go"],
    )
    more = {"content-language": lang, "vary": "accept-language", **({"retry-after": str(seconds)} if seconds else {})}
    return HTMLResponse(page, status, {**HEADERS, **more})


def language(accepted: str) -> str:
    """`zh-Hans` or `en`, as an `Accept-Language` prefers (RFC 9110, 12.5.4); `en` where it wants neither."""
    wanted: Mapping[str, float] = dict(sorted(_wanted(accepted[:500]), key=lambda one: one[1]))
    return "zh-Hans" if wanted.get("zh", 0.0) > wanted.get("en", 0.0) else "en"


def _wanted(accepted: str) -> Iterator[tuple[str, float]]:
    """Languages with their weights; of one with regions, the greatest comes last."""
    for part in accepted.lower().split(","):
        name, _, rest = part.partition(";")
        said = rest.strip().removeprefix("q=").strip()
        try:
            weight = float(said) if said else 1.0
        except ValueError:
            continue
        if 0.0 <= weight <= 1.0:
            yield name.strip().partition("-")[0], weight
