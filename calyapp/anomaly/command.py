"""Command injection: a second command after the value, a substitution within it, or a call of a shell.

Notes contain `&`, `|`, `;` and words that are also commands. A separator counts only with a command that is not an
English word, or with arguments and a position that only a shell understands. A whole script is content.
"""

import re

from calyapp.anomaly.rule import Rule, words_of

_COMMANDS_ONLY = (
    "whoami uname ifconfig ipconfig netstat nslookup traceroute tracert wget ls pwd bash zsh ksh tcsh ncat netcat socat"
    " telnet chmod chown chgrp systeminfo tasklist taskkill phpinfo printenv useradd adduser usermod crontab lsof"
    " lsb_release lscpu dmesg hostname hostnamectl mkfifo mknod xxd gawk xargs powershell pwsh certutil bitsadmin mshta"
    " rundll32 regsvr32 cscript wscript wmic rmdir mkdir pstree killall pkill sudo getent tcpdump nmap fping hping3"
    " iptables systemctl qwinsta quser netsh sysinfo schtasks gpresult driverquery icacls cacls robocopy getmac logname"
    " busybox lwp-download nodejs chpasswd ssh scp sftp tftp rsync lsattr chattr"
)
_ALSO_WORDS = (
    "id date time find host last more less sort cut head tail type set echo printf who w which whereis at mail"
    " sleep touch history route node top copy move net timeout export unset alias exec eval read nl file mount"
    " groups locate reboot halt shutdown service choice lastlog fold paste column pr vi vim nano ed apt yum gem"
    " make git sqlite3 mysql psql print source ip cat tac dir del rm cp mv dd wc tr df du ps kill su arp ping"
    " ping6 dig nmcli ss ftp finger expr ver vol reg sc attrib xcopy uptime strings od gcc"
    " tee rev hexdump hd stat base64 awk sed grep egrep perl python python2 python3 ruby php php5 php7 lua cmd nc"
    " sh dash csh env passwd curl fetch aria2c uniq java usleep msiexec ln tar zip unzip gzip diff cmp seq"
    " basename dirname realpath readlink install truncate shred wall write mesg tty stty whatis apropos cd ll"
    " winver"
)
_ALL_WORDS = " ".join(words_of(f"{_COMMANDS_ONLY} {_ALSO_WORDS}"))
_UNMISTAKABLE = frozenset(_COMMANDS_ONLY.split())


def _any_of(names: str) -> str:
    return f"(?:{'|'.join(sorted(names.split(), key=len, reverse=True))})"


_STRONG, _WEAK = _any_of(_COMMANDS_ONLY), _any_of(_ALSO_WORDS)
_PATH = r"(?:(?:[a-z]:)?[\\/]{1,2}(?:[\w.?*~$\[\]-]{1,24}[\\/]{1,2}){0,5})?"
_END = r"(?=[\s;|&<>`'\"()$#\\,{}%+]|/[a-z-]|$)"
_WEAK_END = r"(?=\s{0,3}(?:[;|<>`#)\x00]|&(?!\w\b)|\\n|$)|['\"])"
_ARGUMENT = (
    r"""\s{1,3}(?:-{1,2}[a-z]|/|\.{1,2}/|~|\$"""
    r"""|(?<=sleep )\d+[smh]?\s{0,3}(?:$|[;|&#`'")])|(?<=timeout )\d|(?<=kill )\d|['"`<>]|https?:"""
    r"""|[a-z_][\w-]{0,39}\.[\w.-]{1,60}|[\d.]{7,15}|localhost|[a-z]:\\|%\w+%|\\|\*)"""
)
_SEPARATOR = r"(?:[;|\n\r\x1a]|&&?|\|\||%0[ad]|\\n|\\r|`|\$\(|<\(|>\()"
_OPENING = r"[\s;|&(!'\"{\\@^]{0,6}"

