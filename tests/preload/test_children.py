"""Child processes, however they come about."""

import sys
import unittest

import support
from support import WORK, python

PRINT_ACTIVE = ("import ctypes, os\n"
                "library = ctypes.CDLL(None)\n"
                "active = hasattr(library, 'pimalloc_active') and library.pimalloc_active()\n")
CHILD = WORK + PRINT_ACTIVE + "print('child', os.getpid(), active, flush=True)\n"


class Children(support.TestCase):
    def run_parent(self, code, **changes):
        done = python("-W", "ignore", "-c", WORK + f"CHILD = {CHILD!r}\n" + code, **changes)
        self.assertEqual((done.status, done.stderr), (0, ""), str(done))
        return done

    def children(self, done, count, active="1"):
        """The pids that said so, of children that were served or not."""
        found = [line.split()[1:] for line in done.stdout.split("\n")
                 if line.startswith("child ")]
        self.assertEqual([a for _, a in found], [active] * count, str(done))
        return [int(pid) for pid, _ in found]

    def assert_served_children(self, code, count=1, **changes):
        done = self.run_parent(code, **changes)
        self.assert_served(done)
        for pid in self.children(done, count):
            self.assertNotEqual(pid, done.pid)
            self.assert_served(done, pid)
        return done

    def test_subprocess(self):
        self.assert_served_children("import subprocess, sys\n"
                                    "subprocess.run([sys.executable, '-c', CHILD], check=True)\n")
        self.assert_served_children("import subprocess, sys\n"
                                    "subprocess.run([sys.executable, '-c', CHILD], check=True,\n"
                                    "               close_fds=False, preexec_fn=lambda: None)\n")
        self.assert_served_children("import os, shlex, sys\n"
                                    "os.system(shlex.join([sys.executable, '-c', CHILD]))\n")

    def test_grandchildren_through_programs_without_python(self):
        self.assert_served_children(
            "import subprocess, sys\n"
            "subprocess.run(['sh', '-c', '\"$@\"; env \"$@\"', 'sh', sys.executable, '-c', CHILD],"
            " check=True)\n", count=2)

    def test_posix_spawn(self):
        self.assert_served_children("import os, sys\n"
                                    "pid = os.posix_spawn(sys.executable, ['python', '-c', CHILD],"
                                    " os.environ)\n"
                                    "assert os.waitpid(pid, 0)[1] == 0\n")

    def test_exec(self):
        done = self.run_parent("import os, sys\n"
                               "os.execv(sys.executable, [sys.executable, '-c', CHILD])\n")
        self.assertEqual(self.children(done, 1), [done.pid])
        self.assert_served(done)

    def test_fork_and_exit(self):
        for end in ("sys.exit(0)", "pass"):
            self.assert_served_children(
                "import os, sys\n"
                "pid = os.fork()\n"
                "if pid:\n"
                "    assert os.waitpid(pid, 0)[1] == 0\n"
                f"else:\n    exec(CHILD)\n    {end}\n")

    def test_fork_and_leave_at_once(self):
        done = self.run_parent("import os\npid = os.fork()\n"
                               "if not pid:\n    exec(CHILD)\n    os._exit(0)\n"
                               "assert os.waitpid(pid, 0)[1] == 0\n")
        child, = self.children(done, 1)
        self.assertNotIn(child, done.figures)
        self.assert_served(done)

    def test_forks_while_threads_allocate(self):
        self.run_parent("""
import os, threading
go = True
def work():
    while go: [[i] for i in range(1000)]
threads = [threading.Thread(target=work) for _ in range(4)]
[t.start() for t in threads]
for _ in range(30):
    pid = os.fork()
    if not pid:
        [[i] for i in range(30000)]
        os._exit(0)
    assert os.waitpid(pid, 0)[1] == 0
go = False
[t.join() for t in threads]
""")

    def test_multiprocessing(self):
        code = """
import multiprocessing, os, sys
def work(n):
    kept = [[i] for i in range(n)]
    import ctypes
    return os.getpid(), ctypes.CDLL(None).pimalloc_active(), len(kept)
if __name__ == '__main__':
    for method in ('fork', 'spawn', 'forkserver'):
        context = multiprocessing.get_context(method)
        with context.Pool(3) as pool:
            for pid, active, kept in pool.map(work, [20000] * 6, 2):
                assert pid != os.getpid() and active == 1 and kept == 20000
            pool.close()
            pool.join()
        queue = context.SimpleQueue()
        process = context.Process(target=queue.put, args=(list(range(50000)),))
        process.start()
        assert len(queue.get()) == 50000
        process.join()
        assert process.exitcode == 0, process.exitcode
    print('done')
"""
        import os
        import tempfile
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "program.py")
            with open(path, "w", encoding="utf-8") as file:
                file.write(code)
            done = python("-W", "ignore", path)
        self.assertEqual((done.status, done.stdout, done.stderr), (0, "done\n", ""), str(done))

    def test_the_variable_stays_in_the_environment(self):
        done = self.run_parent("import os; print(os.environ['LD_PRELOAD'])\n")
        self.assertEqual(done.stdout.strip(), support.PRELOAD)

    def test_an_environment_without_it(self):
        for code in ("subprocess.run([sys.executable, '-c', CHILD], env=env, check=True)",
                     "os.posix_spawn(sys.executable, ['python', '-c', CHILD], env); os.wait()"):
            done = self.run_parent("import os, subprocess, sys\n"
                                   "env = dict(os.environ); del env['LD_PRELOAD']\n" + code)
            child, = self.children(done, 1, active="False")
            self.assertEqual(list(done.figures), [done.pid])
            self.assertNotEqual(child, done.pid)

    def test_a_child_for_which_it_is_taken_out_of_the_process(self):
        done = self.run_parent("import os, subprocess, sys\ndel os.environ['LD_PRELOAD']\n"
                               "subprocess.run([sys.executable, '-c', CHILD], check=True)\n")
        self.children(done, 1, active="False")


if __name__ == "__main__":
    unittest.main()
