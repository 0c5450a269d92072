"""Play many stories: `python -m tests.support.replication.run FIRST LAST [VILLAINS]`; prints what broke, and figures."""

from __future__ import annotations

import sys
import traceback
from collections import Counter

from tests.support.replication.kits import MemoryKit
from tests.support.replication.room import Broken
from tests.support.replication.small import small
from tests.support.replication.story import Story


def main(first: int, last: int) -> None:
    total: Counter[str] = Counter()
    broken: Counter[str] = Counter()
    with small():
        for seed in range(first, last):
            story = Story(MemoryKit(), seed, villains=(1 + seed % 2) * (seed % 3 == 2))
            try:
                story.play()
            except Exception as error:  # noqa: BLE001 - all that broke is counted
                broken[str(error.args[0])[:100] if isinstance(error, Broken) else repr(error)[:150]] += 1
                print(seed, repr(error)[:300], flush=True)
                if not isinstance(error, Broken):
                    print("   ", "".join(traceback.format_tb(error.__traceback__)[-3:]))
            total += story.room.count
    print(dict(broken))
    print(dict(sorted(total.items())))


if __name__ == "__main__":
    main(*map(int, sys.argv[1:3]))
