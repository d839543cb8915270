#!/usr/bin/env python3
"""What load generators print is understood, and failures are no figures."""

import unittest

import support  # noqa: F401  (finds bench/lib)
from lib import load
from lib.problem import Problem

WRK = """\
Running 8s test @ http://127.0.0.1:8000
  1 threads and 8 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency    34.41ms    4.60ms  71.05ms   87.55%
    Req/Sec   232.01     27.50   270.00     81.25%
  1861 requests in 8.01s, 354.38KB read
Requests/sec:    232.34
Transfer/sec:     44.24KB

figures of the load: {"requests": 1861, "us": 8009812, "p50_us": 33710, \
"p99_us": 52480, "failed": {"connect": 0, "read": 0, "write": 0, \
"timeout": 0, "status": 0}}
"""
AB = """\
This is ApacheBench, Version 2.3 <$Revision: 1923142 $>

Server Software:        Apache/2.4.69
Document Path:          /one
Document Length:        24 bytes

Concurrency Level:      3
Time taken for tests:   8.004 seconds
Complete requests:      600
Failed requests:        0
Total transferred:      111000 bytes
Requests per second:    74.96 [#/sec] (mean)

Percentage of the requests served within a certain time (ms)
  50%     39
"""


def hundredths(*times):
    return "Percentage served,Time in ms\n" + "".join(
        f"{percent},{time:.3f}\n" for percent, time in enumerate(times))


class Wrk(unittest.TestCase):

    def test_its_figures_are_found_among_the_rest(self):
        found = load.parse_wrk(WRK)
        self.assertEqual(found, (1861, 8.009812, 33.71, 52.48))

    def test_any_failed_request_is_an_error(self):
        for kind in ("connect", "read", "write", "timeout", "status"):
            text = WRK.replace(f'"{kind}": 0', f'"{kind}": 3')
            with self.assertRaisesRegex(Problem, f"1861 answered: {kind} 3"):
                load.parse_wrk(text)

    def test_none_answered_is_an_error(self):
        with self.assertRaisesRegex(Problem, "no request was answered"):
            load.parse_wrk(WRK.replace('"requests": 1861', '"requests": 0'))

    def test_something_else_is_shown(self):
        for text in ("", "unable to connect", WRK.split("figures")[0],
                     load.MARK + "{", load.MARK + "[]", load.MARK + "{}"):
            with self.assertRaisesRegex(Problem, "wrk printed no figures"):
                load.parse_wrk(text)

    def test_its_script_asks_for_all_paths(self):
        script = load.SCRIPT % ('"/one", "/two"', load.MARK)
        self.assertIn('local paths = {"/one", "/two"}', script)
        self.assertIn("place % #requests", script)
        self.assertIn(load.MARK + '{"requests": %d', script)


class Ab(unittest.TestCase):

    def test_its_figures_are_found(self):
        share = load.parse_ab(AB, hundredths(*range(100)))
        self.assertEqual((share.requests, share.seconds), (600, 8.004))
        self.assertEqual(load.merge([share]), (600, 8.004, 50.0, 99.0))

    def test_any_failed_request_is_an_error(self):
        for text, kind in ((AB.replace("requests:        0", "requests: 4"),
                            "failed 4"),
                           (AB + "Non-2xx responses:      600\n",
                            "status 600"),
                           (AB + "Write errors:           2\n", "write 2")):
            with self.assertRaisesRegex(Problem, kind):
                load.parse_ab(text, hundredths(*range(100)))

    def test_what_is_missing_is_said(self):
        with self.assertRaisesRegex(Problem, "'Complete requests'"):
            load.parse_ab("apr_socket_connect(): Connection refused", "")
        with self.assertRaisesRegex(Problem, "3 hundredths"):
            load.parse_ab(AB, hundredths(1, 2, 3))

    def test_several_are_weighted_by_their_requests(self):
        fast = load.Share(900, 8.0, [1.0] * 100)
        slow = load.Share(100, 8.5, [9.0] * 100)
        self.assertEqual(load.merge([fast, slow]), (1000, 8.5, 1.0, 9.0))
        slower = load.Share(5, 8.0, [9.0] * 100)
        self.assertEqual(load.merge([fast, slower]).p99_ms, 1.0)


if __name__ == "__main__":
    unittest.main()
