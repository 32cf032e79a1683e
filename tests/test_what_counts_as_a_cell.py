"""The demonstration's smear as disks, shares, archivers and anonymisers hand it on: one score."""

import csv
import io
import json
import os
import shutil
import subprocess
import sys
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from PIL import Image
from tiny import NO_GATE, Ended, cell_pixels, kept, png, write_case, write_cells

import vexas_edge
from vexas_edge import open_bundle, read_case, score_case
from vexas_edge.cells import canvas
from vexas_edge.cells.images import cell_from_bytes
from vexas_edge.errors import InputError
from vexas_edge.results.values import CaseScore
from vexas_edge.runtime.session import Sessions
from vexas_edge.smear.options import ReadOptions

DEMO = Path(vexas_edge.__file__).parent / "demo"
NEUTROPHILS = Path("Signed slides/Segmented neutrophils")

Score = Callable[[Path], CaseScore]


@pytest.fixture(scope="module")
def sessions() -> Iterator[Sessions]:
    with Sessions(open_bundle(DEMO / "demo.vxb")) as opened:
        yield opened


@pytest.fixture
def score(sessions: Sessions) -> Score:
    """Scores the case at a path with the demonstration's bundle."""

    def score(path: Path) -> CaseScore:
        with read_case(path) as case:
            return score_case(case, sessions.bundle, sessions)

    return score


@pytest.fixture(scope="module")
def clean(sessions: Sessions) -> list[dict[str, Any]]:
    """What the models say of the smear that ships."""
    with read_case(DEMO / "smear.zip") as case:
        return numbers(score_case(case, sessions.bundle, sessions))


@pytest.fixture
def smear(tmp_path: Path) -> Path:
    """The same smear as a folder, which a test may spoil."""
    with zipfile.ZipFile(DEMO / "smear.zip") as archive:
        archive.extractall(tmp_path / "all" / "smear")
    return tmp_path / "all" / "smear"


def numbers(result: CaseScore) -> list[dict[str, Any]]:
    """All that the models say, but the names and files of their cells."""
    fields: list[dict[str, Any]] = msgspec.to_builtins(result.models)
    for model in fields:
        used = [cell for cell in model["cells"] if cell["status"] == "used"]
        model["cells"] = sorted(cell["identity"] for cell in used)
    return fields


