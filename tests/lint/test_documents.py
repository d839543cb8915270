#!/usr/bin/env python3
"""The check of documents finds each kind of fault, and nothing in the documents as they are.

Each case changes one thing in a document of the tree; the breach must name it.
"""

import unittest

import check_documents as check

DESIGN = check.read("docs/design.md")
PICTURE = check.read("docs/img/layers.svg")
KNOWN = check.definitions()
check.add_raw_cache(KNOWN)


def changed(text, old, new):
    if old not in text:
        raise AssertionError(f"'{old}' is not in the document any more; mend this test")
    return text.replace(old, new, 1)


class Documents(unittest.TestCase):
    def expect(self, breaches, rule, what):
        found = list(breaches)
        self.assertEqual([(b[1], what in b[2]) for b in found], [(rule, True)], found)

    def test_as_they_are_nothing_is_found(self):
        self.assertEqual(check.main(), 0)

    def test_picture_without_a_layer(self):
        self.expect(check.check_picture(changed(PICTURE, ">arena/<", "><")), "picture", "arena")

    def test_picture_in_another_order(self):
        swapped = changed(changed(changed(PICTURE, ">arena/<", ">?<"), ">page/<", ">arena/<"),
                          ">?<", ">page/<")
        self.expect(check.check_picture(swapped), "picture", "mi arena account page")

    def test_picture_without_what_is_planned(self):
        self.expect(check.check_picture(changed(PICTURE, ">hooks/<", "><")), "picture", "hooks")

    def test_layer_without_a_paragraph(self):
        self.expect(check.check_paragraphs(changed(DESIGN, "\n**extent** ", "\nextent ")),
                    "layers", "arena abandoned")

    def test_layer_without_a_line(self):
        text = changed(check.read("CONTRIBUTING.md"), "| `extent/` |", "| extent |")
        self.expect(check.check_lines(text), "layers", "abandoned arena")

    def test_link_to_a_file_that_is_gone(self):
        self.expect(check.check_links("docs/design.md", "see [it](../src/base/gone.h)"),
                    "link", "gone.h")

    def test_link_to_a_heading_that_is_gone(self):
        self.expect(check.check_links("docs/design.md", "see [it](tenants.md#gone)"),
                    "link", "tenants.md#gone")
        self.expect(check.check_links("docs/design.md", "see [it](#gone)"), "link", "#gone")

    def test_name_of_a_file_that_is_gone(self):
        self.expect(check.check_links("README.md", "as in `src/base/gone.c`"), "file", "gone.c")

    def test_code_is_no_prose(self):
        self.assertEqual(list(check.check_links("README.md", "```\n[it](gone.md)\n```\n")), [])

    def test_test_that_is_gone(self):
        self.expect(check.check_tests(changed(DESIGN, "`records_are_recycled`", "`records_are_gone`")),
                    "test", "records_are_gone")
        self.expect(check.check_tests(changed(DESIGN, "unit/test_lives;", "unit/test_gone;")),
                    "test", "unit/test_gone.c")

    def test_invariant_that_is_in_one_place_only(self):
        found = list(check.check_invariants(changed(DESIGN, "| `HEAP-3` |", "| `HEAP-9` |")))
        self.assertEqual([what for _, _, what in found],
                         ["HEAP-9 is nowhere in the sources", "HEAP-3 of src/heap/heap.h is not in the table",
                          "HEAP-3 is not in the table"])

    def test_number_that_is_not_the_constants(self):
        for text in ("`PIM_RETAINED_BYTES` (13 MiB)", "13 MiB (`PIM_RETAINED_BYTES`)",
                     "`PIM_EMPTY_SHARE`th (7)", "`PIM_IDLE_CREDITS` (4,095 units)"):
            self.expect(check.check_numbers("docs/x.md", text, KNOWN), "number", text)
        for text in ("`PIM_RETAINED_BYTES` (12 MiB)", "12 MiB (`PIM_RETAINED_BYTES`)",
                     "a `PIM_EMPTY_SHARE`th (8)", "`PIM_IDLE_CREDITS` (4,096 units)"):
            self.assertEqual(list(check.check_numbers("docs/x.md", text, KNOWN)), [])

    def test_number_without_a_name(self):
        for pattern, path, expression in check.HELD:
            text = check.without_code(check.read(path))
            number = next(n for n in check.re.findall(pattern, text, check.re.S))
            self.expect(check.check_held(pattern, expression, text.replace(number, "9"), KNOWN),
                        "number", "9 of")

    def test_constant_that_is_gone(self):
        words = {"PIM_THERE", "pim_there"}
        self.expect(check.check_names("up to `PIM_GONE` of PIM_THERE", words), "name", "PIM_GONE")
        self.expect(check.check_names("see `pim_gone()`, pim_there", words), "name", "pim_gone")
        self.assertEqual(list(check.check_names("`PIM_THERE`, pim_*, src/pim_gone.c", words)), [])

    def test_comment_with_a_file_that_is_gone(self):
        text = 'int a; // see heap/gone.c, <gone.h> and there.h\n#include "gone.h"\n'
        self.expect(check.check_comments(text, {"there.h"}), "comment", "gone.c")


if __name__ == "__main__":
    unittest.main()
