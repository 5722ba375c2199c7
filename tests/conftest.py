"""Settings of every random test: no deadline on a shared machine, and a failure prints how to run it again."""

from hypothesis import HealthCheck, settings

settings.register_profile(
    "footpath",
    deadline=None,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
settings.load_profile("footpath")
