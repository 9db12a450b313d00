"""The form to sign up."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib.auth import get_user_model, password_validation
from django.contrib.auth.hashers import make_password
from django.contrib.auth.validators import UnicodeUsernameValidator

from accounts.models import SignUp

__all__ = ["SignUpForm"]


class SignUpForm(forms.ModelForm):
    """Name, address and password; the password is hashed before it is stored anywhere."""

    username = forms.CharField(max_length=150, validators=[UnicodeUsernameValidator()])
    password = forms.CharField(widget=forms.PasswordInput(attrs={"autocomplete": "new-password"}))

    class Meta:
        """What the form writes."""

        model = SignUp
        fields = ("username", "email")

    def clean_username(self) -> str:
        """Refuse a name that somebody has, or is signing up with."""
        name = self.cleaned_data["username"]
        pending = SignUp.objects.filter(username=name).exclude(state=SignUp.State.EXPIRED)
        if pending.exists() or get_user_model().objects.filter(username=name).exists():
            raise forms.ValidationError("This name is taken.")
        return name

    def clean_password(self) -> str:
        """Refuse a weak password."""
        password_validation.validate_password(self.cleaned_data["password"])
        return self.cleaned_data["password"]

    def save(self, commit: bool = True) -> Any:
        """Store the sign-up, with the hash of the password."""
        self.instance.password = make_password(self.cleaned_data["password"])
        return super().save(commit)
