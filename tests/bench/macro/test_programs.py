"""The programs have the form that worker.py, the host and bench/run rely on."""

import ast
import unittest

from support import DIGESTS, NAMES, PROGRAMS


class Programs(unittest.TestCase):

    def test_each_has_what_a_program_needs(self):
        for name in NAMES:
            with self.subTest(name):
                tree = ast.parse((PROGRAMS / f"{name}.py").read_text())
                values = {target.id: node.value for node in tree.body
                          if isinstance(node, ast.Assign)
                          for target in node.targets}
                functions = {node.name: len(node.args.args)
                             for node in tree.body
                             if isinstance(node, ast.FunctionDef)}
                self.assertTrue(ast.get_docstring(tree))
                self.assertGreater(ast.literal_eval(values["LOOPS"]), 0)
                self.assertEqual(functions["setup"], 0)
                self.assertEqual(functions["run"], 1)

    def test_each_has_a_known_digest_and_no_other(self):
        self.assertEqual(sorted(DIGESTS), NAMES)

    def test_there_are_enough_to_speak_of_whole_programs(self):
        self.assertGreaterEqual(len(NAMES), 24)


if __name__ == "__main__":
    unittest.main()
