"""Setuid programs: neither argv[0] nor the environment says what they load.

Run as root, which makes them and starts them as nobody.  Where that is not possible
the cases about setuid are skipped.
"""

import os
import shutil
import stat
import subprocess
import tempfile
import unittest
from pathlib import Path

STATIC, SHARED, PLANTED, LIBRARY, MIMALLOC = (
    os.environ[f"PIM_TEST_{name}"]
    for name in ("STATIC", "SHARED", "PLANTED", "LIBRARY", "MIMALLOC"))
NOBODY = 65534
PLANTED_TEXT = "PLANTED CODE RUNS"


def roots_alone(path):
    """Whether only root can replace a file, or what leads to it."""
    path = Path(os.path.realpath(path))
    return all(p.stat().st_uid == 0 and not p.stat().st_mode & (stat.S_IWGRP | stat.S_IWOTH)
               for p in (path, *path.parents))


class Privileged(unittest.TestCase):
    def setUp(self):
        if os.geteuid() != 0:
            self.skipTest("only root can make programs of root's that others may run")
        # Beside the build: where all may write, nothing is trusted.
        self.trusted = Path(self.enterContext(tempfile.TemporaryDirectory(
            dir=Path(LIBRARY).parent)))
        self.shared = Path(self.enterContext(tempfile.TemporaryDirectory()))
        for folder in (self.trusted, self.shared):
            folder.chmod(0o755)
            if os.statvfs(folder).f_flag & os.ST_NOSUID:
                self.skipTest(f"{folder} is mounted nosuid")
        for folder in (self.trusted, *self.trusted.parents):
            if not folder.stat().st_mode & stat.S_IXOTH:
                self.skipTest(f"{folder} is closed to others")

    def setuid(self, program, folder):
        copy = Path(shutil.copy(program, folder / "program"))
        copy.chmod(0o4755)
        return copy

    def plant(self, folder):
        """Lay a library into a folder of nobody's, as mimalloc and beside pimalloc."""
        for where in (folder, folder / "pimalloc"):
            where.mkdir(exist_ok=True)
            shutil.copy(PLANTED, where / "libmimalloc.so.3")
            for path in (where, where / "libmimalloc.so.3"):
                os.chown(path, NOBODY, NOBODY)
        return folder

    def run_as_nobody(self, program, *arguments, name=None, **more):
        done = subprocess.run([name or str(program), *map(str, arguments)], executable=program,
                              user=NOBODY, group=NOBODY, extra_groups=[], capture_output=True,
                              text=True, timeout=60, check=False, **more)
        self.assertEqual(done.returncode, 0, done)
        self.stderr = done.stderr
        self.assertTrue(done.stdout.startswith("privileged 1\n"), done)
        self.assertNotIn(PLANTED_TEXT, done.stdout)
        return done.stdout

    def test_name_that_the_caller_gave(self):
        program = self.setuid(STATIC, self.shared)
        attacker = self.plant(self.shared / "attacker")
        honest = self.run_as_nobody(program)
        self.assertEqual(self.run_as_nobody(program, name=f"{attacker}/x"), honest)
        self.assertEqual(self.run_as_nobody(program, name="x", cwd=attacker), honest)
        self.assertEqual(self.run_as_nobody(program, name="./x", cwd=attacker), honest)

    def test_name_that_the_caller_gave_means_nothing_to_anybody(self):
        attacker = self.plant(self.shared / "attacker")
        done = subprocess.run([f"{attacker}/x"], executable=STATIC, capture_output=True,
                              text=True, timeout=60, check=True)
        self.assertNotIn(PLANTED_TEXT, done.stdout)
        self.assertIn("install pimalloc: no error", done.stdout)

    def test_link_to_the_program(self):
        folder = self.plant(self.shared / "attacker")
        program = self.setuid(STATIC, self.shared)
        os.link(program, folder / "linked")  # /proc/self/exe may answer this name
        self.run_as_nobody(folder / "linked")

    def test_nothing_beside_the_program(self):
        self.run_as_nobody(self.setuid(STATIC, self.plant(self.shared / "folder")))

    def test_environment(self):
        program = self.setuid(STATIC, self.shared)
        attacker = self.plant(self.shared / "attacker")
        honest = self.run_as_nobody(program)
        environment = {"PIMALLOC_MIMALLOC": str(attacker / "libmimalloc.so.3"),
                       "PIMALLOC_VERBOSE": "1", "PIMALLOC_NONSENSE": "1", "PIMALLOC_LIMIT": "1M",
                       "MIMALLOC_VERBOSE": "1", "mimalloc_Verbose": "1", "MIMALLOC_SHOW_STATS": "1",
                       "LD_LIBRARY_PATH": str(attacker), "LD_PRELOAD": str(PLANTED)}
        self.assertEqual(self.run_as_nobody(program, env=environment), honest)
        # CPython from 3.13 on has a mimalloc of its own, which says what it reads.
        pythons = self.stderr.count("process init")
        found = self.run_as_nobody(program, "", MIMALLOC, env=environment)
        self.assertEqual(self.stderr.count("process init"), pythons)
        self.assertEqual(found, self.run_as_nobody(program, "", MIMALLOC))
        self.assertIn("install pimalloc: no error", found)
        self.assertNotIn("pimalloc:", self.stderr)

    def test_remedy_is_one_that_helps(self):
        said = self.run_as_nobody(self.setuid(STATIC, self.shared))
        if "no error" in said:
            self.skipTest("the loader finds a mimalloc")
        self.assertNotIn("pimalloc/libmimalloc", said)
        self.assertNotIn("PIMALLOC_MIMALLOC", said)
        self.assertIn("pimalloc_config.mimalloc_path", said)

    def test_path_of_the_program_itself(self):
        program = self.setuid(STATIC, self.shared)
        attacker = self.plant(self.shared / "attacker")
        for path in ("./libmimalloc.so.3", "pimalloc/libmimalloc.so.3"):
            said = self.run_as_nobody(program, "", path, cwd=attacker)
            self.assertIn("is no absolute path", said)

    def test_folder_of_the_library(self):
        if not roots_alone(self.trusted):
            self.skipTest(f"others may write to {self.trusted.parent}")
        program = self.setuid(SHARED, self.trusted)
        library = shutil.copy(LIBRARY, self.trusted)
        beside = self.trusted / "pimalloc"
        beside.mkdir(mode=0o755)
        mimalloc = Path(shutil.copy(MIMALLOC, beside / "libmimalloc.so.3"))
        mimalloc.chmod(0o644)
        self.assertIn(f"mimalloc {mimalloc}\n", self.run_as_nobody(program, library))
        # As soon as anybody else might have laid it there, no more.
        for path in (self.trusted, beside, mimalloc):
            mode = path.stat().st_mode
            for change, undo in ((lambda p: p.chmod(mode | stat.S_IWGRP), lambda p: p.chmod(mode)),
                                 (lambda p: p.chmod(mode | stat.S_IWOTH), lambda p: p.chmod(mode)),
                                 (lambda p: os.chown(p, NOBODY, 0), lambda p: os.chown(p, 0, 0))):
                change(path)
                self.assertNotIn(str(mimalloc), self.run_as_nobody(program, library), path)
                undo(path)
        os.unlink(mimalloc)
        os.symlink(self.plant(self.shared / "attacker") / "libmimalloc.so.3", mimalloc)
        self.run_as_nobody(program, library)
        os.unlink(mimalloc)
        os.rmdir(beside)
        os.symlink(self.shared / "attacker/pimalloc", beside)
        self.run_as_nobody(program, library)

    def test_library_in_a_shared_folder(self):
        library = shutil.copy(LIBRARY, self.shared)
        self.plant(self.shared)
        os.chown(self.shared, 0, 0)
        self.run_as_nobody(self.setuid(SHARED, self.trusted), library)


if __name__ == "__main__":
    unittest.main()
