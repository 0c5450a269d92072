"""The picture of a scenario shows all that its timeline holds, and equal seeds give equal pictures."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from xml.etree import ElementTree

import pytest
from click.testing import CliRunner

from mesh.lab import Cluster, scenario
from mesh.lab.plot.plot import plot
from mesh.lab.plot.svg import TextRow
from mesh.lab.plot.time_axis import TimeAxis, show_duration, show_seconds
from mesh.lab.recording.timeline import Happening
from mesh.lab.runner.library import load, titles
from tests.support.root import ROOT
from tests.support.story_scripts import run

SVG = "{http://www.w3.org/2000/svg}"


def picture(name: str, seed: int = 0) -> tuple[ElementTree.Element, tuple[Happening, ...]]:
    """The picture of a scenario of the library, and the happenings that it shows."""
    outcome = load(name).run(seed, has_diary=True)
    assert outcome.failure is None
    svg = plot(outcome.happenings, name=name, sentence=titles()[name], seed=seed)
    return ElementTree.fromstring(svg), outcome.happenings


def marked(svg: ElementTree.Element, kind: str) -> list[ElementTree.Element]:
    return [element for element in svg.iter() if kind in element.get("class", "").split()]


def texts(svg: ElementTree.Element) -> list[str]:
    return [element.text or "" for element in svg.iter(f"{SVG}text")]


def tooltips(svg: ElementTree.Element) -> list[str]:
    return [element.text or "" for element in svg.iter(f"{SVG}title")]


def noted(svg: ElementTree.Element) -> set[str]:
    """The tooltips without their times."""
    return {tooltip.partition(": ")[2] for tooltip in tooltips(svg)}


@pytest.mark.parametrize("name", sorted(set(titles()) - {"shop_day"}))
def test_every_scenario_is_drawn_with_a_lane_for_each_room_and_a_dot_for_each_event(name: str) -> None:
    svg, happenings = picture(name, seed=1)  # the tests of the library play it with 0

    places = {place for happening in happenings for place in happening.places}
    assert {element.text for element in marked(svg, "lane")} == places
    for kind in ("write", "arrival"):
        assert len(marked(svg, kind)) == sum(happening.kind == kind for happening in happenings)


def test_a_partition_is_drawn_with_its_beats_events_times_and_ticks() -> None:
    svg, _ = picture("partition")

    shown = texts(svg)
    assert {"the three have met", "each side agrees with itself", "the wall is down"} <= set(shown)
    assert {"partition kitchen | study attic", "heal", "milk", "bread", "30 s"} <= set(shown)
    assert len(marked(svg, "wall")) == 1
    assert len(marked(svg, "tick")) == 3
    assert "✓ the same events, in the same order" in shown


def test_the_picture_has_a_description_for_those_who_cannot_see_it() -> None:
    svg, _ = picture("partition")

    assert svg.get("role") == "img"
    assert svg.findtext(f"{SVG}title") == "partition: " + titles()["partition"]
    description = svg.findtext(f"{SVG}desc") or ""
    assert description.startswith("3 rooms, 2 events written, seed 0.")
    assert "partition kitchen | study attic." in description


def test_a_crashed_room_is_dashed_until_it_returns() -> None:
    svg, _ = picture("lost_disk")

    dashed = [element for element in svg.iter(f"{SVG}path") if element.get("stroke-dasharray") == "3 5"]
    assert len(dashed) == 1
    assert "crash, disk lost" in texts(svg)
    assert {"crash, disk lost", "restart"} <= noted(svg)


def test_clients_have_lanes_and_ticks_too() -> None:
    svg, happenings = picture("mixed_clients")

    assert [element.text for element in marked(svg, "lane")] == ["kitchen", "radio", "study", "tablet", "phone"]
    assert len(marked(svg, "tick")) == 5
    assert "stop" in [happening.kind for happening in happenings[-2:]]


def test_the_same_seed_gives_the_same_bytes_in_every_process(tmp_path: Path) -> None:
    for hash_seed in ("1", "77"):
        path = tmp_path / hash_seed
        run("scenarios/mixed_clients.py", "--seed", "7", "--plot", path, hash_seed=hash_seed).check_returncode()

    assert (tmp_path / "1").read_bytes() == (tmp_path / "77").read_bytes()


@pytest.mark.parametrize("name", ["partition", "mixed_clients", "full_disk", "frozen_laptop"])
def test_a_diary_changes_nothing_in_the_run(name: str) -> None:
    assert load(name).run(5, has_diary=True).trace_hash == load(name).run(5).trace_hash


def test_the_type_of_an_event_cannot_break_the_picture() -> None:
    @scenario
    def hostile(house: Cluster) -> None:
        (kitchen,) = house.start("kitchen")
        kitchen.log.add({"type": '</text><script>"&'})
        house.settle("<b>met</b> & gone")

    outcome = hostile.run(has_diary=True)
    svg = ElementTree.fromstring(plot(outcome.happenings, name="hostile", sentence="<&>"))

    assert '</text><script>"&' in texts(svg)
    assert "<b>met</b> & gone" in texts(svg)


def test_letters_that_xml_cannot_hold_are_replaced() -> None:
    drawn = plot(
        [Happening(0, "start", ("kitchen",)), Happening(1, "write", ("kitchen",), "a\x00b\ud800", 1)], name="x"
    )

    assert "a�b�" in texts(ElementTree.fromstring(drawn.encode()))


def test_a_failed_run_is_drawn_up_to_the_failure_with_its_reason() -> None:
    @scenario
    def hopeless(house: Cluster) -> None:
        house.start("kitchen", "study")
        house.settle("met")
        raise AssertionError("no bread")

    outcome = hopeless.run(has_diary=True)
    svg = ElementTree.fromstring(plot(outcome.happenings, name="hopeless", failure=outcome.failure))

    assert any(text.startswith("✗ no bread") for text in texts(svg))
    assert marked(svg, "tick") == []


def test_a_run_that_ends_partitioned_does_not_claim_that_all_agree() -> None:
    @scenario
    def walled(house: Cluster) -> None:
        kitchen, _study = house.start("kitchen", "study")
        house.partition(["kitchen"], ["study"])
        kitchen.log.add({"type": "milk"})
        house.settle("alone")

    svg = ElementTree.fromstring(plot(walled.run(has_diary=True).happenings, name="walled"))

    assert "✓ nothing is lost, all who can talk agree" in texts(svg)
    assert [float(element.get("width", 0)) > 0 for element in marked(svg, "wall")] == [True]


def test_a_run_in_which_nothing_happened_can_be_drawn() -> None:
    assert ElementTree.fromstring(plot([], name="nothing")).tag == f"{SVG}svg"


def test_time_never_runs_back_and_long_silence_is_shortened() -> None:
    happenings = [Happening(seconds, "write", ("kitchen",), "x", 1) for seconds in (0, 0.001, 0.002, 3_600, 3_600)]

    axis = TimeAxis(happenings, 100, 800)

    assert axis.places[0] == 100
    assert axis.places[-1] == 800
    assert all(one < other for one, other in pairwise(axis.places))
    assert [(quiet.left, round(quiet.seconds)) for quiet in axis.breaks()] == [(axis.places[2], 3_600)]


@pytest.mark.parametrize(
    ("seconds", "time", "duration"),
    [
        (0, "0 s", "0 s"),
        (1.0471, "1.047 s", "1 s"),
        (31.0504, "31.05 s", "31 s"),
        (300, "5:00", "5 min"),
        (3_603, "1:00:03", "1 h"),
    ],
)
def test_times_and_durations_are_written_for_people(seconds: float, time: str, duration: str) -> None:
    assert show_seconds(seconds) == time
    assert show_duration(seconds) == duration


def test_a_text_that_would_cover_another_or_leave_its_row_is_left_out() -> None:
    row = TextRow(10, 0, 300)

    shown = [bool(row.add(x, "some words", "end", "start")) for x in (10, 20, 90, 100, 290)]

    assert shown == [True, False, True, False, True]  # the first on the right, the others on the left


def test_a_mark_without_space_for_its_text_has_it_in_a_tooltip() -> None:
    svg = drawn(*((1 + number / 1_000, f"slow hub - {room}") for number, room in enumerate(("barn", "silo", "gate"))))

    assert [text for text in texts(svg) if text.startswith("slow")] == ["slow hub - barn"]
    assert {"1 s: slow hub - barn", "1.001 s: slow hub - silo", "1.002 s: slow hub - gate"} <= set(tooltips(svg))


def test_a_long_text_is_shortened_and_whole_in_its_tooltip() -> None:
    names = " ".join(f"till{number}" for number in range(1, 12))
    wall = f"partition {' | '.join(names.split())}"

    svg = drawn((1, wall), rooms=names)

    assert any(text.startswith("partition till1 | till2 | ") and text.endswith("…") for text in texts(svg))
    assert f"1 s: {wall}" in tooltips(svg)


def test_what_was_done_to_a_room_in_one_instant_is_one_text() -> None:
    svg = drawn((1, "crash hub"), (1, "wipe hub"))

    assert "crash, disk lost" in texts(svg)
    assert "1 s: crash, disk lost" in tooltips(svg)


def drawn(
    *done: tuple[float, str], failure: str | None = None, rooms: str = "hub barn silo gate"
) -> ElementTree.Element:
    """The picture of rooms and of verbs as the trace writes them, each with its second."""
    happenings = [Happening(0, "start", tuple(rooms.split()), f"start {rooms}")]
    for seconds, text in done:
        words = text.split()
        places = tuple(word for word in words[1:] if word in rooms.split())
        happenings.append(Happening(seconds, words[0], places, text))
    return ElementTree.fromstring(plot(happenings, name="drawn", failure=failure))


def test_while_one_link_is_flaky_all_else_is_still_noted() -> None:
    svg = drawn(
        (1, "flaky hub - barn for 30 s"),
        (1, "slow hub - barn"),
        (2, "partition hub | barn silo"),
        (3, "slow silo - gate"),
        (4, "heal"),
        (31, "slow hub - barn"),
    )

    shown = {"flaky hub - barn for 30 s", "partition hub | barn silo", "slow silo - gate", "heal"}
    assert shown <= noted(svg)
    assert "slow hub - barn" not in noted(svg)


def test_time_that_is_left_out_is_marked_where_its_length_has_no_space() -> None:
    svg = drawn(*[(float(second), f"cut hub > {'gate' if second % 2 else 'silo'}") for second in range(1, 30)])
    crowded = drawn(*[(float(second), "cut hub > gate") for second in range(1, 400)])

    assert len(marked(svg, "broken")) == 29
    assert 25 <= len(marked(crowded, "broken")) <= 40


@pytest.mark.parametrize(("done", "kind"), [("reset hub - gate", "reset"), ("hold hub > gate", "closed")])
def test_a_sign_between_two_lanes_has_its_ends_on_them_and_none_between(done: str, kind: str) -> None:
    svg = drawn((1, done), (2, "heal"))

    (sign,) = marked(svg, kind)
    lanes = [float(lane.get("y", 0)) - 4.3 for lane in marked(svg, "lane")]
    ends = [float(dot.get("cy", 0)) for dot in sign.iter(f"{SVG}circle")]
    assert ends == pytest.approx([lanes[0], lanes[3]], abs=0.2)


def test_a_run_that_waited_in_vain_is_drawn_until_it_failed_with_the_whole_reason() -> None:
    @scenario
    def never(house: Cluster) -> None:
        house.start("kitchen", "study")
        house.settle("met")
        house.run(180)
        raise AssertionError(
            "no bread, though the kitchen and the study had three minutes, and one of them had an oven"
        )

    outcome = never.run(has_diary=True)
    svg = ElementTree.fromstring(plot(outcome.happenings, name="never", failure=outcome.failure))

    assert {show_seconds(outcome.seconds), "3 min"} <= set(texts(svg))
    assert outcome.seconds > 180
    assert len(marked(svg, "failure")) == 1
    assert f"✗ {outcome.failure}" in " ".join(texts(svg))


def test_a_very_long_reason_is_cut_after_some_lines() -> None:
    svg = drawn((1, "heal"), failure="word " * 2_000)

    lines = [text for text in texts(svg) if text.startswith(("✗", "word"))]
    assert len(lines) == 5
    assert lines[-1].endswith(" …")


def test_a_run_that_failed_after_the_checker_had_passed_it_does_not_end_well() -> None:
    svg = drawn((1, "end"), (1, "stop hub"), failure="an event is lost")

    assert "✗ an event is lost" in texts(svg)
    assert not any(text.startswith("✓") for text in texts(svg))


def test_false_sightings_bad_air_and_failing_commits_are_noted_where_they_happen() -> None:
    @scenario
    def odd(house: Cluster) -> None:
        kitchen, study, attic = house.start("kitchen", "study", "attic")
        house.bad_air(loss=0.5, late_seconds=1)
        house.settle("met")
        house.forge_sighting(kitchen, study.node_id, at=attic)
        house.run(5)
        house.failing_commits(study)
        house.bad_air()
        house.settle("all is well")

    svg = ElementTree.fromstring(plot(odd.run(has_diary=True).happenings, name="odd"))

    assert {"bad air: 0.5 lost, up to 1 s late", "good air again", "forged sighting", "1 commit fails"} <= set(
        texts(svg)
    )
    lanes = {lane.text: float(lane.get("y", 0)) for lane in marked(svg, "lane")}
    shown = {text.text: float(text.get("y", 0)) for text in marked(svg, "note-text")}
    assert 0 < shown["forged sighting"] - lanes["kitchen"] < 30
    assert 0 < shown["1 commit fails"] - lanes["study"] < 30


def test_a_closed_link_is_no_wall_and_the_legend_has_it_only_if_there_is_one() -> None:
    closed, walled = drawn((1, "cut hub > barn"), (2, "heal")), drawn((1, "partition hub | barn"), (2, "heal"))

    assert (len(marked(closed, "bad")), len(marked(closed, "wall"))) == (2, 0)
    assert (len(marked(walled, "bad")), len(marked(walled, "wall"))) == (0, 1)
    assert "closed or bad link" in texts(closed)
    assert "closed or bad link" not in texts(walled)


def test_many_seeds_are_not_one_picture(tmp_path: Path) -> None:
    command = load("late_joiner").command(replay="x", title="A late one.")

    failed = CliRunner().invoke(command, ["--seeds", "3", "--plot", str(tmp_path / "x.svg")])

    assert failed.exit_code == 2
    assert "--plot draws one run" in failed.stderr


def test_the_picture_in_the_readme_is_one_that_we_draw() -> None:
    svg = ElementTree.parse(ROOT / "scenarios" / "partition.svg").getroot()

    assert svg.findtext(f"{SVG}title") == "partition: " + titles()["partition"]
    assert {element.text for element in marked(svg, "lane")} == {"kitchen", "study", "attic"}
