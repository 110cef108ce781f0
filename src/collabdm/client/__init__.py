"""What one client does: sums over its data under each seed (L_k), and a local distillation (S_k)."""

from collabdm.client.probe import Probe, probe
from collabdm.client.site import SiteOptions, check_client, contribute, tell_left_out
from collabdm.client.sums import client_sums, sums_key

__all__ = ["Probe", "SiteOptions", "check_client", "client_sums", "contribute", "probe", "sums_key", "tell_left_out"]