# A separator and a command that is not an English word: `x; whoami`, not `ask whoami later`.
_CHAINED_STRONG = Rule(
    rf"(?P<mark>{_SEPARATOR}|[<>]\(){_OPENING}(?:(?:sudo|exec|eval|echo|nohup|time|env|command|start|/b)\s)?"
    rf"{_PATH}(?:{_STRONG}|ps\s+(?:aux|-ef))(?:\.exe|\.com)?{_END}",
    words=" ".join(words_of(f"{_COMMANDS_ONLY} ps")),
)
# A separator and a command that is also a word; `_is_deliberate` decides: `;id`, not `date & time`.
_CHAINED_WEAK = Rule(
    rf"(?P<mark>{_SEPARATOR})(?P<gap>{_OPENING}){_PATH}(?P<name>{_WEAK})(?:\.exe)?"
    rf"(?:{_WEAK_END}|(?P<argument>{_ARGUMENT}|[<>$]|,[/-]|\+[-/]))",
    words=_ALL_WORDS,
    marks=("w",),  # a command of one letter, which `words_of` does not return
)
_BEGUN = Rule(
    rf"^['\")\]\s]{{0,3}}(?:;|\|\|?|&&|`){_PATH}{_WEAK}(?:\.exe)?(?:\s[^\s|;]{{1,40}}){{0,3}}\s?$",
    words=_ALL_WORDS,
)
# A separator and an output command with shell syntax: `;echo $(id)`, not `echo, echo`.
_ECHO = Rule(
    r"(?:[;|`\n]|&&?|\|\||\$\()\s{0,2}(?:echo|printf|set /a|print)\s?"
    r"(?:\(?\s?[`'\"$%&]?[\w-]{0,24}(?:\$\(|\$\{|[&|;`#>%)\"']|\\|\d)|[a-z0-9]{5,12}\$\()",
    r"^[^a-z]{0,20}[;|&\n]\s?echo\s|^[\w.]{1,12}[;|&]{1,2}echo\b",
    words="echo printf set print",
)
_SUBSTITUTED = Rule(
    rf"(?:\$\(|`|\$\{{|<\(|\{{)[\s'\"\\({{]{{0,3}}{_PATH}(?:{_STRONG}|{_WEAK}(?={_WEAK_END}|{_ARGUMENT})){_END}"
    r"[^`]{0,200}(?:[)`}]|$)",
    words=_ALL_WORDS,
)
# A variable or brace expansion that hides a command: `;cat${ifs}/etc/passwd`, not `price is $5`.
_EXPANSION = Rule(
    r"\$\{?ifs\b|\$\{(?:path|home|pwd|ifs|shell|hostname|user|oldpwd|bash\w*|ps1|lang|term|hostype|0|@|_|#\w*|\w+//)"
    r"\s?[:%#/@,^!]|\$\{\w{0,12}(?:%%|##|:\d+:\d)|\$\{!\w|\$\{\w+//|\|\s?\$0\b|<\(\s?(?:echo|cat|ls|id)\b"
    r"|\$\{(?:jndi:|lower:|::-|env:|sys:)|\$\{\w+\}\$|\$(?:@|\*"
    r"|[1-9])[a-z]|[a-z]\$(?:@|\*|[1-9])\w?",
    r"%(?:comspec|programfiles|windir|systemroot|path|commonprogramfiles|userprofile|temp|os|username|appdata)(?:%|:~)",
    r"\$'\\(?:x[0-9a-f]|[0-7]{2})|\$\(\(\s?\d+\s?[-+*/]\s?\d+\s?\)\)|\{[a-z]{2,8},(?:[-/.~$]|['\"]|\w+\})"
    r"|[;|&`]\s?\{[a-z]{2,8},\}",
    marks=("$", "%", "{", "<("),
)
# A path with wildcards that hides a program: `/???/c?t`, not `a/b?c`.
_GLOBBED = Rule(
    r"(?:^|[\s;|&`(<'\"{,=])/(?:[a-z\[\]-]{0,8}[?*]{1,3}[a-z?*\[\]-]{0,8}/[a-z?*\[\].-]{1,16}"
    r"|(?:bin|usr/bin|etc|sbin)/[a-z\[\]]{0,8}[?*\[][a-z?*\[\]]{0,12}(?=[\s;|&`<$'\"]|$))",
    marks=("?", "*", "["),
)
_SENSITIVE = (
    r"(?:/etc/(?:passwd|shadow|group|issue|sudoers|\w*[?*'\"\\$@]{1,3}\w*)|/proc/(?:self|version|cpuinfo|\d)|/var/log/"
    r"|/dev/(?:tcp|udp)/|\.ssh/|\.bash_history|\.bashrc|(?:win|boot|system)\.ini|c:[\\/]+(?:windows|winnt|boot"
    r"|inetpub|users|\\)?"
    r"|drivers[\\/]etc|%systemroot%|web\.config|wp-config|\.htpasswd|index\.php|\.env\b)"
)
# A command that reads a sensitive file: `cat /etc/passwd`, not `cat photo`.
_READS = Rule(
    r"(?:^|[\s;|&`'\"(/={\\n]|\bx)(?:cat|tac|more|less|head|tail|nl|od|xxd|sort|uniq|rev|strings|type|cp|mv|grep"
    r"|awk|sed|cut"
    r"|base64|file|ls|dir|find|vi|vim|nano|view|dd|curl|wget|diff|paste|fold|echo|while|c\W?a\W?t|rm|scp|sh|bash|ln"
    r"|tar|copy"
    rf"|chmod|readfile|include|fgets|perl|touch|stat)\b[^\n]{{0,60}}?[\s<,${{'\"}}=*\w]{_SENSITIVE}|<\s?{_SENSITIVE}",
    marks=(
        "/etc/",
        "/proc/",
        "/var/",
        "/dev/",
        ".ssh",
        ".bash",
        ".ini",
        "c:",
        "drivers",
        "%sys",
        "config",
        ".htp",
        ".php",
        ".env",
    ),
)
# A shell, or a tool that only attackers start by its options: `bash -c id`, not `bash script`.
_SHELL = Rule(
    r"(?<!#!)(?:/(?:usr/)?(?:local/)?s?bin/|\b)(?:ba|z|k|c|da|tc)?sh\s+-[ciel]{1,3}\b|/dev/(?:tcp|udp)/|\bmkfifo\b"
    r"|>\s?/dev/null",
    r"(?<!#!)/bin/(?:ba|z|k|c|da|tc)?sh(?:\s?[<>|&;`'\"]|\s+-|\s?\d>|\s?$)",
    r"\b(?:nc|ncat|netcat)(?:\.\w+)?\s+(?:-\w+\s+){0,3}(?:[\w.-]+\s+\d+|-\w*[elp])|\brm\s+-rf?\s+[/*~]",
    r"\bpowershell(?:\.exe)?\s+(?:-|[a-z]:\\|\(|\w+-\w+|iex|\"|')|\biex\s?\(|\binvoke-(?:expression|webrequest|command"
    r"|mimikatz)",
    r"download(?:string|file)\s?\(|\bcmd(?:\.exe)?\s{0,2}/{1,2}[ckr]\b|system32[\\/]+\w+\.exe|wscript\.shell|regsvr32",
    r"(?:^|[;|&`]\s{0,2})\w{1,20}\.exe\b|\bcmd\|'?\s?/c",
    r"certutil(?:\.exe)? -|bitsadmin(?:\.exe)? /|mshta(?:\.exe)? (?:http|java|vb)|rundll32(?:\.exe)? \w|<!--#exec",
    r"^\W{0,3}\(\s?\)\s?\{[^}]{0,30}\}\s?;|\bwmic\s+\w+\s+(?:get|list|call)|\btimeout\s+/t|\bvssadmin\b",
    r"\bnet\s+localgroup\b|^\W{0,2}[;|&]\s?net\s|\bnet\s+(?:user|view|start|share|group)\b\s?(?:$|[/\\;&|\"']|\w[^\n;]{0,60}\s/[a-z])"
    r"|\bping(?:\.exe)?\s+-[cinwt]\s?\d{1,4}\b",
    r"\breg\s+(?:query|add|save)\s+\"?hk|\bsc\s+(?:query|create|config)\b|\b(?:perl|ruby|lua|node)\s+-e\b"
    r"|\bphp\d?\s+-r\b",
    r"\bpython[23]?\s+-c\b",
    words="sh bash zsh ksh csh tcsh dash nc ncat netcat mkfifo rm powershell iex invoke downloadstring downloadfile"
    " cmd dev"
    " certutil bitsadmin mshta rundll regsvr wscript net ping reg wmic timeout vssadmin sc perl ruby lua node php"
    " python"
    " system exec exe",
    marks=("{",),
)
_CODE_CALLS = r"(?:system|exec|passthru|shell_exec|popen|eval)"
_RUN_BY_CODE = Rule(
    r"(?:system|exec|passthru|shell_exec|popen|proc_open|pcntl_exec|os\.popen|os\.system|check_output"
    r"|subprocess\.\w+|execsync"
    r"|spawn(?:sync)?|eval|assert|runtime\.\w+\(\)\.exec|processbuilder|`|%x)\s?[(`\[{]{1,2}\s?['\"`\[]{0,3}\s?"
    rf"{_PATH}(?:{_STRONG}|id|{_WEAK}(?=\s(?:-|/|\d)))(?=[\s'\"`)|;,]|$)",
    rf"^\W{{0,4}}{_CODE_CALLS}\s?\(\s?['\"]\w{{2,10}}\s\S",
    r"<\?(?:php|=)?\s.{0,60}(?:system|exec|passthru|eval|assert|popen|\$_(?:get|post|request)|phpinfo|base64_decode"
    r"|echo\s?\(?\d)",
    rf"(?:{_CODE_CALLS}|assert|phpinfo)\s?\(\s?(?:\$_(?:get|post|request|cookie)|base64_decode|\)|phpinfo"
    rf"|\$\w{{1,3}}\)|chr\()",
    r"(?:^|[;'\"&|.(]\s?)(?:phpinfo\(\)|die\(|(?:print|exit)\s?\(\s?(?:md5|`|\d|system)|print\(`)|phpversion\(\)",
    r"\{\$\{@?\w+\(|\$\{@\w+\(|\{\$_(?:get|post|request)",
    r"__import__|java\.lang\.(?:runtime|processbuilder)|getruntime\s?\(\s?\)\s?\.exec"
    r"|require\s?\(\s?['\"]child_process",
    r"\bos\.(?:popen|execv\w*|spawn\w*)\(|io\.popen|\bkernel\.(?:exec|system)|\bxp_cmdshell|\|\s?\w+\s+pipe"
    r"|\.execute\(\)",
    r"(?:usleep|sleep)\s?\(\s?\d+\s?\)\s?\)?\s?(?:#|\.|/\*)|freemarker\.template\.utility\.execute|\.popen\(['\"]",
    words="system exec passthru shell popen proc pcntl check subprocess execsync spawn spawnsync eval assert"
    " processbuilder"
    " php phpinfo phpversion die exit print import java getruntime require io kernel cmdshell pipe execute usleep sleep"
    " freemarker",
    marks=("{$", "${@", "%x", "<?", "`"),
)
_ALONE = re.compile(
    r"\s*(?:ls\s+-\w{1,8}\s+[/~*]\S{0,60}|(?:ls|dir)\s+c:\\.{0,60}|(?:curl|wget)\s+https?://\S{1,200}|sleep\s+\d{1,3}"
    r"|netstat\s+-\w+|ipconfig\s+/\w+|(?:cat|more|less|head|tail|type)\s+(?:/etc/|/proc/|/var/log/|c:\\)\S+"
    r"|netsh\s.{1,80}"
    r"|net\s+view|ping\s+(?:-\w\s+\d+\s+)?[\d.]{7,15}|cmd(?:\.exe)?\s+/c\s.{1,80}"
    r"|(?:id|whoami|ls|uname|pwd|ifconfig|netstat|dir)\s?[;|&`\n]{1,2}\s?(?:id|ls|whoami|pwd|uname)?"
    r"|/(?:usr/)?(?:local/)?s?bin/[\w.-]{2,20}(?:\s[^\n]{0,80})?)\s*"
)
_SCRIPT = re.compile(
    r"\s{0,4}(?:#!|\$ |\w+@[\w.-]+[:~]|(?:[\d*/,-]{1,8} ){3}|# |// |/\*[\s*]|<!doctype|<html|---|```|(?:sudo \w|cd|npm"
    r"|npx|yarn|pnpm|pip3?|git"
    r"|docker(?:-compose)?|kubectl"
    r"|apt(?:-get)?|brew|export|source|set -|mkdir|for \w+ in|if \[|while |make|cmake|python3? [^-\s]|node \S|java "
    r"|mvn|gradle"
    r"|go (?:run|build|test)|cargo|terraform|ansible|helm|aws |gcloud|az |systemctl|rsync|tar |find \.|grep -"
    r"|ps aux|curl -"
    r"|wget http|ssh |scp |chmod \+x|alias|function \w+ ?\(|(?!ifs=)\w+=\S[^\n]{0,200}\n|from \S|run |entrypoint"
    r"|import |const |let |var "
    r"|def "
    r"|class |package |public |async |return |select |func |use |fn |#include|<\?xml|<template|<div|<\w+>|\{\{ |\{%"
    r"|ls -\w+ [\w./]|cat \w+\.\w+|print\([\"'f]|console\.|test |name:|steps:|services:|version:|- ))"
)
_SENTENCE = re.compile(r"[a-z\u0900-\u0dff]{2,}[,.]?\s+[a-z\u0900-\u0dff]{2,}[,.]?\s+[a-z\u0900-\u0dff]{2,}")
_ADDRESS = re.compile(r"\s{0,4}(?:https?://|/)[\w./?=:-]{0,400}")
_WORDS = re.compile(r"[a-z\u0900-\u0dff]{2,}")
_SPLITTING = re.compile(
    r"(?<=\w)(?:''|\"\"|\\(?=[a-z])|`{2}|\$\(\)|\$@|\$\*|\$[1-9](?![0-9])|\$\{?[a-z_]{1,2}\}?(?=[a-z])|'(?=\w{1,4}')"
    r"|(?<='\w)'|(?<=\"\w)\"|\"(?=\w{1,4}\"))|\^(?=[a-z])|'(?=\w{1,2}'\w)|\"(?=\w{1,2}\"\w)"
)
_MARKS = str.maketrans("", "", "'\"\\^`$@()")
_HINT = re.compile(
    r"[;|&`$\n\r<>(){}\\^?*\x1a]|/(?:bin|etc|usr|dev)/|%0|%\w+(?:%|:~)|\w(?:''|\"\"|'\w{1,3}'|\"\w{1,3}\")\w| -| /"
    r"|\.ini|net(?:sh)? |sleep \d|https?://\S+$"
)


