"""What a file is, by its name: that decides how credentials are read from it."""

import re

_SAMPLE = re.compile(
    r"(?i)^(?:example|sample|template|dist|tmpl|tpl|defaults?|schema|ci|test|testing|demo)$"
)
_ENV_FILE = re.compile(r"(?:^|/)(?:\.env(?:\.[\w.-]+)?|[\w-]+\.env|\.envrc|\.flaskenv)$")
DOCKERFILE = re.compile(r"(?i)(?:^|/)(?:docker|container)file(?:\.[\w-]+)?$|\.dockerfile$")
PAIRS = re.compile(
    r"(?i)\.(?:ini|cfg|cnf|conf|properties|toml|tfvars|config|env|pypirc|credentials|reg"
    r"|desktop|service)$"
    r"|(?:^|/)(?:\.?(?:npmrc|pypirc|s3cfg|credentials|my\.cnf|gemrc|curlrc|wgetrc|boto"
    r"|dockercfg|config|ftpconfig|tugboat"
    r"|bash_profile|bashrc|zshrc|profile|zprofile|bash_history|zsh_history|gitconfig"
    r"|muttrc|fetchmailrc))$"
)
YAML = re.compile(r"(?i)\.(?:ya?ml|sls|raml)$|(?:^|/)(?:hub|\.tugboat|\.travis)$")
MARKUP = re.compile(r"(?i)\.(?:xml|config|plist|xaml|props|targets|pom|csproj|html?|jsp|wsdl)$")
SHELL = re.compile(r"(?i)\.(?:sh|bash|zsh|ksh|fish|bat|cmd|ps1|mk)$")
DATA = re.compile(
    r"(?i)\.(?:json|json5|jsonc|ipynb|tfstate|webmanifest)$|(?:^|/)\.(?:ftpconfig|dockercfg)$"
)
PROSE = re.compile(
    r"(?i)\.(?:md|rst|txt|adoc|csv|tsv|log|svg|po|pot|snap|sum|map|lock|diff|patch"
    r"|min\.js|min\.css|css)$"
)
_LOCK = re.compile(
    r"(?i)(?:^|/)(?:package-lock\.json|npm-shrinkwrap\.json|yarn\.lock|pnpm-lock\.yaml"
    r"|composer\.lock|go\.sum|cargo\.lock"
    r"|poetry\.lock|uv\.lock|pdm\.lock|gemfile\.lock|pipfile\.lock"
    r"|requirements[\w.-]*\.lock|\.terraform\.lock\.hcl)$"
)


_TRANSLATED = re.compile(
    r"(?i)(?:^|/)(?:i18n|l10n|locales?|lang|languages?|translations?|messages)/"
    r"|(?:^|[/_.-])(?:messages|strings)[_.-][a-z]{2}"
)


def is_translation(name: str) -> bool:
    """Whether a file holds texts for people, under names of what they label."""
    return _TRANSLATED.search(name) is not None


def is_prose(name: str) -> bool:
    """Whether a file is read by people or made by programs, and configures nothing."""
    return PROSE.search(name) is not None


def is_env_file(name: str) -> bool:
    """Whether a file is one that is read into an environment."""
    return _ENV_FILE.search(name) is not None


def is_sample(name: str) -> bool:
    """Whether a file is there to be copied and filled in."""
    base = name.rpartition("/")[2].removesuffix(".env")
    return any(_SAMPLE.match(part) for part in re.split(r"[._-]", base) if part)


def is_lock(name: str) -> bool:
    """Whether a program wrote the file, full of digests."""
    return _LOCK.search(name) is not None
