r"""Formats of keys, tokens and passwords, as plain data; `guard.checks.secrets` runs them.

Borders are look-arounds over ASCII, never a `\b`: Chinese characters count as word characters, so that `\b` finds no border
between them and a key. Every repetition is bounded and possessive where it can be, so that no text makes a pattern slow.

Formats are those of the vendors' documentation: AWS IAM (identifiers), Google Cloud (API keys, service account keys), Azure
Storage, Service Bus and Entra ID, Alibaba Cloud RAM, Tencent Cloud CAM, GitHub, GitLab (token prefixes), Slack, Stripe, OpenAI,
Anthropic, Hugging Face, npm, PyPI, Telegram, Twilio, SendGrid, Discord, and of RFC 7468 (PEM), RFC 9580 (OpenPGP), RFC 7519
(JWT), RFC 6750 (Bearer), RFC 7617 (Basic), RFC 3986 (userinfo).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import regex as re  # of the standard library, 3.11.2 (Debian 12) gets possessive repetitions wrong

from guard.checks import secret_values as judge


@dataclass(frozen=True, slots=True)
class SecretSpec:
    """One format of a secret. The pattern's group `secret` is what is reported."""

    label: str
    name: str
    """Names the format in findings."""
    triggers: tuple[str, ...]
    """Literals of which a text has to hold one to be searched at all; in lower case where case is ignored."""
    pattern: str
    score: int = 950
    """Per mille, before the judge."""
    judge: Callable[[re.Match[str], int], int] = judge.by_format
    generic: bool = False
    """Gives way to a format that says more, wherever the two overlap."""
    ignore_case: bool = False


_A, _Z = "(?<![0-9A-Za-z])", "(?![0-9A-Za-z])"
_U = "(?![0-9A-Za-z_-])"


def _token(label: str, name: str, prefixes: str, body: str, *, end: str = _U, score: int = 950) -> SecretSpec:
    """A token that begins with one of some literal prefixes, which trigger its search."""
    either = "|".join(re.escape(prefix) for prefix in prefixes.split())
    return SecretSpec(label, name, tuple(prefixes.split()), f"{_A}(?P<secret>(?:{either}){body}){end}", score)


