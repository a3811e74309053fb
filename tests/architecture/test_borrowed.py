"""What the product borrows of its libraries without their promise: an upgrade that takes it back ends here, with a sentence."""

import ast
import inspect
from types import SimpleNamespace

import psycopg
import pytest
from celery.worker.consumer import Consumer, Tasks
from granian import _granian, _signals
from granian.constants import Interfaces
from granian.server import MPServer
from granian.server.mp import WorkerProcess
from kombu.transport.redis import Channel

from tests.architecture.sources import product

SERVER, CONSUMER, DATABASE = "convalloc/server.py", "convalloc/consumer.py", "convalloc/database/base.py"
GRANIAN = MPServer("convalloc.wsgi:application", interface=Interfaces.WSGI)  # which serves nobody
WORKER = WorkerProcess(GRANIAN, 0, print, ())  # which does not run
CELERY = SimpleNamespace()
Tasks(CELERY)  # gives a consumer what it reads from the broker with

BORROWED = [  # where it is used, by what name, of what, and what it is there
    (SERVER, "signal_handler_interrupt", GRANIAN, "what a SIGTERM calls"),
    (SERVER, "_serve_loop", GRANIAN, "which ends when it is told to stop"),
    (SERVER, "_respawn_workers", GRANIAN, "which starts others in the place of dead ones"),
    (SERVER, "shutdown", GRANIAN, "which closes the door and ends the workers"),
    (SERVER, "serve", GRANIAN, "which calls these"),
    (SERVER, "interrupt_children", GRANIAN, "the places of dead workers"),
    (SERVER, "respawned_wrks", GRANIAN, "when a place was last given to another"),
    (SERVER, "wrks", GRANIAN, "the workers"),
    (SERVER, "is_alive", WORKER, "whether it runs"),
    (SERVER, "inner", WORKER, "its process"),
    (SERVER, "birth", WORKER, "when it began, by time.monotonic"),
    (SERVER, "set_sync_signals", _signals, "what a worker hears signals with"),
    (SERVER, "set", _granian.WorkerSignal, "what tells a worker of its end"),
    (CONSUMER, "on_connection_error_after_connected", Consumer, "what a lost line calls"),
    (CONSUMER, "task_consumer", CELERY, "who reads from the broker, or None"),
    (CONSUMER, "_in_poll", Channel, "the question that is on the line, or nothing"),
    (DATABASE, "_WaitTimeout", psycopg.errors, "what a wait raises that takes too long"),
]


@pytest.mark.parametrize(("file", "name", "owner", "meaning"), BORROWED, ids=[name for _, name, _, _ in BORROWED])
def test_it_is_there_after_every_upgrade(file: str, name: str, owner: object, meaning: str) -> None:
    assert hasattr(owner, name), f"{file} uses {name} ({meaning}), and its library has that no more: see what has taken its place."


def test_a_session_may_be_waited_for_for_so_long_and_no_longer() -> None:
    assert "timeout" in inspect.signature(psycopg.Connection.wait).parameters, f"{DATABASE} gives sessions up by it"


def test_a_worker_of_granian_asks_for_its_signals_when_it_starts() -> None:
    asked = "from granian._signals import set_sync_signals"

    assert asked in inspect.getsource(MPServer._spawn_wsgi_worker), f"it asks elsewhere, and what {SERVER} has put there is not heard."


@pytest.mark.parametrize(
    ("file", "lenders"), [(SERVER, ("self", "server", "worker", "ended", "_signals")), (CONSUMER, ("self", "channel"))]
)
def test_all_that_is_borrowed_is_among_these(file: str, lenders: tuple[str, ...]) -> None:
    (tree,) = (source.tree for source in product() if str(source) == file)
    methods = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
    used = [node for node in ast.walk(tree) if isinstance(node, ast.Attribute)]

    inherited = {node.attr for node in used if ast.unparse(node.value) == "super()"}
    asked = {node.attr for node in used if ast.unparse(node.value).rpartition(".")[2] in lenders}

    own = methods - inherited | {"told"}
    assert inherited | asked - own == {name for of, name, _, _ in BORROWED if of == file}
