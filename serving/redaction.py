"""Where the redaction key comes from."""

from __future__ import annotations

from guard.redact import keyed_rules
from guard.redaction_key import RedactionKey
from serving.keyhome import KeyHome

HOME = KeyHome(
    name="redaction key",
    environment="GENGUARD_REDACTION_KEY",
    suffix=".redaction.key",
    parse=RedactionKey.parse,
    read=RedactionKey.read,
    make=RedactionKey.make,
    needed_by=lambda policy: bool(keyed_rules(policy)),
    loss="nothing encrypted can be read again",
)
find_redaction_key, need_redaction_key = HOME.find, HOME.need
