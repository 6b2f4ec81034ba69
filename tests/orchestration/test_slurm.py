"""Tasks as Slurm jobs: every end of a job becomes an outcome, and a command that is given again finds its jobs."""

from __future__ import annotations

import functools
import os
import re
import signal
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from una_bench.errors import UserError
from una_bench.orchestration.executor import Outcome, Task
from una_bench.orchestration.process_pool import Pool
from una_bench.orchestration.slurm import executor as executors
from una_bench.orchestration.slurm import job, queue, shared_folders, submission
from una_bench.orchestration.slurm.executor import SlurmExecutor
from una_bench.orchestration.slurm.task_files import TaskFiles
from una_bench.record.schema import Status
from una_bench.suite import plan as plans
from una_bench.suite import recipe as recipes

sys.path.insert(0, str(Path(__file__).parents[1] / "helpers"))

Life = list[tuple[str, str] | Callable[[], None]]
"""What becomes of a job, one entry a listing: state and reason, or something that it does."""


class Cluster:
    """Stand-in of Slurm's programs: jobs live as the test says."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.lives: dict[str, Life] = {}
        """Name of a task -> life of its job."""
        self.jobs: dict[str, tuple[str, Life]] = {}
        """Id of a job -> batch and life."""
        self.submitted: list[list[str]] = []
        self.canceled: list[str] = []
        self.down = 0
        """Listings that fail before the next answer."""
        self.lose_numbers = False

    def submit(self, calls: Any, *, batch: str, folder: Path, recipe: Any, at_once: int) -> list[str]:
        names = [arguments["task"].name if "task" in arguments else "check" for _, arguments in calls]
        number = len(self.submitted) + 1
        self.submitted.append(names)
        ids = [f"{number}_{index}" for index in range(len(calls))]
        for name, one in zip(names, ids, strict=True):
            self.jobs[one] = (batch, list(self.lives.get(name, [("RUNNING", "None")])))
        if self.lose_numbers:
            raise KeyboardInterrupt
        folder.mkdir(parents=True, exist_ok=True)
        submission.storage.write_json(folder / f"{batch}.json", {"jobs": ids})
        return ids

    def command(self, words: list[str], **_: Any) -> subprocess.CompletedProcess[str]:
        if words[0] == "scancel":
            self.canceled += words[1:]
            for one, (batch, life) in self.jobs.items():
                if one in words or f"--name={batch}" in words:
                    life[:] = [("CANCELLED", "None")]
            return subprocess.CompletedProcess(words, 0, "", "")
        if self.down:
            self.down -= 1
            raise subprocess.CalledProcessError(1, words)
        return subprocess.CompletedProcess(words, 0, "\n".join(self._lines()), "")

    def _lines(self) -> Iterator[str]:
        for one, (_, life) in self.jobs.items():
            while life and callable(life[0]):
                life.pop(0)()  # type: ignore[operator]
            if life and life[0][0]:  # type: ignore[index]
                yield f"{one}|{life[0][0]}|{life[0][1]}"  # type: ignore[index]
            if len(life) > 1:
                life.pop(0)


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cluster:
    made = Cluster(tmp_path)
    monkeypatch.setattr(submission, "submit", made.submit)
    monkeypatch.setattr(queue.subprocess, "run", made.command)
    monkeypatch.setattr(queue, "REFRESH_SECONDS", 0.0)
    monkeypatch.setattr(executors, "POLL_SECONDS", 0.01)
    monkeypatch.setattr(executors, "GRACE_SECONDS", 0.1)
    monkeypatch.setattr(shared_folders, "GRACE_SECONDS", 0.1)
    return made


def task(tmp_path: Path, name: str = "dpo-s0", **spec: Any) -> Task:
    log = tmp_path / name / "train.log"
    log.parent.mkdir(exist_ok=True)
    return Task(kind="fake_tasks:succeed", name=name, spec=spec, log=log, timeout_seconds=30.0)


def made(tmp_path: Path, heard: list[tuple[str, Any]] | None = None, **slurm: Any) -> SlurmExecutor:
    recipe = recipes.load("ci", [("slurm", slurm)])
    heard = [] if heard is None else heard
    return SlurmExecutor(recipe, tmp_path / "run", listen=lambda _, kind, content: heard.append((kind, content)))


def run(tmp_path: Path, *tasks: Task, heard: list[tuple[str, Any]] | None = None, **slurm: Any) -> list[Outcome]:
    outcomes: list[Outcome] = []
    made(tmp_path, heard, **slurm).run(list(tasks), outcomes.append)
    return outcomes


def ends(one: Task, status: Status = Status.OK, **more: Any) -> Callable[[], None]:
    return lambda: TaskFiles(one.log).write_outcome(Outcome(task=one, status=status, seconds=3.0, **more))


def says(one: Task, *messages: tuple[str, Any]) -> Callable[[], None]:
    return lambda: [TaskFiles(one.log).send(*message) for message in messages]  # type: ignore[func-returns-value]


@pytest.mark.parametrize("status", [Status.OK, Status.FAILED, Status.DIVERGED, Status.KILLED])
def test_the_outcome_that_a_job_writes_is_the_task_s(status: Status, cluster: Cluster, tmp_path: Path) -> None:
    one = task(tmp_path)
    cluster.lives[one.name] = [("PENDING", "Resources"), ("RUNNING", "None"), ends(one, status, reason="r", step=3)]
    assert run(tmp_path, one) == [Outcome(task=one, status=status, reason="r", step=3, seconds=3.0)]
    assert not TaskFiles(one.log).ticket()


@pytest.mark.parametrize(
    ("state", "status", "reason"),
    [
        ("CANCELLED", Status.INTERRUPTED, "Slurm job 1_0 was canceled"),
        ("PREEMPTED", Status.INTERRUPTED, "Slurm job 1_0 was preempted and not requeued"),
        ("TIMEOUT", Status.TIMEOUT, "Slurm job 1_0 reached Slurm's time limit before it could save its state"),
        ("OUT_OF_MEMORY", Status.OUT_OF_MEMORY, "Slurm job 1_0 used more memory than Slurm gave it"),
        ("NODE_FAIL", Status.KILLED, "Slurm job 1_0 ended with its node, and was not requeued"),
        ("FAILED", Status.FAILED, "Slurm job 1_0 ended (FAILED) without a result"),
        ("", Status.FAILED, "Slurm job 1_0 ended (no longer in the queue) without a result"),
    ],
)
def test_a_job_that_leaves_no_outcome_has_that_of_its_state(
    state: str, status: Status, reason: str, cluster: Cluster, tmp_path: Path
) -> None:
    one = task(tmp_path)
    log = submission.log_of(tmp_path / "run" / "slurm", "1_0")
    cluster.lives[one.name] = [
        ("RUNNING", "None"),
        says(one, ("start", None), ("step", {"done": 0.5, "step": 7})),
        lambda: log.write_text("srun: the last words\n") and None,
        ("RUNNING", "None"),
        (state, "None"),
    ]
    (outcome,) = run(tmp_path, one)
    assert (outcome.status, outcome.reason, outcome.step) == (status, reason, 7)
    assert outcome.log_tail == ("srun: the last words",)


def test_a_requeued_job_is_one_task_that_starts_once(cluster: Cluster, tmp_path: Path) -> None:
    one, heard = task(tmp_path), []
    begins = says(one, ("start", None))
    states: Life = [("RUNNING", "None"), ("COMPLETING", "None"), ("PENDING", "BeginTime"), ("RUNNING", "None")]
    cluster.lives[one.name] = [begins, *states, begins, says(one, ("say", "half way")), ends(one)]
    (outcome,) = run(tmp_path, one, heard=heard)
    assert outcome.status is Status.OK
    assert [kind for kind, _ in heard] == ["say", "start", "say"]


@pytest.mark.parametrize(
    ("waits", "settings", "status", "reason"),
    [
        (["Resources", "BadConstraints"], {}, Status.FAILED, "cannot start: BadConstraints"),
        (["Resources"], {"start_minutes": 0.001}, Status.TIMEOUT, "did not start within 0.001 minutes: Resources"),
    ],
)
def test_a_job_that_never_starts_is_canceled_and_recorded(
    waits: list[str], settings: dict[str, Any], status: Status, reason: str, cluster: Cluster, tmp_path: Path
) -> None:
    one = task(tmp_path)
    cluster.lives[one.name] = [("PENDING", why) for why in waits]
    (outcome,) = run(tmp_path, one, **settings)
    assert (outcome.status, outcome.reason) == (status, f"Slurm job 1_0 {reason}")
    assert cluster.canceled == ["1_0"]


def test_waiting_for_the_other_jobs_of_the_run_is_not_limited(cluster: Cluster, tmp_path: Path) -> None:
    one = task(tmp_path)
    waits: Life = [("PENDING", queue.SIBLINGS)] * 30
    cluster.lives[one.name] = [*waits, ("RUNNING", "None"), ends(one)]
    (outcome,) = run(tmp_path, one, start_minutes=0.001)
    assert outcome.status is Status.OK


def test_the_user_is_told_once_why_a_job_waits(cluster: Cluster, tmp_path: Path) -> None:
    one, heard = task(tmp_path), []
    waits: Life = [("PENDING", "QOSMaxJobsPerUserLimit")] * 3
    cluster.lives[one.name] = [("PENDING", "None"), *waits, ("RUNNING", "None"), ends(one)]
    run(tmp_path, one, heard=heard)
    assert [text for _, text in heard[1:]] == ["dpo-s0: job 1_0 waits (QOSMaxJobsPerUserLimit)"]


def test_a_controller_that_does_not_answer_is_waited_for(cluster: Cluster, tmp_path: Path) -> None:
    one, heard = task(tmp_path), []

    def go_down() -> None:
        cluster.down = 5

    cluster.lives[one.name] = [("RUNNING", "None"), ("RUNNING", "None"), go_down, ("RUNNING", "None"), ends(one)]
    (outcome,) = run(tmp_path, one, heard=heard)
    assert outcome.status is Status.OK
    assert [text for _, text in heard[1:]] == ["Slurm does not answer. Waiting for it", "Slurm answers again"]


def leave(tmp_path: Path, *tasks: Task) -> None:
    """Submit tasks with a command that ends at once."""
    executor = made(tmp_path)
    executor._submit(list(tasks))


def test_a_command_given_again_finds_its_jobs(cluster: Cluster, tmp_path: Path) -> None:
    going, ended, new = (task(tmp_path, name) for name in ("a", "b", "c"))
    cluster.lives = {"a": [*[("RUNNING", "None")] * 4, ends(going)], "c": [ends(new)]}  # type: ignore[dict-item]
    leave(tmp_path, going, ended)
    ends(ended)()
    cluster.jobs.pop("1_1")  # Slurm forgets jobs after a while
    outcomes = run(tmp_path, going, ended, new)
    assert sorted((o.task.name, o.status) for o in outcomes) == [(name, Status.OK) for name in "abc"]
    assert cluster.submitted == [["a", "b"], ["c"]]


def test_a_command_given_again_waits_for_a_controller_that_does_not_answer(cluster: Cluster, tmp_path: Path) -> None:
    one, heard = task(tmp_path), []
    cluster.lives[one.name] = [*[("RUNNING", "None")] * 2, ends(one)]  # type: ignore[list-item]
    leave(tmp_path, one)
    cluster.down = 3
    (outcome,) = run(tmp_path, one, heard=heard)
    assert (outcome.status, len(cluster.submitted)) == (Status.OK, 1)
    assert [text for _, text in heard] == ["Slurm does not answer. Waiting for it"]


def test_a_job_that_was_lost_meanwhile_is_submitted_again(cluster: Cluster, tmp_path: Path) -> None:
    one = task(tmp_path)
    leave(tmp_path, one)
    cluster.jobs.clear()
    cluster.lives[one.name] = [ends(one)]
    assert [outcome.status for outcome in run(tmp_path, one)] == [Status.OK]
    assert len(cluster.submitted) == 2


def test_jobs_whose_numbers_were_never_learned_are_canceled_by_name(cluster: Cluster, tmp_path: Path) -> None:
    one = task(tmp_path)
    cluster.lose_numbers = True
    with pytest.raises(KeyboardInterrupt):
        leave(tmp_path, one)
    cluster.lose_numbers = False
    batch = TaskFiles(one.log).ticket()["batch"]
    cluster.lives[one.name] = [ends(one)]
    assert [outcome.status for outcome in run(tmp_path, one)] == [Status.OK]
    assert cluster.canceled == [f"--name={batch}"]


def test_the_job_of_a_task_that_changed_is_canceled(cluster: Cluster, tmp_path: Path) -> None:
    leave(tmp_path, task(tmp_path, code="old"))
    one = task(tmp_path, code="new")
    cluster.lives[one.name] = [ends(one)]
    executor = made(tmp_path)
    assert not executor.holds(one)
    assert (cluster.canceled, TaskFiles(one.log).ticket()) == (["1_0"], {})


def test_a_stopped_command_leaves_its_jobs_and_says_how_to_cancel_them(cluster: Cluster, tmp_path: Path) -> None:
    one, heard = task(tmp_path), []
    executor = made(tmp_path, heard)
    cluster.lives[one.name] = [("RUNNING", "None"), executor.stop, ("RUNNING", "None")]
    executor.run([one], lambda _: None)
    assert (cluster.canceled, TaskFiles(one.log).ticket()["index"]) == ([], 0)
    batch = TaskFiles(one.log).ticket()["batch"]
    assert heard[-1][1] == f"1 jobs are left in the queue. To cancel them: scancel --name={batch}"


def test_a_run_that_gives_up_cancels_its_jobs(cluster: Cluster, tmp_path: Path) -> None:
    first, second = task(tmp_path, "a"), task(tmp_path, "b")
    heard: list[tuple[str, Any]] = []
    cluster.lives["a"] = [ends(first, Status.FAILED)]
    executor = made(tmp_path, heard)
    executor.run([first, second], lambda _: executor.give_up())
    assert len(heard) == 1  # that they were submitted
    assert (cluster.canceled, TaskFiles(second.log).ticket()) == (["1_1"], {})


def test_an_array_holds_at_most_so_many_jobs(cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(executors, "MOST_JOBS", 2)
    tasks = [task(tmp_path, name) for name in "abc"]
    cluster.lives = {one.name: [ends(one)] for one in tasks}
    assert len(run(tmp_path, *tasks)) == 3
    assert [len(batch) for batch in cluster.submitted] == [2, 1]


def test_folders_that_a_job_does_not_see_are_refused(cluster: Cluster, tmp_path: Path) -> None:
    cluster.lives["check"] = [("RUNNING", "None"), ("FAILED", "None")]
    cache = tmp_path / "cache"
    cache.mkdir()
    with pytest.raises(UserError) as error:
        shared_folders.check(made(tmp_path), cache)
    assert str(error.value) == (
        f"Slurm job 1_0 ended (FAILED) and wrote nothing to {tmp_path}/run/slurm and {cache}. Its node does not see "
        "this, or not this installation of una-bench. Choose an --out, and a folder UNA_BENCH_CACHE, on a file system "
        "that all nodes share. No cell was submitted."
    )
    assert cluster.submitted == [["check"]]


def test_folders_that_a_job_sees_are_checked_once(
    cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def submit(calls: Any, **more: Any) -> list[str]:
        ((function, arguments),) = calls
        function(**arguments)
        return cluster.submit(calls, **more)

    monkeypatch.setattr(submission, "submit", submit)
    shared_folders.check(made(tmp_path), tmp_path)
    shared_folders.check(made(tmp_path), tmp_path)
    assert cluster.submitted == [["check"]]
    assert not list(tmp_path.rglob(".seen-by-a-job-*"))


@pytest.fixture
def node(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """This process as that of a job, without the imports of trainings."""
    monkeypatch.setattr(job, "Pool", functools.partial(Pool, preload=()))
    monkeypatch.setenv("SLURM_JOB_ID", "12")
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGUSR2)}
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    yield
    for thread in threading.enumerate():
        if thread.name == "time limit":
            assert thread.ident is not None
            # To this thread: another one of the test runner's, which does not block it, would take it.
            signal.pthread_kill(thread.ident, signal.SIGUSR2)
            thread.join(30)
    for number, handler in before.items():
        signal.signal(number, handler)
    signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def carry_out(one: Task, index: int = 0) -> None:
    job.run(one, batch="una-bench-1", index=index, threads=1, processes=1, trainers=(), cuda=False)


def test_a_job_writes_the_outcome_and_the_messages_of_its_worker(node: None, tmp_path: Path) -> None:
    one = task(tmp_path, answer=42)
    files = TaskFiles(one.log)
    files.write_ticket(one, "una-bench-1", 0)
    files.add_used(100.0)
    carry_out(one)
    outcome = files.outcome(one)
    assert outcome is not None and (outcome.status, outcome.result["answer"]) == (Status.OK, 42)
    assert outcome.seconds > 100  # with the time before a requeue
    assert files.messages(0)[0] == [("start", None), ("say", "half way")]


def test_a_job_whose_ticket_is_another_s_does_nothing(node: None, tmp_path: Path) -> None:
    one = task(tmp_path, answer=42)
    TaskFiles(one.log).write_ticket(one, "una-bench-1", 1)
    carry_out(one)
    assert TaskFiles(one.log).outcome(one) is None


def stopped_by(number: int, tmp_path: Path) -> TaskFiles:
    one = task(tmp_path)
    one.kind = "fake_tasks:wait_for_the_request"
    files = TaskFiles(one.log)
    files.write_ticket(one, "una-bench-1", 0)

    def send() -> None:
        signal.pthread_sigmask(signal.SIG_BLOCK, {number})
        while ("say", "ready") not in files.messages(0)[0]:
            time.sleep(0.05)
        os.kill(os.getpid(), number)

    threading.Thread(target=send).start()
    with pytest.raises(SystemExit) as end:
        carry_out(one)
    assert end.value.code == 1
    assert files.used_seconds() > 0
    return files


def test_a_canceled_or_preempted_job_leaves_no_outcome(node: None, tmp_path: Path) -> None:
    assert stopped_by(signal.SIGTERM, tmp_path).outcome(task(tmp_path)) is None


def test_a_job_at_its_time_limit_is_requeued(node: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    commands: list[list[str]] = []

    def command(words: list[str], **_: Any) -> subprocess.CompletedProcess[str]:
        commands.append(words)
        return subprocess.CompletedProcess(words, 0, "", "")

    monkeypatch.setattr(job.subprocess, "run", command)
    files = stopped_by(signal.SIGUSR2, tmp_path)
    assert (commands, files.outcome(task(tmp_path))) == ([["scontrol", "requeue", "12"]], None)


def test_a_job_that_cannot_be_requeued_says_so(node: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    refused = subprocess.CompletedProcess([], 1, "", "Requested operation is presently disabled\n")
    monkeypatch.setattr(job.subprocess, "run", lambda *_, **__: refused)
    outcome = stopped_by(signal.SIGUSR2, tmp_path).outcome(task(tmp_path))
    assert outcome is not None and outcome.status is Status.INTERRUPTED
    assert outcome.reason == (
        "job 12 reached its time limit and could not be requeued: Requested operation is presently disabled"
    )


def programs(folder: Path, **scripts: str) -> str:
    """Write shell scripts in place of Slurm's programs, and return a PATH that begins with them."""
    folder.mkdir()
    for name in ("sbatch", "squeue", "scancel", "scontrol", "srun"):
        (folder / name).write_text(f"#!/bin/sh\n{scripts.get(name, '')}\n")
        (folder / name).chmod((folder / name).stat().st_mode | stat.S_IXUSR)
    return f"{folder}:{os.environ['PATH']}"


