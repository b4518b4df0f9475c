"""Answers are kept while they are asked for again, and not kept while nothing comes twice."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from portyard.commons.scenario.memory import Memory


def asked(memory: Memory[int, str], question: int) -> bool:
    """Ask as one does, and say whether it was known."""
    known = memory.get(question)
    if known is None:
        memory.put(question, str(question))
        return False
    assert known == str(question)
    return True


def test_what_comes_again_is_known() -> None:
    memory: Memory[int, str] = Memory(4)
    assert [asked(memory, number) for number in (1, 2, 1, 2)] == [False, False, True, True]


def test_questions_that_never_come_twice_end_remembering_for_a_while() -> None:
    memory: Memory[int, str] = Memory(4)
    assert not any(asked(memory, number) for number in range(5))
    assert not asked(memory, 4)
    assert not asked(memory, 4)
    for number in range(5, 36):
        asked(memory, number)
    assert not asked(memory, 77)
    assert asked(memory, 77)  # it is tried again


def test_questions_that_come_again_make_it_go_on() -> None:
    memory: Memory[int, str] = Memory(4)
    for number in range(100):
        assert not asked(memory, number)
        assert asked(memory, number)


@given(st.integers(1, 5), st.lists(st.integers(0, 9), max_size=300))
def test_no_answer_is_another_ones(most: int, questions: list[int]) -> None:
    memory: Memory[int, str] = Memory(most)
    for question in questions:
        asked(memory, question)
