"""Reports as JUnit XML, which continuous integration reads."""

from __future__ import annotations

import re
from collections.abc import Sequence
from xml.etree import ElementTree as ET

from policies.testing.report import Outcome, Report, Result

_UNFIT = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""What XML 1.0 cannot hold, section 2.2."""


def junit(reports: Sequence[Report]) -> str:
    """One `testsuite` a policy, one `testcase` a test. Times are seconds, a test's share of those of its batch."""
    root = ET.Element("testsuites", _counts([result for report in reports for result in report.results]))
    for report in reports:
        suite = ET.SubElement(root, "testsuite", {"name": _fit(report.policy), **_counts(report.results)})
        properties = ET.SubElement(suite, "properties")
        facts = {"file": report.file, "version": str(report.version), "revision": report.revision}
        facts["coverage"] = f"{report.coverage.percent:.1f}"
        for name, value in facts.items():
            ET.SubElement(properties, "property", {"name": name, "value": _fit(value)})
        for result in report.results:
            _case(suite, report, result)
    ET.indent(root)
    return ET.tostring(root, encoding="unicode", xml_declaration=False).join(('<?xml version="1.0" encoding="UTF-8"?>\n', "\n"))


def _case(suite: ET.Element, report: Report, result: Result) -> None:
    case = ET.SubElement(
        suite,
        "testcase",
        {
            "classname": _fit(f"{report.policy}.{result.rule or 'suite'}"),
            "name": _fit(result.name),
            "file": _fit(result.at.file),
            "line": str(result.at.line),
            "time": f"{result.seconds:.6f}",
        },
    )
    if result.outcome is not Outcome.PASSED:
        kind = "failure" if result.outcome is Outcome.FAILED else "error"
        told = ET.SubElement(case, kind, {"message": _fit(result.why[0]), "type": result.kind})
        told.text = _fit("\n".join((str(result.at), *result.why)))


def _counts(results: Sequence[Result]) -> dict[str, str]:
    return {
        "tests": str(len(results)),
        "failures": str(sum(result.outcome is Outcome.FAILED for result in results)),
        "errors": str(sum(result.outcome is Outcome.ERROR for result in results)),
        "time": f"{sum(result.seconds for result in results):.6f}",
    }


def _fit(text: str) -> str:
    """A text with what XML cannot hold spelt out."""
    return _UNFIT.sub(lambda found: f"\\u{ord(found[0]):04x}", text)
