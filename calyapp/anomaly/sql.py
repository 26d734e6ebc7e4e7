"""SQL injection: text that breaks out of a value into the statement around it.

A whole statement is content, because users write about SQL. An attack has a quote that closes what it did not open, a
condition that is always true, a second statement, or a call that only attackers make.
"""

import re
from collections.abc import Iterator

from calyapp.anomaly.rule import Rule, words_of

_VERSIONED = re.compile(r"/\*!\d{0,6}")
_COMMENT = re.compile(r"/\*[^*]{0,160}(?:\*(?!/)[^*]{0,40}){0,4}\*/")
_LINE_COMMENT = re.compile(r"(?:--|#)[^\n'\"]{0,60}\n")
_BLANKS = re.compile(r"[\s\x00-\x20\x7f\xa0\ufffd\u200b]+")

_OPERAND = r"""(?:n?'[^']{0,40}'?|n?"[^"]{0,40}"?|-?[\w.@$]{1,40})"""
_COMPARED = r"(?:<=>|!=|<>|[<>]=?|={1,2}|\b(?:not )?(?:like|rlike|regexp|sounds like|is|in|div|glob)\b|~)"
_LITERAL = re.compile(r"""-?\d[\d.]*|0x[\da-f]+|n?['"].*|true|false|null""")
_FUNCTION = (
    r"(?:ascii|substr|substring|mid|ord|length|len|lower|upper|hex|database|user|version|current_user|system_user"
    r"|schema"
    r"|left|right|convert|cast|elt|make_set|exists|ifnull|isnull|nullif|coalesce|row|unicode|char|chr|strcmp|instr"
    r"|locate"
    r"|exp|floor|rand|if|iif|sysdate|now|count|concat|md5|select|sleep|sys\.\w+|row_count|bin|conv|uuid|char_length"
    r"|bit_length|extractvalue|updatexml|to_char|greatest|least|json_\w+|st_\w+|generate_series|pi|like|case)"
)

_JOINING = "or and xor having when where rlike"
_JOINING_MARKS = ("||", "&&")
# A comparison that joins a condition; `_is_decided` keeps those with a fixed result: `1 or 1=1`, not `a = b or c > 5`.
_TAUTOLOGY = Rule(
    rf"(?:o(?=r\b)|a(?=nd\b)|x(?=or\b)|h(?=aving\b)|w(?=hen\b)|\|(?=\|)|&(?=&))(?:r|nd|or|aving|hen|\||&)"
    rf"[\s(!~+@-]{{0,10}}({_OPERAND})[\s)]{{0,6}}{_COMPARED}[\s(]{{0,6}}({_OPERAND})",
    words=_JOINING,
    marks=_JOINING_MARKS,
)
# A condition that is true by its form: `x' and name is not null --`, not `option 1 or 2`.
_CONDITION = Rule(
    r"(?:or|and|xor|having|&&|\|\|) [\s(]{0,3}\d+ (?:not )?(?:between \d+ and|in ?\(\d) ?\d*",
    r"""(?:or|and|\|\||&&)\s?(?:'' ?=\s?'|"" ?=\s?")""",
    # A literal as the whole condition, at the end or before a comment.
    r"""(?:^[^'"\n]{0,24}['"][\s)]{0,4}|^-?\d{1,10}[\s)]{1,4}|^\W{0,3})(?:or|and|xor|&&|\|\|)[\s('"!+-]{1,6}(?:not )?"""
    r"""(?:(?:true|false|null|\d{1,6})['")\s]{0,4}(?:--|#|/\*|;\s?(?:$|--|#))|(?:true|1)$)""",
    r"^\W{0,3}(?:or|and) \w{1,12}\s?=\s?\w{1,12}\s?(?:--|#|$)|^[\w'\")]{0,10} (?:or|and) \w+ not between \w+ and\b",
    r"\b(?:or|and|xor|&&|\|\|) \(?(?P<call>\w{2,20}\([^()]{0,30}\))\s?=\s?(?P=call)",
    # Behind a short value: a call or a test of a column.
    rf"""^(?:\W{{0,6}}-?[\w.@%-]{{0,24}}\W{{0,8}}\b|[^\n]{{0,40}}['"]\W{{0,6}}|\W{{0,8}}|\d{{1,10}}\W{{0,3}})"""
    rf"""(?:and|or|xor|rlike|having|when|where|&&|\|\|)[\s('"!~+-]{{1,8}}"""
    rf"""(?:{_FUNCTION}\s?\(.{{0,80}}?(?:[=<>]|like|in|between|\) ?--|\) ?\#|\)$)|@@\w+|not\b\s?\w{{0,8}}\s?[=<>(]"""
    r"""|\w+ is (?:not )?null|\w{1,20} (?:like|rlike|regexp|between) ['"\d(]"""
    r"""|\w{1,20}\s?=\s?['"(]\w{0,12}['")]{0,2}\s?(?:--|#|$))""",
    words=_JOINING,
    marks=_JOINING_MARKS,
)

