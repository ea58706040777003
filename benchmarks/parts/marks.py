"""Text that a benchmark writes into a document, between two lines that mark its place."""

__all__ = ["between_marks"]


def between_marks(document: str, begin: str, end: str, text: str) -> str | None:
    """``document`` with ``text`` between the marks in the place of what is there; None where a mark is missing."""
    before, first, rest = document.partition(begin)
    _, last, after = rest.partition(end)
    return f"{before}{begin}\n{text}\n{end}{after}" if first and last else None
