"""What our contestants of the replication benchmark share: the verbs, the state folder, the processes.

The verbs are the harness's: `prepare SRC DST STATE [DST2 ...]`, `start STATE`, `stop STATE`, `info`. start and stop take
further words, the numbers of the nodes that are meant: 0 is the primary, 1 the first standby; none means all.

TLS and token are on; trust is by the peers file, as after copying the configuration folder. Token and peers file lie in
STATE: `cruise.config.file` names a link there, so that nothing but the data is in SRC and DST.
"""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
READY_S = 60.0


class Contestant:
    """One way to run a node. `command(site, index)` gives the words that start it in its folder."""

    def __init__(self, command, settings, versions, destinations=1, patience_s=0.0):
        self._command = command
        self._info = {
            "settings": settings,
            "versions": versions,
            "encrypted": True,
            "period_s": 0.05,
            "destinations": destinations,
        }
        if patience_s:
            self._info["patience_s"] = patience_s

    def main(self) -> None:
        """Carries out the verb of the command line."""
        verb, *words = sys.argv[1:] or ["help"]
        verbs = {"prepare": self.prepare, "start": self.start, "stop": self.stop, "info": self.info}
        if verb not in verbs:
            sys.exit(__doc__)
        verbs[verb](*words)

    def info(self) -> None:
        """What the report says of us."""
        if callable(self._info["versions"]):
            self._info["versions"] = self._info["versions"]()
        print(json.dumps(self._info))

    def prepare(self, source: str, destination: str, state: str, *more: str) -> None:
        """Writes the configuration, and starts the primary once so that its key is in the peers file."""
        folders = [source, destination, *more]
        # A sync port and a GoCD port for each.
        site = {"state": state, "folders": folders, "ports": free_ports(2 * len(folders)), "pids": {}}
        for index, folder in enumerate(folders):
            Path(folder, "config").mkdir(parents=True, exist_ok=True)
            Path(folder, "plugins/external").mkdir(parents=True, exist_ok=True)
            config = node_folder(site, index) / "config"
            config.mkdir(parents=True)
            (config / "business-continuity-token").write_text("bench = 0123456789abcdef\n")
            (config / "cruise-config.xml").symlink_to(Path(folder, "config/cruise-config.xml"))
        self.lay_out(site)
        primary = self._launch(site, 0)
        peers = node_folder(site, 0) / "config/business-continuity-peers"
        deadline = time.monotonic() + READY_S
        while not peers.exists():
            if time.monotonic() > deadline or primary.poll() is not None:
                sys.exit("the primary made no peers file; see node0.log")
            time.sleep(0.02)
        primary.send_signal(signal.SIGTERM)
        primary.wait()
        for index in range(1, len(folders)):
            target = node_folder(site, index) / "config/business-continuity-peers"
            target.write_bytes(peers.read_bytes())
        save(site)

    def lay_out(self, site: dict) -> None:
        """What else a node needs before it starts for the first time."""

    def start(self, state: str, *nodes: str) -> None:
        """Starts nodes and prints the process ids of all that run."""
        site = load(state)
        for index in chosen(site, nodes):
            site["pids"][str(index)] = self._launch(site, index).pid
        save(site)
        print(json.dumps({"pids": list(site["pids"].values())}))

    def stop(self, state: str, *nodes: str) -> None:
        """Ends nodes."""
        site = load(state)
        ended = [pid for index in chosen(site, nodes) if (pid := site["pids"].pop(str(index), None))]
        for pid in ended:
            try:
                os.kill(pid, signal.SIGTERM)
            except ProcessLookupError:
                pass
        deadline = time.monotonic() + 10
        while any(map(is_alive, ended)) and time.monotonic() < deadline:
            time.sleep(0.01)
        save(site)

    def _launch(self, site: dict, index: int) -> subprocess.Popen:
        """Starts one node; its output goes to a file in STATE."""
        with open(Path(site["state"], f"node{index}.log"), "ab") as log:
            return subprocess.Popen(
                self._command(site, index),
                cwd=node_folder(site, index),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )


def properties(site: dict, index: int) -> dict:
    """The settings of one node that both kinds have: its data, its token folder, its port."""
    data = site["folders"][index]
    settings = {
        "cruise.config.dir": f"{data}/config",
        "cruise.config.file": str(node_folder(site, index) / "config/cruise-config.xml"),
        "user.toggles.path": f"{data}/config/go.feature.toggles",
        "plugins.external.provided.path": f"{data}/plugins/external",
        # The edits of a benchmark may go anywhere.
        "bc.adopt.server.id": "always",
        "bc.log.level": "WARN",
    }
    return settings


def sync_port(site: dict, index: int) -> int:
    """Our port of a node."""
    return site["ports"][2 * index]


def gocd_port(site: dict, index: int) -> int:
    """GoCD's port of a node."""
    return site["ports"][2 * index + 1]


def node_folder(site: dict, index: int) -> Path:
    """The working directory of a node."""
    return Path(site["state"], f"node{index}")


def chosen(site: dict, nodes: tuple) -> list[int]:
    """The nodes that the command line means."""
    return [int(node) for node in nodes] or list(range(len(site["folders"])))


def load(state: str) -> dict:
    """What prepare wrote."""
    return json.loads(Path(state, "site.json").read_text())


def save(site: dict) -> None:
    """Keeps it for the next verb."""
    Path(site["state"], "site.json").write_text(json.dumps(site))


def free_ports(count: int) -> list[int]:
    """Loopback ports that are free now."""
    # Here, since start is measured and does not need it.
    import socket

    probes = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [probe.getsockname()[1] for probe in probes]
    for probe in probes:
        probe.close()
    return ports


def is_alive(pid: int) -> bool:
    """Whether a process runs; one that waits to be reaped does not."""
    try:
        return not Path(f"/proc/{pid}/stat").read_text().split(") ")[-1].startswith("Z")
    except OSError:
        return False
