"""Care of a workspace, a file a command: gc, verify, forget, rollback, inspect_pages, verdicts.

published_version    a version's pages and what became of them; workspace_health: what `nr doctor` says of a workspace
"""
