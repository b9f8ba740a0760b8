"""Rules for images, clusters, pipelines and clouds."""

from penstock_agent_security_scanner.catalogue import Rule

ROOT_IMAGE = Rule(
    "image-runs-as-root", "medium", "CWE-250",
    "The image's last user is root.",
    "Create a user and switch to it with USER.")  # fmt: skip
REMOTE_ADD = Rule(
    "unchecked-download", "medium", "CWE-494",
    "Something is fetched from the network and used without a check of what came.",
    "Fetch over TLS, compare a checksum, or use a package manager that does.")  # fmt: skip
ADD = Rule(
    "add-instead-of-copy", "low", "CWE-829",
    "ADD unpacks archives and fetches addresses where a copy is meant.",
    "Use COPY.")  # fmt: skip
PIPED = Rule(
    "download-piped-to-shell", "medium", "CWE-494",
    "What a server sends is run at once.",
    "Download, compare a checksum, then run.")  # fmt: skip
UNPINNED_IMAGE = Rule(
    "unpinned-image", "low", "CWE-1357",
    "The image may be another one tomorrow: it has no version, or latest.",
    "Name a version, better a digest.")  # fmt: skip
UNPINNED_ACTION = Rule(
    "unpinned-action", "low", "CWE-829",
    "An action of somebody else is used by a name that can be moved.",
    "Name it by the full hash of a commit.")  # fmt: skip
WIDE_MODE = Rule(
    "wide-file-permissions", "medium", "CWE-732",
    "The file or folder may be changed or read by everybody.",
    "Give as few rights as work.")  # fmt: skip
SUDO = Rule(
    "sudo-in-image", "low", "CWE-250",
    "sudo in an image gives rights that nobody sees.",
    "Run as root where it is needed, and switch the user afterwards.")  # fmt: skip
SECRET_IN_IMAGE = Rule(
    "secret-in-image", "high", "CWE-798",
    "A secret becomes part of the image and its history.",
    "Mount it while building (RUN --mount=type=secret) or give it at run time.")  # fmt: skip
SECRET_IN_CONFIG = Rule(
    "secret-in-configuration", "high", "CWE-798",
    "A secret is written into the configuration.",
    "Refer to a secret store instead.")  # fmt: skip
SSH_PORT = Rule(
    "administration-port-open", "low", "CWE-668",
    "The image offers a port for remote administration.",
    "Leave it out: containers are replaced, not repaired.")  # fmt: skip
TLS_OFF = Rule(
    "tls-not-verified", "high", "CWE-295",
    "The server's certificate is not checked.",
    "Leave verification on; add a private authority to the trusted ones instead.")  # fmt: skip
UNSIGNED = Rule(
    "unsigned-packages", "medium", "CWE-347",
    "Packages are installed without a check of their signature.",
    "Add the key of the repository instead.")  # fmt: skip

PRIVILEGED = Rule(
    "privileged-container", "high", "CWE-250",
    "The container has every right of its host.",
    "Leave privileged off and add the one capability that is needed.")  # fmt: skip
ESCALATION = Rule(
    "privilege-escalation-allowed", "medium", "CWE-250",
    "Programs in the container may gain rights.",
    "Set allowPrivilegeEscalation to false (no-new-privileges).")  # fmt: skip
MAY_ESCALATE = Rule(
    "privilege-escalation-not-refused", "low", "CWE-693",
    "Nothing keeps programs in the container from gaining rights.",
    "Set allowPrivilegeEscalation to false.")  # fmt: skip
ROOT_CONTAINER = Rule(
    "container-runs-as-root", "medium", "CWE-250",
    "The container may run as root.",
    "Set runAsNonRoot to true or a user that is not 0.")  # fmt: skip
HOST_NAMESPACE = Rule(
    "host-namespace", "high", "CWE-250",
    "The container shares the network, processes or memory of its host.",
    "Leave it in namespaces of its own.")  # fmt: skip
HOST_PATH = Rule(
    "host-path", "medium", "CWE-668",
    "A folder of the host is mounted.",
    "Use a volume.")  # fmt: skip
HOST_SOCKET = Rule(
    "container-engine-socket", "high", "CWE-250",
    "Whoever reaches the engine's socket is root on the host.",
    "Do not mount it.")  # fmt: skip
CAPABILITIES = Rule(
    "dangerous-capability", "high", "CWE-250",
    "The capability gives the container power over its host or network.",
    "Drop all capabilities and add harmless ones.")  # fmt: skip
KEPT_CAPABILITIES = Rule(
    "capabilities-not-dropped", "low", "CWE-693",
    "The container keeps capabilities that it does not need.",
    "Drop ALL and add what is needed.")  # fmt: skip
WRITABLE_ROOT = Rule(
    "writable-root-file-system", "low", "CWE-732",
    "The container may change its own programs.",
    "Set readOnlyRootFilesystem (read_only) and mount what has to be written.")  # fmt: skip
NO_LIMITS = Rule(
    "no-resource-limits", "low", "CWE-770",
    "The container may take all memory and processors of its host.",
    "Set limits.")  # fmt: skip
TOKEN = Rule(
    "service-account-token-mounted", "low", "CWE-1188",
    "The pod gets a token for the cluster's interface.",
    "Set automountServiceAccountToken to false where it is not used.")  # fmt: skip
UNCONFINED = Rule(
    "confinement-off", "medium", "CWE-250",
    "The filter for system calls or the access profile is switched off.",
    "Use RuntimeDefault, or a profile of your own.")  # fmt: skip