def is_injection(text: str) -> bool:
    """Returns whether the text, decoded and in lower case, would make a shell run a further command."""
    if not _HINT.search(text):
        return False
    if _ALONE.fullmatch(text) or _is_command(text):
        return True
    joined = _SPLITTING.sub("", text)
    return (joined != text and _is_command(joined)) or _is_taken_apart(text)


def _is_taken_apart(text: str) -> bool:
    """Returns whether the text is a command when the quotes and marks within it are removed."""
    bare = text.translate(_MARKS)
    return bare != text and bare.strip() in _UNMISTAKABLE


def _is_command(text: str) -> bool:
    if _SCRIPT.match(text):
        return False
    words = words_of(text.replace("\\n", " ").replace("\\r", " "))
    return (
        any(_is_near_the_start(text, rule.search(text, words)) for rule in (_SHELL, _GLOBBED, _READS))
        or _EXPANSION.search(text, words) is not None
        or _BEGUN.search(text, words) is not None
        or _RUN_BY_CODE.search(text, words) is not None
        or any(_is_out_of_place(text, found) for found in _CHAINED_STRONG.finditer(text, words))
        or any(_is_deliberate(text, found) for found in _CHAINED_WEAK.finditer(text, words))
        or (_ECHO.search(text, words) is not None and not _SENTENCE.search(text))
        or any(not _is_in_prose(text, found) for found in _SUBSTITUTED.finditer(text, words))
    )


