"""A URL configuration with Django's admin pages."""

from django.contrib import admin
from django.urls import path

from tests.django.project.urls import urlpatterns as others

urlpatterns = [path("admin/", admin.site.urls), *others]
