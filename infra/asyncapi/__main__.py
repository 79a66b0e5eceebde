"""`python -m infra.asyncapi`: writes the JSON Schemas and the AsyncAPI document, or says which published promise a change would break."""

from __future__ import annotations

import sys

from infra.asyncapi.export import IncompatibleChange, write


def main() -> int:
    """The exit code: 0 written or up to date, 1 refused."""
    try:
        changed = write()
    except IncompatibleChange as error:
        print(f"nothing was written:\n{error}", file=sys.stderr)
        return 1
    print("\n".join(f"wrote contracts/schemas/{path}" for path in changed) or "the schemas are up to date")
    return 0


if __name__ == "__main__":
    sys.exit(main())
