"""What can be wrong with a profile."""


class ProfileError(ValueError):
    """A profile that cannot be read, merged or drawn; the message is one sentence for a person."""
