"""Manifests of Kubernetes."""

import re
from collections.abc import Iterator

from penstock_agent_security_scanner.catalogue import Rule
from penstock_agent_security_scanner.languages.config import rules
from penstock_agent_security_scanner.languages.config.parts import Part
from penstock_agent_security_scanner.languages.config.secret_names import is_secret

Found = Iterator[tuple[Rule, int]]

# Where the pod is described, by kind.
_PODS: dict[str, tuple[str, ...]] = {
    "Pod": ("spec",),
    "PodTemplate": ("template", "spec"),
    "CronJob": ("spec", "jobTemplate", "spec", "template", "spec"),
}
_TEMPLATED = frozenset(
    {"Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "ReplicationController", "Job",
     "DeploymentConfig", "Rollout", "Revision", "Service.serving"}
)  # fmt: skip
_POWERS = frozenset(
    {"ALL", "SYS_ADMIN", "NET_ADMIN", "NET_RAW", "SYS_PTRACE", "SYS_MODULE", "SYS_RAWIO",
     "SYS_BOOT", "SYS_TIME", "DAC_READ_SEARCH", "BPF", "SYSLOG", "MAC_ADMIN", "PERFMON"}
)  # fmt: skip
_SOCKETS = re.compile(r"(?:docker|containerd|crio|cri-o|podman|dockershim)[\w.-]*\.sock$")
_LISTS = frozenset({"List"})
_NOBODY = frozenset({"system:anonymous", "system:unauthenticated"})
MAX_LISTED = 500


def scan_manifest(document: Part, depth: int = 0) -> Found:
    """Rule and line of every weakness in one object."""
    kind = document.text("kind")
    if kind in _LISTS and depth == 0:
        for item in document.each("items")[:MAX_LISTED]:
            yield from scan_manifest(item, depth + 1)
        return
    path = _PODS.get(kind, ("spec", "template", "spec") if kind in _TEMPLATED else ())
    pod = document.get(*path) if path else None
    if pod is not None and pod.keys is not None:
        yield from _pod(pod)
    if kind in ("Role", "ClusterRole"):
        yield from _role(document)
    if kind in ("RoleBinding", "ClusterRoleBinding"):
        yield from _binding(document)
    if kind == "PodSecurityPolicy":
        yield from _policy(document)


def _pod(pod: Part) -> Found:
    for name in ("hostNetwork", "hostPID", "hostIPC"):
        if pod.scalar(name) is True:
            yield rules.HOST_NAMESPACE, pod.line_of(name)
    for volume in pod.each("volumes"):
        path = volume.text("hostPath", "path")
        if volume.get("hostPath") is not None:
            socket = _SOCKETS.search(path) or path in ("/", "/var/run", "/run")
            yield (
                (rules.HOST_SOCKET if socket else rules.HOST_PATH),
                volume.line_of("hostPath", "path"),
            )
    if pod.scalar("automountServiceAccountToken") is not False:
        yield rules.TOKEN, pod.line
    for group in ("initContainers", "containers", "ephemeralContainers"):
        for container in pod.each(group):
            if container.keys is not None:
                yield from _container(pod, container)


def _container(pod: Part, container: Part) -> Found:
    line = container.line
    image = container.text("image")
    if image and _is_unpinned(image):
        yield rules.UNPINNED_IMAGE, container.line_of("image")
    context = container.get("securityContext") or Part(line)
    yield from _context(pod, container, context)
    limits = container.get("resources", "limits")
    lacks = limits is None or (
        limits.keys is not None and not {"memory", "cpu"} <= limits.keys.keys()
    )
    if lacks:
        yield rules.NO_LIMITS, container.line_of("resources", "limits")
    for variable in container.each("env"):
        if is_secret(variable.text("name"), variable.scalar("value")):
            yield rules.SECRET_IN_CONFIG, variable.line_of("value")
    for port in container.each("ports"):
        if port.scalar("hostPort"):
            yield rules.HOST_PORT, port.line_of("hostPort")