def test_jobs_are_an_array_with_the_settings_of_the_recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("submitit")
    monkeypatch.setenv(
        "PATH", programs(tmp_path / "bin", sbatch=f"cp $1 {tmp_path}/script; echo Submitted batch job 7")
    )
    recipe = recipes.load(
        "ci", [("slurm", {"partition": "long", "mem": "8G", "reservation": "r", "setup": ["module x"]})]
    )
    calls = [(job.check, {"marks": []})] * 3
    ids = submission.submit(calls, batch="una-bench-1", folder=tmp_path / "slurm", recipe=recipe, at_once=2)
    script = (tmp_path / "script").read_text()
    assert ids == ["7_0", "7_1", "7_2"]
    assert [submission.job_of(tmp_path / "slurm", "una-bench-1", index) for index in (2, 3)] == ["7_2", ""]
    options = dict(re.findall(r"#SBATCH --([\w-]+)=?(.*)", script))
    wanted = {"array": "0-2%2", "partition": "long", "mem": "8G", "reservation": "r", "job-name": "una-bench-1"}
    wanted |= {"time": "15", "signal": "USR2@90", "cpus-per-task": "1", "requeue": ""}
    assert {name: options[name] for name in wanted} == wanted
    assert "\nmodule x\n" in script and "--cpus-per-task=1" in script


