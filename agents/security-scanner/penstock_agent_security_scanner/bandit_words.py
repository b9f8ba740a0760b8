"""Words without which a check of bandit finds nothing; a check that is not listed always runs."""

import re
from typing import Final

_PROCESSES: Final = (
    r"subprocess|popen|Popen|system|spawn|exec|getoutput|getstatusoutput|startfile|shell|commands|"
    r"check_call|check_output|\bcall\b|\brun\b"
)
_WORDS: Final[dict[str, str]] = {
    "any_other_function_with_shell_equals_true": r"shell",
    "django_extra_used": r"extra",
    "django_mark_safe": r"mark_safe|Safe|safestring",
    "django_rawsql_used": r"RawSQL",
    "exec_used": r"exec",
    "flask_debug_true": r"debug",
    "hardcoded_bind_all_interfaces": r"0\.0\.0\.0",
    "hardcoded_password_default": r"(?i)pas|token|secret|pwd",
    "hardcoded_password_funcarg": r"(?i)pas|token|secret|pwd",
    "hardcoded_password_string": r"(?i)pas|token|secret|pwd",
    "hardcoded_sql_expressions": r"(?i)select|insert|update|delete|with",
    "hardcoded_tmp_directory": r"/tmp|/shm",  # noqa: S108
    "hashlib": r"hashlib|crypt",
    "huggingface_unsafe_download": r"transformers|datasets|huggingface|pretrained|load_data",
    "jinja2_autoescape_false": r"Environment",
    "linux_commands_wildcard_injection": r"\*",
    "logging_config_insecure_listen": r"listen",
    "markupsafe_markup_xss": r"Markup",
    "paramiko_calls": r"exec_command|invoke_shell",
    "pytorch_load": r"torch",
    "request_with_no_cert_validation": r"verify",
    "request_without_timeout": r"requests|httpx",
    "set_bad_file_permissions": r"chmod|0o|mode|os\.",
    "snmp_crypto_check": r"UsmUserData|snmp",
    "snmp_insecure_version_check": r"CommunityData|snmp",
    "ssh_no_host_key_verification": r"set_missing_host_key_policy",
    "ssl_with_bad_defaults": r"(?i)ssl|tls",
    "ssl_with_bad_version": r"(?i)ssl|tls",
    "ssl_with_no_version": r"ssl",
    "start_process_with_a_shell": _PROCESSES,
    "subprocess_popen_with_shell_equals_true": _PROCESSES,
    "tarfile_unsafe_members": r"extractall",
    "trojansource": "[\u200f\u202a-\u202e\u2066-\u2069]",
    "try_except_continue": r"continue",
    "try_except_pass": r"pass",
    "use_of_mako_templates": r"mako",
    "weak_cryptographic_key": r"generate",
    "yaml_load": r"yaml",
}
_NEEDED: Final = {name: re.compile(words) for name, words in _WORDS.items()}


def may_find(check: str, text: str) -> bool:
    """Whether a check can find anything in a text."""
    needed = _NEEDED.get(check)
    return needed is None or needed.search(text) is not None
