"""Mistakes of policy files: what in a good one is replaced by what, the line, and words of the message."""

from __future__ import annotations

BASE = """\
policy: house
version: 3
status: live
applies_to: {generators: ["*"], tenants: [shop]}
checks:
  toxicity: {use: toxicity}
  pii:
    use: pii
    languages: [en, zh]
  works: {use: image_match, bank: protected-works}
rules:
  - id: threat
    when: {toxicity.threat: 0.6}
    action: block
    category: violence
  - id: card
    when: {pii: [CREDIT_CARD]}
    action: redact
    with: {operator: mask, keep_last: 4}
  - id: work
    when: {works: matched}
    action: block
marks:
  watermark: {image: true}
"""

THREAT = "when: {toxicity.threat: 0.6}"
WORK = "when: {works: matched}"
WITH = "with: {operator: mask, keep_last: 4}"

CASES: dict[str, tuple[str, str, int, str]] = {
    # previews
    "preview rule that is not there": (
        "status: live",
        "previews: {rules: [works]}",
        3,
        "no rule 'works', expected one of: threat, work",
    ),
    "preview rule that does not block": (
        "status: live",
        "previews: {rules: [work, card]}",
        3,
        "rule 'card' with action 'redact', expected a rule with action 'block'",
    ),
    # shape
    "unknown key": ("status: live", "statsu: live", 3, "unknown key 'statsu', expected one of: policy, version, status"),
    "suggestion": ("status: live", "statsu: live", 3, "did you mean 'status'?"),
    "missing key": ("version: 3\n", "", 1, "no key 'version', expected it, because it is required: Counts up"),
    "missing key of a rule": ("  - id: work\n    when", "  - title: work\n    when", 20, "no key 'id'"),
    "version as text": ("version: 3", "version: '3'", 2, "'3' for 'version', expected a whole number; leave the quotation"),
    "version zero": ("version: 3", "version: 0", 2, "0 for 'version', expected a number of at least 1"),
    "version of true": ("version: 3", "version: true", 2, "true for 'version', expected a whole number"),
    "policy name": ("policy: house", "policy: My House", 1, "'My House' for 'policy', expected a name of at most 64"),
    "status": (
        "status: live",
        "status: alive",
        3,
        "expected one of: 'draft', 'shadow', 'live' or 'deprecated'; did you mean 'live'?",
    ),
    "duplicate key": (
        "status: live",
        "version: 4",
        3,
        "the key 'version' a second time, expected it once; it stands on line 2",
    ),
    "duplicate check": ("  pii:\n", "  toxicity:\n", 7, "the key 'toxicity' a second time"),
    "empty pattern list": ("tenants: [shop]", "tenants: []", 4, "an empty list for 'tenants', expected at least one entry"),
    "checks as a list": ("  toxicity: {use: toxicity}\n", "  - toxicity\n", 7, "what is no YAML"),
    "label that no mark puts on": (
        "action: block\n    category",
        "action: label\n    category",
        14,
        "action 'label' without a label, expected `label: {profile: …}` under `marks`",
    ),
    "unknown action": ("action: block\n    category", "action: blok\n    category", 14, "did you mean 'block'?"),
    "message language": ("category: violence", "message: {English: No.}", 15, "expected a language tag such as en or zh-Hans"),
    "message that is a number": (
        "category: violence",
        "message: {en: 5}",
        15,
        "5 for 'en', expected text; put it in quotation marks",
    ),
    "test with both keys": (
        "category: violence",
        "tests: [{flags: a, passes: b}]",
        15,
        "found 'flags' and 'passes', expected exactly one",
    ),
    "test with neither key": (
        "category: violence",
        "tests: [{}]",
        15,
        "found none of the keys, expected exactly one of: flags",
    ),
    "nothing after a key": ("status: live", "extends:", 3, "nothing for 'extends', expected the name of a pack"),
    # checks
    "unknown check": (
        "use: pii",
        "use: pi",
        8,
        "unknown check 'pi', expected one of: classifier, ",
    ),
    "unknown parameter": (
        "languages: [en, zh]",
        "lang: [en]",
        9,
        "unknown key 'lang' for 'pii', expected one of: languages, model",
    ),
    "mistyped setting": ("languages: [en, zh]", "deadline: 5", 9, "did you mean 'deadline_ms'?"),
    "wrong parameter type": (
        "languages: [en, zh]",
        "min_score: high",
        9,
        "'high' for parameter 'min_score', expected a whole number",
    ),
    "wrong item type": ("languages: [en, zh]", "languages: [en, 1]", 9, "1 for parameter 'languages', expected text"),
    "union parameter": ("languages: [en, zh]", "model: 5", 9, "5 for parameter 'model', expected text"),
    "refused by the check": ("languages: [en, zh]", "languages: [xx]", 8, "does not accept its settings: found language 'xx'"),
    "missing parameter": (
        ", bank: protected-works",
        "",
        10,
        "no parameter 'bank', expected it, because 'image_match' requires it",
    ),
    "deadline": ("languages: [en, zh]", "deadline_ms: 60001", 9, "60001 for 'deadline_ms', expected a number of at most 60000"),
    "on_failure": ("languages: [en, zh]", "on_failure: redact", 9, "expected one of: 'allow', 'review' or 'block'"),
    "group": ("languages: [en, zh]", "group: 0", 9, "0 for 'group', expected a number of at least 1"),
    "stages": ("languages: [en, zh]", "stages: [outputs]", 9, "did you mean 'output'?"),
    "reserved name": ("  works: {", "  stage: {", 10, "a check named 'stage', expected another name"),
    "bad name": ("  works: {", "  My.Works: {", 10, "'My.Works' as a key, expected a name"),
    # conditions
    "undefined check": (
        THREAT,
        "when: {toxcity.threat: 0.6}",
        13,
        "the condition 'toxcity.threat', expected one of this policy's checks",
    ),
    "undefined check, suggestion": (THREAT, "when: {toxcity.threat: 0.6}", 13, "did you mean 'toxicity'?"),
    "unknown label": (
        THREAT,
        "when: {toxicity.thread: 0.6}",
        13,
        "label 'thread', which check 'toxicity' never reports, expected one of",
    ),
    "unknown label, suggestion": (THREAT, "when: {toxicity.thread: 0.6}", 13, "did you mean 'threat'?"),
    "unknown label in a list": ("[CREDIT_CARD]", "[CREDIT_CARD, credit_card]", 17, "did you mean 'CREDIT_CARD'?"),
    "label of another check": (
        "when: {pii: [CREDIT_CARD]}",
        "when: {pii: matched}",
        17,
        "label 'matched', which check 'pii' never reports",
    ),
    "score in per cent": (
        THREAT,
        "when: {toxicity.threat: 60}",
        13,
        "found 60, expected a score from 0 to 1, such as 0.6; 60 per cent",
    ),
    "score below zero": (THREAT, "when: {toxicity.threat: -0.1}", 13, "found -0.1, expected a score from 0 to 1"),
    "score that is text": (THREAT, "when: {toxicity.threat: '0.6'}", 13, "found '0.6', expected a score from 0 to 1"),
    "score that is true": (THREAT, "when: {toxicity.threat: true}", 13, "found true, expected a score from 0 to 1"),
    "score that is no number": (THREAT, "when: {toxicity.threat: .nan}", 13, "'.nan', expected a finite number"),
    "score too fine": (THREAT, "when: {toxicity.threat: 0.6005}", 13, "the score 0.6005, expected at most three decimals"),
    "check without a value": (
        THREAT,
        "when: {toxicity: }",
        13,
        "nothing under 'toxicity', expected a score from 0 to 1, a label",
    ),
    "empty labels": ("[CREDIT_CARD]", "[]", 17, "an empty list under 'pii', expected a score from 0 to 1, a label"),
    "empty when": (THREAT, "when: {}", 13, "an empty mapping for 'when', expected at least one entry"),
    "empty any": (THREAT, "when: {any: []}", 13, "an empty list under 'any', expected a list of conditions, at least one"),
    "empty all": (THREAT, "when: {all: []}", 13, "an empty list under 'all'"),
    "any of a mapping": (THREAT, "when: {any: {tenant: shop}}", 13, "a mapping under 'any', expected a list of conditions"),
    "empty not": (THREAT, "when: {not: {}}", 13, "an empty mapping, expected a condition"),
    "unknown stage": (THREAT, "when: {stage: outputs}", 13, "stage 'outputs', which matches nothing, expected one of: prompt"),
    "unknown modality": (
        THREAT,
        "when: {modality: [text, img]}",
        13,
        "modality 'img', which matches nothing, expected one of: text, image",
    ),
    "pattern that is no text": (THREAT, "when: {tenant: 5}", 13, "5 under 'tenant', expected a pattern or a list of patterns"),
    "tenant outside": (THREAT, "when: {tenant: bank}", 13, "tenant 'bank', expected a tenant that `applies_to` covers (shop)"),
    "wrong modality": (
        WORK,
        "when: {works: matched, modality: text}",
        21,
        "can never hold (check 'works' reads image at every stage)",
    ),
    "not of what never runs": (WORK, "when: {not: {works: matched}, modality: text}", 21, "a condition that can never hold"),
    "contradiction": (WORK, "when: {works: matched, not: {modality: image}}", 21, "a condition that can never hold"),
    "two modalities at once": (WORK, "when: {works: matched, toxicity.threat: 0.5}", 21, "a condition that can never hold"),
    "dead alternative": (
        WORK,
        "when: {modality: text, any: [{works: matched}, {toxicity.insult: 0.5}]}",
        21,
        "'works' where it never counts (check 'works' reads image at every stage)",
    ),
    "a language twice": (
        THREAT,
        "when: {toxicity.threat: {zh-Hans: 0.6, zh-hans: 0.5, '*': 0.6}}",
        13,
        "the language 'zh-hans' a second time, expected it once; capitals do not count",
    ),
    "scores of nothing": (THREAT, "when: {toxicity: {}}", 13, 'scores by language without "*", expected'),
    "length of nothing": (
        THREAT,
        "when: {length: {at_least: 0}}",
        13,
        "0 for 'at_least', expected a whole number of characters",
    ),
    "length that is a number": (
        THREAT,
        "when: {length: 5}",
        13,
        "5 for 'length', expected a mapping with 'at_least' or 'below'",
    ),
    "length that is empty": (THREAT, "when: {length: {}}", 13, "an empty mapping for 'length', expected at least one of"),
    "time that is text": (THREAT, "when: {time: night}", 13, "'night' for 'time', expected a mapping with 'since'"),
    "hours that are none": (
        THREAT,
        "when: {time: {hours: 08:00-08:00}}",
        13,
        "which is no time at all, expected two different",
    ),
    "hours that no day has": (
        THREAT,
        "when: {time: {hours: 24:00-25:00}}",
        13,
        "'24:00-25:00' for 'hours', expected two times",
    ),
    "days that are a number": (THREAT, "when: {time: {days: 6}}", 13, "6 for 'days', expected days of the week (mon, tue"),
    "range of no days": (THREAT, "when: {time: {days: mon-friday}}", 13, "'mon-friday' for 'days', expected one of: mon, tue"),
    "since when": (THREAT, "when: {time: {since: 2026}}", 13, "2026 for 'since', expected a day such as 2026-12-31"),
    "no day of any calendar": (
        THREAT,
        "when: {time: {until: 2026-02-29}}",
        13,
        "for 'until', which no calendar has, expected a day",
    ),
    "zone of this machine": (
        THREAT,
        "when: {time: {days: sat, zone: localtime}}",
        13,
        "'localtime' for 'zone', expected the IANA",
    ),
    "exception twice": (
        "marks:\n  watermark: {image: true}",
        (
            "exceptions:\n"
            "  - {id: pilot, rules: card, owner: me, reason: Pilot., expires: 2026-12-31}\n"
            "  - {id: pilot, rules: work, owner: me, reason: Pilot., expires: 2026-12-31}"
        ),
        25,
        "exception id 'pilot' a second time, expected another; line 24 has it already",
    ),
    "exception that never holds": (
        "marks:\n  watermark: {image: true}",
        (
            "exceptions:\n"
            "  - {id: a, rules: card, when: {stage: prompt, not: {stage: p*}}, owner: me, reason: Pilot., expires: 2026-12-31}"
        ),
        24,
        "a condition that can never hold, expected one that some content can meet",
    ),
    "too deep": (THREAT, "when: " + "{not: " * 14 + "{tenant: shop}" + "}" * 14, 13, "nested more than 12 deep"),
    # rules
    "duplicate id": ("id: card", "id: threat", 16, "rule id 'threat' a second time, expected another; line 12 has it already"),
    "same condition": (WORK, THREAT, 21, "the same condition as rule 'threat' on line 13, expected one rule for it"),
    "unknown category": ("category: violence", "category: violense", 15, "unknown category 'violense'"),
    "category of nothing": ("category: violence", "category: ''", 15, "'' for 'category', expected some text"),
    "unknown category, suggestion": ("category: violence", "category: violense", 15, "did you mean 'violence'?"),
    "no common category": (
        THREAT + "\n    action: block\n    category: violence",
        "when: {toxicity: 0.6}\n    action: block",
        12,
        "no key 'category' and labels that do not have one in common, expected one of: harassment, hate, sexual, violence",
    ),
    "redact without with": ("    " + WITH + "\n", "", 18, "action 'redact' alone, expected `with: {operator: …}`"),
    "with without redact": (
        "category: violence",
        "with: {operator: mask}",
        15,
        "'with' on action 'block', expected it on action 'redact'",
    ),
    "unknown operator": (WITH, "with: {operator: hide}", 19, "'hide' for 'operator', expected one of: 'mask'"),
    "operator of images": (
        WITH,
        "with: {operator: blur}",
        19,
        "operator 'blur' for text, expected one of: mask, encrypt, hash, pseudonymise, replace, remove",
    ),
    "keep_last out of range": (
        WITH,
        "with: {operator: mask, keep_last: 33}",
        19,
        "33 for 'keep_last', expected a number of at most 32",
    ),
    "keep_last with replace": (WITH, "with: {operator: replace, keep_last: 4}", 19, "'keep_last' with operator 'replace'"),
    "text with mask": (
        WITH,
        "with: {operator: mask, text: x}",
        19,
        "'text' with operator 'mask', expected it with operator 'replace'",
    ),
    "unknown redaction key": (
        WITH,
        "with: {operator: mask, keep: 4}",
        19,
        "unknown key 'keep', expected one of: operator, keep_first, keep_last, text",
    ),
    "keep_first out of range": (
        WITH,
        "with: {operator: mask, keep_first: -1}",
        19,
        "-1 for 'keep_first', expected a number of at least 0",
    ),
    "keep_first with encrypt": (
        WITH,
        "with: {operator: encrypt, keep_first: 4}",
        19,
        "'keep_first' with operator 'encrypt', expected it with operator 'mask' only",
    ),
    "text with pseudonymise": (
        WITH,
        "with: {operator: pseudonymise, text: x}",
        19,
        "'text' with operator 'pseudonymise', expected it with operator 'replace'",
    ),
    "pseudonymize": (WITH, "with: {operator: pseudonymize}", 19, "did you mean 'pseudonymise'?"),
    "unknown field in the text": (
        WITH,
        "with: {operator: replace, text: 'a {Type}'}",
        19,
        "found '{Type}' in 'text', expected '{type}' or none",
    ),
    "keyed operator of images": (
        WORK + "\n    action: block",
        WORK + "\n    action: redact\n    with: {operator: hash}",
        23,
        "operator 'hash' for image, expected one of: pixelate, blur, fill",
    ),
    "nothing to cut": (
        "when: {pii: [CREDIT_CARD]}",
        "when: {tenant: shop}",
        17,
        "a redaction that can fire without anything found",
    ),
    "nothing to cut in one alternative": (
        "when: {pii: [CREDIT_CARD]}",
        "when: {any: [{pii: CREDIT_CARD}, {tenant: s*}]}",
        17,
        "expected a check in every alternative, outside of `not`",
    ),
    # marks
    "label profile": (
        "  watermark: {image: true}",
        "  label: {profile: gb45348}",
        24,
        "'gb45348' for 'profile', expected one of: 'gb45438', 'eu' or 'plain'; did you mean 'gb45438'?",
    ),
    "label without profile": ("  watermark: {image: true}", "  label: {position: end}", 24, "no key 'profile'"),
    "label position": (
        "  watermark: {image: true}",
        "  label: {profile: eu, position: left}",
        24,
        "'left' for 'position', expected",
    ),
    "label key": (
        "  watermark: {image: true}",
        "  label: {profile: eu, txt: x}",
        24,
        "unknown key 'txt', expected one of: profile",
    ),
    "label elements": (
        "  watermark: {image: true}",
        "  label:\n    profile: gb45438\n    text: {en: Made by AI}",
        24,
        "found the label 'Made by AI', expected one of 生成 or 合成 in it",
    ),
    "label glyphs": (
        "  watermark: {image: true}",
        "  label: {profile: eu, text: Made by 🤖}",
        24,
        "found '🤖' in the label's text, expected characters that the font NotoSansSC-label.otf has",
    ),
    "label text": ("  watermark: {image: true}", "  label: {profile: eu, text: 5}", 24, "5 for 'text', expected a mapping"),
    "label text of nothing": ("  watermark: {image: true}", "  label: {profile: eu, text: {en: ''}}", 24, "expected some text"),
    "label language of text": (
        "  watermark: {image: true}",
        "  label: {profile: eu, text: {English: AI}}",
        24,
        "'English' as a key, expected a language tag such as en or zh-Hans, or",
    ),
    "label language": (
        "  watermark: {image: true}",
        "  label: {profile: eu, language: sw}",
        24,
        "found language 'sw', expected one",
    ),
    "label font": (
        "  watermark: {image: true}",
        "  label: {profile: eu, font: /no/font.ttf}",
        24,
        "cannot read the font /no/font.ttf",
    ),
    "label modality": (
        "  watermark: {image: true}",
        "  label: {profile: eu, modalities: [video]}",
        24,
        "'video' for 'modalities'",
    ),
    "label fallback": (
        "  watermark: {image: true}",
        "  label: {profile: eu, on_unmarkable: label}",
        24,
        "'allow', 'review' or 'block'",
    ),
    "metadata kind": (
        "  watermark: {image: true}",
        "  metadata: [aicg]",
        24,
        "'aicg' for 'metadata', expected one of: 'aigc' or 'iptc'; did you mean 'aigc'?",
    ),
    "metadata of nothing": (
        "  watermark: {image: true}",
        "  metadata: []",
        24,
        "an empty list for 'metadata', expected at least one",
    ),
    "c2pa switched off": (
        "  watermark: {image: true}",
        "  c2pa: false",
        24,
        "found false, expected true, or the mark's key left out",
    ),
    "c2pa key": ("  watermark: {image: true}", "  c2pa: {on_unmarkabel: allow}", 24, "did you mean 'on_unmarkable'?"),
    "no mark": (
        "marks:\n  watermark: {image: true}",
        "marks: {}",
        23,
        "found no mark, expected one of: watermark, label, metadata",
    ),
    "text watermark switched off": ("{image: true}", "{image: true, text: false}", 24, "found false, expected true"),
    "text watermark method": (
        "{image: true}",
        "{text: {method: synth}}",
        24,
        "'synth' for parameter 'method', expected one of: 'synthid' or 'green_list'",
    ),
    "text watermark strength": (
        "{image: true}",
        "{text: {method: green_list, strength: huge}}",
        24,
        "'huge' for parameter 'strength', expected one of: 'low', 'medium' or 'high'",
    ),
    "strength of synthid": ("{image: true}", "{text: {strength: high}}", 24, "expected it with 'green_list' only"),
    "unknown text watermark key": ("{image: true}", "{text: {strenght: high}}", 24, "did you mean 'strength'?"),
    "no watermark": ("{image: true}", "{}", 24, "found no watermark, expected one of: image, text"),
    "watermark switched off": ("{image: true}", "{image: false}", 24, "found false, expected true, or the mark's key left out"),
    "watermark method": (
        "{image: true}",
        "{image: {method: dwt}}",
        24,
        "'dwt' for parameter 'method', expected one of: 'dwtDctSvd'",
    ),
    "on_unmarkable": ("{image: true}", "{image: {on_unmarkable: redact}}", 24, "expected one of: 'allow', 'review' or 'block'"),
    "unknown watermark key": ("{image: true}", "{image: {methd: x}}", 24, "did you mean 'method'?"),
    # YAML
    "tag": ("status: live", "status: !!str live", 3, "the tag 'tag:yaml.org,2002:str', expected a plain value"),
    "code tag": ("status: live", "status: !!python/object/apply:os.getcwd []", 3, "tags are not read"),
    "merge key": ("status: live", "<<: {status: live}", 3, "the merge key '<<'"),
    "unknown alias": ("status: live", "status: *live", 3, "the alias 'live', expected an anchor of that name"),
    "second document": ("marks:\n", "---\nmarks:\n", 23, "a second document, expected one policy in one file"),
    "broken YAML": ("status: live", "status: [live", 4, "what is no YAML"),
    "tabulator": ("    category: violence", "\tcategory: violence", 15, "what is no YAML"),
    "control character": ("status: live", "status: li\x07ve", 3, "the control character U+0007"),
    "impossible escape": ("status: live", 'status: "\\UFFFFFFFF"', 0, "an escape or directive with an impossible number"),
    "half a surrogate pair": ("status: live", 'owner: "\\uD800"', 3, "half of a surrogate pair"),
    "list as a key": ("status: live", "? [a]\n: b", 3, "a key that is an alias, a list or a mapping"),
    "deep nesting": ("status: live", "status: " + "[" * 50 + "]" * 50, 3, "more than 40 levels of nesting"),
}
