"""Two profiles side by side."""

from penstock.profile.errors import ProfileError
from penstock.profile.profile import FeatureProfile, Profile
from penstock.stats.decision import DriftPolicy, FeatureDrift, decide
from penstock.stats.drift import measure


def compare_profiles(reference: Profile, current: Profile, policy: DriftPolicy | None = None) -> list[FeatureDrift]:
    """The drift of every feature that both have, in the reference's order.

    Raises `ProfileError` if they have none in common, or if one was counted on another grid.
    """
    common = [feature for feature in reference.features if feature.name in current.by_name]
    if not common:
        raise ProfileError("The two profiles have no feature in common.")
    for feature in common:
        if current.by_name[feature.name].grid != feature.grid:
            raise ProfileError(
                f"Feature '{feature.name}' was counted on different grids: make the second profile on the grids "
                "of the first (`penstock profile make --like FIRST`)."
            )
    measured = [measure(f.name, f.histogram, current.by_name[f.name].histogram) for f in common]
    return decide(measured, policy)


def select(profile: Profile, name: str | None) -> tuple[FeatureProfile, ...]:
    """All features, or the named one; raises `ProfileError` if there is no such feature."""
    if name is None:
        return profile.features
    if name not in profile.by_name:
        raise ProfileError(f"The profile has no feature '{name}'.")
    return (profile.by_name[name],)
