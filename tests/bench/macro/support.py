"""What the tests of the macro benchmark share."""

import json
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
MACRO = HERE.parents[2] / "bench" / "macro"
PROGRAMS = MACRO / "programs"
NAMES = sorted(path.stem for path in PROGRAMS.glob("*.py")
               if path.stem != "__init__")
# What every program returns, on every allocator and Python.  A change of a
# program changes its line here, and results before and after it are not to be
# compared.
DIGESTS = json.loads((HERE / "digests.json").read_text())
SECONDS = int(os.environ.get("PIM_TEST_PATIENCE", "300"))  # a hang


def run(command, **variables):
    """The finished process; its environment is ours and `variables`."""
    return subprocess.run(
        [str(word) for word in command], stdin=subprocess.DEVNULL,
        capture_output=True, text=True, timeout=SECONDS, check=False,
        env={**os.environ, "PYTHONHASHSEED": "0", **variables})


class Checks:
    """Assertions about what a worker or a host prints."""

    def result(self, done):
        """The JSON object that a process printed."""
        self.assertEqual(done.returncode, 0, done.stderr)
        return json.loads(done.stdout)

    def check_refused(self, done, *texts):
        """It failed, and said why in one line."""
        self.assertNotEqual(done.returncode, 0)
        self.assertEqual(done.stdout, "")
        self.assertEqual(done.stderr.count("\n"), 1, done.stderr)
        for text in texts:
            self.assertIn(text, done.stderr)

    def check_figures(self, result, program, allocator, interpreters=1):
        self.assertEqual(result["program"], program)
        self.assertEqual(result["allocator"], allocator)
        self.assertEqual(result["interpreters"], interpreters)
        self.assertEqual(result["digest"], DIGESTS[program])
        self.assertEqual(len(result["real_s"]), interpreters)
        self.assertEqual(len(result["cpu_s"]), interpreters)
        self.assertGreater(min(result["cpu_s"]), 0)
        # The clocks differ in how fine they are.
        self.assertGreaterEqual(result["wall_s"], max(result["real_s"]) - 1e-4)
        self.assertGreater(result["start_kb"], 1000)
        self.assertGreaterEqual(result["peak_kb"], result["start_kb"])
        self.assertGreater(result["after_kb"], 1000)

    def check_laps(self, result, program, stages, loops):
        """The times of each repetition of an aged process."""
        self.assertEqual(list(result["laps"]), [program, *stages])
        for laps in result["laps"].values():
            self.assertEqual(len(laps), loops)
            self.assertGreaterEqual(min(laps), 0)
        whole = result["laps"][program]
        for number in range(loops):
            parts = [result["laps"][stage][number] for stage in stages]
            self.assertAlmostEqual(whole[number], sum(parts or whole[number:
                                   number + 1]), places=4)
        self.assertLessEqual(sum(whole), sum(result["cpu_s"]) + 1e-3)


class WithPrograms:
    """Programs in another folder, one of them made for the test."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.programs = Path(folder.name) / "others"
        shutil.copytree(PROGRAMS, self.programs)

    def make(self, source):
        (self.programs / "made.py").write_text("LOOPS = 3\n" + source)
