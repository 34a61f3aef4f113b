"""Where the watermark key comes from."""

from __future__ import annotations

from guard.marks.key import make_watermark_key, parse_watermark_key, read_watermark_key
from guard.marks.watermark import keyed
from serving.keyhome import KeyHome

HOME = KeyHome(
    name="watermark key",
    environment="GENGUARD_WATERMARK_KEY",
    suffix=".watermark.key",
    parse=parse_watermark_key,
    read=read_watermark_key,
    make=make_watermark_key,
    needed_by=lambda policy: keyed(policy.marks),
    loss="no released image can be recognised",
)
find_watermark_key, need_watermark_key, beside = HOME.find, HOME.need, HOME.beside
