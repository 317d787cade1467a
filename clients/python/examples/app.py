"""A FastAPI application that asks before it exports."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from fastapi import Depends, FastAPI, Request
from muster_client import AsyncClient, Decision, Entity
from muster_client.asgi import Gate

token_file = Path(os.environ["MUSTER_TOKEN_FILE"])
muster = AsyncClient(os.environ["MUSTER_URL"], token=token_file.read_text)


def user_of(request: Request) -> str | None:
    """Who is signed in. Put your own session or token check here: never a header that anybody can send."""
    return request.headers.get("x-signed-in")


gate = Gate(muster, subject=user_of, remedy_hosts=[os.environ["MUSTER_URL"].partition("//")[2]])
require = gate.require


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[None]:
    """Close the connections at the end."""
    yield
    await muster.close()


app = FastAPI(lifespan=lifespan)
gate.install(app)

allowed = require(
    "data-export",
    resource=lambda request: Entity("dataset", "customers", {"customer": request.path_params["customer"]}),
    context=lambda request: {
        "destination": "warehouse://analytics",
        "ticket": request.query_params.get("ticket", ""),
        "columns": ["customer_id"],
    },
)


@app.get("/customers/{customer}/export")
@app.post("/customers/{customer}/export")
async def export(customer: str, decision: Decision = Depends(allowed)) -> dict[str, str]:  # noqa: B008
    """Runs after a yes only."""
    return {"exported": customer, "by": decision.decision_id}
