"""The library's own tests. They know nothing of durable handlers, and must not need to."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from fastapi.testclient import TestClient
from library.main import app, lives
from library.readers import Reader, current_reader
from library.storage import Session, Shelf, get_session


def test_a_copy_is_lent(client: TestClient):
    """Lending answers 201 with the model, and the session was committed and closed."""
    answer = client.post("/v1/loans", json={"isbn": "978-0"})
    assert (answer.status_code, answer.json()) == (
        201,
        {"reader": "ada", "isbn": "978-0", "weeks": 2, "copies_left": 1},
    )
    shelf: Shelf = app.state.shelf
    assert shelf.loans == {"ada": ["978-0"]}
    assert shelf.open_sessions == 0
    assert client.get("/v1/loans").json() == ["978-0"]


def test_no_copy_is_left(client: TestClient):
    """The application's own exception handler answers, and nothing was committed."""
    answer = client.post("/v1/loans", json={"isbn": "978-1"})
    assert (answer.status_code, answer.json()["isbn"]) == (409, "978-1")
    assert app.state.shelf.open_sessions == 0
    assert app.state.shelf.loans == {}


def test_a_wrong_request_is_refused(client: TestClient):
    """Validation answers 422 and names the field."""
    answer = client.post("/v1/loans", json={"isbn": "978-0", "weeks": 9})
    assert answer.status_code == 422
    assert answer.json()["detail"][0]["loc"] == ["body", "weeks"]


def test_strangers_stay_outside(client: TestClient):
    """Without a token the answer is 401, with the header that says how to do better."""
    answer = client.post("/v1/loans", json={"isbn": "978-0"}, headers={"authorization": ""})
    assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")


def test_overrides_are_used(client: TestClient):
    """Dependency overrides replace the reader and the session."""
    shelf = Shelf(copies={"978-7": 9})

    def other_session() -> Iterator[Session]:
        session = Session(shelf)
        yield session
        session.commit()

    app.dependency_overrides[current_reader] = lambda: Reader(name="grace")
    app.dependency_overrides[get_session] = other_session
    answer = client.post("/v1/loans", json={"isbn": "978-7", "weeks": 1}, headers={"authorization": ""})
    assert answer.json() == {"reader": "grace", "isbn": "978-7", "weeks": 1, "copies_left": 8}
    assert shelf.loans == {"grace": ["978-7"]}


def test_background_tasks_run(client: TestClient):
    """A background task ran when the answer has arrived, and response headers are kept."""
    answer = client.post("/v1/loans/978-0/reminder", headers={"x-language": "la"})
    assert (answer.status_code, answer.headers["x-letters"]) == (202, "0")
    assert app.state.shelf.letters == ["ada: 978-0 (la)"]


def test_exports_are_streamed(client: TestClient):
    """A streaming response arrives whole."""
    client.post("/v1/loans", json={"isbn": "978-0"})
    answer = client.get("/v1/loans/export")
    assert answer.text == "ada,978-0\r\n"
    assert answer.headers["content-type"].startswith("text/csv")


def test_the_catalogue_is_compressed(client: TestClient):
    """GZip and lifespan state work."""
    answer = client.get("/catalogue", headers={"accept-encoding": "gzip"})
    assert answer.headers["content-encoding"] == "gzip"
    assert answer.json()[0] == "978-0: hello"


def test_browsers_may_ask(client: TestClient):
    """CORS answers preflights, and marks answers."""
    asked = {"origin": "https://library.example", "access-control-request-method": "POST"}
    assert client.options("/v1/loans", headers=asked).headers["access-control-allow-origin"] == asked["origin"]
    assert "access-control-allow-origin" in client.get("/catalogue", headers={"origin": asked["origin"]}).headers


def test_middleware_sees_every_request(client: TestClient):
    """Both kinds of middleware act."""
    first, second = client.get("/catalogue"), client.get("/v1/loans")
    assert int(second.headers["x-request-number"]) == int(first.headers["x-request-number"]) + 1
    assert client.get("/catalogue", headers={"user-agent": "robot"}).status_code == 403


def test_errors_are_raised(client: TestClient):
    """The test client shows an error of the application as it is."""
    with pytest.raises(RuntimeError, match="roof"):
        client.get("/broken")


def test_errors_are_answered():
    """A server answers it with 500."""
    with TestClient(app, raise_server_exceptions=False) as client:
        assert client.get("/broken").status_code == 500


def test_the_desk_answers(client: TestClient):
    """WebSockets work."""
    with client.websocket_connect("/desk") as desk:
        desk.send_text("open?")
        assert desk.receive_text() == "you said open?"


def test_the_old_api_is_there(client: TestClient):
    """The mounted application works."""
    assert client.get("/old/books").json() == ["978-0"]


def test_the_lifespan_runs_once():
    """Starting and stopping the application opens and closes the library once."""
    lives.clear()
    with TestClient(app):
        assert lives == ["open"]
    assert lives == ["open", "closed"]


def test_a_client_without_lifespan_works():
    """Without a lifespan, what does not need it can be asked."""
    assert TestClient(app).get("/old/books").json() == ["978-0"]


def test_the_document_is_stable(client: TestClient):
    """The OpenAPI document lists these paths, and this is what lending takes and gives."""
    document = client.get("/openapi.json").json()
    assert {path for path in document["paths"] if not path.startswith("/restate")} == {
        "/v1/loans",
        "/v1/loans/{isbn}/reminder",
        "/v1/loans/export",
        "/catalogue",
        "/broken",
    }
    lending = document["paths"]["/v1/loans"]["post"]
    assert lending["requestBody"]["content"]["application/json"]["schema"]["$ref"].endswith("LoanRequest")
    assert lending["responses"]["201"]["content"]["application/json"]["schema"]["$ref"].endswith("Loan")
    assert lending["security"] == [{"HTTPBearer": []}]