_CLOUD = (
    SecretSpec(
        "AWS_ACCESS_KEY", "AWS access key id", ("AKIA", "ASIA"), f"{_A}(?P<secret>(?:AKIA|ASIA)[A-Z0-9]{{16}}){_Z}",
        judge=judge.aws_key_id,
    ),
    SecretSpec(
        "AWS_SECRET_KEY", "AWS secret access key", ("aws", "secret"),
        r"(?:aws.{0,20}?(?:secret|sk)|secret_?access_?key).{0,20}?[\s:=>'\"`(,|]{1,8}(?P<secret>[A-Za-z0-9/+]{40})(?![A-Za-z0-9/+=])",
        judge=judge.mixed_case, ignore_case=True,
    ),
    SecretSpec(
        "AWS_SECRET_KEY", "AWS secret access key beside a key id", ("AKIA", "ASIA"),
        r"(?:AKIA|ASIA)[A-Z0-9]{16}[^A-Za-z0-9](?s:.{0,80}?)(?<![A-Za-z0-9/+])(?P<secret>[A-Za-z0-9/+]{40})(?![A-Za-z0-9/+=])",
        900, judge.mixed_case,
    ),
    _token("GCP_API_KEY", "Google API key", "AIza", "[0-9A-Za-z_-]{35}"),
    _token("GOOGLE_OAUTH_TOKEN", "Google OAuth client secret", "GOCSPX-", "[0-9A-Za-z_-]{28}"),
    _token("GOOGLE_OAUTH_TOKEN", "Google OAuth access token", "ya29.", "[0-9A-Za-z_-]{30,1000}"),
    SecretSpec(
        "AZURE_STORAGE_KEY", "Azure storage account key", ("accountkey",),
        r"AccountKey\s{0,3}[=:]\s{0,3}['\"]?(?P<secret>[A-Za-z0-9+/]{86}==)", ignore_case=True,
    ),
    SecretSpec(
        "AZURE_SHARED_ACCESS_KEY", "Azure shared access key", ("sharedaccesskey",),
        r"SharedAccessKey\s{0,3}[=:]\s{0,3}['\"]?(?P<secret>[A-Za-z0-9+/]{43}=)", ignore_case=True,
    ),
    SecretSpec(
        "AZURE_SAS_TOKEN", "signature of an Azure shared access URL", ("sig=",),
        r"[?&;]sig=(?P<secret>(?:[A-Za-z0-9+/_-]|%2[BbFf]){43}(?:=|%3[Dd])?)(?![A-Za-z0-9+/=_-])",
    ),
    SecretSpec(
        "AZURE_CLIENT_SECRET", "Entra ID client secret", ("Q~",),
        r"(?<![0-9A-Za-z_~.-])(?P<secret>[A-Za-z0-9_~.-]{3}[0-9]Q~[A-Za-z0-9_~.-]{31,34})(?![0-9A-Za-z_~-])",
    ),
    _token("ALIBABA_ACCESS_KEY", "Alibaba Cloud access key id", "LTAI", "(?:[A-Za-z0-9]{20}|[A-Za-z0-9]{12})", end=_Z),
    SecretSpec(
        "ALIBABA_SECRET_KEY", "Alibaba Cloud access key secret", ("ltai", "aliyun", "alibaba", "access"),
        r"(?:(?:ali(?:yun|baba|cloud)|accessKey_?).{0,20}?secret|LTAI[A-Za-z0-9]{12,20}(?![A-Za-z0-9]))(?s:.{0,40}?)"
        r"(?<![A-Za-z0-9])(?P<secret>[A-Za-z0-9]{30})(?![A-Za-z0-9])",
        judge=judge.mixed_case, ignore_case=True,
    ),
    SecretSpec(
        "TENCENT_SECRET_ID", "Tencent Cloud secret id", ("AKID",), f"{_A}(?P<secret>AKID[A-Za-z0-9]{{32}}){_Z}",
        judge=judge.by_digits,
    ),
    SecretSpec(
        "TENCENT_SECRET_KEY", "Tencent Cloud secret key beside a secret id", ("AKID",),
        r"AKID[A-Za-z0-9]{32}[^A-Za-z0-9](?s:.{0,80}?)(?<![A-Za-z0-9])(?P<secret>[A-Za-z0-9]{32})(?![A-Za-z0-9])",
        900, judge.mixed_case,
    ),
)  # fmt: skip

