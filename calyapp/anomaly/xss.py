"""Cross-site scripting: markup and script that run by themselves when a page shows the value.

A template is content: a tag whose handlers call functions of its page, a script of its own site. An attack has a call
that only attackers make, a handler that runs without user action, or a tag that breaks out of the value.
"""

import re

from calyapp.anomaly.rule import Rule, words_of

_INVISIBLE = re.compile(r"[\x00-\x08\x0e-\x1f\x7f\xad\u200b-\u200f\u2028\u2029\ufeff\ufffd]")
_COMMENT = re.compile(r"/\*[^*<>]{0,40}\*/")
_SPACES = re.compile(r"\s+")

_POPUPS = r"(?:alert|prompt|confirm)"
_PROOF = (
    r"""(?:\d{1,8}\b|['"`/]?\W{0,3}\w{0,16}\s?x\W?s\W?s|(?:document|location|origin|window|this|self|parent|top"""
    r"""|name|url"""
    r"""|event)\b|string\.|eval|atob|unescape|\w+\.(?:cookie|domain)|['"`/]\W{0,3}(?:\d+|[a-z]{0,4}|hack\w*|pwn\w*"""
    r"""|test\w*"""
    r"""|vuln\w*|hello|owned|injected)\W{0,3}['"`/]\s?\)|['"`]{2}|['"`]?\)[>;]|[)`/$\[(!~&\\¢-])"""
)

# A call that only attackers make: `top['al'+'ert'](1)`, not `alert (urgent): please confirm`.
_CALL = Rule(
    rf"\b{_POPUPS}(?:\?\.)?[(`]\s?\(?{_PROOF}",
    rf"\(\s?(?:\w+\s?=\s?)?{_POPUPS}\s?\)\s?[(`]|=\s?{_POPUPS}\s?[;,)/`]",
    rf"[\[.(,]['\"]?{_POPUPS}['\"]?\s?[\])]{{1,2}}\s?[(`;,\[]",
    rf"\.(?:find|map|foreach|filter|every|some|sort|call|apply|bind|replace|reduce|findindex|from|then)\s?\(\s?(?:{_POPUPS}|eval)\b",
    rf"{_POPUPS}\.(?:call|apply|bind|constructor)|{_POPUPS}\s?&(?:#|lpar|grave)|\$\{{\s?{_POPUPS}",
    rf"(?:throw|onerror)\s?=?\s?(?:eval|{_POPUPS})|throw[^;<>]{{0,20}}\bonerror\s?=|onerror\s?=\s?(?:alert|eval"
    rf"|print|window)",
    r"document(?:\.|\[['\"`])(?:cookie(?!\s?=)|domain|body\.innerhtml|documentelement|defaultview)|\[document\.",
    r"document\.write(?:ln)?\s?\(\s?(?:['\"`]?\s?<\s?(?:scri|img|iframe|svg)|\w|['\"`]\w{0,8}xss|/|\d)",
    r"document(?:\.|\[['\"`])location(?:['\"`]\])?\s?=|\.location\.hash|location\.hash\.",
    r"\.innerhtml\s?=\s?location|location\s?=\s?name",
    r"\beval\s?\(\s?(?:name|location|string|atob|unescape|decodeuri|document|'|\"|`|\+|\[|/|\w\s?[)+]|url|src|\$)",
    r"\.fromcharcode\(|string\.fromcharcode\s?\(|window\.name|(?<!`)set(?:timeout|interval)\s?(?:\(\s?['\"`]|`)",
    r"(?:window|self|top|parent|frames|globalthis)\s?\[[^\]]{1,80}\]\s?[\[(`]|this\s?\[['\"`][^\]]{1,80}\]\s?[\[(`]",
    r"(?:self|top|parent|frames|globalthis)\s?\[[^\]]{0,40}[+/]|\[\]\[['\"`]\w+['\"`]\]|\['constructor'\]"
    r"|\[\]\.pop\.constructor|\$on\.constructor",
    r"constructor\s?[.\[(]\s?['\"]?(?:constructor|alert|\()|constructor\s?\(\s?['\"`]|\$eval\s?\(|\|\s?orderby:",
    r"\[\s?\+?!\+?\[|!\[\]\s?\+|\(!!?\[\]|\[\]\[\(|\$=~\[\]|\[\s?\]\.\w+\.constructor",
    r"function\s?\(\s?['\"`][^)]{0,60}(?:alert|prompt|confirm|atob)|function\s?\(\s?(?:atob|string\.|unescape|decodeuri|location|name\b)"
    r"|function`|new function\s?[(`]|\$\.getscript",
    r"import\s?\(\s?['\"`/](?:https?:)?//|import\s?\(\s?['\"`]data:|navigation\.navigate|sourceurl\s?="
    r"|with\s?\(\s?document",
    r"['\"`]al['\"`]\s?\+|['\"`]a['\"`]\s?\+\s?['\"`]l|/\w{1,8}/\.source|valueof\s?[:=]\s?\w+|tostring\s?=\s?\w+",
    r"new image\b.{0,20}src\s?=|\bfetch\s?\(\s?['\"`]?(?:https?:)?//[^)]{0,80}cookie",
    r"(?:location|href)\s?=\s?['\"`]?(?:javascript|data|https?:)?:?//[^'\"]{0,80}(?:cookie|document)",
    r"location(?:\.href)?\s?=\s?['\"`]?javascript|(?:document"
    r"|window)\.location\s?=\s?['\"]?(?:https?:)?//[^;]{0,80}(?:\+|cookie)",
    words="alert prompt confirm document eval location fromcharcode window self top parent frames this globalthis"
    " settimeout"
    " setinterval constructor function import throw onerror image with valueof tostring source sourceurl fetch"
    " navigation getscript orderby al",
    marks=("[]", "[+", "![", "'a'", '"a"', "$=~", "['", '["'),
)
_OF_ATTACKERS = re.compile(rf"\b(?:{_POPUPS}\s?\(|xmlhttprequest|activexobject|__definegetter__)")
_NOTHING_BEFORE = re.compile(r"\W{0,16}")
_DOCUMENT = re.compile(r"\s*<(?:!doctype|html)\b")
_CALLED = re.compile(rf"\b(?:{_POPUPS}|print)\b")

