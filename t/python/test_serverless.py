"""Twilio's Python library against the server under test, for t/python.t."""
import os
import unittest
from datetime import datetime, timedelta, timezone

from twilio.base.exceptions import TwilioRestException
from twilio.rest import Client

ENV = os.environ


def serverless(token=ENV["AUTH_TOKEN"], base_url=ENV["BASE_URL"]):
    """Returns the API as the library has it. Without a base URL it is at Twilio's address, by the variable HTTPS_PROXY."""
    client = Client(ENV["ACCOUNT_SID"], token)
    if base_url:
        client.serverless.base_url = base_url
    client.http_client.session.verify = ENV["AUTHORITY"]
    return client.serverless.v1


class Serverless(unittest.TestCase):
    def setUp(self):
        self.api = serverless()
        self.service = self.api.services(ENV["SERVICE_SID"])
        self.environment = self.service.environments(ENV["ENVIRONMENT_SID"])

    def assert_error(self, status, code, message, call, *arguments, **keywords):
        with self.assertRaises(TwilioRestException) as caught:
            call(*arguments, **keywords)
        error = caught.exception
        self.assertEqual((error.status, error.code, error.msg.split(": ", 1)[1]), (status, code, message))

    def test_service(self):
        """a Service is created, fetched, updated and deleted"""
        made = self.api.services.create(unique_name="python", friendly_name="Zürich 🚀")
        self.assertRegex(made.sid, "^ZS[0-9a-f]{32}$")
        self.assertEqual(made.account_sid, ENV["ACCOUNT_SID"])
        self.assertEqual((made.friendly_name, made.include_credentials, made.ui_editable), ("Zürich 🚀", True, False))
        self.assertLess(abs(datetime.now(timezone.utc) - made.date_created), timedelta(minutes=5))
        self.assertEqual(self.api.services("python").fetch().sid, made.sid)
        self.assertEqual(made.update(friendly_name="P", ui_editable=True).ui_editable, True)
        self.assertTrue(made.delete())
        self.assert_error(404, 20404, f"The requested resource /Services/{made.sid} was not found", made.fetch)

    def test_pages(self):
        """a list is read page by page"""
        service = self.api.services.create(unique_name="pages", friendly_name="Pages")
        for number in range(5):
            service.functions.create(friendly_name=str(number))
        for size in (1, 2, 50):
            names = [function.friendly_name for function in service.functions.list(page_size=size)]
            self.assertEqual(names, ["4", "3", "2", "1", "0"])
        self.assertEqual(len(service.functions.list(limit=3, page_size=2)), 3)

    def test_build(self):
        """a Build is created, and a Build is deployed"""
        build = self.service.builds.create(function_versions=[ENV["VERSION_SID"]], runtime="node20")
        self.assertEqual((build.status, build.runtime), ("building", "node20"))
        self.assertEqual([version["sid"] for version in build.function_versions], [ENV["VERSION_SID"]])
        deployment = self.environment.deployments.create(build_sid=ENV["BUILD_SID"])
        self.assertEqual(deployment.build_sid, ENV["BUILD_SID"])
        self.assertEqual(self.environment.fetch().build_sid, ENV["BUILD_SID"])

    def test_variable(self):
        """the value of a Variable comes back as it was sent"""
        for value in ("a&b=c;d+e%20f", "Zürich 東京 🚀", "line\r\nline"):
            made = self.environment.variables.create(key="KEY", value=value)
            self.assertEqual(self.environment.variables(made.sid).fetch().value, value)
            self.assertTrue(made.delete())

    def test_logs(self):
        """Logs are found by Function and by time, with and without a zone"""
        logs, function, now = self.environment.logs, ENV["FUNCTION_SID"], datetime.now(timezone.utc)
        hour = timedelta(hours=1)
        for start, end, found in ((now - hour, now + hour, 1), (now - 2 * hour, now - hour, 0)):
            for zone in (timezone.utc, None):
                between = {"start_date": start.replace(tzinfo=zone), "end_date": end.replace(tzinfo=zone)}
                self.assertEqual(len(logs.list(function_sid=function, **between)), found)
        self.assertEqual(logs(ENV["LOG_SID"]).fetch().message, "said")

    def test_errors(self):
        """errors have the API's status, code and message"""
        self.assert_error(401, 20003, "Authenticate", serverless("f" * 32).services(ENV["SERVICE_SID"]).fetch)
        self.assert_error(400, 20001, "FriendlyName must not be longer than 255 characters",
                          self.service.functions.create, friendly_name="x" * 256)
        self.service.environments.create(unique_name="taken")
        self.assert_error(409, 20409, "Environment with this UniqueName or DomainSuffix already exists.",
                          self.service.environments.create, unique_name="taken")

    def test_proxy(self):
        """a proxy directs requests for Twilio's address to this server"""
        api = serverless(base_url=None)
        self.assertEqual(api.services(ENV["SERVICE_SID"]).fetch().url,
                         f"https://serverless.twilio.com/v1/Services/{ENV['SERVICE_SID']}")
        made = api.services.create(unique_name="proxy", friendly_name="Proxy")
        names = [service.unique_name for service in api.services.list(page_size=1)]
        self.assertIn("proxy", names)
        self.assertEqual(len(names), len(set(names)))
        self.assertTrue(made.delete())


if __name__ == "__main__":
    unittest.main(verbosity=2, warnings="ignore")
