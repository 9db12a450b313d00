"""The routes of the project."""

from django.contrib import admin
from django.urls import include, path
from django.views.generic import RedirectView

urlpatterns = [
    path("", RedirectView.as_view(pattern_name="sign-up")),
    path("accounts/", include("accounts.urls")),
    path("orders/", include("orders.urls")),
    path("admin/", admin.site.urls),
    path("restate/", include("durably_django.urls")),
]
