"""PIMALLOC_STATS and PIMALLOC_STATS_SIGNAL as users meet them."""

import json
import sys
import tempfile
import unittest
from pathlib import Path

import support
from support import GUARD, PRELOAD, WORK, python, run

# What is read from the program must not depend on when signals come, nor on how fast
# they are answered: told(n) waits until n answers are whole, if stderr is a file.
START = WORK + """
import os, signal, sys, threading, time
me = os.getpid()
def told(wanted, last='}\\n'):
    while True:
        with open('/proc/self/fd/2', encoding='utf-8') as stderr:
            if stderr.read().count(last) >= wanted: return
        time.sleep(0.001)
"""


def documents(text):
    """The JSON documents in a text, one a line, and what is between them."""
    found, rest = [], ""
    decoder = json.JSONDecoder()
    while text:
        if text.startswith('{"schema"'):
            document, end = decoder.raw_decode(text)
            found.append(document)
            text = text[end:].removeprefix("\n")
        else:
            line, _, text = text.partition("\n")
            rest += line + "\n"
    return found, rest


class Files(support.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)

    def files(self):
        return sorted(path.name for path in self.folder.iterdir())

    def test_each_format_to_stderr(self):
        for value, text in (("text", ", active, "), ("1", ", active, "),
                            ("json", '{"schema": "pimalloc-stats"'),
                            ("openmetrics", "# EOF\n")):
            done = python("-c", WORK + "print('out')", PIMALLOC_STATS=value)
            self.assertEqual((done.status, done.stdout), (0, "out\n"), str(done))
            self.assertIn(text, done.stderr)

    def test_none(self):
        for value in ("0", ""):
            done = python("-c", WORK, PIMALLOC_STATS=value)
            self.assertEqual((done.status, done.stderr), (0, ""), str(done))

    def test_a_bad_value_is_reported_once(self):
        for value in ("xml", "json:", ":x", "JSON", "1:file"):
            done = python("-c", WORK, PIMALLOC_STATS=value)
            self.assertEqual(done.status, 0)
            self.assertEqual(len(done.ours), 1, str(done))
            self.assertIn("bad value in PIMALLOC_STATS=", done.stderr)
            self.assertEqual(done.stderr.count("\n"), 1)

    def test_a_whole_file_of_each_process(self):
        code = WORK + ("import os, subprocess, sys\n"
                       "pid = os.fork()\n"
                       "if pid: os.wait(); subprocess.run([sys.executable, '-c', 'pass'])\n")
        done = python("-W", "ignore", "-c", code, PIMALLOC_STATS=f"json:{self.folder}/%p-%p.json")
        self.assertEqual((done.status, done.stderr), (0, ""), str(done))
        self.assertEqual(len(self.files()), 3, self.files())
        for path in self.folder.iterdir():
            document = json.loads(path.read_text(encoding="utf-8"))
            self.assertEqual(path.name, f"{document['pid']}-{document['pid']}.json")

    def test_one_file_of_many_processes_is_whole(self):
        code = ("import multiprocessing\n"
                "def work(n): return len([[i] for i in range(n)])\n"
                "with multiprocessing.get_context('fork').Pool(4) as pool:\n"
                "    pool.map(work, [1000] * 40)\n"
                "import os\n"
                "for _ in range(20):\n    if not os.fork(): break\n"
                "else:\n    while True:\n"
                "        try: os.wait()\n"
                "        except ChildProcessError: break\n")
        path = self.folder / "stats.json"
        done = python("-W", "ignore", "-c", WORK + code, PIMALLOC_STATS=f"json:{path}")
        self.assertEqual((done.status, done.stderr), (0, ""), str(done))
        self.assertEqual(self.files(), ["stats.json"])
        self.assertEqual(json.loads(path.read_text(encoding="utf-8"))["pid"], done.pid)

    def test_a_folder_that_cannot_be_written(self):
        for path in (f"{self.folder}/none/stats", "/proc/stats", f"{self.folder}",
                     "/proc/self/status", f"{self.folder}/{'x' * 300}",
                     f"{self.folder}/{'%p' * 3000}"):
            with self.subTest(path[:60]):
                done = python("-c", WORK + "import sys; print('out'); sys.exit(4)",
                              PIMALLOC_STATS=f"json:{path}")
                self.assertEqual((done.status, done.stdout), (4, "out\n"), str(done))
                self.assertEqual(len(done.ours), 1, str(done))
                self.assertEqual(done.stderr.count("\n"), 1, str(done))
                self.assertIn("could not be written to", done.stderr)
        self.assertEqual(self.files(), [])

    def test_a_full_disk(self):
        done = python("-c", WORK + "raise SystemExit(4)", PIMALLOC_STATS="json:/dev/full")
        self.assertEqual((done.status, len(done.ours)), (4, 1), str(done))

    def test_a_limit_of_file_sizes(self):
        code = WORK + ("import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (10, 10))"
                       "\nsys.exit(4)")
        done = python("-c", code, PIMALLOC_STATS=f"json:{self.folder}/stats")
        self.assertEqual((done.status, len(done.ours)), (4, 1), str(done))
        self.assertEqual(self.files(), [])

    def test_a_relative_path_means_the_folder_at_the_end(self):
        code = WORK + f"import os; os.chdir({str(self.folder)!r})"
        done = python("-c", code, PIMALLOC_STATS="json:stats.json")
        self.assertEqual((done.status, done.stderr), (0, ""), str(done))
        self.assertEqual(self.files(), ["stats.json"])

    def test_a_reader_that_went_away(self):
        for changes in ({}, {"PIMALLOC_VERBOSE": "1"}, {"PIMALLOC_NONE": "1"}):
            done = run("/bin/sh", "-c", '{ sleep 0.3; "$@" 2>&1 >/dev/null; echo $? >&3; } '
                       "3>&2 | true", "sh", sys.executable, "-c", WORK,
                       PIMALLOC_STATS="text", **changes)
            self.assertEqual(done.stderr, "0\n", str(done))


