"""The pass over the bytes of OCPP messages: patterns, texts and lines."""

from __future__ import annotations

import json

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.ocpp_messages import event, value
from warehouse.readers import ocpp_schema as schema
from warehouse.readers.ocpp_tokens import Tokens, key_table, tokenize
from warehouse.readers.ocpp_words import PAD, bytes_and_words, line_breaks, text_at, text_code


@settings(max_examples=60, deadline=None)
@given(
    kinds=st.lists(st.integers(0, 5), min_size=1, max_size=12),
    cut=st.integers(0, 2**31),
    put=st.sampled_from([b"", b"0", b".5", b'"', b"\\n", b"-1", b"e9", b"x" * 60, b"\xc3\xa9", b",", b" "]),
)
def test_messages_like_an_earlier_one_give_the_tokens_they_give_alone(kinds: list[int], cut: int, put: bytes) -> None:
    logs = [
        json.dumps(event("Updated", k % 3, k, [value(10.5 + k, "SoC"), value(-5.0, "Voltage", "V")])).encode()
        for k in kinds
    ]
    logs = [log if k < 4 else b'{"message":' + log + b',"stationId":"CP1"}' for k, log in zip(kinds, logs, strict=True)]
    place = cut % (len(logs[-1]) + 1)
    logs.append(logs[-1][:place] + put + logs[-1][place + cut % 2 :])
    table, lengths = key_table(schema.key_classes("2.0.1")), schema.text_lengths("2.0.1")
    ends = np.cumsum([len(log) for log in logs])

    def tokens(start: list[int], end: list[int]) -> Tokens:
        return tokenize(b"".join(logs), np.array(start), np.array(end), table, lengths)

    starts = [0, *ends[:-1].tolist()]
    together = tokens(starts, ends.tolist())
    for k, (a, b) in enumerate(zip(starts, ends.tolist(), strict=True)):
        alone, slots = tokens([a], [b]), slice(together.first[k], together.first[k + 1])
        assert (together.shape[k], together.content[k]) == (alone.shape[0], alone.content[0])
        for name in ("start", "end", "number", "micros", "inexact"):
            np.testing.assert_array_equal(getattr(together, name)[slots], getattr(alone, name))


def test_texts_and_lines_are_found_at_every_place_of_a_word() -> None:
    codes = set()
    for before in range(9):
        for size in range(20):
            text = bytes(range(97, 97 + size))
            data = b" " * before + text + b'"\n'
            view, words = bytes_and_words(data + PAD)
            place, code = text_at(view, words, before, len(data))
            assert (place, code) == (before + size, text_code(words, before, before + size))
            assert text_at(view, words, before, before + size)[0] == -1
            assert line_breaks(*bytes_and_words(data)).tolist() == [before + size + 1]
            codes.add((size, int(code)))
            for wrong in (b"\x1f", b"\\", b"\x80", b"\xff", b"\n"):
                view, words = bytes_and_words(data[:-2] + wrong + b'"' + PAD)
                assert text_at(view, words, before, len(data) + 1)[0] == -1
    assert len({code for _, code in codes}) == len(codes) == 20
