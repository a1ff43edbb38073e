"""A real Slurm on this machine: a login node with slurmctld, and nodes with a slurmd each.

    python tests/slurm/slurm_cluster.py check             say whether it can run here
    ... up                                                start it; prints the folder
    ... crash | stop-slurmd | heal FOLDER NODE            a node with its processes; slurmd alone; mend it
    ... stop-controller | start-controller FOLDER
    ... shell FOLDER [COMMAND...]                         on the login node
    ... down FOLDER                                       end it, nothing is left

All lives in namespaces of its own (see `namespaces`) and in one folder: no port, socket, host name or
configuration of the machine is touched. File systems are shared, as home and scratch are on a cluster.
"""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import namespaces
import slurm_configuration
from namespaces import Machine, MachineError

NETWORK = "10.99.0"
PARTITIONS: Mapping[str, Sequence[str]] = {"batch": ("m1", "m2", "m3", "m4")}
PROGRAMS = ("slurmctld", "slurmd", "sbatch", "srun", "munged", "unshare", "nsenter", "ip")
DATABASE_PROGRAMS = ("slurmdbd", "mariadbd", "mariadb-install-db", "mariadb")
PACKAGES = "apt-get install slurm-wlm munge libpmix-dev iproute2"
# The plugin for srun --mpi=pmix opens the library by this name, which Debian's libpmix-dev has.
PMIX = "import ctypes; ctypes.CDLL('libpmix.so')"


def why_not() -> str | None:
    """Why a real Slurm cannot run on this machine; None where it can."""
    if not sys.platform.startswith("linux"):
        return "this is not Linux"
    if missing := [program for program in PROGRAMS if not _which(program)]:
        return f"{', '.join(missing)} not installed ({PACKAGES})"
    if subprocess.run([sys.executable, "-c", PMIX], capture_output=True, check=False).returncode:
        return f"libpmix.so, which srun --mpi=pmix needs, is not installed ({PACKAGES})"
    return namespaces.why_not()


def why_no_accounting() -> str | None:
    """Why the cluster can have no accounting (sacct); None where it can."""
    missing = [program for program in DATABASE_PROGRAMS if not _which(program)]
    if missing or not list(Path("/usr/lib").glob("**/accounting_storage_mysql.so")):
        packages = "apt-get install slurmdbd slurm-wlm-mysql-plugin mariadb-server"
        return f"slurmdbd with MariaDB is not installed ({packages})"
    return None


def _which(program: str) -> str | None:
    return shutil.which(program, path=os.environ.get("PATH", os.defpath) + ":/usr/sbin:/sbin")


