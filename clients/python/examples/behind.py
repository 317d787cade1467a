"""A backend behind a gateway: whoever comes around the gateway is refused."""

import os

from fastapi import FastAPI, Request
from muster_client.asgi import OnlyThroughTheGate

app = FastAPI()
app.add_middleware(OnlyThroughTheGate, issuer=os.environ["MUSTER_URL"], audience="backend")


@app.post("/customers/{customer}/exports/{dataset}")
async def export(customer: str, dataset: str, request: Request) -> dict[str, str]:
    """Runs for requests that passed the gate."""
    proven = request.scope["muster"]
    return {"exported": f"{customer}/{dataset}", "for": proven.subject_id, "by": proven.decision_id}
