"""bsub takes what LSF's manual and Summit's guide allow, and refuses everything else in LSF's words."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

import pytest
from stand_ins import LsfCluster

from horovod_lb.rehearsal.install import SUMMIT

GOOD = ("-H", "-P", "ABC123", "-W", "2:00", "-nnodes", "2")  # held: it never starts
SUBMITTED = "Job <1> is submitted to default queue <batch>.\n"


def changed(*words: str) -> list[str]:
    """`GOOD` with options replaced, added, or (value None as "") dropped."""
    options = {"-P": "ABC123", "-W": "2:00", "-nnodes": "2"}
    options.update(dict(zip(words[::2], words[1::2], strict=True)))
    return ["-H", *(part for key, value in options.items() if value != "DROP" for part in (key, value))]


ACCEPTED = [
    ("-W", "120"),
    ("-W", "1:5"),
    ("-nnodes", "46", "-W", "6:00"),
    ("-nnodes", "922", "-W", "24:00"),
    ("-q", "debug"),
    ("-J", "plain name"),
    ("-J", "a.b-c_d[1-20]%4"),
    ("-J", "a[1-9:2,20]"),
    ("-J", "a[1000]"),
    ("-alloc_flags", "gpumps smt1"),
    ("-wa", "USR2", "-wt", "2"),
    ("-wa", "URG", "-wt", "0:10"),
    ("-Q", "99"),
    ("-Q", "99 100"),
    ("-Q", "all ~1"),
    ("-o", "out.%J", "-e", "err.%J"),
    ("-U", "reservation", "-Jd", "words about it"),
    ("-env", "all, A=1"),
]


@pytest.fixture(scope="module")
def taking(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LsfCluster]:
    """A Summit that takes what is right; nothing of it ever starts."""
    cluster = LsfCluster(tmp_path_factory.mktemp("taking"), SUMMIT)
    yield cluster
    cluster.end()


@pytest.fixture(scope="module")
def refusing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LsfCluster]:
    """A Summit that never gets a right one."""
    cluster = LsfCluster(tmp_path_factory.mktemp("refusing"), SUMMIT)
    yield cluster
    cluster.end()


@pytest.mark.parametrize("words", ACCEPTED, ids=" ".join)
def test_accepted(taking: LsfCluster, words: tuple[str, ...]) -> None:
    done = taking.run("bsub", *changed(*words), "true")
    assert (done.returncode, done.stderr) == (0, "")
    queue = "queue <debug>" if "debug" in words else "default queue <batch>"
    assert re.fullmatch(rf"Job <\d+> is submitted to {queue}\.\n", done.stdout)
    taking.said("bkill", done.stdout.split("<")[1].split(">")[0])


REFUSED = [
    (("-foo", "1"), "-foo: Illegal option."),
    (("--nnodes", "2"), "--nnodes: Illegal option."),
    (("-P", "DROP"), "Project must be specified"),
    (("-nnodes", "DROP"), "-nnodes must be specified"),
    (("-W", "DROP"), "-W must be specified"),
    (("-W", "1:00:00"), "Bad argument <1:00:00> for option -W."),
    (("-W", "1:60"), "Bad argument"),
    (("-W", "0"), "Bad argument"),
    (("-W", "2h"), "Bad argument"),
    (("-W", "2:01"), "RUNLIMIT: Cannot exceed queue's hard limit(s)."),
    (("-nnodes", "45", "-W", "6:00"), "RUNLIMIT: Cannot exceed queue's hard limit(s)."),
    (("-nnodes", "91", "-W", "6:01"), "RUNLIMIT: Cannot exceed queue's hard limit(s)."),
    (("-nnodes", "0"), "Bad argument"),
    (("-nnodes", "two"), "Bad argument"),
    (("-nnodes", "4609", "-W", "24:00"), "Too many processors requested."),
    (("-n", "12"), "not allowed together with -nnodes"),
    (("-R", "span[ptile=6]"), "not allowed together with -nnodes"),
    (("-gpu", "num=6"), "not allowed together with -nnodes"),
    (("-q", "nosuch"), "nosuch: No such queue."),
    (("-J", "a[0-3]"), "Bad argument"),
    (("-J", "a[3-1]"), "Bad argument"),
    (("-J", "a[1-3"), "Bad argument"),
    (("-J", "a[1,1]"), "Bad argument"),
    (("-J", "a[1-4]%0"), "Bad argument"),
    (("-J", "a b[1-3]"), "Bad argument"),
    (("-J", "é[1-3]"), "Bad argument"),
    (("-J", f"{'a' * 250}[1-300]"), "Bad argument"),
    (("-J", "a[1-1001]"), "Job array index too large."),
    (("-J", "a[1001]"), "Job array index too large."),
    (("-wa", "USR2"), "-wa and -wt must be specified together."),
    (("-wt", "2"), "-wa and -wt must be specified together."),
    (("-wa", "SIGUSR2", "-wt", "2"), "Bad argument"),
    (("-wa", "NOSUCH", "-wt", "2"), "Bad argument"),
    (("-wa", "USR2", "-wt", "2:00:00"), "Bad argument"),
    (("-wa", "USR2", "-wt", "2:00"), "-wt must be less than the run limit."),
    (("-Q", "EXCLUDE(99)"), "Bad argument"),
    (("-Q", "256"), "Bad argument"),
    (("-Q", "99,100"), "Bad argument"),
    (("-alloc_flags", "gpumps,smt1"), "Bad argument"),
    (("-alloc_flags", "smt1 smt4"), "Bad argument"),
    (("-alloc_flags", ""), "Bad argument"),
    (("-w", "done(99999)"), "99999: No matching job found."),
    (("-w", "bogus(1)"), "bogus(1): Dependency condition syntax error."),
    (("-w", "ended(1"), "Dependency condition syntax error."),
    (("-w", "ended(1) && "), "Dependency condition syntax error."),
    (("-Is", "x"), "-Is: Illegal option."),
]


@pytest.mark.parametrize(("words", "text"), REFUSED, ids=[" ".join(words) for words, _ in REFUSED])
def test_refused(refusing: LsfCluster, words: tuple[str, ...], text: str) -> None:
    done = refusing.run("bsub", *changed(*words), "true")
    assert (done.returncode, done.stdout) == (255, "")
    assert text in done.stderr
    assert done.stderr.endswith("Job not submitted.\n")
    assert refusing.run("bjobs", "-a").stderr == "No job found\n"


def test_an_option_needs_its_value_and_comes_once(summit: LsfCluster) -> None:
    assert "Option -W requires an argument." in summit.run("bsub", "-W").stderr
    twice = summit.run("bsub", *GOOD, "-alloc_flags", "smt1", "-alloc_flags", "gpumps", "true")
    assert "Option -alloc_flags is given more than once." in twice.stderr


def test_directives_of_a_file_count_and_the_command_line_beats_them(summit: LsfCluster) -> None:
    script = summit.script(
        "true", "#BSUB -P ABC123 -W 2:00", '#BSUB -J "from the file"', "#BSUB -nnodes 3", "#BSUB -H"
    )
    summit.bsub(script)
    summit.bsub("-J", "from the line", "-nnodes", "4", script)
    records = summit.jobs(fields="job_name nreq_slot")
    assert [(one["JOB_NAME"], one["NREQ_SLOT"]) for one in records] == [
        ("from the file", str(3 * 42)),
        ("from the line", str(4 * 42)),
    ]


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ("#BSUB -wall 2:00", "-wall: Illegal option."),
        ("#BSUB -W 2:00 stray", "#BSUB: stray: not an option."),
        ("#BSUB -W 2:00\n#BSUB -W 1:00", "Option -W is given more than once."),
        ('#BSUB -J "open', "#BSUB: No closing quotation."),
        ('#BSUB -alloc_flags smt1\n#BSUB -alloc_flags "gpumps"', "-alloc_flags is given more than once."),
    ],
)
def test_wrong_directives_are_refused(summit: LsfCluster, line: str, text: str) -> None:
    done = summit.run("bsub", "-P", "ABC123", "-nnodes", "1", summit.script("true", line))
    assert done.returncode == 255
    assert text in done.stderr


def test_where_files_are_read_redirection_does_not_work(summit: LsfCluster) -> None:
    script = summit.script("true", "#BSUB -P ABC123 -W 1 -nnodes 1 -H")
    done = summit.run("bsub", stdin=script.read_text())
    assert (done.returncode, done.stderr) == (255, "No command is specified. Job not submitted.\n")


def test_where_input_is_read_a_file_is_a_command_without_directives(make: Callable[..., LsfCluster]) -> None:
    cluster = make(submit="stdin", easy_mode=False, launch=None, account_required=False, queues=normal())
    script = cluster.script("true", "#BSUB -J read -n 8", '#BSUB -R "span[ptile=4]"', "#BSUB -H")
    assert cluster.bsub("-H", script) == 1
    assert cluster.bsub(stdin=script.read_text()) == 2
    unread, read = cluster.jobs(fields="job_name nreq_slot")
    assert (unread["JOB_NAME"], unread["NREQ_SLOT"]) == (str(script), "1")
    assert (read["JOB_NAME"], read["NREQ_SLOT"]) == ("read", "8")
    empty = cluster.run("bsub", stdin="\n")
    assert (empty.returncode, empty.stderr) == (255, "No command is specified. Job not submitted.\n")


def test_summits_options_are_unknown_elsewhere(make: Callable[..., LsfCluster]) -> None:
    cluster = make(submit="stdin", easy_mode=False, launch=None, account_required=False, queues=normal())
    assert "-nnodes: Illegal option." in cluster.run("bsub", "-nnodes", "2", "true").stderr
    assert "-alloc_flags: Illegal option." in cluster.run("bsub", "-alloc_flags", "smt1", "true").stderr
    for words in (["-gpu", "num=7"], ["-n", "86", "-R", "span[hosts=1]"]):
        assert cluster.run("bsub", *words, "true").returncode == 255
    for wrong in ("span[ptile=x]", "span[", "span[ptile=4"):
        assert "Bad argument" in cluster.run("bsub", "-n", "8", "-R", wrong, "true").stderr


def test_more_than_a_hundred_jobs_are_refused(make: Callable[..., LsfCluster]) -> None:
    cluster = make()
    assert cluster.bsub(*GOOD, "-J", "many[1-99]", "true") == 1
    done = cluster.run("bsub", *GOOD, "-J", "two[1-2]", "true")
    assert done.returncode == 255
    assert "More than 100 jobs in the queue. Request aborted by esub. Job not submitted." in done.stderr
    assert cluster.bsub(*GOOD, "true") == 2


def test_a_site_may_say_something_before(make: Callable[..., LsfCluster]) -> None:
    cluster = make(banner="Welcome. Job <hunting> season is open.")
    done = cluster.run("bsub", *GOOD, "true")
    assert done.stdout == f"Welcome. Job <hunting> season is open.\n{SUBMITTED}"


def normal() -> dict[str, object]:
    """A queue without limits."""
    from horovod_lb.rehearsal.site import Queue

    return {"normal": Queue("normal")}
