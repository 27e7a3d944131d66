"""Files that documents name, in a link or in backticks, exist."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
DOCUMENTS = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md")), ROOT / "lab" / "README.md"]
LINK = re.compile(r"\]\((?!https?:)([^)#\s]+)")
FOLDERS = "operator|engine|lab|demo|cli|traffic|tests|docs|bench|manifests|crds|database|cache"
NAMED = re.compile(rf"`((?:{FOLDERS})/[\w./-]+)`")
PLACEHOLDER = re.compile(r"\b(COMPONENT|KIND|NAME)\b")


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_paths_in_a_document_exist(document: Path) -> None:
    # Given the paths of a document: links are relative to it, names in backticks to the root
    text = document.read_text(encoding="utf-8")
    linked = {path: document.parent / path for path in LINK.findall(text)}
    named = {path: ROOT / path for path in NAMED.findall(text) if not PLACEHOLDER.search(path)}

    # Then each is there
    missing = sorted(path for path, file in {**linked, **named}.items() if not file.exists())
    assert not missing, f"{document.name} names files that do not exist"
