"""The simulated network: connections as the port demands, walls that delay, crashes without a goodbye."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import Any

import pytest

from mesh.lab.simulation.connection import SimConnection
from mesh.lab.simulation.network import SimNetwork
from mesh.lab.simulation.virtual_loop import VirtualLoop
from mesh.lab.simulation.wire import FLIGHT_BYTES, WireQuality
from peers.transport.channel import SEND_BYTES
from peers.transport.port import MAX_FRAME, Connection, Listening, Network
from tests.support.seeds import seeds


class House:
    """A network with a listening attic, and a kitchen that dials it."""

    def __init__(self, seed: int = 1) -> None:
        self.trace: list[str] = []
        self.loop = VirtualLoop(seed)
        self.network = SimNetwork(self.loop, Random(seed), on_trace=self.trace.append)
        self.accepted: list[Connection] = []
        self.events: dict[str, list[Any]] = {"kitchen": [], "attic": []}
        self.listening = self.open("attic", 70)
        self.dialled = self.network.room("kitchen").dial("attic:70")
        self.listen(self.dialled, "kitchen")

    def open(self, room: str, port: int) -> Listening:
        opened = self.network.room(room).listen("", port, self._on_connection)
        assert self.loop.run_until(lambda: opened.is_done, 1)
        return opened.result()

    def _on_connection(self, connection: Connection) -> None:
        self.accepted.append(connection)
        self.listen(connection, "attic")

    def listen(self, connection: Connection, room: str) -> None:
        heard = self.events[room]
        for event in ("connecting", "connect", "error", "disconnect", "message"):
            connection.on(event, lambda *args, event=event: heard.append((event, *args)))

    def meet(self) -> tuple[SimConnection, Connection]:
        """Both ends, open, with their records cleared."""
        before = len(self.accepted)
        self.dialled.connect()
        assert self.loop.run_until(lambda: len(self.accepted) > before, 1)
        self.clear()
        return self.dialled, self.accepted[-1]

    def clear(self) -> None:
        for heard in self.events.values():
            heard.clear()

    def frames(self, room: str) -> list[bytes]:
        return [args[0] for event, *args in self.events[room] if event == "message"]


@pytest.fixture
def house() -> Iterator[House]:
    house = House()
    yield house
    house.loop.close()


def test_the_network_of_a_room_is_a_network(house: House) -> None:
    network: Network = house.network.room("study")

    assert network.dial("attic:70").dialled


def test_opens_a_connection_after_a_round_trip(house: House) -> None:
    house.dialled.connect()
    assert house.events["kitchen"] == []  # never from inside connect

    house.loop.run_until(lambda: len(house.events["kitchen"]) == 2, 1)

    assert house.events["kitchen"] == [("connecting",), ("connect",)]
    assert 0.0004 <= house.loop.time() <= 0.004
    house.loop.run_for(0.002)
    assert house.dialled.connected
    assert not house.accepted[0].dialled
    assert house.accepted[0].connected


def test_frames_arrive_in_order_and_never_from_inside_send(house: House) -> None:
    kitchen, attic = house.meet()
    sent = [str(number).encode() for number in range(200)]

    for frame in sent:
        kitchen.send(frame)
    attic.send(b"back")

    assert house.events == {"kitchen": [], "attic": []}
    house.loop.run_for(1)
    assert house.frames("attic") == sent
    assert house.frames("kitchen") == [b"back"]


def test_says_how_it_was_closed_at_both_ends_after_the_last_frame(house: House) -> None:
    kitchen, attic = house.meet()

    kitchen.send(b"last")
    kitchen.disconnect("enough")
    kitchen.disconnect("again")
    assert not kitchen.connected
    assert house.events["kitchen"] == []
    house.loop.run_for(5)

    assert house.events["kitchen"] == [("disconnect", "enough")]
    assert house.events["attic"] == [("message", b"last"), ("disconnect", "enough")]
    assert not attic.connected


def test_delivers_nothing_to_an_end_that_has_closed(house: House) -> None:
    kitchen, attic = house.meet()

    attic.send(b"too late")
    kitchen.disconnect()
    house.loop.run_for(1)

    assert house.events["kitchen"] == [("disconnect", "closed by this end")]


def test_can_be_opened_again(house: House) -> None:
    kitchen, _ = house.meet()
    kitchen.disconnect()

    kitchen.connect()
    house.loop.run_for(1)
    kitchen.send(b"again")
    house.loop.run_for(1)

    assert [event for event, *_ in house.events["kitchen"]] == ["disconnect", "connecting", "connect"]
    assert len(house.accepted) == 2
    assert house.frames("attic") == [b"again"]


def test_refuses_what_a_connection_cannot_do(house: House) -> None:
    with pytest.raises(RuntimeError, match="not open"):
        house.dialled.send(b"early")
    kitchen, attic = house.meet()

    with pytest.raises(RuntimeError, match="open, or being opened"):
        kitchen.connect()
    with pytest.raises(RuntimeError, match="was accepted"):
        attic.connect()


@pytest.mark.parametrize("address", ["attic", "attic:", ":70", "attic:0", "attic:70000", "attic:x", ""])
def test_refuses_a_bad_address(house: House, address: str) -> None:
    with pytest.raises(ValueError, match="not an address"):
        house.network.room("kitchen").dial(address)


@pytest.mark.parametrize("address", ["attic:71", "cellar:70"])
def test_a_dial_to_a_closed_port_is_refused_after_a_round_trip(house: House, address: str) -> None:
    connection = house.network.room("kitchen").dial(address)
    house.listen(connection, "kitchen")
    began = house.loop.time()

    connection.connect()
    house.loop.run_until(lambda: len(house.events["kitchen"]) == 2, 10)

    assert house.events["kitchen"] == [("connecting",), ("disconnect", "refused")]
    assert 0.0004 <= house.loop.time() - began <= 0.004


def test_a_port_that_is_taken_or_of_another_host_cannot_be_opened(house: House) -> None:
    door = house.network.room("attic")
    taken, elsewhere = door.listen("", 70, print), door.listen("kitchen", 71, print)

    house.loop.run_for(1)

    assert "port 70 of attic is taken" in str(taken.exception)
    assert "not an address of attic" in str(elsewhere.exception)
    assert isinstance(taken.exception, OSError)


def test_a_closed_listening_socket_keeps_the_connections_it_accepted(house: House) -> None:
    kitchen, _ = house.meet()
    closed = house.listening.close()
    late = house.network.room("study").dial("attic:70")
    house.listen(late, "kitchen")

    late.connect()
    kitchen.send(b"still here")
    house.loop.run_for(1)

    assert closed.is_done
    assert ("disconnect", "refused") in house.events["kitchen"]
    assert house.frames("attic") == [b"still here"]
    assert house.open("attic", 70).port == 70


def test_any_free_port_is_found(house: House) -> None:
    ports = {house.open("attic", 0).port for _ in range(5)}

    assert len(ports) == 5


def test_a_room_can_dial_itself(house: House) -> None:
    connection = house.network.room("attic").dial("127.0.0.1:70")

    connection.connect()
    house.loop.run_for(1)

    assert connection.connected


def test_a_dial_across_a_wall_times_out(house: House) -> None:
    house.network.partition([["kitchen"], ["attic"]])
    began = house.loop.time()

    house.dialled.connect()
    house.loop.run_until(lambda: len(house.events["kitchen"]) == 2, 10)

    assert house.events["kitchen"] == [("connecting",), ("disconnect", "timed out after 3 s")]
    assert house.loop.time() - began == pytest.approx(3)
    house.network.heal()
    house.loop.run_for(10)
    assert house.accepted == []


@pytest.mark.parametrize("way", [("kitchen", "attic"), ("attic", "kitchen")])
def test_a_one_way_wall_stops_dials_of_both_directions(house: House, way: tuple[str, str]) -> None:
    house.network.cut(*way)

    house.dialled.connect()
    house.loop.run_for(10)
    house.network.heal()
    house.loop.run_for(10)

    assert house.events["kitchen"][-1] == ("disconnect", "timed out after 3 s")
    assert house.accepted == []


def test_a_dial_succeeds_if_the_wall_comes_down_in_time(house: House) -> None:
    house.network.partition([["kitchen"], ["attic"]])
    house.dialled.connect()
    house.loop.run_for(2)

    house.network.heal()
    house.loop.run_for(0.01)

    assert house.dialled.connected


def test_a_wall_delays_the_frames_of_an_open_connection(house: House) -> None:
    kitchen, attic = house.meet()
    kitchen.send(b"under way")
    house.network.partition([["kitchen"], ["attic", "study"]])
    kitchen.send(b"behind the wall")
    house.loop.run_for(3_600)
    assert house.events == {"kitchen": [], "attic": []}

    house.network.heal()
    house.loop.run_for(0.005)

    assert house.frames("attic") == [b"under way", b"behind the wall"]
    assert attic.connected


def test_a_close_behind_a_wall_is_heard_when_it_is_down(house: House) -> None:
    kitchen, _ = house.meet()
    house.network.partition([["kitchen"], ["attic"]])

    kitchen.disconnect("bye")
    house.loop.run_for(60)
    assert house.events["attic"] == []
    house.network.heal()
    house.loop.run_for(1)

    assert house.events["attic"] == [("disconnect", "bye")]


def test_a_room_in_no_group_sees_both_sides(house: House) -> None:
    house.network.partition([["kitchen"], ["attic"]])

    assert house.network.may_pass("study", "kitchen")
    assert house.network.may_pass("attic", "study")
    assert not house.network.may_pass("attic", "kitchen")


def test_a_room_cannot_stand_on_both_sides(house: House) -> None:
    with pytest.raises(ValueError, match="one group of a partition only"):
        house.network.partition([["kitchen", "attic"], ["attic"]])


def test_a_cut_stops_one_way_only(house: House) -> None:
    kitchen, attic = house.meet()
    house.network.cut("kitchen", "attic")

    kitchen.send(b"there")
    attic.send(b"back")
    house.loop.run_for(60)

    assert house.frames("attic") == []
    assert house.frames("kitchen") == [b"back"]


def test_a_sender_that_hears_no_answers_stops_after_a_while(house: House) -> None:
    _, attic = house.meet()
    house.network.cut("kitchen", "attic")

    for _ in range(10):
        attic.send(bytes(FLIGHT_BYTES // 4))
    house.loop.run_for(60)
    assert len(house.frames("kitchen")) == 4
    house.network.heal()
    house.loop.run_for(1)

    assert len(house.frames("kitchen")) == 10


def test_held_frames_come_late(house: House) -> None:
    kitchen, _ = house.meet()
    house.network.hold("kitchen", "attic")
    kitchen.send(b"late")
    house.loop.run_for(60)
    house.network.heal()  # a hold is no wall
    house.loop.run_for(60)
    assert house.frames("attic") == []

    house.network.release("kitchen", "attic")
    house.loop.run_for(1)

    assert house.frames("attic") == [b"late"]


def test_a_crash_closes_connections_without_a_goodbye(house: House) -> None:
    kitchen, attic = house.meet()
    attic.send(b"last words")

    house.network.drop_room("attic")
    kitchen.send(b"hello?")
    house.loop.run_for(3_600)

    assert house.events == {"kitchen": [], "attic": []}
    assert kitchen.connected


def test_a_sender_to_a_crashed_room_is_reset_when_the_room_is_back(house: House) -> None:
    kitchen, _ = house.meet()
    house.network.drop_room("attic")
    kitchen.send(b"hello?")
    house.loop.run_for(60)

    house.open("attic", 70)
    house.loop.run_for(1)

    assert house.events["kitchen"] == [("disconnect", "lost: reset")]
    kitchen.connect()
    house.loop.run_for(1)
    assert kitchen.connected


def test_a_silent_connection_outlives_a_crash_until_something_is_sent(house: House) -> None:
    kitchen, _ = house.meet()
    house.network.drop_room("attic")
    house.open("attic", 70)
    house.loop.run_for(60)
    assert kitchen.connected

    kitchen.send(b"hello?")
    house.loop.run_for(1)

    assert house.events["kitchen"] == [("disconnect", "lost: reset")]


def test_a_crashed_room_s_old_parts_do_nothing(house: House) -> None:
    door, (kitchen, attic) = house.network.room("attic"), house.meet()
    house.network.drop_room("attic")
    house.open("attic", 70)
    dialled = door.dial("kitchen:1")
    house.listen(dialled, "attic")

    attic.send(b"ghost")
    attic.disconnect()
    dialled.connect()
    listened = door.listen("", 71, print)
    house.loop.run_for(60)

    assert house.events == {"kitchen": [], "attic": []}
    assert not listened.is_done
    assert kitchen.connected


def test_a_dialler_that_crashes_leaves_no_half_open_connection(house: House) -> None:
    house.dialled.connect()
    house.loop.run_until(lambda: bool(house.network.room("attic").channels), 1)

    house.network.drop_room("kitchen")
    house.loop.run_for(60)

    assert house.accepted == []
    assert not house.network.room("attic").channels


def test_a_paused_end_makes_the_other_wait(house: House) -> None:
    kitchen, attic = house.meet()
    attic.pause()

    kitchen.send(b"wait")
    house.loop.run_for(60)
    assert house.events["attic"] == []
    attic.resume()
    house.loop.run_for(1)

    assert house.frames("attic") == [b"wait"]


def test_frames_wait_until_there_is_a_listener(house: House) -> None:
    house.network.drop_room("attic")
    accepted: list[Connection] = []
    house.network.room("attic").listen("", 70, accepted.append)
    house.dialled.connect()
    house.loop.run_for(1)
    house.dialled.send(b"early")
    house.loop.run_for(60)

    house.listen(accepted[0], "attic")
    house.loop.run_for(1)

    assert house.frames("attic") == [b"early"]


def test_a_paused_end_still_learns_that_the_other_has_closed(house: House) -> None:
    kitchen, attic = house.meet()
    attic.pause()

    kitchen.send(b"unread")
    kitchen.disconnect("bye")
    house.loop.run_for(1)
    assert attic.connected
    house.loop.run_for(5)

    assert house.events["attic"] == [("disconnect", "bye")]


def test_gives_up_on_an_end_that_never_reads(house: House) -> None:
    kitchen, attic = house.meet()
    attic.pause()

    for _ in range(SEND_BYTES // MAX_FRAME):
        kitchen.send(bytes(MAX_FRAME))
    house.loop.run_for(1)
    assert kitchen.connected
    kitchen.send(b"one more")
    assert house.events["kitchen"] == []  # never from inside send
    house.loop.run_for(10)

    assert house.events["kitchen"] == [("disconnect", "too slow")]
    assert house.events["attic"] == [("disconnect", "too slow")]


def test_a_frame_that_is_too_long_ends_the_connection(house: House) -> None:
    kitchen, _ = house.meet()

    kitchen.send(bytes(MAX_FRAME + 1))
    house.loop.run_for(1)

    assert [event for event, *_ in house.events["attic"]] == ["error", "disconnect"]
    assert "at most 1048576 are taken" in house.events["kitchen"][0][1]


def test_a_slow_link_takes_its_time_and_shows_activity(house: House) -> None:
    kitchen, attic = house.meet()
    signs: list[float] = []
    attic.on("activity", lambda: signs.append(house.loop.time()))
    house.network.set_quality("kitchen", "attic", WireQuality((100, 100), bytes_per_second=100_000))
    began = house.loop.time()

    kitchen.send(bytes(500_000))
    house.loop.run_until(lambda: bool(house.frames("attic")), 60)

    assert house.loop.time() - began == pytest.approx(5.1)
    assert len(signs) >= 19
    assert max(later - earlier for earlier, later in pairwise(signs)) < 0.3


def test_what_waits_on_a_slow_link_comes_at_once_when_the_link_is_good_again(house: House) -> None:
    kitchen, _ = house.meet()
    house.network.set_quality("kitchen", "attic", WireQuality((100, 100), bytes_per_second=1_000))
    began = house.loop.time()
    sent = [bytes([number]) * 50_000 for number in range(3)]

    for frame in sent:
        kitchen.send(frame)
    house.loop.run_for(10)
    assert house.frames("attic") == []
    house.network.set_quality("kitchen", "attic", WireQuality((100, 100), bytes_per_second=100_000))
    house.loop.run_until(lambda: len(house.frames("attic")) == 3, 60)

    assert house.frames("attic") == sent
    assert house.loop.time() - began == pytest.approx(11.5, abs=0.3)


def test_a_lossy_link_loses_nothing_but_time(house: House) -> None:
    kitchen, _ = house.meet()
    house.network.set_quality("kitchen", "attic", WireQuality(loss=0.5))
    sent = [str(number).encode() for number in range(50)]

    for frame in sent:
        kitchen.send(frame)
    house.loop.run_for(0.1)
    assert house.frames("attic") != sent
    house.loop.run_for(10)

    assert house.frames("attic") == sent


def test_a_reset_breaks_both_ends(house: House) -> None:
    kitchen, attic = house.meet()

    house.network.reset("attic", "kitchen")
    house.loop.run_for(1)

    assert house.events == {"kitchen": [("disconnect", "lost: reset")], "attic": [("disconnect", "lost: reset")]}
    assert not kitchen.connected
    assert not attic.connected


def test_an_orderly_end_closes_everything(house: House) -> None:
    house.meet()

    closed = house.network.room("attic").close()
    house.loop.run_for(5)

    assert closed.is_done
    assert house.events["kitchen"] == [("disconnect", "this end is closing")]
    assert not house.network.room("attic").listenings


def test_nothing_is_left_of_connections_that_are_over(house: House) -> None:
    for _ in range(20):
        kitchen, _ = house.meet()
        kitchen.send(b"hello")
        kitchen.disconnect()
        house.loop.run_for(5)

    assert not house.network.wires
    assert not house.network.room("kitchen").channels
    assert not house.network.room("attic").channels


def test_the_trace_shows_what_happened(house: House) -> None:
    kitchen, _ = house.meet()

    kitchen.send(b'["sync",' + b"x" * 100)
    kitchen.disconnect("bye")
    house.loop.run_for(1)

    lines = [line.split(" ", 1)[1] for line in house.trace]
    assert lines == [
        "kitchen > attic connect",
        "kitchen > attic disconnect bye",
        'kitchen > attic ["sync",' + "x" * 72,
        "attic > kitchen disconnect bye",
    ]


ROOMS = ["kitchen", "study", "attic", "cellar", "porch"]


def storm(seed: int) -> list[str]:
    """Five rooms that dial, talk, close and crash at random, under walls that come and go; returns the trace."""
    loop, trace = VirtualLoop(seed), list[str]()
    random = Random(seed)
    network = SimNetwork(loop, random, on_trace=trace.append)
    open_ends: list[Connection] = []

    def take(connection: Connection) -> None:
        open_ends.append(connection)
        connection.on("connect", lambda: connection.send(b"hello"))
        connection.on("message", lambda frame: answer(connection, frame))

    def answer(connection: Connection, frame: bytes) -> None:
        if len(frame) < 40 and connection.connected:
            connection.send(frame + b"!")

    def dial() -> None:
        connection = network.room(random.choice(ROOMS)).dial(f"{random.choice(ROOMS)}:7")
        take(connection)
        connection.connect()

    def talk() -> None:
        for connection in open_ends[-20:]:
            if connection.connected:
                connection.send(b"news" if random.random() < 0.9 else bytes(MAX_FRAME + 1))

    def crash() -> None:
        room = random.choice(ROOMS)
        network.drop_room(room)
        loop.call_later(random.random() * 5, network.room(room).listen, "", 7, take)

    def wall() -> None:
        rooms = random.sample(ROOMS, 5)
        network.partition([rooms[:2], rooms[2:]])

    verbs: list[Callable[[], object]] = [
        *[dial] * 6,
        *[talk] * 4,
        crash,
        wall,
        network.heal,
        lambda: network.cut(*random.sample(ROOMS, 2)),
        lambda: network.hold("kitchen", "study"),
        lambda: network.release("kitchen", "study"),
        lambda: network.reset(*random.sample(ROOMS, 2)),
        lambda: network.set_quality(*random.sample(ROOMS, 2), WireQuality(bytes_per_second=10_000, loss=0.1)),
        lambda: random.choice(open_ends or [network.room("study").dial("attic:7")]).disconnect("enough"),
        lambda: random.choice(open_ends or [network.room("study").dial("attic:7")]).pause(),
        lambda: random.choice(open_ends or [network.room("study").dial("attic:7")]).resume(),
    ]
    for room in ROOMS:
        network.room(room).listen("", 7, take)
    for _ in range(300):
        random.choice(verbs)()
        loop.run_for(random.random())
    loop.close()
    return trace


def test_the_same_seed_gives_the_same_trace() -> None:
    first, second = storm(3), storm(3)

    assert len(first) > 500
    assert first == second
    assert storm(4) != first


def test_the_same_seed_gives_the_same_trace_in_other_processes() -> None:
    def elsewhere(hash_seed: int, junk: int) -> str:
        code = f"junk = [bytes(i % 700) for i in range({junk})]; del junk[::3]\n"
        code += f"from {__name__} import storm; print('\\n'.join(storm(3)))"
        environment = {**os.environ, "PYTHONHASHSEED": str(hash_seed), "PYTHONPATH": os.pathsep.join(sys.path)}
        return subprocess.run(
            [sys.executable, "-c", code],
            env=environment,
            cwd=Path(__file__).parent,
            check=True,
            capture_output=True,
            text=True,
            timeout=60,
        ).stdout

    assert elsewhere(1, 0) == elsewhere(77, 50_000) == "\n".join(storm(3)) + "\n"


@pytest.mark.parametrize("seed", seeds(20, always=5))
def test_no_connection_carries_frames_before_it_is_open(seed: int) -> None:
    opened: dict[str, bool] = {}

    for line in storm(seed):
        _, source, _, target, what, *_ = line.split(" ")
        if what == "connect":
            opened[f"{source} {target}"] = True
        elif what.startswith(("news", "hello")):
            assert opened.get(f"{source} {target}") or opened.get(f"{target} {source}"), line
