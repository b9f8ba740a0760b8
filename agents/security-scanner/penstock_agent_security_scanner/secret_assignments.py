"""Names and the values they are given, in programs and in files of settings."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

# Files of plain settings, where a value needs no quotes.
_SETTINGS: Final = re.compile(
    r"(?i)(?:^|/)\.?env(?:\.[\w.-]+)?$|\.(?:env|cfg|cnf|conf|config|ini|properties|toml|ya?ml|json|xml|plist|"
    r"tfvars|netrc|npmrc|pypirc|pgpass|yarnrc|credentials|ftpconfig|esmtprc|s3cfg|my\.cnf|service|inf|reg|"
    r"settings|prefs|rdp|ovpn|tf|hcl|sh|bash|zsh|envrc|bat|ps1|dockerfile|jsonc|json5|template|erb|j2)$|"
    r"(?:^|/)(?:\.?(?:netrc|npmrc|pypirc|pgpass|bashrc|bash_profile|profile|zshrc|zprofile|s3cfg|dockercfg|"
    r"htpasswd|git-credentials|esmtprc|ftpconfig|muttrc|msmtprc|my\.cnf)|credentials|config|dockerfile|hub|"
    r"secrets?|passwords?|jenkinsfile|vagrantfile|procfile|\w*passwd)$"
)
_SHELL: Final = re.compile(
    r"(?i)\.(?:sh|bash|zsh|envrc|bat|ps1)$|(?:^|/)\.?(?:bashrc|bash_profile|profile|zshrc|zprofile)$|dockerfile"
)
_MARKUP: Final = re.compile(
    r"(?i)\.(?:xml|html?|config|plist|csproj|xaml|jsp|vue|svelte|jsx|tsx|xhtml|resx)$"
)
_PROSE: Final = re.compile(
    r"(?i)\.(?:md|rst|txt|adoc|markdown|tex|po|pot|log|csv|svg|ipynb|map|lock|sum|min\.js|css|scss|less)$"
)

_NAME: Final = r"[A-Za-z_$@][\w$.@-]{1,60}"
# name = "value", "name": "value", name => 'value', name := "value", ["name"] = 'value', name="value"
_QUOTED: Final = re.compile(
    rf"(?P<name>{_NAME}|(?<=['\"])[\w .:/-]{{2,60}}(?=['\"]))['\"]?\]?\)?\s*"
    r"(?::\s*(?:[A-Za-z_][\w.\[\]<> |]{0,40})?\s*=|:=|=>|[=:]|==|!=|===|\?=|\|\|=|\+=|,(?=\s*['\"]))\s*"
    r"(?:[bBrRuUfF@LN]{0,2}|String\(|new\s+String\(|\()"
    r"(?P<quote>\"\"\"|'''|\"|'|`)(?P<value>(?:\\.|(?!(?P=quote))[^\\\n])*)(?P=quote)"
)
# name = value, name: value, export NAME=value
_PLAIN: Final = re.compile(
    rf"^\s*(?:export\s+|set\s+|setx?\s+|ENV\s+|ARG\s+|local\s+|-\s+|declare\s+(?:-\w+\s+)?|<?\s*|\$env:|[;#]?\s{{0,1}})"
    rf"['\"]?(?P<name>{_NAME})['\"]?\s*(?:=|:(?=\s)|\s(?=\S+$))\s*(?P<value>[^\s'\"#;][^#\n]*?)\s*(?:\s#.*)?$"
)
_ELEMENT: Final = re.compile(r"<(?P<name>[\w:.-]{2,60})(?:\s[^<>]*)?>(?P<value>[^<>\n]{4,200})</")
_ATTRIBUTE: Final = re.compile(
    r"(?i)\b(?:key|name|id|property)\s*=\s*[\"'](?P<name>[\w.:-]{2,60})[\"'][^<>\n]{0,60}?\bvalue\s*=\s*[\"'](?P<value>[^\"'\n]{4,200})[\"']"
)
_PARTS: Final = re.compile(
    r"(?i)(?:^|[;\s\"'&?])(?P<name>password|pwd|user password|accountkey|sharedaccesskey|secret)\s*=\s*(?P<value>[^;\s\"'&<>]{4,200})"
)
_FLAG: Final = re.compile(
    r"(?:^|\s)--?(?P<name>[a-z][\w-]{2,40})[= ](?P<value>[^\s'\"$-][^\s'\"]{3,200})"
)
_DEFINE: Final = re.compile(
    r"(?i)(?:#define\s+|define\(\s*['\"]|setenv\s+|putenv\(['\"])(?P<name>\w{2,60})['\"]?[\s,=]+['\"](?P<value>[^'\"\n]{4,200})['\"]"
)


@dataclass(frozen=True)
class Assignment:
    """A name and the value it gets; `plain` in files where it is a setting."""

    name: str
    value: str
    plain: bool


def is_settings(file: str) -> bool:
    """Whether a file holds settings rather than a program."""
    return _SETTINGS.search(file) is not None


def is_prose(file: str) -> bool:
    """Whether a file is for people, or made by machines."""
    return _PROSE.search(file) is not None


def assignments(file: str, line: str) -> Iterator[Assignment]:
    """Everything on a line that gives a value to a name.

    Args:
        file: Decides how the line is read.
        line: At most a few hundred characters.
    """
    settings = is_settings(file)
    for match in _QUOTED.finditer(line):
        yield Assignment(match["name"], match["value"], settings)
    for match in _DEFINE.finditer(line):
        yield Assignment(match["name"], match["value"], settings)
    for match in _PARTS.finditer(line):
        yield Assignment(match["name"], match["value"], plain=True)
    if _MARKUP.search(file) or "<" in line:
        for pattern in (_ELEMENT, _ATTRIBUTE):
            for match in pattern.finditer(line):
                yield Assignment(match["name"].rpartition(":")[2], match["value"], plain=True)
    if settings:
        plain = _PLAIN.match(line)
        if plain is not None and not line.lstrip().startswith(("//", "<!--", "/*")):
            yield Assignment(plain["name"], _without_rest(plain["value"]), plain=True)
    if _SHELL.search(file) or is_prose(file):
        for match in _FLAG.finditer(line):
            yield Assignment(match["name"], match["value"], plain=True)


def _without_rest(value: str) -> str:
    """Several assignments on one line, as in `ENV A=1 B=2`: the first."""
    head, _, tail = value.partition(" ")
    return head if "=" in tail else value