# A script tag, also a malformed one: `<script src=//bad.example/a.js></script>`, not `script: page one`.
_SCRIPT = Rule(
    r"<\s?script(?:[\s/>+%<x:'\"]|$)|<\w{1,10}:script|<scr\W?<script|<script\w?[^\w\s>-]|<[^a-z\s/]{0,3}script\b",
    r"<%?\x00?s\s?c\s?r\s?i\s?p\s?t[\s/>]",
    marks=("<",),
)
_OWN_SCRIPT = re.compile(
    r"<script(?:\s+(?:type|async|defer|nomodule|crossorigin|integrity|id|lang|setup|nonce|charset|data-[\w-]+"
    r"|language|src)"
    r"(?:\s?=\s?(?:\"[^\"<>]{0,300}\"|'[^'<>]{0,300}'))?){0,8}\s*>"
)
_BAD_SOURCE = re.compile(
    r"\bsrc\s?=\s?(?:[\"'`]\s?(?:data:|javascript:|//|\\\\|http://|[^\"'`]{0,60}(?:xss|evil|attack|hack|\.ly\b"
    r"|[?&](?:callback|jsonp|cb)="
    r"|\d+\.\d+\.\d+\.\d+))"
    r"|[^\s\"'`>])"
)

_EVENT = r"on[a-z]{3,40}"
_UNASKED = (
    r"on(?:error|load\w*|focus\w*|begin|end|toggle|start|finish|bounce|repeat|animation\w*|transition\w*|webkit\w*"
    r"|pageshow"
    r"|hashchange|popstate|canplay\w*|play\w*|timeupdate|progress|readystatechange|propertychange|beforeunload|unload"
    r"|scroll\w*|resize|wheel|message|storage|pointer\w*|mouse\w*|unhandledrejection|securitypolicyviolation|slotchange"
    r"|cuechange|durationchange|suspend|afterprint|beforeprint|activate|deactivate|beforecopy|cut|copy|paste|drag\w*"
    r"|formdata)"
)
_HANDLER = re.compile(rf"{_EVENT}[\s/\"'`x\x00]{{0,3}}(?:=|%3d|&equals;)")
_TAG_WITH_HANDLER = re.compile(
    rf"<[a-z!?/%'\"\[]?[^<>]{{0,400}}?[\s/\"'`+,;>](?P<event>{_EVENT})[\s/\"'`x\x00]{{0,3}}(?:=|%3d|&equals;)"
    r"[\s/]{0,3}(?P<value>[^\s>]{0,60}[^>]{0,80})"
)
_FIRES_UNASKED = re.compile(_UNASKED + r"$")
_OWN_HANDLER = re.compile(
    r"""(?P<q>["'])\s?(?:return\s)?(?:\$\{|\{\{|[\w$.]+\s?(?:\(|=|\?\.)|if\s?\(|event\.|this\.|void|@|\("""
    r"""|<%)[^"'<>]{0,120}"""
    r"""|\{|\(e?\)|["']{2}|["'](?:[a-z]\w{0,30})["']"""
)
_BREAKOUT_BY_ATTRIBUTE = re.compile(
    rf"""(?:^|['"`>/\s])\s?(?:[\w=./#:;,()-]{{0,40}}[\s/+'"`]{{1,3}}){{0,3}}{_EVENT}\s{{0,3}}=[\s"'`]{{0,3}}"""
    rf"""(?:javascript:|[\w.(\[]{{0,20}}(?:{_POPUPS}|eval|document|location|window\[|top\[|self\[|fetch|import"""
    rf"""|string\."""
    r"""|settimeout|constructor|\$\())"""
    rf"""|^[^"'`<>\n]{{0,24}}["'`]\s?[/\s][^<>\n]{{0,80}}?\b{_UNASKED}\s?="""
)

