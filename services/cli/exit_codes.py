"""The exit codes of every command, once; shown at the end of `agentmesh --help`."""

from __future__ import annotations

from infra.errors import EXIT_CONFIGURATION

OK = 0
FAILED = 1
USAGE = 2
NOT_FOUND = 3
AWAY = 4
CONFIGURATION = EXIT_CONFIGURATION
INTERRUPTED = 130

# \b keeps the lines as they are written.
EPILOG = f"""\b
Exit codes:
  {OK}   done
  {FAILED}   refused or failed: a command was rejected or parked, a check or a step failed
  {USAGE}   wrong usage
  {NOT_FOUND}   not found
  {AWAY}   a server is away, or no answer came in time
  {CONFIGURATION}  configuration: the message says what to set or to run
  {INTERRUPTED} interrupted by Ctrl-C

Every listing takes -o json. NO_COLOR is respected.
"""
