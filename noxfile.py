"""The matrix: every supported Python, every supported protobuf runtime, and the built wheel.

    nox                      all of it
    nox -s tests-3.13        one Python
    nox -s protobuf-5        one protobuf runtime
    nox -s fastapi           the adapter on every FastAPI version of the list
    nox -s django            the adapter on the supported Django versions
    nox -s django_tasks      Django's own tests of tasks, with our backend in place of its own
    nox -s flask             the adapter on the supported Flask versions

`make test` is what a developer runs and covers one Python; this looks at what changes between environments. The tests
with real servers run once, in `make test`.
"""

from __future__ import annotations

from pathlib import Path

import nox

nox.needs_version = ">=2025.2"
nox.options.default_venv_backend = "venv"
nox.options.sessions = ["tests", "protobuf", "fastapi", "django", "django_tasks", "flask", "wheel"]

PYTHONS = ["3.11", "3.12", "3.13"]
PROTOBUFS = {"5": "protobuf>=5.26,<6", "6": "protobuf>=6,<7", "7": "protobuf>=7,<8"}
# The oldest that is supported, then about the first release of each month; the newest is what `make test` installs.
FASTAPIS = [
    *("0.121.0", "0.123.1", "0.128.0", "0.128.1", "0.135.0", "0.135.3", "0.136.3", "0.137.0", "0.139.0"),
    *("0.142.0", "0.147.0", "0.155.0", "0.163.0"),
]
# The oldest with the Werkzeug of its day, and the newest that is supported.
FLASKS = {"3.0.0": "werkzeug==3.0.1", "3.1.0": "werkzeug==3.1.3", "3.1.*": "werkzeug"}
DJANGOS = [
    *(("3.11", "4.2.*"), ("3.12", "4.2.*")),
    *(("3.11", "5.2.*"), ("3.12", "5.2.*"), ("3.13", "5.2.*")),
    *(("3.12", "6.0.*"), ("3.13", "6.0.*"), ("3.13", "6.1.*")),
]
DJANGOS_WITH_TASKS = [("3.12", "6.0.*"), ("3.13", "6.1.*")]
FASTAPI_TOOLS = [
    *("pytest>=9", "pytest-timeout", "hypothesis", "httpx", "python-multipart", "sqlalchemy[asyncio]", "aiosqlite"),
    *("hypercorn", "psutil", "httpx2>=2"),
]
IN_PROCESS = [
    "tests/protocol",
    "tests/machine",
    "tests/authoring",
    "tests/hosting",
    "tests/properties",
    "tests/differential",
    "tests/web",
    "tests/fastapi",
    "--ignore=tests/fastapi/servers",
    "tests/django",
    "--ignore=tests/django/servers",
    "tests/flask",
    "--ignore=tests/flask/servers",
]


@nox.session(python=PYTHONS)
def tests(session: nox.Session) -> None:
    """Run everything that needs no server process."""
    session.install("-e", ".[dev]", "-c", "constraints.txt")
    session.run("python", "-m", "pytest", "-q", *(session.posargs or IN_PROCESS))


@nox.session(python=PYTHONS[0])
@nox.parametrize("major", list(PROTOBUFS), ids=list(PROTOBUFS))
def protobuf(session: nox.Session, major: str) -> None:
    """Run what reads and writes messages on one major version of the protobuf runtime, in Python and in upb."""
    session.install("-e", ".[dev]", PROTOBUFS[major])
    session.run("python", "-c", "import google.protobuf as p; print('protobuf', p.__version__)")
    paths = session.posargs or ["tests/protocol", "tests/machine", "tests/differential"]
    for implementation in ("upb", "python"):
        session.run(
            "python", "-m", "pytest", "-q", *paths, env={"PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION": implementation}
        )


@nox.session(python=PYTHONS[0])
@nox.parametrize("version", FASTAPIS, ids=FASTAPIS)
def fastapi(session: nox.Session, version: str) -> None:
    """Run the adapter's tests, without server processes, on one version of FastAPI and the Starlette it asks for."""
    session.install("-e", ".[fastapi,identity]", f"fastapi=={version}", *FASTAPI_TOOLS)
    session.run("python", "-c", "import fastapi, starlette as s; print(fastapi.__version__, s.__version__)")
    paths = session.posargs or ["tests/fastapi", "--ignore=tests/fastapi/servers"]
    # What an old version, or a new tool, says about its own future is not about us.
    session.run("python", "-m", "pytest", "-q", "-W", "ignore::DeprecationWarning", *paths)


@nox.session
@nox.parametrize(("python", "version"), DJANGOS, ids=[f"{python}-{version}" for python, version in DJANGOS])
def django(session: nox.Session, version: str) -> None:
    """Run the adapter's tests, without server processes, on one version of Django."""
    tools = ("pytest>=9", "pytest-timeout", "hypothesis", "httpx", "psutil")
    tasks = () if version.startswith("6") else ("django-tasks==0.12.*",)  # the last release for Django 4.2
    session.install("-e", ".[django,identity]", f"django=={version}", *tools, *tasks)
    # The example project is for one version.
    apart = ("--ignore=tests/django/servers", "--ignore=tests/django/test_example_project.py")
    paths = session.posargs or ["tests/django", *apart]
    # What a version says about its own future is not about us.
    quiet = ("-W", "ignore::DeprecationWarning", "-W", "ignore::PendingDeprecationWarning")
    session.run("python", "-m", "pytest", "-q", *quiet, *paths)


@nox.session
@nox.parametrize(("python", "version"), DJANGOS_WITH_TASKS, ids=[version for _, version in DJANGOS_WITH_TASKS])
def django_tasks(session: nox.Session, version: str) -> None:
    """Run Django's own tests of tasks, out of its source release, with the durable backend in place of its own."""
    session.install("-e", ".[django,identity]", f"django=={version}", "setuptools")
    session.run("python", "-m", "tools.django_task_tests")


@nox.session(python=PYTHONS[0])
@nox.parametrize("version", list(FLASKS), ids=list(FLASKS))
def flask(session: nox.Session, version: str) -> None:
    """Run the adapter's tests, without server processes, on one version of Flask."""
    tools = ("pytest>=9", "pytest-timeout", "hypothesis", "httpx", "psutil", "hypercorn", "flask-sqlalchemy")
    session.install("-e", ".[flask,identity]", f"flask[async]=={version}", FLASKS[version], *tools)
    paths = session.posargs or ["tests/flask", "--ignore=tests/flask/servers"]
    session.run("python", "-m", "pytest", "-q", *paths)


@nox.session(python=PYTHONS[0])
def wheel(session: nox.Session) -> None:
    """Build the wheel and import it, with its types, where neither the repository nor an extra is."""
    session.install("build")
    folder = Path(session.create_tmp())
    session.run("python", "-m", "build", "--outdir", str(folder))
    session.install(*(str(built) for built in folder.glob("*.whl")))
    session.chdir(folder)
    session.run("python", "-c", "import durably; print(durably.__file__, len(durably.__all__))")
