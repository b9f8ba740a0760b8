"""Credentials with a form of their own: a fixed, unmistakable prefix or frame."""

import re
from dataclasses import dataclass
from typing import Final

from penstock_agent_security_scanner.models import Severity


@dataclass(frozen=True)
class Format:
    """A kind of credential.

    Attributes:
        name: What findings of it are called.
        pattern: Matches the value, or has it as its first group.
        hint: A text without which the pattern cannot match; looked for first.
    """

    name: str
    pattern: re.Pattern[str]
    hint: str
    severity: Severity = "high"


def _format(name: str, hint: str, pattern: str, severity: Severity = "high") -> Format:
    return Format(name, re.compile(pattern), hint, severity)


_END: Final = r"(?![0-9A-Za-z_-])"
FORMATS: Final[tuple[Format, ...]] = (
    _format("private-key", "PRIVATE KEY", r"-----BEGIN (?:[A-Z0-9]+ ){0,3}PRIVATE KEY(?: BLOCK)?-----", "critical"),
    _format("putty-private-key", "PuTTY-User-Key-File", r"PuTTY-User-Key-File-[23]:", "critical"),
    _format("age-secret-key", "AGE-SECRET-KEY-1", r"AGE-SECRET-KEY-1[0-9A-Z]{58}", "critical"),
    _format("aws-access-key", "A", r"(?<![0-9A-Za-z/+])((?:AKIA|ASIA|ABIA|ACCA)[A-Z0-9]{16})(?![0-9A-Za-z/+=])", "critical"),
    _format("github-token", "gh", r"\b(gh[pousr]_[0-9A-Za-z]{36,255})" + _END),
    _format("github-fine-grained-token", "github_pat_", r"\b(github_pat_[0-9A-Za-z_]{50,255})" + _END),
    _format("gitlab-token", "gl", r"\b(gl(?:pat|dt|rt|cbt|ptt|ft|imt|agent|oas|soat)-[0-9A-Za-z_.=-]{20,64})" + _END),
    _format("slack-token", "xox", r"\b(xox[abposre]-(?:[0-9A-Za-z]{1,48}-){1,4}[0-9A-Za-z]{10,72})" + _END),
    _format("slack-app-token", "xapp-", r"\b(xapp-\d-[A-Z0-9]+-\d+-[0-9a-f]{40,80})" + _END),
    _format("slack-webhook", "hooks.slack", r"hooks\.slack\.com/(?:services|workflows)/[A-Za-z0-9_]{6,14}/[A-Za-z0-9_]{6,14}/([A-Za-z0-9_]{16,32})"),
    _format("discord-webhook", "webhooks", r"discord(?:app)?\.com/api/webhooks/\d{15,21}/([0-9A-Za-z_-]{50,80})"),
    _format("discord-token", ".", r"(?<![0-9A-Za-z_-])([MNO][0-9A-Za-z_-]{23,27}\.[0-9A-Za-z_-]{6}\.[0-9A-Za-z_-]{27,40})" + _END),
    _format("teams-webhook", "webhook.office", r"[\w.-]+\.webhook\.office\.com/webhookb2/[0-9a-f-]{36}@[0-9a-f-]{36}/IncomingWebhook/([0-9a-f]{32})"),
    _format("stripe-key", "_", r"\b((?:sk|rk)_(?:live|test)_[0-9A-Za-z]{20,247})" + _END),
    _format("stripe-webhook-secret", "whsec_", r"\b(whsec_[0-9A-Za-z+/=]{32,64})"),
    _format("sendgrid-key", "SG.", r"\b(SG\.[0-9A-Za-z_-]{16,32}\.[0-9A-Za-z_-]{32,64})" + _END),
    _format("twilio-key", "SK", r"(?<![0-9A-Za-z])(SK[0-9a-f]{32})(?![0-9A-Za-z])"),
    _format("mailgun-key", "key-", r"(?<![0-9A-Za-z-])(key-[0-9a-f]{32})(?![0-9A-Za-z])"),
    _format("mailchimp-key", "-us", r"(?<![0-9A-Za-z])([0-9a-f]{32}-us\d{1,2})(?![0-9A-Za-z])"),
    _format("google-api-key", "AIza", r"\b(AIza[0-9A-Za-z_-]{35})" + _END),
    _format("google-oauth-secret", "GOCSPX-", r"\b(GOCSPX-[0-9A-Za-z_-]{28})" + _END),
    _format("google-oauth-token", "ya29.", r"\b(ya29\.[0-9A-Za-z_-]{30,})"),
    _format("google-refresh-token", "1//0", r"(?<![0-9A-Za-z/])(1//0[0-9A-Za-z_-]{35,})"),
    _format("npm-token", "npm_", r"\b(npm_[0-9A-Za-z]{36})" + _END),
    _format("pypi-token", "pypi-AgE", r"\b(pypi-AgE[0-9A-Za-z_-]{50,})"),
    _format("rubygems-key", "rubygems_", r"\b(rubygems_[0-9a-f]{48})\b"),
    _format("docker-token", "dckr_", r"\b(dckr_(?:pat|oat)_[0-9A-Za-z_-]{27,})"),
    _format("digitalocean-token", "_v1_", r"\b(do[opr]_v1_[0-9a-f]{64})\b"),
    _format("shopify-token", "shp", r"\b(shp(?:at|ca|pa|ss)_[0-9a-fA-F]{32})\b"),
    _format("square-token", "sq0", r"\b(sq0(?:atp|csp|idp)-[0-9A-Za-z_-]{22,43})" + _END),
    _format("square-access-token", "EAAA", r"\b(EAAA[0-9A-Za-z_-]{60})" + _END),
    _format("telegram-token", ":AA", r"(?<![0-9A-Za-z])(\d{8,10}:AA[0-9A-Za-z_-]{32,35})" + _END),
    _format("openai-key", "sk-", r"\b(sk-(?:proj-|svcacct-|admin-)?[0-9A-Za-z_-]{10,}T3BlbkFJ[0-9A-Za-z_-]{20,})"),
    _format("openai-key", "sk-", r"(?<![0-9A-Za-z_-])(sk-[0-9A-Za-z]{48})" + _END),
    _format("anthropic-key", "sk-ant-", r"\b(sk-ant-[0-9A-Za-z_-]{80,120})"),
    _format("hugging-face-token", "hf_", r"\b(hf_[A-Za-z0-9]{34,40})" + _END),
    _format("databricks-token", "dapi", r"\b(dapi[0-9a-f]{32}(?:-\d)?)" + _END),
    _format("vault-token", "hv", r"\b(hv[sbr]\.[0-9A-Za-z_-]{24,300})"),
    _format("newrelic-key", "NRAK-", r"\b(NRAK-[0-9A-Z]{27})\b"),
    _format("linear-key", "lin_api_", r"\b(lin_api_[0-9A-Za-z]{40})" + _END),
    _format("grafana-token", "gl", r"\b(gl(?:sa_[0-9A-Za-z]{32}_[0-9a-f]{8}|c_[0-9A-Za-z+/]{32,400}={0,2}))"),
    _format("notion-token", "n", r"\b((?:secret_[0-9A-Za-z]{43}|ntn_[0-9A-Za-z]{40,}))" + _END),
    _format("figma-token", "figd_", r"\b(figd_[0-9A-Za-z_-]{40,})"),
    _format("postman-key", "PMAK-", r"\b(PMAK-[0-9a-f]{24}-[0-9a-f]{34})\b"),
    _format("pulumi-token", "pul-", r"\b(pul-[0-9a-f]{40})\b"),
    _format("terraform-token", ".atlasv1.", r"\b([0-9A-Za-z]{14}\.atlasv1\.[0-9A-Za-z_-]{60,70})"),
    _format("artifactory-token", "AKC", r"(?<![0-9A-Za-z])(AKC[0-9A-Za-z]{60,})"),
    _format("facebook-token", "EAA", r"\b(EAA(?:CEdEose0cBA|[0-9A-Za-z]{80,}))"),
    _format("atlassian-token", "ATATT3", r"\b(ATATT3[0-9A-Za-z_=-]{100,})"),
    _format("sentry-token", "sntry", r"\b(sntry[su]_[0-9A-Za-z_+/=-]{40,})"),
    _format("planetscale-token", "pscale_", r"\b(pscale_(?:tkn|pw|oauth)_[0-9A-Za-z_=.-]{32,64})"),
    _format("doppler-token", "dp.", r"\b(dp\.(?:pt|st|ct|sa|scim|audit)\.[0-9A-Za-z._-]{40,})"),
    _format("azure-storage-key", "AccountKey=", r"AccountKey=([0-9A-Za-z+/]{86}==)", "critical"),
    _format("azure-shared-access", "SharedAccessKey=", r"SharedAccessKey=([0-9A-Za-z+/]{43}=)"),
    _format("json-web-token", "eyJ", r"(?<![0-9A-Za-z_.-])(eyJ[0-9A-Za-z_-]{10,}\.eyJ[0-9A-Za-z_-]{10,}\.[0-9A-Za-z_-]{20,})"),
    _format("bearer-token", "earer ", r"[Bb]earer\s+((?=[0-9A-Za-z_.~+/-]*\d)[0-9A-Za-z_.~+/-]{24,}=*)"),
    _format("basic-credentials", "asic ", r"\b[Bb]asic\s+((?=[0-9A-Za-z+/]*\d)(?=[0-9A-Za-z+/]*[A-Z])[0-9A-Za-z+/]{16,}={0,2})(?![0-9A-Za-z])"),
    _format("netrc-password", "password", r"\bmachine\s+\S+\s+login\s+\S+\s+password\s+(\S+)"),
    _format("curl-credentials", "curl", r"\bcurl\b[^\n|;]{0,200}\s(?:-u|--user)[ =]?['\"]?[^\s:'\"$]+:([^\s'\"$]{4,})"),
    _format("docker-auth", "\"auth\"", r"\"auth\"\s*:\s*\"([0-9A-Za-z+/]{16,}={0,2})\""),
    _format("npm-auth", "_auth", r"(?m)^\s*(?:\S*:)?_auth(?:Token)?\s*=\s*\"?([0-9A-Za-z+/=_.-]{12,})"),
)  # fmt: skip
# A password between the scheme's slashes and the host. Some leave reserved characters unescaped.
ADDRESS: Final = re.compile(
    r"\b([a-z][a-z0-9+.-]{1,20})://([^\s:/@\"'`{}<>$]{0,100}):([^\s\"'`<>]{1,200}?)@(?=[\w.\[$-])"
)