_VERB = (
    r"(?:drop|delete|insert|update|select|exec|declare|shutdown|create|alter|truncate|waitfor|begin|if|call|grant|copy"
    r"|merge|set|use|replace|desc|while|print|rename|backup|dbms|do\b|commit|rollback|load)"
)
_BREAK = re.compile(
    rf"""(?<![=(,:\[{{+!&|])(?<![=(,:\[{{+!&|]\ )(['"])[\s)\]]{{0,8}}(?:
      (?:or|and|xor|\|\||&&|having|not|like|rlike|regexp|div|mod|in|between|is)(?![\w]) \s?
        (?: [('"!~+-]{{0,6}}\s?
            (?: {_OPERAND}\s?[)'"]{{0,4}}\s?{_COMPARED} | not\b | exists\b | select\b | {_FUNCTION}\s?\( | @@
              | (?:true|false|null|\d+)[\s)'"]{{0,4}}(?:--|\#|/\*|;) | (?:true|1)$ )
          | ['"(]\s?$ | ['"]['"]? | \(\s?\d | % | 0x )
      | union\b | (?:order|group)\ by\b | limit\ \d | offset\ \d | into\ (?:out|dump)file | procedure\ \w
      | waitfor\b | collate\b
      | ;\s?(?: --|\#|$|\)|{_VERB} )
      | (?:--|\#|/\*)(?: [\s+;*/-]{{0,6}}$ | \w{{1,12}}$ | [\s+-]{{1,3}}\w{{0,3}}$ | \s?\) )
      | (?:[<>=!]=?|<>|[-+*/^%&|]{{1,2}})\s?
        (?: ['"](?=[\w'"(]) | [(@] | \d+\s?(?:--|\#|;|$|['"]) | (?:\(?\s?select|if|case|sleep|benchmark)\b
          | {_FUNCTION}\s?\( )
      | \|\|\s?\w
      | ,\s?(?:\(\s?select|{_FUNCTION}\s?\(|\d+\)\s?(?:--|\#)|null\b|['"]\w{{0,12}}['"]\)\s?(?:--|\#|;|,))
      | \s?(?:create\ (?:user|table|login|database)|grant\ \w+|insert\ into|drop\ (?:table|database|user)|delete\ from
          |update\ \w+\ set|exec(?:ute)?\ \w+|declare\ @)\b
      | \s(?:as|asc|desc|sounds\ like)\b.{{0,40}}(?:--|\#)
    )""",
    re.VERBOSE,
)
_IN_WORD = re.compile(r"(?<=\w)['’](?=(?:s|t|m|d|re|ve|ll|em)?\b)(?=\w)")

