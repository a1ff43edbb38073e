"""What Slurm gives a batch job when it starts; its output goes straight to the file."""

from __future__ import annotations

import json
import platform

from horovod_lb.rehearsal.site import read_site
from horovod_lb.rehearsal.slurm.grammar import gpus_per_node
from horovod_lb.rehearsal.slurm.table import compressed
from horovod_lb.rehearsal.table import Element, Job, Table


def prepare(table: Table, job: Job, element: Element) -> None:
    """Writes the life's SLURM_ variables."""
    site, told = read_site(table.folder), job.told
    per_node = told.get("tasks_per_node") or -(-told.get("tasks", job.nodes) // job.nodes)
    gpus = gpus_per_node(told, per_node)
    several = f"(x{job.nodes})" if job.nodes > 1 else ""
    last = max(one.index for one in job.elements)
    # An element of an array has an id of its own besides; the last one has the array's.
    raw = job.id if not job.array or element.index == last else 100_000 * job.id + element.index
    nodes = compressed(element.hosts)
    variables = {
        "SLURM_JOB_ID": str(raw),
        "SLURM_JOBID": str(raw),
        "SLURM_JOB_NAME": job.name,
        "SLURM_JOB_USER": job.user,
        "SLURM_JOB_ACCOUNT": job.account,
        "SLURM_JOB_PARTITION": job.queue,
        "SLURM_JOB_NUM_NODES": str(job.nodes),
        "SLURM_NNODES": str(job.nodes),
        "SLURM_JOB_NODELIST": nodes,
        "SLURM_NODELIST": nodes,
        "SLURM_JOB_CPUS_PER_NODE": f"{per_node * told.get('cores', 1)}{several}",
        "SLURM_CPUS_ON_NODE": str(per_node * told.get("cores", 1)),
        "SLURM_TASKS_PER_NODE": f"{per_node}{several}",
        "SLURM_NTASKS": str(told.get("tasks", per_node * job.nodes)),
        "SLURM_NTASKS_PER_NODE": str(per_node),
        "SLURM_SUBMIT_DIR": job.directory,
        "SLURM_SUBMIT_HOST": platform.node(),
        "SLURM_CLUSTER_NAME": site.name,
        "SLURMD_NODENAME": element.hosts[0],
        "SLURM_NODEID": "0",
        "SLURM_PROCID": "0",
        "SLURM_LOCALID": "0",
        "HLB_REHEARSAL_JOB": f"{job.id}.{element.index}",
    }
    if "cores" in told:
        variables["SLURM_CPUS_PER_TASK"] = str(told["cores"])
    if gpus:
        visible = ",".join(map(str, range(gpus)))
        variables |= {
            "SLURM_JOB_GPUS": visible,
            "SLURM_GPUS_ON_NODE": str(gpus),
            "CUDA_VISIBLE_DEVICES": visible,
        }
    if job.array:
        indices = [one.index for one in job.elements]
        variables |= {
            "SLURM_ARRAY_JOB_ID": str(job.id),
            "SLURM_ARRAY_TASK_ID": str(element.index),
            "SLURM_ARRAY_TASK_COUNT": str(len(indices)),
            "SLURM_ARRAY_TASK_MIN": str(min(indices)),
            "SLURM_ARRAY_TASK_MAX": str(last),
        }
    if element.life > 1:
        variables["SLURM_RESTART_COUNT"] = str(element.life - 1)
    (table.spool(job.id) / f"{element.index}.environment.json").write_text(json.dumps(variables))


def deliver(table: Table, job: Job, element: Element) -> None:
    """Nothing: the output is where it belongs."""