NO_PROFILE = Rule(
    "no-system-call-filter", "low", "CWE-693",
    "No filter for system calls is asked for.",
    "Set seccompProfile to RuntimeDefault.")  # fmt: skip
HOST_PORT = Rule(
    "host-port", "low", "CWE-668",
    "The container takes a port of its host.",
    "Use a service.")  # fmt: skip
WIDE_ROLE = Rule(
    "wildcard-permissions", "high", "CWE-269",
    "Everything is allowed, by a wildcard or an all-powerful role.",
    "List the actions and the things that are needed.")  # fmt: skip
ANONYMOUS = Rule(
    "anonymous-access", "high", "CWE-284",
    "Whoever comes without an account is let in.",
    "Name users, groups or accounts.")  # fmt: skip
EXPOSED_PORT = Rule(
    "port-open-to-everybody", "medium", "CWE-668",
    "A service for inside listens on every address of the host.",
    "Publish it on 127.0.0.1, or not at all.")  # fmt: skip

SCRIPT_INJECTION = Rule(
    "workflow-script-injection", "high", "CWE-78",
    "Text that anybody can choose becomes part of a script.",
    "Give it to the script as an environment variable.")  # fmt: skip
INPUT_IN_SCRIPT = Rule(
    "workflow-input-in-script", "low", "CWE-78",
    "An input becomes part of a script.",
    "Give it to the script as an environment variable.")  # fmt: skip
UNTRUSTED_CHECKOUT = Rule(
    "untrusted-checkout", "high", "CWE-829",
    "Code of a stranger's pull request runs with this repository's secrets.",
    "Use pull_request, or do not check out the head.")  # fmt: skip
WRITE_ALL = Rule(
    "wide-workflow-token", "medium", "CWE-250",
    "The workflow's token may write everything.",
    "List the permissions that are needed.")  # fmt: skip
UNSAFE_COMMANDS = Rule(
    "unsafe-workflow-commands", "medium", "CWE-78",
    "Commands that can be smuggled in by output are switched on.",
    "Use the environment files.")  # fmt: skip
ALL_SECRETS = Rule(
    "all-secrets-shared", "medium", "CWE-200",
    "All secrets are handed over at once.",
    "Name the ones that are needed.")  # fmt: skip

PUBLIC = Rule(
    "public-resource", "high", "CWE-284",
    "Everybody on the internet can reach or read it.",
    "Close it, and allow the networks and accounts that need it.")  # fmt: skip
OPEN_INGRESS = Rule(
    "open-ingress", "high", "CWE-284",
    "A port for administration or data is open to the whole internet.",
    "Allow the networks that need it.")  # fmt: skip
OPEN_ANY = Rule(
    "open-network-rule", "low", "CWE-284",
    "The rule lets the whole internet through.",
    "Allow the networks that need it.")  # fmt: skip
PLAIN_STORAGE = Rule(
    "unencrypted-storage", "medium", "CWE-311",
    "What is stored is not encrypted.",
    "Switch encryption on.")  # fmt: skip
PLAIN_TRANSPORT = Rule(
    "unencrypted-transport", "medium", "CWE-319",
    "What is sent is not encrypted.",
    "Require TLS.")  # fmt: skip
OLD_TLS = Rule(
    "weak-tls-version", "medium", "CWE-326",
    "SSL and TLS before 1.2 are broken.",
    "Allow TLS 1.2 and 1.3 only.")  # fmt: skip
NO_LOGS = Rule(
    "no-audit-log", "low", "CWE-778",
    "Nobody can tell afterwards what happened.",
    "Switch logging on.")  # fmt: skip
WEAK_CLOUD = Rule(
    "weak-cloud-setting", "medium", "CWE-284",
    "A protection of the service is switched off.",
    "Switch it on.")  # fmt: skip
NO_RECOVERY = Rule(
    "no-protection-against-loss", "low", "CWE-1188",
    "What is deleted by mistake or by an attacker is gone.",
    "Switch on backups, versions or protection against deletion.")  # fmt: skip
METADATA = Rule(
    "old-metadata-service", "medium", "CWE-918",
    "Programs on the machine can be tricked into giving away its credentials.",
    "Require tokens for the metadata service (http_tokens).")  # fmt: skip
NO_ROTATION = Rule(
    "no-key-rotation", "low", "CWE-320",
    "The key is never replaced.",
    "Switch rotation on.")  # fmt: skip
WEAK_PASSWORDS = Rule(
    "weak-password-policy", "medium", "CWE-521",
    "Passwords may be short or used again.",
    "Ask for 14 characters, of all kinds, and new ones.")  # fmt: skip
SCAN_OFF = Rule(
    "image-scan-off", "low", "CWE-1104",
    "Images are not looked through for known weaknesses.",
    "Switch on scanning when they are pushed.")  # fmt: skip

CLOUD = {
    rule.name: rule
    for rule in (
        PUBLIC, OPEN_INGRESS, OPEN_ANY, PLAIN_STORAGE, PLAIN_TRANSPORT, OLD_TLS, NO_LOGS,
        WEAK_CLOUD, NO_RECOVERY, METADATA, NO_ROTATION, WEAK_PASSWORDS, SCAN_OFF, WIDE_ROLE,
        ANONYMOUS, SECRET_IN_CONFIG, ROOT_CONTAINER, PRIVILEGED, WEAK_CLOUD,
    )
}  # fmt: skip
