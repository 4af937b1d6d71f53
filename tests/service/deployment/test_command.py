"""What runs the server elsewhere comes with it: a command writes it into a folder."""

from pathlib import Path

from click.testing import CliRunner

from service.program.cli import main

FILES = Path("service/deployment")


def test_the_files_are_written_into_a_new_folder(tmp_path: Path) -> None:
    command = ["deployment", str(tmp_path / "new")]
    done = CliRunner().invoke(main, command)

    written = {path.relative_to(tmp_path / "new") for path in (tmp_path / "new").rglob("*") if path.is_file()}
    given = {path.relative_to(FILES) for path in FILES.rglob("*") if path.is_file()}
    assert written == {path for path in given if path.suffix not in {".py", ".pyc"}}
    assert {Path("sale-service.service"), Path("Containerfile"), Path("kubernetes/nodes.yaml")} <= written
    assert done.stdout.splitlines() == sorted(str(tmp_path / "new" / path) for path in written)

    again = CliRunner().invoke(main, command)
    assert (again.exit_code, again.stderr) == (
        2,
        f"Error: FOLDER: {tmp_path / 'new'} is there already; name a new one\n",
    )
