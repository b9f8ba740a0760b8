"""Every rule for images, clusters, pipelines and clouds, on a weak text and its safe twin."""

# ruff: noqa: E501 (a twin is one line, however long)

import pytest

from penstock_agent_security_scanner.catalogue import Rule
from penstock_agent_security_scanner.languages.config import rules
from tests.unit.read_sources import found_in


def found(name: str, text: str) -> set[str]:
    """Names of rules."""
    return {rule for rule, _ in found_in(name, text)}


IMAGE = "FROM debian:12.1\n{}\nUSER app\n"
POD = "apiVersion: v1\nkind: Pod\nspec:\n{}\n"
CONTAINER = POD.format("  containers:\n    - name: a\n      image: a:1.0\n{}")
CONTEXT = CONTAINER.format("      securityContext:\n        {}")
SERVICE = "services:\n  a:\n    image: a:1.0\n    {}\n"
WORKFLOW = "on: {}\njobs:\n  a:\n    runs-on: x\n    steps:\n      - {}\n"

DOCKERFILES = [
    (rules.ROOT_IMAGE, "FROM debian:12.1\nRUN true\n", "FROM debian:12.1\nUSER 1000\n"),
    (rules.ROOT_IMAGE, "FROM a:1\nUSER app\nUSER root\n", "FROM a:1\nUSER root\nUSER app\n"),
    (rules.UNPINNED_IMAGE, "FROM debian\nUSER app\n", "FROM debian:12.1 AS b\nFROM b\nUSER app\n"),
    (rules.REMOTE_ADD, "ADD https://example.com/a.tar.gz /", "ADD --checksum=sha256:aa https://example.com/a /"),
    (rules.ADD, "ADD app.py /app/", "ADD app.tar.gz /app/"),
    (rules.PIPED, "RUN curl -s https://example.com/i | sh", "RUN curl -so i https://example.com/i"),
    (rules.PIPED, "RUN curl -s https://example.com/i \\\n  | bash -s -- -y", "RUN apt-get update"),
    (rules.WIDE_MODE, "RUN chmod -R 777 /app", "RUN chmod -R 755 /app"),
    (rules.SUDO, "RUN sudo apt-get update", "RUN apt-get update"),
    (rules.SECRET_IN_IMAGE, "ENV DB_PASSWORD=hunter22x", "ENV DB_PASSWORD_FILE=/run/secrets/db"),
    (rules.SSH_PORT, "EXPOSE 22", "EXPOSE 8080"),
    (rules.TLS_OFF, "RUN curl -k https://example.com", "RUN curl https://example.com"),
    (rules.TLS_OFF, "ENV NODE_TLS_REJECT_UNAUTHORIZED=0", "ENV NODE_TLS_REJECT_UNAUTHORIZED=1"),
    (rules.UNSIGNED, "RUN apt-get install -y --allow-unauthenticated a", "RUN apt-get install -y a"),
    (rules.HOST_SOCKET, "VOLUME /var/run/docker.sock", "VOLUME /data"),
]  # fmt: skip

