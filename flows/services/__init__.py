"""What stays up: Prefect's server and who may talk to it, served reports, `nr doctor`."""
