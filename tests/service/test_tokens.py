"""Bearer tokens of an OpenID Connect issuer: what counts, and everything that is tried and does not."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import time
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from starlette.testclient import TestClient

from guard.errors import SettingsError
from service import create_app
from serving.identity import tokens
from serving.identity.roles import Role
from serving.identity.tokens import REFETCH_S, STALE_S, TokenError
from serving.identity.tokens import Issuer as Checked
from serving.settings import Settings
from tests.service.issuer import AUDIENCE, CLIENT, Issuer, rsa_key
from tests.service.plain import bearer, plain


class Desk:
    """A checker with a clock of ours."""

    def __init__(self, issuer: Issuer, **more: Any) -> None:
        self.seconds = 1000.0
        settings = Settings(oidc_issuer=issuer.url, oidc_audience=AUDIENCE, **more)
        self.checked = Checked(settings, clock=lambda: self.seconds)

    def who(self, *given: str) -> Any:
        """Of the last of these tokens, in one event loop."""

        async def ask() -> Any:
            return [await self.checked.bearer(one) for one in given][-1]

        return asyncio.run(ask())


def unsigned(claims: dict[str, Any], header: dict[str, Any], signature: bytes = b"") -> str:
    parts = [json.dumps(header).encode(), json.dumps(claims).encode(), signature]
    return ".".join(base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in parts)


def test_a_token_says_who_and_with_which_roles(issuer):
    """By the claims that are set; the tenant, too."""
    found = Desk(issuer).who(issuer.token())
    assert (found.name, found.roles, found.tenant, found.sees) == ("ann", {Role.OFFICER}, "", "")
    more = {"oidc_name_claim": "email", "oidc_roles_claim": "groups", "oidc_tenant_claim": "org"}
    desk = Desk(issuer, oidc_roles=("gg-admins=admin", "gg=all=reviewer"), **more)
    token = issuer.token(email="ann@acme.example", groups="gg-admins gg=all officer", org="acme")
    found = desk.who(token)
    assert (found.name, found.roles, found.tenant) == ("ann@acme.example", {Role.ADMIN, Role.REVIEWER}, "acme")


@pytest.mark.parametrize(
    "claims",
    [
        {"aud": "another"},
        {"aud": CLIENT},
        {"aud": None},
        {"iss": "https://evil.example"},
        {"iss": None},
        {"sub": None},
        {"sub": ""},
        {"sub": "a\nb"},
        {"sub": "x" * 201},
        {"exp": 1},
        {"exp": None},
        {"exp": int(time.time()) - 120},
        {"nbf": int(time.time()) + 3600},
        {"iat": int(time.time()) + 3600},
        {"iat": None},
        {"roles": None},
        {"roles": []},
        {"roles": ["king"]},
        {"roles": {"admin": True}},
        {"roles": [["admin"]]},
    ],
)
def test_claims_that_are_wrong_or_missing_do_not_count(issuer, claims):
    """Of a token that is signed as it should be."""
    assert Desk(issuer).who(issuer.token(**claims)) is None


def test_clocks_may_differ_by_a_minute(issuer):
    """No more."""
    desk = Desk(issuer)
    assert desk.who(issuer.token(exp=int(time.time()) - 30)) is not None
    assert desk.who(issuer.token(exp=int(time.time()) - 90)) is None


def test_who_has_no_tenant_is_refused_where_one_is_asked_for(issuer):
    """A missing claim must not open all tenants."""
    desk = Desk(issuer, oidc_tenant_claim="org")
    for claims in ({}, {"org": ""}, {"org": ["acme"]}, {"org": " "}):
        assert desk.who(issuer.token(**claims)) is None
    assert desk.who(issuer.token(org="acme")).sees == "acme"


def test_tokens_without_a_signature_or_with_a_shared_secret_do_not_count(issuer):
    """`none` in every spelling; and the public key, which everybody knows, as the secret."""
    now = int(time.time())
    claims = {"iss": issuer.url, "aud": AUDIENCE, "sub": "eve", "iat": now, "exp": now + 300, "roles": ["admin"]}
    desk = Desk(issuer)
    for name in ("none", "None", "NONE", "nOnE", ""):
        assert desk.who(unsigned(claims, {"alg": name, "typ": "JWT", "kid": "first"})) is None
    public = issuer.keys["first"].public_key()
    secrets = [
        public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
        json.dumps(issuer.jwks()["keys"][0]).encode(),
    ]
    for secret in secrets:
        for name, digest in (("HS256", hashlib.sha256), ("HS512", hashlib.sha512)):
            bare = unsigned(claims, {"alg": name, "kid": "first"}).rpartition(".")[0]
            token = f"{bare}.{base64.urlsafe_b64encode(hmac.new(secret, bare.encode(), digest).digest()).rstrip(b'=').decode()}"
            assert desk.who(token) is None


def test_a_token_cannot_bring_its_own_key(issuer):
    """Neither in its header nor by the address of one; nor use another's signature, another algorithm, or no id."""
    desk, other = Desk(issuer), rsa_key(2)
    assert desk.who(issuer.token(key=other)) is None
    import jwt

    claims = jwt.decode(issuer.token(), options={"verify_signature": False})
    own = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(other.public_key()))
    for header in (
        {"kid": "first", "jwk": own},
        {"kid": "first", "jku": f"{issuer.url}/evil"},
        {"kid": "first", "x5u": "https://evil.example"},
        {},
    ):
        assert desk.who(jwt.encode(claims, other, "RS256", headers=header)) is None
    assert not [path for path in issuer.asked if "evil" in path]
    good = issuer.token()
    head, body, signature = good.split(".")
    assert desk.who(".".join((head, issuer.token(sub="eve").split(".")[1], signature))) is None
    for bad in (f"{head}.{body}.", f"{head}.{body}", f"{good}.x", "..", "a.b.c", good + "=" * 20_000):
        assert desk.who(bad) is None
    assert (
        desk.who(jwt.encode(claims, issuer.keys["first"], "RS256", headers={"kid": "first", "crit": ["exp"], "exp": 1})) is None
    )