MANIFESTS = [
    (rules.PRIVILEGED, CONTEXT.format("privileged: true"), CONTEXT.format("privileged: false")),
    (rules.ESCALATION, CONTEXT.format("allowPrivilegeEscalation: true"),
     CONTEXT.format("allowPrivilegeEscalation: false")),
    (rules.MAY_ESCALATE, CONTEXT.format("privileged: false"),
     CONTEXT.format("allowPrivilegeEscalation: false")),
    (rules.ROOT_CONTAINER, CONTEXT.format("runAsUser: 0"), CONTEXT.format("runAsUser: 1000")),
    (rules.ROOT_CONTAINER, CONTAINER.format(""), CONTEXT.format("runAsNonRoot: true")),
    (rules.HOST_NAMESPACE, POD.format("  hostNetwork: true\n  containers: []"),
     POD.format("  hostNetwork: false\n  containers: []")),
    (rules.HOST_PATH, POD.format("  volumes:\n    - hostPath: {path: /srv}"),
     POD.format("  volumes:\n    - emptyDir: {}")),
    (rules.HOST_SOCKET, POD.format("  volumes:\n    - hostPath: {path: /var/run/docker.sock}"),
     POD.format("  volumes:\n    - hostPath: {path: /srv/data}")),
    (rules.CAPABILITIES, CONTEXT.format("capabilities: {add: [SYS_ADMIN]}"),
     CONTEXT.format("capabilities: {add: [NET_BIND_SERVICE]}")),
    (rules.KEPT_CAPABILITIES, CONTEXT.format("privileged: false"),
     CONTEXT.format("capabilities: {drop: [ALL]}")),
    (rules.WRITABLE_ROOT, CONTEXT.format("privileged: false"),
     CONTEXT.format("readOnlyRootFilesystem: true")),
    (rules.NO_LIMITS, CONTAINER.format(""),
     CONTAINER.format("      resources: {limits: {cpu: 1, memory: 1Gi}}")),
    (rules.TOKEN, POD.format("  containers: []"),
     POD.format("  automountServiceAccountToken: false\n  containers: []")),
    (rules.UNCONFINED, CONTEXT.format("seccompProfile: {type: Unconfined}"),
     CONTEXT.format("seccompProfile: {type: RuntimeDefault}")),
    (rules.NO_PROFILE, CONTAINER.format(""), CONTEXT.format("seccompProfile: {type: RuntimeDefault}")),
    (rules.HOST_PORT, CONTAINER.format("      ports: [{hostPort: 80}]"),
     CONTAINER.format("      ports: [{containerPort: 80}]")),
    (rules.UNPINNED_IMAGE, POD.format("  containers:\n    - image: nginx:latest"),
     POD.format("  containers:\n    - image: nginx:1.27")),
    (rules.SECRET_IN_CONFIG, CONTAINER.format("      env: [{name: API_KEY, value: a8f3c9d2e1}]"),
     CONTAINER.format("      env: [{name: API_KEY, valueFrom: {secretKeyRef: {name: a}}}]")),
    (rules.WIDE_ROLE,
     'apiVersion: v1\nkind: ClusterRole\nrules:\n  - {resources: ["*"], verbs: ["*"]}\n',
     "apiVersion: v1\nkind: ClusterRole\nrules:\n  - {resources: [pods], verbs: [get]}\n"),
    (rules.ANONYMOUS,
     "apiVersion: v1\nkind: RoleBinding\nsubjects: [{name: 'system:anonymous'}]\n",
     "apiVersion: v1\nkind: RoleBinding\nsubjects: [{name: 'ann'}]\n"),
]  # fmt: skip

COMPOSE = [
    (rules.PRIVILEGED, "privileged: true", "privileged: false"),
    (rules.HOST_NAMESPACE, "network_mode: host", "network_mode: bridge"),
    (rules.CAPABILITIES, "cap_add: [SYS_ADMIN]", "cap_add: [NET_BIND_SERVICE]"),
    (rules.UNCONFINED, "security_opt: ['seccomp:unconfined']", "security_opt: ['seccomp:p.json']"),
    (rules.ESCALATION, "security_opt: ['no-new-privileges:false']",
     "security_opt: ['no-new-privileges:true']"),
    (rules.ROOT_CONTAINER, "user: root", "user: '1000'"),
    (rules.HOST_SOCKET, "volumes: ['/var/run/docker.sock:/var/run/docker.sock']",
     "volumes: ['data:/data']"),
    (rules.HOST_PATH, "volumes: ['/etc:/host/etc']", "volumes: ['./etc:/etc/app']"),
    (rules.SECRET_IN_CONFIG, "environment: {DB_PASSWORD: hunter22x}",
     "environment: {DB_PASSWORD: '${DB_PASSWORD}'}"),
    (rules.EXPOSED_PORT, "ports: ['5432:5432']", "ports: ['127.0.0.1:5432:5432']"),
    (rules.NO_LIMITS, "restart: always", "mem_limit: 1g"),
]  # fmt: skip

