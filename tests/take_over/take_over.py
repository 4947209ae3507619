"""One leg of the take-over across languages: replicates FOLDER/disk.raw to FOLDER/replica.vhd, and may be killed.

    python take_over.py FOLDER BYTES_PER_SECOND

Prints every event as a line of JSON as it comes, and at the end the recovery point or the error.
"""

from __future__ import annotations

import json
import sys
import threading
from pathlib import Path

import libmigrate


def say(line: object) -> None:
    print(json.dumps(line), flush=True)


def tell(events: libmigrate.Events) -> None:
    for event in events:
        say(event.raw)


def main(folder: Path, bytes_per_second: int) -> int:
    with libmigrate.Engine(state_dir=folder / "state", bytes_per_second=bytes_per_second or None) as engine:
        telling = threading.Thread(target=tell, args=(engine.events(),))
        telling.start()
        try:
            source = engine.open_source(folder / "disk.raw", format="raw")
            with engine.open_replica(libmigrate.Target(local=folder / "replica.vhd"), source) as replica:
                last = {"type": "done", "point": replica.replicate(source).raw}
        except libmigrate.LibmigrateError as error:
            last = {"type": "error", "error": error.to_dict()}
        finally:
            engine.close()
            telling.join()
    say(last)
    return 0 if last["type"] == "done" else 1


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), int(sys.argv[2])))
