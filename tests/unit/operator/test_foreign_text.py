"""Text of others is cut to what the API server stores."""

from hypothesis import given
from hypothesis import strategies as st
from rtx_operator.api import crd
from rtx_operator.api.foreign_text import LEFT_OUT, cut, cut_bytes, fitted
from rtx_operator.api.kinds import TRADING_ENGINE
from rtx_operator.api.status import HISTORY_LIMIT, MESSAGE_LIMIT

STATUS = crd.structural(TRADING_ENGINE.status)
ANY_TEXT = st.text(st.characters(), max_size=3000)


@given(ANY_TEXT, st.integers(1, 2000))
def test_text_of_any_content_fits_and_is_printable(text: str, limit: int) -> None:
    assert len(cut(text, limit)) <= limit
    assert len(cut_bytes(text, limit).encode()) <= limit
    assert not any(character < " " and character not in "\t\n" for character in cut(text, limit))


def test_short_text_is_unchanged() -> None:
    assert cut("Größe über 5\n€", 100) == "Größe über 5\n€"


def test_cut_text_keeps_its_beginning_and_its_remedy() -> None:
    shorter = cut("pods are refused: " + "x" * 5000 + "; raise the quota", 400)

    assert shorter.startswith("pods are refused: ")
    assert LEFT_OUT in shorter
    assert shorter.endswith("; raise the quota")


def test_every_message_and_list_of_a_status_is_cut_to_its_schema() -> None:
    # Given a status with texts and lists that are too long, at every depth
    long = "denied " * 1000
    status = {
        "cutover": {"message": long, "reason": "TooSlow", "seconds": {"Pending": 1.5}},
        "history": [{"message": long}] * (HISTORY_LIMIT + 3),
        "conditions": [{"message": long * 10, "observedGeneration": 3}],
    }

    # When it is fitted
    result = fitted(status, STATUS)

    # Then all of it is within the schema, and what was is unchanged
    assert len(result["cutover"]["message"]) == MESSAGE_LIMIT
    assert (result["cutover"]["reason"], result["cutover"]["seconds"]) == ("TooSlow", {"Pending": 1.5})
    assert len(result["history"]) == HISTORY_LIMIT
    assert {len(entry["message"]) for entry in result["history"]} == {MESSAGE_LIMIT}
    assert len(result["conditions"][0]["message"]) == 32768
    assert fitted(result, STATUS) == result
