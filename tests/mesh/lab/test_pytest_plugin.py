"""The plugin for pytest, in projects that have it loaded."""

from __future__ import annotations

import subprocess
import sys
import tomllib

import pytest

import mesh.lab.runner.run  # noqa: F401 - each run of pytest in this process would else load its libraries anew
from tests.support.guide import example, page
from tests.support.root import ROOT

pytest_plugins = ["pytester"]

LOADED_BEFORE = "ignore:Module already imported:pytest.PytestAssertRewriteWarning"
"""This run of pytest has the plugin, too."""
PLUGIN = ("-p", "mesh.lab.pytest_plugin", "-p", "no:xdist", "-p", "no:cacheprovider", "--strict-markers")
MEETING = """
    import pytest


    @pytest.mark.seeds(5)
    def test_two_meet(cluster):
        kitchen, study = cluster.start("kitchen", "study")
        kitchen.log.add({"type": "milk"})
        cluster.settle("met")
        assert study.types == ["milk"]
        if cluster.seed == 3:
            raise OSError("no milk")
"""


def test_a_test_is_played_once_with_each_seed(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(MEETING.replace("seed == 3", "seed > 4"))

    result = pytester.runpytest(*PLUGIN, "-v")

    result.assert_outcomes(passed=5)
    result.stdout.fnmatch_lines([f"*::test_two_meet?seed{seed}? PASSED*" for seed in range(5)])


def test_a_failure_shows_what_a_scenario_prints(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(test_house=MEETING)

    result = pytester.runpytest(*PLUGIN)

    result.assert_outcomes(passed=4, failed=1)
    result.stdout.fnmatch_lines(
        [
            "*- the end of the trace -*",
            "0.000000 [*] start kitchen, study",
            "*- the cluster with seed 3 -*",
            "*s  met  kitchen 1  study 1",
            "test_two_meet failed with seed 3: OSError: no milk (seed 3, at * s, after the beat 'met') (test_house.py, *)",
            "  kitchen saw ?'milk'?",
            "  study saw ?'milk'?",
            "replay: pytest 'test_house.py::test_two_meet?seed3?' --cluster-seed 3",
        ]
    )


def test_the_command_of_a_failure_plays_that_seed_alone(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(test_house=MEETING)

    result = pytester.runpytest(*PLUGIN, "test_house.py::test_two_meet[seed3]", "--cluster-seed", "3")

    result.assert_outcomes(failed=1)


def test_the_option_gives_one_seed_to_all_tests_with_a_cluster(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        MEETING + "\n    def test_plain(cluster):\n        assert cluster.seed == 9\n\n    def test_other(): pass"
    )

    pytester.runpytest(*PLUGIN, "--cluster-seed", "9").assert_outcomes(passed=3)


def test_a_cluster_without_a_mark_has_seed_0(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("def test_plain(cluster):\n    assert cluster.seed == 0")

    pytester.runpytest(*PLUGIN).assert_outcomes(passed=1)


def test_what_the_checker_finds_at_the_end_fails_the_test_itself(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        def test_unfinished(cluster):
            cluster.start("kitchen")
            cluster.partition(["kitchen"], ["attic"])  # which never comes
        """
    )

    result = pytester.runpytest(*PLUGIN)

    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*partition was about attic, which was never started*"])
    result.stdout.no_fnmatch_line("*end of the trace*")


def test_an_application_that_fails_fails_the_test(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        def test_shop(cluster):
            (till,) = cluster.start("till", app=lambda node: node.log.on("event", lambda event, meta: event["price"]))
            till.log.add({"type": "sold"})
            cluster.run(1)
        """
    )

    result = pytester.runpytest(*PLUGIN)

    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["test_shop failed with seed 0: KeyError: 'price', in the application of till, at *"])


def test_a_skipped_test_and_one_that_does_not_get_to_its_cluster_leave_nothing_behind(
    pytester: pytest.Pytester,
) -> None:
    pytester.makepyfile(
        """
        import pytest

        @pytest.fixture
        def broken(cluster):
            cluster.start("kitchen")
            raise OSError("no printer")

        def test_skipped(cluster):
            cluster.start("kitchen")
            pytest.skip("not today")

        def test_broken(broken):
            pass
        """
    )

    pytester.runpytest(*PLUGIN, "-W", "error", "-W", LOADED_BEFORE).assert_outcomes(skipped=1, errors=1)


@pytest.mark.parametrize("mark", ["seeds()", "seeds(0)", "seeds('7')", "seeds(count=3)", "seeds(2, 3)"])
def test_a_mark_that_is_wrong_is_refused_with_an_example(pytester: pytest.Pytester, mark: str) -> None:
    pytester.makepyfile(f"import pytest\n\n@pytest.mark.{mark}\ndef test_x(cluster): pass")

    result = pytester.runpytest(*PLUGIN)

    assert "::test_x: write @pytest.mark.seeds(50), and take the fixture `cluster` in the test" in str(result.outlines)


def test_a_mark_on_a_test_without_a_cluster_is_refused(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("import pytest\n\n@pytest.mark.seeds(3)\ndef test_x(): pass")

    assert "take the fixture `cluster` in the test" in str(pytester.runpytest(*PLUGIN).outlines)


def test_a_test_case_of_unittest_is_refused(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("""
        import pytest, unittest

        class TestShop(unittest.TestCase):
            @pytest.fixture(autouse=True)
            def keep(self, cluster): self.cluster = cluster
            def test_it(self): pass
    """)

    result = pytester.runpytest(*PLUGIN)

    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*take the fixture `cluster` in a function, or a class of no base"])


def test_the_fixture_and_the_mark_are_listed(pytester: pytest.Pytester) -> None:
    pytester.runpytest(*PLUGIN, "--markers").stdout.fnmatch_lines(["@pytest.mark.seeds(count): play the test*"])
    pytester.runpytest(*PLUGIN, "--fixtures").stdout.fnmatch_lines(["*cluster*", "*A mesh.lab.Cluster: whole nodes*"])


def test_a_project_that_does_not_use_the_plugin_loads_nothing_of_the_lab(pytester: pytest.Pytester) -> None:
    code = (
        "import sys, pytest, mesh.lab.pytest_plugin as plugin; "
        "print([name for name in sys.modules if name.partition('.')[0] in {'mesh', 'peers', 'pykka', 'msgspec'}])"
    )

    loaded = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True).stdout

    assert loaded == "['mesh', 'mesh.lab', 'mesh.lab.pytest_plugin']\n"


def test_the_package_names_the_plugin_by_its_module() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]

    assert project["entry-points"]["pytest11"] == {"mesh.lab.pytest_plugin": "mesh.lab.pytest_plugin"}


def test_the_examples_of_the_guide_pass(pytester: pytest.Pytester) -> None:
    guide = page("testing")
    pytester.makepyfile(
        test_rooms=example(guide, "mark.seeds"),
        test_tills=example(guide, "app=make"),
        test_spawned=example(guide, "spawn("),
    )

    chosen = "seed7 or seed23 or tills or spawned"
    pytester.runpytest(*PLUGIN, "-k", chosen).assert_outcomes(passed=4, deselected=48)
