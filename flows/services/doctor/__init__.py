"""What `nr doctor` looks at: this machine and installation, Prefect's services, a workspace and a study."""
