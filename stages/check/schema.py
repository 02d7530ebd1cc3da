"""The form of params.yaml by number, which goes up where a key is renamed, moved or removed."""

from __future__ import annotations

from typing import Any

from stages.core.errors import InputError
from stages.core.params import PARAMS_FILE

KEY, SCHEMA = "schema", 1
MIGRATE = "python -m stages.tools.migrate"


def schema_of(params: dict[str, Any]) -> int:
    """The schema of `params`; 0 where there is none, as before the first numbered one.

    Raises:
        InputError: it is not a whole number, or newer than this version of the project.
    """
    if KEY not in params:
        return 0
    schema = params[KEY]
    if type(schema) is not int or schema < 1:
        problem = f"input should be a whole number, not {schema!r}"
        raise InputError(PARAMS_FILE, problem, f"set it to {SCHEMA}", KEY)
    if schema > SCHEMA:
        problem = f"schema {schema} is newer than this version of faceline, which reads {SCHEMA}"
        remedy = "update faceline, or restore the file with git checkout"
        raise InputError(PARAMS_FILE, problem, remedy, KEY)
    return schema


def require_schema(params: dict[str, Any]) -> None:
    """Raise InputError unless `params` have the current schema; an older one can be migrated."""
    schema = schema_of(params)
    if schema < SCHEMA:
        problem = f"the file has schema {schema}, and this version of faceline reads {SCHEMA}"
        raise InputError(PARAMS_FILE, problem, f"run {MIGRATE}", KEY)
