"""One configuration file to the module that knows its kind."""

from collections.abc import Iterator

from penstock_agent_security_scanner.catalogue import Rule
from penstock_agent_security_scanner.languages.config.compose import scan_compose
from penstock_agent_security_scanner.languages.config.kubernetes import scan_manifest
from penstock_agent_security_scanner.languages.config.parts import Part
from penstock_agent_security_scanner.languages.config.read_yaml import read_yaml
from penstock_agent_security_scanner.languages.config.workflows import scan_workflow


def scan_yaml(text: str) -> Iterator[tuple[Rule, int]]:
    """Rule and line of every weakness in manifests, Compose files and workflows."""
    for document in read_yaml(text):
        if document.keys is None:
            continue
        if "apiVersion" in document.keys and "kind" in document.keys:
            yield from scan_manifest(document)
        elif "jobs" in document.keys or _is_action(document):
            yield from scan_workflow(document)
        elif _is_compose(document):
            yield from scan_compose(document)


def _is_action(document: Part) -> bool:
    return document.get("runs", "using") is not None


def _is_compose(document: Part) -> bool:
    services = document.pairs("services")
    known = {"image", "build", "command", "ports", "volumes", "environment", "extends", "env_file"}
    return any(service.keys and known & set(service.keys) for _, service in services)
