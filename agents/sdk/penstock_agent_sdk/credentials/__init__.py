"""Credentials in text: known by their form, by the name they stand under, or by their file.

Whoever uses it learns where a credential is and of what kind, never what it is.
"""

from penstock_agent_sdk.credentials.finder import Credential, CredentialFinder

__all__ = ["Credential", "CredentialFinder"]
