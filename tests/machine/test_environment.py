"""Recorded facts about the environment, and facts that must not be recorded."""

from __future__ import annotations

import getpass
import json
import platform
from pathlib import Path

from una_bench.machine import environment


def test_no_host_user_or_path_is_recorded() -> None:
    text = json.dumps(environment.describe())
    assert not [word for word in (platform.node(), str(Path.home()), str(Path.cwd())) if word and word in text]


def test_no_user_is_recorded() -> None:
    assert getpass.getuser() not in environment.describe()


def test_versions_of_what_can_change_a_result_are_recorded() -> None:
    assert environment.describe()["packages"]["trl"].startswith("1.12")


def test_a_package_that_is_not_installed_is_none() -> None:
    assert environment.package_version("no-such-distribution") is None


def test_an_installed_wheel_has_no_commit(tmp_path: Path) -> None:
    assert environment._git(tmp_path, "rev-parse", "HEAD") is None


def test_the_record_can_be_json() -> None:
    assert json.loads(json.dumps(environment.describe())) == environment.describe()


def test_threads_are_those_of_this_process() -> None:
    import torch

    assert environment.describe()["threads"] == torch.get_num_threads()
