"""Edits of params.yaml that nobody has committed: a recipe's, which may go, and the user's own."""

from __future__ import annotations

from pathlib import Path

from stages.check.schema import KEY as SCHEMA_KEY
from stages.check.schema import MIGRATE, SCHEMA, schema_of
from stages.core.committed import committed
from stages.core.differences import differences
from stages.core.errors import InputError
from stages.core.files import atomic_file, sha256
from stages.core.params import PARAMS_FILE, RESTORE, read_params
from stages.core.recipes import KEY, Settings, compose
from stages.core.yaml12 import parse_yaml
from stages.tools._document import as_set_by_dvc, rewritten

LAST_WRITTEN = Path(".dvc/tmp/recipe")  # SHA-256 of params.yaml as the last recipe left it
AT_HEAD = f"{PARAMS_FILE} at HEAD"
MEND = f"fix {PARAMS_FILE}, then commit it"
MOST_NAMED = 5  # keys in a message


def head_text() -> str:
    """params.yaml at HEAD. Raise InputError if git does not have it."""
    text = committed(PARAMS_FILE)
    if text is None:
        remedy = "run in a git repository whose last commit holds it"
        raise InputError(PARAMS_FILE, "not found at HEAD, where recipes start", remedy)
    return text


def parsed_head(head: str) -> Settings:
    """The parameters in `head`, params.yaml at HEAD. Raise InputError if they are of no use."""
    params = parse_yaml(head, AT_HEAD, MEND)
    if not isinstance(params, dict):
        raise InputError(AT_HEAD, "not a mapping of parameters", MEND)
    if (schema := schema_of(params)) < SCHEMA:
        problem = f"is old: it has schema {schema}, and this version of faceline reads {SCHEMA}"
        raise InputError(AT_HEAD, problem, f"run {MIGRATE}, then commit {PARAMS_FILE}", SCHEMA_KEY)
    return params


def write(text: str) -> None:
    """Write params.yaml whole or not at all, and note that a recipe wrote it."""
    with atomic_file(PARAMS_FILE) as scratch:
        scratch.write_text(text, encoding="utf-8")
    with atomic_file(LAST_WRITTEN) as scratch:
        scratch.write_text(f"{sha256(PARAMS_FILE)}\n")


def refuse_own_edits(head: str) -> None:
    """Raise InputError that names the keys if params.yaml holds edits that no recipe wrote.

    It holds none if it is as at HEAD, as this tool left it, or what the recipe that it names makes
    of HEAD's, written by this tool or by `dvc exp run -S`, byte for byte.
    """
    if not PARAMS_FILE.exists():
        return
    after = read_params()
    now = PARAMS_FILE.read_text(encoding="utf-8")
    noted = LAST_WRITTEN.read_text().strip() if LAST_WRITTEN.is_file() else None
    if now == head or sha256(PARAMS_FILE) == noted:
        return
    before = parse_yaml(head, PARAMS_FILE, RESTORE)
    expected = _composed(before, after)
    changes = [*differences(before, expected)]
    if now in (rewritten(head, changes), as_set_by_dvc(head, changes)):
        return
    keys = [str(change) for change in differences(expected, after)]
    shown = "; ".join([*keys[:MOST_NAMED], *([".."] if len(keys) > MOST_NAMED else [])])
    problem = f"holds uncommitted edits of your own ({shown or 'comments or layout'})"
    raise InputError(PARAMS_FILE, problem, f"commit them, or git checkout {PARAMS_FILE}")


def _composed(before: Settings, after: Settings) -> Settings:
    """What the recipe that `after` names makes of `before`; `before` if it names none."""
    try:
        return compose(after[KEY], before).params if after.get(KEY) else before
    except InputError:  # a recipe that is gone
        return before
