from pathlib import Path

from calyapp.vulnscan.requirements import Pin, pins

ROOT = Path(__file__).parents[2]
HASHES = "0" * 64, "1" * 64


def test_a_pin_has_its_hashes(tmp_path):
    file = tmp_path / "requirements.txt"
    file.write_text(
        "# made by a program\n"
        f"Anvil_Works[steel]==1.0 \\\n    --hash=sha256:{HASHES[0]} \\\n    --hash=sha256:{HASHES[1]}\n"
        "hammer==2.0.post1  # a reason\n"
    )

    assert pins(file) == [Pin("anvil-works", "1.0", HASHES), Pin("hammer", "2.0.post1", ())]


def test_requirements_for_another_platform_are_skipped(tmp_path):
    file = tmp_path / "requirements.txt"
    file.write_text('anvil==1.0 ; sys_platform == "win32"\nhammer==2.0 ; python_version >= "3"\n')

    assert [pin.name for pin in pins(file)] == ["hammer"]


def test_unpinned_requirements_are_skipped(tmp_path):
    file = tmp_path / "requirements.txt"
    file.write_text("anvil>=1.0\nhammer==1.*\nsaw\n-r other.txt\ntongs @ https://host/tongs.whl\n")

    assert pins(file) == []


def test_all_our_own_requirements_are_pins_with_hashes():
    file = ROOT / "requirements.txt"

    ours = pins(file)

    assert len(ours) == file.read_text().count("==")
    assert all(pin.hashes for pin in ours)