_SCHEME = re.compile(
    r"(?:j\s{0,3}a\s{0,3}v\s{0,3}a|v\s{0,3}b|l\s?i\s?v\s?e)\s{0,3}s\s{0,3}c\s{0,3}r\s{0,3}i\s{0,3}p\s{0,3}t"
    r"\s{0,3}(?::|&colon;?|\\:)(?P<code>\s{0,3}\S{0,120})"
)
_TAKEN_APART = re.compile(r"[\t\r\n]")
_HARMLESS_CODE = re.compile(
    r"\s?(?:void\(?\s?0?\)?;?|;|#|history\.(?:back|go)\((?:-\d)?\);?|window\.print\(\);?|)(?:[\s\"'>)].{0,120})?$"
)
_CODE = re.compile(r"\s{0,3}\S{0,60}[(`=\[%&]|\s{0,3}//|/\*|['\"]")
# A data URL that holds a page or a script: `data:text/html,<b>`, not `data: three rows`.
_DATA = Rule(
    r"(?:src|href|data|content|action|value|from|to|code|xlink:href|srcdoc|poster"
    r"|=)\s?[=(]?\s?[\"'`]?\s?(?:\d;\s?url=)?"
    r"data\s?:\s?(?:text/|application/(?:x-)?javascript|,|;|[\w/+-]{0,30},<)",
    r"^data\s?:\s?(?:text/(?:html|javascript)|[^,]{0,40},\s?<)|url=\s?[\"']?(?:data|javascript):|data:text/html",
    words="data",
)
_SCHEMES = r"(?:javascript|vbscript|livescript|mocha|data:text)"
# A tag or attribute that runs by itself: `<iframe srcdoc='<p>'>`, not `<b>important</b>`.
_ELEMENT = Rule(
    r"<(?:iframe|frame|embed|object)\b[^<>]{0,200}?\b(?:srcdoc|(?:src|data|code)\s?=\s?[\"'`]?\s?"
    r"(?:javascript|data:text|vbscript|//|http://|\\\\|[^\"'`\s>/h{$]))",
    r"<(?:iframe|frame)\s{1,3}src\s?=\s?[\"']?https?://[^>\s]{0,100}(?:\s?<|$)|<iframe\b[^<>]{0,10}(?:/|<|$)",
    r"<(?:frameset|applet|bgsound|isindex|layer|xml|ilayer|xss|plaintext|handler|portal|vmlframe)(?![\w-])|<\?import"
    r"|<\?xml-stylesheet",
    r"<!entity|<!attlist|<!doctype [^<>]{0,80}\[|<!--\[if|<!\[cdata\[<|<!--#(?:exec|include|echo)|<esi:|<html:"
    r"|srcdoc\s?=",
    r"<meta\b[^<>]{0,100}(?:refresh[^<>]{0,80}url\s?=\s?['\"]?(?:javascript|data|http://|//)|set-cookie"
    r"|url=(?:javascript|data)"
    r"|utf-7)",
    r"<link\b[^<>]{0,100}href\s?=\s?(?:[\"']?(?:javascript|data:text|http://|//)|[^\"'\s>])",
    r"<link\b[^<>]{0,40}rel\s?=\s?[\"']?import|<base\b[^<>]{0,40}href\s?=\s?[\"']?(?:javascript|data|//|http:)",
    r"<(?:set|animate\w*|feimage|use|image|a|mpath|discard)\b[^<>]{0,120}(?:attributename\s?=\s?[\"']?(?:on\w+|href"
    r"|xlink)"
    r"|(?:to|values|from)\s?=\s?[\"']?(?:[^\"'>]{0,20};)?(?:javascript|data)|href\s?=\s?[\"']?\s?(?:data:|file:|//\w|\\\\))",
    r"<(?:form|button|input|math|maction)\b[^<>]{0,160}(?:form)?action\s?=\s?[\"']?\s?(?:javascript|data|vbscript|//)",
    r"<style\b[^<>]{0,40}>[^<]{0,120}(?:@import\s?['\"u]|expression\s?\(|-moz-binding|behaviou?r\s?:|javascript:"
    r"|<(?!/style)/?[a-z])",
    r"style\s?=\s?[\"'`]?[^<>]{0,120}(?:e\W{0,4}x\W{0,4}p\W{0,4}r\W{0,4}e\W{0,4}s\W{0,4}s\W{0,4}i\W{0,4}o\W{0,4}n\s?\("
    r"|-moz-binding|behaviou?r\s?:|javascript:|-o-link)|-moz-binding:\s?url|@import\s?['\"]?(?:javascript|//|http://)",
    r"<(?:img|image|body|table|td|div|input|video|audio|source|picture)\b[^<>]{0,120}?"
    rf"(?:\bsrc|lowsrc|dynsrc|background|poster)\s?=\s?[\"'`]?\s?{_SCHEMES}",
    r"<img\s?[\"'`]{2,4}>|<svg[^<>]{0,60}>\s?<(?:script|set)\b",
    r"<math\b[^<>]{0,60}(?:href|>\s?<m)|xlink:href\s?=\s?[\"']?\s?(?:javascript|data:)|\ballowscriptaccess",
    r"<(?:noscript|noembed|noframes|textarea|title|style|xmp|template|select|listing)>\s?"
    r"<(?:p|img|a|!--|/|style|svg)[^<>]{0,40}(?:[\"']?</|title=)",
    r"<\w+[^<>]{0,80}\bcontenteditable\b[^<>]{0,60}autofocus|ng-(?:init|app|csp)\b[^<>]{0,200}(?:\(|constructor)",
    r"<\w+[^<>]{0,60}\bx-(?:init|data|on:)[^<>]{0,40}(?:alert|\()|</\w+[^<>]{0,40}\bon\w+\s?=",
    r"xmlns\s?=\s?[\"']?[^\"'>]{0,60}[\"']?>\s?<(?:script|html:)",
    marks=("<", "style", "srcdoc", "ng-", "@import"),
)
# Text that ends a string of a script and calls a function: `';alert(1)//`, not `it's fine`.
_BREAKOUT_BY_SCRIPT = Rule(
    rf"""(?:^[^"'`\n]{{0,24}}["'`\\]|\\['"]|</script>|\*/|^-)[\s;+*/,)}}\]^%&|=<>?:\\-]{{0,6}}"""
    rf"""(?:{_POPUPS}|eval)[(`]""",
    rf"""\}}\s?\}}?\s?;?\s?{_POPUPS}\s?[(`]""",
    rf"""\{{\{{[^}}]{{0,200}}(?:constructor|{_POPUPS}\s?\(|\$on\.|__proto__|tostring\()""",
    words="alert prompt confirm eval constructor proto tostring",
    marks=("$on.",),
)
_BREAKOUT_BY_TAG = re.compile(
    r"""^[^<>\n]{0,24}["'`]\s?/?>\s?<(?:script|img|svg|iframe|body|a|details|marquee|video|audio|object|embed|input"""
    r"""|x|h1|b|u"""
    r"""|style|link|meta|form|isindex|base|math)\b"""
    r"""|^["'`]{1,2}\s?<(?:script|img|svg|iframe)\b"""
    r"""|</(?:title|textarea|script|style|noscript|iframe|option|select)>\s?["']?>?\s?"""
    r"""<(?:script|img|svg|iframe|body|details|a\b|video|audio|object|embed)"""
)