def _words_before(text: str, found: re.Match[str]) -> int:
    """Counts the words before the match. A URL at the start of the text does not count."""
    address = _ADDRESS.match(text)
    begin = address.end() if address else 0
    return len(_WORDS.findall(text, max(begin, found.start() - 400), found.start()))


def _is_near_the_start(text: str, found: re.Match[str] | None) -> bool:
    """Returns whether the match follows a short value. Within a longer text it is content."""
    return found is not None and _words_before(text, found) < 8


def _is_out_of_place(text: str, found: re.Match[str]) -> bool:
    """Returns whether the match is neither within a sentence nor within code."""
    return not _is_in_prose(text, found) and not _continues_code(text, found.end())


def _is_in_prose(text: str, found: re.Match[str]) -> bool:
    """Returns whether the match is within a sentence, or starts a line of a longer text."""
    return _words_before(text, found) > 5 or (
        found[0][:1] in "\n\r`" and len(_WORDS.findall(text, found.end(), found.end() + 200)) > 4
    )


def _continues_code(text: str, end: int) -> bool:
    return text[end : end + 3].lstrip().startswith(("(", "=", ".", ":", "[", ","))


def _is_deliberate(text: str, found: re.Match[str]) -> bool:
    """Returns whether a word that is also a command is used as one: with arguments, or directly after a separator."""
    words = _words_before(text, found)
    if words > 3:
        return False
    mark, gap = found["mark"], found["gap"]
    if found["argument"]:
        return not _continues_code(text, found.end("name")) and (not words or mark != "&" or not gap)
    is_attached = not gap and mark in (";", "|", "||", "&&", "`", "$(")
    return not words or (is_attached and len(text[: found.start()].split()) < 3)
