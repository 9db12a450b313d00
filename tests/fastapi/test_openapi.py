"""The OpenAPI document: durable routes stay what they were, and what is new about them is written down."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.testclient import TestClient
from pydantic import BaseModel

from durably import Context
from durably_fastapi import Durably


class Order(BaseModel):
    """What is ordered."""

    sku: str
    quantity: int = 1


class Receipt(BaseModel):
    """What was ordered."""

    total: int


def documented(is_durable: bool) -> dict[str, Any]:
    """Give the document of an application whose endpoint is durable, or is not."""
    app = FastAPI()
    durably = Durably(app, url="memory://")
    router = APIRouter(prefix="/orders", tags=["orders"])

    async def place(order_id: int, order: Order, urgent: bool = False) -> Receipt:
        """Place an order."""
        return Receipt(total=order.quantity)

    endpoint = durably.endpoint(service="orders")(place) if is_durable else place
    router.post("/{order_id}", status_code=201, responses={404: {"description": "There is no such thing."}})(endpoint)
    app.include_router(router, prefix="/v1")

    @app.get("/plain")
    async def plain() -> str:
        return ""

    return app.openapi()


def test_requests_and_results_are_unchanged():
    """Parameters, body, result, summary and schemas are those of the same endpoint without durability."""
    before, after = documented(False), documented(True)
    old, new = before["paths"]["/v1/orders/{order_id}"]["post"], after["paths"]["/v1/orders/{order_id}"]["post"]
    for part in ("tags", "summary", "description", "operationId", "requestBody"):
        assert new[part] == old[part]
    own = [each for each in new["parameters"] if each["in"] != "header"]
    assert own == old["parameters"]
    assert new["responses"]["201"]["content"] == old["responses"]["201"]["content"]
    assert new["responses"]["404"] == old["responses"]["404"]
    assert after["components"] == before["components"]
    assert after["paths"]["/plain"] == before["paths"]["/plain"]


def test_what_is_new_is_documented():
    """Both headers, the 202 with what it brings, the invocation's id, and the route for results."""
    document = documented(True)
    operation = document["paths"]["/v1/orders/{order_id}"]["post"]
    headers = {each["name"]: each for each in operation["parameters"] if each["in"] == "header"}
    assert {name.lower() for name in headers} == {"idempotency-key", "prefer"}
    assert not any(each["required"] for each in headers.values())
    accepted = operation["responses"]["202"]
    assert set(accepted["headers"]) == {"Location", "Preference-Applied", "x-durably-invocation-id"}
    assert accepted["content"]["application/json"]["schema"]["required"] == ["invocation_id", "status"]
    assert "x-durably-invocation-id" in operation["responses"]["201"]["headers"]
    assert set(document["paths"]["/restate/results/{token}"]["get"]["responses"]) == {"200", "202", "404"}


def test_an_application_without_durable_routes_has_the_same_document():
    """Taking over an application changes nothing in its document."""
    app = FastAPI()

    @app.get("/plain")
    async def plain() -> str:
        return ""

    before = app.openapi()
    app.openapi_schema = None
    Durably(app, url="memory://")
    assert app.openapi() == before


def test_an_application_that_writes_its_own_document():
    """A function that replaces `openapi`, as FastAPI's documentation shows it, is completed as well."""
    app = FastAPI()
    durably = Durably(app, url="memory://")

    @app.post("/orders", responses={202: {"description": "Our own words.", "content": {"text/plain": {}}}})
    @durably.endpoint
    async def place(order: Order, ctx: Context) -> Receipt:
        return Receipt(total=1)

    def own() -> dict[str, Any]:
        if not app.openapi_schema:
            app.openapi_schema = get_openapi(title="Ours", version="1", routes=app.routes)
        return app.openapi_schema

    app.openapi = own
    with TestClient(app) as client:
        document = client.get("/openapi.json").json()
        assert client.get("/openapi.json").json() == document
    assert document["info"]["title"] == "Ours"
    accepted = document["paths"]["/orders"]["post"]["responses"]["202"]
    assert accepted["description"] == "Our own words."
    assert set(accepted["content"]) == {"text/plain", "application/json"}
    assert "Location" in accepted["headers"]
    assert "/restate/results/{token}" in document["paths"]


def test_routes_that_are_left_out_stay_out():
    """A durable route that is not in the document brings nothing into it."""
    app = FastAPI()
    durably = Durably(app, url="memory://")

    @app.post("/secret", include_in_schema=False)
    @durably.endpoint
    async def secret() -> None: ...

    assert app.openapi()["paths"] == {}


def test_documents_of_two_methods_on_one_path():
    """Each durable method is completed, its ordinary neighbour is not."""
    app = FastAPI()
    durably = Durably(app, url="memory://")

    @app.get("/thing")
    async def read() -> str:
        return ""

    @app.put("/thing")
    @durably.endpoint
    async def write() -> str:
        return ""

    path = app.openapi()["paths"]["/thing"]
    assert "202" in path["put"]["responses"]
    assert "202" not in path["get"]["responses"]
