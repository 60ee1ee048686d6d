"""Services that stay up: Prefect's server and who may talk to it, served reports, `nr doctor`."""
