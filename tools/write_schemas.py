"""Write docs/schemas/*.schema.json, the JSON Schemas of what people write; `--check` only says whether they differ.

python tools/write_schemas.py [--check]
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from pydantic import BaseModel

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from epistemic_stance.records.written import QuestionSet, StanceFile, TrainingCorpus  # noqa: E402
from epistemic_stance.stance.lines import LabelledLine  # noqa: E402

FOLDER = ROOT / "docs" / "schemas"
SCHEMAS: dict[str, type[BaseModel]] = {
    "training_corpus": TrainingCorpus,
    "question_set": QuestionSet,
    "stance": StanceFile,
    "preference_line": LabelledLine,
}


def schema_text(model: type[BaseModel]) -> str:
    schema = {"$schema": "https://json-schema.org/draft/2020-12/schema", **model.model_json_schema(by_alias=True)}
    return json.dumps(schema, indent=2) + "\n"


def main() -> int:
    stale = []
    for name, model in SCHEMAS.items():
        path = FOLDER / f"{name}.schema.json"
        if not path.is_file() or path.read_text(encoding="utf-8") != schema_text(model):
            stale.append(str(path.relative_to(ROOT)))
    if "--check" in sys.argv[1:]:
        print("\n".join([*stale, "run: python tools/write_schemas.py"]) if stale else "schemas are up to date")
        return 1 if stale else 0
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name, model in SCHEMAS.items():
        (FOLDER / f"{name}.schema.json").write_text(schema_text(model), encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