def thumbnail(path: Path) -> bytes:
    small = io.BytesIO()
    with Image.open(path) as image:
        image.resize((image.width // 2, image.height // 2)).save(small, "JPEG")
    return small.getvalue()


def packed(folder: Path, to: Path, extra: dict[str, bytes] | None = None) -> Path:
    with zipfile.ZipFile(to, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                archive.write(path, path.relative_to(folder.parent).as_posix())
        for name, content in (extra or {}).items():
            archive.writestr(name, content)
    return to


def test_the_clean_smear_has_60_and_12_cells(clean: list[dict[str, Any]]) -> None:
    assert [(model["model"], model["n_cells"]) for model in clean] == [
        ("neutrophil", 60),
        ("monocyte", 12),
    ]


@pytest.mark.parametrize("pack", [False, True])
def test_thumbnails_of_a_network_disk_are_no_cells(
    score: Score, smear: Path, clean: list[dict[str, Any]], pack: bool
) -> None:
    for path in sorted(smear.rglob("*.jpg")):
        for name in ("SYNOPHOTO_THUMB_M.jpg", "SYNOPHOTO_THUMB_XL.jpg"):
            place = path.parent / "@eaDir" / path.name / name
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(thumbnail(path))
    result = score(packed(smear, smear.with_suffix(".zip")) if pack else smear)
    assert numbers(result) == clean
    n_folders = len({path.parent for path in smear.rglob("*.jpg") if "@eaDir" not in path.parts})
    assert result.ignored["system_folder"] == n_folders


@pytest.mark.parametrize(
    "name",
    [
        *("#recycle", "@Recycle", "$RECYCLE.BIN", ".Trash-1000", "System Volume Information"),
        *(".@__thumb", "#snapshot", "lost+found", ".AppleDouble", "@Recently-Snapshot", "RECYCLER"),
    ],
)
@pytest.mark.parametrize("inside", ["", "Signed slides", NEUTROPHILS])
def test_deleted_and_older_cells_are_no_cells(
    score: Score, smear: Path, clean: list[dict[str, Any]], name: str, inside: str | Path
) -> None:
    write_cells(smear / inside / name / "Signed slides" / "Monocyte", 3)
    write_cells(smear / inside / name / "Segmented neutrophils", 3)
    result = score(smear)
    assert numbers(result) == clean
    assert result.ignored == {"system_folder": 1}


@pytest.mark.parametrize("name", ["@P2", "$P4", "trash", "#P5", "~P6", "P7."])
def test_a_patients_name_that_looks_like_a_system_folders_is_a_patients(
    smear: Path, vexas_edge: Callable[..., Ended], name: str
) -> None:
    smear.rename(smear.with_name(name))
    ended = vexas_edge(
        "score", smear.parent, "--recursive", "--json", "--bundle", DEMO / "demo.vxb"
    )
    assert (ended.status, ended.err) == (0, "")
    assert json.loads(ended.out)["case"] == name


def test_a_zip_of_a_folder_with_a_system_folders_name_is_read(
    score: Score, smear: Path, clean: list[dict[str, Any]]
) -> None:
    named = smear.rename(smear.with_name(".P3"))
    write_cells(named / "@eaDir", 2)
    assert numbers(score(packed(named, smear.with_suffix(".zip")))) == clean


@pytest.mark.skipif(os.name == "nt", reason="links need a privilege on Windows")
def test_a_link_to_a_thumbnail_is_no_cell(
    score: Score, smear: Path, clean: list[dict[str, Any]]
) -> None:
    (thumb,) = write_cells(smear / NEUTROPHILS / "@eaDir", 1)
    (smear / NEUTROPHILS / "SNE_900000.png").symlink_to(thumb)
    result = score(smear)
    assert numbers(result) == clean
    assert result.ignored == {"system_folder": 2}


def test_a_system_folder_is_not_searched_for_smears(
    smear: Path, vexas_edge: Callable[..., Ended], clean: list[dict[str, Any]]
) -> None:
    shutil.copytree(smear, smear.parent / "#recycle" / "older smear")
    ended = vexas_edge(
        "score", smear.parent, "--recursive", "--json", "--bundle", DEMO / "demo.vxb"
    )
    assert ended.status == 0
    said = f"note: {smear.parent}: system folders that were not entered: #recycle\n"
    assert ended.err == said
    (line,) = ended.out.splitlines()
    assert json.loads(line)["case"] == "smear"
    assert [m["score"] for m in json.loads(line)["models"]] == [m["score"] for m in clean]


def test_a_folder_that_a_user_names_may_be_called_anything(
    score: Score, smear: Path, clean: list[dict[str, Any]]
) -> None:
    assert numbers(score(smear.rename(smear.with_name("@eaDir")))) == clean


def test_a_folder_below_a_class_folder_is_no_continuation_of_the_class(
    score: Score, smear: Path, clean: list[dict[str, Any]]
) -> None:
    write_cells(smear / NEUTROPHILS / "thumbnails", 5)
    result = score(smear)
    assert numbers(result) == clean
    assert result.ignored == {"outside_smear": 5}


@pytest.mark.parametrize("recursive", [False, True])
def test_below_the_class_folders_of_a_plain_tree_it_is_none_either(
    smear: Path, vexas_edge: Callable[..., Ended], clean: list[dict[str, Any]], recursive: bool
) -> None:
    plain = (smear / "Signed slides").rename(smear.with_name("plain"))
    shutil.rmtree(smear)
    write_cells(plain / "Monocyte" / "small" / "smaller", 5)
    options = ("--recursive",) if recursive else ()
    where = plain.parent if recursive else plain
    ended = vexas_edge("score", where, *options, "--json", "--bundle", DEMO / "demo.vxb")
    (line,) = ended.out.splitlines()
    assert [m["score"] for m in json.loads(line)["models"]] == [m["score"] for m in clean]
    assert "outside_smear 5" in ended.err


def with_another_header(content: bytes) -> bytes:
    """The same JPEG with the EXIF header, comment and name that an anonymiser leaves."""
    exif = Image.Exif()
    exif[0x0131] = "anonymiser 2.1"
    comment = b"anonymised"
    header = b"\xff\xfe" + (len(comment) + 2).to_bytes(2, "big") + comment
    block = exif.tobytes()
    header += b"\xff\xe1" + (len(block) + 2).to_bytes(2, "big") + block
    return content[:2] + header + content[2:]


def test_copies_that_differ_in_metadata_count_once(
    score: Score, smear: Path, clean: list[dict[str, Any]]
) -> None:
    for path in sorted(smear.rglob("*.jpg")):
        copy = with_another_header(path.read_bytes())
        assert copy != path.read_bytes()
        path.with_stem(f"{path.stem}9").write_bytes(copy)
    result = score(smear)
    assert numbers(result) == clean
    assert len(result.duplicates) == 72
    assert {cell.reason for cell in result.duplicates} == {"same_pixels"}


def test_an_anonymisers_headers_move_no_score(
    score: Score, smear: Path, clean: list[dict[str, Any]]
) -> None:
    for path in smear.rglob("*.jpg"):
        path.write_bytes(with_another_header(path.read_bytes()))
    assert numbers(score(smear)) == clean


def save_again(smear: Path, suffix: str, change: Callable[[Image.Image], Image.Image]) -> None:
    """Put each image of the smear, changed, into a file of another format."""
    for path in sorted(smear.rglob("*.jpg")):
        with Image.open(path) as image:
            change(image).save(path.with_suffix(suffix))
        path.unlink()


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".tiff"])
def test_a_lossless_container_moves_no_score(
    score: Score, smear: Path, clean: list[dict[str, Any]], suffix: str
) -> None:
    save_again(smear, suffix, lambda image: image)
    assert numbers(score(smear)) == clean


@pytest.mark.parametrize("suffix", [".jfif", ".jpe", ".JIF"])
def test_other_names_of_a_jpeg_are_images(
    score: Score, smear: Path, clean: list[dict[str, Any]], suffix: str
) -> None:
    for path in sorted(smear.rglob("*.jpg")):
        path.rename(path.with_suffix(suffix))
    assert numbers(score(smear)) == clean


def test_a_zip_made_on_a_mac_scores_like_its_folder(
    score: Score, smear: Path, clean: list[dict[str, Any]]
) -> None:
    names = [path.relative_to(smear.parent).as_posix() for path in smear.rglob("*.jpg")]
    twins = {
        f"__MACOSX/{name.rpartition('/')[0]}/._{name.rpartition('/')[2]}": b"x" for name in names
    }
    result = score(packed(smear, smear.with_suffix(".zip"), {**twins, "smear/.DS_Store": b"x"}))
    assert numbers(result) == clean
    assert result.ignored == {"system_folder": 1, "not_an_image": 1}


def zip_without_the_flag(path: Path, files: dict[bytes, bytes]) -> Path:
    """A zip whose names are these bytes, without the flag that says UTF-8."""
    stand_ins = {b"%" * len(name): name for name in files}
    assert len(stand_ins) == len(files)
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr((b"%" * len(name)).decode(), content)
    data = path.read_bytes()
    for stand_in in sorted(stand_ins, key=len, reverse=True):
        data = data.replace(stand_in, stand_ins[stand_in])
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("encoding", ["utf-8", "cp437"])
def test_names_beyond_ascii_are_read_as_their_writer_meant_them(
    tmp_path: Path, encoding: str
) -> None:
    (tmp_path / "map.toml").write_text('[classes]\n"Großer Lymphozyt" = "lymphocyte"\n', "utf-8")
    options = ReadOptions(class_map=str(tmp_path / "map.toml"))
    names = [f"Großer Lymphozyt/{'ä' * n}.png" for n in (1, 2)]
    files = {name.encode(encoding): png(cell_pixels(i)) for i, name in enumerate(names)}
    with read_case(zip_without_the_flag(tmp_path / "P.zip", files), options) as case:
        assert [cell.path for cell in case.cells] == names
        assert {cell.cell_class for cell in case.cells} == {"lymphocyte"}
        assert case.source.read(names[0]) == png(cell_pixels(0))


# Folders and links that cannot be followed


def without_overriding(*command: str | os.PathLike[str]) -> subprocess.CompletedProcess[str]:
    """Run a command that must obey a folder's permissions, which root by itself does not."""
    caps = "-dac_override,-dac_read_search"
    prefix = ["setpriv", f"--bounding-set={caps}"] if os.geteuid() == 0 else []
    return subprocess.run([*prefix, *command], capture_output=True, text=True, check=False)


@pytest.fixture
def locked(smear: Path) -> Iterator[Path]:
    """A folder of a patient beside the smear, which may not be listed."""
    folder = write_case(smear.parent / "locked", monocyte=3)
    folder.chmod(0)
    yield folder
    folder.chmod(0o700)


@pytest.mark.skipif(sys.platform != "linux", reason="permissions of folders as on Linux")
@pytest.mark.parametrize("command", ["score", "scan"])
def test_an_unlistable_folder_beside_a_smear_is_said_and_the_rest_scored(
    locked: Path, smear: Path, tmp_path: Path, clean: list[dict[str, Any]], command: str
) -> None:
    more: list[str | Path] = (
        ["--bundle", DEMO / "demo.vxb", "-o", tmp_path / "out"] if command == "score" else []
    )
    python = (sys.executable, "-m", "vexas_edge", command)
    ended = without_overriding(*python, smear.parent, "--recursive", *more)
    assert ended.returncode == 7, ended.stderr
    assert f"error: locked: {locked} cannot be listed: Permission denied" in ended.stderr
    if command == "score":
        with (tmp_path / "out" / "cases.csv").open(encoding="utf-8") as stream:
            rows = list(csv.DictReader(stream))
        assert Counter(row["status"] for row in rows) == {"failed": 1, "scored": 2}
        found = {row["model"]: float(row["score"]) for row in rows if row["model"]}
        assert found == {model["model"]: model["score"] for model in clean}


@pytest.mark.skipif(sys.platform != "linux", reason="permissions of folders as on Linux")
def test_an_unlistable_folder_inside_a_smear_fails_the_case(smear: Path) -> None:
    (smear / NEUTROPHILS).chmod(0)
    python = (sys.executable, "-m", "vexas_edge", "score", "--recursive", smear.parent)
    ended = without_overriding(*python, "--bundle", DEMO / "demo.vxb")
    (smear / NEUTROPHILS).chmod(0o700)
    assert ended.returncode == 5, ended.stderr
    assert ended.stdout == ""
    assert "Segmented neutrophils cannot be listed: Permission denied" in ended.stderr


@pytest.mark.skipif(os.name == "nt", reason="links need a privilege on Windows")
def test_links_that_leave_the_case_get_a_remedy(
    smear: Path, vexas_edge: Callable[..., Ended], tmp_path: Path
) -> None:
    case = tmp_path / "P1"
    for path in smear.rglob("*.jpg"):
        place = case / path.relative_to(smear)
        place.parent.mkdir(parents=True, exist_ok=True)
        place.symlink_to(path)
    remedy = (
        "links that leave the case are not followed: score the folder that they point to, or put "
        "copies of the files in their places"
    )
    alone = vexas_edge("score", case, "--bundle", DEMO / "demo.vxb")
    assert (alone.status, alone.out) == (5, "")
    assert alone.err.endswith(f"holds no cell to score (link_leaves_case 102); {remedy}\n")
    shutil.copytree(smear / NEUTROPHILS, case / NEUTROPHILS.with_name("Band neutrophils"))
    some = vexas_edge("score", case, "--bundle", DEMO / "demo.vxb")
    assert f"note: P1: {remedy}\n" in some.err


# Troubles of the PC


@pytest.mark.parametrize("chunk_cells", [1, 8])
def test_a_share_that_vanishes_in_the_middle_of_a_case_gives_no_score(
    sessions: Sessions, smear: Path, chunk_cells: int
) -> None:
    def vanish(*_: object) -> None:
        if smear.exists():
            smear.rename(smear.with_name("gone"))

    with read_case(smear) as case, pytest.raises(InputError, match="not scored on the rest"):
        score_case(case, sessions.bundle, sessions, chunk_cells=chunk_cells, progress=vanish)


_UNMOUNT = """\
import subprocess, sys
from vexas_edge import open_bundle, read_case, score_case
from vexas_edge.errors import InputError
source, share, bundle = sys.argv[1:]
subprocess.run(["mount", "-t", "tmpfs", "share", share], check=True)
subprocess.run(["cp", "-r", f"{source}/.", share], check=True)
def unmount(model, done, total):
    subprocess.run(["umount", "-l", share])
with read_case(share) as case:
    print(len(case.cells), flush=True)
    try:
        score_case(case, open_bundle(bundle), chunk_cells=4, progress=unmount)
    except InputError as error:
        print(error)
    else:
        print("scored")
"""


@pytest.mark.skipif(sys.platform != "linux", reason="mounts as on Linux")
def test_a_mount_that_is_taken_away_in_the_middle_of_a_case_gives_no_score(
    smear: Path, tmp_path: Path
) -> None:
    own = ["unshare", "-m"] if os.geteuid() == 0 else ["unshare", "-rm"]
    probe = [*own, "mount", "-t", "tmpfs", "probe", "/mnt"]
    if subprocess.run(probe, capture_output=True, check=False).returncode:
        pytest.skip("this PC lets nobody mount a disk of their own")
    (tmp_path / "share").mkdir()
    paths = map(str, (smear, tmp_path / "share", DEMO / "demo.vxb"))
    command = [*own, sys.executable, "-c", _UNMOUNT, *paths]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    n_cells, said = ended.stdout.splitlines()
    assert n_cells == "102"
    assert "cannot be read as it was listed (No such file or directory)" in said
    assert "the case is not scored on the rest" in said


def cut_files(smear: Path) -> None:
    for path in sorted((smear / NEUTROPHILS).iterdir())[:5]:
        path.write_bytes(path.read_bytes()[:-100])


def cut_zip(packed_smear: Path) -> None:
    with packed_smear.open("r+b") as file:
        file.truncate(packed_smear.stat().st_size * 97 // 100)


@pytest.mark.parametrize(("pack", "cut"), [(False, cut_files), (True, cut_zip)])
def test_a_smear_that_shrinks_after_it_was_listed_gives_no_score(
    sessions: Sessions, smear: Path, pack: bool, cut: Callable[[Path], None]
) -> None:
    path = packed(smear, smear.with_suffix(".zip")) if pack else smear
    with read_case(path) as case:
        cut(path)
        with pytest.raises(InputError, match="not scored on the rest"):
            score_case(case, sessions.bundle, sessions)


@pytest.mark.skipif(os.name == "nt", reason="no pipes in folders there")
def test_a_file_that_became_a_pipe_does_not_hang(sessions: Sessions, smear: Path) -> None:
    with read_case(smear) as case:
        path = smear / NEUTROPHILS / "SNE_000001.jpg"
        path.unlink()
        os.mkfifo(path)
        with pytest.raises(InputError, match="not scored on the rest"):
            score_case(case, sessions.bundle, sessions)


@pytest.mark.skipif(sys.platform != "linux", reason="permissions of folders as on Linux")
def test_a_case_that_may_not_be_looked_at_fails_alone(smear: Path, tmp_path: Path) -> None:
    closed = write_case(tmp_path / "closed" / "P1", monocyte=3)
    closed.parent.chmod(0)
    python = (sys.executable, "-m", "vexas_edge", "score", closed, closed.parent, smear)
    long = tmp_path / ("x" * 300)
    ended = without_overriding(*python, long, "--bundle", DEMO / "demo.vxb")
    closed.parent.chmod(0o700)
    assert ended.returncode == 7, ended.stderr
    assert ended.stdout.startswith("[SYNTHETIC] smear: scored")
    assert f"error: P1: {closed} cannot be read: Permission denied" in ended.stderr
    assert f"error: closed: {closed.parent} cannot be listed: Permission denied" in ended.stderr
    assert f"error: {long.name}: {long} cannot be read: File name too long" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_memory_that_runs_out_fails_the_case_and_not_the_batch(
    tmp_path: Path,
    tiny_bundle: Path,
    vexas_edge: Callable[..., Ended],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    large = png(cell_pixels(77))

    def decoded(content: bytes) -> np.ndarray:
        if content == large:
            raise MemoryError
        return cell_from_bytes(content)

    monkeypatch.setattr(canvas, "cell_from_bytes", decoded)
    first, second = write_case(tmp_path / "P1", neutrophil=6), write_case(tmp_path / "P2")
    (first / "neutrophil" / "9.png").write_bytes(large)
    ended = vexas_edge("score", first, second, "--bundle", tiny_bundle)
    assert ended.status == 7
    assert ended.out.startswith(f"{NO_GATE}: P2: scored: ")
    assert "error: P1: this PC's memory ran out; the case is not scored on the rest" in ended.err


# Cells that cannot be read


@pytest.mark.parametrize(
    ("n_bad", "status"), [(0, "scored"), (1, "scored"), (6, "scored"), (7, "abstained")]
)
def test_a_model_abstains_if_over_a_tenth_of_its_cells_cannot_be_read(
    score: Score, smear: Path, n_bad: int, status: str
) -> None:
    for i in range(n_bad):
        (smear / NEUTROPHILS / f"SNE_90000{i}.jpg").write_bytes(b"")
    neutrophil, monocyte = score(smear).models
    assert (neutrophil.n_cells, neutrophil.n_unreadable) == (60, n_bad)
    assert (neutrophil.status, monocyte.status) == (status, "scored")
    assert neutrophil.reasons == (() if status == "scored" else ("too_many_unreadable",))


def test_one_unreadable_cell_of_few_is_no_reason_to_abstain(
    tiny_bundle: Path, tmp_path: Path
) -> None:
    case = write_case(tmp_path / "P1", neutrophil=6)
    (case / "neutrophil" / "bad.png").write_bytes(b"x")
    with read_case(case) as opened:
        result = score_case(opened, open_bundle(tiny_bundle))
    assert (result.models[0].status, result.models[0].n_unreadable) == ("scored", 1)


def test_a_cell_without_content_is_rejected_by_name(
    score: Score, smear: Path, clean: list[dict[str, Any]]
) -> None:
    blank = np.full((90, 90, 3), (230, 200, 215), np.uint8)
    blank[::2] += 8
    (smear / NEUTROPHILS / "SNE_900000.png").write_bytes(png(blank))
    result = score(smear)
    assert [model | {"n_rejected": 0} for model in numbers(result)] == list(clean)
    assert [model.n_rejected for model in result.models] == [1, 0]
    assert [(cell.path, cell.reason) for cell in result.rejected] == [
        ((NEUTROPHILS / "SNE_900000.png").as_posix(), "empty_image")
    ]


@pytest.mark.parametrize("suffix", [".png", ".tiff", ".bmp"])
def test_colours_below_an_alpha_of_zero_everywhere_are_the_cell(
    score: Score, smear: Path, clean: list[dict[str, Any]], suffix: str
) -> None:
    def clear(image: Image.Image) -> Image.Image:
        image = image.convert("RGBA")
        image.putalpha(0)
        return image

    save_again(smear, suffix, clear)
    assert numbers(score(smear)) == clean


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize(
    ("form", "options"),
    [("PNG", {}), ("TIFF", {}), ("TIFF", {"compression": "tiff_lzw"})],
)
def test_no_format_is_turned_by_its_header(
    form: str, options: dict[str, str], orientation: int
) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    file, pixels = io.BytesIO(), cell_pixels(4)[:6, :9]
    Image.fromarray(pixels).save(file, form, exif=exif, **options)
    with Image.open(io.BytesIO(file.getvalue())) as image:
        assert image.getexif()[0x0112] == orientation
    np.testing.assert_array_equal(cell_from_bytes(file.getvalue()), pixels)


def test_what_exif_says_of_orientation_is_ignored_on_purpose(
    score: Score, smear: Path, clean: list[dict[str, Any]]
) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    block = exif.tobytes()
    header = b"\xff\xe1" + (len(block) + 2).to_bytes(2, "big") + block
    for path in smear.rglob("*.jpg"):
        content = path.read_bytes()
        path.write_bytes(content[:2] + header + content[2:])
        with Image.open(path) as image:
            assert image.getexif()[0x0112] == 6
    assert numbers(score(smear)) == clean


def test_the_result_names_the_decoder_and_both_hashes_of_each_cell(
    smear: Path, tmp_path: Path, vexas_edge: Callable[..., Ended]
) -> None:
    out = tmp_path / "out"
    vexas_edge("score", smear, "--bundle", DEMO / "demo.vxb", "-o", out)
    assert kept(out, "smear")["run"]["decoder"].startswith("Pillow 1")
    with (out / "cells.csv").open(encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    assert len({row["identity"] for row in rows}) == len({row["sha256"] for row in rows}) == 72
    assert all(len(row["identity"]) == len(row["sha256"]) == 64 for row in rows)
