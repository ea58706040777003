"""Sentences of hand-written prose: Markdown without fences, generated parts and comments; a table's row is one."""

import re
from collections.abc import Iterator

_GENERATED = re.compile(r"<!-- ([\w-]+):begin -->.*?<!-- \1:end -->", re.DOTALL)
_FENCE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
_COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)
_END = re.compile(r"(?<=[.!?:;])\s+(?=[A-Z`*(\[])")
_ENTRY = re.compile(r"\n\s*(?:[-*] |\d+\. )")


def sentences(document: str) -> Iterator[str]:
    """Each on one line."""
    for pattern in (_GENERATED, _FENCE, _COMMENT):
        document = pattern.sub("\n\n", document)
    for paragraph in re.split(r"\n\s*\n|\n(?=\|)|\n(?=#)", document):
        for entry in _ENTRY.split(paragraph):
            text = " ".join(entry.split())
            yield from ([text] if text.startswith("|") else _END.split(text)) if text else ()