_TOKENS = (
    SecretSpec(
        "GITHUB_TOKEN", "GitHub token", ("ghp_", "gho_", "ghu_", "ghs_", "ghr_"),
        f"{_A}(?P<secret>gh[pousr]_[A-Za-z0-9]{{36}}){_U}", judge=judge.crc_base62,
    ),
    _token("GITHUB_TOKEN", "GitHub fine-grained token", "github_pat_", "[A-Za-z0-9]{22}_[A-Za-z0-9]{59}"),
    _token("GITHUB_TOKEN", "GitHub refresh token", "ghr_", "[A-Za-z0-9]{76}"),
    _token(
        "GITLAB_TOKEN", "GitLab token",
        "glpat- gldt- glrt- glrtr- glcbt- glptt- glft- glimt- glagent- glsoat- gloas- glffct-",
        r"(?:[0-9A-Za-z_-]{27,300}+\.[0-9a-z]{2}\.?[0-9a-z]{7}|[0-9A-Za-z_-]{20,64}+)",
    ),
    _token(
        "SLACK_TOKEN", "Slack token", "xoxb- xoxp- xoxa- xoxr- xoxs- xoxe- xoxe. xoxo- xoxc- xoxd-",
        "[0-9A-Za-z%.-]{20}[0-9A-Za-z-]{0,380}+(?:[%.]{1,3}+[0-9A-Za-z-]{1,380}+){0,8}(?<![%.-])",
    ),
    _token("SLACK_TOKEN", "Slack app token", "xapp-", "[0-9]-[A-Z0-9]{6,20}-[0-9]{8,20}-[0-9a-f]{32,128}"),
    SecretSpec(
        "SLACK_WEBHOOK", "Slack webhook", ("hooks.slack.com",),
        r"hooks\.slack\.com/(?:services|workflows|triggers)/(?P<secret>[A-Z0-9]{6,20}/[A-Z0-9]{6,20}/[A-Za-z0-9/]{18,64})",
    ),
    _token("STRIPE_KEY", "Stripe live key", "sk_live_ rk_live_", "[0-9A-Za-z]{16,200}"),
    _token("STRIPE_KEY", "Stripe test key", "sk_test_ rk_test_", "[0-9A-Za-z]{16,200}", score=750),
    _token("STRIPE_KEY", "Stripe webhook secret", "whsec_", "[0-9A-Za-z+/]{24,64}={0,2}"),
    _token("OPENAI_KEY", "OpenAI key", "sk-proj- sk-svcacct- sk-admin-", "[0-9A-Za-z_-]{40,250}+"),
    SecretSpec(
        "OPENAI_KEY", "OpenAI key", ("T3BlbkFJ",),
        f"{_A}(?P<secret>sk-[0-9A-Za-z_-]{{16,120}}?T3BlbkFJ[0-9A-Za-z_-]{{16,120}}){_U}", 1000,
    ),
    _token("ANTHROPIC_KEY", "Anthropic key", "sk-ant-", "[a-z]{2,10}[0-9]{2}-[0-9A-Za-z_-]{60,200}"),
    SecretSpec(
        "API_KEY", "key of a language model's service", ("sk-",),
        f"{_A}(?P<secret>sk-(?:or-v1-)?[0-9A-Za-z]{{32,128}}){_U}", 850, judge.by_digits,
    ),
    _token("HUGGINGFACE_TOKEN", "Hugging Face token", "hf_", "[A-Za-z0-9]{34}"),
    _token("HUGGINGFACE_TOKEN", "Hugging Face organisation token", "api_org_", "[A-Za-z0-9]{34}"),
    SecretSpec("NPM_TOKEN", "npm token", ("npm_",), f"{_A}(?P<secret>npm_[A-Za-z0-9]{{36}}){_U}", judge=judge.crc_base62),
    _token("PYPI_TOKEN", "PyPI token", "pypi-AgEIcHlwaS5vcmc pypi-AgENdGVzdC5weXBpLm9yZw", "[0-9A-Za-z_-]{50,400}", score=1000),
    SecretSpec(
        "TELEGRAM_BOT_TOKEN", "Telegram bot token", (":AA",),
        r"(?<![0-9A-Za-z])(?:bot)?(?P<secret>[0-9]{8,11}:AA[0-9A-Za-z_-]{33})(?![0-9A-Za-z_-])",
    ),
    SecretSpec("TWILIO_KEY", "Twilio API key", ("SK",), f"{_A}(?P<secret>SK[0-9a-f]{{32}}){_Z}", 850),
    SecretSpec(
        "TWILIO_KEY", "Twilio auth token", ("twilio",),
        r"twilio.{0,60}?(?<![0-9A-Za-z])(?P<secret>[0-9a-f]{32})(?![0-9A-Za-z])", 850, ignore_case=True,
    ),
    _token("SENDGRID_KEY", "SendGrid key", "SG.", r"[0-9A-Za-z_-]{22}\.[0-9A-Za-z_-]{43}", score=1000),
    SecretSpec(
        "DISCORD_TOKEN", "Discord bot token", ("MT", "Mj", "Mz", "ND", "NT", "Nj", "Nz", "OD", "OT"),
        r"(?<![0-9A-Za-z_-])(?P<secret>(?:M[Tjz]|N[DTjz]|O[DT])[AEIMQUYcgk][0-9A-Za-z_-]{19,25}\.[0-9A-Za-z_-]{6}\.[0-9A-Za-z_-]{27,38})"
        r"(?![0-9A-Za-z_-])",
        1000, judge.discord,
    ),
    SecretSpec(
        "DISCORD_WEBHOOK", "Discord webhook", ("/api/webhooks/",),
        r"discord(?:app)?\.com/api/webhooks/[0-9]{16,20}/(?P<secret>[0-9A-Za-z_-]{60,90})(?![0-9A-Za-z_-])",
    ),
    _token("SERVICE_TOKEN", "Shopify token", "shpat_ shpss_ shpca_ shppa_", "[0-9a-fA-F]{32}"),
    _token("SERVICE_TOKEN", "Databricks token", "dapi", "[0-9a-f]{32}(?:-[0-9])?"),
    _token("SERVICE_TOKEN", "DigitalOcean token", "dop_v1_ doo_v1_ dor_v1_", "[0-9a-f]{64}"),
    _token("SERVICE_TOKEN", "Docker Hub token", "dckr_pat_ dckr_oat_", "[0-9A-Za-z_-]{27,40}"),
    _token("SERVICE_TOKEN", "HashiCorp Vault token", "hvs. hvb.", "[0-9A-Za-z_-]{24,300}"),
    _token("SERVICE_TOKEN", "Grafana token", "glsa_ glc_", "[0-9A-Za-z_+/=-]{32,400}"),
    _token("SERVICE_TOKEN", "Groq key", "gsk_", "[0-9A-Za-z]{48,60}"),
    _token("SERVICE_TOKEN", "Replicate token", "r8_", "[0-9A-Za-z]{37}"),
    _token("SERVICE_TOKEN", "xAI key", "xai-", "[0-9A-Za-z]{70,90}"),
    _token("SERVICE_TOKEN", "Perplexity key", "pplx-", "[0-9A-Za-z]{40,60}"),
    _token("SERVICE_TOKEN", "Notion token", "ntn_", "[0-9A-Za-z]{40,50}"),
    _token("SERVICE_TOKEN", "Linear key", "lin_api_", "[0-9A-Za-z]{40}"),
    _token("SERVICE_TOKEN", "Postman key", "PMAK-", "[0-9a-f]{24}-[0-9a-f]{34}"),
    _token("SERVICE_TOKEN", "New Relic key", "NRAK-", "[0-9A-Z]{27}"),
    _token("SERVICE_TOKEN", "RubyGems key", "rubygems_", "[0-9a-f]{48}"),
    _token("SERVICE_TOKEN", "Atlassian token", "ATATT3", "[0-9A-Za-z_=-]{100,300}"),
)  # fmt: skip

