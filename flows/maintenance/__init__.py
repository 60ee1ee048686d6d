"""Care of a workspace: gc, verify, forget, rollback, inspect."""