_WHOLE = re.compile(
    r"""\\?['"]{1,3}\s?\)?\s?(?:(?:[-+*/^&|%=<>]|\|\|)\s?|(?:like|or|and|is|in|div|mod"""
    r"""|xor)\s?\(?\s?)['"\d(]\d{0,4}['"]?.{0,6}"""
    r"""|\w{0,12}['"]\s?\)?\s?(?:or|and)\s?['"(]?|['"]?\|\|\s?['"(]?\d{1,4}['"]?"""
    r"""|-?\d{1,10}['"]?(?:\)+\s?(?:--|#|;|/\*)[\s+-]*|\s?(?:--|/\*|;--|;#| #)[\s+-]*\w{0,3}|['"]\)*\s?(?:--"""
    r"""|#)[\s+-]*)"""
    r"""|[\w ]{1,20}'\s?(?:\|\||\+|\s)\s?'[\w ]{1,20}|(?:order|group) by \d{1,5}|\W{0,6}union(?: all)? select\W{0,6}"""
)
_CONCATENATED = re.compile(r"\w{0,10}'\s?\|\|")

# A further SELECT, by UNION or in parentheses: `9 union select 1,2`, not `european union select committee`.
_UNION = Rule(
    r"union(?:[\s(+]{0,3}(?:all|distinct|distinctrow))?[\s(+'\"`]{0,6}select\b"
    r"[\s(+]{0,4}(?:null|\d|['\"@*({$]|all\b|distinct\b|top\b|char|concat|group_concat|load_file|0x"
    r"|[\w.`-]{1,40}\s?(?:,|\(|from\b|as\b|--|#|/\*|;|:|\|\|))",
    r"(?:[=<>,|+*/%^&'\"(!~-]|\b(?:and|or|in|exists|not|any|all|some|like|when|if|by|then|else|rlike|is|from|limit)"
    r"|^|\d)"
    r"\s?\(\s?select\b(?=[^)]{0,160}?(?:\bfrom\b|\bcase\b|@@|\(|\|\||null|\d|'|\*|user|count|top \d))",
    marks=("select",),
)
_UNION_END = Rule(
    r"[\d'\")]\s?(?:and|or)?\s?union(?: all| distinct)?[\s(]{0,3}(?:select)?[\s(-]{0,6}(?:$|#|--|values)",
    marks=("union",),
)
_SELECT = re.compile(r"\bselect\b")
_STATEMENT = re.compile(
    r"[\s;]*(?:select\b|with\b|insert (?:into|ignore|overwrite)|update [\w.`\"]+ (?:set|as)\b|delete from|create\b"
    r"|alter\b"
    r"|drop\b|begin\b|set\b|explain\b|merge into|replace into|call \w|grant\b|declare\b|truncate\b|use \w|show\b|do \$"
    r"|copy \w|start transaction)"
)

