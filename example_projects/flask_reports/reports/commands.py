"""`flask --app reports init`, and `flask --app reports hire NAME`."""

from __future__ import annotations

import csv
from pathlib import Path

import click
from flask import Flask
from flask.cli import with_appcontext
from sqlalchemy import delete, update

from reports.extensions import Base, db
from reports.models import Sale, User

__all__ = ["add_to", "fill"]


def fill() -> None:
    """Make the tables, and load the sales."""
    Base.metadata.create_all(db.engine)
    db.session.execute(delete(Sale))
    with Path(__file__).with_name("sales.csv").open(newline="", encoding="utf-8") as lines:
        for row in csv.DictReader(lines):
            db.session.add(Sale(month=row["month"], region=row["region"], cents=int(row["cents"])))
    db.session.commit()


@click.command("init")
@with_appcontext
def init() -> None:
    """Make the tables, and load the sales."""
    fill()
    click.echo("The database is ready.")


@click.command("hire")
@click.argument("name")
@with_appcontext
def hire(name: str) -> None:
    """Make somebody an approver."""
    hired = db.session.scalars(update(User).where(User.name == name).values(is_approver=True).returning(User.id)).all()
    db.session.commit()
    if not hired:
        raise click.ClickException(f"nobody is called {name}")
    click.echo(f"{name} approves.")


def add_to(app: Flask) -> None:
    """Add the commands to an application."""
    app.cli.add_command(init)
    app.cli.add_command(hire)
