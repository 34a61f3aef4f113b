"""The `secrets` check: what it finds, where, what it leaves alone, and that no text makes it slow.

No literal here looks like a live key: every secret is put together at run time from a prefix and characters drawn from a seed.
"""

from __future__ import annotations

import base64
import json
import random
import re
import string
import time
import zlib
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guard.checks import secret_patterns, secret_values
from guard.errors import RegistryError
from guard.registry import checks
from guard.types import CALLER, Content, Modality, Request, Span, Stage

DRAW = random.Random(20)
UPPER = string.ascii_uppercase
BASE62 = string.digits + UPPER + string.ascii_lowercase
URLSAFE, HEX = BASE62 + "-_", "0123456789abcdef"


def drawn(length: int, alphabet: str = BASE62) -> str:
    """Characters as a service would draw them: letters at both ends, so that borders are clear."""
    ends = [one for one in alphabet if one.isalnum()]
    return DRAW.choice(ends) + "".join(DRAW.choices(alphabet, k=length - 2)) + DRAW.choice(ends)


def b64(raw: bytes) -> str:
    return base64.b64encode(raw).decode()


def b64url(value: object) -> str:
    raw = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def checked(prefix: str) -> str:
    """A token that ends in the CRC-32 of its thirty random characters."""
    body = drawn(30)
    return prefix + body + secret_values.base62(zlib.crc32(body.encode()))


def pem(kind: str, raw: bytes, *, newline: str = "\n", width: int = 64) -> str:
    body = b64(raw)
    lines = [body[start : start + width] for start in range(0, len(body), width)]
    return newline.join((f"-----BEGIN {kind}-----", *lines, f"-----END {kind}-----"))


def jwt(header: object, payload: object, signature: bytes = b"s" * 7 + b"igned by nobody at all") -> str:
    return ".".join((b64url(header), b64url(payload), b64url(signature)))


PKCS8 = b"\x30\x82\x04\xbe" + DRAW.randbytes(600)
OPENSSH = b"openssh-key-v1\x00" + DRAW.randbytes(300)
PGP = b"\x95\x03\xbe" + DRAW.randbytes(700)
AWS_ID, AWS_SECRET = "AKIA" + drawn(16, UPPER + "234567"), drawn(40, BASE62 + "/+")
ALIBABA_ID, TENCENT_ID = "LTAI5t" + drawn(18), "AKID" + drawn(32)
GOOGLE_PEM = pem("PRIVATE KEY", PKCS8, newline="\\n")

