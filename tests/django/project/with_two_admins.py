"""A URL configuration with another admin site, which shows invocations too."""

from django.contrib import admin
from django.urls import path

from durably_django.admin import InvocationAdmin
from durably_django.models import Invocation
from tests.django.project.urls import urlpatterns as others

office = admin.AdminSite(name="office")
office.register(Invocation, InvocationAdmin)

urlpatterns = [path("admin/", admin.site.urls), path("office/", office.urls), *others]
