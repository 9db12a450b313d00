"""Lending books."""

from __future__ import annotations

import csv
import io
from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import APIRouter, BackgroundTasks, Depends, Header, Path, Query, Response
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, Field

from library.readers import CurrentReader, current_reader
from library.storage import Session, Shelf, get_session, get_shelf

router = APIRouter(prefix="/loans", tags=["loans"], dependencies=[Depends(current_reader)])


class LoanRequest(BaseModel):
    """What a reader wants."""

    isbn: str
    weeks: int = Field(default=2, ge=1, le=8)


class Loan(BaseModel):
    """What a reader got."""

    reader: str
    isbn: str
    weeks: int
    copies_left: int
    shelf_mark: str | None = None


@router.post("", status_code=201, response_model=Loan, response_model_exclude_none=True)
def lend(wanted: LoanRequest, reader: CurrentReader, session: Annotated[Session, Depends(get_session)]) -> Loan:
    """Lend a copy to the caller."""
    left = session.lend(reader.name, wanted.isbn)
    return Loan(reader=reader.name, isbn=wanted.isbn, weeks=wanted.weeks, copies_left=left)


@router.get("")
async def list_loans(
    reader: CurrentReader,
    shelf: Annotated[Shelf, Depends(get_shelf)],
    limit: Annotated[int, Query(ge=1, le=100)] = 10,
) -> list[str]:
    """List what the caller has."""
    return shelf.loans.get(reader.name, [])[:limit]


@router.post("/{isbn}/reminder", status_code=202)
async def remind(
    isbn: Annotated[str, Path(pattern=r"^978-\d$")],
    background: BackgroundTasks,
    response: Response,
    reader: CurrentReader,
    shelf: Annotated[Shelf, Depends(get_shelf)],
    x_language: Annotated[str, Header()] = "en",
) -> dict[str, str]:
    """Write the caller a letter, later."""
    background.add_task(shelf.letters.append, f"{reader.name}: {isbn} ({x_language})")
    response.headers["x-letters"] = str(len(shelf.letters))
    return {"status": "it will be written"}


@router.get("/export")
async def export(reader: CurrentReader, shelf: Annotated[Shelf, Depends(get_shelf)]) -> StreamingResponse:
    """Stream the caller's loans as CSV."""

    async def lines() -> AsyncIterator[str]:
        for isbn in shelf.loans.get(reader.name, []):
            line = io.StringIO()
            csv.writer(line).writerow([reader.name, isbn])
            yield line.getvalue()

    return StreamingResponse(lines(), media_type="text/csv")
