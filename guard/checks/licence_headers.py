"""Licence headers in source code: SPDX tags, the opening words of common licences, and copyright lines.

Openings are looked for among the letters alone (`guard.matching.letters`), so that comment marks, line breaks and case do not
matter. Linear in the text's length. Which licence of a family it is (BSD with two or three clauses) the opening does not tell.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from guard.matching.letters import letters
from guard.types import Span

TAGGED, OPENING, COPYRIGHT = 1000, 900, 400
"""Scores, per mille: an SPDX tag, a licence's opening words, a copyright line, which may stand under anything."""
_LISTED = """
    0BSD AFL-3.0 AGPL-3.0-only AGPL-3.0-or-later Apache-1.1 Apache-2.0 APSL-2.0 Artistic-2.0 BlueOak-1.0.0 BSD-1-Clause
    BSD-2-Clause BSD-3-Clause BSD-3-Clause-Clear BSD-4-Clause BSL-1.0 BUSL-1.1 CC-BY-3.0
    CC-BY-4.0 CC-BY-NC-4.0 CC-BY-NC-SA-4.0 CC-BY-ND-4.0
    CC-BY-SA-3.0 CC-BY-SA-4.0 CC0-1.0 CDDL-1.0 CDDL-1.1 CECILL-2.1 CPL-1.0 ECL-2.0 EPL-1.0 EPL-2.0 EUPL-1.1 EUPL-1.2
    GPL-1.0-only GPL-1.0-or-later GPL-2.0 GPL-2.0+ GPL-2.0-only GPL-2.0-or-later GPL-3.0 GPL-3.0+ GPL-3.0-only GPL-3.0-or-later
    HPND ISC JSON LGPL-2.0-only LGPL-2.0-or-later LGPL-2.1 LGPL-2.1-only LGPL-2.1-or-later LGPL-3.0-only LGPL-3.0-or-later
    LPPL-1.3c MIT MIT-0 MPL-1.1 MPL-2.0 MPL-2.0-no-copyleft-exception MS-PL MulanPSL-2.0 NCSA ODbL-1.0 OFL-1.1 OpenSSL OSL-3.0
    PHP-3.01 PostgreSQL PSF-2.0 Python-2.0 QPL-1.0 Ruby SSPL-1.0 Unicode-3.0 Unlicense UPL-1.0 Vim W3C WTFPL X11 Zlib ZPL-2.1
    Linux-syscall-note Classpath-exception-2.0 LLVM-exception
"""
_KNOWN = frozenset(_LISTED.split())
_OPENINGS = {
    "Permission is hereby granted, free of charge, to any person obtaining a copy": "MIT",
    "Licensed under the Apache License, Version 2.0": "Apache-2.0",
    "Licensed under the MIT license": "MIT",
    "Redistribution and use in source and binary forms, with or without modification": "BSD-2-Clause or BSD-3-Clause",
    "subject to the terms of the Mozilla Public License": "MPL",
    "Permission to use, copy, modify, and/or distribute this software for any purpose": "ISC or 0BSD",
    "Distributed under the Boost Software License": "BSL-1.0",
    "under the terms of the Eclipse Public License": "EPL",
    "This is free and unencumbered software released into the public domain": "Unlicense",
    "subject to the terms of the Common Development and Distribution License": "CDDL",
    "licensed under the Business Source License": "BUSL-1.1",
    "Server Side Public License": "SSPL-1.0",
    "the authors be held liable for any damages arising from the use of this software": "Zlib",
    "licensed under the Mulan PSL v2": "MulanPSL-2.0",
    "under the terms of the GNU General Public License": "GPL",
    "under the terms of the GNU Lesser General Public License": "LGPL",
    "under the terms of the GNU Library General Public License": "LGPL",
    "under the terms of the GNU Affero General Public License": "AGPL",
}
_TAG = re.compile(r"SPDX-License-Identifier:[ \t]{0,8}\(?([A-Za-z0-9.+-]{1,60}(?:[ ()]{1,4}[A-Za-z0-9.+-]{1,60}){0,8})")
_YEAR = r"(?:19|20)\d\d"
_LINE = re.compile(
    rf"^[^\w\n©(]{{0,12}}((?:Copyright|SPDX-FileCopyrightText:|\(c\)|©)(?:[ \t,:©]|\(c\)|by|the){{0,12}}{_YEAR}[^\n]{{0,200}})",
    re.IGNORECASE | re.MULTILINE,
)
_AHEAD = 160
"""Letters after the opening of a GNU licence in which its version is named."""


@dataclass(frozen=True, slots=True)
class Header:
    """One sign of a licence."""

    span: Span
    score: int
    reason: str
    """Names the licence, and quotes nothing else."""


def headers(text: str) -> list[Header]:
    """All signs of licences, in order of place."""
    return sorted([*_tags(text), *_openings(text), *_copyright(text)], key=lambda one: (one.span.start, -one.score))


def _tags(text: str) -> Iterator[Header]:
    for match in _TAG.finditer(text):
        words = re.findall(r"[A-Za-z0-9.+-]+", match.group(1))
        named = [word for word in words if word in _KNOWN]
        if named:
            shown = " ".join(word for word in words if word in _KNOWN or word in {"AND", "OR", "WITH"})
            yield Header(Span(*match.span()), TAGGED, f"licence {shown}, by its SPDX tag")
        else:
            yield Header(Span(*match.span()), TAGGED, "a licence that is not in the list, by an SPDX tag")


def _openings(text: str) -> Iterator[Header]:
    if "icen" not in text.lower() and "ermission" not in text.lower() and "software" not in text.lower():
        return
    found = letters(text)
    plain = found.codes.tobytes().decode("utf-16-le", "surrogatepass")
    if len(plain) != len(found):  # two halves of a surrogate pair came to stand together
        plain = "".join(map(chr, found.codes.tolist()))
    for opening, licence in _OPENINGS.items():
        wanted = "".join(filter(str.isalnum, opening.lower()))
        start = plain.find(wanted)
        while start >= 0:
            end = start + len(wanted)
            span = Span(int(found.places[start]), int(found.places[end - 1]) + 1)
            name = licence + _version(plain[end : end + _AHEAD]) if licence.endswith("GPL") else licence
            yield Header(span, OPENING, f"licence {name}, by how it begins")
            start = plain.find(wanted, end)


def _version(after: str) -> str:
    """`-2.0-or-later`, as far as the words after the opening say so."""
    match = re.search(r"version(\d)(1(?!\d))?", after)
    if not match:
        return ""
    later = "-or-later" if "anylaterversion" in after or "oratyouroption" in after else ""
    return f"-{match.group(1)}.{match.group(2) or 0}{later}"


def _copyright(text: str) -> Iterator[Header]:
    for match in _LINE.finditer(text):
        yield Header(Span(*match.span(1)), COPYRIGHT, "copyright line")
