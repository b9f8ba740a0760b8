"""The approval service: owner of all approvals."""
