"""Services that stay up.

server           `nr up` and `nr down`: Prefect's server, worker and reports; prefect_processes: their processes
prefect_app      Prefect's application behind a guard; access: its credential; addresses: hosts, ports, origins
deployments      of prefect.yaml; killed_runs: runs whose process died, and calls when one fails
temporary_server a server for one command; user_prefect_settings: Prefect as the user has set it up
prefect_api      a minimal client of Prefect's API
report_server    served reports
doctor/          `nr doctor`: examine asks machine, prefect_services, study, and the workspace's own checks
"""
