"""What a Prometheus parser reads in a page of metrics, which is held to be one that it should take."""

from prometheus_client.parser import text_string_to_metric_families


def read_page(text):
    """{(name, labels): value}, and the types of the families."""
    families = list(text_string_to_metric_families(text))
    names = [f.name for f in families]
    assert len(names) == len(set(names)), "a family in two places"
    samples = {}
    for f in families:
        assert f.documentation, f.name
        for s in f.samples:
            key = (s.name, tuple(sorted(s.labels.items())))
            assert key not in samples, key
            samples[key] = s.value
    return samples, {f.name: f.type for f in families}
