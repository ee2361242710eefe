"""The way from ImageNet's tar files: the shell of the page, on archives of the same structure with few images."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat
from torch.distributed.run import get_args_parser

from neuromirror.cli import main

PAGE = (Path(__file__).parents[2] / "docs" / "imagenet-walkthrough.md").read_text(encoding="utf-8")
WNIDS = ("n01440764", "n01443537", "n01484850")
KIT = "ILSVRC2012_devkit_t12"


def image(path: Path, value: int) -> Path:
    Image.new("RGB", (8, 8), (value, 0, 0)).save(path, format="JPEG")
    return path


def archives(folder: Path, scratch: Path) -> None:
    """Write the three files as they are distributed: a tar of tars, images side by side, and the kit in its folder."""
    with tarfile.open(folder / "ILSVRC2012_img_train.tar", "w") as outer:
        for place, wnid in enumerate(WNIDS):
            with tarfile.open(scratch / f"{wnid}.tar", "w") as inner:
                for number in range(2):
                    inner.add(image(scratch / "one.JPEG", 50 * place), f"{wnid}_{number}.JPEG")
            outer.add(scratch / f"{wnid}.tar", f"{wnid}.tar")
    with tarfile.open(folder / "ILSVRC2012_img_val.tar", "w") as outer:
        for number in range(1, 4):
            outer.add(image(scratch / "one.JPEG", number), f"ILSVRC2012_val_{number:08d}.JPEG")
    data = scratch / KIT / "data"
    data.mkdir(parents=True)
    kinds = [(name, object) for name in ("ILSVRC2012_ID", "WNID", "words", "gloss", "num_children", "children")]
    rows = [(float(i), wnid, "fish", "swims", 0.0, []) for i, wnid in enumerate(WNIDS, 1)]
    savemat(data / "meta.mat", {"synsets": np.array(rows, dtype=kinds)[:, None]})
    (data / "ILSVRC2012_validation_ground_truth.txt").write_text("3\n1\n2\n")
    with tarfile.open(folder / f"{KIT}.tar.gz", "w:gz") as outer:
        outer.add(scratch / KIT, KIT)


@pytest.mark.skipif(shutil.which("sh") is None or shutil.which("tar") is None, reason="needs a shell and tar")
def test_the_archives_are_unpacked_as_training_takes_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, scratch = tmp_path / "downloads of ours", tmp_path / "scratch"
    folder.mkdir()
    scratch.mkdir()
    archives(folder, scratch)
    (script,) = re.findall(r"^```sh\n(# unpack\n.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    subprocess.run(["sh", "-c", script], cwd=folder, check=True)
    assert not list(folder.glob("imagenet/train/*.tar"))
    monkeypatch.chdir(folder)
    with pytest.raises(SystemExit) as ended:
        main(["data", "check", "imagenet"])
    assert ended.value.code == 0
    printed = capsys.readouterr().out.splitlines()
    assert printed[:3] == [
        "imagenet: 3 classes",
        "train      6 images, 2 of each class",
        "test       3 images, 1 of each class",
    ]


def commands(program: str) -> list[list[str]]:
    """Give the arguments of all commands of the page that begin with a program, in a block or after srun."""
    joined = PAGE.replace("\\\n", " ")
    return [
        shlex.split(line.partition(f"{program} ")[2])
        for line in joined.splitlines()
        if re.match(rf"(srun )?{program} ", line)
    ]


def test_torchrun_knows_the_options() -> None:
    found = commands("torchrun")
    assert len(found) == 3
    for arguments in found:
        given = get_args_parser().parse_args([one.replace("$SLURM_NNODES", "4") for one in arguments])
        assert given.module
        assert given.training_script == "neuromirror"
        assert given.training_script_args[:1] == ["train"]


def test_the_batch_file_is_one(tmp_path: Path) -> None:
    (script,) = re.findall(r"^```bash\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    assert script.startswith("#!/bin/bash\n#SBATCH ")
    if (bash := shutil.which("bash")) is not None:
        subprocess.run([bash, "-n"], input=script, text=True, check=True)


@pytest.mark.parametrize("arguments", [one for one in commands("neuromirror") if one[0] in ("train", "report")])
def test_neuromirror_knows_the_options(arguments: list[str]) -> None:
    from neuromirror.cli import app

    app.parse_args(arguments, print_error=False, exit_on_error=False)
