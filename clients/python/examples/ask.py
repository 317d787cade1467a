"""May ada export acme's customers? Prints the answer; exit code 0 yes, 1 no, 3 not decided."""

import os
import sys
from pathlib import Path

from muster_client import Client, Entity, Undecided

token_file = Path(os.environ["MUSTER_TOKEN_FILE"])
with Client(os.environ["MUSTER_URL"], token=token_file.read_text) as muster:
    try:
        decision = muster.decide(
            sys.argv[1],
            "data-export",
            Entity("dataset", "customers", {"customer": "acme"}),
            {"destination": "warehouse://analytics", "ticket": "REQ-1", "columns": ["customer_id"]},
        )
    except Undecided as error:
        print(f"not decided, so no: {error}")
        sys.exit(3)
    if decision.allow:
        print(f"yes, by decision {decision.decision_id}")
        sys.exit(0)
    for denial in decision.denials:
        print(f"no: {denial.title}. {denial.message} -> {denial.remedy.href or denial.remedy.kind}")
    sys.exit(1)
