"""What there is to buy."""

from __future__ import annotations

from fastapi import APIRouter
from sqlalchemy import select

from shop.database import Database
from shop.models import Product
from shop.schemas import ProductRow

__all__ = ["router"]

router = APIRouter(tags=["catalogue"])


@router.get("/products", response_model=list[ProductRow])
def products(db: Database) -> list[Product]:
    """List everything on the shelves."""
    return list(db.scalars(select(Product).order_by(Product.sku)))