SECRETS = (
    ("AWS_ACCESS_KEY", AWS_ID),
    ("AWS_ACCESS_KEY", "ASIA" + drawn(16, UPPER + "234567")),
    ("GCP_API_KEY", "AIza" + drawn(35, URLSAFE)),
    ("GOOGLE_OAUTH_TOKEN", "GOCSPX-" + drawn(28, URLSAFE)),
    ("GOOGLE_OAUTH_TOKEN", "ya29." + drawn(160, URLSAFE)),
    ("AZURE_CLIENT_SECRET", drawn(3) + "8Q~" + drawn(34, BASE62 + "._-")),
    ("ALIBABA_ACCESS_KEY", ALIBABA_ID),
    ("TENCENT_SECRET_ID", TENCENT_ID),
    *(("GITHUB_TOKEN", checked(prefix)) for prefix in ("ghp_", "gho_", "ghu_", "ghs_", "ghr_")),
    ("GITHUB_TOKEN", "github_pat_" + drawn(22) + "_" + drawn(59)),
    ("GITLAB_TOKEN", "glpat-" + drawn(20, URLSAFE)),
    ("GITLAB_TOKEN", "glpat-" + drawn(51, URLSAFE) + ".01." + drawn(7, string.digits + string.ascii_lowercase)),
    ("GITLAB_TOKEN", "glrt-" + drawn(20, URLSAFE)),
    ("SLACK_TOKEN", f"xoxb-{drawn(12, string.digits)}-{drawn(13, string.digits)}-{drawn(24)}"),
    ("SLACK_TOKEN", f"xoxp-{drawn(12, string.digits)}-{drawn(12, string.digits)}-{drawn(32, HEX)}"),
    ("SLACK_TOKEN", f"xapp-1-A{drawn(10, UPPER)}-{drawn(13, string.digits)}-{drawn(64, HEX)}"),
    ("STRIPE_KEY", "sk_" + "live_" + drawn(24)),
    ("STRIPE_KEY", "rk_" + "live_" + drawn(99)),
    ("STRIPE_KEY", "sk_" + "test_" + drawn(24)),
    ("STRIPE_KEY", "whsec_" + drawn(32)),
    ("OPENAI_KEY", "sk-" + drawn(20) + "T3Blbk" + "FJ" + drawn(20)),
    ("OPENAI_KEY", "sk-proj-" + drawn(74, URLSAFE) + "T3Blbk" + "FJ" + drawn(74, URLSAFE)),
    ("ANTHROPIC_KEY", "sk-ant-" + "api03-" + drawn(95, URLSAFE)),
    ("API_KEY", "sk-" + drawn(32, HEX)),
    ("HUGGINGFACE_TOKEN", "hf_" + drawn(34, string.ascii_letters)),
    ("NPM_TOKEN", checked("npm_")),
    ("PYPI_TOKEN", "pypi-" + "AgEIcHlwaS5vcmc" + drawn(140, URLSAFE)),
    ("TELEGRAM_BOT_TOKEN", drawn(10, string.digits) + ":AA" + drawn(33, URLSAFE)),
    ("TWILIO_KEY", "SK" + drawn(32, HEX)),
    ("SENDGRID_KEY", "SG." + drawn(22, URLSAFE) + "." + drawn(43, URLSAFE)),
    ("DISCORD_TOKEN", f"{b64url(str(10**17 + 4821399).encode())}.{drawn(6, URLSAFE)}.{drawn(38, URLSAFE)}"),
    ("SERVICE_TOKEN", "shpat_" + drawn(32, HEX)),
    ("SERVICE_TOKEN", "dapi" + drawn(32, HEX)),
    ("SERVICE_TOKEN", "hvs." + drawn(90, URLSAFE)),
    ("SERVICE_TOKEN", "dop_v1_" + drawn(64, HEX)),
    ("PRIVATE_KEY", pem("PRIVATE KEY", PKCS8)),
    ("PRIVATE_KEY", pem("RSA PRIVATE KEY", PKCS8, newline="\r\n")),
    ("PRIVATE_KEY", pem("EC PRIVATE KEY", b"\x30\x77" + DRAW.randbytes(119))),
    ("PRIVATE_KEY", pem("PRIVATE KEY", b"\x30\x2e" + DRAW.randbytes(46))),
    ("PRIVATE_KEY", pem("OPENSSH PRIVATE KEY", OPENSSH, width=70)),
    ("PRIVATE_KEY", pem("PGP PRIVATE KEY BLOCK", PGP).replace("BLOCK-----\n", "BLOCK-----\nVersion: GnuPG v2\n\n", 1)),
    ("PRIVATE_KEY", pem("PRIVATE KEY", PKCS8).replace("\n", "\n    ")),
    ("PRIVATE_KEY", "AGE-SECRET-KEY-1" + drawn(58, "QPZRY9X8GF2TVDW0S3JN54KHCE6MUA7L")),
    ("JWT", jwt({"alg": "HS256", "typ": "JWT"}, {"sub": "1002", "iat": 1516239022})),
    ("JWT", jwt({"typ": "JWT", "alg": "none"}, {"sub": "1002"}, b"")),
    ("JWT", f"{jwt({'alg': 'RSA-OAEP', 'enc': 'A256GCM'}, b'key' * 9, b'iv' * 6)}.{b64url(b'c' * 40)}.{b64url(b't' * 16)}"),
)  # fmt: skip

