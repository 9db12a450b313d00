"""Routes of the project: each view once plain and once durable where both are compared."""

from django.urls import include, path

from tests.django.project.shop import class_views, task_views, views

urlpatterns = [
    path("restate/", include("durably_django.urls")),
    path("echo/<int:number>/<uuid:mark>/", views.echo),
    path("form/", views.form),
    path("fail/<str:how>/", views.fail),
    path("plain/fail/<str:how>/", views.plain_fail),
    path("steps/<str:order_id>/", views.steps),
    path("async/<str:order_id>/", views.steps_async),
    path("who/", views.who),
    path("who-async/", views.who_async),
    path("atomic/", views.atomic),
    path("stream/", views.stream),
    path("cookie/", views.cookie),
    path("add/<str:basket>/", views.add),
    path("publish/<str:title>/", views.publish),
    path("connections/", views.connections_while_waiting),
    path("approve/<str:name>/", views.approve),
    path("tell/<str:awakeable_id>/", views.tell),
    path("checkout/<str:name>/", views.checkout),
    path("threads/", views.threads),
    path("begin/<str:name>/<int:count>/", views.begin),
    path("answer/<str:name>/", views.answer_all),
    path("entries/<str:beginning>/", views.entries),
    path("enqueue/<str:name>/", task_views.enqueue),
    path("methods/<int:number>/", class_views.Methods.as_view()),
    path("decorated/<int:number>/", class_views.Decorated.as_view(greeting="hello")),
    path("dispatched/<int:number>/", class_views.Dispatched.as_view()),
    path("async-methods/<int:number>/", class_views.AsyncMethods.as_view()),
]