_PEM_KIND = r"[A-Z0-9 ]{0,32}PRIVATE KEY(?: BLOCK)?"
# Five hyphens end the body, so that bodies never overlap and the time stays linear; up to four may stand in a header.
# A block that is cut off ends with its last line of base 64.
_PEM = (
    rf"-----BEGIN {_PEM_KIND}-----(?:(?P<body>(?:[^-]|-(?!----)){{0,20000}}+)-----END {_PEM_KIND}-----"
    r"|(?P<open>(?:(?:\s|\\[nr]|[>|#*]){1,16}+(?:[A-Za-z-]{4,20}: [^\n]{0,120}|[0-9A-Za-z+/=]{16,5000}+)){1,400}+"
    r"(?:(?:\s|\\[nr]){1,8}[0-9A-Za-z+/=]{1,76}\Z)?))"
)
_KEYS = (
    SecretSpec(
        "GCP_SERVICE_ACCOUNT_KEY", "private key of a Google service account", ("private_key",),
        rf"private_key\\?[\"']\s{{0,8}}:\s{{0,8}}\\?[\"'](?P<secret>{_PEM})", judge=judge.private_key,
    ),
    SecretSpec("PRIVATE_KEY", "private key", ("PRIVATE KEY",), f"(?P<secret>{_PEM})", judge=judge.private_key),
    SecretSpec(
        "PRIVATE_KEY", "PuTTY private key", ("Private-Lines",),
        r"Private-Lines: [0-9]{1,4}\s{1,4}(?P<secret>(?P<body>(?:[0-9A-Za-z+/=]{4,76}(?:\s{1,4}|\Z)){1,200}+)(?P<open>))",
        judge=judge.private_key,
    ),
    SecretSpec(
        "PRIVATE_KEY", "age private key", ("AGE-SECRET-KEY-1",),
        f"{_A}(?P<secret>AGE-SECRET-KEY-1[02-9AC-HJ-NP-Z]{{58}}){_Z}",
    ),
    SecretSpec(
        "JWT", "JSON web token", ("eyJ", "ewo"),
        r"(?<![0-9A-Za-z_-])(?P<secret>(?:eyJ|ewo)[0-9A-Za-z_-]{8,2000}+={0,2}\.[0-9A-Za-z_-]{0,8000}+={0,2}\.[0-9A-Za-z_-]{0,8000}+"
        r"(?:\.[0-9A-Za-z_-]{1,8000}+\.[0-9A-Za-z_-]{1,200}+)?)",
        1000, judge.jwt,
    ),
)  # fmt: skip

