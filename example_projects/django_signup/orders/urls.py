"""The routes of orders."""

from django.urls import path

from orders import views

urlpatterns = [
    path("", views.orders, name="orders"),
    path("<uuid:number>/return/", views.give_back, name="give-back"),
]
