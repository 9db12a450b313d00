"""Deployments and services in memory: what every call looks up.

Owns the look-ups. A store keeps one `Registry` for its writer and changes it with its tables; readers
of SQLite build one when they are asked. There are few rows: thousands at most.
"""

from __future__ import annotations

from collections.abc import Iterable

from durably.engine.records import Deployment, ServiceRecord

__all__ = ["Registry"]


class Registry:
    """Every deployment and every revision of every service.

    Args:
        deployments: In any order.
        services: In any order.
    """

    def __init__(self, deployments: Iterable[Deployment] = (), services: Iterable[ServiceRecord] = ()) -> None:
        self._deployments = {deployment.id: deployment for deployment in deployments}
        self._by_uri = {deployment.uri: deployment for deployment in self._deployments.values()}
        self._services = {(service.name, service.revision): service for service in services}
        self._latest: dict[str, ServiceRecord] = {}
        self._find_latest()

    def copy(self) -> Registry:
        """Give an independent copy; the records are shared, they do not change."""
        return Registry(self._deployments.values(), self._services.values())

    def deployment(self, deployment_id: str) -> Deployment | None:
        """Give one deployment."""
        return self._deployments.get(deployment_id)

    def deployment_at(self, uri: str) -> Deployment | None:
        """Give the deployment with this uri."""
        return self._by_uri.get(uri)

    def deployments(self) -> list[Deployment]:
        """Give all deployments, oldest first."""
        return sorted(self._deployments.values(), key=lambda deployment: (deployment.created_at, deployment.id))

    def service(self, name: str) -> ServiceRecord | None:
        """Give the latest revision of a service."""
        return self._latest.get(name)

    def service_at(self, name: str, deployment_id: str) -> ServiceRecord | None:
        """Give the highest revision of a service on a deployment."""
        latest = self._latest.get(name)
        if latest is None or latest.deployment_id == deployment_id:
            return latest
        found = [
            service
            for service in self._services.values()
            if service.name == name and service.deployment_id == deployment_id
        ]
        return max(found, key=lambda service: service.revision, default=None)

    def services(self) -> list[ServiceRecord]:
        """Give the latest revision of every service, sorted by name."""
        return [self._latest[name] for name in sorted(self._latest)]

    def services_of(self, deployment_id: str) -> list[ServiceRecord]:
        """Give every revision on a deployment, sorted by name, then by revision."""
        found = [service for service in self._services.values() if service.deployment_id == deployment_id]
        return sorted(found, key=lambda service: (service.name, service.revision))

    def put_deployment(self, deployment: Deployment) -> None:
        """Add or replace a deployment."""
        self._forget_uri(deployment.id)
        self._deployments[deployment.id] = deployment
        self._by_uri[deployment.uri] = deployment

    def delete_deployment(self, deployment_id: str) -> None:
        """Remove a deployment and every revision on it."""
        self._forget_uri(deployment_id)
        self._deployments.pop(deployment_id, None)
        for service in self.services_of(deployment_id):
            del self._services[service.name, service.revision]
        self._find_latest()

    def put_service(self, service: ServiceRecord) -> None:
        """Add or replace a revision."""
        self._services[service.name, service.revision] = service
        self._find_latest()

    def delete_service(self, name: str, revision: int) -> None:
        """Remove a revision."""
        self._services.pop((name, revision), None)
        self._find_latest()

    def _forget_uri(self, deployment_id: str) -> None:
        known = self._deployments.get(deployment_id)
        if known is not None and self._by_uri.get(known.uri) is known:
            del self._by_uri[known.uri]

    def _find_latest(self) -> None:
        self._latest.clear()
        for service in sorted(self._services.values(), key=lambda service: service.revision):
            self._latest[service.name] = service
