"""Grafana's dashboards as code: these modules in, the JSON that Grafana provisions out; run by `make dashboards`, never by a worker."""
