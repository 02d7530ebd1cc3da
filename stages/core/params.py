"""params.yaml: one typed section a choice, unknown keys refused, errors that name the key.

Every library file and every stage declares its own settings as a class `Params(Section)`. The class
can be read without running the rest of its file (`declared_params`), so that params.yaml is
validated in a fraction of a second, before torch is imported anywhere.
"""

from __future__ import annotations

import ast
import importlib
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
)

from stages.core.errors import InputError
from stages.core.kinds import BRIEF, OTHER_KIND, refuse_other_kind

PARAMS_FILE = Path("params.yaml")
STAGES = Path(__file__).resolve().parent.parent
RESTORE = "restore it with git checkout"
MODULES_OF_PARAMS = {
    "stages.core.magnitudes",
    "stages.core.params",
    "stages.core.schedule",
    "typing",
    "pydantic",
    "__future__",
}


class Section(BaseModel):
    """Base of every section: unknown keys and infinite numbers are refused, values stay as read.

    Whole numbers may stand for others (`lr: 1`); apart from that each kind of value stands for
    itself alone: `true` is not 1, '0.5' in quotes is not 0.5, and 2024 is not a name.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _of_its_kind(cls, value: Any, info: ValidationInfo) -> Any:
        refuse_other_kind(cls.model_fields[info.field_name].annotation, value)
        return value


Rate = Annotated[float, Field(gt=0, le=1)]  # a share, not a percentage
Rank = Annotated[int, Field(ge=1)]
MODEL_NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]*$"
ModelName = Annotated[str, Field(pattern=MODEL_NAME)]  # a folder in models/

BASES_OF_PARAMS = {"Section", "Magnitudes", "Schedule", "Params"}

T = TypeVar("T", bound=Section)


def read_params(path: Path = PARAMS_FILE) -> dict[str, Any]:
    """params.yaml as nested dicts. Raise InputError if it is missing or is no YAML mapping."""
    from stages.core.yaml12 import parse_yaml

    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise InputError(path, "file not found", "run from the root of the project") from None
    except IsADirectoryError:
        raise InputError(path, "is a folder", f"remove it, and {RESTORE}") from None
    except UnicodeDecodeError as fault:
        line = f"line {fault.object.count(10, 0, fault.start) + 1}"
        remedy = f"save it as UTF-8, or {RESTORE}"
        raise InputError(path, f"is not UTF-8 text ({fault.reason})", remedy, line) from None
    params = parse_yaml(text, path, RESTORE)
    if not isinstance(params, dict):
        raise InputError(path, "not a mapping of parameters", RESTORE)
    return params


def parse(
    model: type[T], values: Any, key: str, path: Path = PARAMS_FILE, beside: Iterable[str] = ()
) -> T:
    """`values` of params.yaml at dotted `key` as a `model`; keys `beside` them belong to others.

    Raise InputError that names the first wrong key, what is wrong with it, and the valid names.
    """
    if values is None:
        raise InputError(path, "no such section", f"add it, with the keys {_keys(model)}", key)
    try:
        return model.model_validate(values)
    except ValidationError as fault:
        first = fault.errors(include_url=False)[0]
        dotted = (
            ".".join([key, *(str(part) for part in first["loc"])])
            if key
            else ".".join(str(part) for part in first["loc"])
        )
        if first["type"] == "extra_forbidden":
            raise InputError(
                path, "unknown key", f"remove it; the keys here are {_keys(model, beside)}", dotted
            ) from None
        problem = first["msg"][0].lower() + first["msg"][1:]
        if first["type"] not in ("missing", OTHER_KIND):
            problem += f", not {BRIEF.repr(first['input'])}"
        remedy = first.get("ctx", {}).get("remedy", "give a valid value")
        if first["loc"] and first["loc"][-1] == "[key]":
            dotted = dotted.removesuffix(".[key]")
            problem = "is not a name"
            remedy = "take letters, digits, `_` and `-`, and begin with a letter or a digit"
        raise InputError(path, problem, remedy, dotted) from None


def section(key: str, model: type[T], params: dict[str, Any] | None = None) -> T:
    """The section at dotted `key` of params.yaml, typed."""
    values: Any = read_params() if params is None else params
    for part in key.split("."):
        values = values.get(part) if isinstance(values, dict) else None
    return parse(model, values, key)


def choices(library: str) -> list[str]:
    """The names a user may choose from in a library: its files that do not start with `_`."""
    return sorted(f.stem for f in (STAGES / library).glob("*.py") if not f.stem.startswith("_"))


def choose(library: str, name: str, key: str) -> Path:
    """The file of `name` in a library. Raise InputError with the valid names if there is none."""
    file = STAGES / library / f"{name}.py"
    if name not in choices(library):
        raise InputError(
            PARAMS_FILE,
            f"{name!r} is none of {', '.join(choices(library))}",
            f"choose one of these, or add stages/{library}/{name}.py",
            key,
        )
    return file


@cache
def declared_params(file: Path) -> type[Section]:
    """The class `Params` that `file` declares, without importing what else the file needs.

    Only imports from pydantic, typing and this module, plain constants, and Section classes are
    executed; `Params` may refer to nothing else.
    """
    tree = ast.parse(file.read_text(), filename=str(file))
    wanted = [node for node in tree.body if _is_declaration(node)]
    namespace: dict[str, Any] = {"__name__": f"params_of_{file.stem}"}
    code = compile(ast.Module(body=wanted, type_ignores=[]), str(file), "exec", dont_inherit=True)
    exec(code, namespace)
    for declared in list(namespace.values()):
        # Under `from __future__ import annotations` pydantic finds names in a module, and this
        # namespace is none.
        if isinstance(declared, type) and issubclass(declared, Section) and declared is not Section:
            declared.model_rebuild(_types_namespace=namespace)
    if "Params" not in namespace:
        raise InputError(file, "declares no class Params(Section)", "add one, empty if need be")
    return namespace["Params"]


def _is_declaration(node: ast.stmt) -> bool:
    if isinstance(node, ast.ImportFrom):
        return node.module in MODULES_OF_PARAMS
    if isinstance(node, ast.Assign):
        try:
            ast.literal_eval(node.value)
        except ValueError:
            return False
        return True
    return isinstance(node, ast.ClassDef) and any(
        isinstance(base, ast.Name) and base.id in BASES_OF_PARAMS for base in node.bases
    )


def _keys(model: type[Section], beside: Iterable[str] = ()) -> str:
    return ", ".join([*beside, *model.model_fields]) or "none"


def load(library: str, name: str, settings: Any, key: str) -> tuple[Any, Section]:
    """The module of `name` in a library, and its settings as its own `Params`."""
    choose(library, name, key)
    module = importlib.import_module(f"stages.{library}.{name}")
    return module, parse(module.Params, settings or {}, key)
