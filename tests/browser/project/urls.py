"""The routes of the project, with the admin pages and the files that they need."""

from django.contrib import admin
from django.contrib.staticfiles.views import serve
from django.urls import path, re_path

from tests.django.project.urls import urlpatterns as others

urlpatterns = [path("admin/", admin.site.urls), re_path(r"^static/(?P<path>.*)$", serve, {"insecure": True}), *others]
