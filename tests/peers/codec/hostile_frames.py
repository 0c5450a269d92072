"""Frames that were damaged on purpose."""

from __future__ import annotations

import json
from collections.abc import Iterator
from random import Random
from typing import Any

from peers.transport.port import MAX_FRAME
from tests.peers.codec.sample_frames import Sample, samples

LARGE = 0.002
"""The part of the mutations that make a frame of more than 20 KB."""

VALUES = [
    *(b"0", b"1", b"-1", b"-0", b"1.0", b"1.5", b"1e3", b"-1e-999", b"true", b"false", b"null", b"[]", b"{}", b'""'),
    *(str(2**power + more).encode() for power in (31, 52, 53, 63, 64, 65, 200) for more in (-1, 0, 1)),
    *(b'"\\ud83d\\ude00"', b'"\\u0000"', b'"AAAA"', b'"AAA"', b'"' + b"A" * 43 + b'="', b'"' + b"A" * 86 + b'=="'),
    *(
        b'"' + b"0" * 32 + b'"',
        b'"pieces"',
        b'"sync"',
        b'"attic"',
        b'"%b"' % (b"x" * 201),
        b'{"type":7}',
        b'{"type":"b"}',
    ),
    *(
        b"[" * 33 + b"]" * 33,
        b'{"a":' * 33 + b"1" + b"}" * 33,
        b'{"type":"a","b":[[[[[[1]]]]]]}',
        b"[[{}]]",
        b'{"added":1}',
    ),
    b'{"type":"a",\n"b":\t[ ]}',
]
BROKEN = [
    *(
        b"",
        b"1e999",
        b"-1e999",
        b"00",
        b"+1",
        b"0x1",
        b"NaN",
        b"nul",
        b'"',
        b"[",
        b"]",
        b"{",
        b"}",
        b",",
        b":",
        b"\\",
        b"//",
    ),
    *(
        b'"\xff"',
        b'"\xed\xa0\x80"',
        b'"\\ud83d"',
        b'"\x00"',
        b'"\\x"',
        b"\xef\xbb\xbf",
        b'"a":',
        b'"type":"b"',
        b" \t\n",
    ),
    *(
        b"[" * 100,
        b"]" * 100,
        b"9" * 400,
        b"[" * 2_000 + b"]" * 2_000,
        b'{"type":"\\ud83d"}',
        b'{"type":"a","b":1e999}',
    ),
    b'{"type":"a","b":"\xff"}',
]
LARGE_TOKENS = [
    b"9" * 5_000,
    b"-" + b"9" * 5_000,
    b"[" * 5_000 + b"]" * 5_000,
    b"[" * 100_000,
    b'{"a":' * 5_000 + b"1" + b"}" * 5_000,
    b"[" + b"0," * 50_000 + b"0]",
    b"[" + b"{}," * 50_000 + b"{}]",
    b"[" + b'{"type":"a"},' * 5_000 + b'{"type":"a"}]',
    b"[" + b'"AAAA",' * 20_000 + b'"AAAA"]',
    b'"%b"' % (b"A" * 200_000),
    b'"%b"' % (b"\\ud83d" * 20_000),
    b'"%b"' % ("\u00e4".encode() * 100_000),
    b"{" + b",".join(b'"%d":1' % number for number in range(20_000)) + b"}",
    b'{"type":"a","b":"%b"}' % (b"x" * 300_000),
]


def hostile(random: Random) -> Iterator[tuple[str, bytes]]:
    """Frames without end, and the decoders that they are for; each is a valid one with one to four changes."""
    while True:
        sample = random.choice(samples())
        if random.random() < 0.3:
            yield sample.decoder, damaged(sample, random)
            continue
        tokens: list[bytes] = []
        tree: Any = sample.tree
        for _ in range(random.choice((1, 1, 1, 2, 3, 4))):
            tree = changed(tree, random, tokens)
        frame = json.dumps(tree, separators=(",", ":"), ensure_ascii=random.random() < 0.1).encode(errors="replace")
        for number, token in enumerate(tokens):
            frame = frame.replace(b'"<%d>"' % number, token)
        if len(frame) <= MAX_FRAME:  # the transport takes no longer one
            yield sample.decoder, frame


def changed(tree: Any, random: Random, tokens: list[bytes]) -> Any:
    """The same value but for one part. A text `<n>` stands for tokens[n]."""
    if isinstance(tree, list) and tree and random.random() < 0.9:
        items = list(tree)
        at = random.randrange(len(items))
        change = random.randrange(12)
        if change == 0:
            del items[at]
        elif change == 1:
            items.insert(at, items[random.randrange(len(items))])
        elif change == 2:
            items[at : at + 1] = [items[at]] * random.choice((2, 3, 40, 600) if random.random() < 0.1 else (2, 3))
        elif change == 3:
            items.append(hostile_value(random, tokens))
        elif change == 4:
            random.shuffle(items)
        else:
            items[at] = changed(items[at], random, tokens)
        return items
    if isinstance(tree, dict) and tree and random.random() < 0.9:
        members = dict(tree)
        key = random.choice(list(members))
        change = random.randrange(8)
        if change == 0:
            del members[key]
        elif change == 1:
            members[random.choice(("type", "events", "added", "ab" * 16, key + "x"))] = members[key]
        elif change == 2:
            members[random.choice(("later", "type", key))] = hostile_value(random, tokens)
        else:
            members[key] = changed(members[key], random, tokens)
        return members
    if isinstance(tree, str) and tree and random.random() < 0.3:
        at = random.randrange(len(tree))
        return tree[:at] + random.choice(("", "A", "=", "/", "\u00e4", "\n", " ")) + tree[at + random.randrange(2) :]
    if isinstance(tree, int) and random.random() < 0.4:
        return tree + random.choice((-1, 1, -1_000_000, 1_000_000, 2**40, 2**53, -(2**53)))
    return hostile_value(random, tokens)


def hostile_value(random: Random, tokens: list[bytes]) -> str:
    chance = random.random()
    tokens.append(random.choice(LARGE_TOKENS if chance < LARGE else BROKEN if chance < 0.2 else VALUES))
    return f"<{len(tokens) - 1}>"


def damaged(sample: Sample, random: Random) -> bytes:
    """The frame with a change of its bytes, wherever they are."""
    frame, (first, end) = bytearray(sample.frame), random.choice(sample.tokens)
    change = random.randrange(6)
    if change == 0:
        frame[first:end] = random.choice(BROKEN)
    elif change == 1:
        del frame[first : end + random.randrange(3)]
    elif change == 2:
        frame[first:first] = frame[first:end] + random.choice((b",", b":", b""))
    elif change == 3:
        for _ in range(random.randint(1, 4)):
            frame[random.randrange(len(frame))] ^= 1 << random.randrange(8)
    elif change == 4:
        other = random.choice(samples())
        start = random.choice(other.tokens)[0]
        frame[first:end] = other.frame[start : random.choice(other.tokens)[1]]
    else:
        del frame[random.randrange(len(frame)) :]
    return bytes(frame)
