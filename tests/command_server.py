"""The `rsmeta` command in new processes that need not import anything.

Importing torch and Lightning takes most of the seconds that a short command does. Here one process
imports them, starts nothing, and forks for each command: the command still has a process, a working
folder, an environment and streams of its own.

Run as a program it is that process: a request is a line of JSON, and so is the answer.
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path


class CommandServer:
    """Runs commands one after another, like `subprocess.run`."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def run(self, arguments, cwd, environment) -> subprocess.CompletedProcess:
        """Run the command with arguments in a folder, and wait for it."""
        with tempfile.TemporaryDirectory() as folder:
            streams = [str(Path(folder) / name) for name in ("stdout", "stderr")]
            request = {"arguments": arguments, "cwd": str(cwd), "environment": dict(environment)}
            self._process.stdin.write(json.dumps(request | {"streams": streams}) + "\n")
            self._process.stdin.flush()
            status = json.loads(self._process.stdout.readline())
            told = [Path(stream).read_text() for stream in streams]
        return subprocess.CompletedProcess(["rsmeta", *arguments], status, *told)

    def close(self) -> None:
        """End the process."""
        self._process.communicate()


def _become_command(arguments, cwd, environment, streams):
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(cwd)
    nothing = os.open(os.devnull, os.O_RDONLY)
    files = [os.open(stream, os.O_WRONLY | os.O_CREAT) for stream in streams]
    for number, file in enumerate([nothing, *files]):
        os.dup2(file, number)
    # Lightning starts the other processes of a distributed run by this path.
    sys.argv = [str(Path(sys.executable).with_name("rsmeta")), *arguments]
    from rsmeta.cli import main

    sys.exit(main())


def _serve():
    import rsmeta.cli
    import rsmeta.finetuning
    import rsmeta.prediction
    import rsmeta.run_results  # noqa: F401

    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            _become_command(**json.loads(line))
        _, status = os.waitpid(child, 0)
        sys.stdout.write(json.dumps(os.waitstatus_to_exitcode(status)) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    _serve()