BESIDE = (
    ("AWS_SECRET_KEY", f"aws_secret_access_key = {AWS_SECRET}", AWS_SECRET),
    ("AWS_SECRET_KEY", f'"SecretAccessKey": "{AWS_SECRET}"', AWS_SECRET),
    ("AZURE_STORAGE_KEY", "AccountName=shop;AccountKey={};EndpointSuffix=core", b64(DRAW.randbytes(64))),
    ("AZURE_SHARED_ACCESS_KEY", "SharedAccessKeyName=Root;SharedAccessKey={}", b64(DRAW.randbytes(32))),
    ("AZURE_SAS_TOKEN", "https://shop.blob.example/x?sv=2022-11-02&se=2030-01-01&sig={}&sp=r", drawn(43, BASE62) + "%3D"),
    ("SLACK_WEBHOOK", "https://hooks.slack." + "com/services/{}", f"T{drawn(8, UPPER)}/B{drawn(8, UPPER)}/{drawn(24)}"),
    ("DISCORD_WEBHOOK", "https://discord.com/api/webhooks/110000000000000000/{}", drawn(68, URLSAFE)),
    ("TWILIO_KEY", "TWILIO_AUTH_TOKEN={}", drawn(32, HEX)),
    ("GCP_SERVICE_ACCOUNT_KEY", '{{"type": "service_account", "private_key": "{}\\n", "client_id": "1"}}', GOOGLE_PEM),
    ("BASIC_AUTH", "Authorization: Basic {}", b64(b"admin:Kq7xPz29")),
    ("BASIC_AUTH", "curl -s -u admin:{} https://api.example.com", "Kq7xPz29"),
    ("BEARER_TOKEN", "Authorization: Bearer {}", drawn(40)),
    ("BEARER_TOKEN", "authorization: token {}", drawn(40)),
    ("GITHUB_TOKEN", "Authorization: Bearer {}", checked("ghp_")),
    ("JWT", "Authorization: Bearer {}", jwt({"alg": "ES256"}, {"sub": "7"})),
    ("GITHUB_TOKEN", "https://x-access-token:{}@github.com/shop/site.git", checked("ghs_")),
    ("URL_PASSWORD", "postgres://shop:{}@db.example.com:5432/shop", "Kq7xPz29"),
    ("URL_PASSWORD", "amqp://shop:{}@mq:5672/", "p@ss9x!"),
    ("URL_PASSWORD", "地址redis://:{}@cache，请保密", "Kq7xPz29"),
    ("URL_PASSWORD", "mongodb+srv://shop:{}@a.example.com,b.example.com/db?w=1", "Kq7xPz29"),
    ("URL_PASSWORD", "see https://bob:{}@example.com.", "sunflower"),
    ("PASSWORD", "password={}", "hunter2"),
    ("PASSWORD", "password: {}", "Hunter2!"),
    ("PASSWORD", "My password is {}.", "Tr0ub4dor&3"),
    ("PASSWORD", "the wifi password is {}, ok?", "Sunflower88"),
    ("PASSWORD", "her login and password {} were found", "Qr7!dke#39"),
    ("PASSWORD", "logged in with password '{}' and", "TempGov2023!"),
    ("PASSWORD", "数据库密码：{}，", "Kq7!xyz2"),
    ("PASSWORD", "密码是{}。", "Kq712345"),
    ("PASSWORD", "密码 {}", "8371xy2k"),
    ("PASSWORD", "口令为{}，请保密", "Qw7xkp29"),
    ("PASSWORD", "**Password:** `{}`", "Zx81!kk2"),
    ("PASSWORD", "| password | {} |", "Zx81kk2q"),
    ("PASSWORD", '{{"password": "{}"}}', "a,b;c1X<z"),
    ("PASSWORD", '{{\\"password\\": \\"{}\\"}}', "Kq7xPz29"),
    ("PASSWORD", "Server=db;User Id=sa;Password={};Encrypt=yes", "Kq7!xPz2"),
    ("PASSWORD", "jdbc:mysql://h/db?user=x&password={}&ssl=1", "Kq7xPz29"),
    ("PASSWORD", "mysqldump --password {} shop", "Kq7xPz29"),
    ("PASSWORD", "the passcode is {}", "482913"),
    ("PASSWORD", "export SMTP_PASS={}", "Kq7xPz29"),
    ("PASSWORD", "<password>{}</password>", "Kq7xPz29"),
    ("PASSWORD", "- name: DB_PASSWORD\n  value: {}\n", "Kq7xPz29"),
    ("API_KEY", "api_key={}", drawn(20)),
    ("API_KEY", "X-API-Key: {}", drawn(32, HEX)),
    ("API_KEY", "client_secret: '{}'", drawn(24, BASE62 + "~.")),
    ("API_KEY", 'const apiKey = "{}";', drawn(32)),
    ("API_KEY", "client_secret: '{}'", drawn(10) + "." + "M" + drawn(13)),
    ("BEARER_TOKEN", "Authorization: Bearer {}", "A" + drawn(20) + ".b" + drawn(20)),
    ("API_KEY", "密钥：{}。", drawn(24)),
    ("API_KEY", "https://api.example.com/v1?access_token={}&page=2", drawn(40)),
    ("API_KEY", "SECRET_KEY = 'django-insecure-{}'", ""),
)  # fmt: skip


