"""Play stories: `python -m tests.support.replication.run FIRST LAST [memory|sqlite] [codec]`; prints what broke and figures."""

from __future__ import annotations

import sys
import traceback
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.support.replication.kits import MemoryKit, SqliteKit
from tests.support.replication.room import Broken
from tests.support.replication.small import small
from tests.support.replication.story import Story


def main(first: int, last: int, disk: str = "memory", codec: str = "") -> None:
    total: Counter[str] = Counter()
    broken: Counter[str] = Counter()
    with small():
        for seed in range(first, last):
            folder = TemporaryDirectory()
            kit = SqliteKit(Path(folder.name)) if disk == "sqlite" else MemoryKit()
            story = Story(kit, seed, villains=(1 + seed % 2) * (seed % 3 == 2), is_coded=bool(codec))
            try:
                story.play()
            except Exception as error:  # noqa: BLE001 - all that broke is counted
                broken[str(error.args[0])[:100] if isinstance(error, Broken) else repr(error)[:150]] += 1
                print(seed, repr(error)[:300], flush=True)
                if not isinstance(error, Broken):
                    print("   ", "".join(traceback.format_tb(error.__traceback__)[-3:]))
            if isinstance(kit, SqliteKit):
                kit.close()
            folder.cleanup()
            total += story.room.count
            total["most steps"] = max(total["most steps"], story.room.most_steps)
    print(dict(broken))
    print(dict(sorted(total.items())))


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), *sys.argv[3:])
