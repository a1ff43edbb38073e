"""The configuration of the emulated cluster: times are short, so that a test need not wait."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping, Sequence
from pathlib import Path

GPUS = 6
CORES = 12
SLURM = """\
ClusterName=emulated
SlurmctldHost=login({login})
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket,cred_expire={credential_seconds}
SlurmctldPidFile={folder}/run/slurmctld.pid
SlurmdPidFile={folder}/run/slurmd-%n.pid
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool/%n
# The PMIx plugin makes a folder a job step in it: nodes must not share it.
TmpFS={folder}/tmp/%n
SlurmctldLogFile={folder}/log/slurmctld.log
SlurmdLogFile={folder}/log/slurmd-%n.log
# More cores than the machine has.
SlurmdParameters=config_overrides
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
GresTypes=gpu
SchedulerParameters=batch_sched_delay=0,bf_interval=2,sched_interval=5
ReturnToService=2
SlurmdTimeout=10
MessageTimeout={message_seconds}
KillWait=5
MinJobAge={remembered_seconds}
{accounting}
"""
NODE = (
    "NodeName={name} NodeAddr={address} NodeHostname={name} Sockets=1 CoresPerSocket={cores} "
    "ThreadsPerCore=1 RealMemory=16000 Gres=gpu:{gpus} State=UNKNOWN\n"
)
PARTITION = "PartitionName={name} Nodes={nodes} Default={default} MaxTime=1:00:00 DefaultTime=10 State=UP\n"
ACCOUNTING = """\
AccountingStorageType=accounting_storage/slurmdbd
AccountingStorageHost=127.0.0.1
AccountingStoragePass={folder}/munge.socket
AccountingStorageEnforce=associations"""
DATABASE = """\
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
DbdHost=localhost
DbdAddr=127.0.0.1
SlurmUser=root
LogFile={folder}/log/slurmdbd.log
PidFile={folder}/run/slurmdbd.pid
StorageType=accounting_storage/mysql
StorageHost=127.0.0.1
StorageUser=slurm
StoragePass=emulated
StorageLoc=slurm
"""


def write(
    folder: Path,
    addresses: Mapping[str, str],
    partitions: Mapping[str, Sequence[str]],
    *,
    accounting: bool,
    credential_seconds: int = 15,
    remembered_seconds: int = 600,
    message_seconds: int = 10,
) -> None:
    """Writes all of it to `folder`. `addresses` of "login" and of every node; the first partition is default.

    credential_seconds: how long a requeued job waits. remembered_seconds: how long squeue knows an ended job.
    message_seconds: how long commands try to reach slurmctld.
    """
    for name in ("run", "log", "state", "spool", "tmp", "private"):
        (folder / name).mkdir()
    text = SLURM.format(
        login=addresses["login"],
        folder=folder,
        credential_seconds=credential_seconds,
        remembered_seconds=remembered_seconds,
        message_seconds=message_seconds,
        accounting=ACCOUNTING.format(folder=folder)
        if accounting
        else "AccountingStorageType=accounting_storage/none",
    )
    for name, address in addresses.items():
        (folder / "spool" / name).mkdir()
        (folder / "tmp" / name).mkdir()
        if name != "login":
            text += NODE.format(name=name, address=address, cores=CORES, gpus=GPUS)
    for number, (name, nodes) in enumerate(partitions.items()):
        default = "NO" if number else "YES"
        text += PARTITION.format(name=name, nodes=",".join(nodes), default=default)
    (folder / "slurm.conf").write_text(text)
    for gpu in range(GPUS):
        # A clone of /dev/null (Linux' device 1:3): Slurm hands out device files only.
        os.mknod(folder / f"gpu{gpu}", 0o666 | stat.S_IFCHR, os.makedev(1, 3))
    (folder / "gres.conf").write_text(f"AutoDetect=off\nName=gpu File={folder}/gpu[0-{GPUS - 1}]\n")
    (folder / "slurmdbd.conf").write_text(DATABASE.format(folder=folder))
    (folder / "slurmdbd.conf").chmod(0o600)
    hosts = "".join(f"{address} {name}\n" for name, address in addresses.items())
    (folder / "hosts").write_text(f"127.0.0.1 localhost\n{hosts}")
