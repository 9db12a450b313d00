"""A process that looks up results: `python -m tests.django.task_results ID…` prints them as JSON, one a line."""

from __future__ import annotations

import json
import sys

import django


def main() -> None:
    """Print, for each id, the status, the value and the number of attempts."""
    django.setup()
    from tests.django.project.shop.tasks import ship

    for result_id in sys.argv[1:]:
        result = ship.get_result(result_id)
        value = result.return_value if result.status == "SUCCESSFUL" else None
        print(json.dumps([result.status, value, result.attempts]))


if __name__ == "__main__":
    main()
