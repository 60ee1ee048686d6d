"""Look at what `nr doctor` tells of: this machine and installation, Prefect's services, a workspace and a study."""