def is_scripting(text: str) -> bool:
    """Returns whether the text, decoded and in lower case, would run in a page that shows it."""
    text = _bare(text)
    words = words_of(text)
    return (
        _is_markup(text, words)
        or _CALL.search(text, words) is not None
        or _BREAKOUT_BY_SCRIPT.search(text, words) is not None
        or (_HANDLER.search(text) is not None and _BREAKOUT_BY_ATTRIBUTE.search(text) is not None)
        or _runs_as_address(text, words)
    )


def is_hostile_markup(text: str) -> bool:
    """Like `is_scripting`, for markup alone."""
    text = _bare(text)
    return _is_markup(text, words_of(text))


def _bare(text: str) -> str:
    text = _INVISIBLE.sub("", text)
    return _COMMENT.sub("", text) if "/*" in text else text


def _is_markup(text: str, words: frozenset[str]) -> bool:
    return _ELEMENT.search(text, words) is not None or ("<" in text and _acts_as_markup(text, words))


def _acts_as_markup(text: str, words: frozenset[str]) -> bool:
    return (
        _BREAKOUT_BY_TAG.search(text) is not None
        or any(_is_foreign(text, found) for found in _SCRIPT.finditer(text, words))
        or (_HANDLER.search(text) is not None and not all(map(_is_own, _TAG_WITH_HANDLER.finditer(text))))
    )


