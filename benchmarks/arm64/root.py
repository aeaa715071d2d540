"""A Debian root for arm64, extracted and never booted, and programs run in it under an emulated processor.

    root = Root.of(SYSTEMS["bookworm"], cache=Path("build/arm64"))
    root.run(["/usr/bin/python3.11", "-c", "print(1)"], cpu="cortex-a72")

Nothing is mounted: no /proc and above all no /sys, at which onnxruntime crashes when it is the host's. Each run is one
process, which the kernel kills when this one dies; so a run leaves nothing behind, however it ends.
"""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import tarfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.arm64.boards import System

__all__ = ["CommandFailed", "Root", "run_to_end"]

QEMU = "qemu-aarch64-static"
DIES_WITH_US = ("setpriv", "--pdeathsig")
"""With a signal: the kernel sends it when the process that started this one is gone, killed ones included."""
RUN_S = 600
"""A step that takes longer hangs: the slowest takes 20 s, and 3 minutes on two cores that 18 programs want."""
COMPILERS = ("gcc", "g++", "cc", "c++", "clang", "clang++", "cc1", "cc1plus", "as", "ld", "make")


class CommandFailed(Exception):
    """A program ended with an error, or took too long; the message holds its last words."""


@dataclass(frozen=True)
class Root:
    """`folder`: what the board sees as /. `headers`: Python's and the C library's, taken out of it."""

    folder: Path
    headers: Path
    system: System

    @classmethod
    def of(cls, system: System, *, cache: Path) -> "Root":
        """The root in `cache`, made if it is not there or was made from another list of packages. As root, or as a
        user who may have user namespaces."""
        home = cache.resolve() / system.suite
        root = cls(home / "root", home / "headers", system)
        record = home / "packages.json"
        if not (record.is_file() and json.loads(record.read_text()) == system.packages):
            shutil.rmtree(home, ignore_errors=True)
            home.mkdir(parents=True)
            with scratch(cache.resolve()) as temporary:
                _bootstrap(system, home, temporary)
            shutil.move(root.folder / "usr/include", root.headers)
            record.write_text(json.dumps(system.packages))
        shutil.copy2(shutil.which(QEMU) or QEMU, root.folder / "usr/bin" / QEMU)
        _let_ldconfig_run(root.folder)
        root.run(["/sbin/ldconfig.arm64"])
        return root

    @property
    def python(self) -> str:
        return f"/usr/bin/python{self.system.python_version}"

    @property
    def pip(self) -> str:
        """pip, run from inside its wheel: the root has no ensurepip that could start a second program."""
        wheel = next((self.folder / "usr/share/python-wheels").glob("pip-*.whl"))
        return f"/{wheel.relative_to(self.folder)}/pip"

    def compilers(self) -> list[str]:
        """Programs in the root that could compile or link; a board needs none."""
        found = [path for path in self.folder.glob("**/bin/*") if _is_compiler(path.name)]
        found += self.folder.glob("usr/lib*/gcc*/**/cc1*")
        return sorted(f"/{path.relative_to(self.folder)}" for path in found)

    def run(self, command: Sequence[str], *, cpu: str = "cortex-a76", timeout_s: float = RUN_S) -> str:
        """Run an arm64 program of the root on `cpu` and return its standard output. Raises CommandFailed."""
        user = [] if os.geteuid() == 0 else ["unshare", "--map-root-user"]
        prefix = [*user, *DIES_WITH_US, "KILL", "chroot", str(self.folder), f"/usr/bin/{QEMU}"]
        environment = {"PATH": "/usr/bin:/usr/sbin:/bin:/sbin", "HOME": "/root", "LC_ALL": "C.UTF-8", "QEMU_CPU": cpu}
        return run_to_end([*prefix, *command], environment=environment, timeout_s=timeout_s)


