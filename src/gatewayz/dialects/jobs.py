"""Answers that come later: a provider accepts a request as a job, and is asked until the job is done.

Pure, as all dialects: what an answer means is read here, who asks and when is decided in `providers/jobs.py`.
"""

from collections.abc import Mapping
from typing import Literal, Protocol

import msgspec

from gatewayz.dialects.base import ProviderDialect


class Job(msgspec.Struct, frozen=True):
    """A job that was accepted, and where the provider says that it is asked about.

    `ask` is read until it tells that the job has ended. `result` is where the answer stands then, "" where it is `ask` that
    brings it. `cancel` ends the job early, with this method; "" where it cannot be. `ended`: nothing is left but to read `ask`.
    """

    ask: str
    result: str = ""
    cancel: str = ""
    cancel_method: Literal["POST", "PUT"] = "POST"
    ended: bool = False


class JobDialect(ProviderDialect, Protocol):
    """What is asked of a dialect whose answers may be jobs."""

    def submit_headers(self, longest_s: float) -> Mapping[str, str]:
        """Headers for a request whose answer is waited for at most `longest_s` seconds."""
        ...

    def step(self, body: bytes, url: str, job: Job | None) -> Job | None:
        """The job as it stands after this answer: to the request that was sent to `url`, later to `job.ask`.

        None: the body is the answer itself, or says how the job failed. Raises ValueError for what is neither.
        """
        ...