@pytest.fixture(scope="module")
def check():
    """As a policy gets it without parameters."""
    return loaded()


def loaded(**parameters):
    made = checks.make("secrets", parameters)
    made.load()
    return made


def content(text):
    return Content(Modality.TEXT, text, "text/plain", Stage.OUTPUT, CALLER, Request("test"))


def found(check, text):
    """Label and text of each finding; the whole text has to be read."""
    (scan,) = check([content(text)])
    assert scan.scanned == Span(0, len(text))
    return [(finding.label, text[finding.where.start : finding.where.end]) for finding in scan.findings]


def score(check, text):
    (scan,) = check([content(text)])
    return max((finding.score for finding in scan.findings), default=0)


AROUND = ("{}", "use {} for it.", "密钥{}，请保密", '"{}"', "`{}`\n", "({})", "\ud800{}\ud800", "KEY={};")


@pytest.mark.parametrize("around", AROUND)
@pytest.mark.parametrize(("label", "secret"), SECRETS, ids=[f"{label}-{n}" for n, (label, _) in enumerate(SECRETS)])
def test_a_secret_is_found_with_its_exact_place_whatever_stands_around_it(check, around, label, secret):
    """Next to Latin and Chinese text, quotes, brackets and lone surrogates."""
    assert found(check, around.replace("{}", secret)) == [(label, secret)]


@pytest.mark.parametrize(("label", "text", "secret"), BESIDE, ids=[f"{label}-{n}" for n, (label, *_) in enumerate(BESIDE)])
def test_what_is_assigned_is_found_without_the_name_before_it(check, label, text, secret):
    """Code, configuration, headers, URLs, Markdown and prose."""
    if not secret:
        secret = "django-insecure-" + drawn(50, BASE62 + "!@$%^&*(-_=+)")
        text = "SECRET_KEY = '{}'"
    text = text if secret in text else text.replace("{}", secret).replace("{{", "{").replace("}}", "}")
    assert found(check, text) == [(label, secret)]


@pytest.mark.parametrize(
    ("key", "secret", "labels"),
    [
        (AWS_ID, AWS_SECRET, ["AWS_ACCESS_KEY", "AWS_SECRET_KEY"]),
        (ALIBABA_ID, drawn(30), ["ALIBABA_ACCESS_KEY", "ALIBABA_SECRET_KEY"]),
        (TENCENT_ID, drawn(32), ["TENCENT_SECRET_ID", "TENCENT_SECRET_KEY"]),
    ],
)
@pytest.mark.parametrize("between", [",", "\n", " / ", "\nSecretKey: ", '", "secret": "'])
def test_a_secret_without_a_prefix_is_found_beside_its_key_id(check, key, secret, labels, between):
    """As in the files that clouds let one download."""
    pairs = found(check, f"{key}{between}{secret}")
    assert [value for _, value in pairs] == [key, secret]
    assert [label for label, _ in pairs] == labels