def _context(pod: Part, container: Part, context: Part) -> Found:
    line = container.line_of("securityContext")
    if context.scalar("privileged") is True:
        yield rules.PRIVILEGED, context.line_of("privileged")
    if context.scalar("allowPrivilegeEscalation") is True:
        yield rules.ESCALATION, context.line_of("allowPrivilegeEscalation")
    elif context.scalar("allowPrivilegeEscalation") is None:
        yield rules.MAY_ESCALATE, line
    yield from _user(pod, context, line)
    added = context.each("capabilities", "add")
    for power in added:
        if power.text().upper().removeprefix("CAP_") in _POWERS:
            yield rules.CAPABILITIES, power.line
    dropped = {part.text().upper() for part in context.each("capabilities", "drop")}
    if not dropped & {"ALL", "CAP_ALL"}:
        yield rules.KEPT_CAPABILITIES, line
    if context.scalar("readOnlyRootFilesystem") is not True:
        yield (
            rules.WRITABLE_ROOT,
            context.line_of("readOnlyRootFilesystem") if context.keys else line,
        )
    profile = context.text("seccompProfile", "type") or pod.text(
        "securityContext", "seccompProfile", "type"
    )
    if profile == "Unconfined" or context.text("procMount") == "Unmasked":
        yield rules.UNCONFINED, context.line_of("seccompProfile", "type")
    elif not profile:
        yield rules.NO_PROFILE, line


def _user(pod: Part, context: Part, line: int) -> Found:
    for part in (context, pod.get("securityContext")):
        if part is None or part.keys is None:
            continue
        user, other = part.scalar("runAsUser"), part.scalar("runAsNonRoot")
        if user == 0 and user is not False:
            yield rules.ROOT_CONTAINER, part.line_of("runAsUser")
            return
        if other is False and user is None:
            yield rules.ROOT_CONTAINER, part.line_of("runAsNonRoot")
            return
        if other is True or user is not None:
            return
    yield rules.ROOT_CONTAINER, line


def _is_unpinned(image: str) -> bool:
    if "@sha256:" in image or "template" in image or "$" in image or "{" in image:
        return False
    return image.rsplit("/", 1)[-1].partition(":")[2] in ("", "latest")


def _role(document: Part) -> Found:
    for rule in document.each("rules"):
        verbs = {part.text() for part in rule.each("verbs")}
        things = {part.text() for part in rule.each("resources")}
        if "*" in verbs and (things & {"*", "secrets", "pods"} or "*" in things):
            yield rules.WIDE_ROLE, rule.line
        elif "*" in verbs or "*" in things:
            yield rules.WIDE_ROLE, rule.line_of("verbs" if "*" in verbs else "resources")
        elif (
            things & {"secrets"}
            and verbs & {"get", "list", "watch"}
            and document.text("kind") == "ClusterRole"
        ):
            yield rules.WIDE_ROLE, rule.line_of("resources")
        elif verbs & {"escalate", "bind", "impersonate"}:
            yield rules.WIDE_ROLE, rule.line_of("verbs")


def _binding(document: Part) -> Found:
    if document.text("roleRef", "name") == "cluster-admin":
        yield rules.WIDE_ROLE, document.line_of("roleRef", "name")
    for subject in document.each("subjects"):
        if subject.text("name") in _NOBODY:
            yield rules.ANONYMOUS, subject.line_of("name")


def _policy(document: Part) -> Found:
    for name in ("privileged", "hostNetwork", "hostPID", "hostIPC", "allowPrivilegeEscalation"):
        if document.scalar("spec", name) is True:
            rule = rules.PRIVILEGED if name == "privileged" else rules.HOST_NAMESPACE
            if name == "allowPrivilegeEscalation":
                rule = rules.ESCALATION
            yield rule, document.line_of("spec", name)