# A second statement after a semicolon: `9; drop table calls`, not `called at 10; call back tomorrow`.
_STACKED = Rule(
    r";[\s}]?(?:drop (?:table|database|user|view|index|schema|procedure|function|role|login|column|trigger)\b"
    r"|delete (?:from|\w+ where)\b|insert into\b|update [\w.`\"\[\]]{1,40} set\b|exec \w"
    r"|exec(?:ute)? ?(?:\(|@|'|\w+\.|xp_|sp_|immediate|master)"
    r"|declare @|declare \w+ (?:int|varchar|n?char|cursor)|shutdown\b"
    r"|create (?:or replace |temp )?(?:table|user|login|function|role|database|procedure|alias|view)\b"
    r"|alter (?:table|user|login|role|database|session|system)\b|truncate (?:table )?\w|grant \w+"
    r"|copy [\w(][^;]{0,60}(?:from|to)\b|waitfor\b"
    r"|select[\s(]+(?:\*|\d|['\"@(]|pg_|case|sleep|benchmark|if|count|user|version|load|char|\w+\s?(?:,|\(|from\b))"
    r"|iif ?\(|if ?\((?:select|ascii|\d|exists|not exists|@@|len|user|system_user|db_name|is_srv|substring|unicode)"
    r"|begin (?:declare|waitfor|dbms|user_lock)|call [\w.]+\s?\(|merge into|set @"
    r"|backup (?:database|log)|reconfigure|load data"
    r"|use master|handler \w|prepare \w|print ?\(?'|rename table|do \$\$|vacuum|attach database)",
    marks=(";",),
)
# IF or CASE as an expression: `if(now()=sysdate(),sleep(4),0)`, not `if (a) { b(); }`.
_CONDITIONAL = Rule(
    r"(?:^|[\s,('\"|+&*/-])(?:i?if\s?\(\s?"
    r"(?:\(|['\"]?\w{1,16}['\"]?\s?[=<>]{1,2}\s?['\"]?\w{1,16}|now\(|ascii|user|substr|@@|length|select|\w+\()"
    r"[^;]{0,80}?,[^;]{0,60}?(?:,\s?['\"\d(]|sleep|benchmark|select)"
    r"|case\s?(?:when|\d)[^;]{1,160}?then[^;]{1,100}?(?:else|end)\b)",
    words="if iif case",
)
# ORDER BY or GROUP BY that ends the value: `1 order by 9--`, not `please order by phone`.
_ORDER = Rule(
    r"(?:^-?\d{0,10}[\s'\")]{0,6}|['\")]\s?|\d )(?:order|group) by "
    r"\(?(?:\d+\)?(?:\s?,\s?\d+)*\s?(?:$|--|#|/\*|;|'|\)|asc|desc)|.{1,40}(?:--|#|/\*)\s?[+-]?\s?$"
    r"|\(?(?:select|case|if|rand|sleep|updatexml))",
    marks=("order by", "group by"),
)
_OUTSIDE_A_STATEMENT = (_STACKED, _CONDITIONAL, _ORDER)

