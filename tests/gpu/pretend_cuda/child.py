"""The process that `parent` starts: ``python -m pretend_cuda.child FILE_DESCRIPTOR``."""

import os
import sys
from multiprocessing.connection import Connection

import pytest


def main():
    connection = Connection(int(sys.argv[1]))
    arguments = connection.recv()
    try:
        from pretend_cuda import device
    except RuntimeError as error:
        connection.send(str(error))
        return
    sys.exit(pytest.main(arguments, plugins=[device, Runner(connection)]))


class Runner:
    """Runs the tests that it is asked for, in the order of the requests."""

    def __init__(self, connection):
        self.connection = connection
        self.broken = []

    @pytest.hookimpl(trylast=True)
    def pytest_configure(self, config):
        self.config = config
        # The parent prints; pytest asks this reporter how wide and how coloured.
        reporter = config.pluginmanager.unregister(name="terminalreporter")
        nowhere = open(os.devnull, "w")
        config.add_cleanup(nowhere.close)
        config.pluginmanager.register(type(reporter)(config, nowhere), "terminalreporter")

    def pytest_collectreport(self, report):
        if report.failed:
            self.broken.append(str(report.longrepr))

    def pytest_runtestloop(self, session):
        items = {item.nodeid: item for item in session.items}
        self.connection.send(None)
        while (request := self.connection.recv()) is not None:
            item, following = (items.get(nodeid) for nodeid in request)
            if item is None:
                text = "\n".join(["not found on the pretend GPU", *self.broken])
                pytest.exit(text, returncode=4)
            item.ihook.pytest_runtest_protocol(item=item, nextitem=following)
            self.connection.send(None)
        return True

    def pytest_runtest_logreport(self, report):
        data = self.config.hook.pytest_report_to_serializable(config=self.config, report=report)
        self.connection.send(data)


if __name__ == "__main__":
    main()