def _is_foreign(text: str, found: re.Match[str]) -> bool:
    """Returns whether the script is not of the page itself: malformed, from another site, or with an attack inside."""
    own = _OWN_SCRIPT.match(text, found.start())
    if own is None or _BAD_SOURCE.search(own[0]):
        return True
    end = text.find("</script", own.end())
    body = text[own.end() : end].strip()
    if (end < 0 and "\n" not in body) or ("src" not in own[0] and len(body) < 24) or _CALLED.match(body):
        return True
    if body and "\n" not in text and _NOTHING_BEFORE.fullmatch(text, 0, found.start()):
        return True
    return _DOCUMENT.match(text) is None and _OF_ATTACKERS.search(body) is not None


def _is_own(found: re.Match[str]) -> bool:
    """Returns whether the author of a page can have written the handler: quoted, and calling code of the page."""
    value = found["value"]
    if not _OWN_HANDLER.match(value) or _CALL.search(value, words_of(value)):
        return False
    return not (_FIRES_UNASKED.match(found["event"]) and _CALLED.search(value))


def _runs_as_address(text: str, words: frozenset[str]) -> bool:
    if _DATA.search(text, words):
        return True
    closed = _SPACES.sub("", text)
    if "script:" not in closed and "script&colon" not in closed and "script\\:" not in closed:
        return False
    schemes = list(_SCHEME.finditer(text))
    if any(_TAKEN_APART.search(found[0], 0, found.start("code") - found.start()) for found in schemes):
        return True
    codes = [found["code"] for found in schemes]
    return any(_CODE.match(code) and not _HARMLESS_CODE.match(code) for code in codes)