class Cluster:
    """A running cluster, wherever it was started; see `cluster` for one that ends with its block."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.login = Machine("login", folder)
        self.addresses = dict(
            reversed(line.split()) for line in (folder / "hosts").read_text().splitlines()[1:]
        )
        self.nodes = {name: Machine(name, folder) for name in self.addresses if name != "login"}

    def environment(self) -> dict[str, str]:
        """What a command needs so that it speaks to this Slurm and no other."""
        others = {name: value for name, value in os.environ.items() if not name.startswith("SLURM_")}
        return {
            **others,
            "SLURM_CONF": str(self.folder / "slurm.conf"),
            # Open MPI's folders are named after host and process id, which come again when a machine does.
            "TMPDIR": str(self.folder / "private"),
            "PATH": f"{Path(sys.executable).parent}:{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin",
        }

    def run(self, *command: str, timeout: float = 60) -> str:
        """Runs `command` on the login node and returns what it prints. MachineError: it failed."""
        return self.login.run(*command, environment=self.environment(), timeout=timeout)

    def start(self, *, accounting: bool) -> None:
        """Starts everything and waits until all nodes are idle."""
        self._start_machine(self.login)
        self.run("ip", "link", "add", "br0", "type", "bridge")
        self.run("ip", "address", "add", f"{self.addresses['login']}/24", "dev", "br0")
        self.run("ip", "link", "set", "br0", "up")
        self._start_munge()
        if accounting:
            self._start_database()
        self.start_controller()
        for name in self.nodes:
            self._switch_on(name)
        self.wait_for_nodes()

    def _start_munge(self) -> None:
        key = self.folder / "munge.key"
        key.touch(mode=0o600)
        key.write_bytes(secrets.token_bytes(1024))
        files = {"key-file": key.name, "socket": "munge.socket", "pid-file": "munge.pid"}
        files |= {"log-file": "log/munge.log", "seed-file": "munge.seed"}
        options = [f"--{option}={self.folder / name}" for option, name in files.items()]
        # --force: the folders of temporary files may be anybody's.
        self.run("munged", "--force", *options)

    def _start_database(self) -> None:
        data = self.folder / "mariadb"
        socket = data / "socket"
        data.mkdir()
        shutil.chown(data, "mysql", "mysql")
        self.folder.chmod(0o755)
        plain = ("--no-defaults", "--user=mysql", f"--datadir={data}")
        self.run("mariadb-install-db", *plain, "--auth-root-authentication-method=socket", "--skip-test-db")
        small = ("--innodb-buffer-pool-size=64M", "--innodb-flush-log-at-trx-commit=0", "--skip-log-bin")
        options = (f"--socket={socket}", "--bind-address=127.0.0.1", "--innodb-lock-wait-timeout=900")
        self._in_background("mariadbd", *plain, *small, *options)
        client = ("mariadb", "--no-defaults", f"--socket={socket}", "-e")
        self._wait("MariaDB", lambda: self.run(*client, "select 1"))
        self.run(
            *client,
            "create database slurm; create user 'slurm'@'127.0.0.1' identified by 'emulated'; "
            "grant all on slurm.* to 'slurm'@'127.0.0.1'",
        )
        self._in_background("slurmdbd", "-D")
        self._wait("slurmdbd", lambda: self.run("sacctmgr", "--noheader", "list", "cluster"))
        self.run("sacctmgr", "--immediate", "add", "cluster", "emulated")
        self.run("sacctmgr", "--immediate", "add", "account", "known")
        self.run("sacctmgr", "--immediate", "add", "user", "root", "account=known")

    def start_controller(self) -> None:
        """Starts slurmctld and waits until it answers."""
        self.run("slurmctld")
        self._wait("slurmctld", lambda: self.run("squeue"))

    def stop_controller(self) -> None:
        """Ends slurmctld at once; jobs go on."""
        self._kill_daemon(self.login, "slurmctld.pid")

    def crash(self, node: str) -> None:
        """A node is gone, with every process on it."""
        self.nodes[node].pull_the_plug()

    def stop_slurmd(self, node: str) -> None:
        """Only the node's slurmd dies; its jobs' processes live on, and Slurm holds the node to be dead."""
        self._kill_daemon(self.nodes[node], f"slurmd-{node}.pid")

    def heal(self, node: str) -> None:
        """The node is rebooted: nothing of before runs on it."""
        self.crash(node)
        self._switch_on(node)
        self.wait_for_nodes(node)

    def down(self) -> None:
        """Ends all of it and removes the folder."""
        for machine in (*self.nodes.values(), self.login):
            machine.pull_the_plug()
        shutil.rmtree(self.folder)

    def wait_for_nodes(self, *names: str) -> None:
        """Waits until these nodes, or all, can take jobs."""
        wanted = set(names or self.nodes)

        def ready() -> None:
            lines = self.run("sinfo", "--noheader", "--Node", "--format=%N %T").splitlines()
            usable = {
                name for name, state in map(str.split, lines) if state in ("idle", "mixed", "allocated")
            }
            if missing := wanted - usable:
                raise MachineError(f"nodes {sorted(missing)} are not ready: {lines}")

        self._wait("the nodes", ready)

    def _start_machine(self, machine: Machine) -> None:
        machine.start(
            self.folder / "hosts", self.folder / "private", self.folder / "log" / f"{machine.name}.out"
        )

    def _switch_on(self, name: str) -> None:
        node = self.nodes[name]
        self._start_machine(node)
        number = list(self.addresses).index(name)
        node.connect(self.login, f"card{number}", f"{self.addresses[name]}/24")
        node.run("slurmd", "-N", name, environment=self.environment())

    def _in_background(self, *command: str) -> None:
        with (self.folder / "log" / f"{command[0]}.out").open("ab") as output:
            subprocess.Popen(
                self.login.enter(*command),
                env=self.environment(),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    def _kill_daemon(self, machine: Machine, pid_file: str) -> None:
        path = self.folder / "run" / pid_file
        machine.run("kill", "-KILL", path.read_text().strip())
        path.unlink()

    def _wait(self, what: str, works: Callable[[], object], seconds: float = 60) -> None:
        deadline = time.monotonic() + seconds
        while True:
            try:
                works()
                return
            except MachineError as error:
                if time.monotonic() > deadline:
                    raise MachineError(f"{what} not up after {seconds:.0f} s: {error}") from error
            time.sleep(0.1)


def up(
    partitions: Mapping[str, Sequence[str]] = PARTITIONS, *, accounting: bool = False, **times: int
) -> Cluster:
    """Starts a cluster in a new folder; `times` as in `slurm_configuration.write`."""
    folder = Path(tempfile.mkdtemp(prefix="hlb-slurm-"))
    nodes = dict.fromkeys(node for names in partitions.values() for node in names)
    addresses = {name: f"{NETWORK}.{number}" for number, name in enumerate(("login", *nodes), start=1)}
    slurm_configuration.write(folder, addresses, partitions, accounting=accounting, **times)
    started = Cluster(folder)
    try:
        started.start(accounting=accounting)
    except BaseException:
        started.down()
        raise
    return started


@contextmanager
def cluster(
    partitions: Mapping[str, Sequence[str]] = PARTITIONS, *, accounting: bool = False, **times: int
) -> Iterator[Cluster]:
    """A cluster that ends with the block."""
    started = up(partitions, accounting=accounting, **times)
    try:
        yield started
    finally:
        started.down()


def main(words: Sequence[str]) -> None:
    """The command line in this module's docstring."""
    if list(words) in (["check"], ["up"]):
        if reason := why_not():
            sys.exit(f"no real Slurm on this machine: {reason}")
        print(up().folder if words[0] == "up" else "a real Slurm can run here")
        return
    if len(words) < 2:
        sys.exit(__doc__)
    verb, running, rest = words[0], Cluster(Path(words[1])), words[2:]
    if verb == "shell":
        command = rest or [os.environ.get("SHELL", "bash")]
        sys.exit(
            subprocess.run(
                running.login.enter(*command, cwd=Path.cwd()), env=running.environment()
            ).returncode
        )
    verbs: dict[str, Callable[..., None]] = {
        "crash": running.crash,
        "stop-slurmd": running.stop_slurmd,
        "heal": running.heal,
        "stop-controller": running.stop_controller,
        "start-controller": running.start_controller,
        "down": running.down,
    }
    if verb not in verbs:
        sys.exit(__doc__)
    verbs[verb](*rest)


if __name__ == "__main__":
    main(sys.argv[1:])