class Signals(support.TestCase):
    @staticmethod
    def with_file_as_stderr(code, **options):
        """Runs START and code, so that told() works."""
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "stderr")
            done = python("-W", "ignore", "-c", START + code,
                          shell_limits=f"exec 2>>{path}", **options)
            done.stderr += path.read_text(encoding="utf-8")
        return done

    def ask(self, code, **changes):
        changes.setdefault("PIMALLOC_STATS", "json")
        changes.setdefault("PIMALLOC_STATS_SIGNAL", "USR1")
        done = self.with_file_as_stderr(code, libraries=(PRELOAD, GUARD), **changes)
        found, rest = documents(done.stderr)
        self.assertEqual((done.status, rest), (0, ""), str(done))
        for document in found:
            self.assertTrue(document["installed"])
        return done, found

    def test_each_name_of_a_signal(self):
        for name, number in (("USR1", "SIGUSR1"), ("SIGUSR2", "SIGUSR2"), ("10", "SIGUSR1"),
                             ("RTMIN+3", "SIGRTMIN + 3"), ("HUP", "SIGHUP"), ("WINCH", "SIGWINCH")):
            with self.subTest(name):
                _, found = self.ask(f"os.kill(me, signal.{number}); told(1)",
                                    PIMALLOC_STATS_SIGNAL=name)
                self.assertEqual(len(found), 2)  # one at the end

    def test_only_on_the_signal_without_the_other_option(self):
        done = self.with_file_as_stderr(
            "os.kill(me, signal.SIGUSR1); told(1, 'raw is served by')",
            PIMALLOC_STATS="", PIMALLOC_STATS_SIGNAL="USR1")
        self.assertEqual(done.status, 0)
        self.assertEqual(done.stderr.count(", active, "), 1, str(done))

    def test_refused_signals(self):
        for name in ("KILL", "SEGV", "CHLD", "nonsense", "0", "-1", "64999", "99"):
            done = python("-c", WORK, PIMALLOC_STATS_SIGNAL=name, PIMALLOC_STATS="")
            self.assertEqual((done.status, len(done.ours)), (0, 1), str(done))
            self.assertIn("bad value in PIMALLOC_STATS_SIGNAL", done.stderr)

    def test_many_in_a_row(self):
        _, found = self.ask("for _ in range(2000): os.kill(me, signal.SIGUSR1)\ntold(1)")
        self.assertGreater(len(found), 1)

    def test_during_the_end(self):
        code = ("def shoot():\n"
                "    while True: os.kill(me, signal.SIGUSR1)\n"
                "threading.Thread(target=shoot, daemon=True).start(); time.sleep(0.02)\n"
                "import atexit, subprocess\n"
                "subprocess.Popen(['/bin/sh', '-c', f'n=0; while [ $n -lt 3000 ] && "
                "kill -USR1 {me} 2>/dev/null; do n=$((n+1)); done'])\n")
        # In CPython 3.12 the lock of PyMem_GetAllocator() is freed at the end.
        for _ in range(12):
            done = python("-W", "ignore", "-c", START + code, PIMALLOC_STATS="json:/dev/null",
                          PIMALLOC_STATS_SIGNAL="USR1")
            self.assertEqual((done.status, done.stderr), (0, ""), str(done))

    def test_a_forked_child_answers_too(self):
        _, found = self.ask("reading, writing = os.pipe()\n"
                            "pid = os.fork()\n"
                            "if pid:\n"
                            "    os.read(reading, 1)\n"
                            "    os.kill(pid, signal.SIGUSR1); os.wait()\n"
                            "    os.kill(me, signal.SIGUSR1); told(2)\n"
                            "else:\n"
                            "    os.write(writing, b'.')\n"
                            "    told(1); os._exit(0)\n")
        self.assertEqual(len(found), 3)
        self.assertEqual(len({document["pid"] for document in found}), 2)

    def test_a_grandchild_and_a_child_by_exec(self):
        _, found = self.ask("if os.fork(): os.wait()\n"
                            "elif os.fork(): os.wait(); os._exit(0)\n"
                            "else:\n"
                            "    os.kill(os.getpid(), signal.SIGUSR1); told(1)\n"
                            "    os.execv(sys.executable, [sys.executable, '-c', "
                            f"{START + 'os.kill(me, signal.SIGUSR1); told(2)'!r}])\n")
        self.assertEqual(len(found), 4)

    def test_forks_under_fire(self):
        code = ("def shoot():\n"
                "    while go: os.kill(me, signal.SIGUSR1); time.sleep(0.0002)\n"
                "go = True\n"
                "thread = threading.Thread(target=shoot); thread.start()\n"
                "for _ in range(50):\n"
                "    pid = os.fork()\n"
                "    if not pid: [[i] for i in range(1000)]; os._exit(0)\n"
                "    assert os.waitpid(pid, 0)[1] == 0\n"
                "go = False; thread.join()\n")
        done = python("-W", "ignore", "-c", START + code, PIMALLOC_STATS="json:/dev/null",
                      PIMALLOC_STATS_SIGNAL="USR1")
        self.assertEqual((done.status, done.stderr), (0, ""), str(done))

    def test_the_programs_handler_wins(self):
        done, found = self.ask("got = []\n"
                               "signal.signal(signal.SIGUSR1, lambda *_: got.append(1))\n"
                               "os.kill(me, signal.SIGUSR1)\n"
                               "while not got: pass\n"
                               "print(got)")
        self.assertEqual(done.stdout, "[1]\n")
        self.assertEqual(len(found), 1)

    def test_a_signal_that_is_ignored_stays_so(self):
        done = run("/bin/sh", "-c", "trap '' USR1; exec \"$@\"", "sh", sys.executable, "-c",
                   START + "os.kill(me, signal.SIGUSR1); time.sleep(0.2); print('lives')",
                   PIMALLOC_STATS_SIGNAL="USR1")
        self.assertEqual((done.status, done.stdout), (0, "lives\n"), str(done))
        self.assertIn("handles or ignores the signal of PIMALLOC_STATS_SIGNAL", done.stderr)

    def test_reads_go_on(self):
        # In C, since Python would read again by itself.
        done, found = self.ask("import ctypes\n"
                               "libc = ctypes.CDLL(None, use_errno=True)\n"
                               "reading, writing = os.pipe()\n"
                               "def shoot():\n"
                               "    for _ in range(20):\n"
                               "        os.kill(me, signal.SIGUSR1); time.sleep(0.01)\n"
                               "    os.write(writing, b'data')\n"
                               "thread = threading.Thread(target=shoot)\n"
                               "signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})\n"
                               "thread.start()\n"
                               "signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGUSR1})\n"
                               "buffer = ctypes.create_string_buffer(100)\n"
                               "print(libc.read(reading, buffer, 100), ctypes.get_errno())\n"
                               "thread.join(); told(1)\n")
        self.assertEqual(done.stdout, "4 0\n")
        self.assertGreater(len(found), 1)

    def test_our_thread_takes_none_of_the_programs_signals(self):
        done, _ = self.ask("got = []\n"
                           "signal.signal(signal.SIGUSR2, lambda *_: got.append(1))\n"
                           "for _ in range(100):\n"
                           "    os.kill(me, signal.SIGUSR2)\n"
                           "    while not got: pass\n"
                           "    got.clear()\n"
                           "assert threading.active_count() == 1\n"
                           "for task in os.listdir('/proc/self/task'):\n"
                           "    lines = open(f'/proc/self/task/{task}/status').readlines()\n"
                           "    blocked = [line.split()[1] for line in lines if 'SigBlk' in line]\n"
                           "    print(lines[0].split()[1], int(*blocked, 16) >> 9 & 1,\n"
                           "          int(*blocked, 16) >> 11 & 1)\n")
        self.assertIn("pimalloc-stats 1 1\n", done.stdout)

    def test_programs_that_python_does_not_serve_keep_the_signal(self):
        done = python("-c", START + "os.kill(me, signal.SIGUSR1); time.sleep(0.2)",
                      PIMALLOC_STATS_SIGNAL="USR1", PYTHONMALLOC="malloc")
        self.assertEqual((done.status, done.stderr), (-10, ""), str(done))
        done = run("/bin/sh", "-c", "kill -USR1 $$; sleep 1", PIMALLOC_STATS_SIGNAL="USR1")
        self.assertEqual(done.status, -10, str(done))


class Options(support.TestCase):
    def test_unknown_ones_are_reported_once(self):
        done = python("-c", WORK, PIMALLOC_STAT="1", PIMALLOC_STATS=None)
        self.assertEqual((done.status, len(done.ours)), (0, 1), str(done))
        self.assertRegex(done.stderr, "no option PIMALLOC_STAT; valid are .*PIMALLOC_STATS")

    def test_in_a_process_with_many_cycles_too(self):
        done = run(support.build("HOST"), support.build("LIBPYTHON"), "initialize", "3", WORK,
                   PIMALLOC_STAT="1", PIMALLOC_REGION="x")
        self.assertEqual((done.status, len(done.ours)), (0, 2), str(done))


if __name__ == "__main__":
    unittest.main()
