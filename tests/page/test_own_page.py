"""A page of an application, with @logux/client from npm, in a browser, at a real node."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

from browser import Tab
from real_nodes import Nodes, types
from shop_page import ShopServer, bundle

from mesh import Denied, Node
from tests.support.guide import blocks, example, page
from tests.support.street import wait_until

NewTab = Callable[[], Tab]
SECRET = "for all tills"


def auth(user: str, token: str) -> bool:
    return token == SECRET


def sort(event: dict[str, Any], meta: dict[str, Any], user: str) -> tuple[dict[str, Any], dict[str, Any]]:
    return event, {**meta, "channels": [f"stock/{event['item']}"]} if event["type"] == "shop/sold" else meta


def open_shop(nodes: Nodes, shop: ShopServer, **options: Any) -> Node:
    async def stock(user: str, params: Mapping[str, str]) -> list[dict[str, Any]]:
        if params["item"] == "gold":
            raise Denied
        count = 10
        async for event, _ in node.log.each():
            count -= event["type"] == "shop/sold"
        return [{"type": "stock/is", "count": count}]

    given = {"auth": auth, "in_map": sort, "channels": {"stock/:item": stock}, "clients_origins": [shop.origin]}
    node = nodes.start(**{**given, **options})
    return node


def come(new_tab: NewTab, shop: ShopServer, node: Node, user: str, token: str = SECRET) -> Tab:
    tab = new_tab()
    server = node.clients_url.replace("http", "ws", 1)
    tab.open(f"{shop.origin}/#server={server}&user={user}&token={token.replace(' ', '%20')}")
    return tab


def test_what_one_browser_sells_another_one_sees(nodes: Nodes, shop: ShopServer, new_tab: NewTab) -> None:
    node = open_shop(nodes, shop)
    ada, bob, carol = (come(new_tab, shop, node, user) for user in ("ada", "bob", "carol"))
    for tab in (ada, bob):
        assert tab.evaluate("shop.subscribe('apple')") == "ok"
        tab.wait_for_text("#apples", "10 apples")

    assert ada.evaluate("shop.sell('apple')") == "ok"

    bob.wait_for_text("#log", "sold by ada")
    assert carol.evaluate("shop.subscribe('apple')") == "ok"
    carol.wait_for_text("#apples", "9 apples")
    assert carol.text("#log") == ""
    assert types(node) == ["shop/sold"]
    for tab in (ada, bob, carol):
        assert tab.problems == tab.network_problems == []


def test_what_one_browser_takes_back_another_one_sees_no_more(nodes: Nodes, shop: ShopServer, new_tab: NewTab) -> None:
    node = open_shop(nodes, shop)
    ada, bob = (come(new_tab, shop, node, user) for user in ("ada", "bob"))
    for tab in (ada, bob):
        tab.evaluate("shop.subscribe('apple')")
    ada.evaluate("shop.sell('apple')")
    bob.wait_for_text("#log", "sold by ada")

    assert bob.evaluate("shop.undo(0)") == "Server undid logux/undo because of denied"
    assert ada.evaluate("shop.undo(0)") == "ok"
    for tab in (ada, bob):
        tab.wait_until("document.getElementById('log').textContent === ''")
    ada.evaluate("shop.sell('apple')")
    bob.wait_for_text("#log", "sold by ada")
    *_, (_, second) = node.log.each()
    node.log.undo(second).get(10)

    for tab in (ada, bob):
        tab.wait_until("document.getElementById('log').textContent === ''")
        assert tab.problems == tab.network_problems == []
    assert [event["type"] for event, _ in node.log.each(undone=False)] == ["logux/undo"] * 2


def test_a_browser_is_told_why_it_may_not_subscribe(nodes: Nodes, shop: ShopServer, new_tab: NewTab) -> None:
    tab = come(new_tab, shop, open_shop(nodes, shop), "carol")

    assert tab.evaluate("shop.subscribe('gold')") == "Server undid logux/subscribe because of denied"


def test_a_browser_with_a_wrong_token_is_refused(nodes: Nodes, shop: ShopServer, new_tab: NewTab) -> None:
    tab = come(new_tab, shop, open_shop(nodes, shop), "carol", "guess")

    tab.wait_for_text("#error", "wrong-credentials")


def test_a_page_of_an_origin_that_is_not_listed_is_refused(nodes: Nodes, shop: ShopServer, new_tab: NewTab) -> None:
    node = open_shop(nodes, shop, clients_origins=["https://shop.example"])
    tab = come(new_tab, shop, node, "carol")

    tab.wait_until("document.getElementById('state').textContent === 'disconnected'")

    (row, *_) = node.status().get(10)["turned_away"]
    assert f'clients_origins="{shop.origin}"' in row["why"]


def test_the_page_of_the_guide_works_at_the_node_of_the_guide(
    nodes: Nodes, bundled: Path, tmp_path: Path, new_tab: NewTab
) -> None:
    guide = page("browser")
    (script,) = blocks(guide, "js")
    names: dict[str, Any] = {}
    exec(example(guide, "channels=").partition("with Node(")[0], names)
    with closing(ShopServer(tmp_path)) as server:
        node = names["node"] = nodes.start(
            in_map=names["sort"],
            channels={"stock/:item": names["stock"]},
            clients_origins=[server.origin],
            auth=lambda user, token: token == "one secret for all tills",
        )
        (tmp_path / "shop.js").write_text(script.replace("127.0.0.1:8080", f"127.0.0.1:{node.clients_port}"))
        show = "console.log = (...words) => document.body.append(words.join(' '), '; ')"
        (tmp_path / "index.html").write_text(
            f"<!doctype html><body><script>{show}</script><script type=module src=bundle.js></script>"
        )
        bundle(tmp_path)
        tab = new_tab()
        tab.open(server.origin)
        tab.wait_for_text("body", "0 sold; sold apple;")

        wait_until(lambda: [*node.log.each()], "the node has what the page shows already")
        ((_, meta),) = node.log.each()
        node.log.undo(meta).get(10)

        tab.wait_for_text("body", "take back the event " + " ".join(map(str, meta["created"])))
