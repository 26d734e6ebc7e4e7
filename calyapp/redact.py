"""Removes from a text what logs, audit entries and errors must not contain: numbers, addresses, keys, passwords.

Pure functions, linear in the length of the text. When in doubt they hide: losing a duration that looks like a number is
better than revealing a number. They do not know who will read the text.
"""

import re

MASK = "***"


def text(raw: str) -> str:
    """Returns the text without telephone numbers, e-mail addresses, keys, tokens, credentials and signatures."""
    if _HINT_OF_SECRETS.search(raw):
        for pattern, replacement in _SECRETS:
            raw = pattern.sub(replacement, raw)
    return phone_numbers(raw)


def webhook_keys(raw: str) -> str:
    """Returns the text with each webhook key replaced by a fixed mask, so that texts differ only elsewhere."""
    return _WEBHOOK_KEY.sub(_MASKED_KEY, raw) if "cwk_" in raw else raw


def phone_numbers(raw: str) -> str:
    """Returns the text with each telephone number masked except for its last two digits."""
    return _WALK.sub(_masked, raw) if _HINT_OF_NUMBERS.search(raw) else raw


def _masked(match: re.Match[str]) -> str:
    if match.lastgroup is None:
        return match[0]
    digits = [character for character in match[0] if character.isdecimal()]
    # Always nine stars: the length of a number would reveal its country.
    return "*********" + "".join(digits[-2:])


_WEBHOOK_KEY = re.compile(r"cwk_[A-Za-z0-9_-]{8,}")
_MASKED_KEY = f"cwk_{MASK}"

# Every log line is redacted, and most contain nothing to hide. These two patterns detect that cheaply.
_HINT_OF_SECRETS = re.compile(r"[=@%]|cwk_|cas_|cak_|authorization", re.IGNORECASE)
_HINT_OF_NUMBERS = re.compile(r"\d(?:\D{0,3}\d){6}")

_SECRETS = [
    (re.compile(pattern, re.IGNORECASE | re.VERBOSE), replacement)
    for pattern, replacement in (
        (r"(cwk|cas|cak)_[a-z0-9_-]{8,}", rf"\1_{MASK}"),
        (
            r"""(authorization ["']? \s{0,3} [:=,] \s{0,3} ["']? (?: (?:basic|bearer) \s{1,3} )?)
            [^\s"',]+""",
            rf"\1{MASK}",
        ),
        (  # The end of the name is enough: api_key=, accessToken=, X-Amz-Security-Token=.
            r"""((?: key | token | password | secret | signature | sig | credential ) (?: = | %3D ))
            (?: "[^"]{0,512}" | '[^']{0,512}' | (?: (?!%26) [^\s&"'<>\#] )+ )""",
            rf"\1{MASK}",
        ),
        (r"""(://) [^\s/?\#"'<>]{1,512} (@)""", rf"\1{MASK}\2"),
        # A password that contains a slash. After a port follows a path, in which an @ means something else.
        (r"(://) [^\s/:@]{0,128} : (?!\d{1,5}[/?\#]) [^\s@]{1,512} (@)", rf"\1{MASK}\2"),
        (r"(%3A%2F%2F) [^\s/:@&]{1,512}? (%40)", rf"\1{MASK}\2"),
        (r"(?<![\w.+-]) [\w.+-]++ (@|%40) [\w-]+ (?: \. [\w-]+ )*", rf"{MASK}\1{MASK}"),
    )
]

_DATE = r"(?: (?: 000[01] | 19\d\d | 20\d\d ) - [01]\d - [0-3]\d (?!\d) | 20\d{6} T )"
_CLOCK = r"\d\d (?: : | %3A ) \d\d (?: (?: : | %3A ) \d\d (?: \.\d{1,9} )? )? (?!\d)"
_TIME = rf"{_DATE} (?: (?: [T ] | %20 | \+ ) {_CLOCK} (?: (?: [+-] | %2B ) \d\d :? \d\d (?!\d) )? )? | {_CLOCK}"
_IDENTIFIER = r"""
    [0-9a-f]{8} - (?: [0-9a-f]{4} - ){3} [0-9a-f]{12} (?![0-9a-z])  # a UUID
    | [12]\d{12} - [0-9a-z]{9,32}                                   # a request's id
    | [0-9a-z]{32,}+ | \d{18,31} (?![0-9a-z])                       # a CallSid, today's and older ones
"""
# A percent-encoded space, comma, …. But a percent sign can also precede a number that starts with 20.
_ESCAPE = r"%(?:0[9AD]|2[0-9A-F]|3[A-F]|40|[57][B-D])"
_START = rf"(?: (?<!\d) | (?<={_ESCAPE}) )"
_GAP = rf"(?: [\ \u00a0()+‐-–-] | %20 ){{1,3}} (?! {_DATE} | {_IDENTIFIER} )"
_PLUS = r"(?: [+＋] | %2B | \\u002B )"
_TEN = rf"[1-9] (?: (?: (?<=\d\d) {_GAP} (?=\d\d) )? \d ){{9}} (?!\d)"
_TRUNK = rf"(?: 0 (?: {_GAP} )? )?"

# One pass from left to right. It skips a whole identifier or time, so that its digits are not taken for a number.
_WALK = re.compile(
    rf"""
    (?P<indian> {_PLUS} \(? 91 (?: {_GAP} )? {_TRUNK} {_TEN} )
    | (?P<foreign> {_PLUS} [(]? \d (?: (?: {_GAP} | \. )? \d ){{6,14}} (?!\d) )
    | (?<![0-9a-z]) (?: {_IDENTIFIER} | {_TIME} )
    | {_ESCAPE} (?! \d{{8,9}} (?!\d) )
    | (?P<together> {_START} (?: 00\d{{9,13}} | 091\d{{10}} | \d{{10,12}} ) (?!\d) )
    | (?P<apart> {_START} (?: (?:00)? 91 {_GAP} )? {_TRUNK} {_TEN} )
    """,
    re.VERBOSE | re.IGNORECASE,
)