_HOST = (
    r"(?=(?:[0-9A-Za-z][0-9A-Za-z.-]{0,253}+|\[[0-9A-Fa-f:.]{2,45}\]|[$%{][^\s@]{1,60}+)"
    r"(?:[/:?#,;\s\"'`<>)\]}\\|&*\u0080-\U0010ffff]|\Z))"
)
_URLS = (
    SecretSpec(
        "URL_PASSWORD", "password in a URL", ("://",),
        r"(?<![0-9A-Za-z])[A-Za-z][0-9A-Za-z+.-]{1,24}://(?P<user>[^\s/?#:@'\"<>]{0,128}):"
        rf"(?P<secret>[^\s/@?'\"<>\u0080-\U0010ffff]{{1,256}}|[^\s/'\"<>,;\u0080-\U0010ffff]{{1,256}})@{_HOST}",
        900, judge.url_password,
    ),
    SecretSpec(
        "BASIC_AUTH", "Basic credentials", ("basic ",),
        r"(?<![A-Za-z])Basic {1,3}(?P<secret>[0-9A-Za-z+/_-]{8,512}={0,2})", 950, judge.basic, ignore_case=True,
    ),
    SecretSpec(
        "BASIC_AUTH", "credentials of a request", ("curl",),
        r"curl [^\n]{0,200}?(?:-u|--user)[ =]{1,2}['\"]?[^\s:'\"]{1,64}:(?P<secret>[^\s'\"]{3,128})", 800, judge.password,
    ),
    SecretSpec(
        "BEARER_TOKEN", "bearer token", ("bearer",),
        r"(?<![A-Za-z])Bearer {1,3}(?P<secret>[0-9A-Za-z._~+/-]{12,4096}={0,2})", 850, judge.key, generic=True,
        ignore_case=True,
    ),
    SecretSpec(
        "BEARER_TOKEN", "token of an authorization header", ("authorization",),
        r"authorization['\"]?\s{0,3}[:=]\s{0,3}['\"]?(?:token|apikey|key) {1,3}(?P<secret>[0-9A-Za-z._~+/-]{12,4096}={0,2})",
        850, judge.key, generic=True, ignore_case=True,
    ),
)  # fmt: skip

# Between a name and its value: quotes or emphasis that close the name, perhaps the `value` of a list of names, a sign or "is".
_SIGN = (
    r"(?:\\?[\"'`]|\*{1,2}|_|\])?(?:[\s,]{1,24}\\?[\"']?value\\?[\"']?)?"
    r"(?:[ \t]{0,8}(?::=|=>|->|={1,2}|[:：＝|])\*{0,2}[ \t]{0,8}"
    r"|[ \t]{0,2}(?:是|为|改成|设为)[ \t]{0,2}[:：]?[ \t]{0,2}| (?:is|was)(?: now| set to)?:? )"
)
# A quoted value ends with its quotation mark, a plain one where a sentence, a query or a list goes on. Most characters end
# neither, and are taken without looking further: sixteen at a time once there are enough.
_PLAIN = r"[a-z/-9@-Z^_=+\-!#$%~]"
_OTHER = (
    r"(?:(?(quote)(?!(?P=quote))"
    r"|(?![\"'`,;<>|]|&[A-Za-z_]{1,30}=|\*\*|\\[\"'nr]|[?:.)\]}]{1,3}(?:\s|\Z|[\u0080-\U0010ffff])))[!-~])"
)


def _value(least: int, most: int) -> str:
    """A value of `least` characters and up to `most` pieces, each sixteen that do not end it or one that could."""
    return (
        r"(?:(?P<quote>\\?[\"'`])|\*\*|[“「『])?"
        f"(?P<secret>(?-i:(?:{_PLAIN}|{_OTHER}){{{least}}}+(?:{_PLAIN}{{1,16}}+|{_OTHER}){{0,{most}}}+))"
    )


