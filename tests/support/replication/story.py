"""Story: homes, links and dice; everything that may happen to homes happens, and then the promises are checked."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from random import Random

from peers.events.dot import Epoch
from tests.support.replication.checks import check_group, check_home, groups, shown
from tests.support.replication.home import Disk, Home, Session
from tests.support.replication.kits import Kit, MemoryKit
from tests.support.replication.room import Room, Wire, must, shuffled
from tests.support.replication.villain import honest, villain

MAX_STEPS = 20_000


def new_disk(kit: Kit) -> Disk:
    return Disk(kit, kit.new())


class Stage:
    """Homes and links, moved step by step."""

    def __init__(self, kit: Kit, rnd: Random, homes: int) -> None:
        self.kit = kit
        self.rnd = rnd
        self.room = Room(rnd)
        self.homes: list[Home] = []
        self.links: dict[object, Wire] = {}
        for index in range(homes):
            self.home(f"n{index}")

    def home(self, name: str, of: Home | None = None, *, runs: bool = False, kit: Kit | None = None) -> Home:
        """A new one; or the copy of one with its key, also of one that runs: then it goes on in the same epoch."""
        if of is None:
            home = Home(self.room, name, new_disk(kit or self.kit))
        else:
            home = Home(self.room, name, of.disk.copy(), of.signer, opens=not runs)
            home.twist = of.twist
        if runs:
            self.room.doubtful.add(home.signer.public)
        self.homes.append(home)
        return home

    def connect(self, one: Home, other: Home) -> Wire:
        wire = Wire()
        ends = Session(one, wire, is_dialling=True), Session(other, wire, is_dialling=False)
        ends[0].other, ends[1].other = ends[1], ends[0]
        wire.ends = ends
        wire.queues = {end: [] for end in ends}
        ends[0].greet()
        return wire

    def step(self) -> bool:
        """One message, one work of a store, one answer or one timer. False if nothing waits."""
        rnd = self.rnd
        ready: list[Session] = []
        timers: list[Session] = []
        for home in self.homes:
            for session in home.sessions:
                if session.wire.queues[session] and not session.replication.is_full:
                    ready.append(session)
                if session.is_untold or session.is_held or session.is_doubting:
                    timers.append(session)
        busy = [home for home in self.homes if home.mailbox.is_busy]
        if timers and (not (ready or busy) or rnd.random() < 0.2):
            self.ring(rnd.choice(timers))
        elif busy and (not ready or rnd.random() < 0.6):
            rnd.choice(busy).mailbox.step()
        elif ready:
            session = rnd.choice(ready)
            session.guard(session.hear, session.wire.queues[session].pop(0))
        else:
            return False
        return True

    def ring(self, session: Session) -> None:
        """A timer of a session ends."""
        if session.is_untold:
            session.is_untold = False
            session.guard(lambda _: session.replication.tell(), None)
        elif session.is_doubting:
            session.is_doubting = False
            session.guard(lambda _: session.replication.compare(), None)
        else:
            session.is_held = False
            session.guard(lambda _: session.replication.go_on(), None)

    def quiet(self, *, errors: bool = False) -> None:
        """Until nothing moves."""
        kept, self.room.disk_errors = self.room.disk_errors, self.room.disk_errors if errors else 0.0
        for count in range(MAX_STEPS):
            self.room.most_steps = max(self.room.most_steps, count)
            if self.rnd.random() < 0.02:
                self.adopt(self.rnd.choice(self.homes))
            if not self.step() and not sum(self.adopt(home) for home in shuffled(self.rnd, self.homes)):
                break
        else:
            must(False, "no end: something is sent or adopted for ever")
        self.room.disk_errors = kept

    def adopt(self, home: Home) -> bool:
        was_due = home.is_adopting
        if was_due:
            home.adopt()
        return was_due

    def check(self, *, final: bool = False) -> None:
        honest_homes = [home for home in self.homes if not home.is_hostile]
        self.room.adoption_limit = 3 * len(self.homes) * (1 + len(self.forked()))
        seen = {home: shown(home.store) for home in honest_homes}
        for home in honest_homes:
            check_home(home, seen[home])
            most = 2 + home.openings + self.room.resumed[home.signer.public]
            must(len(home.begun) <= most, "epochs without an opening", home.name, len(home.begun), most)
        for group in groups(self.homes):
            check_group(group, seen, final=final)
        self.room.count["checks"] += 1

    def forked(self) -> set[Epoch]:
        return {epoch for home in self.homes for epoch in home.ends if home.store.proof(epoch) is not None}


class Story(Stage):
    """A story by its seed."""

    def __init__(self, kit: Kit, seed: int, *, villains: int = 0, is_coded: bool = False) -> None:
        rnd = Random(seed)
        super().__init__(kit, rnd, rnd.randint(2, 4))
        self.room.is_coded = is_coded
        self.room.reads_at_once = seed % 4 == 1
        self.room.disk_errors = rnd.choice([0, 0.02, 0.1])
        self.backups: list[tuple[Home, Disk]] = []
        self.snapshots: list[tuple[Home, Disk]] = []
        limit = rnd.choice([10**9, 10**9, 9])
        for index in range(villains):
            home = self.home(f"h{index}", kit=MemoryKit())
            home.twist = villain(rnd)
            self.room.doubtful.add(home.signer.public)
        self.has_faces = villains > 1 and rnd.random() < 0.7
        if self.has_faces:  # one hostile key that writes two histories of one epoch
            one, other = self.homes[-2:]
            one.add(rnd.choice([1, 2, 3, 6]))
            self.quiet()
            other.signer, other.pen, other.node_id = one.signer, one.pen, one.node_id
            other.restart(one.disk.copy(), opens=False)
        for home in self.homes:
            home.limit = limit if villains else 10**9
        self.shape = rnd.choice(["line", "ring", "star", "random"])

    def pairs(self) -> list[tuple[Home, Home]]:
        """Who is linked with whom: honest homes by the shape, villains with all."""
        good = [home for home in self.homes if not home.is_hostile]
        line = list(itertools.pairwise(good))
        some = [(a, b) for i, a in enumerate(good) for j, b in enumerate(good) if i < j and (i * 7 + j * 3) % 4]
        ring = [(good[-1], good[0])] if len(good) > 2 else []
        shapes = {
            "line": line,
            "ring": line + ring,
            "star": [(good[0], home) for home in good[1:]],
            "random": line + some,
        }
        bad = [(home, other) for home in self.homes if home.is_hostile for other in self.homes if home is not other]
        return list(dict.fromkeys([*shapes[self.shape], *bad]))

    def join(self, pair: tuple[Home, Home], *, again: bool = False) -> None:
        wire = self.links.get(pair)
        if wire is not None and wire.is_up:
            if not again:
                return
            wire.ends[0].end()
        self.links[pair] = self.connect(*pair)

    def act(self) -> None:
        """Something happens; then some messages are delivered."""
        rnd = self.rnd
        home = rnd.choice(self.homes)
        x = rnd.random()
        self.room.now += 1
        if self.has_faces and home.is_hostile and rnd.random() < 0.5:
            x = rnd.choice([0.1, 0.1, 0.3])
        for limit, action in self.ACTIONS:
            if x < limit:
                action(self, home)
                break
        for session in home.sessions:
            if rnd.random() < 0.1:
                session.is_held, session.held_at = True, home.last_position
        for _ in range(rnd.choice([0, 1, 3, 10, 40])):
            if not self.step():
                break

    def _add(self, home: Home) -> None:
        home.add(self.rnd.choice([1, 1, 2, 3, 7, 12]))

    def _join(self, home: Home) -> None:
        self.join(self.rnd.choice(self.pairs()), again=True)

    def _leave(self, home: Home) -> None:
        if home.sessions:
            self.rnd.choice(home.sessions).end()

    def _restart(self, home: Home) -> None:
        home.restart()

    def _back_up(self, home: Home) -> None:
        self.backups.append((home, home.disk.copy()))

    def _roll_back(self, home: Home) -> None:
        if self.backups:
            home, disk = self.rnd.choice(self.backups)
            home.restart(disk.copy())

    def _snapshot(self, home: Home) -> None:
        self.snapshots.append((home, home.disk.copy()))

    def _resume(self, home: Home) -> None:
        """Disk and memory of a while ago."""
        if self.snapshots:
            home, disk = self.rnd.choice(self.snapshots)
            self.room.doubtful.add(home.signer.public)
            self.room.resumed[home.signer.public] += 1
            home.restart(disk.copy(), opens=False)

    def _copy(self, home: Home) -> None:
        if len(self.homes) < 6 and not home.is_hostile:
            self.home(home.name + "'", home)

    def _copy_running(self, home: Home) -> None:
        if len(self.homes) < 6 and not home.is_hostile:
            self.room.resumed[home.signer.public] += 1
            self.home(home.name + '"', home, runs=True)

    def _wipe(self, home: Home) -> None:
        home.restart(new_disk(home.disk.kit))

    def _clean(self, home: Home) -> None:
        events = [entry.created for entry in home.store.each(order="added")]
        if events:
            home.clean([self.rnd.choice(events)])

    def _clean_many(self, home: Home) -> None:
        epochs = sorted(home.ends)
        if epochs:
            epoch, until = self.rnd.choice(epochs), self.rnd.randint(1, 15)
            found = home.store.events_at([(epoch, seq) for seq in range(1, until + 1)])
            home.clean([entry.created for _, entry in found])

    def _further(self, home: Home) -> None:
        events = [entry.created for entry in home.store.each(order="added")]
        if events:
            home.further(self.rnd.choice(events))

    def _adopt(self, home: Home) -> None:
        self.adopt(home)

    def _many_epochs(self, home: Home) -> None:
        if home.is_hostile:
            for _ in range(self.rnd.randint(3, 12)):
                home.write(lambda store: [store.leave(store.state.epoch or "")])
                home.add(1)
            self.room.resumed[home.signer.public] += 12

    def _same_created(self, home: Home) -> None:
        """A villain writes another event with a `created` that it used, or that of another."""
        events = list(home.store.each(order="added"))
        if home.is_hostile and events:
            home.add(1, ms=self.rnd.choice(events).created[0])

    ACTIONS: tuple[tuple[float, Callable[[Story, Home], None]], ...] = (
        (0.20, _add),
        (0.36, _join),
        (0.42, _leave),
        (0.46, _restart),
        (0.50, _back_up),
        (0.54, _roll_back),
        (0.58, _snapshot),
        (0.62, _resume),
        (0.635, _copy),
        (0.645, _copy_running),
        (0.66, _wipe),
        (0.70, _clean),
        (0.74, _clean_many),
        (0.77, _further),
        (0.80, _adopt),
        (0.82, _many_epochs),
        (0.86, _same_created),
    )

    def fresh(self) -> None:
        """Everybody meets anew; what was declined for a limit is taken as time goes on."""
        for _ in range(6):
            for home in self.homes:
                home.declining.clear()
                for session in list(home.sessions):
                    session.end()
            for pair in self.pairs():
                self.join(pair)
            self.quiet()
            if not any(home.declining for home in self.homes):
                break
            for home in self.homes:
                home.limit += 100

    def play(self) -> dict[str, int]:
        """Two parts, then everybody meets, then without villains, then with a late one, then again: nothing is sent twice."""
        for _ in range(2):
            for _ in range(self.rnd.randint(10, 45)):
                self.act()
            self.quiet()
            self.check()
        self.fresh()
        self.check(final=True)
        if any(home.is_hostile for home in self.homes):
            for home in self.homes:
                home.twist = honest if home.is_hostile else None
            self.fresh()
            self.fresh()
            self.check(final=True)
        self.home("late")
        self.fresh()
        self.check(final=True)
        before = self.room.count.copy()
        self.fresh()
        for what in ("bodies", "pieces", "fills", "adopted"):
            more = self.room.count[what] - before[what]
            must(more == 0, "sent again at a reconnect", what, more)
        for home in self.homes:
            for session in home.sessions:
                is_hostile = home.is_hostile or session.other.home.is_hostile
                must(session.differs == 0 or is_hostile, "differ between equal stores", home.name)
        self.check(final=True)
        return dict(self.room.count)