def test_a_block_that_is_cut_off_is_found_to_its_last_character(check):
    """A model may run out of tokens in the midst of a key."""
    block = pem("RSA PRIVATE KEY", PKCS8)
    for length in (120, 200, 333, len(block) - 40):
        assert found(check, "Here:\n" + block[:length]) == [("PRIVATE_KEY", block[:length])]
    lines = "\n".join(block.split("\n")[:-1])
    assert found(check, f"{lines}\n\nKeep it to yourself, please.") == [("PRIVATE_KEY", lines)]


NEGATIVE = (
    "Commit 9fceb02d0ae598e95dc970b74767f19372d61af8 and tree 4b825dc642cb6eb9a060e54bf8d69288fbee4904",
    "md5 d41d8cd98f00b204e9800998ecf8427e, sha256 e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    '"integrity": "sha512-' + b64(bytes(range(64))) + '"',
    "request 6f1f0ad4-0b8f-4c57-9d31-6f0b8f3f1f6e failed",
    "api_key: 550e8400-e29b-41d4-a716-446655440000",
    "<img src='data:image/png;base64," + b64(bytes(range(256)) * 8) + "'>",
    "Donaudampfschifffahrtsgesellschaftskapitaen Pneumonoultramicroscopicsilicovolcanoconiosis",
    "Product SKU-48213-XL, part 5N1AT2MV7EC812345, model WH-1000XM4, ISBN 978-3-16-148410-0",
    "version 3.18.0-rc.1+build.20240131, v2.0.0, Python 3.11.9, order no. 2023-1182-7745-0091",
    "Order number 4821399001 was shipped with UPS 1Z999AA10123456784.",
    "The password is required. Passwords must be at least 8 characters long.",
    "Password: must contain 8-16 characters; your password is case-sensitive",
    "password OAuth2.0 password WPA2/WPA3 password reset2024 password user1@example.com the password 'must' be long",
    "password: HiddenText, request-pass|request-text|request-list2",
    "Forgot your password? A password reset link was sent. Password:",
    "The secret is patience. The secret: work. Token: the smallest unit of text.",
    "The bearer of this letter; Bearer of good news; basic training; Basic knowledge",
    "password=<your-password> password=${DB_PASSWORD} password={{ vault.password }} password=$(cat file)",
    "password=changeme password=xxxxxxxx password=******** password=[REDACTED] password=%PASSWORD%",
    "password=your_password_1 api_key=YOUR_API_KEY_12345678 token=<token> secret=...",
    "password: string\npassword: null\npassword: true\ntoken: undefined",
    '{"password": "Passwort", "token": "string", "secret": "string", "password": "password"}',
    'password = getpass.getpass("x1 ")\npassword = request.form["password2"]\ntoken = os.environ["TOKEN1"]',
    "password = config.db_password2\nsecret = process.env.SECRET_1\ntoken = self.tokenizer.encode(text1)",
    "def login(user: str, password: str, token: str | None = None) -> Session2:",
    "api_key = load_key_from_vault_2024()\nclient_secret=settings.CLIENT_SECRET_V2",
    "private_key: /etc/ssl/private/server1.key\ntoken: ./secrets/token1.txt\nsecret: arn:aws:secretsmanager:eu-west-1:x",
    "token_url: https://login.example.com/oauth2/v2.0/token\nsecretName: shop-db-credentials-01",
    "password: $2b$12$" + "KIXQ4S8kFvJ0c1rM5n7hO.abcdefghijklmnopqrstuvwxyz012345",
    "password: 5f4dcc3b5aa765d61d8327deb882cf99",
    "password=123456 password=abcdef1 password=qwerty1",
    "max_tokens=4096 next_page_token=CAUQAA9xYz81kLmN0pQr token_type: bearer tokenizer: bert-base-uncased-v2",
    "token: bert-base-uncased-finetuned-sst-2-english secret: us-east-1-prod-cluster-01",
    "https://example.com:8080/path@2x.png https://medium.com/@user/post-1 ssh://git@github.com:22/x.git",
    "postgres://user:password@localhost/db postgres://user:${PASS}@db/x redis://:<password>@cache http://a:xxxx@b/",
    "postgres://postgres:postgres@localhost:5432/app",
    "AKIAIOSFODNN7" + "EXAMPLE / wJalrXUtnFEMI" + "/K7MDENG/bPxRfiCYEXAMPLEKEY",
    "AIza" + "x" * 35 + " ghp_" + "x" * 36 + " sk-" + "0" * 48 + " hf_" + "x" * 34,
    "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1" + "OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw" + "==",
    "AccountKey=Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1" + "OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw" + "==",
    "-----BEGIN PRIVATE KEY-----\n...\n-----END PRIVATE KEY-----",
    "-----BEGIN RSA PRIVATE KEY-----\nMIIEpAIBAAKCAQEA<your key here>\n-----END RSA PRIVATE KEY-----",
    "-----BEGIN PUBLIC KEY-----\n" + b64(PKCS8) + "\n-----END PUBLIC KEY-----",
    "-----BEGIN CERTIFICATE-----\n" + b64(PKCS8) + "\n-----END CERTIFICATE-----",
    "ssh-ed25519 " + b64(b"\x00\x00\x00\x0bssh-ed25519" + bytes(36)) + " maria@laptop",
    "A file that begins with -----BEGIN PRIVATE KEY----- holds a key.",
    "eyJhbGciOi" + ".not-json." + "x",
    ".".join((b64url({"typ": "JWT"}), b64url({"sub": "1"}), "c2lnbmF0dXJl")),
    "eyJ0aGlzIjoiaXMganVzdCBKU09OIn0",
    "pk_" + "live_" + drawn(24),
    "AC" + drawn(32, HEX) + " is an account",
    "class AKIATest: risk-free, task-list, disk-usage, sk-learn, hf_hub_download, npm_config_registry, glpat-short",
    "密码不能为空，请输入至少八个字符，密码为6-16位字母和数字。",
    "请输入密码：______，忘记密码请点击这里。密钥长度为2048位，令牌已过期。",
    "订单号20240131000482139，快递单号SF1234567890123，型号WH-1000XM4。",
    "for key, value in secrets.items(): print(key, value) # secret: see docs/secrets.md",
    "It was the best of times, it was the worst of times, it was the age of wisdom, it was the age of foolishness.",
    "a" * 5000,
    "",
)  # fmt: skip


