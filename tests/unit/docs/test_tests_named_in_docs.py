"""A claim in the docs is a test's name: each that they name exists."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]


def named_tests() -> set[str]:
    """The name of each test, and of each file of tests."""
    files = list((ROOT / "tests").rglob("test_*.py"))
    functions = {name for file in files for name in re.findall(r"def (test_\w+)", file.read_text())}
    return functions | {file.name for file in files}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_each_test_that_a_document_names_exists(document: Path) -> None:
    # given a document, when it names a test or a file of tests, then there is one of that name
    named = set(re.findall(r"`(?:tests/\w+/)*(test_\w+(?:\.py)?)`", document.read_text()))
    assert named <= named_tests()
