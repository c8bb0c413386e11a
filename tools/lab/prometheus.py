# SPDX-License-Identifier: Apache-2.0
"""What both daemons' metrics must be to a Prometheus with the deployed rules and dashboard."""

import json
import math
import pathlib
import re
import subprocess
import time
import urllib.parse

DEPLOY = pathlib.Path(__file__).resolve().parents[2] / "deploy/prometheus"


def series_of(text):
    """Each series of an exposition, as 'name{label="value"}', and its value."""
    series = {}
    for line in text.splitlines():
        if not line.startswith("#"):
            name, value = line.rsplit(" ", 1)
            series[name] = float(value)
    return series


class Exposition:
    """For a TestCase with exposition(): what a daemon answers to GET /metrics."""

    def scrape(self):
        time.sleep(0.15)  # what was collected just before would be answered
        return series_of(self.exposition())

    def check_with_promtool(self):
        checked = subprocess.run(["promtool", "check", "metrics"], input=self.exposition(),
                                 text=True, capture_output=True, timeout=60)
        self.assertEqual((checked.returncode, checked.stdout + checked.stderr), (0, ""))


class Deployed:
    """For a TestCase with get_from_prometheus(PATH), about rules and dashboard of one daemon."""

    def load(self, name, prefix):
        """`name`: of deploy/prometheus/NAME.rules.yml; `prefix`: of its metrics' names."""
        self.rules = (DEPLOY / f"{name}.rules.yml").read_text()
        self.dashboard = json.loads((DEPLOY / f"grafana/{name}.json").read_text())
        self.prefix = prefix

    def ask(self, path, **fields):
        answer = json.loads(self.get_from_prometheus(f"{path}?{urllib.parse.urlencode(fields)}"))
        self.assertEqual(answer["status"], "success", answer)
        return answer["data"]

    def values(self, expression):
        return [float(sample["value"][1])
                for sample in self.ask("/api/v1/query", query=expression)["result"]]

    def check_dashboard(self):
        expressions = [(panel["title"], target["expr"]) for panel in self.dashboard["panels"]
                       for target in panel.get("targets", ())]
        expressions += [(variable["name"], variable["definition"].split("(")[1].split(",")[0])
                        for variable in self.dashboard["templating"]["list"]
                        if variable["type"] == "query"]
        self.assertGreater(len(expressions), 40)
        for title, expression in expressions:
            with self.subTest(title, query=expression):
                query = expression.replace("$__rate_interval", "8s").replace("$instance", ".*")
                values = self.values(query)
                self.assertTrue(values, "no data")
                self.assertTrue(all(math.isfinite(value) for value in values), values)
        for annotation in self.dashboard["annotations"]["list"]:
            # It may well be that nothing was started lately: that it can be asked is enough.
            self.values(annotation["expr"].replace("$instance", ".*"))

    def check_rules(self, alerts=frozenset()):
        """Those `alerts` may be on their way, and no others."""
        rules = [rule for group in self.ask("/api/v1/rules")["groups"] for rule in group["rules"]]
        for rule in rules:
            self.assertEqual(rule["health"], "ok", rule)
            if rule["type"] == "recording":
                self.assertTrue(self.values(rule["name"]), rule["name"])
        self.assertEqual({rule["type"] for rule in rules}, {"recording", "alerting"})
        self.assertEqual({rule["name"] for rule in rules
                          if rule["type"] == "alerting" and rule["state"] != "inactive"}, alerts)
        # Every metric that rules and dashboard name is there.
        named = set(re.findall(rf"{self.prefix}\w+|process_\w+",
                               self.rules + json.dumps(self.dashboard)))
        self.assertEqual(named - set(self.ask("/api/v1/label/__name__/values")), set())