@pytest.mark.parametrize("text", NEGATIVE, ids=range(len(NEGATIVE)))
def test_what_is_no_secret_is_left_alone(check, text):
    """Hashes, identifiers, placeholders, variables, code, documentation's own examples, prose."""
    assert found(check, text) == []


def test_a_wrong_checksum_lowers_the_score_and_a_right_one_proves(check):
    """The format alone is reported too, for formats change; a policy can ask for 0.7 and more."""
    right = checked("ghp_")
    wrong = right[:-1] + ("A" if right[-1] != "A" else "B")
    assert (score(check, right), score(check, wrong)) == (1000, secret_values.UNPROVEN)
    assert found(loaded(min_score=700), wrong) == []


def test_the_checksum_is_that_of_github_and_npm():
    """CRC-32 of the thirty characters, in base 62 with digits first, as in a token that was published as a worked example."""
    assert secret_values.base62(zlib.crc32(b"zQWBuTSOoRi4A9spHcVY5ncnsDkxkJ")) == "0mLq17"


def test_a_policy_chooses_kinds_and_allows_values(check):
    """Allowed values are given as digests, so that a policy holds no secret."""
    token, text = checked("ghp_"), "password=Kq7xPz29 "
    assert found(loaded(kinds=("GITHUB_TOKEN",)), text + token) == [("GITHUB_TOKEN", token)]
    assert found(loaded(allow=(sha256(b"Kq7xPz29").hexdigest(),)), text + token) == [("GITHUB_TOKEN", token)]
    assert set(loaded(kinds=("JWT",)).labels) == {"JWT"}
    assert set(check.labels.values()) == {"cyber"}


@pytest.mark.parametrize("parameters", [{"kinds": ("NOPE",)}, {"kinds": ()}, {"min_score": 1001}, {"allow": ("hunter2",)}])
def test_parameters_that_cannot_be_are_refused(parameters):
    """And the message does not repeat what may be a secret."""
    with pytest.raises(RegistryError, match="check 'secrets'") as caught:
        checks.make("secrets", parameters)
    assert "hunter2" not in str(caught.value)


