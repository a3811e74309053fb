"""Phone numbers: one spelling in the database (E.164), any spelling in a search, and four digits in a log.

The form is checked, not whether somebody assigned the number: plans change faster than any library's copy of them, and what
a messaging system delivers from is a number, whatever we believe. Sources: ITU-T E.164; RFC 3966.
"""

import re
from urllib.parse import unquote

import phonenumbers

LETTER = re.compile(r"[^\W\d_]")
MOST_DIGITS = 15  # with the country's code, says E.164
LEAST_DIGITS = 7  # fewer are anything in a text: a year, an order, a price
# In a text: a plus sign, as itself or as a URL spells it, and seven digits or more, whatever stands between them.
IN_TEXT = re.compile(r"(?:\+|%2[Bb])[\s(]{0,2}[0-9](?:[\s().\-/]{0,2}[0-9]){6,}")
# In a URL or a body, by its name: as far as the value goes.
BY_NAME = re.compile(r"""(phone(?:_number)?["']?\s*[=:]\s*)(?:(["'])(.*?)\2|([^&\s"',}]+))""")


class NotANumber(ValueError):
    """No number in international form."""


def e164(text: str) -> str:
    """The one spelling of a number in international form: after + or 00, with whatever people write between digits. Raises NotANumber."""
    spelled = text.strip()
    if spelled.startswith("00"):
        spelled = f"+{spelled[2:]}"
    if not spelled.startswith("+") or LETTER.search(spelled):  # the library would read letters as keys, or leave them out
        raise NotANumber(text)
    try:
        number = phonenumbers.parse(spelled)
    except phonenumbers.NumberParseException as problem:
        raise NotANumber(text) from problem
    if number.extension:
        raise NotANumber(text)
    # Of a number that no plan has, the library would take leading digits for a prefix: it stays digit by digit.
    possible = phonenumbers.is_possible_number(number)
    found = phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164) if possible else f"+{_digits(spelled)}"
    if len(found) > MOST_DIGITS + 1:
        raise NotANumber(text)
    return found


def kept(text: str) -> str:
    """How to keep a number that a messaging system names: as E.164, or as it is where it is none, such as a short code."""
    try:
        return e164(text)
    except NotANumber:
        return text


def canonical(text: str) -> str:
    """One spelling for all the ways in which a number may be kept or asked for; what is no number stands for itself."""
    bare = unquote(text).strip().lstrip("+").strip()
    for international in (f"+{bare}", bare):
        try:
            return e164(international)
        except NotANumber:
            continue
    return bare


def in_parts(number: str) -> tuple[str, str]:
    """The digits of a canonical number: of its country, which may be left out in a text, and the rest; nothing, where it is none."""
    try:
        known = phonenumbers.parse(number)
    except phonenumbers.NumberParseException:
        return "", _digits(number) if number.startswith("+") else ""
    country, national = str(known.country_code), phonenumbers.national_significant_number(known)
    return (country, national) if len(national) >= LEAST_DIGITS else ("", country + national)


def spellings(text: str) -> list[str]:
    """The ways in which the number that somebody asks for may be kept. Its plus may have become %2B or a space, or be missing."""
    bare = unquote(text).strip().lstrip("+").strip()
    found = [f"+{bare}", bare]
    for international in (f"+{bare}", bare):
        try:
            known = e164(international)
        except NotANumber:
            continue
        found += [spelling for spelling in (known, known[1:]) if spelling not in found]
    return found


def masked(text: str) -> str:
    """A text for a log: of each phone number the country's code and the last four digits, `+1***7890`."""
    return IN_TEXT.sub(lambda found: _disguised(found[0]), BY_NAME.sub(_by_name, text))


def _by_name(found: re.Match[str]) -> str:
    quote = found[2] or ""
    return f"{found[1]}{quote}{_disguised(found[3] or found[4] or '')}{quote}"


def _disguised(number: str) -> str:
    try:
        known = phonenumbers.parse(f"+{_digits(unquote(number))}")
    except phonenumbers.NumberParseException:
        return "***"
    return f"+{known.country_code}***{str(known.national_number)[-4:]}"


def _digits(text: str) -> str:
    digits: str = phonenumbers.normalize_digits_only(text)  # of any script, as ASCII
    return digits
