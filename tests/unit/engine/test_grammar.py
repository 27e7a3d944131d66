"""Numbers and ids as clients may write them."""

from decimal import Decimal

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from rtx_engine.domain.grammar import GrammarError, decimal, is_client_order_id, is_name, whole_number


@given(st.decimals(min_value=0, max_value=Decimal(10**12) - 1, places=10))
def test_number_is_read_as_it_is_written(number):
    assert decimal(f"{number:f}") == number


@given(st.text())
@example("0_1")
@example(" 0.01 ")
@example("٣")
@example("0" * 16_000)
@example("1\n")
def test_text_that_is_no_number_is_refused(text):
    try:
        read = decimal(text)
    except GrammarError:
        return
    # then what was accepted is what a person reads: digits and at most one point, no more than 12 and 10 of them
    before, _, after = text.partition(".")
    assert set(before + after) <= set("0123456789")
    assert len(before) <= 12
    assert len(after) <= 10
    assert f"{read:f}" == text


@pytest.mark.parametrize("text", ["", "-1", "+1", "01", "1.0", "1e1", "1_0", "٣", "²", "9" * 20, "9223372036854775808"])
def test_text_that_is_no_whole_number_is_refused(text):
    with pytest.raises(GrammarError):
        whole_number(text)


@pytest.mark.parametrize(("text", "minimum", "maximum"), [("0", 1, 9), ("10", 1, 9)])
def test_whole_number_out_of_its_range_is_refused(text, minimum, maximum):
    with pytest.raises(GrammarError):
        whole_number(text, minimum=minimum, maximum=maximum)


def test_largest_whole_number_is_that_of_the_database():
    assert whole_number("9223372036854775807") == 2**63 - 1


@pytest.mark.parametrize("text", ["market", "a/b c?d%e#f", " ", "~", "...", "x" * 64])
def test_id_of_printable_characters_is_accepted(text):
    assert is_client_order_id(text)


@pytest.mark.parametrize("text", ["", "x" * 65, "a\0b", "a\nb", "a\n", "größe", "٣", "\ud800", "\x7f"])
def test_id_of_other_characters_is_refused(text):
    assert not is_name(text)
    assert not is_client_order_id(text)


@pytest.mark.parametrize("text", [".", ".."])
def test_id_that_is_no_path_of_its_own_is_refused(text):
    assert not is_client_order_id(text)