def test_reasons_say_the_format_and_quote_nothing(check):
    """Safe to log."""
    for _, secret in SECRETS:
        (scan,) = check([content(secret)])
        for finding in scan.findings:
            assert secret[4:12] not in finding.reason
            assert str(len(secret)) in finding.reason


def test_many_secrets_in_one_text_are_all_found_in_order(check):
    """One a line, each where it stands."""
    text = "\n".join(secret for _, secret in SECRETS)
    assert sorted(found(check, text)) == sorted(SECRETS)


@given(st.text(st.characters(), max_size=300))
def test_any_text_is_read_whole(text):
    """Lone surrogates, control characters, anything."""
    found(CHECK, text)


CHECK = loaded()

HOSTILE = (
    "-----BEGIN PRIVATE KEY-----",
    "-----BEGIN PRIVATE KEY-----\n" + "A" * 900,
    "-----BEGIN PRIVATE KEY-----\nA: b\n",
    "-" * 9,
    "Private-Lines: 9\nabcd\n",
    "eyJ",
    "eyJhbGciOiJI.",
    "eyJhbGciOiJIUzI1NiJ9.",
    "eyJ" + "A" * 1999,
    "a://b:",
    "a://b:@",
    "x://u:a@a",
    "://",
    "password=",
    'password="',
    "password: ",
    "password|",
    "passwordA1b2C3",
    "token=",
    "token is ",
    "secret:secret:",
    "token=A1b2C3:",
    "api key, value",
    "密码",
    "密码是",
    "密码：a1",
    "aws",
    "aws secret ",
    "secret_access_key=",
    "AKIA" + "A" * 16 + " ",
    "AKID" + "a1" * 16 + " ",
    "LTAI" + "a1" * 10 + " ",
    "accesskey",
    "accesskeysecret",
    "twilio",
    "curl ",
    "curl -u a:",
    "bearer ",
    "bearer " + "a1" * 9 + " ",
    "basic " + "YTpi" * 3 + " ",
    "authorization: token ",
    "sk-",
    "sk-proj-",
    "sk-aT3BlbkFJ",
    "xoxb-",
    "xoxb-a-",
    "glpat-",
    "ghp_",
    "M" + "TAA" * 9 + ".",
    "MTA",
    "SG.",
    "hvs.",
    "Q~",
    "sig=",
    ":AA",
    "1:AA",
    "a1-",
    "A1.b2",
    "a",
    "A",
    "0",
    "aB3",
    " ",
    "\n",
    "'",
    '"',
    "\\",
    "\\n",
    "=",
    "=:",
    "****",
    "<password>",
)


@pytest.mark.parametrize("piece", HOSTILE, ids=range(len(HOSTILE)))
def test_no_text_makes_it_slow(check, piece):
    """A hundred thousand characters of each tricky kind, two seconds of computing at most on a busy machine."""
    text = (piece * (100_000 // len(piece) + 1))[:100_000]
    started = time.process_time()
    found(check, text)
    assert time.process_time() - started < 2


def test_text_without_candidates_is_not_searched(check):
    """It costs a small part of what text with a candidate in every line does: no pattern runs over it."""
    words = "It was the best of times, it was the worst of times, it was the age of wisdom, it was the age of foolishness. "
    plain, full = ((words * 5)[:600], ("password: hunter2hunter2, token=abcdefgh12345678, " * 15)[:600])

    def cost(text):
        batch = [content(text)] * 100
        started = time.process_time()
        check(batch)
        return time.process_time() - started

    assert min(cost(plain) for _ in range(5)) < min(cost(full) for _ in range(5)) / 3


def test_every_repetition_of_every_pattern_is_bounded():
    """No star and no plus without a limit, but those that make a repetition possessive."""
    for spec in secret_patterns.SPECS:
        bare = re.sub(r"\\.|\[(?:\\.|[^\]\\])*\]|\{[0-9,]+\}\+?", "x", spec.pattern)
        assert not re.search(r"[*+]", bare), spec.name
