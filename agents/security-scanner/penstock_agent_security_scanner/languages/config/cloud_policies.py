"""Policies that allow everything, or everybody."""

from collections.abc import Iterator

from penstock_agent_security_scanner.catalogue import Rule
from penstock_agent_security_scanner.languages.config import rules
from penstock_agent_security_scanner.languages.config.parts import Part
from penstock_agent_security_scanner.languages.config.read_terraform import Section

Found = Iterator[tuple[Rule, int]]

_POLICIES = frozenset(
    {"aws_iam_policy", "aws_iam_role_policy", "aws_iam_user_policy", "aws_iam_group_policy",
     "aws_iam_role", "aws_s3_bucket_policy", "aws_s3_bucket", "aws_sqs_queue_policy",
     "aws_sqs_queue",
     "aws_sns_topic_policy",
     "aws_sns_topic", "aws_kms_key", "aws_ecr_repository_policy",
     "aws_secretsmanager_secret_policy", "aws_elasticsearch_domain_policy", "aws_glacier_vault",
     "aws_elasticsearch_domain", "aws_opensearch_domain", "aws_efs_file_system_policy",
     "aws_ssoadmin_permission_set_inline_policy", "aws_backup_vault_policy", "aws_vpc_endpoint",
     "aws_cloudwatch_log_resource_policy", "aws_codeartifact_domain_permissions_policy"}
)  # fmt: skip
_EVERYBODY_GOOGLE = frozenset({"allusers", "allauthenticatedusers"})
_WIDE_ROLES = frozenset({"roles/owner", "roles/editor", "owner", "contributor"})
MAX_STATEMENTS = 100
_POWERFUL = frozenset(
    {"iam:*", "s3:*", "sts:*", "ec2:*", "kms:*", "sqs:*", "dynamodb:*", "lambda:*", "sns:*",
     "rds:*", "secretsmanager:*", "organizations:*"}
)  # fmt: skip


def judged(section: Section) -> Found:
    """Rule and line of every policy that is too wide."""
    kind = section.labels[0] if section.labels else ""
    values = section.values
    if section.type == "data" and kind == "aws_iam_policy_document":
        for statement in values.each("statement")[:MAX_STATEMENTS]:
            yield from _document(statement)
    if section.type != "resource":
        return
    if kind in _POLICIES:
        for name in ("policy", "assume_role_policy", "access_policies", "inline_policy"):
            for part in values.each(name):
                yield from _policy(
                    part if part.get("policy") is None else part.get("policy") or part
                )
    if kind == "azurerm_role_definition":
        for permission in values.each("permissions"):
            if any(part.text() == "*" for part in permission.each("actions")):
                yield rules.WIDE_ROLE, permission.line_of("actions")
    if kind.startswith("google_") and (
        "_iam_" in kind or kind == "google_storage_default_object_acl"
    ):
        yield from _google(values)
    attached = kind.startswith("aws_iam_") and kind.endswith("_policy_attachment")
    if attached and values.text("policy_arn").endswith(("/AdministratorAccess", "/IAMFullAccess")):
        yield rules.WIDE_ROLE, values.line_of("policy_arn")


def _google(values: Part) -> Found:
    for name in ("member", "members"):
        for part in values.each(name):
            if part.text().lower() in _EVERYBODY_GOOGLE:
                yield rules.ANONYMOUS, values.line_of(name)
    if values.text("role").lower() in _WIDE_ROLES:
        yield rules.WIDE_ROLE, values.line_of("role")


def _policy(policy: Part) -> Found:
    for statement in policy.each("Statement")[:MAX_STATEMENTS]:
        if statement.text("Effect") != "Allow":
            continue
        conditional = statement.get("Condition") is not None
        actions = [part.text().lower() for part in statement.each("Action")]
        things = [part.text() for part in statement.each("Resource")]
        if _is_wide(actions, things, statement.get("Principal") is not None):
            yield rules.WIDE_ROLE, statement.line_of("Action")
        if not conditional and _is_everybody(statement):
            yield rules.ANONYMOUS, statement.line_of("Principal")


def _is_wide(actions: list[str], things: list[str], has_principal: bool) -> bool:
    if "*" in actions or "*:*" in actions:
        return True
    if has_principal:
        return False
    return "*" in things and any(action in _POWERFUL for action in actions)


def _is_everybody(statement: Part) -> bool:
    principal = statement.get("Principal")
    if principal is None:
        return False
    if principal.text() == "*":
        return True
    return any(part.text() == "*" for part in principal.each("AWS"))


def _document(statement: Part) -> Found:
    if statement.text("effect") == "Deny":
        return
    actions = [part.text().lower() for part in statement.each("actions")]
    things = [part.text() for part in statement.each("resources")]
    principals = statement.each("principals")
    if _is_wide(actions, things, bool(principals)):
        yield rules.WIDE_ROLE, statement.line_of("actions")
    if statement.get("condition") is None:
        for principal in principals:
            everybody = any(part.text() == "*" for part in principal.each("identifiers"))
            if everybody and principal.text("type") in ("AWS", "*"):
                yield rules.ANONYMOUS, principal.line_of("identifiers")
