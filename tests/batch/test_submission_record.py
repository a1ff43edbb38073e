"""The record of a submission: what is written is what is read, whenever the writer dies."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from horovod_lb.batch.submission import Job, Link, Submission, name_folder, new_folder, read, submissions
from horovod_lb.errors import SubmissionError
from horovod_lb.schedulers.types import JobRef


def made(folder: Path) -> Submission:
    jobs = (
        Job("s-1", "1.sh", "1.txt", ("a", "b", "c"), 2, (1, 2), 1, 60, (Link(), Link()), 6),
        Job("s-2", "2.sh", "2.txt", ("d",), 1, None, 2, 90, (Link(),), 12),
    )
    return Submission(
        folder=folder,
        token="abc",
        time=12.5,
        user="u",
        host="h",
        scheduler="lsf",
        profile={"name": "site"},
        command="hlb submit x",
        retry=False,
        max_failures=None,
        source=None,
        jobs=jobs,
    )


def test_ids_are_read_back_from_the_lines_that_were_added(tmp_path: Path) -> None:
    made(tmp_path).write()
    record = (tmp_path / "submission.json").read_bytes()
    submission = made(tmp_path).with_link(0, 0, Link("7")).with_link(0, 1, Link("8", after="7"))
    assert (tmp_path / "submission.json").read_bytes() == record, "only lines are added"
    assert read(tmp_path) == submission
    assert submission.unsent == [(1, 0)]
    refs = dict(submission.jobs[0].refs())
    assert refs["a"] == refs["b"] == [JobRef("7", 1), JobRef("8", 1)]
    assert refs["c"] == [JobRef("7", 2), JobRef("8", 2)]
    assert dict(submission.jobs[1].refs()) == {"d": []}


def test_a_line_that_was_cut_off_is_no_id(tmp_path: Path) -> None:
    made(tmp_path).write()
    made(tmp_path).with_link(0, 0, Link("7"))
    with (tmp_path / "sent.jsonl").open("a") as file:
        file.write(json.dumps({"job": 0, "link": 1, "job_id": "8", "after": "7"})[:-5])
    found = read(tmp_path)
    assert found is not None
    assert [link.job_id for link in found.jobs[0].links] == ["7", None]
    found = found.with_link(0, 1, Link("9", "7"))
    assert read(tmp_path) == found


def test_what_was_never_sent_can_be_dropped(tmp_path: Path) -> None:
    made(tmp_path).write()
    submission = made(tmp_path).with_link(0, 0, Link("7")).without_unsent()
    assert [len(job.links) for job in submission.jobs] == [1, 0]
    assert submission.unsent == []
    assert read(tmp_path) == submission


def test_an_array_counts_its_elements() -> None:
    jobs = made(Path()).jobs
    assert [job.elements for job in jobs] == [2, 1]


def test_submissions_are_found_oldest_first_and_damaged_ones_named(tmp_path: Path) -> None:
    from dataclasses import replace

    assert submissions(tmp_path) == []
    found = []
    for time in (3.0, 1.0, 2.0):
        folder, token = new_folder(tmp_path)
        assert folder.is_dir()
        assert folder.name.endswith(token)
        found.append(replace(made(folder), time=time, token=token))
        found[-1].write()
    new_folder(tmp_path)  # begun, and never written
    (tmp_path / "submissions" / "lock").write_text("{}")
    broken, _ = new_folder(tmp_path)
    (broken / "submission.json").write_text("{")
    damaged: list[SubmissionError] = []
    assert submissions(tmp_path, damaged.append) == sorted(found, key=lambda one: one.time)
    assert [str(broken) in str(error) for error in damaged] == [True]
    with pytest.raises(SubmissionError, match=broken.name):
        submissions(tmp_path)


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("submission.json", '{"schema": 1'),
        ("submission.json", '{"schema": 1}'),
        ("submission.json", '{"schema": 2, "jobs": []}'),
        ("submission.json", "[]"),
        ("sent.jsonl", "\0\0\0\n"),
        ("sent.jsonl", '{"job": 9, "link": 0, "job_id": "7", "after": null}\n'),
        ("sent.jsonl", '{"job": 0}\n'),
        ("sent.jsonl", "[]\n"),
    ],
)
def test_a_damaged_record_is_not_taken_for_one_that_was_never_written(
    tmp_path: Path, file: str, text: str
) -> None:
    made(tmp_path).write()
    (tmp_path / file).write_text(text)
    with pytest.raises(SubmissionError, match=r"damaged.*: what was sent is not known"):
        read(tmp_path)


def test_a_name_makes_no_folder(tmp_path: Path) -> None:
    folder, _ = name_folder(tmp_path)
    assert folder.parent == tmp_path / "submissions"
    assert not folder.parent.exists()
