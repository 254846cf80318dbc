import subprocess
import sys

from moco.cli import main


def test_doctor_names_every_part_of_the_machine(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("MOCO_DEVICES", "3")
    assert main(["doctor", "--results", str(tmp_path / "results")]) == 0
    lines = capsys.readouterr().out.splitlines()
    found = {line.split()[0]: line for line in lines if not line.startswith(" ")}
    assert list(found) == ["python", "engines", "gpus", "slurm", "bubblewrap", "cores", "disk", "store"]
    assert found["gpus"].split() == ["gpus", "3"]


def test_doctor_imports_no_torch(tmp_path):
    code = (
        "import sys; from moco.cli import main; main(['doctor', '--results', sys.argv[1]]);"
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True).returncode == 0