def test_new_keys_are_fetched_and_strangers_cannot_make_us_fetch(issuer):
    """An unknown id fetches the keys again, but not more often than every half minute."""
    desk = Desk(issuer)
    assert desk.who(issuer.token()) is not None
    assert issuer.asked == ["/.well-known/openid-configuration", "/jwks"]
    issuer.keys["second"] = rsa_key(2)
    fresh = issuer.token(kid="second")
    assert desk.who(*[issuer.token(kid="second")] * 50) is None
    assert issuer.asked.count("/jwks") == 1
    desk.seconds += REFETCH_S
    assert desk.who(fresh) is not None
    assert issuer.asked.count("/jwks") == 2
    del issuer.keys["first"]
    old = issuer.token(kid="first", key=rsa_key(1))
    desk.seconds += tokens.FRESH_S
    assert desk.who(fresh, old) is None
    assert issuer.asked.count("/jwks") == 3


def test_an_issuer_that_is_away_for_a_while_locks_nobody_out(issuer):
    """Keys of the last day go on; without any, it is a failure and no refusal."""
    desk = Desk(issuer)
    assert desk.who(issuer.token()) is not None
    issuer.down = True
    desk.seconds += STALE_S - 1
    assert desk.who(issuer.token()) is not None
    desk.seconds += REFETCH_S + 1
    with pytest.raises(TokenError, match="answers with 503"):
        desk.who(issuer.token())
    with pytest.raises(TokenError, match="just now"):
        desk.who(issuer.token())
    issuer.down = False
    desk.seconds += tokens.RETRY_S
    assert desk.who(issuer.token()) is not None


@pytest.mark.parametrize(
    "described",
    [
        {"issuer": "https://evil.example"},
        {"jwks_uri": "https://evil.example/jwks"},
        {"jwks_uri": "file:///etc/passwd"},
        {"jwks_uri": 7},
    ],
)
def test_keys_come_from_the_issuer_alone(issuer, described):
    """Whatever its description says."""
    issuer.described = described
    with pytest.raises(TokenError):
        Desk(issuer).who(issuer.token())
    assert "/jwks" not in issuer.asked


@pytest.mark.parametrize(
    "url", ["http://evil.example", "ftp://a.example", "issuer", "https://a.example/?x=1", "https://u:p@a.example"]
)
def test_an_address_that_is_not_safe_is_refused_at_the_start(url):
    """Before anything is fetched."""
    with pytest.raises(SettingsError, match="GENGUARD_OIDC_ISSUER"):
        Checked(Settings(oidc_issuer=url))


def test_roles_of_the_issuer_have_to_lead_to_ours():
    """Or the service does not start."""
    with pytest.raises(SettingsError, match="expected NAME=ROLE"):
        Checked(Settings(oidc_issuer="https://a.example", oidc_roles=("admins=king",)))


def test_a_service_takes_tokens_and_nothing_else_then(issuer, tmp_path):
    """On loopback, too: 401 without; 503 while the issuer cannot be asked."""
    settings = plain(tmp_path, oidc_issuer=issuer.url, oidc_audience=AUDIENCE)
    with TestClient(create_app(settings)) as client:

        def status(token: str, path: str = "/v1/policies") -> int:
            return client.get(path, headers=bearer(token) if token else {}).status_code

        issuer.down = True
        assert status(issuer.token()) == 503
        issuer.down = False
        client.app.state.callers.issuer._tried = float("-inf")
        assert (status(issuer.token()), status(""), status(issuer.token(aud="other"))) == (200, 401, 401)
        assert status(issuer.token(), "/v1/models") == 403
        assert status(issuer.token(roles=["caller"]), "/v1/models") == 200