def test_what_slurm_refuses_is_one_message(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("submitit")
    refusal = "echo 'sbatch: error: invalid partition specified: long' >&2; exit 1"
    monkeypatch.setenv("PATH", programs(tmp_path / "bin", sbatch=refusal))
    calls = [(job.check, {"marks": []})]
    with pytest.raises(UserError) as error:
        submission.submit(calls, batch="b", folder=tmp_path / "slurm", recipe=recipes.load("ci"), at_once=2)
    assert str(error.value) == (
        "Slurm refused the jobs: invalid partition specified: long. Change --slurm if that is the cause, then run the "
        "same command again."
    )
    assert capsys.readouterr() == ("", "")


def test_without_sbatch_nothing_begins(attempt: Callable[..., str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(submission.shutil, "which", lambda program: None)
    assert "there is no sbatch on this machine" in attempt("run", "ci", "--executor", "slurm")


def test_without_submitit_nothing_begins(attempt: Callable[..., str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(submission.shutil, "which", lambda program: f"/usr/bin/{program}")
    monkeypatch.setattr(submission, "PACKAGE", "no_such_package")
    assert "pip install 'una-bench[slurm]'" in attempt("run", "ci", "--executor", "slurm")


def test_what_jobs_ask_of_slurm_is_part_of_no_key() -> None:
    asked = plans.make(recipes.load("ci", [("slurm", {"partition": "long", "time": "60"})]))
    plain = plans.make(recipes.load("ci"))
    assert (asked.key, [c.key for c in asked.cells]) == (plain.key, [c.key for c in plain.cells])