WORKFLOWS = [
    (rules.SCRIPT_INJECTION, WORKFLOW.format("issues", "run: echo ${{ github.event.issue.title }}"),
     WORKFLOW.format("issues", "run: echo $T\n        env: {T: '${{ github.event.issue.title }}'}")),
    (rules.INPUT_IN_SCRIPT, WORKFLOW.format("workflow_call", "run: echo ${{ inputs.name }}"),
     WORKFLOW.format("workflow_call", "run: echo ${{ github.sha }}")),
    (rules.UNTRUSTED_CHECKOUT,
     WORKFLOW.format("pull_request_target", "uses: actions/checkout@v4\n        with: {ref: '${{ github.event.pull_request.head.sha }}'}"),
     WORKFLOW.format("pull_request", "uses: actions/checkout@v4\n        with: {ref: '${{ github.event.pull_request.head.sha }}'}")),
    (rules.UNPINNED_ACTION, WORKFLOW.format("push", "uses: someone/thing@v1"),
     WORKFLOW.format("push", f"uses: someone/thing@{'a1' * 20}")),
    (rules.WRITE_ALL, "permissions: write-all\n" + WORKFLOW.format("push", "run: make"),
     "permissions: read-all\n" + WORKFLOW.format("push", "run: make")),
    (rules.UNSAFE_COMMANDS,
     "env: {ACTIONS_ALLOW_UNSECURE_COMMANDS: true}\n" + WORKFLOW.format("push", "run: make"),
     WORKFLOW.format("push", "run: make")),
    (rules.ALL_SECRETS, WORKFLOW.format("push", "run: echo '${{ toJSON(secrets) }}'"),
     WORKFLOW.format("push", "run: echo '${{ secrets.ONE }}'")),
    (rules.PIPED, WORKFLOW.format("push", "run: curl https://example.com/i | bash"),
     WORKFLOW.format("push", "run: curl -o i https://example.com/i")),
]  # fmt: skip

CLOUDS = [
    (rules.PUBLIC, "aws_s3_bucket_acl", 'acl = "public-read"', 'acl = "private"'),
    (rules.PUBLIC, "aws_db_instance", "publicly_accessible = true", "publicly_accessible = false"),
    (rules.OPEN_INGRESS, "aws_security_group",
     'ingress {\n from_port = 22\n to_port = 22\n protocol = "tcp"\n cidr_blocks = ["0.0.0.0/0"]\n}',
     'ingress {\n from_port = 22\n to_port = 22\n protocol = "tcp"\n cidr_blocks = ["10.0.0.0/8"]\n}'),
    (rules.OPEN_ANY, "aws_security_group",
     'ingress {\n from_port = 443\n to_port = 443\n cidr_blocks = ["0.0.0.0/0"]\n}',
     'egress {\n from_port = 443\n to_port = 443\n cidr_blocks = ["0.0.0.0/0"]\n}'),
    (rules.OPEN_INGRESS, "google_compute_firewall",
     'source_ranges = ["0.0.0.0/0"]\nallow {\n protocol = "tcp"\n ports = ["3306"]\n}',
     'source_ranges = ["10.0.0.0/8"]\nallow {\n protocol = "tcp"\n ports = ["3306"]\n}'),
    (rules.OPEN_INGRESS, "azurerm_network_security_rule",
     'direction = "Inbound"\naccess = "Allow"\nsource_address_prefix = "*"\ndestination_port_range = "22-23"',
     'direction = "Inbound"\naccess = "Deny"\nsource_address_prefix = "*"\ndestination_port_range = "22"'),
    (rules.PLAIN_STORAGE, "aws_ebs_volume", "size = 1", "encrypted = true"),
    (rules.PLAIN_TRANSPORT, "azurerm_redis_cache", "enable_non_ssl_port = true",
     "enable_non_ssl_port = false"),
    (rules.OLD_TLS, "azurerm_storage_account", 'min_tls_version = "TLS1_0"',
     'min_tls_version = "TLS1_2"'),
    (rules.NO_LOGS, "google_storage_bucket", "", 'logging {\n log_bucket = "b"\n}'),
    (rules.WEAK_CLOUD, "azurerm_container_registry", "admin_enabled = true", "admin_enabled = false"),
    (rules.NO_RECOVERY, "azurerm_key_vault", "", "purge_protection_enabled = true"),
    (rules.METADATA, "aws_instance", "", 'metadata_options {\n http_tokens = "required"\n}'),
    (rules.NO_ROTATION, "aws_kms_key", "", "enable_key_rotation = true"),
    (rules.WEAK_PASSWORDS, "aws_iam_account_password_policy", "minimum_password_length = 6",
     "minimum_password_length = 16\npassword_reuse_prevention = 24\nrequire_uppercase_characters = true\n"
     "require_lowercase_characters = true\nrequire_numbers = true\nrequire_symbols = true"),
    (rules.SCAN_OFF, "aws_ecr_repository", "",
     "image_scanning_configuration {\n scan_on_push = true\n}"),
    (rules.WIDE_ROLE, "aws_iam_policy",
     'policy = jsonencode({ Statement = [{ Effect = "Allow", Action = "*", Resource = "*" }] })',
     'policy = jsonencode({ Statement = [{ Effect = "Allow", Action = "s3:GetObject", Resource = "*" }] })'),
    (rules.ANONYMOUS, "aws_s3_bucket_policy",
     'policy = <<EOF\n{"Statement": [{"Effect": "Allow", "Principal": "*", "Action": "s3:GetObject"}]}\nEOF\n',
     'policy = <<EOF\n{"Statement": [{"Effect": "Deny", "Principal": "*", "Action": "s3:*"}]}\nEOF\n'),
    (rules.SECRET_IN_CONFIG, "aws_db_instance", 'password = "hunter22x"', "password = var.password"),
    (rules.PRIVILEGED, "kubernetes_pod",
     "spec {\n container {\n security_context {\n privileged = true\n}\n}\n}",
     "spec {\n container {\n security_context {\n privileged = false\n}\n}\n}"),
]  # fmt: skip


