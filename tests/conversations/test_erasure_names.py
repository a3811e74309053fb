"""What takes the place of a number meets other names: of labels, of threads. None of them stops an erasure."""

import re

from conversations import erasure
from conversations.contacts import Contact
from labels import catalogue
from tenants import isolation
from tests.conftest import Cast
from tests.conversations import invariants
from tests.conversations.test_erasure import NUMBER, noted, standing


def test_a_label_with_the_number_keeps_its_place(cast: Cast) -> None:
    label = cast.label(name=f"VIP {NUMBER}")

    contact, _ = erasure.erase_contact(cast.tenant.pk, NUMBER)

    with isolation.act_as(cast.tenant.pk):
        assert catalogue.find(label.pk).name == f"VIP {contact.stand_in}"


def test_labels_that_differ_in_the_numbers_spelling_alone_stay_two(cast: Cast) -> None:
    row = cast.conversation(customer_phone_number=NUMBER)
    words = [cast.label(name=name) for name in (f"VIP {NUMBER}", "VIP +1 202 555 0123", "VIP (202) 555-0123", f"{NUMBER}{'!' * 88}")]

    contact, _ = erasure.erase_contact(cast.tenant.pk, NUMBER)

    with isolation.act_as(cast.tenant.pk):
        names = [catalogue.find(label.pk).name for label in words]
    assert names[0] == f"VIP {contact.stand_in}"
    assert len(set(names)) == len(names)
    assert all(contact.stand_in in name and len(name) <= 100 for name in names)
    assert standing(cast) == []
    assert cast.again(row).customer_phone_number == contact.stand_in
    assert erasure.erase_contact(cast.tenant.pk, NUMBER)[1].found is False


def test_a_label_that_somebody_adds_under_the_new_name_stops_no_erasure(cast: Cast) -> None:
    stand_in = Contact.of(cast.tenant.pk, NUMBER).stand_in
    label = cast.label(name=f"VIP {NUMBER}")
    for name in (f"VIP {stand_in}", f"VIP {stand_in} ({label.pk})"):
        cast.label(name=name)

    erasure.erase_contact(cast.tenant.pk, NUMBER)

    assert re.fullmatch(re.escape(f"VIP {stand_in} ({label.pk} ") + "[0-9a-f]{16}[)]", cast.again(label).name)
    assert standing(cast) == []


def test_a_thread_that_is_called_as_if_erased_stops_no_erasure(cast: Cast) -> None:
    row = noted(cast)
    cast.conversation(external_conversation_id=f"erased-{row.pk}")

    _, counts = erasure.erase_contact(cast.tenant.pk, NUMBER)

    assert counts.conversations == 1
    invariants.assert_all(cast)
