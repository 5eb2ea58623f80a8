"""How much is tried: ``fast`` while one works, ``ci`` for every change, ``deep`` before a release.

Plain numbers: neither torch nor torch-geometric is imported here.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Profile:
    """Numbers of clouds beyond the named cases, which are tried in every profile.

    Time grows in proportion to them. Limits are numbers of clouds, so that a machine under load
    tries the same ones; but for how long a counterexample is made smaller.

    Attributes:
        name: of the profile.
        clouds: random ones, over all laws of which a cloud takes milliseconds.
        slow_clouds: the same for checks of which a cloud takes up to seconds.
        slow_cases: named cases of each slow check, the most telling first; None for all.
        case_points: largest number of points of a named case; None for all. The time of networks
            that see all pairs, or of averages over frames, grows faster than linearly with it.
        points: largest number of points of a random cloud, about.
        shrinking: seconds, at most and over all checks, in which the smallest clouds that fail are
            looked for.
        rattled: of the named clouds that are rattled one in so many is tried, in turn from all
            strata, at all distances.
        evaluations: of a network in frames, for each cloud on average, about: of clouds with more
            frames each check is tried on some, the next check on others. None for all of them.
        highest_alone: order of the highest derivative that is followed on paths of a model that
            mixes up its batch, as each place takes a call then. What is followed shows breaks of
            its own first and second derivative, too.
    """

    name: str
    clouds: int
    slow_clouds: int
    slow_cases: int | None
    case_points: int | None = None
    points: int = 8
    shrinking: int | float = 20.0
    rattled: int = 1
    evaluations: int | None = None
    highest_alone: int = 2


PROFILES: dict[str, Profile] = {
    one.name: one
    for one in (
        Profile(
            "fast",
            clouds=1_000,
            slow_clouds=4,
            slow_cases=6,
            case_points=12,
            rattled=13,
            evaluations=3,
            highest_alone=1,
        ),
        Profile("ci", clouds=10_000, slow_clouds=60, slow_cases=None, points=12, rattled=3),
        Profile("deep", clouds=100_000, slow_clouds=600, slow_cases=None, points=12),
    )
}


def profile_of(profile: str | Profile) -> Profile:
    """A profile by its name.

    Raises:
        ValueError: if there is none of this name.
    """
    if isinstance(profile, Profile):
        return profile
    if profile not in PROFILES:
        raise ValueError(
            f"`profile` is {profile!r} but must be one of {', '.join(PROFILES)}, or a Profile"
        )
    return PROFILES[profile]