# A function, procedure or variable that only attackers name: `pg_sleep(5)`, not `sleep well`.
_CALL = Rule(
    r"pg_sleep(?:_for)?\s?\(",
    r"benchmark\s?\(\s?\d+\s?,",
    r"(?:extractvalue|updatexml|xmltype|load_file|randomblob|load_extension|openrowset|opendatasource|name_const)\s?\(",
    r"utl_(?:http|inaddr)\.|ctxsys\.|ordsys\.|httpuritype|xdburitype|rdb\$|sysibm\.|syscat\.|msysobjects|sysmaster",
    r"dbms_(?:pipe|lock|xmlgen|xslprocessor|ldap|session|random|utility|java|export|scheduler|metadata|xmlquery"
    r"|assert)\b\W|user_lock\.",
    r"xp_(?:cmdshell|dirtree|reg\w+|fileexist|availablemedia|enumdsn|loginconfig|ntsec_enumdomains|subdirs|makecab"
    r"|terminate|servicecontrol|delete_file|msver)",
    r"sp_(?:executesql|oacreate|oamethod|password|configure|addextendedproc|makewebtask|addlogin|addsrvrolemember|who"
    r"|help\w*|replwritetovarbin|prepare|columns|tables|databases)\b",
    r"lo_(?:import|export)\s?\(|pg_(?:read_file|ls_dir|read_binary_file|reload_conf)\s?\(",
    r"(?:database|query|table)_to_xml|sys_(?:eval|exec|context)\s?\(",
    r"procedure analyse|into (?:out|dump)file|waitfor (?:delay|time)\b|delay '0|handler \w+ open",
    r"(?:char|chr|nchar)\s?\(\d+\)\s?(?:\|\||\+|,|&)|(?:char|chr)\s?\(\d+(?:,\s?\d+)+\)|like char\s?\(\d+\)",
    r"concat(?:_ws)?\s?\(\s?(?:0x|char\(|\d+,0x|@@)|convert\s?\(int|cast\s?\(\s?0x",
    r"information_schema|having \d+\s?[=<>]+\s?\d|floor\s?\(\s?rand\s?\(|count\(\*\),\s?concat|exp\s?\(\s?~",
    r"json_keys\s?\(\s?\(|gtid_subset\s?\(|(?:polygon|multipoint|linestring|geometrycollection)\s?\(\s?\(\s?select",
    r"row\s?\(\d+,\d+\)\s?[>=<]|make_set\s?\(|elt\s?\(\s?-?\d+\s?[=+]|generate_series\s?\(1,\d{4}"
    r"|regexp_substring\s?\(",
    r"\bif ?\(\s?\d+\s?=\s?\d+\s?\)|\(\d+\s?=\s?\d+\)\s?[*/+-]",
    r"repeat\s?\(\s?(?:'|left)|like\s?\(\s?'abcdefg|'abcdefg'|crypt_key|isnull\s?\(1/0|(?:or|and) \(exists\)",
    r"@@(?:version|hostname|datadir|basedir|servername|tmpdir|global|language|spid|connections|microsoftversion)",
    r"print @@|@var\b|select @\w+ (?:as|=)|declare @\w+ (?:as )?(?:n?varchar|int|n?char|sysname|table)",
    r"group_concat\s?\(\s?(?:table_name|schema_name|column_name|username|user|login|0x|concat|password|distinct)",
    r"\bexec(?:ute)?\s?\(\s?(?:@|char|'(?:sel|ins|del|upd|dro|xp_|dec)|master|sp_|xp_)",
    r"\bexec(?:ute)? (?:master|xp_|sp_|@|immediate '|\(')",
    r"(?:^|['\"\d)])\s?(?:drop (?:table|database) \w+\s?(?:;|--|#)|;?shutdown(?: with nowait)?\s?(?:;|--|$))",
    words="benchmark extractvalue updatexml xmltype randomblob openrowset opendatasource ctxsys ordsys httpuritype"
    " xdburitype sysibm syscat msysobjects sysmaster procedure outfile dumpfile waitfor delay handler char chr nchar"
    " concat convert cast having floor count exp polygon multipoint linestring geometrycollection row elt repeat"
    " abcdefg isnull exists exec execute drop shutdown",
    marks=("_", "@", "rdb$", "if(", "if (", ")*", ")/", ")+", ")-"),
)
# A call of SLEEP in an expression: `1 and sleep(5)`, not `await sleep(1000);`.
_SLEEP = Rule(
    r"(?:\b(?:and|or|select|when|then|else|xor|rlike|like|in|union|if|div|mod|not|where|by)\b|[-+*/|&^'\"]"
    r"|[=<>]\s?\(?\s?(?=sleep)|^|[,(]\s?)[\s(+!~]{0,4}(?:if ?\([^;]{0,60},\s?)?"
    r"sleep\s?\(\s?(?:['\"]?\d[\d.]*['\"]?\s?|__time__|\[\w+\]|@\w+|\(?select\b.{0,40})\)",
    marks=("sleep",),
)
# LIMIT or arithmetic with a query after a short value: `1 limit 1--`, not `limit 5 per day`.
_TAIL = Rule(
    r"^[\w'\")-]{1,16} limit \d+(?:\s?,\s?\d+| offset \d+)?\s?(?:--|#|;|into|procedure|union|$)",
    r"\d{1,6}\s?(?:-|\+|\*|/|\^|&|\||div |mod |xor )\s?\(?"
    r"(?:case|if\(|select|sleep|(?:ascii|ord|char|length|user|database|version)\()",
    words="limit case if select sleep ascii ord char length user database version",
)
_CATALOG = Rule(
    r"\b(?:sysobjects|syscolumns|sysusers|syslogins|sysdatabases|sysprocesses|sqlite_(?:master|version)"
    r"|mysql\.(?:user|db|host)"
    r"|pg_(?:shadow|user|database|tables|catalog|class|authid|roles|stat_activity|settings)|v\$\w+|all_(?:tables"
    r"|tab_columns"
    r"|users|source)|user_(?:tables|tab_columns|objects|views|catalog|sys_privs|role_privs|tab_comments|name\()|dba_\w+"
    r"|master\.\.|master\.dbo|sys\.(?:tables|databases|user\w*|sql_logins|objects|columns|schemas|fn_\w+|all_\w+"
    r"|syslogins"
    r"|sysusers)|global_name|session_privs|(?:user|database|version)\(\)|(?:system|session)_user|current_(?:setting"
    r"|user)\b"
    r"|current_database\(|is_srvrolemember|is_member|db_name\(|host_name\(|inet_server_addr|getpgusername)",
    marks=("select",),
)

