"""What the cleaning of one value may know: pseudonyms, profile, known identities, byte order."""

from __future__ import annotations

from dataclasses import dataclass

from containers.scrub_headers.known import KnownIdentities
from containers.scrub_headers.profile import Profile
from containers.scrub_headers.pseudonyms import Pseudonyms


@dataclass(frozen=True, slots=True)
class CleanContext:
    """The surroundings of a value.

    Parameters
    ----------
    pseudonyms : Pseudonyms
        Maps UIDs and dates of this participant.
    profile : Profile
        What may stay.
    known : KnownIdentities
        Strings that no kept text may touch.
    big_endian : bool
        Byte order of binary values.
    """

    pseudonyms: Pseudonyms
    profile: Profile
    known: KnownIdentities
    big_endian: bool = False
