"""Takes out of a text what no log line, audit entry or error may hold: numbers, addresses, keys, passwords.

Pure functions, linear in the length of the text. In doubt they hide: a duration that reads like a number is a
smaller loss than a number in clear. They know nothing of who will read the text.
"""

import re

MASK = "***"


def text(raw: str) -> str:
    """The text without telephone numbers, e-mail addresses, keys, tokens, credentials and signatures."""
    if _HINT_OF_SECRETS.search(raw):
        for pattern, replacement in _SECRETS:
            raw = pattern.sub(replacement, raw)
    return phone_numbers(raw)


def webhook_keys(raw: str) -> str:
    """The text with every webhook key replaced by the same mask, so that texts equal but for it are equal."""
    return _WEBHOOK_KEY.sub(_MASKED_KEY, raw) if "cwk_" in raw else raw


def phone_numbers(raw: str) -> str:
    """The text with every telephone number masked but for its last two digits."""
    return _WALK.sub(_masked, raw) if _HINT_OF_NUMBERS.search(raw) else raw


def _masked(match: re.Match[str]) -> str:
    if match.lastgroup is None:
        return match[0]
    digits = [character for character in match[0] if character.isdecimal()]
    # Always nine stars: the length of a number would tell its country.
    return "*********" + "".join(digits[-2:])


_WEBHOOK_KEY = re.compile(r"cwk_[A-Za-z0-9_-]{8,}")
_MASKED_KEY = f"cwk_{MASK}"

# Every log line comes through here, and most hold nothing to hide: these two make that cheap to see.
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
        # A password with a slash in it. What follows a port is a path, and an @ in that is another matter.
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
# A blank, a comma… as in a URL; but a per cent sign may also just stand before a number that begins with 20.
_ESCAPE = r"%(?:0[9AD]|2[0-9A-F]|3[A-F]|40|[57][B-D])"
_START = rf"(?: (?<!\d) | (?<={_ESCAPE}) )"
_GAP = rf"(?: [\ \u00a0()+‐-–-] | %20 ){{1,3}} (?! {_DATE} | {_IDENTIFIER} )"
_PLUS = r"(?: [+＋] | %2B | \\u002B )"
_TEN = rf"[1-9] (?: (?: (?<=\d\d) {_GAP} (?=\d\d) )? \d ){{9}} (?!\d)"
_TRUNK = rf"(?: 0 (?: {_GAP} )? )?"

# One walk from left to right: what begins as an identifier or a time is passed over whole, so that its digits
# are never taken for a number.
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
