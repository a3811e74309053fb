"""`manage.py import_conversations`: a file of messages, read once, again, or in pieces, comes to the same."""

import json
import os
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.core.management import CommandError, call_command

from convalloc import clock
from conversations.deliveries import COLUMNS
from conversations.models import Conversation, ReceivedMessage
from tenants import isolation
from tests.conftest import Cast, assemble
from tests.conversations import invariants

NOON = datetime(2026, 1, 5, 12, tzinfo=UTC)


def row(cast: Cast, number: int, **other: Any) -> dict[str, Any]:
    return {
        "message_id": f"m{number}",
        "external_conversation_id": f"thread {number % 3}",
        "inbox": cast.support.phone_number,
        "customer_phone_number": "+12025550123",
        "direction": "outbound" if number % 4 == 3 else "inbound",
        "sent_at": clock.instant(NOON + timedelta(minutes=number)),
    } | other


def written(folder: Path, kind: str, rows: list[dict[str, Any]]) -> Path:
    file = folder / f"messages.{kind}"
    if kind == "jsonl":
        file.write_text("\n".join(json.dumps(one) for one in rows))
    else:
        names = [name for name in COLUMNS if any(name in one for one in rows)]
        lines = [",".join(names), *(",".join(f'"{one.get(name, "")}"' for name in names) for one in rows)]
        file.write_text("\ufeff" + "\r\n".join(lines) + "\r\n")
    return file


def imported(cast: Cast, file: Path, capsys: pytest.CaptureFixture[str], **options: Any) -> dict[str, Any]:
    """The summary, with the exit code."""
    code = 0
    try:
        call_command("import_conversations", str(file), tenant=cast.tenant.pk, json=True, **options)
    except CommandError as problem:
        code = problem.returncode
    told: dict[str, Any] = json.loads(capsys.readouterr().out or "{}")
    return told | {"exit": code}


@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_a_file_is_counted_and_a_second_time_nothing_is(cast: Cast, tmp_path: Path, capsys: pytest.CaptureFixture[str], kind: str) -> None:
    file = written(tmp_path, kind, [row(cast, number) for number in range(10)])

    first, second = imported(cast, file, capsys), imported(cast, file, capsys)

    names = ("lines", "created", "counted", "duplicate", "refused", "errors", "exit")
    assert [first[name] for name in names] == [10, 3, 7, 0, 0, None, 0]
    assert [second[name] for name in names] == [10, 0, 0, 10, 0, None, 0]
    with isolation.act_as(cast.tenant.pk):
        assert sorted(Conversation.objects.values_list("message_count", flat=True)) == [3, 3, 4]
    invariants.assert_all(cast)


@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_lines_that_are_refused_stand_in_a_file_and_a_mended_file_is_read_to_the_end(
    cast: Cast, tmp_path: Path, capsys: pytest.CaptureFixture[str], kind: str
) -> None:
    rows = [row(cast, 0), row(cast, 1, inbox="+12025559999"), row(cast, 2, sent_at="yesterday"), row(cast, 3, provider="meta")]
    file = written(tmp_path, kind, rows)

    told = imported(cast, file, capsys)

    errors = [json.loads(line) for line in Path(told["errors"]).read_text().splitlines()]
    first_line = 2 if kind == "csv" else 1
    assert (told["exit"], told["refused"], told["created"] + told["counted"]) == (3, 2, 2)
    assert [(one["line"] - first_line, one["code"], one["row"]["message_id"]) for one in errors] == [
        (1, "not_found", "m1"),
        (2, "validation_failed", "m2"),
    ]
    assert errors[1]["errors"] == {"sent_at": '"sent_at" must be a time such as 2026-01-05T12:00:00Z'}

    mended = imported(cast, written(tmp_path, kind, [rows[0], row(cast, 1), row(cast, 2), rows[3]]), capsys)

    assert (mended["exit"], mended["duplicate"], mended["created"] + mended["counted"]) == (0, 2, 2)
    assert not Path(told["errors"]).exists()


def test_lines_that_cannot_be_read_stop_no_other(cast: Cast, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "messages.jsonl"
    good = json.dumps(row(cast, 0)).encode()
    broken = [
        b"{",
        b"[]",
        b"5",
        b'"text"',
        b"",
        json.dumps(row(cast, 1, message_id="x")).encode().replace(b'"x"', b'"\xff"'),
        b'{"a": NaN}',
    ]
    file.write_bytes(b"\n".join([*broken, good]))

    told = imported(cast, file, capsys)

    assert (told["lines"], told["refused"], told["created"], told["exit"]) == (7, 6, 1, 3)


def test_a_line_of_too_many_values_is_refused(cast: Cast, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = written(tmp_path, "csv", [row(cast, 0), row(cast, 1)])
    file.write_text(file.read_text() + "one,two\n")

    told = imported(cast, file, capsys)

    assert (told["lines"], told["refused"], told["exit"]) == (3, 1, 3)
    assert "2 values for 6 columns" in Path(told["errors"]).read_text()


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("none.csv", None, "There is no file"),
        ("messages.txt", "", "neither in .csv nor in .jsonl"),
        ("messages.csv", "", "The first line must name the columns"),
        ("messages.csv", "message_id,inbox\n", "The first line must name the columns"),
        ("messages.csv", ",".join(COLUMNS) + ",text\n", "The first line must name the columns"),
    ],
)
def test_what_cannot_be_begun_says_why(cast: Cast, tmp_path: Path, name: str, content: str | None, said: str) -> None:
    if content is not None:
        (tmp_path / name).write_text(content)

    with pytest.raises(CommandError, match=said):
        call_command("import_conversations", str(tmp_path / name), tenant=cast.tenant.pk)


def test_a_tenant_that_does_not_exist_is_said(db: None, tmp_path: Path) -> None:
    (tmp_path / "messages.csv").write_text("")

    with pytest.raises(CommandError, match="There is no tenant 987654"):
        call_command("import_conversations", str(tmp_path / "messages.csv"), tenant=987654)


def test_the_file_that_is_read_is_not_written_over(cast: Cast, tmp_path: Path) -> None:
    file = written(tmp_path, "csv", [row(cast, 0)])

    with pytest.raises(CommandError, match="--errors"):
        call_command("import_conversations", str(file), tenant=cast.tenant.pk, errors=file)

    assert file.exists()


def test_a_run_that_was_killed_goes_on_where_it_was(committed: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cast, lines = assemble(), 4000
    file = written(tmp_path, "jsonl", [row(cast, number) for number in range(lines)])
    command = [sys.executable, "manage.py", "import_conversations", str(file), "--tenant", str(cast.tenant.pk)]
    with subprocess.Popen(command, cwd=settings.BASE_DIR, env=os.environ, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as run:
        deadline = time.monotonic() + 60
        while not (counted := kept(cast)):
            assert time.monotonic() < deadline
            time.sleep(0.01)
        run.send_signal(signal.SIGKILL)
    counted = kept(cast)

    told = imported(cast, file, capsys)

    assert 0 < counted < lines
    assert counted % 500 == 0  # a batch is kept or lost as a whole
    assert (told["duplicate"], told["created"] + told["counted"], told["exit"]) == (counted, lines - counted, 0)
    assert kept(cast) == lines
    invariants.assert_all(cast)


def kept(cast: Cast) -> int:
    with isolation.act_as(cast.tenant.pk):
        return ReceivedMessage.objects.count()
