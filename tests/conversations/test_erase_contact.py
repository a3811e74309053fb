"""`manage.py erase_contact`: asked twice, told in numbers, and never with the number itself."""

import io
import os
import pty
import subprocess
import sys

import pytest
from django.core.management import CommandError, call_command

from conversations.contacts import Contact
from tests.conftest import Cast, assemble
from tests.conversations.test_commands import ROOT
from tests.conversations.test_erasure import NUMBER, noted, standing


def erase(*arguments: str) -> str:
    """What the command says."""
    output = io.StringIO()
    call_command("erase_contact", *arguments, stdout=output)
    return output.getvalue()


def test_it_says_how_many_of_what_and_who_they_are_from_now_on(cast: Cast) -> None:
    noted(cast)

    said = erase("--phone", NUMBER, "--yes")

    contact = Contact.of(cast.tenant.pk, NUMBER)
    assert f"tenant {cast.tenant.pk}: 1 conversations and " in said
    assert f"texts erased; contact {contact.fingerprint}, {contact.stand_in}" in said
    assert NUMBER not in said
    assert standing(cast) == []


def test_over_all_tenants_or_in_one(cast: Cast, neighbours: Cast) -> None:
    noted(cast)
    noted(neighbours)

    erase("--phone", NUMBER, "--tenant", str(cast.tenant.pk), "--yes")
    in_one = [bool(standing(tenant)) for tenant in (cast, neighbours)]
    erase("--phone", NUMBER, "--yes")

    assert (in_one, standing(neighbours)) == ([False, True], [])


def test_a_second_run_says_that_nothing_is_left_and_what_was_erased_before(cast: Cast) -> None:
    noted(cast)
    erase("--phone", NUMBER, "--yes")

    said = erase("--phone", NUMBER)

    assert "forgotten before in 1 conversations" in said
    assert said.endswith("Nothing is left to erase\n")


def test_a_dry_run_changes_nothing_and_does_not_ask(cast: Cast) -> None:
    noted(cast)
    before = standing(cast)

    said = erase("--phone", NUMBER, "--dry-run")

    assert "1 conversations and" in said
    assert "to erase" in said
    assert standing(cast) == before


def test_without_a_terminal_it_takes_a_yes(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    noted(cast)
    monkeypatch.setattr("sys.stdin", io.StringIO("y\n"))

    with pytest.raises(CommandError, match=r"say --yes\. Nothing was changed"):
        erase("--phone", NUMBER)

    assert standing(cast) != []


def test_the_number_may_come_by_the_standard_input(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    noted(cast)
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{NUMBER}\n"))

    erase("--phone", "-", "--yes")

    assert standing(cast) == []


NOBODY = {("--phone", " "): "takes a phone number", ("--phone", NUMBER, "--tenant", "98765"): "There is no tenant 98765"}


@pytest.mark.parametrize(("arguments", "said"), NOBODY.items())
def test_what_names_nobody_is_refused(db: None, arguments: tuple[str, ...], said: str) -> None:
    with pytest.raises(CommandError, match=said):
        erase(*arguments, "--yes")


def test_the_number_of_an_inbox_is_refused_there_and_forgotten_elsewhere(cast: Cast, neighbours: Cast) -> None:
    row = neighbours.conversation(customer_phone_number=cast.support.phone_number)

    with pytest.raises(CommandError, match=rf"is the number of an inbox.*\[{cast.tenant.pk}\]"):
        erase("--phone", cast.support.phone_number, "--yes")

    assert neighbours.again(row).customer_phone_number != cast.support.phone_number


@pytest.mark.parametrize(("answer", "code", "left"), [(b"\n", 1, True), (b"y\n", 0, False)])
def test_on_a_terminal_it_asks(committed: None, answer: bytes, code: int, left: bool) -> None:
    cast = assemble()
    noted(cast)
    terminal, child_side = pty.openpty()

    command = [sys.executable, "manage.py", "erase_contact", "--phone", NUMBER]
    with subprocess.Popen(command, cwd=ROOT, stdin=child_side, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as child:
        os.write(terminal, answer)
        said, _ = child.communicate(timeout=60)
    os.close(child_side)
    os.close(terminal)

    assert (child.returncode, bool(standing(cast))) == (code, left)
    assert b"Forget +1***0123, for good? [y/N]" in said
