"""Hypothesis strategies for the views of a call."""

from datetime import UTC, datetime, timedelta

from hypothesis import strategies as st

from calyapp.calls.state import CallView, Direction, Evidence, Phase, Source, Sourced

_EPOCH = datetime(2026, 11, 1, tzinfo=UTC)
# Characters whose order differs between code points and the collations of natural languages.
_texts = st.text(alphabet="aAbBzZäß0+-_:/ क", min_size=1, max_size=6)
_moments = st.integers(0, 5).map(lambda seconds: _EPOCH + timedelta(seconds=seconds))
_seconds = st.integers(0, 5)


def _sourced(values: st.SearchStrategy) -> st.SearchStrategy[Sourced | None]:
    return st.none() | st.builds(Sourced, st.sampled_from(Source), values)


views = st.builds(
    CallView,
    phase=st.sampled_from(Phase),
    evidence=st.sampled_from(Evidence),
    phone_from=_sourced(_texts),
    phone_to=_sourced(_texts),
    direction=_sourced(st.sampled_from(Direction)),
    start_ts=_sourced(_moments),
    end_ts=_sourced(_moments),
    talk_seconds=_sourced(_seconds),
    call_seconds=_sourced(_seconds),
    recording_url=_sourced(_texts),
)
