"""Processes that read work units.

pool             hands units out; worker: reads them; shared_position: the record at which one died
child_processes  how children find the packages, end with their parent, and what they print
"""