def twins() -> list[tuple[Rule, str, str, str]]:
    """Rule, file name, weak and safe text."""
    cases: list[tuple[Rule, str, str, str]] = []
    for rule, *pair in DOCKERFILES:
        weak, safe = (text if "FROM" in text else IMAGE.format(text) for text in pair)
        cases.append((rule, "Dockerfile", weak, safe))
    cases += [(rule, "pod.yaml", weak, safe) for rule, weak, safe in MANIFESTS]
    cases += [
        (rule, "compose.yaml", SERVICE.format(weak), SERVICE.format(safe))
        for rule, weak, safe in COMPOSE
    ]
    cases += [(rule, ".github/workflows/a.yml", weak, safe) for rule, weak, safe in WORKFLOWS]
    for rule, kind, *pair in CLOUDS:
        weak, safe = (f'resource "{kind}" "a" {{\n{text}\n}}\n' for text in pair)
        cases.append((rule, "main.tf", weak, safe))
    return cases


@pytest.mark.parametrize(("rule", "name", "weak", "safe"), twins())
def test_a_rule_fires_on_the_weak_twin_only(rule: Rule, name: str, weak: str, safe: str) -> None:
    assert rule.name in found(name, weak)
    assert rule.name not in found(name, safe)


def test_every_rule_has_twins() -> None:
    known = {rule.name for rule in vars(rules).values() if isinstance(rule, Rule)}
    assert known == {rule.name for rule, *_ in twins()}


def test_lines_are_those_of_the_fault() -> None:
    text = CONTEXT.format("runAsNonRoot: true\n        privileged: true")
    lines = dict(found_in("a.yaml", text))
    assert lines["privileged-container"] == text.split("privileged")[0].count("\n") + 1


def test_terraform_defaults_and_other_resources_count() -> None:
    variable = 'variable "open" { default = "0.0.0.0/0" }\n'
    rule = 'resource "aws_security_group_rule" "a" {{\n type = "ingress"\n from_port = 22\n to_port = 22\n cidr_blocks = [{}]\n}}\n'
    assert "open-ingress" in found("a.tf", variable + rule.format("var.open"))
    assert "open-ingress" not in found("a.tf", rule.format("var.open"))
    bucket = 'resource "aws_s3_bucket" "b" {\n bucket = "x"\n}\n'
    versions = 'resource "aws_s3_bucket_versioning" "v" {\n bucket = aws_s3_bucket.b.id\n}\n'
    assert "no-protection-against-loss" in found("a.tf", bucket)
    assert "no-protection-against-loss" not in found("a.tf", bucket + versions)


def test_helm_templates_and_lists_of_manifests_are_read() -> None:
    text = "{{- if .Values.on }}\n" + CONTEXT.format("privileged: true") + "{{- end }}\n"
    assert "privileged-container" in found("a.yaml", text)
    inner = CONTEXT.format("privileged: true").replace("\n", "\n    ")
    assert "privileged-container" in found(
        "a.yaml", f"apiVersion: v1\nkind: List\nitems:\n  - {inner}"
    )


def test_yaml_of_no_known_kind_is_left_alone() -> None:
    assert found("a.yaml", "privileged: true\nname: a\n") == set()
