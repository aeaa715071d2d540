"""What a benchmark says of the machine that it ran on."""

from pathlib import Path

import numpy as np
import pytest

from benchmarks.machine import available_bytes, machine_card, throttling
from benchmarks.resident import memory_mib


@pytest.fixture
def board(tmp_path: Path) -> Path:
    """The files of a Raspberry Pi 5 that is short of power and was throttled once."""
    files = {
        "proc/cpuinfo": "processor\t: 0\nFeatures\t: fp asimd aes asimddp\nModel\t\t: Raspberry Pi 5 Model B Rev 1.0\n",
        "proc/meminfo": "MemTotal:        8245888 kB\nMemAvailable: 2 kB\n",
        "proc/loadavg": "0.52 0.30 0.10 1/200 999\n",
        "proc/device-tree/model": "Raspberry Pi 5 Model B Rev 1.0\0",
        "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor": "ondemand\n",
        "sys/devices/system/cpu/cpu0/cpufreq/cpuinfo_max_freq": "2400000\n",
        "sys/devices/system/cpu/cpu0/cpufreq/scaling_cur_freq": "1500000\n",
        "sys/class/thermal/thermal_zone0/temp": "61250\n",
        "sys/class/thermal/thermal_zone1/temp": "48000\n",
    }
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path


def test_the_machine_card_tells_what_the_board_tells(board: Path) -> None:
    said = {"vcgencmd": "throttled=0x40001", "git": "0123456789"}
    card = machine_card(board, ask=lambda command: said.get(command[0]))
    assert card.board == card.cpu == "Raspberry Pi 5 Model B Rev 1.0"
    assert card.instructions == ["asimd", "asimddp"]
    assert (card.memory_gib, card.governor, card.max_mhz, card.commit) == (7.9, "ondemand", 2400, "0123456789")
    assert (card.before.temperature_c, card.before.mhz, card.before.load) == (61.25, 1500, 0.52)
    assert card.before.throttling == ["under-voltage", "throttled since start"]
    assert card.libraries["numpy"] == np.__version__
    assert available_bytes(board) == 2048


def test_the_machine_card_leaves_out_what_nobody_tells(tmp_path: Path) -> None:
    card = machine_card(tmp_path, ask=lambda command: None)
    assert (card.governor, card.max_mhz, card.memory_gib, card.commit) == (None, None, None, None)
    assert card.before.throttling is None and card.before.temperature_c is None and card.before.load is None
    assert available_bytes(tmp_path) is None


def test_throttling_is_told_by_the_kernel_of_an_x86_machine(tmp_path: Path) -> None:
    for core, count in enumerate((0, 3)):
        path = tmp_path / f"sys/devices/system/cpu/cpu{core}/thermal_throttle/core_throttle_count"
        path.parent.mkdir(parents=True)
        path.write_text(f"{count}\n")
    assert throttling(tmp_path, ask=lambda command: None) == ["throttled 3 times since start"]
    path.write_text("0\n")
    assert throttling(tmp_path, ask=lambda command: None) == []


def test_memory_is_read_in_mebibytes(tmp_path: Path) -> None:
    status = tmp_path / "status"
    status.write_text(
        "Name:\tx\nVmHWM:\t  204800 kB\nVmRSS:\t  102400 kB\nRssAnon:\t   51200 kB\nRssFile:\t   51200 kB\n"
    )
    assert memory_mib(status) == {"resident": 100, "anonymous": 50, "mapped": 50, "peak": 200}
