"""Whatever a stranger sends over a real socket, our door answers in the words of the protocol and lives on."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest
from our_end import KINDS, PROTOCOLS, OurEnd
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from peers.codec.logux_7 import to_digits

each = pytest.mark.parametrize("kind", KINDS)

ANSWER_SECONDS = 20.0
FIRST_LINE = '["duilian","金木水火土"]'
SECOND_LINE = ["duilian", "板城烧锅酒"]
"""Answered in every state and dialect: a peer that still says it lives."""
DEEP = 5_000
LIVES = "lives"
WRONG = "wrong-format, closed"
UNKNOWN = "unknown-message, closed"
EARLY = "missed-auth, lives"
CLOSED = "closed"
TAKEN = "synced, lives"
UNDONE = "synced, sync, debug, lives"
"""An event that is not taken: of protocol 5 and 7 a client is told so, by `logux/undo` and for its developer."""
TOLD = "synced, debug, lives"
"""The same where the id is what is wrong: there is nothing to undo."""

BEFORE_A_GREETING: dict[str | bytes, str] = {
    **dict.fromkeys(["null", "[]", "{}", "1", '"x"', "[1]", "[null]", "", "no JSON", "\ufeff[]", '["ping",1]x'], WRONG),
    **dict.fromkeys([b'["x\xff"]', b"\xff\xfe", '["\\ud800"]', '["\\u0000"]', '["__init__"]', '["../x"]'], WRONG),
    **dict.fromkeys(["[" * 100_000, "[" * DEEP + "]" * DEEP, '{"a":' * DEEP, json.dumps(["x" * 100])], WRONG),
    **dict.fromkeys(['["connect"]', '["connect",null]', '["connect",5]', '["connect",5,"a"]'], WRONG),
    **dict.fromkeys(['["connect",[0],"a",0]', '["connect",[0,1,2],"a",0]', '["connect",[],"a",0]'], WRONG),
    **dict.fromkeys(['["connect",["0","1"],"a",0]', '["connect",[0,null],"a",0]', '["connect",[[0],1],"a",0]'], WRONG),
    **dict.fromkeys(['["connect",-5,"a",0]', '["connect",1e400,"a",0]', '["connect",true,"a",0]'], WRONG),
    **dict.fromkeys(['["connect","5","a",0]', '["connect",{},"a",0]', '["connect",5,"",0]'], WRONG),
    **dict.fromkeys(['["connect",5,null,0]', '["connect",5,NaN,0]', '["connect",5,"a\\nb",0]'], WRONG),
    **dict.fromkeys([json.dumps(["connect", 5, "a" * 10_000, 0]), '["connect",5,"\\ud800",0]'], WRONG),
    **dict.fromkeys(['["connect",5,"a",-1]', '["connect",5,"a",1e300]', '["connect",5,"a",null]'], WRONG),
    **dict.fromkeys(['["connect",5,"a",0,null]', '["connect",5,"a",0,[]]', '["connect",5,"a",0,1]'], WRONG),
    '["connect",5,"a",0,{"token":' + "[" * DEEP + "]" * DEEP + "}]": WRONG,
    **dict.fromkeys(
        ['["connect",[1,0],"a",0]', '["connect",4,"a",0]', '["connect",0,"a",0]'], "wrong-protocol, closed"
    ),
    **dict.fromkeys(['["connect",5,"a",0,{"length":5}]', '["connect",5,7,0,{},1]'], "connected, lives"),
    **dict.fromkeys(['["connect",9007199254740991,"a",0]', '["connect",7.5,"a",0]'], "connected, ready, lives"),
    **dict.fromkeys(
        ['["connect",5,"a",0,{"subprotocol":{}}]', '["connect",5,"a",9007199254740991]'], "connected, lives"
    ),
    **dict.fromkeys(['["connected",[0,1],"x",[0,0]]', '["connected",5,"x",[0,0]]', '["connected"]'], WRONG),
    **dict.fromkeys(
        ['["sync",0]', '["sync",1,{"type":"a"},[1,"a",0]]', '["synced",1]', '["ping",1]', '["pong",1]'], EARLY
    ),
    **dict.fromkeys(['["on",["sync",1]]', '["ready",0]', '["have",{}]', '["x"]', '["dispatch",{}]'], UNKNOWN),
    **dict.fromkeys(['["constructor"]', '["own"]', '["send",["x"]]', '["on-x/y"]'], UNKNOWN),
    **dict.fromkeys(['["error"]', '["error",5]', '["debug"]', '["debug","error",null]', '["debug",null,"x"]'], WRONG),
    **dict.fromkeys(['["error","wrong-protocol",null]', '["error","wrong-protocol",{"supported":1}]'], CLOSED),
    **dict.fromkeys(['["error","wrong-format"]', '["error","x","y"]', json.dumps(["error", "x" * 10_000])], CLOSED),
    **dict.fromkeys(['["error","wrong-credentials",{"used":{"used":[]}}]', '["error","timeout","x"]'], CLOSED),
    **dict.fromkeys(['["headers"]', '["headers",null]', '["headers",[]]', '["duilian",null]', '["duilian"]'], WRONG),
    '["headers",' + '{"a":' * DEEP + "1" + "}" * DEEP + "]": WRONG,
    **dict.fromkeys(['["headers",{}]', '["headers",{"length":1},2]', '["debug","x","y"]', '["duilian","?"]'], LIVES),
    json.dumps(["debug", "error", "y" * 10_000]): LIVES,
    json.dumps(["debug", "error", "y" * 100_000]): WRONG,
}

AFTER_IT: dict[str | bytes, str] = {
    **dict.fromkeys(["null", "[]", "{}", "1", "[1]", "", '["sync"]', '["sync",null]', '["sync","1"]'], WRONG),
    **dict.fromkeys(['["sync",1,{}]', '["sync",1,{"type":"a"},@,{"type":"b"}]', '["sync",NaN]'], WRONG),
    **dict.fromkeys(['["sync",-1,{"type":"a"},@]', '["sync",1e300,{"type":"a"},@]', '["sync",1,{"a":"@]'], WRONG),
    **dict.fromkeys(['["sync",1,null,@]', '["sync",1,[],@]', '["sync",1,"x",@]'], UNDONE),
    **dict.fromkeys(['["sync",1,{"type":5},@]', '["sync",1,{"type":null},@]', '["sync",1,{"no":1},@]'], UNDONE),
    **dict.fromkeys(['["sync",1,{"type":"a","n":NaN},@]', '["sync",1,{"type":"\\ud800"},@]'], UNDONE),
    **dict.fromkeys([b'["sync",1,{"type":"\xff"},@]', '["sync",1,{"type":"a","n":1e400},@]'], UNDONE),
    '["sync",1,{"type":"a","in":' + "[" * DEEP + "]" * DEEP + "},@]": UNDONE,
    '["sync",1,{"type":"a","in":' + "[" * 40 + "]" * 40 + "},@]": UNDONE,
    json.dumps(["sync", 1, {"type": "a", "text": "y" * 300_000}, 0]).replace("0]", "@]"): UNDONE,
    '["sync",1,{"type":"a","n":' + "9" * 5_000 + "},@]": UNDONE,
    **dict.fromkeys(['["sync",1,{"type":"a"},null]', '["sync",1,{"type":"a"},{}]', '["sync",1,{"type":"a"},5]'], TOLD),
    **dict.fromkeys(['["sync",1,{"type":"a"},[]]', '["sync",1,{"type":"a"},"x"]'], TOLD),
    **dict.fromkeys(['["sync",0]', '["sync",5]'], TAKEN),
    **dict.fromkeys(['["sync",1,{"type":"length","length":3},@]', '["sync",9007199254740991,{"type":"a"},@]'], TAKEN),
    **dict.fromkeys(['["sync",1,{"type":"a","type":"twice"},@]', '["sync",1,{"type":"","__proto__":null},@]'], TAKEN),
    **dict.fromkeys(
        ['["synced"]', '["synced",null]', '["synced",-1]', '["synced",1e17]', '["ping"]', '["pong",-1]'], WRONG
    ),
    **dict.fromkeys(['["synced",5]', '["synced",0]', '["pong",0]', '["pong",9007199254740991]'], LIVES),
    '["ping",9007199254740991]': "pong, lives",
    **dict.fromkeys(['["connect",5,"a",0]', '["connect",[0,1],"a",0]', '["connect",7,"client",0]'], WRONG),
    **dict.fromkeys(['["connected",5,"x",[0,0]]', '["connected",[0,1],"x",[0,0]]'], WRONG),
    **dict.fromkeys(['["on",["sync",1]]', '["have",{}]', '["x",1]', '["own",1]'], UNKNOWN),
    **dict.fromkeys(['["error","wrong-credentials"]', '["error","timeout",5]', '["error","not known"]'], CLOSED),
    **dict.fromkeys(['["headers",{}]', '["debug","error","x"]'], LIVES),
    '["headers",null]': WRONG,
}
"""`@` stands for what belongs to a new event: its `created`, or its meta."""

IDS: dict[str, dict[str, str]] = {
    "logux01": {
        **dict.fromkeys(["[]", '[1,"a",0,5]', '["a",1,0]', '[null,"a",0]', "[1,null,0]", "[1,{},0]", '{"0":1}'], TOLD),
        **dict.fromkeys(['[1,"a","b"]', '[true,"a",0]', '[1,["a"],0]', "null", "1", '[1,"\\ud83d",0]'], TOLD),
        **dict.fromkeys(['[-1,"a",0]', '[1e300,"a",0]', '[1,"",0]', '[1,"\\n",0]', '[1,"a",-1]'], TOLD),
        **dict.fromkeys(['[9007199254740992,"a",0]', json.dumps([1, "x" * 300, 0]), '[-1e300,"a",0]'], TOLD),
        **dict.fromkeys(
            ["[1]", '[1.5,"a",0.5]', "[2,5,0]", '[3,"a b",0]', '[4,"a"]', '[9007199254740991,"a",0]'], TAKEN
        ),
    },
    "core10": {
        **dict.fromkeys(["null", '"x"', "[]", "[1]", "[1,2,3]", '[1,"a","b"]', "{}", "true", '[true,"a",0]'], TOLD),
        **dict.fromkeys(['[1,"a",0,0]', "1.5", "[1,null,0]", '[1,"\\ud83d",0]'], TOLD),
        **dict.fromkeys(['[1,"a",-1]', "-9007199254740991", '[1,"",0]', '[1,"\\n",0]', "[1,-1]"], TOLD),
        **dict.fromkeys([json.dumps([1, "x" * 300, 0]), "9007199254740991", "NaN"], TOLD),
        **dict.fromkeys(["-1", "[-1,1]", '[-1,"a b",0]', '[-1,"ours",0]', "86400000"], TAKEN),
    },
    "core12": {
        **dict.fromkeys(["null", "5", '[1,"a",0]', "{}", "true", '"X \\ud83d"'], TOLD),
        **dict.fromkeys(['""', '" "', '"!"', '"a "', '"-0"', '"zzzzzzzzzzzzzzzz"', '"X \\n"', '"\\u00e9 a"'], TOLD),
        **dict.fromkeys(['"X ' + "x" * 300 + '"', '" a"'], TOLD),
        '"X  "': TAKEN,
        **dict.fromkeys(['"X"', '"X a"', '"X a b"', '"-"', '"X a!12"', '"X a!112"', '"X a!19zzzzzzzzz"'], TAKEN),
    },
}
METAS: dict[str, str] = {
    **dict.fromkeys(['"time":null', '"time":"x"', '"time":[]', '"tim":0', '"time":0,"reasons":5'], UNDONE),
    **dict.fromkeys(['"time":0,"reasons":[5]', '"time":0,"indexes":{}', '"time":0,"keepLast":5'], UNDONE),
    **dict.fromkeys(['"time":1e300', '"time":-1e300', '"time":-9007199254740991', '"time":NaN'], UNDONE),
    **dict.fromkeys(['"time":0,"x":"\\ud83d"', '"time":0,"x":' + "[" * DEEP + "]" * DEEP], UNDONE),
    '"time":0,"big":"' + "y" * 20_000 + '"': UNDONE,
    **dict.fromkeys(['"time":0.5', '"time":0,"reasons":[]', '"time":0,"added":5,"dot":[1],"created":null'], TAKEN),
    **dict.fromkeys(['"time":0,"__proto__":null,"length":4', '"time":0,"time":1', '"time":86400000'], TAKEN),
}


def test_answers_whatever_comes_before_a_greeting() -> None:
    with OurEnd() as ours:
        url = ours.listen()

        answers = {text: answer_to(url, text) for text in BEFORE_A_GREETING}

        assert differing(answers, BEFORE_A_GREETING) == {}
        assert ours.length == 0


@each
def test_answers_whatever_comes_after_it(kind: str) -> None:
    expected = dict(AFTER_IT) if kind != "logux01" else untold(AFTER_IT)
    expected['["ready",0]'] = LIVES if kind == "core12" else UNKNOWN
    expected['["ready",null]'] = WRONG if kind == "core12" else UNKNOWN
    with OurEnd() as ours:
        url = ours.listen()

        answers = {text: answer_to(url, filled(text, kind, n), kind, ours.length) for n, text in enumerate(expected)}

        assert differing(answers, expected) == {}
        assert sorted(ours.types()) == ["", "a", "length", "twice"]
        assert len(ours.refused) == sum(answer in (UNDONE, TOLD) for answer in AFTER_IT.values())


@each
def test_answers_whatever_comes_as_an_id(kind: str) -> None:
    expected = dict(IDS[kind]) if kind != "logux01" else untold(IDS[kind])
    with OurEnd() as ours:
        url = ours.listen()

        answers = {wire_id: answer_to(url, with_id(kind, wire_id), kind, ours.length) for wire_id in expected}

        assert differing(answers, expected) == {}
        assert len(ours.refused) == sum(answer == TOLD for answer in IDS[kind].values())
        assert ours.length >= 5


@pytest.mark.parametrize("kind", ["core10", "core12"])
def test_answers_whatever_comes_as_a_meta(kind: str) -> None:
    ids: list[Any] = [[-1, n] if kind == "core10" else f"X a{n}" for n in range(len(METAS))]
    with OurEnd() as ours:
        url = ours.listen()

        answers = {
            rest: answer_to(url, f'["sync",1,{{"type":"a"}},{{"id":{json.dumps(wire_id)},{rest}}}]', kind, ours.length)
            for rest, wire_id in zip(METAS, ids, strict=True)
        }

        assert differing(answers, METAS) == {}
        assert (len(ours.refused), ours.length) == (len(METAS) - 6, 6)


def answer_to(url: str, text: str | bytes, kind: str | None = None, synced: int = 0) -> str:
    """What came for it, and whether the connection lives on."""
    with connect(url, compression=None, max_size=None, close_timeout=1) as client:
        if kind is not None:
            greet(client, kind, synced)
        with contextlib.suppress(ConnectionClosed):  # what was said before is still there to be read
            client.send(text, text=True)
            client.send(FIRST_LINE)
        names: list[str] = []
        try:
            while (message := json.loads(client.recv(timeout=ANSWER_SECONDS))) != SECOND_LINE:
                names.append(message[1] if message[0] == "error" else message[0])
        except ConnectionClosed:
            return ", ".join([*names, CLOSED])
    return ", ".join([*names, LIVES])


def greet(client: ClientConnection, kind: str, synced: int = 0) -> None:
    protocol = [0, 1] if kind == "logux01" else PROTOCOLS[kind]
    client.send(json.dumps(["connect", protocol, "client", synced]))
    assert json.loads(client.recv(timeout=ANSWER_SECONDS))[0] == "connected"
    if kind == "core12":
        assert json.loads(client.recv(timeout=ANSWER_SECONDS))[0] == "ready"


def untold(answers: dict[Any, str]) -> dict[Any, str]:
    """The same of protocol 0.1, which has no message that could say so."""
    return {text: TAKEN if answer in (UNDONE, TOLD) else answer for text, answer in answers.items()}


def filled(text: str | bytes, kind: str, n: int) -> str | bytes:
    seconds: dict[str, Any] = {
        "logux01": [1_000 + n, "client", 0],
        "core10": {"id": -1_000 + n, "time": -1_000 + n},
        "core12": {"id": f"{to_digits(1_000 + n)}", "time": -1_000 + n},
    }
    second = json.dumps(seconds[kind])
    return text.replace(b"@", second.encode()) if isinstance(text, bytes) else text.replace("@", second)


def with_id(kind: str, wire_id: str) -> str:
    second = wire_id if kind == "logux01" else f'{{"id":{wire_id},"time":0}}'
    return f'["sync",1,{{"type":"a"}},{second}]'


def differing(answers: dict[Any, str], expected: dict[Any, str]) -> dict[str, tuple[str, str]]:
    """By the beginning of the input: what came, and what was expected."""
    pairs = {text: (answers[text], expected[text]) for text in expected}
    return {str(text)[:80]: pair for text, pair in pairs.items() if pair[0] != pair[1]}
