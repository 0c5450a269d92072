"""The picture of a story: what the diary holds is all in it, and one seed gives one picture."""

from __future__ import annotations

import os
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from xml.etree import ElementTree

import pytest

from mesh.lab import Cluster, scenario
from mesh.lab.diary import Happening
from mesh.lab.gallery import load, titles
from mesh.lab.plot import plot
from mesh.lab.row_labels import Label, RowLabels
from mesh.lab.time_axis import TimeAxis, show_duration, show_seconds

ROOT = Path(__file__).parents[2]
SVG = "{http://www.w3.org/2000/svg}"


def picture(name: str, seed: int = 0) -> tuple[ElementTree.Element, tuple[Happening, ...]]:
    """The drawing of a story of the gallery, and what it was drawn from."""
    outcome = load(name).run(seed, has_diary=True)
    assert outcome.failure is None
    svg = plot(outcome.happenings, name=name, sentence=titles()[name], seed=seed)
    return ElementTree.fromstring(svg), outcome.happenings


def marked(svg: ElementTree.Element, kind: str) -> list[ElementTree.Element]:
    return [element for element in svg.iter() if kind in element.get("class", "").split()]


def texts(svg: ElementTree.Element) -> list[str]:
    return [element.text or "" for element in svg.iter(f"{SVG}text")]


@pytest.mark.parametrize("name", sorted(set(titles()) - {"shop_day"}))
def test_every_story_can_be_drawn_with_a_lane_for_each_room_and_a_dot_for_each_event(name: str) -> None:
    svg, happenings = picture(name)

    places = {place for happening in happenings for place in happening.places}
    assert {element.text for element in marked(svg, "lane")} == places
    for kind in ("write", "arrival"):
        assert len(marked(svg, kind)) == sum(happening.kind == kind for happening in happenings)


def test_a_partition_is_told_and_drawn_from_the_first_beat_to_the_tick() -> None:
    svg, _ = picture("partition")

    shown = texts(svg)
    assert {"the three have met", "each side agrees with itself", "the wall is down"} <= set(shown)
    assert {"wall: kitchen | study attic", "heal", "milk", "bread", "30 s"} <= set(shown)
    assert len(marked(svg, "wall")) == 1
    assert len(marked(svg, "tick")) == 3
    assert "✓ the same events, in the same order" in shown


def test_it_is_described_for_those_who_cannot_see_it() -> None:
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
    assert {"crash, disk lost", "restart"} <= set(texts(svg))


def test_clients_have_lanes_and_ticks_too() -> None:
    svg, happenings = picture("mixed_clients")

    assert [element.text for element in marked(svg, "lane")] == ["kitchen", "radio", "study", "tablet", "phone"]
    assert len(marked(svg, "tick")) == 5
    assert happenings[-1].kind == "stop"


def test_the_same_seed_gives_the_same_bytes_in_every_process(tmp_path: Path) -> None:
    for hash_seed in ("1", "77"):
        environment = {**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": str(ROOT)}
        command = [sys.executable, "scenarios/mixed_clients.py", "--seed", "7", "--plot", str(tmp_path / hash_seed)]
        subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, timeout=60, check=True)

    assert (tmp_path / "1").read_bytes() == (tmp_path / "77").read_bytes()


@pytest.mark.parametrize("name", ["partition", "mixed_clients", "full_disk", "frozen_laptop"])
def test_a_diary_changes_nothing_in_the_story(name: str) -> None:
    assert load(name).run(5, has_diary=True).trace_hash == load(name).run(5).trace_hash


def test_what_an_event_is_called_cannot_break_the_picture() -> None:
    @scenario
    def hostile(house: Cluster) -> None:
        (kitchen,) = house.start("kitchen")
        kitchen.log.add({"type": '</text><script>"&'})
        house.settle("<b>met</b> & gone")

    outcome = hostile.run(has_diary=True)
    svg = ElementTree.fromstring(plot(outcome.happenings, name="hostile", sentence="<&>"))

    assert '</text><script>"&' in texts(svg)
    assert "<b>met</b> & gone" in texts(svg)


def test_an_event_type_that_xml_cannot_hold_is_drawn_as_a_mark() -> None:
    drawn = plot(
        [Happening(0, "start", ("kitchen",)), Happening(1, "write", ("kitchen",), "a\x00b\ud800", 1)], name="x"
    )

    assert "a�b�" in texts(ElementTree.fromstring(drawn.encode()))


def test_a_story_that_failed_is_drawn_as_far_as_it_came_and_says_why() -> None:
    @scenario
    def hopeless(house: Cluster) -> None:
        house.start("kitchen", "study")
        house.settle("met")
        raise AssertionError("no bread")

    outcome = hopeless.run(has_diary=True)
    svg = ElementTree.fromstring(plot(outcome.happenings, name="hopeless", failure=outcome.failure))

    assert any(text.startswith("✗ no bread") for text in texts(svg))
    assert marked(svg, "tick") == []


def test_a_story_that_ends_behind_a_wall_claims_no_more_than_is_so() -> None:
    @scenario
    def walled(house: Cluster) -> None:
        kitchen, _study = house.start("kitchen", "study")
        house.partition(["kitchen"], ["study"])
        kitchen.log.add({"type": "milk"})
        house.settle("alone")

    svg = ElementTree.fromstring(plot(walled.run(has_diary=True).happenings, name="walled"))

    assert "✓ nothing is lost, all who can talk agree" in texts(svg)
    assert [float(element.get("width", 0)) > 0 for element in marked(svg, "wall")] == [True]


def test_a_story_in_which_nothing_happened_can_be_drawn() -> None:
    assert ElementTree.fromstring(plot([], name="nothing")).tag == f"{SVG}svg"


def test_time_never_runs_back_and_long_silence_is_pressed_together() -> None:
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
def test_times_and_durations_are_for_people(seconds: float, time: str, duration: str) -> None:
    assert show_seconds(seconds) == time
    assert show_duration(seconds) == duration


def test_no_label_covers_another() -> None:
    labels = RowLabels(0, 900)
    for x in range(100, 800, 25):
        labels.add(Label(x, "a sentence of some words", prefers_left=True))

    placed = [label for label in labels.labels if label.row is not None]
    assert len(placed) > 10
    for one in placed:
        for other in placed:
            if one is not other and one.row == other.row:
                assert one.reach[1] <= other.reach[0] or other.reach[1] <= one.reach[0]


def test_a_picture_that_cannot_be_written_is_a_sentence(tmp_path: Path) -> None:
    command = [sys.executable, "scenarios/late_joiner.py", "--plot", str(tmp_path / "none" / "x.svg")]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    failed = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60, check=False)

    assert failed.returncode == 1
    assert "cannot write the picture to" in failed.stderr
    assert "Traceback" not in failed.stderr


def test_many_seeds_are_not_one_picture(tmp_path: Path) -> None:
    command = [sys.executable, "scenarios/late_joiner.py", "--seeds", "3", "--plot", str(tmp_path / "x.svg")]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    failed = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60, check=False)

    assert failed.returncode == 2
    assert "--plot draws one run" in failed.stderr


def test_the_picture_in_the_readme_is_one_of_ours() -> None:
    svg = ElementTree.parse(ROOT / "scenarios" / "partition.svg").getroot()

    assert svg.findtext(f"{SVG}title") == "partition: " + titles()["partition"]
    assert {element.text for element in marked(svg, "lane")} == {"kitchen", "study", "attic"}
