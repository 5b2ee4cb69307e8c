"""An Xid of an engine's GPU is told by the platform's own metrics."""

from typing import Final, Literal

from hotfire.chaos.sighting import EachTarget, Scene, Sighting
from hotfire.chaos.targets.engine_devices import device_of
from hotfire.chaos.written import Target
from hotfire.errors import HarnessError
from hotfire.profile import TargetProfile
from hotfire.prometheus import Prometheus

_SERIES: Final = "DCGM_FI_DEV_XID_ERRORS"
# Two rounds of a scraper that asks every fifteen seconds.
_SECONDS: Final = 30.0


class XidReported(EachTarget):
    """The exporter's series of that GPU tells the code."""

    word: Literal["xid-reported"] = "xid-reported"
    xid: int
    """NVIDIA's code of the error."""

    def within_seconds(self, profile: TargetProfile, *, over: bool) -> float:
        """Return the time until it was scraped, if that is longer."""
        return max(_SECONDS, super().within_seconds(profile, over=over))

    def look_at(self, scene: Scene, target: Target) -> Sighting:
        """Return whether it is told of one target's GPU."""
        world = scene.world
        gpu = device_of(world, target).partition("::")[0]
        url = world.profile.prometheus_url
        if url is None:
            raise HarnessError("nobody tells of Xids; set prometheus_url")
        told = [sample.value for sample in Prometheus(url).query(f'{_SERIES}{{UUID="{gpu}"}}')]
        if not told:
            raise HarnessError(f"Prometheus has no {_SERIES} of {gpu}; no exporter tells of it")
        words = f"Prometheus: {_SERIES} of {gpu} is {', '.join(f'{one:g}' for one in told)}"
        return Sighting.of(self.xid in told, words)
