"""The files of the page, as a node serves them."""

from __future__ import annotations

import re

from mesh.gateway.clients.page import PAGE_FILES, SECURITY_HEADERS


def test_serves_the_page_and_its_files() -> None:
    expected = {"/", "/page.css", "/page.js", "/favicon.svg"}

    assert set(PAGE_FILES) == expected
    assert PAGE_FILES["/"].content_type == "text/html; charset=utf-8"
    assert PAGE_FILES["/"].body.startswith(b"<!doctype html>")


def test_scripts_are_joined_into_one_with_what_they_import_first() -> None:
    script = PAGE_FILES["/page.js"].body.decode()

    assert not re.search(r"^(import|export) ", script, re.MULTILINE)
    assert script.index("class LogWindow ") < script.index("class LogView ") < script.index("new LogView(")
    names = re.findall(r"^(?:const|let|class|async function|function) (\w+)", script, re.MULTILINE)
    assert len(names) == len(set(names))


def test_all_referenced_files_are_served() -> None:
    texts = [file.body.decode() for file in PAGE_FILES.values()]

    referred = {
        name for text in texts for name in re.findall(r"""(?:href=|src=|from |url\()["'](/?[^"'#]+)["']""", text)
    }

    assert referred <= set(PAGE_FILES)


def test_names_no_other_server() -> None:
    for path, file in PAGE_FILES.items():
        text = file.body.decode().replace("http://www.w3.org/2000/svg", "")
        assert not re.search(r"https?://|//[a-z]+\.[a-z]", text), path


def test_has_no_inline_script_or_style_and_makes_no_markup_from_text() -> None:
    page = PAGE_FILES["/"].body.decode()

    assert not re.search(r"<style|<script(?![^>]*src=)|\sstyle=|\son[a-z]+=", page)
    for path, file in PAGE_FILES.items():
        assert not re.search(rb"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(", file.body), path


def test_the_content_security_policy_forbids_all_other_sources() -> None:
    policy = SECURITY_HEADERS["Content-Security-Policy"]

    assert policy.startswith("default-src 'none'; ")
    assert "unsafe" not in policy