_LOGIN_NAME = (
    # The names that passwords and keys go by.
    r"(?:pass(?:word|wd|phrase|code)|(?<![A-Za-z])pwd|(?<=db)pwd|(?<=[_-])pass|(?<![A-Za-z])pass(?=[\"']? ?[=:])"
    r"|密码|口令|密碼)"
)
_KEY_NAME = (
    r"(?:api[ _-]?key|(?:access|secret|auth|account|encryption|signing|private|master|session|service)[ _-]?key"
    r"|(?:client|app|consumer|shared|webhook|jwt|session)?[ _-]?secret(?:[ _-]?(?:key|token))?"
    r"|(?:api|access|auth|bot|refresh|bearer)[ _-]?token|token|credentials?|密钥|秘钥|私钥|令牌)"
)
_ASSIGNMENTS = (
    SecretSpec(
        "PASSWORD", "value of a password", ("pass", "pwd", "密码", "口令", "密碼"),
        f"(?:{_LOGIN_NAME}{_SIGN}|(?:密码|口令|密碼)[ \\t]{{0,2}}){_value(4, 24)}", 500, judge.password, generic=True,
        ignore_case=True,
    ),
    SecretSpec(
        "PASSWORD", "password in a sentence", ("pass",),
        f"pass(?:word|phrase|code)s? {_value(6, 24)}", 500, judge.spoken, generic=True, ignore_case=True,
    ),
    SecretSpec(
        "PASSWORD", "password of a command", ("--pass", "--pwd"),
        f"--pass(?:word|wd|phrase)? {_value(4, 24)}", 500, judge.password, generic=True, ignore_case=True,
    ),
    SecretSpec(
        "PASSWORD", "password in XML", ("password>",),
        r"<[A-Za-z:]{0,24}password>(?P<secret>[!-;=?-~]{4,128})</", 500, judge.password, generic=True, ignore_case=True,
    ),
    SecretSpec(
        "API_KEY", "value of a key, secret or token", ("key", "secret", "token", "credential", "密钥", "秘钥", "私钥", "令牌"),
        f"{_KEY_NAME}{_SIGN}{_value(8, 32)}", 600, judge.key, generic=True,
        ignore_case=True,
    ),
    SecretSpec(
        "API_KEY", "key or token of a command", ("--api", "--token", "--secret", "--access", "--auth"),
        f"--(?:api-?key|token|secret|access-token|auth-token|secret-key) {_value(8, 32)}", 600, judge.key,
        generic=True, ignore_case=True,
    ),
)  # fmt: skip

SPECS = (*_CLOUD, *_TOKENS, *_KEYS, *_URLS, *_ASSIGNMENTS)
"""Those that say more first."""

KNOWN_EXAMPLES = frozenset(
    {
        "0011cc25eb4320717494d2703e8cba85743e71b500283c21c8b88147992f9059",  # Azurite's account key
        "2cafc0970149a84f3b9e62eaf169f36f59907a3b3e31f7b82e68c69cd27f7326",  # Stripe's test keys
        "f2d6ca16515033e5dce14eba840b979d27b5cbae24bb3e5bf484339667f86397",
        "2d1f7723aabc5c7a51fcdc2463c99b5f3fdbc57cf3134db4ac12913c35976e6f",
        "0b5dd075ccdd03c42f4edda8e299e6838e2a75d3486a2a8d86940ed1541e9178",  # Telegram's bot
        "3543c50b0cb9cea8e55eb1f529b79f043cb250d485fde7b66cabbb5183add7da",  # GitHub's tokens
        "bc3ae723f57c6b9e3fd80b699fcc420f6074b0b1718039669d22631d508ac0a7",
        "02f7ce3c263f85c019eeeeea4b08f1b7f6ade2b7a2199c14f3efdac0eef382e1",  # Discord's bot
        "cf4d418ed3de92d71f767db5391d5a2dacd40e1ce49e75d1137e2ecf4982d844",  # RFC 7617
        "b8e148545b13c78bc74da2f1a7275dd71e56ddece129d7d2f7b3ecc06f7994da",  # RFC 6750
    }
)
"""SHA-256 of values that vendors print in their own documentation, so that this file holds none of them."""