def run_to_end(
    command: Sequence[str],
    *,
    environment: dict[str, str] | None = None,
    cwd: Path | None = None,
    timeout_s: float = RUN_S,
) -> str:
    """Run a program in a session of its own and return its standard output; however this ends, it has ended too."""
    process = subprocess.Popen(
        command,
        env=environment,
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        out, err = process.communicate(timeout=timeout_s)
    except subprocess.TimeoutExpired as error:
        raise CommandFailed(f"{_short(command)} took longer than {timeout_s:.0f} s") from error
    finally:
        _end(process)
    if process.returncode:
        code = process.returncode
        how = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
        raise CommandFailed(f"{_short(command)}: {how}\n{(err or out).strip()[-2000:]}")
    return out


@contextlib.contextmanager
def scratch(cache: Path) -> Iterator[Path]:
    """A folder for others' temporary files, emptied before and after: a killed bootstrap leaves a gigabyte."""
    folder = cache / "scratch"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _bootstrap(system: System, home: Path, temporary: Path) -> None:
    image = temporary / "root.tar"
    command = [*DIES_WITH_US, "TERM", "mmdebstrap", "--variant=extract", "--architectures=arm64"]
    command += [f"--include={','.join(system.packages)}", system.suite, str(image)]
    temporary.chmod(0o755)  # its helpers run as another user
    run_to_end(command, environment=os.environ | {"TMPDIR": str(temporary)})
    with tarfile.open(image) as archive:
        # device nodes need privileges; the filter refuses what reaches out of the root
        members = [
            member for member in archive if member.isfile() or member.issym() or member.islnk() or member.isdir()
        ]
        archive.extractall(home / "root", members=members, filter=_inside)  # noqa: S202 - the filter is what the rule asks for
    for name in ("bin", "sbin", "lib"):  # a booted Debian has these links to /usr; before trixie, some are folders
        if not (home / "root" / name).exists():
            (home / "root" / name).symlink_to(f"usr/{name}")
    # as the package's own script does, which is not run here
    certificates = sorted((home / "root/usr/share/ca-certificates").glob("mozilla/*.crt"))
    bundle = home / "root/etc/ssl/certs/ca-certificates.crt"
    bundle.parent.mkdir(parents=True, exist_ok=True)
    bundle.write_bytes(b"".join(path.read_bytes() for path in certificates))
    null = home / "root/dev/null"
    try:
        os.mknod(null, 0o666 | 0o020000, os.makedev(1, 3))
    except PermissionError:
        null.touch()


def _inside(member: tarfile.TarInfo, folder: str) -> tarfile.TarInfo:
    """Debian links to absolute paths, which are right once the folder is /; nothing else may leave it."""
    if member.issym() and member.linkname.startswith("/"):
        return tarfile.tar_filter(member.replace(linkname="x"), folder).replace(linkname=member.linkname)
    return tarfile.tar_filter(member, folder)


def _let_ldconfig_run(folder: Path) -> None:
    """ctypes starts ldconfig to find PortAudio. The kernel cannot run an arm64 program, but it can run a script whose
    interpreter is the emulator."""
    program = folder / "sbin/ldconfig"
    if not program.with_suffix(".arm64").exists():
        program.rename(program.with_suffix(".arm64"))
        program.write_text(f"#!/usr/bin/{QEMU} /sbin/ldconfig.arm64\n")
        program.chmod(0o755)


def _is_compiler(name: str) -> bool:
    return name in COMPILERS or name.removeprefix("aarch64-linux-gnu-").split("-")[0] in COMPILERS


def _end(process: subprocess.Popen[str]) -> None:
    """Ask the whole group to end, then insist. mmdebstrap takes its mounts away when it is asked."""
    for number, patience_s in ((signal.SIGTERM, 10), (signal.SIGKILL, 10)):
        if process.poll() is not None:
            break
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(patience_s)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    for stream in (process.stdout, process.stderr):
        if stream:
            stream.close()


def _short(command: Sequence[str]) -> str:
    text = " ".join(command)
    return text if len(text) < 200 else f"{text[:200]}…"