_ANYWHERE = (_CONDITION, _CALL, _SLEEP, _TAIL, _UNION_END)
_WORD_NEXT = re.compile(r"\s?(?!union|order|group|and\b|or\b|limit|having|procedure)[^\W\d_]{3,}")
_LONG_WORD = re.compile(r"[^\W\d_]{2,}")


def is_injection(text: str) -> bool:
    """Returns whether the text, decoded and in lower case, would change a statement that contains it."""
    return any(_breaks_out(flat) for flat in _flattened(text))


def _flattened(text: str) -> Iterator[str]:
    """Yields the text on one line with comments as spaces, and, if it has block comments, without them."""
    if "\n" in text:
        text = _LINE_COMMENT.sub(" ", text)
    if "/*" not in text:
        yield _on_one_line(text)
        return
    text = _VERSIONED.sub(" ", text)
    yield _on_one_line(_COMMENT.sub(" ", text).replace("*/", " "))
    yield _on_one_line(_COMMENT.sub("", text).replace("*/", ""))


def _on_one_line(text: str) -> str:
    if "+" in text and " " not in text:
        text = text.replace("+", " ")
    return _BLANKS.sub(" ", text)


def _breaks_out(flat: str) -> bool:
    words = words_of(flat)
    return (
        any(rule.search(flat, words) for rule in _ANYWHERE)
        or any(_is_decided(flat, match) for match in _TAUTOLOGY.finditer(flat, words))
        or _closes_what_it_did_not_open(flat)
        or _WHOLE.fullmatch(flat.strip()) is not None
        or _CONCATENATED.match(flat) is not None
        or _adds_query(flat, words)
    )


def _is_decided(flat: str, match: re.Match[str]) -> bool:
    """Returns whether the result is fixed: equal operands, or two literals without a further word of a sentence."""
    left, right = match[1], match[2]
    if left.strip("'\"") == right.removeprefix("n").strip("'\""):
        return True
    return bool(_LITERAL.fullmatch(left) and _LITERAL.fullmatch(right)) and not _WORD_NEXT.match(flat, match.end())


def _closes_what_it_did_not_open(flat: str) -> bool:
    """Returns whether SQL follows a quote that ends the value: all quotes before it are in pairs."""
    if "'" not in flat and '"' not in flat:
        return False
    text = _IN_WORD.sub("", flat)
    counted = {"'": (0, 0), '"': (0, 0)}
    for match in _BREAK.finditer(text):
        quote = match[1]
        before, upto = counted[quote]
        before += text.count(quote, upto, match.start())
        counted[quote] = before, match.start()
        if before % 2 == 0:
            return True
    return False


def _adds_query(flat: str, words: frozenset[str]) -> bool:
    """Returns whether a query is added. After a statement at the start it is content, unless it reads the catalogue."""
    if _CATALOG.search(flat, words):
        return True
    if _STATEMENT.match(flat):
        return False
    union = _UNION.search(flat, words)
    if union:
        earlier = _SELECT.search(flat)
        if not earlier or earlier.start() >= union.start():
            return True
    return any(_is_abrupt(flat, rule.search(flat, words)) for rule in _OUTSIDE_A_STATEMENT)


def _is_abrupt(flat: str, found: re.Match[str] | None) -> bool:
    """Returns whether the match follows a short value rather than a sentence or a program."""
    return found is not None and len(_LONG_WORD.findall(flat, max(0, found.start() - 200), found.start())) < 4
