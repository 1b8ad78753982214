"""Writes the API's description; a test holds the committed file against the running code."""

import json
import sys
from pathlib import Path

from litestar import Litestar

from tenderline.api import routes


def description() -> str:
    """The OpenAPI document of the JSON API, with sorted keys."""
    app = Litestar(route_handlers=routes.route_handlers, openapi_config=routes.openapi_config)
    return json.dumps(app.openapi_schema.to_schema(), indent=1, sort_keys=True, default=str) + "\n"


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(description(), "utf-8")
