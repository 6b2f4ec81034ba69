"""Main program of one of several processes that train a cell; `una_bench.worker.launch` starts them."""

from __future__ import annotations

import json
import os
import sys
import time
import traceback
from pathlib import Path
from typing import Any

from una_bench.worker import preload  # noqa: F401 - imports what a worker shares, before memory is measured


class Silent:
    """The pipe of a process that is not the first: messages are dropped."""

    def send(self, message: Any) -> None:
        """Drop a message."""


def main(folder: Path) -> None:
    """Train this process's part of the cell that ``folder / "spec.json"`` describes."""
    from una_bench.machine import processes, stop_request
    from una_bench.worker import entry, launch

    rank = int(os.environ["RANK"])
    try:
        spec = json.loads((folder / "spec.json").read_text(encoding="utf-8"))
        stop_request.listen(follow=spec.pop("launcher"))  # which may have ended during the imports
        threads = int(spec.get("threads", 1))
        spec.pop("card", None)  # the launcher has given each process its own
        entry.pin({**spec, "cores": spec.get("cores", [])[rank * threads :][:threads]})
        pipe: Any = launch.connect(folder) if rank == 0 else Silent()
        processes.join(spec["job"]["device"])
        result = entry.train_here(spec, pipe)
        pipe.send(("done", result))
        processes.leave()
    except stop_request.Interrupted:
        processes.leave()
    except BaseException as error:  # noqa: BLE001 - every error must become a status
        report = {**entry.failure(error, folder), "rank": rank, "time": time.time()}
        (folder / f"failure-{rank}.json").write_text(json.dumps(report), encoding="utf-8")
        traceback.print_exc()
        sys.stderr.flush()
        # Skip interpreter teardown, which would wait for the others.
        os._exit(1)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
